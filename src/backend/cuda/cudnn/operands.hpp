// How the operands of a graph lie in memory: extents, strides and types, as data.
#pragma once

#include "backend/cuda/cudnn/graphs.hpp"

namespace trainmark::cuda {

struct Operand {
  std::vector<std::int64_t> dim, stride;
  DType type = DType::f32;
  [[nodiscard]] std::size_t bytes() const { return static_cast<std::size_t>(Shape(dim).elements()) * size_of(type); }
};

/// Axis 1 fastest, then the last axis, and so on to axis 0: channels-last, for N,C,[D,]H,W and O,I,[D,]H,W alike.
[[nodiscard]] Operand channels_last_operand(const Shape& shape, DType type);

/// No engine multiplies fp32 matrices without tensor cores, but 1x1 convolutions do; their memory is the same.
[[nodiscard]] bool is_full_precision(const GraphSpec& spec);

/// Inputs, then the output, in the order in which execute() gets their pointers. Matrices are [1,rows,columns], or
/// [rows,columns,1,1] as stored where they are multiplied as a 1x1 convolution.
[[nodiscard]] std::vector<Operand> operands_of(const GraphSpec& spec);

}  // namespace trainmark::cuda

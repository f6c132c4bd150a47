// Dense layers of few samples. Their weights are many times what else they read, and each is read once, where it lies
// in the arena and as it is: fp32 in logical order. So time is that of reading or writing the weights, and nothing is
// packed, compiled at run time or left to a matrix engine that has next to nothing to do.
#pragma once

#include "backend/cuda/plans.hpp"

namespace trainmark::cuda {

/// Samples that these kernels take; with more of them a matrix product is faster.
inline constexpr std::int64_t few_rows = 32;

/// What stands behind a layer's result, or before its gradient: rounded to the tensor's type after each, as operations
/// of their own would.
struct DenseEnding {
  bool curved = false;
  Activation activation = {};
  bool drops = false;
  Dropout dropout = {};

  DenseEnding() = default;
  explicit DenseEnding(const DenseBlock& block)
      : curved(true),
        activation(block.activation),
        drops(block.dropout.has_value()),
        dropout(block.dropout.value_or(Dropout{})) {}
};

/// Shapes and types of one layer; sums are fp32, in an order that depends on the shape alone.
class FewRows {
 public:
  /// `columns`: of the weights, and where they lie in a sample.
  FewRows(std::int64_t samples, const WeightOrder& columns);
  [[nodiscard]] static bool take(std::int64_t samples) noexcept { return samples <= few_rows; }

  /// dst[m,n] = curve of src[m,k] weights[n,k] + bias[n]; `dropped`, where the ending drops: what that leaves of dst.
  void forward(cudaStream_t stream, const void* src, DType type, const float* weights, const float* bias, void* dst,
               DType dst_type, const DenseEnding& ending = {}, const StepState* state = nullptr,
               void* dropped = nullptr) const;
  /// diff_src[m,k] = diff_dst[m,n] weights[n,k], padding zeroed, back through the ending of the layer that made src:
  /// `active`, of diff_src's type, is what its curve had made.
  void backward_data(cudaStream_t stream, const void* diff_dst, DType diff_type, const float* weights, void* diff_src,
                     DType type, const DenseEnding& below = {}, const void* active = nullptr,
                     const StepState* state = nullptr) const;
  /// diff_weights[n,k] = diff_dst[m,n] src[m,k]; diff_bias[n] = sum over m of diff_dst[m,n]
  void backward_weights(cudaStream_t stream, const void* src, DType type, const void* diff_dst, DType diff_type,
                        float* diff_weights, float* diff_bias) const;

 private:
  std::int64_t samples_;
  WeightOrder columns_;
};

}  // namespace trainmark::cuda

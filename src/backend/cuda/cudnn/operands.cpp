// The operands of each kind of graph.
#include "backend/cuda/cudnn/operands.hpp"

namespace trainmark::cuda {
namespace {

/// A matrix of logical extents rows x columns, row-major unless it is stored transposed.
Operand matrix(std::int64_t rows, std::int64_t columns, bool transposed, DType type, bool as_convolution) {
  if (as_convolution)
    return channels_last_operand(transposed ? Shape{columns, rows, 1, 1} : Shape{rows, columns, 1, 1}, type);
  return {{1, rows, columns},
          transposed ? std::vector<std::int64_t>{rows * columns, 1, rows}
                     : std::vector<std::int64_t>{rows * columns, columns, 1},
          type};
}

std::vector<Operand> operands(const ConvGraph& graph) {
  const Operand src = channels_last_operand(graph.src, graph.io);
  const Operand weights = channels_last_operand(graph.weights, graph.io);
  const Operand dst = channels_last_operand(graph.dst, graph.io);
  switch (graph.pass) {
    case ConvGraph::Pass::backward_data:
      return {dst, weights, src};
    case ConvGraph::Pass::backward_weights:
      return {src, dst, weights};
    case ConvGraph::Pass::forward:
      break;
  }
  if (!graph.bias) return {src, weights, dst};
  Shape bias(std::vector<std::int64_t>(graph.dst.rank(), 1));
  bias[1] = graph.dst[1];
  return {src, weights, channels_last_operand(bias, DType::f32), dst};
}

std::vector<Operand> operands(const MatmulGraph& graph) {
  const bool as_convolution = is_full_precision(graph);
  std::vector<Operand> result = {matrix(graph.m, graph.k, graph.a_transposed, graph.io, as_convolution),
                                 matrix(graph.k, graph.n, graph.b_transposed, graph.io, as_convolution)};
  if (graph.bias) result.push_back(matrix(1, graph.n, false, DType::f32, as_convolution));
  result.push_back(matrix(graph.m, graph.n, false, graph.result, as_convolution));
  return result;
}

}  // namespace

Operand channels_last_operand(const Shape& shape, DType type) {
  Operand operand{shape.extents(), std::vector<std::int64_t>(shape.rank()), type};
  operand.stride.at(1) = 1;
  std::int64_t stride = shape[1];
  for (std::size_t axis = shape.rank() - 1; axis >= 2; --axis) {
    operand.stride.at(axis) = stride;
    stride *= shape[axis];
  }
  operand.stride.at(0) = stride;
  return operand;
}

bool is_full_precision(const GraphSpec& spec) {
  return std::visit([](const auto& graph) { return graph.io == DType::f32 && graph.math == Math::full; }, spec);
}

std::vector<Operand> operands_of(const GraphSpec& spec) {
  return std::visit([](const auto& graph) { return operands(graph); }, spec);
}

}  // namespace trainmark::cuda

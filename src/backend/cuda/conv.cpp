// Convolutions as cuDNN graphs over channels-last activations. Weights come in logical fp32 order and are packed into
// the graph's order and type in scratch memory first; their gradients leave in that type and are unpacked to fp32.
#include "backend/cuda/plans.hpp"
#include "backend/cuda/scratch.hpp"

namespace trainmark::cuda {
namespace {

Shape padded_weights(const Shape& weights) {
  Shape result = weights;
  result[0] = padded(weights[0]);
  result[1] = padded(weights[1]);
  return result;
}

std::int64_t taps_of(const Shape& weights) { return weights.elements() / (weights[0] * weights[1]); }

WeightOrder order_of(const Shape& weights) {
  return {.outer = weights[0],
          .inner = weights[1],
          .spatial = taps_of(weights),
          .stored_outer = padded(weights[0]),
          .stored_inner = padded(weights[1])};
}

/// The graph of one pass; `src` and `dst` are the convolution's, whichever of them the pass reads or writes.
ConvGraph graph_of(ConvGraph::Pass pass, const Compute& compute, const Conv& conv, const TensorDesc& src,
                   const Shape& weights, const TensorDesc& dst) {
  return {.pass = pass,
          .conv = conv,
          .src = stored_shape(activation_desc(src.shape, src.dtype)),
          .weights = padded_weights(weights),
          .dst = stored_shape(activation_desc(dst.shape, dst.dtype)),
          .io = src.dtype,
          .math = src.dtype == DType::f32 ? compute.math : Math::full,
          .slope = {}};
}

}  // namespace

Planned plan_conv(const Compute& compute, const Conv& conv, const Operands& operands, const Activation* activation) {
  const TensorDesc& src = operands.inputs[0];
  const Shape& weights = operands.inputs[1].shape;
  const TensorDesc dst = activation_desc(operands.outputs[0].shape, operands.outputs[0].dtype);
  ConvGraph spec = graph_of(ConvGraph::Pass::forward, compute, conv, src, weights, dst);
  spec.bias = true;
  if (activation != nullptr) spec.slope = activation->slope;
  std::shared_ptr<CompiledGraph> graph = compute.graphs.compile(spec);

  const WeightOrder order = order_of(weights);
  const WeightOrder bias_order{.outer = weights[0], .stored_outer = padded(weights[0])};
  Scratch scratch;
  const std::size_t packed = scratch.take(static_cast<std::size_t>(order.stored()) * size_of(src.dtype));
  const std::size_t bias = scratch.take(static_cast<std::size_t>(bias_order.stored()) * sizeof(float));
  const std::size_t workspace = scratch.take(graph->workspace_bytes());
  auto body = [=, type = src.dtype](cudaStream_t stream, std::span<void* const> args) {
    std::byte* memory = static_cast<std::byte*>(args[4]);
    pack_weights(stream, order, static_cast<const float*>(args[1]), memory + packed, type);
    pack_weights(stream, bias_order, static_cast<const float*>(args[2]), memory + bias, DType::f32);
    const std::array<void*, 4> graph_operands = {args[0], memory + packed, memory + bias, args[3]};
    graph->execute(stream, graph_operands, memory + workspace);
  };
  return planned(std::move(body), {dst}, {}, scratch.bytes());
}

Planned plan_conv_backward_data(const Compute& compute, const Conv& conv, const Operands& operands) {
  const TensorDesc& diff_dst = operands.inputs[0];
  const Shape& weights = operands.inputs[1].shape;
  const TensorDesc diff_src = activation_desc(operands.outputs[0].shape, operands.outputs[0].dtype);
  std::shared_ptr<CompiledGraph> graph =
      compute.graphs.compile(graph_of(ConvGraph::Pass::backward_data, compute, conv, diff_src, weights, diff_dst));

  const WeightOrder order = order_of(weights);
  Scratch scratch;
  const std::size_t packed = scratch.take(static_cast<std::size_t>(order.stored()) * size_of(diff_src.dtype));
  const std::size_t workspace = scratch.take(graph->workspace_bytes());
  auto body = [=, type = diff_src.dtype](cudaStream_t stream, std::span<void* const> args) {
    std::byte* memory = static_cast<std::byte*>(args[3]);
    pack_weights(stream, order, static_cast<const float*>(args[1]), memory + packed, type);
    const std::array<void*, 3> graph_operands = {args[0], memory + packed, args[2]};
    graph->execute(stream, graph_operands, memory + workspace);
  };
  return planned(std::move(body), {diff_src}, {}, scratch.bytes());
}

Planned plan_conv_backward_weights(const Compute& compute, const Conv& conv, const Operands& operands) {
  const TensorDesc& src = operands.inputs[0];
  const TensorDesc& diff_dst = operands.inputs[1];
  const Shape& weights = operands.outputs[0].shape;
  std::shared_ptr<CompiledGraph> graph =
      compute.graphs.compile(graph_of(ConvGraph::Pass::backward_weights, compute, conv, src, weights, diff_dst));

  const WeightOrder order = order_of(weights);
  const std::int64_t channels = weights[0];
  const std::int64_t rows = diff_dst.shape.elements() / channels;
  Scratch scratch;
  const std::size_t packed = scratch.take(static_cast<std::size_t>(order.stored()) * size_of(src.dtype));
  const std::size_t sums = scratch.take(bias_scratch_bytes(rows, padded(channels)));
  const std::size_t workspace = scratch.take(graph->workspace_bytes());
  auto body = [=, type = diff_dst.dtype](cudaStream_t stream, std::span<void* const> args) {
    std::byte* memory = static_cast<std::byte*>(args[4]);
    const std::array<void*, 3> graph_operands = {args[0], args[1], memory + packed};
    graph->execute(stream, graph_operands, memory + workspace);
    unpack_weights(stream, order, memory + packed, type, static_cast<float*>(args[2]));
    sum_rows(stream, args[1], type, rows, channels, padded(channels), static_cast<float*>(args[3]), memory + sums);
  };
  return planned(std::move(body), operands.outputs, {}, scratch.bytes());
}

}  // namespace trainmark::cuda

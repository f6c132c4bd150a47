// Dense layers: kernels of our own for few samples, cuDNN's matrix products for more. A channels-last volume flattens
// to D,H,W,C for free, which is the reference's order; where its channels are padded a product's weights have their
// columns padded alike.
#include "backend/cuda/ops/few_rows.hpp"
#include "backend/cuda/plans.hpp"
#include "backend/cuda/scratch.hpp"

namespace trainmark::cuda {
namespace {

/// Columns of a dense layer's weights, as its source lies in memory.
WeightOrder order_of(const TensorDesc& src, std::int64_t units) {
  const Shape& shape = src.shape;
  if (shape.rank() <= 2) {
    const std::int64_t columns = shape.elements() / shape[0];
    return {.outer = units, .inner = columns, .stored_outer = units, .stored_inner = columns};
  }
  return {.outer = units,
          .inner = shape[1],
          .spatial = shape.elements() / (shape[0] * shape[1]),
          .stored_outer = units,
          .stored_inner = padded(shape[1]),
          .spatial_first = true};
}
std::int64_t columns_of(const WeightOrder& order) { return order.spatial * order.stored_inner; }

/// Weights in the product's type and order. Always a copy: tensors stand in the arena at any multiple of four bytes,
/// and plans take theirs as aligned for vector access.
class PackedWeights {
 public:
  PackedWeights(const WeightOrder& order, DType type, Scratch& scratch)
      : order_(order), type_(type), offset_(scratch.take(static_cast<std::size_t>(order.stored()) * size_of(type))) {}
  [[nodiscard]] void* get(cudaStream_t stream, const void* weights, std::byte* scratch) const {
    pack_weights(stream, order_, static_cast<const float*>(weights), scratch + offset_, type_);
    return scratch + offset_;
  }

 private:
  WeightOrder order_;
  DType type_;
  std::size_t offset_;
};

/// A gradient in the product's type: after the step out of half precision it arrives in fp32.
class Converted {
 public:
  Converted(const TensorDesc& from, DType type, Scratch& scratch)
      : from_(from.dtype), to_(type), count_(from.shape.elements()) {
    if (from_ != to_) offset_ = scratch.take(static_cast<std::size_t>(count_) * size_of(to_));
  }
  [[nodiscard]] void* get(cudaStream_t stream, void* values, std::byte* scratch) const {
    if (from_ == to_) return values;
    convert(stream, values, from_, scratch + offset_, to_, count_);
    return scratch + offset_;
  }

 private:
  DType from_, to_;
  std::int64_t count_;
  std::size_t offset_ = 0;
};

Math math_of(const Compute& compute, DType io) { return io == DType::f32 ? compute.math : Math::full; }

}  // namespace

Planned plan_op(const Compute& compute, const Dense&, const Operands& operands) {
  const TensorDesc& src = operands.inputs[0];
  const TensorDesc& dst = operands.outputs[0];
  const WeightOrder order = order_of(src, operands.inputs[1].shape[0]);
  if (FewRows::take(src.shape[0])) {
    auto body = [=, rows = FewRows(src.shape[0], order), type = src.dtype, result = dst.dtype](
                    cudaStream_t stream, std::span<void* const> args) {
      rows.forward(stream, args[0], type, static_cast<const float*>(args[1]), static_cast<const float*>(args[2]),
                   args[3], result);
    };
    return planned(std::move(body), operands.outputs);
  }
  std::shared_ptr<CompiledGraph> graph = compute.graphs.compile(MatmulGraph{.m = src.shape[0],
                                                                            .n = order.outer,
                                                                            .k = columns_of(order),
                                                                            .b_transposed = true,
                                                                            .io = src.dtype,
                                                                            .result = dst.dtype,
                                                                            .math = math_of(compute, src.dtype),
                                                                            .bias = true});
  Scratch scratch;
  const PackedWeights weights(order, src.dtype, scratch);
  const PackedWeights bias({.outer = order.outer, .stored_outer = order.outer}, DType::f32, scratch);
  const std::size_t workspace = scratch.take(graph->workspace_bytes());
  auto body = [=](cudaStream_t stream, std::span<void* const> args) {
    auto* memory = static_cast<std::byte*>(args[4]);
    const std::array<void*, 4> graph_operands = {args[0], weights.get(stream, args[1], memory),
                                                 bias.get(stream, args[2], memory), args[3]};
    graph->execute(stream, graph_operands, memory + workspace);
  };
  return planned(std::move(body), operands.outputs, {}, scratch.bytes());
}

Planned plan_op(const Compute& compute, const DenseBackwardData&, const Operands& operands) {
  const TensorDesc& diff_dst = operands.inputs[0];
  const TensorDesc diff_src = activation_desc(operands.outputs[0].shape, operands.outputs[0].dtype);
  const DType type = diff_src.dtype;
  const WeightOrder order = order_of(diff_src, operands.inputs[1].shape[0]);
  if (FewRows::take(diff_src.shape[0])) {
    auto body = [=, rows = FewRows(diff_src.shape[0], order), diff_type = diff_dst.dtype](cudaStream_t stream,
                                                                                          std::span<void* const> args) {
      rows.backward_data(stream, args[0], diff_type, static_cast<const float*>(args[1]), args[2], type);
    };
    return planned(std::move(body), {diff_src});
  }
  std::shared_ptr<CompiledGraph> graph = compute.graphs.compile(MatmulGraph{.m = diff_src.shape[0],
                                                                            .n = columns_of(order),
                                                                            .k = order.outer,
                                                                            .io = type,
                                                                            .result = type,
                                                                            .math = math_of(compute, type)});
  Scratch scratch;
  const PackedWeights weights(order, type, scratch);
  const Converted gradient(diff_dst, type, scratch);
  const std::size_t workspace = scratch.take(graph->workspace_bytes());
  auto body = [=](cudaStream_t stream, std::span<void* const> args) {
    auto* memory = static_cast<std::byte*>(args[3]);
    const std::array<void*, 3> graph_operands = {gradient.get(stream, args[0], memory),
                                                 weights.get(stream, args[1], memory), args[2]};
    graph->execute(stream, graph_operands, memory + workspace);
  };
  return planned(std::move(body), {diff_src}, {}, scratch.bytes());
}

Planned plan_op(const Compute& compute, const DenseBackwardWeights&, const Operands& operands) {
  const TensorDesc& src = operands.inputs[0];
  const TensorDesc& diff_dst = operands.inputs[1];
  const WeightOrder order = order_of(src, operands.outputs[0].shape[0]);
  const std::int64_t samples = src.shape[0];
  if (FewRows::take(samples)) {
    auto body = [=, rows = FewRows(samples, order), type = src.dtype, diff_type = diff_dst.dtype](
                    cudaStream_t stream, std::span<void* const> args) {
      rows.backward_weights(stream, args[0], type, args[1], diff_type, static_cast<float*>(args[2]),
                            static_cast<float*>(args[3]));
    };
    return planned(std::move(body), operands.outputs);
  }
  std::shared_ptr<CompiledGraph> graph = compute.graphs.compile(MatmulGraph{.m = order.outer,
                                                                            .n = columns_of(order),
                                                                            .k = samples,
                                                                            .a_transposed = true,
                                                                            .io = src.dtype,
                                                                            .result = DType::f32,
                                                                            .math = math_of(compute, src.dtype)});
  Scratch scratch;
  const Converted gradient(diff_dst, src.dtype, scratch);
  const std::size_t product = scratch.take(static_cast<std::size_t>(order.stored()) * sizeof(float));
  const std::size_t sums = scratch.take(bias_scratch_bytes(samples, order.outer));
  const std::size_t workspace = scratch.take(graph->workspace_bytes());
  auto body = [=, type = diff_dst.dtype](cudaStream_t stream, std::span<void* const> args) {
    auto* memory = static_cast<std::byte*>(args[4]);
    const std::array<void*, 3> graph_operands = {gradient.get(stream, args[1], memory), args[0], memory + product};
    graph->execute(stream, graph_operands, memory + workspace);
    unpack_weights(stream, order, memory + product, DType::f32, static_cast<float*>(args[2]));
    sum_rows(stream, args[1], type, samples, order.outer, order.outer, static_cast<float*>(args[3]), memory + sums);
  };
  return planned(std::move(body), operands.outputs, {}, scratch.bytes());
}

Planned plan_op(const DenseBlock& op, const Operands& operands) {
  const TensorDesc& src = operands.inputs[0];
  TRAINMARK_CHECK(FewRows::take(src.shape[0]), "more samples are refused: see the backend");
  auto body = [rows = FewRows(src.shape[0], order_of(src, operands.inputs[1].shape[0])), type = src.dtype,
               result = operands.outputs[0].dtype,
               ending = DenseEnding(op)](cudaStream_t stream, std::span<void* const> args) {
    const auto* weights = static_cast<const float*>(args[1]);
    const auto* bias = static_cast<const float*>(args[2]);
    if (!ending.drops) return rows.forward(stream, args[0], type, weights, bias, args[3], result, ending);
    rows.forward(stream, args[0], type, weights, bias, args[4], result, ending, static_cast<const StepState*>(args[3]),
                 args[5]);
  };
  return planned(std::move(body), operands.outputs);
}

Planned plan_op(const DenseBlockBackwardData& op, const Operands& operands) {
  const TensorDesc& diff_dst = operands.inputs[0];
  const TensorDesc& active = operands.inputs[2];
  TRAINMARK_CHECK(FewRows::take(active.shape[0]), "more samples are refused: see the backend");
  auto body = [rows = FewRows(active.shape[0], order_of(active, operands.inputs[1].shape[0])), type = active.dtype,
               diff_type = diff_dst.dtype,
               below = DenseEnding(op.below)](cudaStream_t stream, std::span<void* const> args) {
    const auto* state = below.drops ? static_cast<const StepState*>(args[3]) : nullptr;
    rows.backward_data(stream, args[0], diff_type, static_cast<const float*>(args[1]), args[below.drops ? 4 : 3], type,
                       below, args[2], state);
  };
  return planned(std::move(body), operands.outputs);
}

}  // namespace trainmark::cuda

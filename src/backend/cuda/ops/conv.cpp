// Convolutions as cuDNN graphs over channels-last activations. A graph reads weights, and makes their gradient, in its
// own order and type: a step packs and unpacks those of all layers together, and a pass that stands alone its own.
#include "backend/cuda/cudnn/operands.hpp"
#include "backend/cuda/layout.hpp"
#include "backend/cuda/ops/winners.hpp"
#include "backend/cuda/plans.hpp"
#include "backend/cuda/scratch.hpp"

namespace trainmark::cuda {
namespace {

/// Weights as stored. Channels of a group are not padded: what stands between groups would not be at their end.
Shape stored_weights(const Conv& conv, const Shape& weights) {
  Shape result = weights;
  result[0] = padded(weights[0]);
  if (conv.groups == 1) result[1] = padded(weights[1]);
  return result;
}

WeightOrder order_of(const Conv& conv, const Shape& weights) {
  WeightOrder order = order_of_packed(weights);
  order.stored_inner = stored_weights(conv, weights)[1];
  return order;
}

/// The graph of one pass; `src` and `dst` are the convolution's, whichever of them the pass reads or writes.
ConvGraph graph_of(ConvGraph::Pass pass, const Compute& compute, const Conv& conv, const TensorDesc& src,
                   const Shape& weights, const TensorDesc& dst) {
  return {.pass = pass,
          .conv = conv,
          .src = stored_shape(activation_desc(src.shape, src.dtype)),
          .weights = stored_weights(conv, weights),
          .dst = stored_shape(activation_desc(dst.shape, dst.dtype)),
          .io = src.dtype,
          .math = src.dtype == DType::f32 ? compute.math : Math::full,
          .slope = {}};
}

/// cuDNN 9.19 has no bf16 engine for a convolution in groups with a bias: its bias comes behind it.
bool takes_bias(const Conv& conv) { return conv.groups == 1; }

/// Weights as the graph of a pass reads them: packed with all others of the step, or here, in scratch memory.
class PackedWeights {
 public:
  PackedWeights(const Conv& conv, const Operands& operands, Scratch& scratch)
      : ready_(operands.inputs[1].layout == packed_weights),
        order_(order_of(conv, operands.inputs[1].shape)),
        type_(operands.inputs[0].dtype) {
    if (!ready_) offset_ = scratch.take(static_cast<std::size_t>(order_.stored()) * size_of(type_));
  }
  [[nodiscard]] void* get(cudaStream_t stream, void* weights, std::byte* memory) const {
    if (ready_) return weights;
    pack_weights(stream, order_, static_cast<const float*>(weights), memory + offset_, type_);
    return memory + offset_;
  }

 private:
  bool ready_;
  WeightOrder order_;
  DType type_;
  std::size_t offset_ = 0;
};

/// The forward graph with what stands before and behind it.
class Forward {
 public:
  Forward(std::shared_ptr<CompiledGraph> graph, const Conv& conv, const Operands& operands, bool has_bias,
          const TensorDesc& dst, Scratch& scratch)
      : graph_(std::move(graph)),
        dst_(dst),
        has_bias_(has_bias),
        in_graph_(takes_bias(conv)),
        bias_order_{.outer = operands.inputs[1].shape[0], .stored_outer = padded(operands.inputs[1].shape[0])},
        weights_(conv, operands, scratch),
        bias_(scratch.take(has_bias_ ? static_cast<std::size_t>(bias_order_.stored()) * sizeof(float) : 0)),
        workspace_(scratch.take(graph_->workspace_bytes())) {}

  /// `args`: src, weights, bias if there is one; `memory`: the scratch memory.
  void run(cudaStream_t stream, std::span<void* const> args, void* dst, std::byte* memory) const {
    void* weights = weights_.get(stream, args[1], memory);
    if (has_bias_) pack_weights(stream, bias_order_, static_cast<const float*>(args[2]), memory + bias_, DType::f32);
    if (has_bias_ && in_graph_) {
      const std::array<void*, 4> graph_operands = {args[0], weights, memory + bias_, dst};
      return graph_->execute(stream, graph_operands, memory + workspace_);
    }
    const std::array<void*, 3> graph_operands = {args[0], weights, dst};
    graph_->execute(stream, graph_operands, memory + workspace_);
    if (has_bias_) add_bias(stream, dst, dst_, reinterpret_cast<const float*>(memory + bias_));
  }

 private:
  std::shared_ptr<CompiledGraph> graph_;
  TensorDesc dst_;
  bool has_bias_, in_graph_;
  WeightOrder bias_order_;
  PackedWeights weights_;
  std::size_t bias_, workspace_;
};

/// The graph of a weight gradient with what stands behind it: nothing where it stays `packed`.
class BackwardWeights {
 public:
  BackwardWeights(const Compute& compute, const Conv& conv, const TensorDesc& src, const Shape& weights,
                  const TensorDesc& diff_dst, bool packed, Scratch& scratch)
      : graph_(
            compute.graphs.compile(graph_of(ConvGraph::Pass::backward_weights, compute, conv, src, weights, diff_dst))),
        order_(order_of(conv, weights)),
        type_(src.dtype),
        packed_(packed),
        product_(scratch.take(packed ? 0 : static_cast<std::size_t>(order_.stored()) * size_of(type_))),
        workspace_(scratch.take(graph_->workspace_bytes())) {}

  void run(cudaStream_t stream, void* src, void* diff_dst, void* diff_weights, std::byte* memory) const {
    void* product = packed_ ? diff_weights : memory + product_;
    const std::array<void*, 3> graph_operands = {src, diff_dst, product};
    graph_->execute(stream, graph_operands, memory + workspace_);
    if (!packed_) unpack_weights(stream, order_, product, type_, static_cast<float*>(diff_weights));
  }

 private:
  std::shared_ptr<CompiledGraph> graph_;
  WeightOrder order_;
  DType type_;
  bool packed_;
  std::size_t product_, workspace_;
};

/// A pass's outputs, of which the first is a weight gradient.
std::vector<TensorDesc> gradients_of(const Operands& operands, bool packed) {
  std::vector<TensorDesc> outputs = operands.outputs;
  if (packed) outputs[0].layout = packed_weights;
  return outputs;
}

ConvGraph forward_graph(const Compute& compute, const Conv& conv, const Operands& operands, const TensorDesc& dst) {
  return graph_of(ConvGraph::Pass::forward, compute, conv, operands.inputs[0], operands.inputs[1].shape, dst);
}

Planned plan_conv(const Compute& compute, const Conv& conv, const Operands& operands, const Activation* activation) {
  const std::vector<TensorDesc> outputs = as_activations(operands.outputs);
  const bool bias = operands.inputs.size() > 2;
  ConvGraph spec = forward_graph(compute, conv, operands, outputs[0]);
  spec.bias = bias && takes_bias(conv);
  TRAINMARK_CHECK(activation == nullptr || takes_bias(conv), "a curve may not come before its convolution's bias");
  if (activation != nullptr) spec.slope = activation->slope;
  Scratch scratch;
  const Forward forward(compute.graphs.compile(spec), conv, operands, bias, outputs[0], scratch);
  auto body = [=, inputs = operands.inputs.size()](cudaStream_t stream, std::span<void* const> args) {
    forward.run(stream, args, args[inputs], static_cast<std::byte*>(args.back()));
  };
  return planned(std::move(body), outputs, {}, scratch.bytes());
}

}  // namespace

Planned plan_op(const Compute& compute, const Conv& op, const Operands& operands) {
  return plan_conv(compute, op, operands, nullptr);
}

Planned plan_op(const Compute& compute, const ConvBlock& block, const Operands& operands) {
  if (!block.has_pool) return plan_conv(compute, block.conv, operands, &block.activation);
  const std::vector<TensorDesc> outputs = as_activations(operands.outputs);
  const bool training = outputs.size() > 1;
  const TensorDesc volume = volume_under(outputs[0]);
  Scratch scratch;
  // The plain convolution has engines that are compiled already; the pool takes bias and curve along.
  const Forward forward(compute.graphs.compile(forward_graph(compute, block.conv, operands, volume)), block.conv,
                        operands, false, volume, scratch);
  const CubePool pool(block, volume, outputs[0].shape);
  const std::size_t convolved = scratch.take(stored_bytes(volume));
  auto body = [=](cudaStream_t stream, std::span<void* const> args) {
    auto* memory = static_cast<std::byte*>(args.back());
    forward.run(stream, args, memory + convolved, memory);
    pool.forward(stream, memory + convolved, static_cast<const float*>(args[2]), args[3], training ? args[4] : nullptr);
  };
  Planned result = planned(std::move(body), outputs, {}, scratch.bytes());
  result.scratch_traffic = 2 * static_cast<std::int64_t>(stored_bytes(volume));
  return result;
}

Planned plan_op(const Compute& compute, const ConvBackwardData& op, const Operands& operands) {
  const Conv& conv = op.conv;
  const TensorDesc& diff_dst = operands.inputs[0];
  const Shape& weights = operands.inputs[1].shape;
  const std::vector<TensorDesc> outputs = as_activations(operands.outputs);
  std::shared_ptr<CompiledGraph> graph =
      compute.graphs.compile(graph_of(ConvGraph::Pass::backward_data, compute, conv, outputs[0], weights, diff_dst));

  Scratch scratch;
  const PackedWeights packed(conv, operands, scratch);
  const std::size_t workspace = scratch.take(graph->workspace_bytes());
  auto body = [=](cudaStream_t stream, std::span<void* const> args) {
    auto* memory = static_cast<std::byte*>(args.back());
    const std::array<void*, 3> graph_operands = {args[0], packed.get(stream, args[1], memory), args[2]};
    graph->execute(stream, graph_operands, memory + workspace);
  };
  return planned(std::move(body), outputs, {}, scratch.bytes());
}

Planned plan_op(const Compute& compute, const ConvBackwardWeights& op, const Operands& operands) {
  const TensorDesc& diff_dst = operands.inputs[1];
  const std::int64_t channels = diff_dst.shape[1];
  const std::int64_t rows = diff_dst.shape.elements() / channels;
  const PartialSums bias_sums{bias_parts(rows), channels, padded(channels)};
  const bool bias = operands.outputs.size() > 1;
  Scratch scratch;
  const BackwardWeights weights(compute, op.conv, operands.inputs[0], operands.outputs[0].shape, diff_dst, op.packed,
                                scratch);
  const std::size_t sums = scratch.take(bias && !op.packed ? bias_scratch_bytes(rows, bias_sums.stored) : 0);
  auto body = [=, packed = op.packed, type = diff_dst.dtype](cudaStream_t stream, std::span<void* const> args) {
    std::byte* memory = static_cast<std::byte*>(args.back());
    weights.run(stream, args[0], args[1], args[2], memory);
    if (!bias) return;
    auto* partial = static_cast<float*>(packed ? args[3] : memory + sums);
    sum_row_parts(stream, args[1], type, rows, bias_sums.stored, partial);
    if (!packed) add_parts(stream, partial, bias_sums, static_cast<float*>(args[3]));
  };
  return planned(std::move(body), gradients_of(operands, op.packed), {}, scratch.bytes());
}

Planned plan_op(const Compute& compute, const ConvBlockBackwardWeights& op, const Operands& operands) {
  const ConvBlock& block = op.block;
  const TensorDesc& pooled = operands.inputs[2];
  const TensorDesc diff = volume_under(pooled);
  const bool data_gradient = operands.outputs.size() > 2;
  Scratch scratch;
  const BackwardWeights weights(compute, block.conv, operands.inputs[0], operands.outputs[0].shape, diff, op.packed,
                                scratch);
  const CubePool pool(block, diff, pooled.shape);
  const PartialSums bias_sums = pool.bias_sums();
  const std::size_t sums =
      scratch.take(op.packed ? 0 : static_cast<std::size_t>(bias_sums.parts * bias_sums.stored) * sizeof(float));
  const std::size_t volume = scratch.take(data_gradient ? 0 : stored_bytes(diff));
  auto body = [=, packed = op.packed](cudaStream_t stream, std::span<void* const> args) {
    std::byte* memory = static_cast<std::byte*>(args.back());
    void* diff_dst = data_gradient ? args[5] : memory + volume;
    auto* partial = static_cast<float*>(packed ? args[4] : memory + sums);
    pool.backward(stream, args[1], args[2], diff_dst, partial);
    if (!packed) add_parts(stream, partial, bias_sums, static_cast<float*>(args[4]));
    weights.run(stream, args[0], diff_dst, args[3], memory);
  };
  std::vector<TensorDesc> outputs = gradients_of(operands, op.packed);
  if (data_gradient) outputs[2] = diff;
  Planned result = planned(std::move(body), std::move(outputs), {}, scratch.bytes());
  // Written by one kernel, read by the next; as an output it has been counted once.
  result.scratch_traffic = (data_gradient ? 1 : 2) * static_cast<std::int64_t>(stored_bytes(diff));
  return result;
}

}  // namespace trainmark::cuda

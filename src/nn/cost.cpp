// What a node costs, by the dense count: multiply-accumulates, operations, bytes moved once, parameters read.
#include <functional>
#include <numeric>

#include "trainmark/nn.hpp"

namespace trainmark {
namespace {

std::int64_t volume(const std::vector<int>& extents) {
  return std::accumulate(extents.begin(), extents.end(), std::int64_t{1}, std::multiplies<>());
}

class CostOf {
 public:
  CostOf(const Graph& graph, const Node& node) : graph_(graph), node_(node) {}

  Cost operator()(const Conv& conv) const { return convolution(conv, output(0), input(0)[1]); }
  Cost operator()(const Pool& pool) const { return elementwise(output(0).elements() * volume(pool.kernel)); }
  Cost operator()(const Dense&) const { return matrix(input(0).elements(), input(1)[0]); }
  Cost operator()(const Activation&) const { return elementwise(output(0).elements()); }
  Cost operator()(const Dropout&) const { return elementwise(output(0).elements()); }
  Cost operator()(const Add&) const { return elementwise(output(0).elements()); }
  Cost operator()(const Concat&) const { return elementwise(0); }
  Cost operator()(const Preprocess&) const { return elementwise(output(0).elements()); }
  Cost operator()(const Loss&) const { return elementwise(4 * input(0).elements()); }
  Cost operator()(const Metric&) const { return elementwise(4 * input(0).elements()); }
  Cost operator()(const ConvBackwardData& backward) const { return convolution(backward.conv, input(0), output(0)[1]); }
  Cost operator()(const ConvBackwardWeights& backward) const {
    return convolution(backward.conv, input(1), input(0)[1]);
  }
  Cost operator()(const PoolBackward& backward) const {
    return elementwise(input(1).elements() * volume(backward.pool.kernel));
  }
  Cost operator()(const DenseBackwardData&) const { return matrix(output(0).elements(), input(1)[0]); }
  Cost operator()(const DenseBackwardWeights&) const { return matrix(input(0).elements(), input(1)[1]); }
  Cost operator()(const ActivationBackward&) const { return elementwise(output(0).elements()); }
  Cost operator()(const DropoutBackward&) const { return elementwise(output(0).elements()); }
  Cost operator()(const Slice&) const { return elementwise(0); }
  Cost operator()(const AllReduce& reduce) const {
    constexpr std::int64_t moved = 2 * sizeof(float);
    return {.macs = 0, .flops = reduce.range.size(), .bytes = moved * reduce.range.size(), .parameters = 0};
  }
  Cost operator()(const Accumulate& sum) const {
    const std::int64_t moved = (sum.last ? 4 : 3) * static_cast<std::int64_t>(sizeof(float));
    return {.macs = 0, .flops = sum.range.size(), .bytes = moved * sum.range.size(), .parameters = 0};
  }
  Cost operator()(const GradientCheck& check) const {
    constexpr std::int64_t moved = sizeof(float);
    return {.macs = 0, .flops = check.range.size(), .bytes = moved * check.range.size(), .parameters = 0};
  }
  Cost operator()(const Update& update) const {
    // Reads parameter, gradient and slots; writes parameter and slots. Six operations an element for SGD with momentum,
    // and one to take the loss scale off.
    const std::int64_t moved = (3 + 2 * slots_of(update.rule)) * static_cast<std::int64_t>(sizeof(float));
    const std::int64_t flops = update.scaled ? 7 : 6;
    return {.macs = 0, .flops = flops * update.range.size(), .bytes = moved * update.range.size(), .parameters = 0};
  }
  Cost operator()(const AdjustLossScale&) const {
    return {.macs = 0, .flops = 1, .bytes = 2 * loss_scale_extent, .parameters = 0};
  }
  Cost operator()(const ConvBlock& block) const {
    return convolution_block(block, output(0)[1], block.has_pool ? 2 : 1);
  }
  Cost operator()(const PoolActivationBackward&) const { return elementwise(2 * output(0).elements()); }
  Cost operator()(const ConvBlockBackwardWeights& backward) const {
    return convolution_block(backward.block, input(2)[1], 3);
  }

 private:
  const Shape& input(std::size_t index) const { return shape(node_.inputs.at(index)); }
  const Shape& output(std::size_t index) const { return shape(node_.outputs.at(index)); }
  const Shape& shape(TensorId id) const { return graph_.tensors.at(static_cast<std::size_t>(id)).shape; }

  Cost elementwise(std::int64_t flops) const { return moved({.macs = 0, .flops = flops, .bytes = 0, .parameters = 0}); }
  Cost matrix(std::int64_t values, std::int64_t units) const {
    const std::int64_t macs = values * units;
    return moved({.macs = macs, .flops = 2 * macs, .bytes = 0, .parameters = 0});
  }
  Cost convolution(const Conv& conv, const Shape& dst, std::int64_t src_channels) const {
    const std::int64_t macs = dst.elements() * (src_channels / conv.groups) * volume(conv.kernel);
    return moved({.macs = macs, .flops = 2 * macs, .bytes = 0, .parameters = 0});
  }
  /// Counts the convolution's whole output, which a fused pool never shows; `extra` operations on each of its elements.
  Cost convolution_block(const ConvBlock& block, std::int64_t channels, std::int64_t extra) const {
    const Shape& src = input(0);
    std::int64_t convolved = src[0] * channels;
    for (std::size_t axis = 0; axis < block.conv.kernel.size(); ++axis)
      convolved *= convolved_extent(block.conv, axis, src[axis + 2]);
    const std::int64_t macs = convolved * (src[1] / block.conv.groups) * volume(block.conv.kernel);
    return moved({.macs = macs, .flops = 2 * macs + extra * convolved, .bytes = 0, .parameters = 0});
  }
  Cost moved(Cost cost) const {
    for (const TensorId id : node_.inputs)
      cost.bytes += bytes(id);
    for (const TensorId id : node_.outputs)
      cost.bytes += bytes(id);
    for (const TensorId id : node_.inputs)
      if (graph_.tensors.at(static_cast<std::size_t>(id)).role == Role::parameter)
        cost.parameters += shape(id).elements();
    return cost;
  }
  std::int64_t bytes(TensorId id) const {
    const Tensor& tensor = graph_.tensors.at(static_cast<std::size_t>(id));
    return tensor.shape.elements() * static_cast<std::int64_t>(size_of(tensor.dtype));
  }

  const Graph& graph_;
  const Node& node_;
};

}  // namespace

Cost& Cost::operator+=(const Cost& other) {
  macs += other.macs;
  flops += other.flops;
  bytes += other.bytes;
  parameters += other.parameters;
  return *this;
}

Cost cost(const Graph& graph, const Node& node) { return std::visit(CostOf(graph, node), node.op); }

Cost cost(const Graph& graph) {
  Cost total;
  for (const Node& node : graph.nodes)
    total += cost(graph, node);
  return total;
}

}  // namespace trainmark

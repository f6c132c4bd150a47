// What a node costs, by the dense count: multiply-accumulates, operations, bytes moved once, parameters read.
#include <functional>
#include <numeric>

#include "nn/visitors.hpp"

namespace trainmark {
namespace nn {

std::int64_t volume(const std::vector<int>& extents) {
  return std::accumulate(extents.begin(), extents.end(), std::int64_t{1}, std::multiplies<>());
}

Cost CostOf::elementwise(std::int64_t flops) const {
  return moved({.macs = 0, .flops = flops, .bytes = 0, .parameters = 0});
}

Cost CostOf::matrix(std::int64_t values, std::int64_t units) const {
  const std::int64_t macs = values * units;
  return moved({.macs = macs, .flops = 2 * macs, .bytes = 0, .parameters = 0});
}

Cost CostOf::convolution(const Conv& conv, const Shape& dst, std::int64_t src_channels) const {
  const std::int64_t macs = dst.elements() * (src_channels / conv.groups) * volume(conv.kernel);
  return moved({.macs = macs, .flops = 2 * macs, .bytes = 0, .parameters = 0});
}

Cost CostOf::convolution_block(const ConvBlock& block, std::int64_t channels, std::int64_t extra) const {
  const Shape& src = input(0);
  std::int64_t convolved = src[0] * channels;
  for (std::size_t axis = 0; axis < block.conv.kernel.size(); ++axis)
    convolved *= convolved_extent(block.conv, axis, src[axis + 2]);
  const std::int64_t macs = convolved * (src[1] / block.conv.groups) * volume(block.conv.kernel);
  return moved({.macs = macs, .flops = 2 * macs + extra * convolved, .bytes = 0, .parameters = 0});
}

Cost CostOf::moved(Cost cost) const {
  for (const TensorId id : node_.inputs)
    cost.bytes += bytes(id);
  for (const TensorId id : node_.outputs)
    cost.bytes += bytes(id);
  for (const TensorId id : node_.inputs)
    if (graph_.tensors.at(static_cast<std::size_t>(id)).role == Role::parameter)
      cost.parameters += shape(id).elements();
  return cost;
}

std::int64_t CostOf::bytes(TensorId id) const {
  const Tensor& tensor = graph_.tensors.at(static_cast<std::size_t>(id));
  return tensor.shape.elements() * static_cast<std::int64_t>(size_of(tensor.dtype));
}

}  // namespace nn

Cost& Cost::operator+=(const Cost& other) {
  macs += other.macs;
  flops += other.flops;
  bytes += other.bytes;
  parameters += other.parameters;
  return *this;
}

Cost cost(const Graph& graph, const Node& node) { return std::visit(nn::CostOf(graph, node), node.op); }

Cost cost(const Graph& graph) {
  Cost total;
  for (const Node& node : graph.nodes)
    total += cost(graph, node);
  return total;
}

}  // namespace trainmark

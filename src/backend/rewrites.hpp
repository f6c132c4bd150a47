// Graph rewrites that several backends share, and what rewrites ask of a graph.
#pragma once

#include <functional>
#include <optional>
#include <vector>

#include "trainmark/nn.hpp"

namespace trainmark {

[[nodiscard]] inline const Tensor& tensor_of(const Graph& graph, TensorId id) {
  return graph.tensors.at(static_cast<std::size_t>(id));
}
/// Nodes that read `id`, by their place in the graph.
[[nodiscard]] std::vector<std::size_t> consumers_of(const Graph& graph, TensorId id);
/// The only node that reads `id`, if it is of type `Wanted`.
template <class Wanted>
[[nodiscard]] std::optional<std::size_t> only_consumer(const Graph& graph, TensorId id) {
  const std::vector<std::size_t> consumers = consumers_of(graph, id);
  if (consumers.size() != 1 || !std::holds_alternative<Wanted>(graph.nodes[consumers[0]].op)) return {};
  return consumers[0];
}

/// Convolution and leaky ReLU become a ConvBlock: the curve is applied to what is still in registers. One pair a call,
/// of those that `fits`; false when there is none left.
bool fuse_conv_activation(Graph& graph, const std::function<bool(const Conv&, const Activation&)>& fits);
/// Whether a backend computes this block, given the shapes of its source and of the pooled tensor.
using BlockFits = std::function<bool(const ConvBlock&, const Shape& src, const Shape& dst)>;
/// Whether blocks whose convolution's data gradient is wanted are taken too.
enum class DataGradient : std::uint8_t { with, without };
/// Convolution, curve and max pool become one ConvBlock, whose winners are what a training step keeps of the
/// convolution's output, the largest tensor of a layer; its derivative becomes a ConvBlockBackwardWeights. One block a
/// call; false when there is none left.
bool fuse_pooled_block(Graph& graph, const BlockFits& fits, DataGradient wanted);
/// The derivatives of a pool whose windows cover its source, and of the leaky ReLU before it: one pass, in place.
bool fuse_pool_activation_backward(Graph& graph);

}  // namespace trainmark

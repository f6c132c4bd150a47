// Graph rewrites that several backends share, and what rewrites ask of a graph.
#pragma once

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

/// Convolution and leaky ReLU become a ConvBlock: the curve is applied to what is still in registers. One pair a call;
/// false when there is none left.
bool fuse_conv_activation(Graph& graph);
/// The derivatives of a pool whose windows cover its source, and of the leaky ReLU before it: one pass, in place.
bool fuse_pool_activation_backward(Graph& graph);

}  // namespace trainmark

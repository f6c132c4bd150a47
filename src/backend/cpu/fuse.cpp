// Graph rewrites to the blocks that only this backend computes in one pass. Whatever does not match stays as it is.
#include <algorithm>

#include "backend/cpu/first_block.hpp"
#include "backend/cpu/plans.hpp"
#include "backend/rewrites.hpp"

namespace trainmark::cpu {
namespace {

/// Nodes of the first block, by their place in the graph: convolution, curve, pool and, in a training step, their
/// derivatives.
struct FirstNodes {
  std::size_t conv = 0, curve = 0, pool = 0;
  std::optional<std::size_t> pool_backward, curve_backward, weights_backward;
};

/// The consumer of `id` that is of type `Wanted`, or nothing if there are several.
template <class Wanted>
std::optional<std::size_t> consumer(const Graph& graph, TensorId id) {
  std::optional<std::size_t> found;
  for (const std::size_t node : consumers_of(graph, id)) {
    if (!std::holds_alternative<Wanted>(graph.nodes[node].op)) continue;
    if (found) return {};
    found = node;
  }
  return found;
}

/// The block that starts at node `first`, if nobody else reads what it would no longer store.
std::optional<FirstNodes> first_nodes(const Graph& graph, std::size_t first) {
  FirstNodes nodes{.conv = first, .pool_backward = {}, .curve_backward = {}, .weights_backward = {}};
  const auto curve = only_consumer<Activation>(graph, graph.nodes[first].outputs[0]);
  if (!curve) return {};
  const TensorId active = graph.nodes[*curve].outputs[0];
  const auto pool = consumer<Pool>(graph, active);
  if (!pool) return {};
  nodes.curve = *curve;
  nodes.pool = *pool;
  const std::size_t readers = consumers_of(graph, active).size();
  if (readers == 1) return nodes;
  nodes.pool_backward = consumer<PoolBackward>(graph, active);
  nodes.curve_backward = consumer<ActivationBackward>(graph, active);
  if (readers != 3 || !nodes.pool_backward || !nodes.curve_backward) return {};
  const Node& derivative = graph.nodes[*nodes.curve_backward];
  if (only_consumer<ActivationBackward>(graph, graph.nodes[*nodes.pool_backward].outputs[0]) != nodes.curve_backward)
    return {};
  nodes.weights_backward = only_consumer<ConvBackwardWeights>(graph, derivative.outputs[0]);
  if (!nodes.weights_backward) return {};  // a data gradient reads it too: this is no first layer
  return nodes;
}

/// The first layer's block: its convolution's output, the largest tensor of a step, is never stored.
bool fuse_first_block(Graph& graph) {
  for (std::size_t i = 0; i < graph.nodes.size(); ++i) {
    const auto* conv = std::get_if<Conv>(&graph.nodes[i].op);
    if (conv == nullptr) continue;
    const auto nodes = first_nodes(graph, i);
    if (!nodes) continue;
    const ConvBlock block{.conv = *conv,
                          .activation = std::get<Activation>(graph.nodes[nodes->curve].op),
                          .has_pool = true,
                          .pool = std::get<Pool>(graph.nodes[nodes->pool].op)};
    const TensorId pooled = graph.nodes[nodes->pool].outputs[0];
    const Tensor dst = tensor_of(graph, pooled);
    if (!FirstBlock::fits(block, tensor_of(graph, graph.nodes[i].inputs[0]).shape, dst.shape[1])) continue;
    Node& forward = graph.nodes[i];
    forward.op = block;
    forward.outputs = {pooled};
    std::vector<std::size_t> gone = {nodes->curve, nodes->pool};
    if (nodes->weights_backward) {
      const TensorId winner = graph.add({.name = forward.name + ".winner", .shape = dst.shape, .dtype = DType::u8});
      forward.outputs.push_back(winner);
      Node& backward = graph.nodes[*nodes->weights_backward];
      backward.op = ConvBlockBackwardWeights{block};
      backward.inputs = {backward.inputs[0], winner, graph.nodes[*nodes->pool_backward].inputs[1]};
      gone.insert(gone.end(), {*nodes->pool_backward, *nodes->curve_backward});
    }
    std::ranges::sort(gone, std::greater());
    for (const std::size_t node : gone)
      graph.nodes.erase(graph.nodes.begin() + static_cast<std::ptrdiff_t>(node));
    return true;
  }
  return false;
}

}  // namespace

Graph fuse(Graph graph) {
  while (fuse_first_block(graph) || fuse_conv_activation(graph) || fuse_pool_activation_backward(graph)) {
  }
  return graph;
}

}  // namespace trainmark::cpu

// Graph rewrites to the blocks that this backend computes in one pass. Whatever does not match stays as it is.
#include <algorithm>

#include "backend/cpu/first_block.hpp"
#include "backend/cpu/plans.hpp"
#include "backend/cpu/pool_window.hpp"

namespace trainmark::cpu {
namespace {

const Tensor& tensor_of(const Graph& graph, TensorId id) { return graph.tensors.at(static_cast<std::size_t>(id)); }

std::vector<std::size_t> consumers_of(const Graph& graph, TensorId id) {
  std::vector<std::size_t> consumers;
  for (std::size_t i = 0; i < graph.nodes.size(); ++i) {
    if (std::ranges::count(graph.nodes[i].inputs, id) > 0) consumers.push_back(i);
  }
  return consumers;
}

/// The only node that reads `id`, if it is of type `Wanted`.
template <class Wanted>
std::optional<std::size_t> only_consumer(const Graph& graph, TensorId id) {
  const std::vector<std::size_t> consumers = consumers_of(graph, id);
  if (consumers.size() != 1 || !std::holds_alternative<Wanted>(graph.nodes[consumers[0]].op)) return {};
  return consumers[0];
}

bool leaky(const Activation& activation) { return activation.curve == Curve::leaky_relu; }

/// Convolution and leaky ReLU: the primitive applies the curve to what it still holds in registers.
bool fuse_conv_activation(Graph& graph) {
  for (std::size_t i = 0; i < graph.nodes.size(); ++i) {
    Node& conv = graph.nodes[i];
    if (!std::holds_alternative<Conv>(conv.op)) continue;
    const auto next = only_consumer<Activation>(graph, conv.outputs[0]);
    if (!next) continue;
    const Activation activation = std::get<Activation>(graph.nodes[*next].op);
    if (!leaky(activation)) continue;
    conv.op = ConvBlock{.conv = std::get<Conv>(conv.op), .activation = activation, .has_pool = false, .pool = {}};
    conv.outputs = graph.nodes[*next].outputs;
    graph.nodes.erase(graph.nodes.begin() + static_cast<std::ptrdiff_t>(*next));
    return true;
  }
  return false;
}

/// The derivatives of pool and activation: one pass, over the activations' own memory.
bool fuse_pool_activation_backward(Graph& graph) {
  for (std::size_t i = 0; i < graph.nodes.size(); ++i) {
    Node& pool = graph.nodes[i];
    const auto* backward = std::get_if<PoolBackward>(&pool.op);
    if (backward == nullptr) continue;
    const auto next = only_consumer<ActivationBackward>(graph, pool.outputs[0]);
    if (!next) continue;
    const Node& second = graph.nodes[*next];
    const Activation activation = std::get<ActivationBackward>(second.op).activation;
    const Tensor& src = tensor_of(graph, pool.inputs[0]);
    const PoolWindow window(backward->pool, {src.shape, src.dtype, logical_layout},
                            tensor_of(graph, pool.inputs[1]).shape);
    if (!leaky(activation) || second.inputs[0] != pool.inputs[0] || !window.covers()) continue;
    pool.op = PoolActivationBackward{.pool = backward->pool, .activation = activation};
    pool.outputs = second.outputs;
    graph.nodes.erase(graph.nodes.begin() + static_cast<std::ptrdiff_t>(*next));
    return true;
  }
  return false;
}

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

#include "backend/rewrites.hpp"

#include <algorithm>

#include "backend/pool_window.hpp"

namespace trainmark {
namespace {

bool leaky(const Activation& activation) { return activation.curve == Curve::leaky_relu; }

/// Nodes of a convolution with its curve and pool, by their place in the graph, and those of their derivatives in a
/// training step.
struct BlockNodes {
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

/// Finds the derivatives of a block whose activated tensor has three readers: the pool and both of its derivatives.
bool find_derivatives(const Graph& graph, TensorId active, DataGradient wanted, BlockNodes& nodes) {
  nodes.pool_backward = consumer<PoolBackward>(graph, active);
  nodes.curve_backward = consumer<ActivationBackward>(graph, active);
  if (!nodes.pool_backward || !nodes.curve_backward) return false;
  if (only_consumer<ActivationBackward>(graph, graph.nodes[*nodes.pool_backward].outputs[0]) != nodes.curve_backward)
    return false;
  const TensorId diff = graph.nodes[*nodes.curve_backward].outputs[0];
  nodes.weights_backward = consumer<ConvBackwardWeights>(graph, diff);
  const bool data_gradient = consumer<ConvBackwardData>(graph, diff).has_value();
  if (data_gradient && wanted == DataGradient::without) return false;
  return nodes.weights_backward && consumers_of(graph, diff).size() == (data_gradient ? 2U : 1U);
}

/// The block that starts at node `first`, if nobody else reads what it would no longer store.
std::optional<BlockNodes> block_nodes(const Graph& graph, std::size_t first, DataGradient wanted) {
  BlockNodes nodes{.conv = first, .pool_backward = {}, .curve_backward = {}, .weights_backward = {}};
  const auto curve = only_consumer<Activation>(graph, graph.nodes[first].outputs[0]);
  if (!curve) return {};
  const TensorId active = graph.nodes[*curve].outputs[0];
  const auto pool = consumer<Pool>(graph, active);
  if (!pool || !std::get<Pool>(graph.nodes[*pool].op).pad_lo.empty()) return {};
  nodes.curve = *curve;
  nodes.pool = *pool;
  const std::size_t readers = consumers_of(graph, active).size();
  if (readers == 1) return nodes;
  if (readers != 3 || !find_derivatives(graph, active, wanted, nodes)) return {};
  return nodes;
}

/// Replaces the nodes by the block and, in a training step, its derivative.
void make_block(Graph& graph, const BlockNodes& nodes, const ConvBlock& block) {
  const TensorId pooled = graph.nodes[nodes.pool].outputs[0];
  Node& forward = graph.nodes[nodes.conv];
  forward.op = block;
  forward.outputs = {pooled};
  std::vector<std::size_t> gone = {nodes.curve, nodes.pool};
  if (nodes.weights_backward) {
    const TensorId winner =
        graph.add({.name = forward.name + ".winner", .shape = tensor_of(graph, pooled).shape, .dtype = DType::u8});
    forward.outputs.push_back(winner);
    Node& backward = graph.nodes[*nodes.weights_backward];
    const TensorId diff = backward.inputs[1];
    backward.op = ConvBlockBackwardWeights{block};
    backward.inputs = {backward.inputs[0], winner, graph.nodes[*nodes.pool_backward].inputs[1]};
    if (consumer<ConvBackwardData>(graph, diff)) backward.outputs.push_back(diff);
    gone.insert(gone.end(), {*nodes.pool_backward, *nodes.curve_backward});
  }
  std::ranges::sort(gone, std::greater());
  for (const std::size_t node : gone)
    graph.nodes.erase(graph.nodes.begin() + static_cast<std::ptrdiff_t>(node));
}

}  // namespace

std::vector<std::size_t> consumers_of(const Graph& graph, TensorId id) {
  std::vector<std::size_t> consumers;
  for (std::size_t i = 0; i < graph.nodes.size(); ++i) {
    if (std::ranges::count(graph.nodes[i].inputs, id) > 0) consumers.push_back(i);
  }
  return consumers;
}

bool fuse_conv_activation(Graph& graph, const std::function<bool(const Conv&, const Activation&)>& fits) {
  for (std::size_t i = 0; i < graph.nodes.size(); ++i) {
    Node& conv = graph.nodes[i];
    const auto* attributes = std::get_if<Conv>(&conv.op);
    if (attributes == nullptr) continue;
    const auto next = only_consumer<Activation>(graph, conv.outputs[0]);
    if (!next) continue;
    const Activation activation = std::get<Activation>(graph.nodes[*next].op);
    if (!leaky(activation) || !fits(*attributes, activation)) continue;
    conv.op = ConvBlock{.conv = std::get<Conv>(conv.op), .activation = activation, .has_pool = false, .pool = {}};
    conv.outputs = graph.nodes[*next].outputs;
    graph.nodes.erase(graph.nodes.begin() + static_cast<std::ptrdiff_t>(*next));
    return true;
  }
  return false;
}

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

bool fuse_pooled_block(Graph& graph, const BlockFits& fits, DataGradient wanted) {
  for (std::size_t i = 0; i < graph.nodes.size(); ++i) {
    const auto* conv = std::get_if<Conv>(&graph.nodes[i].op);
    if (conv == nullptr || graph.nodes[i].inputs.size() < 3) continue;  // such blocks have a bias
    const auto nodes = block_nodes(graph, i, wanted);
    if (!nodes) continue;
    const ConvBlock block{.conv = *conv,
                          .activation = std::get<Activation>(graph.nodes[nodes->curve].op),
                          .has_pool = true,
                          .pool = std::get<Pool>(graph.nodes[nodes->pool].op)};
    const Shape& src = tensor_of(graph, graph.nodes[i].inputs[0]).shape;
    if (!fits(block, src, tensor_of(graph, graph.nodes[nodes->pool].outputs[0]).shape)) continue;
    make_block(graph, *nodes, block);
    return true;
  }
  return false;
}

}  // namespace trainmark

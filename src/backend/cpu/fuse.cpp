// Graph rewrites to the blocks that this backend computes in one pass. Whatever does not match stays as it is.
#include <algorithm>

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

}  // namespace

Graph fuse(Graph graph) {
  while (fuse_conv_activation(graph) || fuse_pool_activation_backward(graph)) {
  }
  return graph;
}

}  // namespace trainmark::cpu

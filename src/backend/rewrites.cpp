#include "backend/rewrites.hpp"

#include <algorithm>

#include "backend/pool_window.hpp"

namespace trainmark {
namespace {

bool leaky(const Activation& activation) { return activation.curve == Curve::leaky_relu; }

}  // namespace

std::vector<std::size_t> consumers_of(const Graph& graph, TensorId id) {
  std::vector<std::size_t> consumers;
  for (std::size_t i = 0; i < graph.nodes.size(); ++i) {
    if (std::ranges::count(graph.nodes[i].inputs, id) > 0) consumers.push_back(i);
  }
  return consumers;
}

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

}  // namespace trainmark

// The backward pass as explicit nodes: a reverse walk over a forward graph that ends in a loss. Each parametrised node
// gives its weight gradient first, so that a bucket of gradients can leave while data gradients go on. Where paths
// branch, what their consumers give back is summed as it comes: two tensors are alive, never one for each consumer.
#include <fmt/format.h>

#include <algorithm>

#include "nn/visitors.hpp"

namespace trainmark {
namespace nn {

Differentiate::Differentiate(Graph& graph)
    : graph_(graph), diff_(graph.tensors.size(), none), made_(graph.tensors.size(), 0) {
  // A tensor wants a gradient if a parameter shaped it; inputs and what is made of them alone do not.
  wanted_.resize(graph.tensors.size());
  for (std::size_t id = 0; id < graph.tensors.size(); ++id)
    wanted_[id] = graph.tensors[id].role == Role::parameter;
  for (const Node& node : graph.nodes) {
    const bool shaped = std::ranges::any_of(node.inputs, [&](TensorId id) { return wanted_[index(id)]; });
    for (const TensorId id : node.outputs)
      wanted_[index(id)] = shaped;
  }
}

void Differentiate::run() {
  const std::size_t forward_nodes = graph_.nodes.size();
  for (std::size_t at = forward_nodes; at-- > 0;) {
    node_ = graph_.nodes[at];  // a copy: backward nodes are appended to the same list
    if (wanted_[index(node_.outputs[0])]) std::visit(*this, node_.op);
  }
  for (std::size_t id = 0; id < diff_.size(); ++id) {
    TRAINMARK_CHECK(graph_.tensors[id].role != Role::parameter || diff_[id] != none,
                    fmt::format("{} does not reach the loss", graph_.tensors[id].name));
  }
}

void Differentiate::not_forward() const {
  TRAINMARK_CHECK(false, fmt::format("{} ({}) has no derivative", node_.name, name_of(node_.op)));
}

TensorId Differentiate::dst_diff() const {
  const TensorId diff = diff_[index(node_.outputs[0])];
  TRAINMARK_CHECK(diff != none, fmt::format("the output of {} does not reach the loss", node_.name));
  return diff;
}

void Differentiate::contribute(TensorId of, TensorId diff) {
  TensorId& sum = diff_[index(of)];
  TRAINMARK_CHECK(sum == none || tensor(of).role != Role::parameter,
                  fmt::format("{} is used twice, and a parameter has one use", tensor(of).name));
  if (sum == none) {
    sum = diff;
    return;
  }
  const TensorId total = make_diff(of);
  graph_.nodes.push_back(
      {fmt::format("{}.sum{}", tensor(of).name, made_[index(of)] - 1), Add{}, {sum, diff}, {total}, Lane::compute});
  sum = total;
}

TensorId Differentiate::make_diff(TensorId of) {
  Tensor diff = tensor(of);
  const int earlier = made_[index(of)]++;
  diff.name = fmt::format("diff:{}{}", diff.name, earlier == 0 ? "" : fmt::format("#{}", earlier));
  diff.role = diff.role == Role::parameter ? Role::gradient : Role::activation;
  return graph_.add(std::move(diff));
}

void Differentiate::append(std::string_view suffix, Op op, std::vector<TensorId> inputs,
                           const std::vector<TensorId>& of) {
  std::vector<TensorId> outputs;
  for (const TensorId id : of)
    outputs.push_back(make_diff(id));
  graph_.nodes.push_back(
      {fmt::format("{}.{}", node_.name, suffix), std::move(op), std::move(inputs), outputs, Lane::compute});
  for (std::size_t at = 0; at < of.size(); ++at)
    contribute(of[at], outputs[at]);
}

void Differentiate::parametrised(Op weights_op, Op data_op) {
  const TensorId src = node_.inputs[0], weights = node_.inputs[1], diff_dst = dst_diff();
  // The weights, and the bias where there is one.
  append("backward_weights", std::move(weights_op), {src, diff_dst}, {node_.inputs.begin() + 1, node_.inputs.end()});
  if (wanted_[index(src)]) append("backward_data", std::move(data_op), {diff_dst, weights}, {src});
}

void Differentiate::through(Op op, TensorId first, TensorId second) {
  append("backward", std::move(op), {first, second}, {node_.inputs[0]});
}

}  // namespace nn

Graph differentiate(Graph forward) {
  TRAINMARK_CHECK(!forward.nodes.empty() && std::holds_alternative<Loss>(forward.nodes.back().op),
                  "only a graph that ends in a loss can be differentiated");
  nn::Differentiate(forward).run();
  return forward;
}

}  // namespace trainmark

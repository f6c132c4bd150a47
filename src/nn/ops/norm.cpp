// Batch norm in training and in evaluation. Its moments are operations of their own, since ranks may add theirs up.
#include "nn/visitors.hpp"

#include <fmt/format.h>

namespace trainmark::nn {

void Infer::channelled(std::size_t index) const {
  require(inputs_[index].shape == Shape{inputs_[0].shape[1]}, fmt::format("has another input {}", inputs_[index].name),
          "give one value a channel");
}

Tensors Infer::operator()(const NormMoments&) const {
  arity(1);
  require(inputs_[0].shape.rank() >= 2, "normalises channels", "give N,C,...");
  return {activation({2, inputs_[0].shape[1]}, DType::f64)};
}
Cost CostOf::operator()(const NormMoments&) const { return elementwise(3 * input(0).elements()); }
void Differentiate::operator()(const NormMoments&) {
  // What flows back through the moments is part of NormBackward.
}

Tensors Infer::operator()(const NormApply&) const {
  arity(6);
  same({2, inputs_[0].shape[1]}, 1);
  for (const std::size_t at : {2, 3, 4, 5})
    channelled(at);
  return {activation(inputs_[0].shape, inputs_[0].dtype)};
}
Cost CostOf::operator()(const NormApply&) const { return elementwise(2 * output(0).elements()); }
void Differentiate::operator()(const NormApply& apply) {
  const std::vector<TensorId> in = node_.inputs;
  const TensorId src = in[0], moments = in[1], gamma = in[2], beta = in[3], diff_dst = dst_diff();
  Tensor sums = tensor(moments);
  sums.name = fmt::format("{}.sums", node_.name);
  const TensorId sum = graph_.add(std::move(sums));
  append("backward_weights", NormGradients{apply.norm}, {src, moments, diff_dst}, {gamma, beta});
  graph_.nodes.back().outputs.push_back(sum);
  if (wanted_[index(src)])
    append("backward_data", NormBackward{apply.norm}, {src, moments, gamma, sum, diff_dst}, {src});
}

Tensors Infer::operator()(const NormInference&) const {
  arity(5);
  for (const std::size_t at : {1, 2, 3, 4})
    channelled(at);
  return {activation(inputs_[0].shape, inputs_[0].dtype)};
}
Cost CostOf::operator()(const NormInference&) const { return elementwise(2 * output(0).elements()); }
void Differentiate::operator()(const NormInference&) { not_forward(); }

Tensors Infer::operator()(const NormGradients&) const {
  arity(3);
  const std::int64_t channels = inputs_[0].shape[1];
  same({2, channels}, 1);
  same(inputs_[0].shape, 2);
  return {gradient({channels}), gradient({channels}), activation({2, channels}, DType::f64)};
}
Cost CostOf::operator()(const NormGradients&) const { return elementwise(5 * input(0).elements()); }
void Differentiate::operator()(const NormGradients&) { not_forward(); }

Tensors Infer::operator()(const NormBackward&) const {
  arity(5);
  same({2, inputs_[0].shape[1]}, 1);
  channelled(2);
  same({2, inputs_[0].shape[1]}, 3);
  same(inputs_[0].shape, 4);
  return {activation(inputs_[0].shape, inputs_[0].dtype)};
}
Cost CostOf::operator()(const NormBackward&) const { return elementwise(4 * output(0).elements()); }
void Differentiate::operator()(const NormBackward&) { not_forward(); }

Tensors Infer::operator()(const SumOverGroup&) const {
  arity(1);
  return {activation(inputs_[0].shape, inputs_[0].dtype)};
}
Cost CostOf::operator()(const SumOverGroup&) const { return elementwise(output(0).elements()); }
void Differentiate::operator()(const SumOverGroup&) { not_forward(); }

Tensors Infer::operator()(const AverageStatistics&) const { return {}; }
Cost CostOf::operator()(const AverageStatistics& average) const {
  constexpr std::int64_t moved = 2 * sizeof(float);
  return {.macs = 0, .flops = 2 * average.elements, .bytes = moved * average.elements, .parameters = 0};
}
void Differentiate::operator()(const AverageStatistics&) { not_forward(); }

}  // namespace trainmark::nn

namespace trainmark {

Graph group_norms(Graph graph, int ranks) {
  if (ranks == 1) return graph;
  std::vector<Node> nodes;
  std::vector<std::pair<TensorId, TensorId>> grouped;  // own sums, the group's
  for (Node& node : graph.nodes) {
    for (TensorId& input : node.inputs)
      for (const auto& [own, all] : grouped)
        if (input == own) input = all;
    if (auto* apply = std::get_if<NormApply>(&node.op)) apply->norm.ranks = ranks;
    if (auto* gradients = std::get_if<NormGradients>(&node.op)) gradients->norm.ranks = ranks;
    if (auto* backward = std::get_if<NormBackward>(&node.op)) backward->norm.ranks = ranks;
    const bool sums = std::holds_alternative<NormMoments>(node.op) || std::holds_alternative<NormGradients>(node.op);
    nodes.push_back(std::move(node));
    if (!sums) continue;
    const TensorId own = nodes.back().outputs.back();
    Tensor all = graph.tensors[static_cast<std::size_t>(own)];
    all.name += ".group";
    grouped.emplace_back(own, graph.add(std::move(all)));
    nodes.push_back({nodes.back().name + ".group", SumOverGroup{ranks}, {own}, {grouped.back().second}, Lane::compute});
  }
  graph.nodes = std::move(nodes);
  return graph;
}

}  // namespace trainmark

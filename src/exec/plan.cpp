// Planning a graph on a backend.
#include "exec/plan.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

namespace trainmark {
namespace {

Operands operands_of(const Node& node, const std::vector<TensorDesc>& tensors) {
  Operands operands;
  for (const TensorId id : node.inputs)
    operands.inputs.push_back(tensors[static_cast<std::size_t>(id)]);
  for (const TensorId id : node.outputs)
    operands.outputs.push_back(tensors[static_cast<std::size_t>(id)]);
  return operands;
}

void require_supported(const Backend& backend, const Graph& graph, const std::vector<TensorDesc>& tensors) {
  std::string refusals;
  for (const Node& node : graph.nodes) {
    const std::string reason = backend.refusal(node.op, operands_of(node, tensors));
    if (!reason.empty()) refusals += fmt::format("\n  {} ({}): {}", node.name, name_of(node.op), reason);
  }
  if (refusals.empty()) return;
  throw Error(ExitCode::environment,
              Complaint{.where = fmt::format("backend {}", backend.name()),
                        .what = fmt::format("cannot run this network:{}\n", refusals),
                        .why = {},
                        .remedy = "change the model or train.precision, or choose another backend.device"});
}

/// Plans one node and notes which layouts its outputs got.
Planned plan_node(Backend& backend, const Graph& graph, const Node& node, const Collectives& collectives,
                  std::vector<TensorDesc>& tensors) {
  Operands operands = operands_of(node, tensors);
  operands.collectives = collectives;
  TRAINMARK_CHECK(collectives.norm != nullptr || !std::holds_alternative<SumOverGroup>(node.op), node.name);
  Planned planned = backend.plan(node.op, operands);
  TRAINMARK_CHECK(planned.plan != nullptr, node.name);
  TRAINMARK_CHECK(planned.outputs.size() == node.outputs.size(), node.name);
  for (std::size_t at = 0; at < node.outputs.size(); ++at) {
    const auto id = static_cast<std::size_t>(node.outputs[at]);
    const TensorDesc& made = planned.outputs[at];
    TRAINMARK_CHECK(made.shape == tensors[id].shape && made.dtype == tensors[id].dtype, graph.tensors[id].name);
    TRAINMARK_CHECK(graph.tensors[id].role == Role::activation || made.layout == logical_layout,
                    fmt::format("{} must stay in logical order", graph.tensors[id].name));
    tensors[id] = made;
  }
  return planned;
}

}  // namespace

PlannedGraph plan_graph(Backend& backend, Graph graph, const Collectives& collectives,
                        const Program::Options& options) {
  PlannedGraph result;
  result.graph = options.fuse ? backend.fuse(std::move(graph)) : std::move(graph);
  for (const Tensor& tensor : result.graph.tensors)
    result.tensors.push_back({tensor.shape, tensor.dtype, logical_layout});
  require_supported(backend, result.graph, result.tensors);

  backend.foresee([&] {
    std::vector<TensorDesc> tensors = result.tensors;
    for (const Node& node : result.graph.nodes)
      (void)plan_node(backend, result.graph, node, collectives, tensors);
  });
  std::vector<Alias> in_place;
  for (const Node& node : result.graph.nodes) {
    Planned planned = plan_node(backend, result.graph, node, collectives, result.tensors);
    for (const InPlace& pair : planned.in_place) {
      in_place.push_back({node.outputs.at(static_cast<std::size_t>(pair.output)),
                          node.inputs.at(static_cast<std::size_t>(pair.input))});
    }
    result.plans.push_back(std::move(planned));
  }
  for (const TensorDesc& tensor : result.tensors)
    result.bytes.push_back(backend.bytes_of(tensor));
  result.memory = plan_memory(result.graph, result.bytes, in_place, options.reuse);
  return result;
}

namespace {

/// Stands in where nothing will be reduced.
class NoCollective final : public Collective {
 public:
  void all_reduce(Stream&, float*, std::int64_t) override {}
  void all_reduce(Stream&, double*, std::int64_t) override {}
  void all_reduce(Stream&, float*, std::int64_t, DType, void*) override {}
  [[nodiscard]] std::size_t wire_scratch_bytes(std::int64_t, DType) const override { return 0; }
};

}  // namespace

Blueprint plan_only(Backend& backend, Graph graph) {
  NoCollective collective;
  const PlannedGraph planned = plan_graph(backend, std::move(graph), {collective, &collective}, {});
  Blueprint result{
      .graph = planned.graph, .pool_bytes = planned.memory.pool_bytes, .unshared_bytes = planned.memory.unshared_bytes};
  std::array<std::size_t, 3> scratch{};  // by lane
  for (std::size_t at = 0; at < planned.plans.size(); ++at) {
    std::size_t& largest = scratch.at(static_cast<std::size_t>(planned.graph.nodes[at].lane));
    largest = std::max(largest, planned.plans[at].scratch_bytes);
    result.scratch_traffic.push_back(planned.plans[at].scratch_traffic);
  }
  result.scratch_bytes = scratch[0] + scratch[1] + scratch[2];
  return result;
}

}  // namespace trainmark

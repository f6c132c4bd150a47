// Waits between lanes, derived from what each node touches.
#include "exec/schedule.hpp"

#include <algorithm>
#include <array>

namespace trainmark {
namespace {

constexpr std::size_t lanes = 3;
std::size_t index_of(Lane lane) { return static_cast<std::size_t>(lane); }

Access access_of(const Graph& graph, TensorId id, const MemoryPlan& memory, const std::vector<std::size_t>& bytes,
                 bool writes) {
  const auto at = static_cast<std::size_t>(id);
  const Tensor& tensor = graph.tensors.at(at);
  const auto from = [&](Space space, std::int64_t begin, std::int64_t size) {
    return Access{space, {begin, begin + size}, writes};
  };
  switch (tensor.role) {
    case Role::activation:
      return from(Space::pool, memory.offset.at(at), static_cast<std::int64_t>(bytes.at(at)));
    case Role::parameter:
      return from(Space::parameter, tensor.offset, tensor.shape.elements());
    case Role::gradient:
      return from(Space::gradient, tensor.offset, tensor.shape.elements());
    case Role::metric:
      return from(Space::metric, 0, tensor.shape.elements());
    case Role::scaler:
      return from(Space::loss_scale, 0, tensor.shape.elements());
    case Role::counter:
      return from(Space::update_count, 0, tensor.shape.elements());
    case Role::statistic:
      return from(Space::statistic, tensor.offset, tensor.shape.elements());
    case Role::input:
      break;
  }
  return from(Space::input, id, 1);
}

bool is_state(const Graph& graph, TensorId id) {
  const Role role = graph.tensors.at(static_cast<std::size_t>(id)).role;
  return role == Role::scaler || role == Role::counter || role == Role::statistic;
}

bool conflict(const std::vector<Access>& earlier, const std::vector<Access>& later) {
  return std::ranges::any_of(earlier, [&](const Access& a) {
    return std::ranges::any_of(later, [&](const Access& b) {
      return (a.writes || b.writes) && a.space == b.space && a.range.begin < b.range.end && b.range.begin < a.range.end;
    });
  });
}

}  // namespace

std::vector<std::vector<Access>> accesses_of(const Graph& graph, const MemoryPlan& memory,
                                             const std::vector<std::size_t>& bytes) {
  std::vector<std::vector<Access>> all;
  for (const Node& node : graph.nodes) {
    std::vector<Access>& accesses = all.emplace_back();
    const bool changes = changes_state(node.op);
    for (const TensorId id : node.inputs)
      accesses.push_back(access_of(graph, id, memory, bytes, changes && is_state(graph, id)));
    for (const TensorId id : node.outputs)
      accesses.push_back(access_of(graph, id, memory, bytes, true));
    for (const ArenaUse& use : arena_uses(node.op))
      accesses.push_back({use.space, use.range, use.writes});
  }
  return all;
}

std::vector<std::vector<int>> waits_of(const Graph& graph, const std::vector<std::vector<Access>>& accesses) {
  std::vector<std::vector<int>> waits(graph.nodes.size());
  std::array<std::array<int, lanes>, lanes> waited{};  // [who][for whom]: the latest node waited for
  for (auto& row : waited)
    row.fill(-1);
  for (std::size_t at = 0; at < graph.nodes.size(); ++at) {
    auto& known = waited[index_of(graph.nodes[at].lane)];
    std::array<bool, lanes> found{};
    for (std::size_t earlier = at; earlier-- > 0;) {
      const std::size_t lane = index_of(graph.nodes[earlier].lane);
      if (lane == index_of(graph.nodes[at].lane) || found[lane]) continue;
      if (!conflict(accesses[earlier], accesses[at])) continue;
      found[lane] = true;
      if (static_cast<int>(earlier) <= known[lane]) continue;
      known[lane] = static_cast<int>(earlier);
      waits[at].push_back(static_cast<int>(earlier));
    }
  }
  return waits;
}

}  // namespace trainmark

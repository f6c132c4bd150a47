// The memory plan by simulation: whoever reads a tensor must find that nobody wrote over it.
#include <gtest/gtest.h>

#include <algorithm>

#include "trainmark/exec.hpp"
#include "trainmark/models.hpp"

namespace trainmark {
namespace {

constexpr std::int64_t grain = 64;

struct Case {
  Graph graph;
  std::vector<std::size_t> bytes;
  std::vector<Alias> in_place;
};

/// Nodes with up to three inputs from anywhere before and one or two outputs; a third of them would work in place, some
/// on either of two.
Case random_case(std::uint64_t seed) {
  Rng rng(seed, Purpose::test);
  Case made;
  const auto nodes = 3 + rng.below(40);
  for (std::uint64_t at = 0; at < nodes; ++at) {
    Node node{
        .name = "node" + std::to_string(at), .op = Activation{}, .inputs = {}, .outputs = {}, .lane = Lane::compute};
    const auto before = made.graph.tensors.size();
    for (std::uint64_t input = 0; before > 0 && input < rng.below(4); ++input) {
      // Mostly what is near, as in a network; sometimes far back, as in a backward pass.
      const auto reach = rng.below(4) == 0 ? before : std::min<std::uint64_t>(before, 4);
      node.inputs.push_back(static_cast<TensorId>(before - 1 - rng.below(reach)));
    }
    for (std::uint64_t output = 0; output < 1 + rng.below(2); ++output) {
      node.outputs.push_back(
          made.graph.add({"t" + std::to_string(made.graph.tensors.size()), {1}, DType::f32, Role::activation}));
      made.bytes.push_back(1 + rng.below(10'000));
      if (!node.inputs.empty() && rng.below(3) == 0) {
        made.in_place.push_back({node.outputs.back(), node.inputs.front()});
        if (rng.below(2) == 0) made.in_place.push_back({node.outputs.back(), node.inputs.back()});
      }
    }
    made.graph.nodes.push_back(node);
  }
  return made;
}

/// Runs the nodes over a memory that remembers who wrote each grain last.
void expect_sound(const Case& subject, const MemoryPlan& plan) {
  std::vector<TensorId> owner(plan.pool_bytes / grain, -1);
  const auto grains = [&](TensorId id) {
    const auto at = static_cast<std::size_t>(id);
    const std::int64_t first = plan.offset[at] / grain;
    return Range{first, first + (static_cast<std::int64_t>(subject.bytes[at]) + grain - 1) / grain};
  };
  const auto owned = [&](TensorId id) {
    const Range range = grains(id);
    return std::all_of(owner.begin() + range.begin, owner.begin() + range.end, [&](TensorId by) { return by == id; });
  };
  for (const Node& node : subject.graph.nodes) {
    for (const TensorId id : node.inputs)
      EXPECT_TRUE(owned(id)) << node.name << " reads tensor " << id;
    for (const TensorId id : node.outputs) {
      const Range range = grains(id);
      ASSERT_EQ(plan.offset[static_cast<std::size_t>(id)] % grain, 0);
      ASSERT_LE(range.end, static_cast<std::int64_t>(owner.size()));
      for (const TensorId input : node.inputs) {
        const Range read = grains(input);
        const bool overlap = read.begin < range.end && range.begin < read.end;
        const bool asked = std::ranges::any_of(subject.in_place, [&](const Alias& alias) {
          return alias.output == id &&
                 plan.offset[static_cast<std::size_t>(alias.input)] == plan.offset[static_cast<std::size_t>(input)];
        });
        EXPECT_TRUE(!overlap || asked) << node.name << " overwrites its input " << input << " unasked";
      }
    }
    for (const TensorId id : node.outputs)
      std::fill(owner.begin() + grains(id).begin, owner.begin() + grains(id).end, id);
    for (const TensorId id : node.outputs)
      EXPECT_TRUE(owned(id)) << "outputs of " << node.name << " overlap";
  }
}

TEST(MemoryPlan, NeverLetsTwoLivingTensorsOverlap) {
  std::size_t shared = 0, unshared = 0;
  for (std::uint64_t seed = 0; seed < 500; ++seed) {
    const Case subject = random_case(seed);
    const MemoryPlan plan = plan_memory(subject.graph, subject.bytes, subject.in_place);
    expect_sound(subject, plan);
    EXPECT_LE(plan.pool_bytes, plan.unshared_bytes);
    shared += plan.pool_bytes;
    unshared += plan.unshared_bytes;
    if (HasFailure()) FAIL() << "seed " << seed;
  }
  EXPECT_LT(shared, unshared / 2) << "reuse is worth something";
}

TEST(MemoryPlan, GivesEachTensorItsOwnMemoryWithoutReuse) {
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    Case subject = random_case(seed);
    const MemoryPlan plan = plan_memory(subject.graph, subject.bytes, subject.in_place, false);
    EXPECT_EQ(plan.pool_bytes, plan.unshared_bytes);
    auto offsets = plan.offset;
    std::ranges::sort(offsets);
    EXPECT_EQ(std::ranges::adjacent_find(offsets), offsets.end());
    subject.in_place.clear();
    expect_sound(subject, plan);
  }
}

Graph chain(int links) {
  Graph graph;
  TensorId last = graph.add({"t0", {1}, DType::f32, Role::activation});
  graph.nodes.push_back({"n0", Preprocess{}, {}, {last}});
  for (int at = 1; at <= links; ++at) {
    const TensorId next = graph.add({"t" + std::to_string(at), {1}, DType::f32, Role::activation});
    graph.nodes.push_back({"n" + std::to_string(at), Activation{}, {last}, {next}});
    last = next;
  }
  return graph;
}

TEST(MemoryPlan, NeedsTwoTensorsForAChainAndOneInPlace) {
  const std::vector<std::size_t> bytes(6, 640);
  EXPECT_EQ(plan_memory(chain(5), bytes, {}).pool_bytes, 1280U);
  EXPECT_EQ(plan_memory(chain(5), bytes, {{1, 0}, {2, 1}, {3, 2}, {4, 3}, {5, 4}}).pool_bytes, 640U);
}

TEST(MemoryPlan, RefusesInPlaceWhereTheInputIsNeededLater) {
  Graph graph = chain(2);
  graph.nodes.push_back({"late", Activation{}, {0}, {graph.add({"t3", {1}, DType::f32, Role::activation})}});
  const MemoryPlan plan = plan_memory(graph, std::vector<std::size_t>(4, 64), {{1, 0}});
  EXPECT_NE(plan.offset[1], plan.offset[0]);
}

TEST(MemoryPlan, TakesTheFirstOfSeveralInputsThatNobodyNeedsLaterAndNoSecond) {
  Graph graph = chain(1);  // t0 -> t1; both stay readable
  graph.nodes.push_back({"sum", Add{}, {0, 1}, {graph.add({"t2", {1}, DType::f32, Role::activation})}});
  const std::vector<Alias> either = {{2, 0}, {2, 1}};
  const MemoryPlan first = plan_memory(graph, std::vector<std::size_t>(3, 64), either);
  EXPECT_EQ(first.offset[2], first.offset[0]);
  EXPECT_NE(first.offset[2], first.offset[1]);
  EXPECT_EQ(first.pool_bytes, 128U);

  graph.nodes.push_back({"late", Activation{}, {0}, {graph.add({"t3", {1}, DType::f32, Role::activation})}});
  const MemoryPlan second = plan_memory(graph, std::vector<std::size_t>(4, 64), either);
  EXPECT_EQ(second.offset[2], second.offset[1]) << "t0 is read later";
}

TEST(MemoryPlan, KeepsArenasAndInputsOutOfThePool) {
  const Graph graph = differentiate(training_graph(CosmoflowOptions{.extent = 32}, {}));
  const std::vector<std::size_t> bytes(graph.tensors.size(), 100);
  const MemoryPlan plan = plan_memory(graph, bytes, {});
  for (std::size_t id = 0; id < graph.tensors.size(); ++id)
    EXPECT_EQ(plan.offset[id] >= 0, graph.tensors[id].role == Role::activation) << graph.tensors[id].name;
}

TEST(MemoryPlan, RefusesActivationsBesideTheComputeLane) {
  Graph graph = chain(1);
  graph.nodes[1].lane = Lane::communication;
  EXPECT_THROW((void)plan_memory(graph, {64, 64}, {}), std::logic_error);
}

TEST(MemoryPlan, OfCosmoflowComesCloseToWhatMustBeAliveAtOnce) {
  const Graph graph =
      differentiate(training_graph(CosmoflowOptions{.extent = 64}, {.local_batch = 2, .global_batch = 2}));
  std::vector<std::size_t> bytes;
  for (const Tensor& tensor : graph.tensors)
    bytes.push_back(static_cast<std::size_t>(tensor.shape.elements()) * size_of(tensor.dtype));
  const MemoryPlan plan = plan_memory(graph, bytes, {});
  std::size_t most = 0;
  std::vector<int> first(graph.tensors.size(), -1), last(graph.tensors.size(), -1);
  for (std::size_t at = 0; at < graph.nodes.size(); ++at) {
    for (const TensorId id : graph.nodes[at].outputs)
      first[static_cast<std::size_t>(id)] = last[static_cast<std::size_t>(id)] = static_cast<int>(at);
    for (const TensorId id : graph.nodes[at].inputs)
      last[static_cast<std::size_t>(id)] = static_cast<int>(at);
  }
  for (int at = 0; at < static_cast<int>(graph.nodes.size()); ++at) {
    std::size_t alive = 0;
    for (std::size_t id = 0; id < graph.tensors.size(); ++id)
      if (graph.tensors[id].role == Role::activation && first[id] <= at && at <= last[id]) alive += bytes[id];
    most = std::max(most, alive);
  }
  EXPECT_LE(static_cast<double>(plan.pool_bytes), 1.02 * static_cast<double>(most));
}

}  // namespace
}  // namespace trainmark

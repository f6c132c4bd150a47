// Waits between lanes: each conflict is ordered, and nothing waits without need.
#include "exec/schedule.hpp"

#include <gtest/gtest.h>

#include <algorithm>

#include "trainmark/models.hpp"

namespace trainmark {
namespace {

Graph training_step(std::int64_t bucket_bytes, bool scale_loss = false) {
  return graphs_of({.model = CosmoflowOptions{.extent = 32, .dropout = 0.5, .l2 = 0.01},
                    .rule = SgdMomentum{},
                    .schedule = {}},
                   {.graph = {.scale_loss = scale_loss}, .grouping = {.bytes = bucket_bytes}})
      .last;
}

struct Scheduled {
  Graph graph;
  std::vector<std::vector<Access>> accesses;
  std::vector<std::vector<int>> waits;
};
Scheduled schedule(Graph graph) {
  const std::vector<std::size_t> bytes(graph.tensors.size(), 64);
  const MemoryPlan memory = plan_memory(graph, bytes, {});
  auto accesses = accesses_of(graph, memory, bytes);
  auto waits = waits_of(graph, accesses);
  return {std::move(graph), std::move(accesses), std::move(waits)};
}

/// [later][earlier]: whether lanes and waits together order the two.
std::vector<std::vector<bool>> ordered(const Scheduled& subject) {
  const std::size_t count = subject.graph.nodes.size();
  std::vector<std::vector<bool>> after(count, std::vector<bool>(count, false));
  for (std::size_t at = 0; at < count; ++at) {
    const auto follow = [&](std::size_t earlier) {
      after[at][earlier] = true;
      for (std::size_t k = 0; k < earlier; ++k)
        if (after[earlier][k]) after[at][k] = true;
    };
    for (std::size_t earlier = 0; earlier < at; ++earlier)
      if (subject.graph.nodes[earlier].lane == subject.graph.nodes[at].lane) follow(earlier);
    for (const int earlier : subject.waits[at])
      follow(static_cast<std::size_t>(earlier));
  }
  return after;
}

class BucketBytes : public ::testing::TestWithParam<std::int64_t> {};

void expect_no_conflict_unordered(const Scheduled& subject) {
  const auto after = ordered(subject);
  int conflicts = 0;
  for (std::size_t b = 0; b < after.size(); ++b) {
    for (std::size_t a = 0; a < b; ++a) {
      for (const Access& x : subject.accesses[a]) {
        for (const Access& y : subject.accesses[b]) {
          const bool overlap = x.space == y.space && x.range.begin < y.range.end && y.range.begin < x.range.end;
          if (!overlap || !(x.writes || y.writes)) continue;
          ++conflicts;
          EXPECT_TRUE(after[b][a]) << subject.graph.nodes[b].name << " after " << subject.graph.nodes[a].name;
        }
      }
    }
  }
  EXPECT_GT(conflicts, 0);
}

TEST_P(BucketBytes, LeaveNoConflictUnordered) {
  expect_no_conflict_unordered(schedule(training_step(GetParam())));
  expect_no_conflict_unordered(schedule(training_step(GetParam(), true)));
}

TEST_P(BucketBytes, LetEveryUpdateComeAfterEveryCheckOfTheGradients) {
  const Scheduled subject = schedule(training_step(GetParam(), true));
  const auto after = ordered(subject);
  const auto& nodes = subject.graph.nodes;
  int pairs = 0;
  for (std::size_t update = 0; update < nodes.size(); ++update) {
    if (!std::holds_alternative<Update>(nodes[update].op)) continue;
    for (std::size_t check = 0; check < nodes.size(); ++check) {
      if (!std::holds_alternative<GradientCheck>(nodes[check].op)) continue;
      ++pairs;
      EXPECT_TRUE(after[update][check]) << nodes[update].name << " before " << nodes[check].name;
    }
    EXPECT_TRUE(after[nodes.size() - 1][update]) << "the scale moves last";
  }
  EXPECT_GT(pairs, 0);
}

TEST_P(BucketBytes, LetTheScaleStandInAMemoryOfItsOwn) {
  // Every reader and writer of the scale says so, or lanes could not be told what to wait for.
  const Scheduled subject = schedule(training_step(GetParam(), true));
  for (std::size_t at = 0; at < subject.graph.nodes.size(); ++at) {
    const Op& op = subject.graph.nodes[at].op;
    const auto touches = [&](bool writes) {
      return std::ranges::any_of(subject.accesses[at], [&](const Access& access) {
        return access.space == Space::loss_scale && access.writes == writes;
      });
    };
    const bool writes = std::holds_alternative<GradientCheck>(op) || std::holds_alternative<AdjustLossScale>(op);
    EXPECT_EQ(touches(true), writes) << subject.graph.nodes[at].name;
    EXPECT_EQ(touches(false), std::holds_alternative<Loss>(op) || std::holds_alternative<Update>(op));
  }
}

TEST_P(BucketBytes, LetEachReductionWaitForItsLastGradientOnAnotherLane) {
  const Scheduled subject = schedule(training_step(GetParam()));
  int last = -1;  // two buckets may end at one node: the second has nothing left to wait for
  for (std::size_t at = 0; at < subject.graph.nodes.size(); ++at) {
    const Node& node = subject.graph.nodes[at];
    if (std::holds_alternative<AllReduce>(node.op)) {
      ASSERT_LE(subject.waits[at].size(), 1U) << node.name;
      if (!subject.waits[at].empty()) last = subject.waits[at].front();
      ASSERT_GE(last, 0) << node.name;
      const Node& awaited = subject.graph.nodes[static_cast<std::size_t>(last)];
      EXPECT_TRUE(
          std::ranges::any_of(awaited.outputs, [&](TensorId id) { return std::ranges::count(node.inputs, id) > 0; }));
    }
    for (const int earlier : subject.waits[at]) {
      EXPECT_LT(earlier, static_cast<int>(at));
      EXPECT_NE(subject.graph.nodes[static_cast<std::size_t>(earlier)].lane, node.lane);
    }
  }
}

TEST_P(BucketBytes, LetNothingButUpdatesWaitForTheCommunicationLane) {
  const Scheduled subject = schedule(training_step(GetParam()));
  for (std::size_t at = 0; at < subject.graph.nodes.size(); ++at) {
    if (subject.graph.nodes[at].lane != Lane::compute || subject.waits[at].empty()) continue;
    EXPECT_TRUE(std::holds_alternative<Update>(subject.graph.nodes[at].op)) << subject.graph.nodes[at].name;
  }
}

INSTANTIATE_TEST_SUITE_P(OfManySizes, BucketBytes, ::testing::Values(1, 1 << 16, 4 << 20, 1 << 30));

TEST(Schedule, LetsEachUpdateWaitForItsOwnBucketAlone) {
  const Scheduled subject = schedule(training_step(1));
  int updates = 0;
  for (std::size_t at = 0; at < subject.graph.nodes.size(); ++at) {
    const auto* update = std::get_if<Update>(&subject.graph.nodes[at].op);
    if (update == nullptr) continue;
    ++updates;
    ASSERT_EQ(subject.waits[at].size(), 1U);
    const Node& awaited = subject.graph.nodes[static_cast<std::size_t>(subject.waits[at].front())];
    EXPECT_EQ(std::get<AllReduce>(awaited.op).range.begin, update->range().begin);
  }
  EXPECT_GT(updates, 5);
}

}  // namespace
}  // namespace trainmark

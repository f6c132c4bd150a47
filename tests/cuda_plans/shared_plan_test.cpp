// Rank 0's plans on all ranks: what travels, what happens where a rank fails, and the graph compiler's use of it,
// planned for described devices that differ from rank to rank so that each would choose otherwise.
#include "backend/cuda/cudnn/shared_plan.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "cuda_plans/plan_table.hpp"
#include "support/mpi_main.hpp"

namespace trainmark::cuda {
namespace {

const Group& ranks() { return test_world().all(); }
bool is_first() { return ranks().rank() == 0; }
bool is_last() { return ranks().rank() + 1 == ranks().size(); }

/// What `work` raises, which has to be the same agreed error on all ranks; empty where nothing is raised.
template <class Work>
std::string agreed(ExitCode code, Work&& work) {
  std::string message;
  try {
    work();
  } catch (const AgreedError& error) {
    EXPECT_EQ(error.code(), code);
    message = error.what();
  }
  for (const std::string& other : ranks().all_gather(message))
    EXPECT_EQ(other, message);
  return message;
}

const StoredPlan plan{"eng7_k24=21", 4096, {1, 2, 3, 0, 255}};

/// Shares once, without failures; what this rank got.
StoredPlan shared(const std::string& key = "a graph") {
  StoredPlan got = plan;
  share_plan(
      ranks(), "a device", key,
      [] {
        EXPECT_TRUE(is_first()) << "chooses for itself";
        return plan;
      },
      [&](const StoredPlan& taken) { got = taken; });
  return got;
}

TEST(SharePlan, GivesAllRanksWhatRank0Chose) {
  const StoredPlan got = shared();
  EXPECT_EQ(got.engine, plan.engine);
  EXPECT_EQ(got.workspace_bytes, plan.workspace_bytes);
  EXPECT_EQ(got.plan, plan.plan);
}

TEST(SharePlan, LetsAllRanksFailWhereRank0Does) {
  const std::string message = agreed(ExitCode::communication, [] {
    share_plan(
        ranks(), "a device", "a graph",
        []() -> StoredPlan { throw Error(ExitCode::communication, "the device is lost"); },
        [](const StoredPlan&) { ADD_FAILURE() << "nothing was chosen"; });
  });
  EXPECT_NE(message.find("the device is lost"), std::string::npos) << message;
  EXPECT_EQ(shared().engine, plan.engine) << "the ranks are out of step";
}

TEST(SharePlan, LetsAllRanksFailWhereAnotherDoes) {
  const std::string message = agreed(ExitCode::environment, [] {
    share_plan(
        ranks(), "a device", "a graph", [] { return plan; },
        [](const StoredPlan&) {
          if (is_last()) throw Error(ExitCode::environment, "not taken");
        });
  });
  EXPECT_NE(message.find("not taken"), std::string::npos) << message;
  EXPECT_NE(message.find("rank " + std::to_string(ranks().size() - 1)), std::string::npos) << message;
  EXPECT_EQ(shared().engine, plan.engine) << "the ranks are out of step";
}

TEST(SharePlan, RefusesAPlanOfAnotherDeviceWithBothNames) {
  const std::string message = agreed(ExitCode::environment, [] {
    share_plan(
        ranks(), is_last() ? "NVIDIA A100" : "NVIDIA H200", "a graph", [] { return plan; },
        [](const StoredPlan&) { EXPECT_FALSE(is_last()); });
  });
  for (const char* text : {"NVIDIA A100", "NVIDIA H200", "/backend/deterministic", "devices of one kind"})
    EXPECT_NE(message.find(text), std::string::npos) << message;
}

TEST(SharePlan, RefusesAPlanOfAnotherGraph) {
  const std::string message = agreed(ExitCode::environment, [] { shared(is_first() ? "a graph" : "another graph"); });
  EXPECT_NE(message.find("another graph"), std::string::npos) << message;
}

// --- The compiler ----------------------------------------------------------------------------------------------------

/// A graph whose candidates have different workspaces.
ConvGraph graph() {
  return {.pass = ConvGraph::Pass::backward_weights,
          .conv = {{3, 3, 3}, {1, 1, 1}, {1, 1, 1}, {1, 1, 1}},
          .src = {2, 16, 8, 8, 8},
          .weights = {32, 16, 3, 3, 3},
          .dst = {2, 32, 8, 8, 8},
          .io = DType::f32,
          .math = Math::tf32,
          .slope = {}};
}

/// An H200, but for rank 0 one with so little memory that the heuristics' first choice is passed over.
CompilerOptions own_device() {
  CompilerOptions options = options_for("h200", false);
  return is_first() ? with_memory(options, 1 << 20) : options;
}
CompilerOptions together() {
  CompilerOptions options = own_device();
  options.ranks = ranks();
  return options;
}
std::vector<std::string> on_all_ranks(const CompilerOptions& options) {
  return ranks().all_gather(outcome(*make_graph_compiler(options)->compile(graph())));
}

TEST(SharedPlans, AreRank0sWhereEachRankWouldChooseOtherwise) {
  const std::vector<std::string> alone = on_all_ranks(own_device());
  const std::vector<std::string> shared = on_all_ranks(together());
  for (std::size_t rank = 0; rank < alone.size(); ++rank) {
    if (rank > 0) {
      EXPECT_NE(alone[rank], alone[0]) << "this device shows nothing";
    }
    EXPECT_EQ(shared[rank], alone[0]);
  }
}

TEST(SharedPlans, AreTriedOnRank0Alone) {
  CompilerOptions tuned = options_for("h200", false);
  tuned.ranks = ranks();
  std::string chosen;
  tuned.autotune = [&](std::span<const std::shared_ptr<CompiledGraph>> candidates, std::span<const std::size_t>) {
    EXPECT_TRUE(is_first());
    chosen = outcome(*candidates[3]);
    return Trial{3, {}, {}};
  };
  const std::vector<std::string> shared = on_all_ranks(tuned);
  chosen = ranks().broadcast(chosen);
  for (const std::string& each : shared)
    EXPECT_EQ(each, chosen);
}

TEST(SharedPlans, PassOverTheCachesOfOtherRanksAndLeaveThemAlone) {
  const std::string folder =
      testing::TempDir() + "shared_plans_" + std::to_string(ranks().rank()) + "_" + std::to_string(getpid());
  std::filesystem::remove_all(folder);
  CompilerOptions alone = own_device(), shared = together();
  alone.cache_folder = shared.cache_folder = folder;
  const std::vector<std::string> own = on_all_ranks(alone);  // fills each rank's own folder
  const auto entry = std::filesystem::directory_iterator(folder)->path();
  const auto written = std::filesystem::last_write_time(entry);

  for (const std::string& each : on_all_ranks(shared))
    EXPECT_EQ(each, own[0]);
  EXPECT_EQ(std::filesystem::last_write_time(entry), written);
  EXPECT_EQ(on_all_ranks(alone), own) << "a cache holds another plan now";

  // From an empty cache: rank 0 alone keeps what it chose, which is what the next run starts with.
  std::filesystem::remove_all(folder);
  ranks().barrier();
  const std::vector<std::string> made = on_all_ranks(shared);
  EXPECT_EQ(std::filesystem::exists(folder), is_first());
  EXPECT_EQ(on_all_ranks(shared), made);
  std::filesystem::remove_all(folder);
}

TEST(SharedPlans, AreRefusedOnAllRanksWithOneMessage) {
  ConvGraph impossible = graph();
  impossible.weights[1] = 5;  // five channels a group do not divide sixteen
  const auto compiler = make_graph_compiler(together());
  const std::string message = agreed(ExitCode::environment, [&] { (void)compiler->compile(impossible); });
  EXPECT_NE(message.find(key_of(impossible)), std::string::npos) << message;
  // What the backend then tries instead is shared again.
  EXPECT_NO_THROW((void)compiler->compile(graph()));
}

TEST(SharedPlans, DoNotGoToDevicesOfAnotherKind) {
  CompilerOptions options = options_for(is_last() ? "a100" : "h200", false);
  options.ranks = ranks();
  const std::string message =
      agreed(ExitCode::environment, [&] { (void)make_graph_compiler(options)->compile(graph()); });
  for (const char* text : {"NVIDIA A100", "NVIDIA H200", "devices of one kind"})
    EXPECT_NE(message.find(text), std::string::npos) << message;
}

}  // namespace
}  // namespace trainmark::cuda

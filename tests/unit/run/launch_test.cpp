// What a launch may be asked for, on either side of each limit, and whom its sums are taken over.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>

#include "run/launch/session.hpp"
#include "support/spy_backend.hpp"

namespace trainmark {
namespace {

RunOptions fitting() {
  RunOptions options;
  options.train.global_batch = 16;
  return options;
}
const DatasetFacts plenty = {.train_samples = 64, .validation_samples = 8, .generated = true};

bool mentions(const std::vector<std::string>& complaints, const std::string& text) {
  return std::ranges::any_of(complaints, [&](const std::string& each) { return each.find(text) != std::string::npos; });
}

TEST(LaunchLimits, LooksAtTheSamplesThatAreAskedForAndNotAtAllThatAreThere) {
  RunOptions options = fitting();
  options.train.global_batch = 24;
  EXPECT_TRUE(mentions(check_options(options, 4, 1, plenty), "64 training samples are not a multiple of 24"));
  options.data.train_samples = 48;
  EXPECT_TRUE(check_options(options, 4, 1, plenty).empty());
  options.data.train_samples = 20;
  EXPECT_TRUE(mentions(check_options(options, 4, 1, plenty), "24 is more than the 20 training samples"));
}

TEST(LaunchLimits, TakesAsManyRanksAndSamplesAsThereAre) {
  RunOptions options = fitting();
  options.train.global_batch = 64;
  options.data.train_samples = 64;
  options.data.validation_samples = 8;
  EXPECT_TRUE(check_options(options, 64, 1, plenty).empty());
}

TEST(LaunchLimits, WantsTheSameNumberOfRanksOnEachNodeOfAShardedSet) {
  RunOptions options = fitting();
  options.stage.strategy = Strategy::shard;
  options.train.global_batch = 20;
  options.data.train_samples = 60;
  EXPECT_TRUE(check_options(options, 4, 2, plenty).empty());
  const auto complaints = check_options(options, 5, 2, plenty);
  ASSERT_EQ(complaints.size(), 1U);
  EXPECT_TRUE(mentions(complaints, "5 ranks run on 2 nodes; start a multiple of 2 ranks")) << complaints.front();
  options.stage.strategy = Strategy::replicate;
  EXPECT_TRUE(check_options(options, 5, 2, plenty).empty());
}

TEST(LaunchLimits, SumsNormsOverTheGroupAskedForAndGradientsOverAllRanks) {
  struct Noting final : testing::SpyBackend {
    std::vector<std::pair<int, Lane>> groups;
    std::unique_ptr<Collective> make_collective(const Group& group, Lane lane) override {
      groups.emplace_back(group.size(), lane);
      return SpyBackend::make_collective(group, lane);
    }
  };
  using Groups = std::vector<std::pair<int, Lane>>;
  for (const int ranks : {1, 2, 8}) {
    Noting backend;
    const auto collectives = make_collectives(pretended_world(8, 2, 3), backend, DeepcamOptions{.norm_group = ranks});
    EXPECT_EQ(collectives.norm != nullptr, ranks > 1);
    EXPECT_EQ(backend.groups, ranks > 1 ? (Groups{{8, Lane::communication}, {ranks, Lane::compute}})
                                        : (Groups{{8, Lane::communication}}));
  }
}

TEST(NodeTimes, AreTheMiddleOnesOfFiveSteps) {
  struct Timing final : testing::SpyBackend {
    int steps = 0;
    Profile profile(const std::vector<Launch>& launches) override {
      constexpr std::array seconds = {1.0, 100.0, 3.0, 4.0, 5.0};
      Profile taken = SpyBackend::profile(launches);
      for (auto& node : taken)
        node.second = seconds.at(static_cast<std::size_t>(steps));
      ++steps;
      return taken;
    }
  };
  Timing backend;
  RunOptions options = fitting();
  options.recipe.model = CosmoflowOptions{.extent = 32, .width = 0.0625};
  const World world = pretended_world(4, 1, 0);
  Compiled compiled = compile(world, backend, options);
  warm_up(compiled, 1, schema_of(options.recipe.model), 4, true);
  EXPECT_EQ(backend.steps, 5);
  ASSERT_EQ(compiled.nodes.size(), compiled.train->graph().nodes.size());
  for (const NodeTime& node : compiled.nodes)
    EXPECT_EQ(node.seconds, 4.0) << node.node;
}

}  // namespace
}  // namespace trainmark

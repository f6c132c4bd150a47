// What is said of a config once ranks, nodes and sample counts are known.
#include <gtest/gtest.h>

#include <algorithm>

#include "trainmark/run.hpp"

namespace trainmark {
namespace {

RunOptions fitting() {
  RunOptions options;
  options.train.global_batch = 16;
  return options;
}
const DatasetFacts plenty = {.train_samples = 64, .validation_samples = 8, .generated = true};

bool mentions(const std::vector<std::string>& complaints, const std::string& text) {
  return std::any_of(complaints.begin(), complaints.end(),
                     [&text](const std::string& each) { return each.find(text) != std::string::npos; });
}

TEST(CheckOptions, HasNothingToSayOfAFittingRun) { EXPECT_TRUE(check_options(fitting(), 4, 1, plenty).empty()); }

TEST(CheckOptions, RefusesABatchThatRanksCannotShare) {
  const auto complaints = check_options(fitting(), 3, 1, plenty);
  EXPECT_TRUE(mentions(complaints, "/train/global_batch"));
  EXPECT_TRUE(mentions(complaints, "15 or 18")) << complaints.front();
}

TEST(CheckOptions, RefusesSamplesThatDoNotFillWholeBatches) {
  EXPECT_TRUE(
      mentions(check_options(fitting(), 4, 1, {.train_samples = 70, .validation_samples = 8, .generated = true}),
               "set /data/train_samples to 64"));
}

TEST(CheckOptions, RefusesMoreRanksThanSamples) {
  RunOptions options = fitting();
  options.train.global_batch = 128;
  EXPECT_TRUE(mentions(check_options(options, 128, 1, plenty), "64 samples for 128 ranks"));
}

TEST(CheckOptions, RefusesMoreSamplesThanThereAre) {
  RunOptions options = fitting();
  options.data.validation_samples = 9;
  EXPECT_TRUE(mentions(check_options(options, 1, 1, plenty), "/data/validation_samples"));
}

TEST(CheckOptions, WantsEqualSharesOfAShardedSet) {
  RunOptions options = fitting();
  options.stage.strategy = Strategy::shard;
  EXPECT_TRUE(mentions(check_options(options, 4, 3, plenty), "not divisible by the 3 parts that the nodes hold"));
}

TEST(CheckOptions, WantsEqualSharesOfWhatGroupsOfNodesHold) {
  RunOptions options = fitting();
  options.stage.strategy = Strategy::group;
  options.stage.group = 3;
  EXPECT_TRUE(check_options(options, 8, 12, plenty).size() == 1 &&
              mentions(check_options(options, 8, 12, plenty), "8 ranks run on 12 nodes"));
  EXPECT_TRUE(mentions(check_options(options, 8, 8, plenty), "/stage/group: 3 does not divide the 8 nodes"));
  options.train.global_batch = 18;
  EXPECT_TRUE(mentions(check_options(options, 18, 12, plenty), "18 is not divisible by the 4 parts"));
  options.stage.group = 18;  // all nodes hold the whole set: no share has to be equal
  EXPECT_FALSE(mentions(check_options(options, 18, 18, plenty), "parts"));
}

TEST(CheckOptions, RefusesToCallAReducedRunClosed) {
  RunOptions options = fitting();
  options.submission.division = Division::closed;
  options.recipe.model = CosmoflowOptions{.extent = 32};
  const auto complaints = check_options(options, 1, 1, plenty);
  EXPECT_TRUE(mentions(complaints, "/model/extent"));
  EXPECT_TRUE(mentions(complaints, "524288"));
}

TEST(CheckOptions, ReportsEverythingAtOnce) {
  RunOptions options = fitting();
  options.submission.division = Division::closed;
  options.recipe.model = CosmoflowOptions{.extent = 32};
  EXPECT_GE(check_options(options, 3, 1, plenty).size(), 3U);
}

}  // namespace
}  // namespace trainmark

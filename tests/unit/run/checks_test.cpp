// What is said of a config once ranks, nodes and sample counts are known.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "run/launch/warm_up.hpp"
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

/// Of a training with 4 steps an epoch.
std::string warm_up_warning(const Schedule& schedule, Until until, std::int64_t count, std::int64_t samples = 64) {
  RunOptions options = fitting();
  options.recipe.schedule = schedule;
  options.train.until = until;
  options.train.epochs = options.train.steps = count;
  return unfinished_warm_up(options, samples);
}

TEST(UnfinishedWarmUp, IsToldWithBothNumbersWhereTrainingIsShorter) {
  const PiecewiseSchedule by_epoch{.base_rate = 0.002, .peak_rate = 0.008, .warmup_epochs = 3, .decay = {}};
  EXPECT_EQ(
      warm_up_warning(by_epoch, Until::epochs, 2),
      "/schedule/warmup_epochs: the warm-up takes 3 epochs, and training has 2: the rate gets to 0.004, and not to "
      "0.008; shorten the warm-up, or train longer");
  EXPECT_NE(warm_up_warning(by_epoch, Until::target, 2).find("training has at most 2: "), std::string::npos);
  EXPECT_NE(warm_up_warning(by_epoch, Until::epochs, 3).find("gets to 0.006, and"), std::string::npos);
  EXPECT_EQ(warm_up_warning(by_epoch, Until::epochs, 4), "");
  EXPECT_NE(warm_up_warning(by_epoch, Until::steps, 12).find("training has 3: "), std::string::npos);
  EXPECT_EQ(warm_up_warning(by_epoch, Until::steps, 13), "");
}

TEST(UnfinishedWarmUp, IsToldOfEverySchedule) {
  const std::string told = "takes 10 steps, and training has 8: the rate gets to 0.";
  for (const Schedule& schedule : {Schedule(StepSchedule{.rate = 1.0, .warmup_steps = 10}),
                                   Schedule(PolynomialSchedule{.rate = 1.0, .warmup_steps = 10}),
                                   Schedule(TanhSchedule{.rate = 1.0, .warmup_steps = 10})}) {
    EXPECT_NE(warm_up_warning(schedule, Until::steps, 8).find(told), std::string::npos);
    EXPECT_NE(warm_up_warning(schedule, Until::epochs, 2).find(told), std::string::npos);
    EXPECT_EQ(warm_up_warning(schedule, Until::epochs, 3), "");
    EXPECT_EQ(warm_up_warning(schedule, Until::steps, 11), "");
  }
}

TEST(UnfinishedWarmUp, EndsWhereTheRateIsAtItsPeak) {
  const PiecewiseSchedule falling{.base_rate = 0.008, .peak_rate = 0.002, .warmup_epochs = 3, .decay = {}};
  for (const Schedule& schedule : {Schedule(falling), Schedule(StepSchedule{.rate = 1.0, .warmup_steps = 10}),
                                   Schedule(StepSchedule{.rate = 1.0, .warmup_steps = 10, .warmup_factor = 4.0}),
                                   Schedule(PolynomialSchedule{.rate = 1.0, .warmup_steps = 10}),
                                   Schedule(TanhSchedule{.rate = 1.0, .warmup_steps = 10, .lower = -30.0})}) {
    for (std::int64_t steps = 1; steps <= 20; ++steps) {
      double nearest = 1.0;  // to the peak, of what it trains at
      for (std::int64_t step = 0; step < steps; ++step) {
        const double rate = rate_at(schedule, {.epoch = step / 4, .step = step});
        nearest = std::min(nearest, std::abs(rate / peak_rate_of(schedule) - 1.0));
      }
      EXPECT_EQ(warm_up_warning(schedule, Until::steps, steps).empty(), nearest < 1e-9)
          << name_of(schedule) << " after " << steps;
    }
  }
}

TEST(UnfinishedWarmUp, IsNotToldOfWhatNobodyKnowsOrWhatLearnsNothing) {
  const PiecewiseSchedule by_epoch{.base_rate = 0.002, .peak_rate = 0.008, .warmup_epochs = 3, .decay = {}};
  const StepSchedule by_step{.rate = 1.0, .warmup_steps = 10};
  EXPECT_EQ(warm_up_warning(by_epoch, Until::seconds, 1), "");
  EXPECT_EQ(warm_up_warning(by_epoch, Until::steps, 8, 0), "");
  EXPECT_NE(warm_up_warning(by_epoch, Until::epochs, 2, 0), "") << "no samples are needed for that";
  EXPECT_EQ(warm_up_warning(by_step, Until::epochs, 1, 0), "");
  EXPECT_NE(warm_up_warning(by_step, Until::steps, 8, 0), "");
  RunOptions options = fitting();
  options.recipe.schedule = by_step;
  options.train.until = Until::steps;
  options.train.steps = 8;
  options.backend.device = DeviceChoice::emulated;
  EXPECT_EQ(unfinished_warm_up(options, 64), "");
}

}  // namespace
}  // namespace trainmark

// What the loop makes of losses and metrics that are not finite, and of a loss scale that has given up hope: the run
// ends with its rows written, or goes on and counts where the config asks for that.
#include <cmath>
#include <limits>

#include "rig.hpp"

namespace trainmark {
namespace {

using testing::column;
using testing::records_of;
using testing::Rig;
using testing::Seen;

constexpr float not_a_number = std::numeric_limits<float>::quiet_NaN();

class Divergence : public ::testing::TestWithParam<Until> {};

TEST_P(Divergence, OfALossEndsTheRunInItsStepWithTheRowsWritten) {
  for (const float bad : {not_a_number, -not_a_number, std::numeric_limits<float>::infinity()}) {
    Rig rig;
    rig.options.train.until = GetParam();
    rig.options.train.steps = 100;
    rig.loss = [count = 0, bad](const Seen&) mutable { return ++count == 3 ? bad : 1.0F; };
    const std::string text = rig.refusal(ExitCode::target_missed);
    const std::string value = std::isnan(bad) ? "nan" : "inf";
    EXPECT_NE(text.find("step 3 (epoch 2): the loss is " + value + " ("), std::string::npos) << text;
    EXPECT_NE(text.find("lower /schedule/peak_rate"), std::string::npos) << text;
    EXPECT_EQ(rig.seen_by("train").size(), 3U);
    if (!rig.results->writes()) continue;
    EXPECT_EQ(column(rig.table("steps.csv"), "loss"), "1 1 " + value + " ");
  }
}

TEST_P(Divergence, OfTheMetricEndsTheRunWithItsEpochWritten) {
  Rig rig;
  rig.options.train.until = GetParam();
  rig.options.train.epochs = 10;
  rig.options.train.steps = 100;
  rig.metric = [](const Seen& step) { return step.state.epoch == 1 ? -static_cast<double>(not_a_number) : 0.5; };
  const std::string text = rig.refusal(ExitCode::target_missed);
  EXPECT_NE(text.find("evaluation of epoch 2: eval_error is nan"), std::string::npos) << text;
  if (!rig.results->writes()) return;
  EXPECT_EQ(column(rig.table("epochs.csv"), "eval_metric"), "0.5 nan ");
  const auto metrics = records_of(rig.log(), "eval_error");
  ASSERT_EQ(metrics.size(), 2U) << "logged as it is";
  EXPECT_TRUE(std::isnan(std::get<double>(metrics[1].value)));
}

TEST_P(Divergence, IsCountedWhereTheConfigAsksToGoOn) {
  Rig rig;
  rig.options.train.until = GetParam();
  rig.options.train.on_divergence = OnDivergence::proceed;
  rig.options.train.epochs = 3;
  rig.options.train.steps = 6;
  rig.options.train.seconds = 0.05;
  rig.options.train.target = 1e-9;
  rig.loss = [count = 0](const Seen&) mutable { return ++count >= 2 ? not_a_number : 1.0F; };
  rig.metric = [](const Seen&) { return static_cast<double>(not_a_number); };
  if (rig.options.train.until == Until::seconds) rig.loss = [](const Seen&) { return not_a_number; };
  const TrainOutcome outcome = rig.train();
  EXPECT_FALSE(outcome.target_met);
  EXPECT_EQ(outcome.metrics_not_finite, outcome.epochs);
  if (rig.options.train.until == Until::seconds) return;
  EXPECT_EQ(outcome.steps, 6);
  EXPECT_EQ(outcome.epochs, 3);
  EXPECT_EQ(outcome.losses_not_finite, 5);
  EXPECT_EQ(outcome.first_loss_not_finite, 2);
}

INSTANTIATE_TEST_SUITE_P(Until, Divergence,
                         ::testing::Values(Until::epochs, Until::target, Until::steps, Until::seconds));

class LostScale : public ::testing::Test {
 protected:
  Rig rig;
  void SetUp() override {
    rig.scaled = true;
    rig.train_samples = 400;
    rig.options.train.until = Until::steps;
    rig.options.train.steps = 70;
    rig.adjust = [](LossScale& scale) {
      scale.scale = 1.0F;
      ++scale.skipped_in_a_row;
      ++scale.skipped;
    };
  }
};

TEST_F(LostScale, EndsTheRunWithinTheEpoch) {
  const std::string text = rig.refusal(ExitCode::target_missed);
  EXPECT_NE(text.find("step 32: the last 32 updates were skipped: gradients are not finite even at a loss scale of 1"),
            std::string::npos)
      << text;
  EXPECT_NE(text.find("\"bf16\""), std::string::npos) << text;
}

TEST_F(LostScale, IsLookedAtWithPatience) {
  int steps = 0;
  rig.adjust = [&steps](LossScale& scale) {
    scale.scale = 1.0F;
    scale.skipped_in_a_row = ++steps <= 32 ? std::min(steps, 19) : 0;
  };
  const TrainOutcome outcome = rig.train();
  EXPECT_EQ(outcome.steps, 70);
  ASSERT_TRUE(outcome.loss_scale.has_value());
  EXPECT_EQ(outcome.loss_scale->scale, 1.0F);
}

TEST_F(LostScale, IsLeftAsItIsWhereTheConfigAsksToGoOn) {
  rig.options.train.on_divergence = OnDivergence::proceed;
  const TrainOutcome outcome = rig.train();
  EXPECT_EQ(outcome.steps, 70);
  EXPECT_EQ(outcome.loss_scale->skipped, 70);
}
}  // namespace
}  // namespace trainmark

// The loop on a backend whose launches return before they have ended: the host launches a step before it looks at the
// one before, and what it tells of each step is the same as where it waits for all of them.
#include <limits>

#include "rig.hpp"

namespace trainmark {
namespace {

using testing::column;
using testing::Rig;
using testing::Seen;

/// Of one epoch of four steps, each with a loss of its own.
class Ahead : public ::testing::Test {
 protected:
  Rig rig;
  int launched = 0;  // steps

  void SetUp() override {
    rig.backend.ahead = true;
    rig.train_samples = 16;
    rig.options.train.epochs = 1;
    rig.loss = [this](const Seen&) { return static_cast<float>(++launched); };
  }
  /// What the host waited for while it trained, as "1 of 2": for launch 1 when 2 were launched.
  [[nodiscard]] std::vector<std::string> waits(std::size_t launches) const {
    const std::string prefix = "host waits for launch ", last = " of " + std::to_string(launches);
    std::vector<std::string> all;
    for (const std::string& call : rig.backend.calls) {
      if (!call.starts_with(prefix) || call.ends_with(" of 0")) continue;
      all.push_back(call.substr(prefix.size()));
      if (all.back().ends_with(last)) break;
    }
    return all;
  }
};

TEST_F(Ahead, TheHostNeverWaitsForTheStepJustLaunchedUntilTheLastOne) {
  static_cast<void>(rig.train());
  // Twice each: for the step before, and for its slot, into which the next batch goes up.
  EXPECT_EQ(waits(4), (std::vector<std::string>{"0 of 1", "1 of 2", "1 of 2", "2 of 3", "2 of 3", "3 of 4"}));
  const auto& calls = rig.backend.calls;
  EXPECT_NE(std::ranges::find(calls, "host waits for launch 4 of 4"), calls.end()) << "before the evaluation";
}

TEST_F(Ahead, EveryStepIsTold) {
  rig.scaled = true;
  const TrainOutcome outcome = rig.train();
  EXPECT_EQ(outcome.steps, 4);
  EXPECT_EQ(outcome.samples, 16);
  EXPECT_EQ(outcome.step_seconds.size(), 4U);
  EXPECT_GT(outcome.first_step_seconds, 0.0);
  if (!rig.results->writes()) return;
  EXPECT_EQ(column(rig.table("steps.csv"), "loss"), "1 2 3 4 ");
  EXPECT_EQ(column(rig.table("steps.csv"), "step"), "1 2 3 4 ");
  EXPECT_EQ(column(rig.table("epochs.csv"), "train_loss"), "2.5 ");
  double told = 0.0;
  for (const testing::Row& row : rig.table("steps.csv"))
    told += std::stod(row.at("step_s"));
  EXPECT_LE(told, outcome.train_seconds + 4e-6) << "no time is told twice, but for rounding";
}

/// A rank whose device is done when the host looks tells of a step before the others do. Where time ends a run all ask
/// rank 0 between steps: no other question may come in between on one of them.
TEST_F(Ahead, RanksThatLookAtAStepAtDifferentTimesAskEachOtherInOneOrder) {
  rig.backend.ahead = rig.world.all().rank() != 0;
  rig.train_samples = 4 * 1500;
  rig.options.train.until = Until::seconds;
  rig.options.train.seconds = 1.5;
  rig.loss = [](const Seen&) { return 0.5F; };
  EXPECT_GT(rig.train().steps, 0);
}

TEST_F(Ahead, StepsInPartsAreLookedAtBehindTheFirstPartOfTheNextOne) {
  rig.train_samples = 32;
  rig.options.train.global_batch = 8;
  rig.options.train.gradient_accumulation_steps = 2;
  static_cast<void>(rig.train());
  const std::vector<std::string> all = waits(8);
  EXPECT_NE(std::ranges::find(all, "2 of 3"), all.end());
  EXPECT_EQ(std::ranges::find(all, "2 of 2"), all.end());
  if (!rig.results->writes()) return;
  EXPECT_EQ(column(rig.table("steps.csv"), "loss"), "2 4 6 8 ") << "of the last part";
}

TEST_F(Ahead, ALossThatIsNotFiniteEndsTheRunWithItsOwnStep) {
  rig.loss = [this](const Seen&) { return ++launched == 2 ? std::numeric_limits<float>::quiet_NaN() : 1.0F; };
  const std::string text = rig.refusal(ExitCode::target_missed);
  EXPECT_NE(text.find("step 2 (epoch 1): the loss is nan ("), std::string::npos) << text;
  EXPECT_EQ(launched, 3) << "the next step was under way";
  if (!rig.results->writes()) return;
  EXPECT_EQ(column(rig.table("steps.csv"), "loss"), "1 nan ");
}

TEST_F(Ahead, ALossThatIsNotFiniteIsSeenInTheLastStepToo) {
  rig.loss = [this](const Seen&) { return ++launched == 4 ? std::numeric_limits<float>::quiet_NaN() : 1.0F; };
  const std::string text = rig.refusal(ExitCode::target_missed);
  EXPECT_NE(text.find("step 4 (epoch 1): the loss is nan ("), std::string::npos) << text;
  EXPECT_TRUE(rig.seen_by("evaluate").empty());
}

TEST_F(Ahead, ARunOfSomeStepsLosesNone) {
  rig.options.train.until = Until::steps;
  rig.options.train.steps = 3;
  EXPECT_EQ(rig.train().steps, 3);
  EXPECT_EQ(launched, 3);
  if (!rig.results->writes()) return;
  EXPECT_EQ(column(rig.table("steps.csv"), "loss"), "1 2 3 ");
}

TEST_F(Ahead, TheScaleIsLookedAtAsItWasBehindItsOwnStep) {
  rig.scaled = true;
  rig.train_samples = 4 * 40;
  rig.adjust = [](LossScale& scale) { scale = {.scale = 1.0F, .skipped_in_a_row = scale.skipped_in_a_row + 1}; };
  const std::string text = rig.refusal(ExitCode::target_missed);
  EXPECT_NE(text.find("step 32: the last 32 updates were skipped"), std::string::npos) << text;
}

TEST_F(Ahead, AProfilersBracketHoldsItsStepsAndNoOther) {
  rig.backend.profiles = true;
  rig.profile_steps = StepRange{2, 3};
  std::vector<bool> open;
  rig.loss = [&](const Seen&) {
    open.push_back(!rig.backend.bracket.expired());
    return 0.5F;
  };
  static_cast<void>(rig.train());
  EXPECT_EQ(open, (std::vector<bool>{false, true, true, false}));
  const std::vector<std::string> all = waits(3);
  EXPECT_NE(std::ranges::find(all, "1 of 1"), all.end()) << "it opens where the device has nothing to do";
}

}  // namespace
}  // namespace trainmark

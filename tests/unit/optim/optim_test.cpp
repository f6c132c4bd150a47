// Schedules and update rules against numbers computed by hand.
#include <gtest/gtest.h>

#include <limits>

#include "trainmark/optim.hpp"

namespace trainmark {
namespace {

TEST(PiecewiseSchedule, WarmsUpFromTheBaseRateAndReachesThePeakAfterIt) {
  const Schedule schedule = PiecewiseSchedule{.base_rate = 0.001, .peak_rate = 0.009, .warmup_epochs = 4, .decay = {}};
  const double expected[] = {0.001, 0.003, 0.005, 0.007, 0.009, 0.009};
  for (int epoch = 0; epoch < 6; ++epoch)
    EXPECT_DOUBLE_EQ(rate_at(schedule, epoch), expected[epoch]) << "epoch " << epoch;
}

TEST(PiecewiseSchedule, StartsAtThePeakWithoutWarmUp) {
  EXPECT_DOUBLE_EQ(rate_at(PiecewiseSchedule{.base_rate = 1, .peak_rate = 2, .warmup_epochs = 0, .decay = {}}, 0), 2.0);
}

TEST(PiecewiseSchedule, DecaysOnlyBehindABoundary) {
  const Schedule schedule = PiecewiseSchedule{.base_rate = 0.001, .peak_rate = 0.008, .warmup_epochs = 4};
  EXPECT_DOUBLE_EQ(rate_at(schedule, 31), 0.008);
  EXPECT_DOUBLE_EQ(rate_at(schedule, 32), 0.008) << "the boundary itself still runs at the old rate";
  EXPECT_DOUBLE_EQ(rate_at(schedule, 33), 0.002);
  EXPECT_DOUBLE_EQ(rate_at(schedule, 64), 0.002);
  EXPECT_DOUBLE_EQ(rate_at(schedule, 65), 0.001) << "factors are of the peak, not of each other";
  EXPECT_DOUBLE_EQ(rate_at(schedule, 1000), 0.001);
}

TEST(PiecewiseSchedule, TakesItsBoundariesInAnyOrder) {
  const Schedule schedule = PiecewiseSchedule{
      .base_rate = 1, .peak_rate = 1, .warmup_epochs = 0, .decay = {{23, 0.0625}, {19, 0.5}, {21, 0.25}}};
  EXPECT_DOUBLE_EQ(rate_at(schedule, 19), 1.0);
  EXPECT_DOUBLE_EQ(rate_at(schedule, 20), 0.5);
  EXPECT_DOUBLE_EQ(rate_at(schedule, 22), 0.25);
  EXPECT_DOUBLE_EQ(rate_at(schedule, 24), 0.0625);
}

TEST(PiecewiseSchedule, WarmsUpThroughABoundaryThatLiesWithinIt) {
  const Schedule schedule = PiecewiseSchedule{.base_rate = 0, .peak_rate = 8, .warmup_epochs = 4, .decay = {{1, 0.5}}};
  EXPECT_DOUBLE_EQ(rate_at(schedule, 3), 6.0);
  EXPECT_DOUBLE_EQ(rate_at(schedule, 4), 4.0);
}

TEST(SgdMomentum, MovesAsComputedByHand) {
  const SgdMomentum rule{.momentum = 0.5F};
  float velocity = 0.25F, weight = 2.0F;
  update(rule, 0.125F, 0.0F, 4.0F, velocity, weight);
  EXPECT_EQ(velocity, 0.125F - 0.5F);  // 0.5 * 0.25 - 0.125 * 4
  EXPECT_EQ(weight, 2.0F - 0.375F);
  update(rule, 0.125F, 0.0F, 0.0F, velocity, weight);
  EXPECT_EQ(velocity, -0.1875F);
  EXPECT_EQ(weight, 1.4375F);
}

TEST(SgdMomentum, AddsDecayToTheGradient) {
  float velocity = 0.0F, weight = 2.0F;
  update(SgdMomentum{.momentum = 0.5F}, 0.5F, 0.25F, 1.0F, velocity, weight);
  EXPECT_EQ(velocity, -0.75F);  // -0.5 * (1 + 0.25 * 2)
  EXPECT_EQ(weight, 1.25F);
}

TEST(SgdMomentum, KeepsTheRateInsideTheVelocityAsKerasDoes) {
  // A step at rate 1, then one at rate 0: Keras' velocity still carries the first rate, PyTorch's would stand still.
  const SgdMomentum rule{.momentum = 0.5F};
  float velocity = 0.0F, weight = 0.0F;
  update(rule, 1.0F, 0.0F, 1.0F, velocity, weight);
  update(rule, 0.0F, 0.0F, 1.0F, velocity, weight);
  EXPECT_EQ(weight, -1.5F);
}

TEST(SgdMomentum, IsConstantEvaluable) {
  constexpr float weight = [] {
    float v = 0.0F, w = 1.0F;
    update(SgdMomentum{.momentum = 0.0F}, 0.5F, 0.0F, 1.0F, v, w);
    return w;
  }();
  static_assert(weight == 0.5F);
  static_assert(slots_of(Rule{SgdMomentum{}}) == 1);
}

constexpr LossScale after(LossScale state, bool found_inf, const LossScaling& rule = {}) {
  state.found_inf = found_inf ? 1 : 0;
  adjust(rule, state);
  return state;
}

TEST(LossScaling, HalvesAndCountsASkippedStepAndClearsItsAlarm) {
  const LossScale state = after({.scale = 1024.0F, .good_steps = 7, .skipped_in_a_row = 1, .skipped = 3}, true);
  EXPECT_EQ(state, (LossScale{.scale = 512.0F, .found_inf = 0, .good_steps = 0, .skipped_in_a_row = 2, .skipped = 4}));
}

TEST(LossScaling, DoublesAfterAnIntervalOfGoodStepsInARow) {
  LossScale state{.scale = 8.0F};
  for (int step = 0; step < 1999; ++step)
    state = after(state, false);
  EXPECT_EQ(state.scale, 8.0F);
  EXPECT_EQ(after(state, false).scale, 16.0F);
  EXPECT_EQ(after(state, false).good_steps, 0);
  EXPECT_EQ(after(after(state, true), false).scale, 4.0F) << "a skipped step starts the count anew";
}

TEST(LossScaling, StaysWithinItsLimits) {
  const LossScaling rule{.interval = 1, .minimum = 2.0F, .maximum = 16.0F};
  EXPECT_EQ(after({.scale = 16.0F}, false, rule).scale, 16.0F);
  EXPECT_EQ(after({.scale = 2.0F}, true, rule).scale, 2.0F);
  EXPECT_EQ(after({.scale = 2.0F}, true, rule).skipped, 1);
}

TEST(LossScaling, IsHopelessOnlyAtItsMinimumAndWithoutAnyUpdate) {
  const LossScaling rule;
  LossScale state{.scale = rule.initial};
  int steps = 0;
  for (; !is_hopeless(rule, state, 20); ++steps)
    state = after(state, true);
  EXPECT_EQ(steps, 20);
  EXPECT_EQ(state.scale, rule.minimum) << "16 halvings and some steps more";
  EXPECT_FALSE(is_hopeless(rule, after(state, false), 20));
  EXPECT_FALSE(is_hopeless(rule, {.scale = 2.0F, .skipped_in_a_row = 100}, 20));
}

TEST(LossScaling, IsConstantEvaluable) {
  static_assert(after({.scale = 4.0F}, true).scale == 2.0F);
  static_assert(is_finite(3.4e38F) && is_finite(-0.0F) && is_finite(1e-45F));
  static_assert(!is_finite(std::numeric_limits<float>::infinity()) &&
                !is_finite(-std::numeric_limits<float>::infinity()) &&
                !is_finite(std::numeric_limits<float>::quiet_NaN()));
}

}  // namespace
}  // namespace trainmark

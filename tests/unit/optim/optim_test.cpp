// Schedules and update rules against numbers computed by hand.
#include <gtest/gtest.h>

#include <limits>

#include "trainmark/optim.hpp"

namespace trainmark {
namespace {

constexpr Position at_epoch(std::int64_t epoch) { return {.epoch = epoch}; }

TEST(PiecewiseSchedule, WarmsUpFromTheBaseRateAndReachesThePeakAfterIt) {
  const Schedule schedule = PiecewiseSchedule{.base_rate = 0.001, .peak_rate = 0.009, .warmup_epochs = 4, .decay = {}};
  const double expected[] = {0.001, 0.003, 0.005, 0.007, 0.009, 0.009};
  for (int epoch = 0; epoch < 6; ++epoch)
    EXPECT_DOUBLE_EQ(rate_at(schedule, at_epoch(epoch)), expected[epoch]) << "epoch " << epoch;
}

TEST(PiecewiseSchedule, StartsAtThePeakWithoutWarmUp) {
  EXPECT_DOUBLE_EQ(
      rate_at(PiecewiseSchedule{.base_rate = 1, .peak_rate = 2, .warmup_epochs = 0, .decay = {}}, at_epoch(0)), 2.0);
}

TEST(PiecewiseSchedule, DecaysOnlyBehindABoundary) {
  const Schedule schedule = PiecewiseSchedule{.base_rate = 0.001, .peak_rate = 0.008, .warmup_epochs = 4};
  EXPECT_DOUBLE_EQ(rate_at(schedule, at_epoch(31)), 0.008);
  EXPECT_DOUBLE_EQ(rate_at(schedule, at_epoch(32)), 0.008) << "the boundary itself still runs at the old rate";
  EXPECT_DOUBLE_EQ(rate_at(schedule, at_epoch(33)), 0.002);
  EXPECT_DOUBLE_EQ(rate_at(schedule, at_epoch(64)), 0.002);
  EXPECT_DOUBLE_EQ(rate_at(schedule, at_epoch(65)), 0.001) << "factors are of the peak, not of each other";
  EXPECT_DOUBLE_EQ(rate_at(schedule, at_epoch(1000)), 0.001);
}

TEST(PiecewiseSchedule, TakesItsBoundariesInAnyOrder) {
  const Schedule schedule = PiecewiseSchedule{
      .base_rate = 1, .peak_rate = 1, .warmup_epochs = 0, .decay = {{23, 0.0625}, {19, 0.5}, {21, 0.25}}};
  EXPECT_DOUBLE_EQ(rate_at(schedule, at_epoch(19)), 1.0);
  EXPECT_DOUBLE_EQ(rate_at(schedule, at_epoch(20)), 0.5);
  EXPECT_DOUBLE_EQ(rate_at(schedule, at_epoch(22)), 0.25);
  EXPECT_DOUBLE_EQ(rate_at(schedule, at_epoch(24)), 0.0625);
}

TEST(PiecewiseSchedule, WarmsUpThroughABoundaryThatLiesWithinIt) {
  const Schedule schedule = PiecewiseSchedule{.base_rate = 0, .peak_rate = 8, .warmup_epochs = 4, .decay = {{1, 0.5}}};
  EXPECT_DOUBLE_EQ(rate_at(schedule, at_epoch(3)), 6.0);
  EXPECT_DOUBLE_EQ(rate_at(schedule, at_epoch(4)), 4.0);
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

double rate(const StepSchedule& schedule, std::int64_t step) { return rate_at(schedule, {.epoch = 0, .step = step}); }

TEST(StepSchedule, RisesInEqualStepsAndStaysOneShortOfTheRate) {
  const StepSchedule schedule{.rate = 0.004, .warmup_steps = 400};
  EXPECT_DOUBLE_EQ(rate(schedule, 0), 0.004 / 400);
  EXPECT_DOUBLE_EQ(rate(schedule, 199), 0.002);
  EXPECT_DOUBLE_EQ(rate(schedule, 398), 0.004 * 399 / 400);
  EXPECT_DOUBLE_EQ(rate(schedule, 399), 0.9975 * 0.004);
  EXPECT_DOUBLE_EQ(rate(schedule, 100000), 0.9975 * 0.004);
  EXPECT_DOUBLE_EQ(peak_rate_of(schedule), 0.9975 * 0.004);
}

TEST(StepSchedule, RisesFromTheRateToAFactorOfIt) {
  const StepSchedule schedule{.rate = 0.1, .warmup_steps = 10, .warmup_factor = 3.0};
  EXPECT_DOUBLE_EQ(rate(schedule, 0), 0.1 * (1.0 + 2.0 * 0.1));
  EXPECT_DOUBLE_EQ(rate(schedule, 9), 0.1 * (1.0 + 2.0 * 0.9));
  EXPECT_DOUBLE_EQ(rate(schedule, 500), 0.1 * (1.0 + 2.0 * 0.9));
}

TEST(StepSchedule, MeetsAMilestoneOneStepLaterBehindAWarmUp) {
  StepSchedule schedule{.rate = 1.0, .warmup_steps = 0, .decay = {{8192, 0.1}, {16384, 0.01}}};
  EXPECT_DOUBLE_EQ(rate(schedule, 0), 1.0);
  EXPECT_DOUBLE_EQ(rate(schedule, 8190), 1.0);
  EXPECT_DOUBLE_EQ(rate(schedule, 8191), 0.1);
  EXPECT_DOUBLE_EQ(rate(schedule, 16382), 0.1);
  EXPECT_DOUBLE_EQ(rate(schedule, 16383), 0.01);
  schedule.warmup_steps = 100;
  EXPECT_DOUBLE_EQ(rate(schedule, 100 + 8191), 0.99);
  EXPECT_DOUBLE_EQ(rate(schedule, 100 + 8192), 0.99 * 0.1);
}

TEST(StepSchedule, FollowsHalfACosine) {
  StepSchedule schedule{.rate = 0.00155, .cosine_steps = 9000};
  EXPECT_DOUBLE_EQ(rate(schedule, 0), 0.00155);
  EXPECT_DOUBLE_EQ(rate(schedule, 4500), 0.00155 / 2);
  EXPECT_NEAR(rate(schedule, 9000), 0.0, 1e-18);
  schedule.warmup_steps = 101;
  EXPECT_DOUBLE_EQ(rate(schedule, 99), 0.00155 * 100 / 101);
  EXPECT_DOUBLE_EQ(rate(schedule, 100), 0.00155 * 100 / 101) << "the cosine begins where the warm-up ends";
  EXPECT_DOUBLE_EQ(rate(schedule, 4600), 0.00155 * 100 / 101 / 2);
}

TEST(Adam, MovesByTheRateInItsFirstStepWhateverTheGradient) {
  for (const float gradient : {1e-3F, -40.0F}) {
    float m = 0.0F, v = 0.0F, w = 2.0F;
    update(Adam{.epsilon = 1e-12F}, bias_correction(Adam{}, {1}), 0.25F, 0.0F, gradient, m, v, w);
    EXPECT_NEAR(w, gradient > 0 ? 1.75F : 2.25F, 1e-4F);
  }
}

TEST(Adam, DecaysWithinTheGradientOrBesideIt) {
  float m = 0.0F, v = 0.0F, w = 2.0F;
  update(Adam{.decoupled = true}, {}, 0.5F, 0.1F, 0.0F, m, v, w);
  EXPECT_FLOAT_EQ(w, 2.0F - 0.5F * 0.1F * 2.0F);
  EXPECT_EQ(m, 0.0F) << "moments know nothing of it";
  w = 2.0F;
  update(Adam{.decoupled = false}, {}, 0.5F, 0.1F, 0.0F, m, v, w);
  EXPECT_FLOAT_EQ(m, 0.1F * 0.2F) << "the gradient is decay times weight";
}

TEST(Lamb, ClipsByTheNormOfAllGradientsAndOnlyDownwards) {
  EXPECT_FLOAT_EQ(clip(Lamb{}, 16.0), 0.25F);
  EXPECT_FLOAT_EQ(clip(Lamb{}, 0.25), 1.0F);
  EXPECT_FLOAT_EQ(clip(Lamb{.largest_norm = 2.0F}, 16.0), 0.5F);
}

TEST(Lamb, ScalesToTheNormOfTheWeightsUnlessThereIsNone) {
  EXPECT_FLOAT_EQ(trust_ratio(0.01F, 900.0, 9.0), 10.0F) << "without a bound";
  EXPECT_FLOAT_EQ(trust_ratio(0.01F, 0.0, 9.0), 1.0F);
  EXPECT_FLOAT_EQ(trust_ratio(0.01F, 9.0, 0.0), 1.0F);
  EXPECT_FLOAT_EQ(trust_ratio(0.0F, 900.0, 9.0), 1.0F) << "tensors that do not decay are not scaled either";
}

}  // namespace
}  // namespace trainmark

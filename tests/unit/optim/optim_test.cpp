// Schedules and update rules against numbers computed by hand.
#include <gtest/gtest.h>

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

}  // namespace
}  // namespace trainmark

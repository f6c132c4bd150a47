// Schedules and update rules against numbers computed by hand.
#include <gtest/gtest.h>

#include <limits>
#include <utility>

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

TEST(MomentumCorrection, ScalesMomentumAsTheRateMovedAndNotAfterNone) {
  const SgdMomentum corrected{.momentum = 0.9F, .momentum_correction = true};
  EXPECT_FLOAT_EQ(at_rate(corrected, 3.0F, 2.0F).momentum, 1.35F);
  EXPECT_FLOAT_EQ(at_rate(corrected, 0.5F, 2.0F).momentum, 0.225F);
  EXPECT_EQ(at_rate(corrected, 3.0F, 0.0F).momentum, 0.9F) << "a warm-up begins at 0, where no velocity came of";
  EXPECT_EQ(at_rate(SgdMomentum{.momentum = 0.9F}, 3.0F, 2.0F).momentum, 0.9F);
  EXPECT_FLOAT_EQ(at_rate(Lars{.momentum = 0.5F, .momentum_correction = true}, 3.0F, 2.0F).momentum, 0.75F);
}

TEST(MomentumCorrection, MakesOfAVelocityWithRatesWhatOneWithoutThemWouldBe) {
  // PyTorch's velocity u <- m u + g; w <- w - rate u holds no rate. With the correction both go the same way.
  const SgdMomentum rule{.momentum = 0.5F, .momentum_correction = true};
  const float rates[] = {0.25F, 1.0F, 0.5F, 0.125F};
  float velocity = 0.0F, weight = 0.0F, free = 0.0F, expected = 0.0F, previous = 0.0F;
  for (const float now : rates) {
    update(at_rate(rule, now, previous), now, 0.0F, 1.0F, velocity, weight);
    free = 0.5F * free + 1.0F;
    expected -= now * free;
    EXPECT_EQ(weight, expected);
    previous = now;
  }
}

// The TF2 reference: eta 0.001, decay 1e-4, epsilon 1e-7 (its flag is 0).
const Lars tf2{};
// Fujitsu's run of round 0.6, whose kernel gets decay * peak = 6.5e-4.
const Lars fujitsu{.momentum = 0.96F,
                   .weight_decay = 5e-5F,
                   .eta = 0.0025F,
                   .epsilon = 1e-9F,
                   .form = LarsForm::premultiplied,
                   .peak_rate = 13.0F};

TEST(Lars, TrustsATensorByItsNormsInEitherForm) {
  EXPECT_FLOAT_EQ(trust_ratio(tf2, {1e-4F}, 4.0, 0.25), 0.003998399840383879F);  // 0.001 * 2 / (0.5 + 2e-4 + 1e-7)
  EXPECT_FLOAT_EQ(trust_ratio(fujitsu, {5e-5F}, 4.0, 0.25),
                  0.009974067404799388F);  // 0.0025 * 2 / (0.5 + 6.5e-4 * 2 + 1e-9)
  Lars other = tf2;
  other.peak_rate = 13.0F;
  EXPECT_EQ(trust_ratio(other, {1e-4F}, 4.0, 0.25), trust_ratio(tf2, {1e-4F}, 4.0, 0.25)) << "no matter of the rate";
}

TEST(Lars, TrustsFullyWhatHasNoNormOrIsLeftOut) {
  for (const Lars& rule : {tf2, fujitsu}) {
    EXPECT_EQ(trust_ratio(rule, {.decay = 0.0F, .trusted = false}, 4.0, 0.25), 1.0F);
    EXPECT_EQ(trust_ratio(rule, {1e-4F}, 0.0, 0.25), 1.0F);
  }
  EXPECT_EQ(trust_ratio(tf2, {1e-4F}, 4.0, 0.0), 1.0F);
  EXPECT_FLOAT_EQ(trust_ratio(fujitsu, {5e-5F}, 4.0, 0.0), 3.8461508875762407F) << "only what is 0 is not used";
  const Lars bare{.epsilon = 0.0F, .form = LarsForm::premultiplied};
  EXPECT_EQ(trust_ratio(bare, {0.0F}, 4.0, 0.0), 1.0F) << "and nothing is divided by 0";
}

TEST(Lars, MovesATensorOfOneElementAsComputedByHand) {
  float velocity = -0.01F, weight = 2.0F;
  update(at_rate(tf2, 2.0F, 1.0F), 2.0F * trust_ratio(tf2, {1e-4F}, 4.0, 0.25), 1e-4F, 0.5F, velocity, weight);
  EXPECT_FLOAT_EQ(velocity, -0.012999999200320033F);  // 0.9 * -0.01 - 2 * trust * (0.5 + 1e-4 * 2)
  EXPECT_FLOAT_EQ(weight, 1.98700000079968F);

  // In the middle of the warm-up: 0.96 * -0.01 - trust * 6.5e-4 * 0.5 * 2 - trust * 13 * 0.5 * 0.5
  velocity = -0.01F, weight = 2.0F;
  update(at_rate(fujitsu, 6.5F, 6.475F), 6.5F * trust_ratio(fujitsu, {5e-5F}, 4.0, 0.25), 5e-5F, 0.5F, velocity,
         weight);
  EXPECT_FLOAT_EQ(velocity, -0.04202220220941113F);
  EXPECT_FLOAT_EQ(weight, 1.9579777977905888F);
}

TEST(Lars, KeepsOneSlotCountsNothingAndMeasuresTensorsAlone) {
  static_assert(slots_of(Rule{Lars{}}) == 1 && !counts_updates(Rule{Lars{}}));
  static_assert(measures_tensors(Rule{Lars{}}) && !takes_norms(Rule{Lars{}}));
  static_assert(measures_tensors(Rule{Lamb{}}) && takes_norms(Rule{Lamb{}}));
  static_assert(!measures_tensors(Rule{Adam{}}) && !measures_tensors(Rule{SgdMomentum{}}));
  EXPECT_EQ(name_of(Rule{Lars{}}), "lars");
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

double rate(const PolynomialSchedule& schedule, std::int64_t step) {
  return rate_at(schedule, {.epoch = 0, .step = step});
}

TEST(PolynomialSchedule, RunsAsFujitsusWith15StepsAnEpoch) {
  const PolynomialSchedule schedule{
      .rate = 13.0, .warmup_steps = 540, .decay_steps = 780, .power = 2.2, .end_rate = 0.0325};
  const std::pair<std::int64_t, double> expected[] = {{0, 0.0},
                                                      {1, 0.024074074074074074},
                                                      {270, 6.5},
                                                      {539, 12.975925925925926},
                                                      {540, 13.0},
                                                      {541, 12.9634531322101},
                                                      {930, 2.854716107385622},  // 13 (0.9975 * 0.5^2.2 + 0.0025)
                                                      {1319, 0.032505626627062974},
                                                      {1320, 0.0325},
                                                      {1349, 0.0325}};
  for (const auto& [step, value] : expected)
    EXPECT_NEAR(rate(schedule, step), value, 1e-12) << "step " << step;
  EXPECT_EQ(peak_rate_of(schedule), 13.0);
}

TEST(PolynomialSchedule, RunsAsTheReferencesWith40StepsAnEpoch) {
  constexpr std::int64_t steps = 3600, warmup = 1000;
  const PolynomialSchedule schedule{
      .rate = 31.2, .warmup_steps = warmup, .decay_steps = steps - warmup + 1, .power = 2.0, .end_rate = 1e-4};
  const std::pair<std::int64_t, double> expected[] = {{0, 0.0},
                                                      {500, 15.6},
                                                      {1000, 31.2},
                                                      {2300, 7.806073826926948},
                                                      {3599, 0.00011844728634079192},
                                                      {3600, 0.00010461182158519799},
                                                      {3601, 1e-4},
                                                      {9999, 1e-4}};
  for (const auto& [step, value] : expected)
    EXPECT_NEAR(rate(schedule, step), value, 1e-12) << "step " << step;
}

TEST(PolynomialSchedule, BeginsAtItsRateWithoutWarmUp) {
  EXPECT_EQ(rate(PolynomialSchedule{.rate = 2.0, .decay_steps = 4, .power = 1.0}, 0), 2.0);
  EXPECT_EQ(rate(PolynomialSchedule{.rate = 2.0, .decay_steps = 4, .power = 1.0}, 1), 1.5);
}

double rate(const TanhSchedule& schedule, std::int64_t step) { return rate_at(schedule, {.epoch = 0, .step = step}); }

TEST(TanhSchedule, FallsAsHtdBehindAWarmUp) {
  const TanhSchedule schedule{.rate = 2.0, .warmup_steps = 100, .decay_steps = 750};  // HTD(-6, 3)
  const std::pair<std::int64_t, double> expected[] = {{0, 0.0},
                                                      {50, 1.0},
                                                      {100, 2.0 * 0.9999938558253978},    // (1 - tanh(-6)) / 2
                                                      {350, 2.0 * 0.9975273768433652},    // a third: tanh(-3)
                                                      {600, 1.0},                         // two thirds: tanh(0)
                                                      {850, 2.0 * 0.002472623156634768},  // tanh(3)
                                                      {851, 2.0 * 0.002472623156634768},
                                                      {9999, 2.0 * 0.002472623156634768}};
  for (const auto& [step, value] : expected)
    EXPECT_NEAR(rate(schedule, step), value, 1e-12) << "step " << step;
  EXPECT_EQ(peak_rate_of(schedule), 2.0);
}

TEST(TanhSchedule, FallsTowardsAnEndBetweenItsOwnBounds) {
  const TanhSchedule schedule{.rate = 1.25, .decay_steps = 8, .lower = -2.0, .upper = 2.0, .end_rate = 0.25};
  EXPECT_NEAR(rate(schedule, 0), 0.25 + 0.98201379003790845, 1e-12);
  EXPECT_DOUBLE_EQ(rate(schedule, 4), 0.75);
  EXPECT_NEAR(rate(schedule, 8), 0.25 + 0.017986209962091558, 1e-12);
  for (std::int64_t step = 1; step <= 8; ++step)
    EXPECT_LT(rate(schedule, step), rate(schedule, step - 1)) << step;
}

double peak_at(const Schedule& schedule, const BatchScaling& scaling, std::int64_t batch) {
  return peak_rate_of(at_batch(schedule, scaling, batch));
}

TEST(BatchScaling, MakesTheReferencesRates) {
  // ResNet-50 with sgd: 0.128 at a batch of 256. CosmoFlow: 0.001 at 64, linear or by the root.
  const PolynomialSchedule resnet{.rate = 0.128};
  const PiecewiseSchedule cosmoflow{.base_rate = 0.001, .peak_rate = 0.001};
  EXPECT_DOUBLE_EQ(peak_at(resnet, {.base_batch = 256}, 256), 0.128);
  EXPECT_DOUBLE_EQ(peak_at(resnet, {.base_batch = 256}, 1664), 0.832);
  EXPECT_DOUBLE_EQ(peak_at(resnet, {.base_batch = 256}, 81920), 40.96);
  EXPECT_DOUBLE_EQ(peak_at(resnet, {.base_batch = 256}, 64), 0.032) << "downwards, too";
  EXPECT_DOUBLE_EQ(peak_at(cosmoflow, {.base_batch = 64}, 512), 0.008);
  EXPECT_DOUBLE_EQ(peak_at(cosmoflow, {BatchLaw::root, 64}, 1024), 0.004);
  EXPECT_DOUBLE_EQ(peak_at(TanhSchedule{.rate = 2.0}, {BatchLaw::root, 256}, 4096), 8.0);
  EXPECT_DOUBLE_EQ(peak_at(StepSchedule{.rate = 0.001, .warmup_factor = 1.0}, {.base_batch = 128}, 1024), 0.008);
}

TEST(Words, OfOptimizersAndSchedulesAreAllNamed) {
  EXPECT_EQ(from_word<BatchLaw>(""), std::nullopt);
  EXPECT_EQ(from_word<LarsForm>(""), std::nullopt);
}

TEST(BatchScaling, LeavesBeginsAndEndsAndWhatHasNoBaseAlone) {
  const PiecewiseSchedule warm{.base_rate = 0.001, .peak_rate = 0.001, .warmup_epochs = 4, .decay = {}};
  const Schedule scaled = at_batch(warm, {.base_batch = 64}, 512);
  EXPECT_DOUBLE_EQ(rate_at(scaled, at_epoch(0)), 0.001) << "as the reference, from the rate of the base batch";
  EXPECT_DOUBLE_EQ(rate_at(scaled, at_epoch(4)), 0.008);
  const Schedule falling = at_batch(PolynomialSchedule{.rate = 0.5, .end_rate = 1e-4}, {.base_batch = 256}, 1024);
  EXPECT_EQ(falling, Schedule(PolynomialSchedule{.rate = 2.0, .end_rate = 1e-4}));
  for (const BatchLaw law : {BatchLaw::linear, BatchLaw::root})
    EXPECT_EQ(at_batch(warm, {law, 0}, 512), Schedule(warm));
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

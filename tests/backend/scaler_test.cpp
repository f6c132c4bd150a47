// The dynamic loss scale: what a loss makes of it, which gradients raise the alarm, how an update takes it off or stays
// away, and how the scale moves at the end of a step. Scales are powers of two, so nothing here may round.
#include <array>
#include <cmath>
#include <cstring>
#include <limits>

#include "backend/harness.hpp"

namespace trainmark::test {
namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();
constexpr float nan = std::numeric_limits<float>::quiet_NaN();

class BackendScaler : public BackendTest {
 protected:
  [[nodiscard]] Operand scaler(const LossScale& state) {
    return bytes({Shape{loss_scale_extent}, DType::u8, logical_layout}, &state);
  }
  [[nodiscard]] static LossScale read(const Operand& scaler) {
    LossScale state;
    std::memcpy(&state, scaler.buffer.download().data(), sizeof state);
    EXPECT_TRUE(scaler.buffer.guard_intact());
    return state;
  }
  void run(const Planned& planned, std::vector<void*> args) {
    const Buffer scratch(*backend, planned.scratch_bytes);
    args.push_back(scratch.data());
    Stream& stream = backend->stream(Lane::compute);
    planned.plan->execute(stream, args);
    stream.synchronize();
    EXPECT_TRUE(scratch.guard_intact());
  }
  /// found_inf after a check of gradients that hold `planted` at `where`; one element more lies on either side.
  [[nodiscard]] std::int32_t found(std::int64_t count, std::int64_t where, float planted, std::int32_t before = 0) {
    Array gradients = random(Shape{count + 2});
    gradients[where + 1] = planted;
    const Operand values = parameter(gradients);
    const std::vector<std::byte> held = values.buffer.download();  // bytes: a NaN equals nothing
    const Operand state = scaler({.scale = 8.0F, .found_inf = before, .good_steps = 5, .skipped = 2});
    Planned planned = backend->plan(GradientCheck{{100, 100 + count}}, {});
    run(planned, {static_cast<float*>(values.buffer.data()) + 1, state.buffer.data()});
    LossScale after = read(state);
    const std::int32_t flag = std::exchange(after.found_inf, 0);
    EXPECT_EQ(after, (LossScale{.scale = 8.0F, .good_steps = 5, .skipped = 2})) << "only the flag is the check's";
    EXPECT_TRUE(values.buffer.download() == held) << "the check changed what it looked at";
    return flag;
  }
};

/// Gradients of several batches: whole numbers, so that sums are exact, one element more on either side.
TEST_P(BackendScaler, GradientsOfSeveralBatchesAddUpAndTheSumStartsAnew) {
  for (const std::int64_t count : {1, 3, 16, 17, 1000, 70001}) {
    for (const std::int64_t offset : {0, 1, 4}) {
      SCOPED_TRACE(std::to_string(count) + " from " + std::to_string(offset));
      const Shape shape{count + offset + 1};
      const Operand sums = parameter(Array(shape));
      Array expected(shape);
      for (const bool last : {false, false, true}) {
        const Array gradients = whole(shape, -100, 200);
        const Operand values = parameter(gradients);
        Planned planned = backend->plan(Accumulate{.range = {7, 7 + count}, .last = last}, {});
        run(planned,
            {static_cast<float*>(values.buffer.data()) + offset, static_cast<float*>(sums.buffer.data()) + offset});
        for (std::int64_t i = offset; i < offset + count; ++i)
          expected[i] += gradients[i];
        Array left = gradients;
        if (last)
          std::swap_ranges(left.values.begin() + offset, left.values.begin() + offset + count,
                           expected.values.begin() + offset);
        expect_equal(logical(values), left);
        if (last) expected = Array(shape);
        expect_equal(logical(sums), expected);
      }
    }
  }
}

TEST_P(BackendScaler, CheckFindsOneBadGradientWhereverItStands) {
  for (const std::int64_t count : {1, 3, 16, 17, 1000, 70001}) {
    SCOPED_TRACE(count);
    EXPECT_EQ(found(count, 0, 1.0F), 0);
    for (const float bad : {infinity, -infinity, nan, -nan}) {
      for (const std::int64_t where : {std::int64_t{0}, count / 2, count - 1})
        EXPECT_EQ(found(count, where, bad), 1) << where;
    }
  }
}

TEST_P(BackendScaler, CheckLooksAtItsRangeOnly) {
  for (const std::int64_t count : {1, 17, 70001}) {
    EXPECT_EQ(found(count, -1, infinity), 0);
    EXPECT_EQ(found(count, count, nan), 0);
  }
}

TEST_P(BackendScaler, CheckTakesTheLargestAndSmallestNumbersForFinite) {
  for (const float fine : {std::numeric_limits<float>::max(), std::numeric_limits<float>::lowest(),
                           std::numeric_limits<float>::denorm_min(), -0.0F})
    EXPECT_EQ(found(33, 20, fine), 0) << fine;
}

TEST_P(BackendScaler, CheckNeverTakesBackWhatAnotherFound) { EXPECT_EQ(found(33, 20, 1.0F, 1), 1); }

TEST_P(BackendScaler, LossScalesItsGradientAndNotItsValue) {
  const std::int64_t batch = 3, outputs = 4;
  const Array prediction = random({batch, outputs}), target = random({batch, outputs});
  const Loss op{.global_batch = 6};
  for (const int valid : {3, 2}) {
    const std::vector<std::int64_t> ids(static_cast<std::size_t>(valid), 1);
    const StepState state{.rate = 0.0F, .valid = valid};
    const auto operands = [&] {
      return list(activation(prediction, DType::f32), activation(target, DType::f32), step_state(state, ids, batch));
    };
    const auto plain = execute(op, operands(), {gradient({1}), gradient({batch, outputs})});
    auto inputs = operands();
    inputs.push_back(scaler({.scale = 1024.0F}));
    const auto scaled = execute(op, inputs, {gradient({1}), gradient({batch, outputs})});
    expect_equal(logical(scaled[0]), logical(plain[0]));
    Array expected = logical(plain[1]);
    for (double& value : expected.values)
      value *= 1024.0;
    expect_equal(logical(scaled[1]), expected);
  }
}

TEST_P(BackendScaler, UpdateOfScaledGradientsIsThatOfTrueOnesToTheBit) {
  for (const std::int64_t count : {1, 17, 40000}) {
    SCOPED_TRACE(count);
    const Array weights = random(Shape{count}), velocity = random(Shape{count}), gradients = random(Shape{count});
    Array larger = gradients;
    for (double& value : larger.values)
      value *= 65536.0;
    const Operand now = step_state({.rate = 0.05F, .valid = 1}, {1}, 1);
    Update update{.rule = SgdMomentum{.momentum = 0.9F}, .segments = {{{100, 100 + count}, {0.02F}}}};
    const auto updated = [&](const Array& values, const LossScale* scale) {
      update.scaled = scale != nullptr;
      const Operand w = parameter(weights), v = parameter(velocity), g = parameter(values);
      std::vector<void*> args = {w.buffer.data(), g.buffer.data(), v.buffer.data(), now.buffer.data()};
      const Operand state = scaler(scale != nullptr ? *scale : LossScale{});
      if (scale != nullptr) args.push_back(state.buffer.data());
      run(backend->plan(update, {}), args);
      expect_equal(logical(g), values);
      EXPECT_TRUE(w.buffer.guard_intact());
      EXPECT_TRUE(v.buffer.guard_intact());
      return std::pair{logical(w), logical(v)};
    };
    const LossScale scale{.scale = 65536.0F};
    const auto plain = updated(gradients, nullptr);
    const auto scaled = updated(larger, &scale);
    expect_equal(scaled.first, plain.first);
    expect_equal(scaled.second, plain.second);
    EXPECT_NE(plain.first.values, weights.values);

    larger[count / 2] = infinity;
    const LossScale alarmed{.scale = 65536.0F, .found_inf = 1};
    const auto skipped = updated(larger, &alarmed);
    expect_equal(skipped.first, weights);
    expect_equal(skipped.second, velocity);
  }
}

TEST_P(BackendScaler, ScaleMovesAsTheRuleSays) {
  const LossScaling rule{.initial = 16.0F, .interval = 3, .minimum = 2.0F, .maximum = 64.0F};
  Planned planned = backend->plan(AdjustLossScale{rule}, {});
  const Operand state = scaler({.scale = rule.initial});
  LossScale expected{.scale = rule.initial};
  // Growth to the maximum, an alarm amid good steps, then down to the minimum.
  for (const char step : std::string("gggggggggggbggbgggbbbbbbbbg")) {
    LossScale now = read(state);
    now.found_inf = step == 'b' ? 1 : 0;
    state.buffer.upload(&now);
    expected.found_inf = now.found_inf;
    run(planned, {state.buffer.data()});
    adjust(rule, expected);
    EXPECT_EQ(read(state), expected);
  }
  EXPECT_EQ(expected.scale, rule.minimum);
  EXPECT_EQ(expected.skipped, 10);
}

INSTANTIATE_TEST_SUITE_P(Backends, BackendScaler, testing::ValuesIn(cases()), name_of_case);

}  // namespace
}  // namespace trainmark::test

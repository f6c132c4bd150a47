// What depends on StepState: dropout, the loss, the metric and the update. Samples beyond the valid count are padding
// and leave no trace; a dropout mask belongs to a sample, not to its place in a batch.
#include <cmath>
#include <cstring>

#include "backend/harness.hpp"

namespace trainmark::test {
namespace {

class BackendStep : public BackendTest {
 protected:
  [[nodiscard]] static StepState state(int valid, std::int64_t epoch = 3) {
    return {.rate = 0.05F, .valid = valid, .epoch = epoch};
  }
  [[nodiscard]] static Array ones(const Shape& shape) {
    Array array(shape);
    array.values.assign(array.values.size(), 1.0);
    return array;
  }
  [[nodiscard]] Array masked(const Dropout& dropout, const std::vector<std::int64_t>& ids, std::int64_t units,
                             std::int64_t epoch = 3) {
    const auto batch = static_cast<std::int64_t>(ids.size());
    const auto inputs =
        list(activation(ones({batch, units})), step_state(state(static_cast<int>(batch), epoch), ids, batch));
    return result(dropout, inputs, output({batch, units}));
  }
  [[nodiscard]] static std::vector<double> row(const Array& array, std::int64_t n) {
    const auto width = static_cast<std::ptrdiff_t>(array.shape[1]);
    const auto first = array.values.begin() + static_cast<std::ptrdiff_t>(n) * width;
    return {first, first + width};
  }
};

constexpr Dropout half_rate{.rate = 0.5F, .seed = 42, .layer = 1};

TEST_P(BackendStep, DropoutAgreesForwardBackwardAndInPlace) {
  for (const float rate : {0.0F, 0.25F, 0.5F}) {
    const Dropout dropout{.rate = rate, .seed = 0xABCDEF0123456789ULL, .layer = 2};
    for (const auto& [batch, units] : {std::pair{1, 1}, std::pair{3, 17}, std::pair{2, 64}, std::pair{5, 7}}) {
      SCOPED_TRACE(std::to_string(batch) + " x " + std::to_string(units));
      const Array src = random({batch, units});
      std::vector<std::int64_t> ids;
      for (int n = 0; n < batch; ++n)
        ids.push_back((std::int64_t{1} << 33) + 5 * n);  // ids use more than 32 bits
      const Array expected = reference::dropout(dropout, 3, ids, src);
      const auto inputs = list(activation(src), step_state(state(batch), ids, batch));
      for (const bool in_place : {false, true}) {
        expect_close(result(dropout, inputs, output(src.shape), in_place), expected, magnitude(expected));
        expect_close(result(DropoutBackward{dropout}, inputs, output(src.shape), in_place), expected,
                     magnitude(expected));
      }
    }
  }
}

TEST_P(BackendStep, DropoutGivesASampleTheSameMaskWhereverItStands) {
  const Array alone = masked(half_rate, {12}, 50);
  const Array among = masked(half_rate, {7, 3, 12, 9}, 50);
  EXPECT_EQ(row(alone, 0), row(among, 2));
  EXPECT_NE(row(among, 0), row(among, 1));
}

TEST_P(BackendStep, DropoutDrawsAnewForEachEpochAndLayer) {
  const Array mask = masked(half_rate, {12}, 50, 0);
  EXPECT_NE(row(mask, 0), row(masked(half_rate, {12}, 50, 1), 0));
  EXPECT_NE(row(mask, 0), row(masked({.rate = 0.5F, .seed = 42, .layer = 2}, {12}, 50, 0), 0));
  EXPECT_NE(row(mask, 0), row(masked({.rate = 0.5F, .seed = 43, .layer = 1}, {12}, 50, 0), 0));
}

TEST_P(BackendStep, DropoutKeepsItsShare) {
  for (const float rate : {0.1F, 0.5F, 0.8F}) {
    const std::int64_t units = 20000;
    const Array mask = masked({.rate = rate, .seed = 42, .layer = 1}, {5}, units);
    std::int64_t kept = 0;
    for (const double value : mask.values)
      kept += value != 0.0 ? 1 : 0;
    const double expected = 1.0 - rate;
    const double deviation = std::sqrt(expected * rate / static_cast<double>(units));
    EXPECT_NEAR(static_cast<double>(kept) / static_cast<double>(units), expected, 4.5 * deviation) << rate;
  }
}

TEST_P(BackendStep, DropoutOfPaddingIsZero) {
  const Array src = ones({4, 9});
  const std::vector<std::int64_t> ids = {1, 2};
  const auto inputs = list(activation(src), step_state(state(2), ids, 4));
  const Dropout all{.rate = 0.0F, .seed = 1, .layer = 1};
  Array expected = reference::dropout(all, 3, ids, src);
  expect_equal(result(all, inputs, output(src.shape)), expected);
  EXPECT_EQ(expected[9 * 2 - 1], 1.0);
  EXPECT_EQ(expected[9 * 2], 0.0);
}

TEST_P(BackendStep, LossAgreesAndPaddingAddsNothing) {
  for (const std::int64_t batch : {1, 3, 8}) {
    for (const std::int64_t outputs : {1, 4, 5}) {
      for (std::int64_t valid = 0; valid <= batch; ++valid) {
        SCOPED_TRACE(std::to_string(valid) + " of " + std::to_string(batch));
        const Array prediction = random({batch, outputs}), target = random({batch, outputs});
        const Loss op{.global_batch = 2 * batch};
        const auto expected = reference::loss(op, prediction, target, valid);
        const std::vector<std::int64_t> ids(static_cast<std::size_t>(valid), 1);
        const auto inputs = list(activation(prediction, DType::f32), activation(target, DType::f32),
                                 step_state(state(static_cast<int>(valid)), ids, batch));
        const auto results = execute(op, inputs, {gradient({1}), gradient({batch, outputs})});
        EXPECT_NEAR(logical(results[0])[0], expected.value, 1e-6);
        expect_close(logical(results[1]), expected.diff, ones(expected.diff.shape), DType::f32);
        const Array diff = logical(results[1]);
        for (std::int64_t i = valid * outputs; i < batch * outputs; ++i)
          EXPECT_EQ(diff[i], 0.0) << "padding";
      }
    }
  }
}

TEST_P(BackendStep, MetricAddsToItsSumsAndLeavesPaddingOut) {
  const std::int64_t batch = 5, outputs = 3;
  for (const std::int64_t valid : {0, 1, 4, 5}) {
    const Array prediction = random({batch, outputs}), target = random({batch, outputs});
    const auto expected = reference::metric(Metric{}, prediction, target, valid);
    const std::vector<std::int64_t> ids(static_cast<std::size_t>(valid), 1);
    const auto inputs = list(activation(prediction, DType::f32), activation(target, DType::f32),
                             step_state(state(static_cast<int>(valid)), ids, batch));
    const TensorDesc desc{Shape{3}, DType::f64, logical_layout};
    Planned planned = backend->plan(Metric{}, {{inputs[0].desc, inputs[1].desc, inputs[2].desc}, {desc}});
    const std::array<double, 3> start = {1.5, 2.5, 10.0};
    const Operand sums = bytes(desc, start.data());
    const Buffer scratch(*backend, planned.scratch_bytes);
    const std::array<void*, 5> args = {inputs[0].buffer.data(), inputs[1].buffer.data(), inputs[2].buffer.data(),
                                       sums.buffer.data(), scratch.data()};
    for (int repeat = 0; repeat < 2; ++repeat)
      planned.plan->execute(backend->stream(Lane::compute), args);
    backend->stream(Lane::compute).synchronize();
    std::array<double, 3> actual{};
    std::memcpy(actual.data(), sums.buffer.download().data(), sizeof actual);
    for (std::size_t i = 0; i < 3; ++i)
      EXPECT_NEAR(actual[i], start[i] + 2.0 * expected[i], 1e-9) << i << ", valid " << valid;
  }
}

TEST_P(BackendStep, UpdateAgreesAndTakesItsRateFromTheStepState) {
  for (const std::int64_t count : {1, 3, 16, 17, 40000}) {
    for (const float decay : {0.0F, 0.02F}) {
      SCOPED_TRACE(count);
      Array weights = random(Shape{count}), velocity = random(Shape{count});
      const Array gradients = random(Shape{count});
      const Operand on_device_weights = parameter(weights), on_device_velocity = parameter(velocity);
      const Operand on_device_gradients = parameter(gradients);
      const SgdMomentum rule{.momentum = 0.9F};
      Planned planned = backend->plan(Update{.rule = rule, .segments = {{{100, 100 + count}, {decay}}}}, {});
      for (const float rate : {0.05F, 0.01F}) {  // two steps, the second at another rate
        StepState changed = state(1);
        changed.rate = rate;
        const Operand now = step_state(changed, {1}, 1);
        const Buffer scratch(*backend, planned.scratch_bytes);
        const std::array<void*, 5> args = {on_device_weights.buffer.data(), on_device_gradients.buffer.data(),
                                           on_device_velocity.buffer.data(), now.buffer.data(), scratch.data()};
        planned.plan->execute(backend->stream(Lane::compute), args);
        backend->stream(Lane::compute).synchronize();
        reference::update(rule, rate, decay, gradients, velocity, weights);
      }
      expect_close(logical(on_device_weights), weights, ones(weights.shape), DType::f32);
      expect_close(logical(on_device_velocity), velocity, ones(velocity.shape), DType::f32);
      expect_equal(logical(on_device_gradients), gradients);
      EXPECT_TRUE(on_device_weights.buffer.guard_intact());
      EXPECT_TRUE(on_device_velocity.buffer.guard_intact());
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Backends, BackendStep, testing::ValuesIn(cases()), name_of_case);

}  // namespace
}  // namespace trainmark::test

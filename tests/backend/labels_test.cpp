// Losses and metrics of labelled positions: weighted cross-entropy and mean intersection over union.
#include <array>
#include <cmath>
#include <cstring>

#include "backend/harness.hpp"

namespace trainmark::test {
namespace {

const CrossEntropy weighted{{1.0F, 2.5F, 1.75F}};

class BackendLabels : public BackendTest {
 protected:
  [[nodiscard]] Operand labels(const Array& array) {
    const std::vector<std::uint8_t> values(array.values.begin(), array.values.end());
    return bytes({array.shape, DType::u8, logical_layout}, values.data());
  }
  [[nodiscard]] Operand wide_labels(const Array& array) {
    const std::vector<std::int32_t> values(array.values.begin(), array.values.end());
    return bytes({array.shape, DType::i32, logical_layout}, values.data());
  }
  [[nodiscard]] Operand now(std::int64_t valid, std::int64_t batch) {
    const std::vector<std::int64_t> ids(static_cast<std::size_t>(valid), 1);
    return step_state({.rate = 0.0F, .valid = static_cast<std::int32_t>(valid), .epoch = 0}, ids, batch);
  }
  /// What a metric adds to sums that start at 1, 2 and 3.
  [[nodiscard]] std::array<double, 3> measured(const Metric& op, const std::vector<Operand>& inputs) {
    const TensorDesc desc{Shape{3}, DType::f64, logical_layout};
    Planned planned = backend->plan(op, {{inputs[0].desc, inputs[1].desc, inputs[2].desc}, {desc}});
    const std::array<double, 3> start = {1.0, 2.0, 3.0};
    const Operand sums = bytes(desc, start.data());
    const Buffer scratch(*backend, planned.scratch_bytes);
    const std::array<void*, 5> args = {inputs[0].buffer.data(), inputs[1].buffer.data(), inputs[2].buffer.data(),
                                       sums.buffer.data(), scratch.data()};
    planned.plan->execute(backend->stream(Lane::compute), args);
    backend->stream(Lane::compute).synchronize();
    EXPECT_TRUE(scratch.guard_intact());
    std::array<double, 3> found{};
    std::memcpy(found.data(), sums.buffer.download().data(), sizeof found);
    for (std::size_t i = 0; i < 3; ++i)
      found[i] -= start[i];
    return found;
  }
  /// Logits whose largest are these labels.
  [[nodiscard]] static Array predicting(const std::vector<int>& classes) {
    const auto points = static_cast<std::int64_t>(classes.size());
    Array logits(Shape{1, 3, 1, points});
    for (std::int64_t point = 0; point < points; ++point)
      logits[classes[static_cast<std::size_t>(point)] * points + point] = 4.0;
    return logits;
  }
  [[nodiscard]] double iou(const std::vector<int>& predicted, const std::vector<int>& labelled) {
    Array truth(Shape{1, 1, static_cast<std::int64_t>(labelled.size())});
    truth.values.assign(labelled.begin(), labelled.end());
    return measured({Judge::mean_iou, weighted}, list(activation(predicting(predicted)), labels(truth), now(1, 1)))[0];
  }
};

TEST_P(BackendLabels, LossAgreesIsScaledAndPaddingAddsNothing) {
  for (const Shape& shape : {Shape{1, 3, 1, 1}, Shape{3, 3, 4, 5}, Shape{2, 3, 70, 90}}) {
    const std::int64_t batch = shape[0];
    const Shape positions{batch, shape[2], shape[3]};
    for (std::int64_t valid = 0; valid <= batch; ++valid) {
      SCOPED_TRACE(to_string(shape) + ", valid " + std::to_string(valid));
      Array logits = random(shape);
      for (double& value : logits.values)
        value = rounded(6.0 * value, GetParam().dtype);
      const Array truth = whole(positions, 0, 3);
      const Loss op{.global_batch = 2 * batch, .criterion = weighted};
      auto expected = reference::loss(op, logits, truth, valid);
      for (const float scale : {1.0F, 4096.0F}) {
        auto inputs = list(activation(logits), labels(truth), now(valid, batch));
        const LossScale scaler{.scale = scale};
        if (scale != 1.0F) inputs.push_back(bytes({Shape{loss_scale_extent}, DType::u8, logical_layout}, &scaler));
        const auto made = execute(op, inputs, {gradient({1}), output(shape)});
        EXPECT_NEAR(logical(made[0])[0], expected.value, 1e-6 * (1.0 + std::fabs(expected.value)));
        Array diff = expected.diff, bounds = expected.diff;
        for (double& value : diff.values)
          value *= scale;
        // The largest that a derivative can be: its own rounding is relative to a difference of probabilities.
        for (double& value : bounds.values)
          value = scale * 2.5 / static_cast<double>(shape[2] * shape[3] * op.global_batch);
        expect_close(logical(made[1]), diff, bounds);
      }
    }
  }
}

TEST_P(BackendLabels, ManyClassesAgreeToo) {
  const Shape shape{2, 11, 5, 7};
  CrossEntropy criterion;
  for (int of = 0; of < 11; ++of)
    criterion.weights.push_back(0.5F + 0.25F * static_cast<float>(of));
  const Array logits = random(shape), truth = whole({2, 5, 7}, 0, 11);
  const auto inputs = list(activation(logits), labels(truth), now(1, 2));
  const Loss op{.global_batch = 2, .criterion = criterion};
  const auto expected = reference::loss(op, logits, truth, 1);
  const auto made = execute(op, inputs, {gradient({1}), output(shape)});
  EXPECT_NEAR(logical(made[0])[0], expected.value, 1e-6 * (1.0 + std::fabs(expected.value)));
  Array bounds = expected.diff;
  bounds.values.assign(bounds.values.size(), 3.0 / 70.0);
  expect_close(logical(made[1]), expected.diff, bounds);
  const Metric metric{Judge::mean_iou, criterion};
  const auto sums = reference::metric(metric, logits, truth, 1);
  const auto found = measured(metric, inputs);
  EXPECT_NEAR(found[0], sums[0], 1e-12);
  EXPECT_NEAR(found[1], sums[1], 1e-6 * (1.0 + sums[1]));
}

TEST_P(BackendLabels, SmoothedLabelsAgreeForFewAndForManyClasses) {
  struct Form {
    Shape logits, labels;
    double others;  // of alpha = 0.1: alpha / K, or alpha / (K - 1)
  };
  for (const Form& form : {Form{{3, 5, 2, 2}, {3, 2, 2}, 0.1 / 5}, Form{{4, 10}, {4}, 0.1 / 9},
                           Form{{3, 1000}, {3}, 0.1 / 1000}, Form{{2, 300, 1, 3}, {2, 1, 3}, 0.0}}) {
    const std::int64_t batch = form.logits[0], valid = batch - 1;
    SCOPED_TRACE(to_string(form.logits));
    Array logits = random(form.logits);
    for (double& value : logits.values)
      value = rounded(5.0 * value, GetParam().dtype);
    const Array truth = whole(form.labels, 0, static_cast<int>(form.logits[1]));
    const CrossEntropy criterion{{}, form.others};
    const auto inputs = list(activation(logits), wide_labels(truth), now(valid, batch));
    const Loss op{.global_batch = 2 * batch, .criterion = criterion};
    const auto expected = reference::loss(op, logits, truth, valid);
    const auto made = execute(op, inputs, {gradient({1}), output(form.logits)});
    EXPECT_NEAR(logical(made[0])[0], expected.value, 2e-6 * (1.0 + std::fabs(expected.value)));
    Array bounds = expected.diff;
    bounds.values.assign(bounds.values.size(), static_cast<double>(form.labels[0]) /
                                                   static_cast<double>(form.labels.elements() * op.global_batch));
    expect_close(logical(made[1]), expected.diff, bounds);
    const Metric metric{Judge::top1, criterion};
    const auto sums = reference::metric(metric, logits, truth, valid);
    const auto found = measured(metric, inputs);
    EXPECT_NEAR(found[0], sums[0], 1e-12);
    EXPECT_NEAR(found[1], sums[1], 2e-6 * (1.0 + sums[1]));
    EXPECT_EQ(found[2], static_cast<double>(valid));
  }
}

TEST_P(BackendLabels, SmoothingLeavesTheLabelWhatTheTwoDefinitionsSay) {
  // One position, all logits equal: the gradient is 1/K - q.
  constexpr int classes = 1000;
  const Array logits(Shape{1, classes});
  Array truth(Shape{1});
  truth[0] = 999.0;
  for (const auto& [others, own] : {std::pair{0.1 / classes, 0.9001}, std::pair{0.1 / (classes - 1), 0.9}}) {
    const auto made =
        execute(Loss{.global_batch = 1, .criterion = CrossEntropy{{}, others}},
                list(activation(logits), wide_labels(truth), now(1, 1)), {gradient({1}), output(logits.shape)});
    const Array diff = logical(made[1]);
    EXPECT_NEAR(diff[999], 0.001 - own, 3e-3 * own);
    EXPECT_NEAR(logical(made[0])[0], std::log(1000.0), 1e-5);
  }
}

TEST_P(BackendLabels, ThePredictionIsTheFirstOfEqualLogits) {
  Array logits(Shape{3, 40}), truth(Shape{3});
  for (const std::int64_t n : {0, 1, 2})
    logits[n * 40 + 7] = logits[n * 40 + 23] = logits[n * 40 + 39] = 2.0;
  truth.values = {7.0, 23.0, 39.0};
  EXPECT_DOUBLE_EQ(measured({Judge::top1, CrossEntropy{}}, list(activation(logits), wide_labels(truth), now(3, 3)))[0],
                   1.0);
}

TEST_P(BackendLabels, LossOfLargeLogitsIsFinite) {
  Array logits(Shape{1, 3, 1, 2});
  logits.values = {3e4, -3e4, -3e4, 3e4, 0.0, 0.0};
  Array truth(Shape{1, 1, 2});
  truth.values = {0.0, 0.0};
  const auto made = execute(Loss{.global_batch = 1, .criterion = weighted},
                            list(activation(logits), labels(truth), now(1, 1)), {gradient({1}), output(logits.shape)});
  EXPECT_NEAR(logical(made[0])[0], 3e4, 200.0) << "the second position is wrong by 60,000, the first right";
}

TEST_P(BackendLabels, MeanIouIsThatOfTheFactSheet) {
  const std::vector<int> background(16, 0);
  EXPECT_DOUBLE_EQ(iou(background, background), 1.0) << "classes that are nowhere count as found";
  std::vector<int> cyclone = background;
  cyclone[3] = 1;
  EXPECT_NEAR(iou(background, cyclone), 0.6458, 5e-5) << "one pixel missed";
  std::vector<int> river = background;
  river[9] = 2;
  EXPECT_NEAR(iou(river, cyclone), 0.2917, 5e-5) << "and one too many";
}

TEST_P(BackendLabels, TheFirstOfEqualLogitsIsThePrediction) {
  Array truth(Shape{1, 1, 4});
  truth.values = {0.0, 0.0, 0.0, 0.0};
  const Array equal(Shape{1, 3, 1, 4});
  EXPECT_DOUBLE_EQ(measured({Judge::mean_iou, weighted}, list(activation(equal), labels(truth), now(1, 1)))[0], 1.0);
}

TEST_P(BackendLabels, MetricSumsOverSamplesAndLeavesPaddingOut) {
  const Shape shape{4, 3, 33, 47};
  const Array logits = random(shape), truth = whole({4, 33, 47}, 0, 3);
  for (const std::int64_t valid : {0, 1, 3, 4}) {
    const Metric op{Judge::mean_iou, weighted};
    const auto expected = reference::metric(op, logits, truth, valid);
    const auto found = measured(op, list(activation(logits), labels(truth), now(valid, 4)));
    EXPECT_NEAR(found[0], expected[0], 1e-12);
    EXPECT_NEAR(found[1], expected[1], 1e-6 * (1.0 + expected[1]));
    EXPECT_EQ(found[2], static_cast<double>(valid));
  }
}

INSTANTIATE_TEST_SUITE_P(Backends, BackendLabels, testing::ValuesIn(cases()), name_of_case);

}  // namespace
}  // namespace trainmark::test

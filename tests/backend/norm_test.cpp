// Batch norm's parts, sums over positions and per-channel constants, each against fp64 loops.
#include <array>
#include <cmath>
#include <cstring>

#include "backend/harness.hpp"

namespace trainmark::test {
namespace {

using reference::magnitude;

const std::vector<Shape> shapes = {{1, 3, 2, 2}, {2, 8, 3, 5}, {3, 19, 7, 6}, {2, 40, 17, 19}, {5, 33}};

class BackendNorm : public BackendTest {
 protected:
  [[nodiscard]] Operand sums(const Array& array) {
    return bytes({array.shape, DType::f64, logical_layout}, array.values.data());
  }
  [[nodiscard]] static Array doubles(const Operand& operand) {
    Array array(operand.desc.shape);
    std::memcpy(array.values.data(), operand.buffer.download().data(), array.values.size() * sizeof(double));
    return array;
  }
  [[nodiscard]] static TensorDesc sums_of(std::int64_t channels) { return {{2, channels}, DType::f64, logical_layout}; }
  /// Not centred on zero.
  [[nodiscard]] Array source(const Shape& shape, double offset = 0.5) {
    Array array = random(shape);
    for (double& value : array.values)
      value = rounded(value + offset, GetParam().dtype);
    return array;
  }
  /// Sums as a group of `ranks` would have them: these and twice that.
  [[nodiscard]] static Array of_group(Array sums, int ranks) {
    for (double& value : sums.values)
      value *= ranks;
    return sums;
  }
  /// What fp32 arithmetic on values of this size may leave.
  [[nodiscard]] static Array bound(const Array& expected, double size = 4.0) {
    Array bounds = magnitude(expected);
    for (double& value : bounds.values)
      value += size;
    return bounds;
  }
  static void expect_near(const Array& actual, const Array& expected, double relative) {
    ASSERT_EQ(actual.shape, expected.shape);
    double largest = 0.0;
    for (const double value : expected.values)
      largest = std::max(largest, std::fabs(value));
    for (std::int64_t i = 0; i < expected.shape.elements(); ++i)
      EXPECT_NEAR(actual[i], expected[i], relative * largest) << "element " << i;
  }
};

TEST_P(BackendNorm, MomentsAreSumsAndSumsOfSquares) {
  for (const Shape& shape : shapes) {
    SCOPED_TRACE(to_string(shape));
    const Array src = source(shape);
    const auto made = execute(NormMoments{}, list(activation(src)), {sums_of(shape[1])});
    expect_near(doubles(made[0]), reference::norm_moments(src), 1e-6);
  }
}

TEST_P(BackendNorm, MomentsKeepTheVarianceOfValuesFarFromZero) {
  // Mean 1000, deviation about 1: plain fp32 sums of squares would leave nothing of the variance.
  if (GetParam().dtype != DType::f32) GTEST_SKIP() << "16 bits do not hold such values apart";
  const Shape shape{2, 5, 40, 40};
  const Array src = source(shape, 1000.0);
  const Array found = doubles(execute(NormMoments{}, list(activation(src)), {sums_of(5)})[0]);
  const Array expected = reference::norm_moments(src);
  const double count = 3200.0;
  for (std::int64_t c = 0; c < 5; ++c) {
    const auto variance = [&](const Array& sums) { return sums[5 + c] / count - std::pow(sums[c] / count, 2.0); };
    EXPECT_NEAR(variance(found), variance(expected), 1e-4 * variance(expected));
  }
}

TEST_P(BackendNorm, ApplicationNormalisesAndMovesTheStatistics) {
  for (const Shape& shape : shapes) {
    for (const int ranks : {1, 3}) {
      SCOPED_TRACE(to_string(shape) + " of " + std::to_string(ranks));
      const Norm norm{.epsilon = 1e-3F, .momentum = 0.25F, .ranks = ranks};
      const Shape channels{shape[1]};
      const Array src = source(shape), gamma = random(channels), beta = random(channels);
      const Array moments = of_group(reference::norm_moments(src), ranks);
      Array mean = random(channels), variance = random(channels);
      const Array expected = reference::norm_apply(norm, src, moments, gamma, beta);
      const auto inputs =
          list(activation(src), sums(moments), parameter(gamma), parameter(beta), parameter(mean), parameter(variance));
      Operands operands;
      std::vector<void*> args;
      for (const Operand& input : inputs) {
        operands.inputs.push_back(input.desc);
        args.push_back(input.buffer.data());
      }
      operands.outputs = {output(shape)};
      Planned planned = backend->plan(NormApply{norm}, operands);
      const Operand dst{planned.outputs.at(0), Buffer(*backend, backend->bytes_of(planned.outputs.at(0)))};
      const Buffer scratch(*backend, planned.scratch_bytes);
      args.push_back(dst.buffer.data());
      args.push_back(scratch.data());
      planned.plan->execute(backend->stream(Lane::compute), args);
      backend->stream(Lane::compute).synchronize();
      expect_close(logical(dst), expected, bound(expected));
      EXPECT_TRUE(dst.buffer.guard_intact() && scratch.guard_intact());
      reference::move_statistics(norm, shape.elements() / shape[1], moments, mean, variance);
      expect_near(logical(inputs[4]), mean, 1e-6);
      expect_near(logical(inputs[5]), variance, 1e-6);
    }
  }
}

TEST_P(BackendNorm, InferenceUsesTheStatistics) {
  for (const Shape& shape : shapes) {
    for (const int in_place : {0, 1}) {
      SCOPED_TRACE(to_string(shape));
      const Norm norm{.epsilon = 1e-2F};
      const Shape channels{shape[1]};
      Array variance = random(channels);
      for (double& value : variance.values)
        value = static_cast<float>(value * value + 0.1);
      const Array src = source(shape), gamma = random(channels), beta = random(channels), mean = random(channels);
      const Array expected = reference::norm_inference(norm, src, gamma, beta, mean, variance);
      const auto inputs =
          list(activation(src), parameter(gamma), parameter(beta), parameter(mean), parameter(variance));
      expect_close(result(NormInference{norm}, inputs, output(shape), in_place), expected, bound(expected));
    }
  }
}

TEST_P(BackendNorm, GradientsOfGammaAndBetaAreSumsOverTheBatch) {
  for (const Shape& shape : shapes) {
    SCOPED_TRACE(to_string(shape));
    const Norm norm{.epsilon = 1e-3F, .ranks = 2};
    const std::int64_t channels = shape[1];
    const Array src = source(shape), diff = random(shape);
    const Array moments = of_group(reference::norm_moments(src), 2);
    const Array expected = reference::norm_gradients(norm, src, moments, diff);
    const auto made = execute(NormGradients{norm}, list(activation(src), sums(moments), activation(diff)),
                              {gradient({channels}), gradient({channels}), sums_of(channels)});
    expect_near(doubles(made[2]), expected, 2e-6);
    for (std::int64_t c = 0; c < channels; ++c) {
      EXPECT_EQ(logical(made[0])[c], static_cast<float>(doubles(made[2])[c])) << "gamma";
      EXPECT_EQ(logical(made[1])[c], static_cast<float>(doubles(made[2])[channels + c])) << "beta";
    }
  }
}

TEST_P(BackendNorm, BackwardAgreesInPlaceToo) {
  for (const Shape& shape : shapes) {
    for (const int in_place : {0, 1, 2}) {
      SCOPED_TRACE(to_string(shape));
      const Norm norm{.epsilon = 1e-3F, .ranks = 2};
      const Array src = source(shape), diff = random(shape), gamma = random(Shape{shape[1]});
      const Array moments = of_group(reference::norm_moments(src), 2);
      const Array products = of_group(reference::norm_gradients(norm, src, moments, diff), 2);
      const Array expected = reference::norm_backward(norm, src, moments, gamma, products, diff);
      const auto inputs = list(activation(src), sums(moments), parameter(gamma), sums(products), activation(diff));
      expect_close(result(NormBackward{norm}, inputs, output(shape), in_place), expected, bound(expected));
    }
  }
}

TEST_P(BackendNorm, StatisticsAreAveragedOverTheRanksThatAddedThemUp) {
  const auto collective = backend->make_collective(world_of_one().all());
  Array values = random(Shape{301});
  const Operand statistics = parameter(values);
  const Planned planned = backend->plan(AverageStatistics{.elements = 300, .ranks = 4},
                                        {.inputs = {}, .outputs = {}, .collectives = *collective});
  Stream& stream = backend->stream(Lane::compute);
  planned.plan->execute(stream, std::array<void*, 2>{statistics.buffer.data(), nullptr});
  stream.synchronize();
  for (std::int64_t i = 0; i < 300; ++i)
    values[i] *= 0.25;
  expect_equal(logical(statistics), values);
}

TEST_P(BackendNorm, SumsOverPositionsAndTilesAgree) {
  for (const Shape& shape : {Shape{1, 3, 2, 2}, Shape{2, 70, 9, 11}, Shape{3, 5, 2, 3, 4}}) {
    SCOPED_TRACE(to_string(shape));
    const Array src = source(shape);
    const Array sum = reference::spatial_sum(0.5, src);
    Array bounds = reference::spatial_sum(0.5, magnitude(src));
    expect_close(result(SpatialSum{0.5F}, list(activation(src)), output(sum.shape)), sum, bounds);
    const Tile op{{shape.extents().begin() + 2, shape.extents().end()}, 0.25F};
    const Array small = random(sum.shape);
    const Array spread = reference::tile(op, small);
    expect_close(result(op, list(activation(small)), output(shape)), spread, magnitude(spread));
  }
}

TEST_P(BackendNorm, ConstantsOfEachChannelAreTakenOffRawValues) {
  const Shape shape{2, 16, 5, 7};
  Normalise op;
  for (int c = 0; c < 16; ++c) {
    op.shift.push_back(100.0F * static_cast<float>(c) - 3.0F);
    op.scale.push_back(1.0F / static_cast<float>(c + 1));
  }
  Array raw(shape);
  std::vector<float> stored(raw.values.size());  // channels-last, as samples are
  for (std::int64_t i = 0; i < shape.elements(); ++i) {
    const std::int64_t n = i / 560, c = i / 35 % 16, point = i % 35;
    const float value = op.shift[static_cast<std::size_t>(c)] + 0.37F * static_cast<float>(point - n);
    raw[i] = value;
    stored[static_cast<std::size_t>((n * 35 + point) * 16 + c)] = value;
  }
  const Array expected = reference::normalise(op, raw);
  const auto samples = list(bytes({shape, DType::f32, logical_layout}, stored.data()));
  expect_close(result(op, samples, output(shape)), expected, bound(expected, 200.0));
}

TEST_P(BackendNorm, ConstantsOfEachChannelAreTakenOffBytes) {
  const Shape shape{2, 3, 4, 5};
  const Normalise op{{123.675F, 116.28F, 103.53F}, {1.0F / 58.395F, 1.0F / 57.12F, 1.0F / 57.375F}};
  Array raw(shape);
  std::vector<std::uint8_t> stored(raw.values.size());
  for (std::int64_t i = 0; i < shape.elements(); ++i) {
    const std::int64_t n = i / 60, c = i / 20 % 3, point = i % 20;
    const auto value = static_cast<std::uint8_t>(255 - 13 * point - n - c);
    raw[i] = value;
    stored[static_cast<std::size_t>((n * 20 + point) * 3 + c)] = value;
  }
  const Array expected = reference::normalise(op, raw);
  const auto samples = list(bytes({shape, DType::u8, logical_layout}, stored.data()));
  expect_close(result(op, samples, output(shape)), expected, bound(expected, 20.0));
}

INSTANTIATE_TEST_SUITE_P(Backends, BackendNorm, testing::ValuesIn(cases()), name_of_case);

}  // namespace
}  // namespace trainmark::test

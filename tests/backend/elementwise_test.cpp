// What works element by element: activations and their derivatives, in place too, and preprocessing of raw counts.
// Sizes stand around the vector widths and beyond what one thread takes alone.
#include <bit>
#include <cmath>
#include <limits>

#include "backend/harness.hpp"

namespace trainmark::test {
namespace {

std::vector<Shape> shapes() {
  return {{1, 1}, {3, 17}, {2, 16}, {1, 5, 7}, {2, 3, 5, 7}, {2, 5, 3, 1, 2}, {1, 4, 2, 8, 8}, {3, 13, 9, 11, 17}};
}

class BackendElementwise : public BackendTest {
 protected:
  [[nodiscard]] static std::vector<Activation> curves() {
    return {{.curve = Curve::leaky_relu, .slope = 0.3F},
            {.curve = Curve::leaky_relu, .slope = 0.0F},
            {.curve = Curve::tanh, .scale = 1.2F}};
  }
  /// As raw samples lie in memory.
  [[nodiscard]] static std::vector<float> channels_last(const Array& array) {
    const std::int64_t channels = array.shape[1];
    const std::int64_t voxels = array.shape.elements() / array.shape[0] / channels;
    std::vector<float> values(array.values.size());
    for (std::int64_t i = 0; i < array.shape.elements(); ++i) {
      const std::int64_t n = i / voxels / channels, c = i / voxels % channels, voxel = i % voxels;
      values[static_cast<std::size_t>((n * voxels + voxel) * channels + c)] = static_cast<float>(array[i]);
    }
    return values;
  }
  [[nodiscard]] static Array ones(const Shape& shape) {
    Array array(shape);
    array.values.assign(array.values.size(), 1.0);
    return array;
  }
};

TEST_P(BackendElementwise, ActivationsAgreeInPlaceAndBeside) {
  for (const Shape& shape : shapes()) {
    for (const Activation& curve : curves()) {
      SCOPED_TRACE(to_string(shape));
      const Array src = random(shape);
      const Array expected = reference::activation(curve, src);
      for (const bool in_place : {false, true})
        expect_close(result(curve, list(activation(src)), output(shape), in_place), expected, magnitude(src));
    }
  }
}

TEST_P(BackendElementwise, ActivationDerivativesAgreeInPlaceAndBeside) {
  for (const Shape& shape : shapes()) {
    for (const Activation& curve : curves()) {
      SCOPED_TRACE(to_string(shape));
      const Array dst = random(shape), diff_dst = random(shape);
      const Array expected = reference::activation_backward(curve, dst, diff_dst);
      const auto inputs = list(activation(dst), activation(diff_dst));
      for (const bool in_place : {false, true}) {
        expect_close(result(ActivationBackward{curve}, inputs, output(shape), in_place), expected, magnitude(diff_dst));
      }
    }
  }
}

TEST_P(BackendElementwise, ZeroLiesOnTheSlopedSideOfLeakyRelu) {
  const Activation leaky{.curve = Curve::leaky_relu, .slope = 0.25F};
  const Array zeros(Shape{1, 19});
  const Array diff = ones({1, 19});
  Array expected(Shape{1, 19});
  expected.values.assign(19, 0.25);
  expect_equal(result(ActivationBackward{leaky}, list(activation(zeros), activation(diff)), output({1, 19})), expected);
}

/// Raw data lie channels-last in memory under a logical shape; counts of a real universe are small, but not all.
TEST_P(BackendElementwise, PreprocessingOfCountsAgrees) {
  for (const Shape& shape : {Shape{1, 1, 1, 1, 1}, Shape{2, 4, 3, 5, 7}, Shape{3, 4, 8, 8, 8}, Shape{2, 3, 9, 5}}) {
    for (const bool logarithm : {true, false}) {
      SCOPED_TRACE(to_string(shape) + (logarithm ? ", log" : ", mean"));
      Array counts = whole(shape, 0, 40);
      counts[0] = 32767;
      const Preprocess op{.log_transform = logarithm};
      const Array expected = reference::preprocess(op, counts);
      const std::vector<float> floats = channels_last(counts);
      const std::vector<std::int16_t> integers(floats.begin(), floats.end());
      const Array i16 = result(op, list(bytes({shape, DType::i16, logical_layout}, integers.data())), output(shape));
      expect_close(i16, expected, expected);
      const Array f32 = result(op, list(bytes({shape, DType::f32, logical_layout}, floats.data())), output(shape));
      expect_close(f32, expected, expected);
    }
  }
}

/// An overflow is to be seen at the end of the network, whatever stands between.
TEST_P(BackendElementwise, LetsNoNanGo) {
  const Shape shape{3, 17};
  Array src = random(shape);
  src[20] = std::numeric_limits<double>::quiet_NaN();
  for (const Activation& curve : curves())
    EXPECT_TRUE(std::isnan(result(curve, list(activation(src)), output(shape))[20]));
  std::vector<float> raw(51, 1.0F);
  raw[20] = std::bit_cast<float>(0x7FFFFFFF);  // rounded to fewer bits as a number it becomes zero
  const Array mean = result(Preprocess{.log_transform = false},
                            list(bytes({shape, DType::f32, logical_layout}, raw.data())), output(shape));
  EXPECT_TRUE(std::isnan(mean[20]));
}

INSTANTIATE_TEST_SUITE_P(Backends, BackendElementwise, testing::ValuesIn(cases()), name_of_case);

}  // namespace
}  // namespace trainmark::test

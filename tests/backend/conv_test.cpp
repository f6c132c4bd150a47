// Convolutions and their fused blocks against naive loops: odd extents and channels, both of the network's kernels with
// their paddings, strides, dilations and groups, images and volumes, with a bias and without. Thin volumes are swept:
// they are where library kernels go astray.
#include <cmath>
#include <limits>

#include "backend/harness.hpp"

namespace trainmark::test {
namespace {

class BackendConv : public BackendTest {
 protected:
  struct Problem {
    Shape src;
    std::int64_t outputs = 1;
    Conv conv;
  };

  [[nodiscard]] static Conv same(int kernel, std::size_t axes) {
    return {std::vector<int>(axes, kernel), std::vector<int>(axes, 1), std::vector<int>(axes, (kernel - 1) / 2),
            std::vector<int>(axes, kernel / 2)};
  }

  [[nodiscard]] static std::vector<Problem> problems() {
    return {
        {{1, 1, 1, 5, 7}, 1, same(3, 3)},
        {{2, 4, 2, 8, 8}, 8, same(3, 3)},
        {{3, 3, 6, 6, 6}, 5, same(2, 3)},
        {{2, 16, 2, 2, 2}, 17, same(3, 3)},
        {{1, 17, 4, 4, 4}, 16, same(2, 3)},
        {{2, 8, 1, 1, 1}, 16, same(3, 3)},
        {{1, 2, 4, 16, 16}, 7, same(3, 3)},
        {{2, 4, 8, 8, 8}, 16, same(2, 3)},
        {{3, 5, 3, 4, 5}, 3, same(1, 3)},
        {{2, 7, 5, 5, 5}, 4, {{3, 3, 3}, {2, 2, 2}, {0, 0, 0}, {1, 1, 1}}},
        {{2, 3, 7, 6, 5}, 2, {{1, 2, 3}, {1, 2, 1}, {0, 0, 1}, {0, 1, 1}}},
        {{1, 16, 6, 6, 6}, 16, {{2, 2, 2}, {2, 2, 2}, {0, 0, 0}, {0, 0, 0}}},
        {{1, 2, 7, 9}, 5, {{3, 3}, {2, 2}, {1, 1}, {1, 1}}},
        {{3, 5, 6, 7}, 8, {{2, 3}, {1, 1}, {1, 0}, {0, 2}}},
        {{2, 16, 5, 3}, 17, same(3, 2)},
    };
  }

  void forward(const Problem& problem) {
    const Array src = random(problem.src), weights = random(weights_shape(problem));
    const Array bias = random(Shape{problem.outputs});
    const Array expected = reference::conv(problem.conv, src, weights, bias);
    const Array magnitudes = reference::conv(problem.conv, magnitude(src), magnitude(weights), magnitude(bias));
    const auto inputs = list(activation(src), parameter(weights), parameter(bias));
    // On a device the bias of a convolution in groups is added to what the convolution has stored.
    const Array unbiased = reference::conv(problem.conv, src, weights, Array(Shape{problem.outputs}));
    const bool apart = problem.conv.groups != 1 && backend->name() == "cuda";
    expect_close(result(problem.conv, inputs, output(expected.shape)), expected, magnitudes, GetParam().dtype,
                 apart ? &unbiased : nullptr);
    if (apart) return;  // and its curve stands behind it

    const Activation leaky{.curve = Curve::leaky_relu, .slope = 0.3F};
    const ConvBlock block{.conv = problem.conv, .activation = leaky, .has_pool = false, .pool = {}};
    expect_close(result(block, inputs, output(expected.shape)), reference::activation(leaky, expected), magnitudes);
  }

  /// A NaN in the middle of the source is in all that it reaches, behind either curve.
  void keep_nan(const Problem& problem) {
    Array src = random(problem.src);
    src[src.shape.elements() / 2] = std::numeric_limits<double>::quiet_NaN();
    const Array weights = random(weights_shape(problem)), bias = random(Shape{problem.outputs});
    const Array expected = reference::conv(problem.conv, src, weights, bias);
    const auto inputs = list(activation(src), parameter(weights), parameter(bias));
    for (const float slope : {0.3F, 0.0F}) {
      const ConvBlock block{.conv = problem.conv,
                            .activation = {.curve = Curve::leaky_relu, .slope = slope},
                            .has_pool = false,
                            .pool = {}};
      Operands operands{.inputs = {}, .outputs = {output(expected.shape)}};
      for (const Operand& input : inputs)
        operands.inputs.push_back(input.desc);
      if (!backend->refusal(block, operands).empty()) continue;
      const Array found = result(block, inputs, output(expected.shape));
      for (std::int64_t at = 0; at < expected.shape.elements(); ++at)
        ASSERT_TRUE(std::isnan(found[at]) || !std::isnan(expected[at])) << "slope " << slope << ", element " << at;
    }
  }

  void backward_data(const Problem& problem) {
    const Array weights = random(weights_shape(problem)), diff_dst = random(dst_shape(problem));
    const Array expected = reference::conv_backward_data(problem.conv, diff_dst, weights, problem.src);
    const Array magnitudes =
        reference::conv_backward_data(problem.conv, magnitude(diff_dst), magnitude(weights), problem.src);
    const ConvBackwardData op{problem.conv};
    expect_close(result(op, list(activation(diff_dst), parameter(weights)), output(problem.src)), expected, magnitudes);
  }

  void backward_weights(const Problem& problem) {
    const Array src = random(problem.src), diff_dst = random(dst_shape(problem));
    const auto expected = reference::conv_backward_weights(problem.conv, src, diff_dst);
    const auto magnitudes = reference::conv_backward_weights(problem.conv, magnitude(src), magnitude(diff_dst));
    const auto results = execute(ConvBackwardWeights{problem.conv}, list(activation(src), activation(diff_dst)),
                                 {gradient(expected.weights.shape), gradient(expected.bias.shape)});
    expect_close(logical(results[0]), expected.weights, magnitudes.weights, weight_gradient_type());
    expect_close(logical(results[1]), expected.bias, magnitudes.bias, DType::f32);
  }

  /// The same without a bias.
  void without_bias(const Problem& problem) {
    const Array src = random(problem.src), weights = random(weights_shape(problem)),
                diff_dst = random(dst_shape(problem));
    const Array none(Shape{problem.outputs});
    const Array expected = reference::conv(problem.conv, src, weights, none);
    const Array magnitudes = reference::conv(problem.conv, magnitude(src), magnitude(weights), none);
    expect_close(result(problem.conv, list(activation(src), parameter(weights)), output(expected.shape)), expected,
                 magnitudes);
    const Array gradients = reference::conv_backward_weights(problem.conv, src, diff_dst).weights;
    const Array bounds = reference::conv_backward_weights(problem.conv, magnitude(src), magnitude(diff_dst)).weights;
    const auto inputs = list(activation(src), activation(diff_dst));
    expect_close(logical(execute(ConvBackwardWeights{problem.conv}, inputs, {gradient(gradients.shape)})[0]), gradients,
                 bounds, weight_gradient_type());
  }

  [[nodiscard]] static Conv depthwise(int channels, std::vector<int> stride, std::vector<int> dilation) {
    const std::vector<int> kernel(stride.size(), 3);
    return {kernel, std::move(stride), dilation, dilation, dilation, channels};
  }

  [[nodiscard]] static Shape weights_shape(const Problem& problem) {
    Shape shape = problem.src;
    shape[0] = problem.outputs;
    shape[1] /= problem.conv.groups;
    for (std::size_t axis = 0; axis < problem.conv.kernel.size(); ++axis)
      shape[axis + 2] = problem.conv.kernel[axis];
    return shape;
  }
  [[nodiscard]] static Shape dst_shape(const Problem& problem) {
    const std::vector<Tensor> inputs = {
        {"src", problem.src}, {"weights", weights_shape(problem)}, {"bias", Shape{problem.outputs}}};
    return infer(problem.conv, inputs)[0].shape;
  }
  [[nodiscard]] static std::string text(const Problem& problem) {
    return to_string(problem.src) + " with weights " + to_string(weights_shape(problem));
  }
};

TEST_P(BackendConv, ForwardAndBlockAgreeWithNaiveLoops) {
  for (const Problem& problem : problems()) {
    SCOPED_TRACE(text(problem));
    forward(problem);
  }
}

TEST_P(BackendConv, LetsNoNanGoBehindACurve) {
  for (const Problem& problem : problems()) {
    SCOPED_TRACE(text(problem));
    keep_nan(problem);
  }
}

TEST_P(BackendConv, BackwardDataAgreesWithNaiveLoops) {
  for (const Problem& problem : problems()) {
    SCOPED_TRACE(text(problem));
    backward_data(problem);
  }
}

TEST_P(BackendConv, BackwardWeightsAgreesWithNaiveLoops) {
  for (const Problem& problem : problems()) {
    SCOPED_TRACE(text(problem));
    backward_weights(problem);
  }
}

TEST_P(BackendConv, ThinVolumesOfAllKindsAreRight) {
  for (const int kernel : {2, 3}) {
    for (std::int64_t depth = 1; depth <= 4; ++depth) {
      for (std::int64_t height = 2; height <= 3; ++height) {
        for (const std::int64_t channels : {4, 16, 17}) {
          const Problem problem{{2, channels, depth, height, 3}, 16, same(kernel, 3)};
          SCOPED_TRACE(text(problem));
          backward_weights(problem);
          backward_data(problem);
          forward(problem);
        }
      }
    }
  }
}

/// Windows as long as an axis or longer: library kernels of both types were seen to read memory that nobody wrote.
TEST_P(BackendConv, WindowsThatSpanAnAxisAreRight) {
  const std::vector<Problem> spanning = {
      {{1, 2, 4, 8, 8}, 15, {{4, 2, 1}, {1, 2, 2}, {0, 1, 0}, {3, 1, 0}}},
      {{1, 3, 2, 9, 5}, 48, {{4, 3, 3}, {1, 2, 2}, {2, 1, 1}, {2, 1, 1}}},
      {{3, 48, 4, 1, 2}, 3, {{4, 2, 2}, {1, 1, 2}, {1, 1, 0}, {1, 0, 0}}},
      {{1, 32, 3, 9, 1}, 32, {{1, 1, 3}, {1, 2, 2}, {0, 0, 2}, {0, 0, 0}}},
      {{3, 16, 1, 1}, 32, {{1, 2}, {2, 2}, {0, 0}, {0, 1}}},
      {{2, 5, 1, 5, 6}, 32, {{2, 1, 1}, {1, 1, 2}, {1, 0, 0}, {1, 0, 0}}},
      {{2, 33, 1, 4, 4}, 16, {{4, 1, 3}, {1, 2, 2}, {3, 0, 0}, {2, 0, 2}}},
      {{1, 7, 3, 6, 7}, 16, {{4, 1, 3}, {1, 2, 2}, {1, 0, 1}, {3, 0, 1}}},
      {{2, 5, 9, 1}, 7, {{3, 2}, {1, 2}, {1, 0}, {0, 1}}},
      {{1, 1, 7, 3, 1}, 32, {{3, 3, 1}, {1, 1, 2}, {0, 0, 0}, {1, 0, 0}}},
      {{1, 8, 4, 1, 2}, 15, {{4, 1, 3}, {2, 1, 2}, {3, 0, 0}, {2, 0, 2}}},
      {{2, 16, 7, 9}, 16, {.kernel = {3, 3}, .stride = {1, 1}, .pad_lo = {6, 6}, .pad_hi = {6, 6}, .dilation = {6, 6}}},
      {{1, 5, 12, 4}, 33, {.kernel = {3, 3}, .stride = {1, 2}, .pad_lo = {4, 2}, .pad_hi = {4, 3}, .dilation = {4, 3}}},
  };
  for (const Problem& problem : spanning) {
    SCOPED_TRACE(text(problem));
    backward_weights(problem);
    backward_data(problem);
    forward(problem);
  }
}

/// A library kernel for such windows was seen to write behind the scratch memory that it had asked for.
TEST_P(BackendConv, StridedWindowsOfOneElementAreRightAndStayInTheirMemory) {
  const std::vector<Problem> strided = {
      {{3, 8, 9, 4}, 15, {{1, 1}, {1, 2}, {0, 0}, {0, 0}}},
      {{3, 5, 6, 8}, 1, {{1, 1}, {1, 2}, {0, 0}, {0, 0}}},
      {{1, 1, 6, 6}, 16, {{1, 1}, {1, 2}, {0, 0}, {0, 0}}},
      {{1, 7, 8, 8}, 16, {{1, 1}, {2, 1}, {0, 0}, {0, 0}}},
      {{2, 32, 8, 8}, 48, {{1, 1}, {2, 2}, {0, 0}, {0, 0}}},
      {{2, 33, 7, 9}, 32, {{1, 1}, {2, 2}, {0, 0}, {0, 0}}},
      {{2, 8, 4, 6, 7}, 16, {{1, 1, 1}, {2, 2, 2}, {0, 0, 0}, {0, 0, 0}}},
  };
  for (const Problem& problem : strided) {
    SCOPED_TRACE(text(problem));
    backward_weights(problem);
    backward_data(problem);
    forward(problem);
  }
}

/// Separable and atrous layers: a filter a channel, groups of several, taps apart, also farther than the axis is long.
TEST_P(BackendConv, GroupsAndDilationsAgreeWithNaiveLoops) {
  const std::vector<Problem> problems = {
      {{2, 5, 9, 7}, 5, depthwise(5, {1, 1}, {1, 1})},
      {{1, 16, 8, 10}, 16, depthwise(16, {2, 2}, {1, 1})},
      {{2, 24, 9, 7}, 24, depthwise(24, {1, 1}, {2, 2})},
      {{1, 17, 7, 9}, 17, depthwise(17, {2, 1}, {1, 2})},
      {{2, 8, 4, 5, 6}, 8, depthwise(8, {1, 1, 1}, {1, 1, 1})},
      {{2, 16, 5, 6}, 32, {{3, 3}, {1, 1}, {1, 1}, {1, 1}, {}, 2}},
      {{1, 32, 6, 5}, 16, {{1, 1}, {1, 1}, {0, 0}, {0, 0}, {}, 2}},
      {{2, 7, 11, 13}, 5, {{3, 3}, {1, 1}, {2, 2}, {2, 2}, {2, 2}}},
      {{1, 16, 9, 9}, 8, {{3, 3}, {1, 1}, {6, 6}, {6, 6}, {6, 6}}},
      {{1, 4, 12, 11}, 6, {{3, 2}, {2, 1}, {3, 0}, {2, 1}, {3, 2}}},
      {{1, 3, 5, 7, 8}, 4, {{2, 3, 2}, {1, 1, 2}, {0, 2, 0}, {1, 2, 3}, {1, 2, 3}}},
  };
  for (const Problem& problem : problems) {
    SCOPED_TRACE(text(problem));
    forward(problem);
    backward_data(problem);
    backward_weights(problem);
    without_bias(problem);
  }
}

TEST_P(BackendConv, ConvolutionsWithoutABiasAgreeWithNaiveLoops) {
  for (const Problem& problem : problems()) {
    SCOPED_TRACE(text(problem));
    without_bias(problem);
  }
}

INSTANTIATE_TEST_SUITE_P(Backends, BackendConv, testing::ValuesIn(cases()), name_of_case);

}  // namespace
}  // namespace trainmark::test

// The first layer's block, convolution, curve and pool in one pass, against the three operations it stands for: widths
// that no vector divides, whole numbers with many equal maxima, and the gradient that its winners lead back.
#include "backend/harness.hpp"

namespace trainmark::test {
namespace {

class BackendFirstBlock : public BackendTest {
 protected:
  struct Problem {
    Shape src;
    std::int64_t outputs = 8;
    float slope = 0.3F;
  };
  struct Expected {
    Array dst, active, magnitudes;
  };

  void SetUp() override {
    BackendTest::SetUp();
    if (backend->name() != "cpu") GTEST_SKIP() << "this backend has no such block";
  }

  [[nodiscard]] static std::vector<Problem> problems() {
    return {{{1, 4, 2, 2, 2}, 8},         {{2, 4, 8, 8, 8}, 32},  {{3, 1, 4, 6, 2}, 16},      {{1, 8, 2, 4, 10}, 40},
            {{2, 3, 6, 2, 14}, 64, 0.1F}, {{1, 5, 4, 4, 34}, 24}, {{2, 6, 2, 10, 6}, 8, 1.0F}};
  }
  [[nodiscard]] static ConvBlock block(const Problem& problem) {
    const std::vector<int> one(3, 1), two(3, 2), three(3, 3);
    return {.conv = {three, one, one, one},
            .activation = {.curve = Curve::leaky_relu, .slope = problem.slope},
            .has_pool = true,
            .pool = {two, two}};
  }
  [[nodiscard]] static Expected expected(const ConvBlock& op, const Array& src, const Array& weights,
                                         const Array& bias) {
    const Array active = reference::activation(op.activation, reference::conv(op.conv, src, weights, bias));
    const Array sizes = reference::conv(op.conv, magnitude(src), magnitude(weights), magnitude(bias));
    return {reference::pool(op.pool, active), active, reference::pool(op.pool, sizes)};
  }

  void check(const Problem& problem, bool integers) {
    SCOPED_TRACE(to_string(problem.src) + " to " + std::to_string(problem.outputs));
    const ConvBlock op = block(problem);
    const Shape weights_shape{problem.outputs, problem.src[1], 3, 3, 3};
    const Array src = integers ? whole(problem.src, -1, 3) : random(problem.src);
    const Array weights = integers ? whole(weights_shape, -1, 3) : random(weights_shape);
    const Array bias = integers ? whole(Shape{problem.outputs}, -1, 3) : random(Shape{problem.outputs});
    const Expected wanted = expected(op, src, weights, bias);
    const Shape& pooled = wanted.dst.shape;
    const TensorDesc winner{pooled, DType::u8, logical_layout};

    auto inputs = list(activation(src), parameter(weights), parameter(bias));
    auto results = execute(op, inputs, {output(pooled), winner});
    expect_close(logical(results[0]), wanted.dst, wanted.magnitudes);
    expect_equal(result(op, inputs, output(pooled)), logical(results[0]));  // an evaluation wants no winners

    const Array diff = integers ? whole(pooled, -3, 7) : random(pooled);
    const auto through = [&](const Array& from) {
      return reference::activation_backward(op.activation, wanted.active,
                                            reference::pool_backward(op.pool, wanted.active, from));
    };
    const auto gradients = reference::conv_backward_weights(op.conv, src, through(diff));
    const auto sizes = reference::conv_backward_weights(op.conv, magnitude(src), through(magnitude(diff)));
    const auto backward = list(std::move(inputs[0]), std::move(results[1]), activation(diff));
    const auto found =
        execute(ConvBlockBackwardWeights{op}, backward, {gradient(weights_shape), gradient(Shape{problem.outputs})});
    expect_close(logical(found[0]), gradients.weights, sizes.weights, DType::f32);
    expect_close(logical(found[1]), gradients.bias, sizes.bias, DType::f32);
  }
};

TEST_P(BackendFirstBlock, AgreesWithItsPartsForwardAndBackward) {
  for (const Problem& problem : problems())
    check(problem, false);
}

TEST_P(BackendFirstBlock, FirstOfEqualMaximaTakesTheGradient) {
  for (const Problem& problem : problems())
    check(problem, true);
}

INSTANTIATE_TEST_SUITE_P(Backends, BackendFirstBlock, testing::ValuesIn(cases()), name_of_case);

}  // namespace
}  // namespace trainmark::test

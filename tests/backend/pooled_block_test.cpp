// The block of convolution, curve and pool against the three operations it stands for: widths that no vector divides,
// columns that come by pairs and not, whole numbers with many equal maxima, and the gradients that its winners lead
// back.
#include <cmath>
#include <limits>

#include "backend/harness.hpp"

namespace trainmark::test {
namespace {

class BackendPooledBlock : public BackendTest {
 protected:
  struct Problem {
    Shape src;
    std::int64_t outputs = 8;
    float slope = 0.3F;
    int kernel = 3;
  };
  struct Expected {
    Array dst, active, magnitudes;
    Array convolved;  ///< the largest magnitude in each window before the bias
  };

  /// The CPU's block is for a network's first layer, whose data gradient nobody wants.
  [[nodiscard]] bool any_layer() const { return backend->name() == "cuda"; }

  [[nodiscard]] std::vector<Problem> problems() const {
    std::vector<Problem> all = {{{1, 4, 2, 2, 2}, 8},        {{2, 4, 8, 8, 8}, 32},        {{3, 1, 4, 6, 2}, 16},
                                {{1, 8, 2, 4, 10}, 40},      {{2, 3, 6, 2, 14}, 64, 0.1F}, {{1, 5, 4, 4, 34}, 24},
                                {{2, 6, 2, 10, 6}, 8, 1.0F}, {{2, 4, 4, 6, 8}, 8},         {{1, 3, 2, 4, 12}, 40},
                                {{1, 4, 4, 2, 4}, 16}};
    if (any_layer()) {
      const std::vector<Problem> more = {{{2, 16, 4, 4, 4}, 24},
                                         {{1, 17, 4, 2, 6}, 5},
                                         {{2, 8, 4, 4, 4}, 264},
                                         {{3, 4, 4, 6, 4}, 7, 0.0F},
                                         {{2, 4, 6, 4, 4}, 16, 0.3F, 2}};
      all.insert(all.end(), more.begin(), more.end());
    }
    return all;
  }
  [[nodiscard]] static ConvBlock block(const Problem& problem) {
    const std::vector<int> one(3, 1), two(3, 2), kernel(3, problem.kernel), before(3, (problem.kernel - 1) / 2);
    return {.conv = {kernel, one, before, one},
            .activation = {.curve = Curve::leaky_relu, .slope = problem.slope},
            .has_pool = true,
            .pool = {two, two}};
  }
  [[nodiscard]] static Expected expected(const ConvBlock& op, const Array& src, const Array& weights,
                                         const Array& bias) {
    const Array active = reference::activation(op.activation, reference::conv(op.conv, src, weights, bias));
    const Array sizes = reference::conv(op.conv, magnitude(src), magnitude(weights), magnitude(bias));
    const Array plain = reference::conv(op.conv, src, weights, Array(bias.shape));
    return {reference::pool(op.pool, active), active, reference::pool(op.pool, sizes),
            reference::pool(op.pool, magnitude(plain))};
  }

  void check(const Problem& problem, bool integers) {
    SCOPED_TRACE(to_string(problem.src) + " to " + std::to_string(problem.outputs));
    const ConvBlock op = block(problem);
    const Shape weights_shape{problem.outputs, problem.src[1], problem.kernel, problem.kernel, problem.kernel};
    const Array src = integers ? whole(problem.src, -1, 3) : random(problem.src);
    const Array weights = integers ? whole(weights_shape, -1, 3) : random(weights_shape);
    const Array bias = integers ? whole(Shape{problem.outputs}, -1, 3) : random(Shape{problem.outputs});
    const Expected wanted = expected(op, src, weights, bias);
    const Shape& pooled = wanted.dst.shape;
    const TensorDesc winner{pooled, DType::u8, logical_layout};

    auto inputs = list(activation(src), parameter(weights), parameter(bias));
    auto results = execute(op, inputs, {output(pooled), winner});
    // A device stores what it convolved in the activations' type; bias and curve come behind the pool.
    const Array* stored = any_layer() ? &wanted.convolved : nullptr;
    expect_close(logical(results[0]), wanted.dst, wanted.magnitudes, GetParam().dtype, stored);
    // An evaluation wants no winners.
    expect_close(result(op, inputs, output(pooled)), wanted.dst, wanted.magnitudes, GetParam().dtype, stored);
    if (any_layer() && !integers && GetParam().dtype != DType::f32) return;  // rounding makes maxima equal

    const Array diff = integers ? whole(pooled, -3, 7) : random(pooled);
    const auto through = [&](const Array& from) {
      return reference::activation_backward(op.activation, wanted.active,
                                            reference::pool_backward(op.pool, wanted.active, from));
    };
    const auto gradients = reference::conv_backward_weights(op.conv, src, through(diff));
    auto sizes = reference::conv_backward_weights(op.conv, magnitude(src), through(magnitude(diff)));
    if (any_layer() &&
        GetParam().dtype != DType::f32) {  // the gradient of the convolution's output is stored in 16 bits
      for (Array* array : {&sizes.weights, &sizes.bias})
        for (double& value : array->values)
          value *= GetParam().dtype == DType::bf16 ? 2e3 : 250.0;
    }
    const auto backward = list(std::move(inputs[0]), std::move(results[1]), activation(diff));
    const ConvBlockBackwardWeights derivative{op};
    std::vector<TensorDesc> outputs = {gradient(weights_shape), gradient(Shape{problem.outputs})};
    const auto first_layer = execute(derivative, backward, outputs);
    expect_close(logical(first_layer[0]), gradients.weights, sizes.weights, weight_gradient_type());
    expect_close(logical(first_layer[1]), gradients.bias, sizes.bias, weight_gradient_type());

    outputs.push_back(output(wanted.active.shape));
    if (!any_layer()) {
      EXPECT_NE(backend->refusal(derivative, {descs(backward), outputs}), "");
      return;
    }
    const auto inner_layer = execute(derivative, backward, outputs);
    expect_equal(logical(inner_layer[0]), logical(first_layer[0]));
    expect_equal(logical(inner_layer[1]), logical(first_layer[1]));
    expect_close(logical(inner_layer[2]), through(diff), through(magnitude(diff)));
  }
  [[nodiscard]] static std::vector<TensorDesc> descs(const std::vector<Operand>& operands) {
    std::vector<TensorDesc> all;
    for (const Operand& operand : operands)
      all.push_back(operand.desc);
    return all;
  }
};

TEST_P(BackendPooledBlock, AgreesWithItsPartsForwardAndBackward) {
  leave_out_engines_that_vary();
  for (const Problem& problem : problems())
    check(problem, false);
}

TEST_P(BackendPooledBlock, FirstOfEqualMaximaTakesTheGradient) {
  leave_out_engines_that_vary();
  for (const Problem& problem : problems())
    check(problem, true);
}

TEST_P(BackendPooledBlock, LetsNoNanGo) {
  const Problem problem{{1, 4, 8, 8, 8}, 32};
  const ConvBlock op = block(problem);
  const Shape weights_shape{problem.outputs, problem.src[1], 3, 3, 3};
  Array src = random(problem.src);
  src[problem.src.elements() / 2] = std::numeric_limits<double>::quiet_NaN();
  const Array weights = random(weights_shape), bias = random(Shape{problem.outputs});
  const Shape pooled = expected(op, src, weights, bias).dst.shape;
  const auto inputs = list(activation(src), parameter(weights), parameter(bias));
  const Array found = logical(execute(op, inputs, {output(pooled), {pooled, DType::u8, logical_layout}})[0]);
  const Array evaluated = result(op, inputs, output(pooled)), wanted = expected(op, src, weights, bias).dst;
  for (std::int64_t at = 0; at < pooled.elements(); ++at) {
    EXPECT_EQ(std::isnan(found[at]), std::isnan(wanted[at])) << at;
    EXPECT_EQ(std::isnan(evaluated[at]), std::isnan(wanted[at])) << at;
  }
}

INSTANTIATE_TEST_SUITE_P(Backends, BackendPooledBlock, testing::ValuesIn(cases()), name_of_case);

}  // namespace
}  // namespace trainmark::test

// Dense layers against naive loops: vectors and channels-last volumes of odd sizes (flattened D,H,W,C), and the step
// out of bf16 before the loss, whose fp32 gradient comes back into it.
#include "backend/harness.hpp"

namespace trainmark::test {
namespace {

struct Problem {
  Shape src;
  std::int64_t units;
};

std::vector<Problem> problems() {
  return {{{1, 1}, 1},    {{3, 17}, 5},           {{2, 64}, 4},          {{2, 5, 3, 1, 2}, 7},
          {{4, 128}, 64}, {{1, 16, 2, 2, 2}, 16}, {{3, 7, 1, 5, 3}, 17}, {{2, 3, 5, 4}, 2}};
}

class BackendDense : public BackendTest {
 protected:
  [[nodiscard]] static Shape weights_shape(const Problem& problem) {
    return {problem.units, problem.src.elements() / problem.src[0]};
  }
  [[nodiscard]] static std::string text(const Problem& problem) {
    return to_string(problem.src) + " to " + std::to_string(problem.units);
  }
  void forward(const Problem& problem, DType result_type) {
    const Array src = random(problem.src), weights = random(weights_shape(problem));
    const Array bias = random(Shape{problem.units});
    const Array expected = reference::dense(src, weights, bias);
    const Array magnitudes = reference::dense(magnitude(src), magnitude(weights), magnitude(bias));
    const auto inputs = list(activation(src), parameter(weights), parameter(bias));
    const TensorDesc dst{expected.shape, result_type, logical_layout};
    expect_close(result(Dense{}, inputs, dst), expected, magnitudes, result_type);
  }
  void backward_data(const Problem& problem, DType diff_type) {
    const Array diff_dst = random({problem.src[0], problem.units}), weights = random(weights_shape(problem));
    const Array expected = reference::dense_backward_data(diff_dst, weights, problem.src);
    const Array magnitudes = reference::dense_backward_data(magnitude(diff_dst), magnitude(weights), problem.src);
    const auto inputs = list(activation(diff_dst, diff_type), parameter(weights));
    expect_close(result(DenseBackwardData{}, inputs, output(problem.src)), expected, magnitudes);
  }
  void backward_weights(const Problem& problem, DType diff_type) {
    const Array src = random(problem.src), diff_dst = random({problem.src[0], problem.units});
    const auto expected = reference::dense_backward_weights(src, diff_dst);
    const auto magnitudes = reference::dense_backward_weights(magnitude(src), magnitude(diff_dst));
    const auto results = execute(DenseBackwardWeights{}, list(activation(src), activation(diff_dst, diff_type)),
                                 {gradient(expected.weights.shape), gradient(expected.bias.shape)});
    expect_close(logical(results[0]), expected.weights, magnitudes.weights, DType::f32);
    expect_close(logical(results[1]), expected.bias, magnitudes.bias, DType::f32);
  }
  /// The block forward, and the data gradient of the same layer into a block of this kind below it.
  void both_ways(const DenseBlock& block, const Problem& problem) {
    const std::int64_t samples = problem.src[0], columns = problem.src.elements() / samples;
    const std::vector<std::int64_t> ids = {7, 11, 2, 5};
    const StepState now{.valid = static_cast<std::int32_t>(samples), .epoch = 3};
    const auto state = [&] { return step_state(now, {ids.begin(), ids.begin() + samples}, samples); };
    const auto only = [&](std::vector<Operand> results) { return std::move(results.front()); };

    const Array src = random(problem.src), weights = random(weights_shape(problem)), bias = random({problem.units});
    const TensorDesc dst = output({samples, problem.units});
    Operand active = only(execute(
        block.activation,
        list(only(execute(Dense{}, list(activation(src), parameter(weights), parameter(bias)), {dst}))), {dst}));
    auto inputs = list(activation(src), parameter(weights), parameter(bias));
    if (block.dropout) inputs.push_back(state());
    const auto results = execute(block, inputs, block.dropout ? std::vector{dst, dst} : std::vector{dst});
    expect_equal(logical(results[0]), logical(active));
    if (block.dropout) expect_equal(logical(results[1]), result(*block.dropout, list(std::move(active), state()), dst));

    const Array diff_dst = random({samples, problem.units}), below = random({samples, columns});
    const TensorDesc diff = output(below.shape);
    Operand back = only(execute(DenseBackwardData{}, list(activation(diff_dst), parameter(weights)), {diff}));
    const auto undropped = [&] {
      if (!block.dropout) return std::move(back);
      return only(execute(DropoutBackward{*block.dropout}, list(std::move(back), state()), {diff}));
    };
    const Array expected = result(ActivationBackward{block.activation}, list(activation(below), undropped()), diff);
    auto given = list(activation(diff_dst), parameter(weights), activation(below));
    if (block.dropout) given.push_back(state());
    expect_equal(result(DenseBlockBackwardData{block}, given, diff), expected);
  }
};

TEST_P(BackendDense, ForwardAgreesWithNaiveLoops) {
  for (const Problem& problem : problems()) {
    SCOPED_TRACE(text(problem));
    forward(problem, GetParam().dtype);
    forward(problem, DType::f32);
  }
}

TEST_P(BackendDense, BackwardDataAgreesWithNaiveLoops) {
  for (const Problem& problem : problems()) {
    SCOPED_TRACE(text(problem));
    backward_data(problem, GetParam().dtype);
    backward_data(problem, DType::f32);
  }
}

TEST_P(BackendDense, BackwardWeightsAgreesWithNaiveLoops) {
  for (const Problem& problem : problems()) {
    SCOPED_TRACE(text(problem));
    backward_weights(problem, GetParam().dtype);
    backward_weights(problem, DType::f32);
  }
}

/// A device rounds between dense layer, curve and dropout as it would between three operations.
TEST_P(BackendDense, WithWhatFollowsItGivesTheBitsOfOneAfterTheOther) {
  const Activation leaky{.curve = Curve::leaky_relu, .slope = 0.3F}, tanh{.curve = Curve::tanh, .scale = 1.2F};
  const Dropout dropout{.rate = 0.4F, .seed = 3, .layer = 2};
  const DenseBlock blocks[] = {{leaky, {}}, {tanh, {}}, {leaky, dropout}, {tanh, dropout}};
  if (backend->name() != "cuda") {
    const TensorDesc any{{2, 4}, GetParam().dtype, logical_layout};
    EXPECT_NE(backend->refusal(blocks[0], {{any, any, any}, {any}}), "");
    EXPECT_NE(backend->refusal(DenseBlockBackwardData{blocks[0]}, {{any, any, any}, {any}}), "");
    return;
  }
  for (const DenseBlock& block : blocks) {
    for (const Problem& problem : problems()) {
      SCOPED_TRACE(text(problem));
      both_ways(block, problem);
    }
  }
  const TensorDesc many{{33, 4}, GetParam().dtype, logical_layout};
  EXPECT_NE(backend->refusal(blocks[0], {{many, many, many}, {many}}), "");
}

INSTANTIATE_TEST_SUITE_P(Backends, BackendDense, testing::ValuesIn(cases()), name_of_case);

}  // namespace
}  // namespace trainmark::test

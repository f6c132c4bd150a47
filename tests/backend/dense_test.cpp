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

INSTANTIATE_TEST_SUITE_P(Backends, BackendDense, testing::ValuesIn(cases()), name_of_case);

}  // namespace
}  // namespace trainmark::test

// Max pooling against naive loops: windows that cover, overlap or leave a rest, and many equal values in a window,
// where the first maximum alone receives the gradient. The block that takes the activation's derivative too is held
// against the two operations it stands for.
#include <cmath>
#include <limits>

#include "backend/harness.hpp"

namespace trainmark::test {
namespace {

struct Problem {
  Shape src;
  Pool pool;
};

std::vector<Problem> problems() {
  return {
      {{1, 1, 2, 2, 2}, {{2, 2, 2}, {2, 2, 2}}},
      {{2, 16, 4, 6, 8}, {{2, 2, 2}, {2, 2, 2}}},
      {{3, 17, 2, 8, 8}, {{2, 2, 2}, {2, 2, 2}}},
      {{2, 5, 5, 7, 3}, {{2, 2, 2}, {2, 2, 2}}},
      {{2, 7, 6, 6, 6}, {{3, 3, 3}, {2, 2, 2}}},
      {{1, 3, 1, 5, 7}, {{1, 3, 3}, {1, 2, 2}}},
      {{1, 2, 7, 9}, {{3, 3}, {2, 2}}},
      {{2, 8, 6, 6}, {{2, 2}, {2, 2}}},
      {{2, 4, 9, 5}, {{3, 2}, {3, 1}}},
      {{3, 33, 4, 4, 4}, {{4, 4, 4}, {4, 4, 4}}},
      {{1, 4, 5, 5, 5}, {{2, 2, 2}, {3, 3, 3}}},
      // Padded: as PyTorch does and as TensorFlow does, to one side, and so that windows begin outside on every axis.
      {{2, 9, 8, 6}, {{3, 3}, {2, 2}, {1, 1}, {1, 1}}},
      {{2, 16, 8, 6}, {{3, 3}, {2, 2}, {0, 0}, {1, 1}}},
      {{1, 3, 4, 5, 6}, {{3, 3, 3}, {2, 2, 2}, {2, 1, 1}, {0, 2, 0}}},
      {{2, 8, 4, 4}, {{2, 2}, {2, 2}, {1, 0}, {1, 0}}},
  };
}

class BackendPool : public BackendTest {
 protected:
  [[nodiscard]] static std::string text(const Problem& problem) {
    return to_string(problem.src) + ", window " + std::to_string(problem.pool.kernel[0]) + ", stride " +
           std::to_string(problem.pool.stride[0]);
  }
  void forward(const Problem& problem, const Array& src) {
    const Array expected = reference::pool(problem.pool, src);
    expect_equal(result(problem.pool, list(activation(src)), output(expected.shape)), expected);
  }
  void backward(const Problem& problem, const Array& src, const Array& diff_dst, bool in_place = false) {
    const Array expected = reference::pool_backward(problem.pool, src, diff_dst);
    const Array magnitudes = shares(problem, src, diff_dst);
    const auto inputs = list(activation(src), activation(diff_dst));
    expect_close(result(PoolBackward{problem.pool}, inputs, output(problem.src), in_place), expected, magnitudes);
  }
  void backward_block(const Problem& problem, const Array& src, const Array& diff_dst, bool in_place) {
    const Activation leaky{.curve = Curve::leaky_relu, .slope = 0.3F};
    const Array expected =
        reference::activation_backward(leaky, src, reference::pool_backward(problem.pool, src, diff_dst));
    const auto inputs = list(activation(src), activation(diff_dst));
    const PoolActivationBackward op{.pool = problem.pool, .activation = leaky};
    expect_close(result(op, inputs, output(problem.src), in_place), expected, shares(problem, src, diff_dst));
  }
  [[nodiscard]] Array whole_diff(const Problem& problem) { return whole(dst_shape(problem), -3, 7); }
  [[nodiscard]] Array random_diff(const Problem& problem) { return random(dst_shape(problem)); }

  [[nodiscard]] static bool covers(const Problem& problem) {
    for (std::size_t axis = 0; axis < problem.pool.kernel.size(); ++axis) {
      if (problem.pool.kernel[axis] != problem.pool.stride[axis] || !problem.pool.pad_lo.empty()) return false;
      if (problem.src[axis + 2] % problem.pool.kernel[axis] != 0) return false;
    }
    return true;
  }

 private:
  [[nodiscard]] static Shape dst_shape(const Problem& problem) {
    return infer(problem.pool, {{"src", problem.src}})[0].shape;
  }
  /// What the shares of overlapping windows add up to in size. In bf16 every addition rounds.
  [[nodiscard]] Array shares(const Problem& problem, const Array& src, const Array& diff_dst) const {
    Array sums = reference::pool_backward(problem.pool, src, magnitude(diff_dst));
    for (double& value : sums.values)
      value *= GetParam().dtype != DType::f32 && !covers(problem) ? 8e3 : 1.0;
    return sums;
  }
};

TEST_P(BackendPool, ForwardTakesTheMaximum) {
  for (const Problem& problem : problems()) {
    SCOPED_TRACE(text(problem));
    forward(problem, random(problem.src));
  }
}

TEST_P(BackendPool, BackwardAgreesWithNaiveLoops) {
  for (const Problem& problem : problems()) {
    SCOPED_TRACE(text(problem));
    backward(problem, random(problem.src), random_diff(problem));
  }
}

TEST_P(BackendPool, BackwardGivesAllToTheFirstOfEqualMaxima) {
  for (const Problem& problem : problems()) {
    for (const int values : {1, 2, 3}) {
      SCOPED_TRACE(text(problem));
      backward(problem, whole(problem.src, -1, values), whole_diff(problem));
    }
  }
}

TEST_P(BackendPool, LetsNoNanGo) {
  for (const Problem& problem : problems()) {
    SCOPED_TRACE(text(problem));
    Array src = random(problem.src);
    for (const std::int64_t at : {std::int64_t{0}, src.shape.elements() / 3, src.shape.elements() - 1})
      src[at] = std::numeric_limits<double>::quiet_NaN();
    const Array expected = reference::pool(problem.pool, src);
    const Array found = result(problem.pool, list(activation(src)), output(expected.shape));
    for (std::int64_t at = 0; at < expected.shape.elements(); ++at) {
      EXPECT_EQ(std::isnan(found[at]), std::isnan(expected[at])) << at;
      EXPECT_TRUE(std::isnan(expected[at]) || found[at] == expected[at]) << at;
    }
    backward(problem, src, random_diff(problem));
  }
}

TEST_P(BackendPool, BackwardBlockAgreesWithBothDerivatives) {
  if (backend->name() == "cuda") GTEST_SKIP() << "this backend has no such block";
  for (const Problem& problem : problems()) {
    SCOPED_TRACE(text(problem));
    backward_block(problem, random(problem.src), random_diff(problem), false);
    backward_block(problem, whole(problem.src, -2, 4), whole_diff(problem), false);
  }
}

TEST_P(BackendPool, BackwardRunsInPlaceWhereWindowsCover) {
  int tried = 0;
  for (const Problem& problem : problems()) {
    if (!covers(problem)) continue;
    SCOPED_TRACE(text(problem));
    if (backend->name() == "cuda") {
      backward(problem, random(problem.src), random_diff(problem), true);
    } else {
      backward_block(problem, random(problem.src), random_diff(problem), true);
      backward_block(problem, whole(problem.src, -2, 4), whole_diff(problem), true);
    }
    ++tried;
  }
  EXPECT_GE(tried, 4);
}

TEST_P(BackendPool, BackwardDoesNotClaimToRunInPlaceWhereWindowsDoNotCover) {
  for (const Problem& problem : problems()) {
    if (covers(problem)) continue;
    const Shape dst = infer(problem.pool, {{"src", problem.src}})[0].shape;
    Operands operands;
    operands.inputs = {backend->activation(problem.src, GetParam().dtype), backend->activation(dst, GetParam().dtype)};
    operands.outputs = {output(problem.src)};
    EXPECT_TRUE(backend->plan(PoolBackward{problem.pool}, operands).in_place.empty()) << text(problem);
  }
}

INSTANTIATE_TEST_SUITE_P(Backends, BackendPool, testing::ValuesIn(cases()), name_of_case);

}  // namespace
}  // namespace trainmark::test

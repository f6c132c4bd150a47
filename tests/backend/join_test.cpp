// What joins paths and parts them: sums of tensors in place of either term, channels beside each other and taken out
// again. Channel counts stand around the multiple of eight to which devices pad them.
#include "backend/harness.hpp"

namespace trainmark::test {
namespace {

std::vector<Shape> shapes() {
  return {{1, 1}, {3, 17}, {2, 16}, {2, 3, 5, 7}, {2, 8, 3, 3}, {2, 5, 3, 1, 2}, {1, 4, 2, 8, 8}, {3, 13, 9, 11, 17}};
}

class BackendJoin : public BackendTest {
 protected:
  [[nodiscard]] static Shape with_channels(Shape shape, std::int64_t channels) {
    shape[1] = channels;
    return shape;
  }
};

TEST_P(BackendJoin, SumsAgreeBesideTheirTermsAndInPlaceOfEither) {
  for (const Shape& shape : shapes()) {
    SCOPED_TRACE(to_string(shape));
    const Array a = random(shape), b = random(shape);
    const Array expected = reference::add(a, b);
    for (const int in_place : {0, 1, 2})
      expect_close(result(Add{}, list(activation(a), activation(b)), output(shape), in_place), expected,
                   reference::add(magnitude(a), magnitude(b)));
  }
}

TEST_P(BackendJoin, ATensorAddedToItselfIsTwiceAsLarge) {
  const Array a = random({2, 5, 3, 7});
  Array expected = a;
  for (double& value : expected.values)
    value *= 2.0;
  expect_equal(result(Add{}, list(activation(a), activation(a)), output(a.shape)), expected);
}

TEST_P(BackendJoin, PartsStandBesideEachOtherWhateverTheirChannels) {
  const std::vector<std::vector<std::int64_t>> splits = {{8, 16}, {3, 5},        {1, 1, 1}, {7, 9, 8},
                                                         {16, 1}, {1, 31, 4, 2}, {5}};
  for (const Shape& shape : {Shape{3, 1}, Shape{2, 1, 5, 7}, Shape{2, 1, 3, 2, 4}, Shape{1, 1, 33, 40}}) {
    for (const std::vector<std::int64_t>& split : splits) {
      SCOPED_TRACE(to_string(shape) + " in " + std::to_string(split.size()) + " parts from " +
                   std::to_string(split[0]));
      std::vector<Array> parts;
      std::vector<Operand> inputs;
      for (const std::int64_t channels : split) {
        parts.push_back(random(with_channels(shape, channels)));
        inputs.push_back(activation(parts.back()));
      }
      const Array expected = reference::concat(parts);
      expect_equal(result(Concat{}, inputs, output(expected.shape)), expected);
    }
  }
}

TEST_P(BackendJoin, SlicesTakeTheirChannelsOutAndNothingElse) {
  for (const Shape& shape : {Shape{3, 24}, Shape{2, 17, 5, 7}, Shape{2, 24, 3, 2, 4}, Shape{1, 9, 33, 40}}) {
    for (const Range channels : {Range{0, 8}, Range{8, 9}, Range{3, 7}, Range{0, 1}, Range{1, 9}}) {
      SCOPED_TRACE(to_string(shape) + " from " + std::to_string(channels.begin));
      const Array src = random(shape);
      const Array expected = reference::slice(channels, src);
      expect_equal(result(Slice{channels}, list(activation(src)), output(expected.shape)), expected);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Backends, BackendJoin, testing::ValuesIn(cases()), name_of_case);

}  // namespace
}  // namespace trainmark::test

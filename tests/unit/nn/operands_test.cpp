// An example of each operation: what it makes of its operands, what that costs, and that it refuses operands which are
// too few, too many or of another shape.
#include <gtest/gtest.h>

#include <set>

#include "trainmark/nn.hpp"

namespace trainmark {
namespace {

constexpr std::int64_t of_operands = -1;  ///< each operand and each result is moved once

struct Example {
  Op op;
  std::vector<Tensor> inputs, results;
  std::int64_t macs = 0, flops = 0;
  std::vector<std::size_t> bound = {};  ///< inputs whose first extent follows from the others'
  std::int64_t bytes = of_operands;
  bool fewer = false, more = false;  ///< whether it takes other numbers of operands as well
};

Tensor of(Shape shape, DType dtype = DType::f32, Role role = Role::activation) {
  return {"x", std::move(shape), dtype, role};
}
Tensor grad(Shape shape) { return of(std::move(shape), DType::f32, Role::gradient); }
Tensor parameter(Shape shape) { return of(std::move(shape), DType::f32, Role::parameter); }

// 2 samples of 3 channels on 4 x 4 positions are 96 values; a 3 x 3 convolution makes 5 channels of them, 160 values of
// 27 products each; a pool of 2 x 2 leaves 24 of 96 values.
const Shape planes = {2, 3, 4, 4}, convolved = {2, 5, 4, 4}, pooled = {2, 3, 2, 2}, kernels = {5, 3, 3, 3};
const Conv conv = {{3, 3}, {1, 1}, {1, 1}, {1, 1}};
const Pool pool = {{2, 2}, {2, 2}};
constexpr std::int64_t conv_macs = 160 * 27;
const Tensor state = of({step_state_extent(2)}, DType::u8), scale = of({loss_scale_extent}, DType::u8, Role::scaler),
             count = of({update_count_extent}, DType::u8, Role::counter), moments = of({2, 3}, DType::f64),
             channel = parameter({3});

std::vector<Example> convolutions() {
  const ConvBlock block{.conv = conv, .activation = {}, .has_pool = false, .pool = pool};
  ConvBlock with_pool = block;
  with_pool.has_pool = true;
  const Shape few = {2, 5, 2, 2};
  return {{conv,
           {of(planes), parameter(kernels), parameter({5})},
           {of(convolved)},
           conv_macs,
           2 * conv_macs,
           {1, 2},
           of_operands,
           true},
          {ConvBackwardData{conv}, {of(convolved), parameter(kernels)}, {of(planes)}, conv_macs, 2 * conv_macs, {1}},
          {ConvBackwardWeights{conv},
           {of(planes), of(convolved)},
           {grad(kernels), grad({5})},
           conv_macs,
           2 * conv_macs,
           {0, 1}},
          {block,
           {of(planes), parameter(kernels), parameter({5})},
           {of(convolved)},
           conv_macs,
           2 * conv_macs + 160,
           {1, 2},
           of_operands,
           true},
          {with_pool,
           {of(planes), parameter(kernels), parameter({5})},
           {of(few), of(few, DType::u8)},
           conv_macs,
           2 * conv_macs + 320,
           {1, 2}},
          {ConvBlockBackwardWeights{with_pool},
           {of(planes), of(few, DType::u8), of(few)},
           {grad(kernels), grad({5}), of(convolved)},
           conv_macs,
           2 * conv_macs + 480,
           {1, 2}},
          {PackWeights{}, {parameter(kernels)}, {of(kernels)}, 0, 0, {}, of_operands, true, true}};
}

std::vector<Example> dense_layers() {
  const Tensor src = of({2, 10}), dst = of({2, 4}), weights = parameter({4, 10}), bias = parameter({4});
  const DenseBlock plain{}, dropped{.activation = {}, .dropout = Dropout{.rate = 0.5F}};
  return {{Dense{}, {src, weights, bias}, {dst}, 80, 160, {1, 2}},
          {DenseBackwardData{}, {dst, weights}, {src}, 80, 160, {1}},
          {DenseBackwardWeights{}, {src, dst}, {grad({4, 10}), grad({4})}, 80, 160, {0, 1}},
          {plain, {src, weights, bias}, {dst}, 80, 160 + 8, {1, 2}},
          {dropped, {src, weights, bias, state}, {dst, dst}, 80, 160 + 16, {1, 2}},
          {DenseBlockBackwardData{plain}, {dst, weights, src}, {src}, 80, 160 + 20, {0, 1, 2}},
          {DenseBlockBackwardData{dropped}, {dst, weights, src, state}, {src}, 80, 160 + 40, {0, 1, 2}}};
}

std::vector<Example> elementwise() {
  return {{pool, {of(planes)}, {of(pooled)}, 0, 96},
          {PoolBackward{pool}, {of(planes), of(pooled)}, {of(planes)}, 0, 96, {0, 1}},
          {PoolActivationBackward{pool, {}}, {of(planes), of(pooled)}, {of(planes)}, 0, 192, {0, 1}},
          {Activation{}, {of(planes)}, {of(planes)}, 0, 96},
          {ActivationBackward{}, {of(planes), of(planes)}, {of(planes)}, 0, 96, {0, 1}},
          {Dropout{.rate = 0.5F}, {of(planes), state}, {of(planes)}, 0, 96},
          {DropoutBackward{}, {of(planes), state}, {of(planes)}, 0, 96},
          {Add{}, {of(planes), of(planes)}, {of(planes)}, 0, 96, {0, 1}},
          {Concat{}, {of(planes), of(planes)}, {of({2, 6, 4, 4})}, 0, 0, {0, 1}, of_operands, true, true},
          {Slice{{1, 3}}, {of(planes)}, {of({2, 2, 4, 4})}},
          {Preprocess{}, {of(planes, DType::i16)}, {of(planes)}, 0, 96},
          {Normalise{{1, 2, 3}, {4, 5, 6}}, {of(planes, DType::u8)}, {of(planes)}, 0, 192},
          {SpatialSum{}, {of(planes)}, {of({2, 3, 1, 1})}, 0, 96},
          {Tile{{4, 4}}, {of({2, 3, 1, 1})}, {of(planes)}, 0, 96}};
}

std::vector<Example> norms() {
  const Tensor c = channel;
  return {{NormMoments{}, {of(planes)}, {moments}, 0, 288},
          {NormApply{}, {of(planes), moments, c, c, c, c}, {of(planes)}, 0, 192, {1, 2, 3, 4, 5}},
          {NormInference{}, {of(planes), c, c, c, c}, {of(planes)}, 0, 192, {1, 2, 3, 4}},
          {NormGradients{}, {of(planes), moments, of(planes)}, {grad({3}), grad({3}), moments}, 0, 480, {0, 1, 2}},
          {NormBackward{}, {of(planes), moments, c, moments, of(planes)}, {of(planes)}, 0, 384, {0, 1, 2, 3, 4}},
          {SumOverGroup{2}, {moments}, {moments}, 0, 6},
          {AverageStatistics{10, 2}, {}, {}, 0, 20, {}, 2 * 40, true, true}};
}

std::vector<Example> ends() {
  const Tensor prediction = of({2, 3}), sums = of({3}, DType::f64, Role::metric), logits = of(planes),
               labels = of({2, 4, 4}, DType::u8);
  return {{Loss{2}, {prediction, prediction, state}, {grad({1}), prediction}, 0, 24, {0, 1}},
          {Loss{2}, {prediction, prediction, state, scale}, {grad({1}), prediction}, 0, 24, {0, 1}, of_operands, true},
          {Loss{2, CrossEntropy{}}, {logits, labels, state}, {grad({1}), logits}, 0, 384, {0, 1}},
          {Metric{}, {prediction, prediction, state}, {sums}, 0, 24, {0, 1}},
          {Metric{Judge::top1, CrossEntropy{}}, {logits, labels, state}, {sums}, 0, 384, {0, 1}}};
}

/// Of the arenas each moves 10 elements as often as it must.
std::vector<Example> updates() {
  const Range ten = {0, 10};
  const auto update = [&](const Rule& rule, bool scaled) {
    return Update{.rule = rule, .segments = {{ten}}, .norms = 0, .scaled = scaled};
  };
  return {{Accumulate{ten}, {}, {}, 0, 10, {}, 3 * 40, true, true},
          {Accumulate{ten, true}, {}, {}, 0, 10, {}, 4 * 40, true, true},
          {AllReduce{ten}, {}, {}, 0, 10, {}, 2 * 40, true, true},
          {SquaredNorm{ten}, {}, {of({1}, DType::f64)}, 0, 20, {}, 40, true, true},
          {GradientCheck{ten}, {scale}, {}, 0, 10, {}, 40},
          {CountUpdate{}, {count}, {}, 0, 1, {}, 2 * 8},
          {CountUpdate{true}, {count, scale}, {}, 0, 1, {}, 2 * 8},
          {update(SgdMomentum{}, false), {state}, {}, 0, 60, {}, 5 * 40, true, true},
          {update(SgdMomentum{}, true), {state, scale}, {}, 0, 70, {}, 5 * 40},
          {update(Adam{}, false), {state}, {}, 0, 160, {}, 7 * 40, true, true},
          {update(Lamb{}, false), {state}, {}, 0, 300, {}, 10 * 40, true, true},
          {update(Lars{}, false), {state}, {}, 0, 100, {}, 7 * 40, true, true},
          {AdjustLossScale{}, {scale}, {}, 0, 1, {}, 2 * 24}};
}

std::vector<Example> examples() {
  std::vector<Example> all;
  for (auto* part : {convolutions, dense_layers, elementwise, norms, ends, updates})
    for (Example& each : part())
      all.push_back(std::move(each));
  return all;
}

TEST(Operations, MakeTheseResultsOfTheseOperands) {
  std::set<std::size_t> kinds;
  for (const Example& each : examples()) {
    kinds.insert(each.op.index());
    const std::vector<Tensor> made = infer(each.op, each.inputs);
    ASSERT_EQ(made.size(), each.results.size()) << name_of(each.op);
    for (std::size_t i = 0; i < made.size(); ++i) {
      EXPECT_EQ(made[i].shape, each.results[i].shape) << name_of(each.op) << ' ' << i;
      EXPECT_EQ(made[i].dtype, each.results[i].dtype) << name_of(each.op) << ' ' << i;
      EXPECT_EQ(made[i].role, each.results[i].role) << name_of(each.op) << ' ' << i;
    }
  }
  // UnpackGradients has its results made by who appends it.
  EXPECT_THROW((void)infer(UnpackGradients{}, {of({1})}), std::logic_error);
  EXPECT_EQ(kinds.size() + 1, std::variant_size_v<Op>) << "an operation has no example";
}

TEST(Operations, CostWhatIsCountedByHand) {
  const auto size_of_all = [](const std::vector<Tensor>& tensors) {
    std::int64_t bytes = 0;
    for (const Tensor& each : tensors)
      bytes += each.shape.elements() * static_cast<std::int64_t>(size_of(each.dtype));
    return bytes;
  };
  for (const Example& each : examples()) {
    Graph graph;
    Node node{"node", each.op, {}, {}};
    for (const Tensor& input : each.inputs)
      node.inputs.push_back(graph.add(input));
    for (const Tensor& result : each.results)
      node.outputs.push_back(graph.add(result));
    const Cost found = cost(graph, node);
    EXPECT_EQ(found.macs, each.macs) << name_of(each.op);
    EXPECT_EQ(found.flops, each.flops) << name_of(each.op);
    EXPECT_EQ(found.bytes,
              each.bytes == of_operands ? size_of_all(each.inputs) + size_of_all(each.results) : each.bytes)
        << name_of(each.op);
  }
}

TEST(Operations, TakeAMissingAndAnExtraOperandForBugsOfOurs) {
  for (const Example& each : examples()) {
    std::vector<Tensor> more = each.inputs;
    more.push_back(of({1}));
    if (!each.more) {
      EXPECT_ANY_THROW((void)infer(each.op, more)) << name_of(each.op) << " with one more";
    }
    if (each.fewer) continue;
    const std::vector<Tensor> fewer(each.inputs.begin(), each.inputs.end() - 1);
    EXPECT_ANY_THROW((void)infer(each.op, fewer)) << name_of(each.op) << " with one less";
  }
}

TEST(Operations, RefuseAnOperandThatDoesNotFitTheOthers) {
  for (const Example& each : examples()) {
    for (const std::size_t at : each.bound) {
      std::vector<Tensor> inputs = each.inputs;
      std::vector<std::int64_t> extents = inputs[at].shape.extents();
      ++extents[0];
      inputs[at].shape = Shape(extents);
      EXPECT_THROW((void)infer(each.op, inputs), Error) << name_of(each.op) << ", input " << at;
    }
  }
}

TEST(Operations, RefuseLabelsAndWeightsOfOtherClassesAndTypes) {
  const Tensor logits = of(planes), labels = of({2, 4, 4}, DType::u8);
  const auto accepts = [&](const CrossEntropy& criterion, const Tensor& target) {
    try {
      (void)infer(Loss{2, criterion}, {logits, target, state});
      return true;
    } catch (const Error&) {
      return false;
    }
  };
  EXPECT_TRUE(accepts({.weights = {1, 2, 3}, .others = 0.25}, labels));
  EXPECT_TRUE(accepts({}, of({2, 4, 4}, DType::i32)));
  EXPECT_FALSE(accepts({}, of({2, 4, 4}, DType::i16)));
  EXPECT_FALSE(accepts({}, of({2, 4, 3}, DType::u8)));
  EXPECT_FALSE(accepts({.weights = {1, 2}}, labels));
  EXPECT_FALSE(accepts({.others = -0.1}, labels));
  EXPECT_FALSE(accepts({.others = 0.34}, labels)) << "three classes would get more than 1";
}

TEST(Operations, OfAnUpdateUseEachSlotOfItsRule) {
  for (const Rule& rule : {Rule(SgdMomentum{}), Rule(Adam{}), Rule(Lamb{}), Rule(Lars{})}) {
    const std::vector<ArenaUse> uses = arena_uses(Update{.rule = rule, .segments = {{{3, 5}}, {{5, 9}}}});
    ASSERT_EQ(uses.size(), 2U + static_cast<std::size_t>(slots_of(rule)));
    EXPECT_EQ(uses[0].space, Space::parameter);
    EXPECT_TRUE(uses[0].writes);
    EXPECT_EQ(uses[1].space, Space::gradient);
    EXPECT_FALSE(uses[1].writes);
    for (int slot = 0; slot < slots_of(rule); ++slot) {
      const ArenaUse& use = uses[static_cast<std::size_t>(slot) + 2];
      EXPECT_EQ(use.space, Space::slot);
      EXPECT_EQ(use.slot, slot);
      EXPECT_TRUE(use.writes);
    }
    for (const ArenaUse& use : uses)
      EXPECT_TRUE(use.range.begin == 3 && use.range.end == 9);
  }
}

}  // namespace
}  // namespace trainmark

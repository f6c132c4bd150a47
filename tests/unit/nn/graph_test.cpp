// Shapes, refusals and costs of operations, and the graph builder.
#include <gtest/gtest.h>

#include <cmath>

#include "trainmark/nn.hpp"

namespace trainmark {
namespace {

Tensor tensor(std::string name, Shape shape, DType dtype = DType::f32) {
  return {std::move(name), std::move(shape), dtype};
}
Conv cube(int kernel, int stride, int lo, int hi) {
  return {{kernel, kernel, kernel}, {stride, stride, stride}, {lo, lo, lo}, {hi, hi, hi}};
}

std::string refusal(const Op& op, const std::vector<Tensor>& inputs) {
  try {
    (void)infer(op, inputs, "the_node");
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::usage);
    return error.what();
  }
  ADD_FAILURE() << "accepted";
  return {};
}

TEST(Infer, GivesTheExtentOfPaddedAndStridedConvolutions) {
  const Tensor src = tensor("src", {2, 3, 9, 8, 7}, DType::bf16);
  const Tensor weights = tensor("w", {5, 3, 3, 3, 3});
  const Tensor bias = tensor("b", {5});
  EXPECT_EQ(infer(cube(3, 1, 1, 1), {src, weights, bias})[0].shape, (Shape{2, 5, 9, 8, 7}));
  EXPECT_EQ(infer(cube(3, 2, 1, 1), {src, weights, bias})[0].shape, (Shape{2, 5, 5, 4, 4}));
  EXPECT_EQ(infer(cube(3, 1, 0, 1), {src, weights, bias})[0].shape, (Shape{2, 5, 8, 7, 6}));
  EXPECT_EQ(infer(cube(3, 1, 1, 1), {src, weights, bias})[0].dtype, DType::bf16);
}

TEST(Infer, TakesPlanarConvolutionsToo) {
  const Conv conv{{7, 7}, {2, 2}, {3, 3}, {3, 3}};
  const auto dst = infer(conv, {tensor("src", {1, 3, 224, 224}), tensor("w", {64, 3, 7, 7}), tensor("b", {64})});
  EXPECT_EQ(dst[0].shape, (Shape{1, 64, 112, 112}));
}

TEST(Infer, DropsWhatAWindowDoesNotFill) {
  const Pool pool{{2, 2, 2}, {2, 2, 2}};
  EXPECT_EQ(infer(pool, {tensor("src", {1, 4, 7, 8, 9})})[0].shape, (Shape{1, 4, 3, 4, 4}));
}

TEST(Infer, SaysWhichNodeDoesNotFitWhyAndWhatToDo) {
  const std::string pool = refusal(Pool{{2, 2, 2}, {2, 2, 2}}, {tensor("small", {1, 4, 1, 8, 8})});
  EXPECT_NE(pool.find("the_node"), std::string::npos) << pool;
  EXPECT_NE(pool.find("small 1x4x1x8x8"), std::string::npos) << pool;
  EXPECT_NE(pool.find("choose a larger input extent"), std::string::npos) << pool;

  const std::string conv =
      refusal(cube(3, 1, 1, 1), {tensor("s", {1, 4, 8, 8, 8}), tensor("w", {8, 3, 3, 3, 3}), tensor("b", {8})});
  EXPECT_NE(conv.find("needs weights 8x4x3x3x3"), std::string::npos) << conv;
  EXPECT_FALSE(refusal(cube(3, 1, 0, 0), {tensor("s", {1, 4, 2, 8, 8}), tensor("w", {8, 4, 3, 3, 3}), tensor("b", {8})})
                   .empty());
  EXPECT_FALSE(
      refusal(cube(3, 1, 1, 1), {tensor("s", {1, 4, 8, 8}), tensor("w", {8, 4, 3, 3, 3}), tensor("b", {8})}).empty());
  EXPECT_FALSE(refusal(cube(3, 1, 1, 1), {tensor("s", {1, 4, 8, 8, 8}), tensor("w", {8, 4, 3, 3, 3}), tensor("b", {4})})
                   .empty());
  EXPECT_FALSE(refusal(Dense{}, {tensor("s", {2, 10}), tensor("w", {4, 11}), tensor("b", {4})}).empty());
  EXPECT_FALSE(refusal(Loss{2}, {tensor("p", {2, 4}), tensor("t", {2, 3}), tensor("s", {48}, DType::u8)}).empty());
  EXPECT_FALSE(refusal(Loss{1}, {tensor("p", {2, 4}), tensor("t", {2, 4}), tensor("s", {48}, DType::u8)}).empty());
  EXPECT_FALSE(refusal(Preprocess{}, {tensor("s", {2, 4}, DType::u8)}).empty());
  const Tensor image = tensor("s", {2, 3, 4, 4}, DType::u8);
  EXPECT_NO_THROW((void)infer(Normalise{{1, 2, 3}, {1, 2, 3}}, std::vector{image}, "the_node"));
  EXPECT_NE(refusal(Normalise{{1, 2, 3}, {1, 2}}, {image}).find("has constants of 3 channels"), std::string::npos);
  EXPECT_NE(refusal(Normalise{{1, 2}, {1, 2, 3}}, {image}).find("has constants of 2 channels"), std::string::npos);
  EXPECT_FALSE(refusal(Dropout{.rate = 1.0F}, {tensor("s", {2, 4}), tensor("st", {48}, DType::u8)}).empty());
  EXPECT_FALSE(refusal(ActivationBackward{}, {tensor("d", {2, 4}), tensor("g", {2, 3})}).empty());
}

TEST(Infer, TakesAMissingOperandForABugOfOurs) {
  EXPECT_THROW((void)infer(Dense{}, {tensor("s", {2, 10})}), std::logic_error);
}

TEST(Infer, GivesABlockItsPooledTensorAndItsWinners) {
  const ConvBlock block{.conv = cube(3, 1, 1, 1), .activation = {}, .has_pool = true, .pool = {{2, 2, 2}, {2, 2, 2}}};
  const auto made = infer(block, {tensor("s", {2, 4, 8, 8, 8}), tensor("w", {6, 4, 3, 3, 3}), tensor("b", {6})});
  ASSERT_EQ(made.size(), 2U);
  EXPECT_EQ(made[0].shape, (Shape{2, 6, 4, 4, 4}));
  EXPECT_EQ(made[1].dtype, DType::u8);
  const auto back = infer(ConvBlockBackwardWeights{block}, {tensor("s", {2, 4, 8, 8, 8}), made[1], made[0]});
  ASSERT_EQ(back.size(), 3U);
  EXPECT_EQ(back[0].shape, (Shape{6, 4, 3, 3, 3}));
  EXPECT_EQ(back[1].shape, (Shape{6}));
  EXPECT_EQ(back[2].shape, (Shape{2, 6, 8, 8, 8}));
}

TEST(Cost, CountsEveryTapOfAPaddedConvolution) {
  GraphBuilder builder(DType::f32);
  const TensorId src = builder.input("src", {2, 3, 5, 5, 5}, DType::f32);
  builder.conv("conv", src, 7, cube(3, 1, 1, 1));
  const Graph graph = builder.take();
  const Cost total = cost(graph);
  EXPECT_EQ(total.macs, 2 * 7 * 125 * 3 * 27);
  EXPECT_EQ(total.flops, 2 * total.macs);
  EXPECT_EQ(total.parameters, 7 * 3 * 27 + 7);
  EXPECT_EQ(total.bytes, 4 * (2 * 3 * 125 + 7 * 3 * 27 + 7 + 2 * 7 * 125));
}

TEST(Cost, OfAFusedBlockIsThatOfItsConvolution) {
  Graph graph;
  const TensorId src = graph.add({"src", {2, 4, 8, 8, 8}, DType::f32, Role::activation});
  const TensorId weights = graph.add({"w", {6, 4, 3, 3, 3}, DType::f32, Role::parameter});
  const TensorId bias = graph.add({"b", {6}, DType::f32, Role::parameter});
  const TensorId dst = graph.add({"dst", {2, 6, 4, 4, 4}, DType::f32, Role::activation});
  const TensorId winner = graph.add({"winner", {2, 6, 4, 4, 4}, DType::u8, Role::activation});
  const TensorId diff_weights = graph.add({"dw", {6, 4, 3, 3, 3}, DType::f32, Role::gradient});
  const TensorId diff_bias = graph.add({"db", {6}, DType::f32, Role::gradient});
  const ConvBlock block{.conv = cube(3, 1, 1, 1), .activation = {}, .has_pool = true, .pool = {{2, 2, 2}, {2, 2, 2}}};
  graph.nodes.push_back({"block", block, {src, weights, bias}, {dst, winner}});
  graph.nodes.push_back({"backward", ConvBlockBackwardWeights{block}, {src, winner, dst}, {diff_weights, diff_bias}});
  const std::int64_t macs = 2 * 6 * 512 * 4 * 27;
  EXPECT_EQ(cost(graph, graph.nodes[0]).macs, macs);
  EXPECT_EQ(cost(graph, graph.nodes[1]).macs, macs);
  EXPECT_EQ(cost(graph).macs, 2 * macs);
}

TEST(Initial, ScalesWithWhatAWeightReadsAndFeeds) {
  // 27 taps, of 4 channels into 8: 108 and 216.
  EXPECT_FLOAT_EQ(glorot_uniform({8, 4, 3, 3, 3}).scale, static_cast<float>(std::sqrt(6.0 / (108 + 216))));
  EXPECT_FLOAT_EQ(glorot_uniform({10, 6}).scale, static_cast<float>(std::sqrt(6.0 / 16)));
  EXPECT_FLOAT_EQ(he_normal({8, 4, 3, 3, 3}).scale, static_cast<float>(std::sqrt(2.0 / 108)));
}

TEST(GraphBuilder, LaysParametersOutInOrderOfCreation) {
  GraphBuilder builder(DType::f32);
  const TensorId src = builder.input("src", {2, 10}, DType::f32);
  const TensorId hidden = builder.dense("first", src, 3);
  const TensorId dst = builder.dense("second", hidden, 2, DType::f32);
  EXPECT_EQ(builder.tensor(dst).shape, (Shape{2, 2}));
  const Graph graph = builder.take();
  EXPECT_EQ(graph.tensors[static_cast<std::size_t>(graph.find("first.bias"))].offset, 30);
  EXPECT_EQ(graph.tensors[static_cast<std::size_t>(graph.find("second.weights"))].offset, 33);
  EXPECT_EQ(graph.parameter_elements(), 41);
  EXPECT_THROW((void)graph.find("third.bias"), std::logic_error);
}

TEST(Infer, PutsChannelsBesideEachOtherAndTakesThemOutAgain) {
  const std::vector<Tensor> parts = {{"a", {2, 3, 4, 5}}, {"b", {2, 8, 4, 5}}, {"c", {2, 1, 4, 5}}};
  EXPECT_EQ(infer(Concat{}, parts)[0].shape, (Shape{2, 12, 4, 5}));
  EXPECT_EQ(infer(Slice{{3, 11}}, {{"dst", {2, 12, 4, 5}}})[0].shape, (Shape{2, 8, 4, 5}));
  EXPECT_EQ(infer(Add{}, {parts[0], parts[0]})[0].shape, parts[0].shape);
}

TEST(Infer, RefusesToJoinWhatDoesNotFit) {
  const Tensor src{"src", {2, 3, 4, 5}}, other{"other", {2, 3, 4, 6}}, half{"half", {2, 3, 4, 5}, DType::bf16};
  for (const Tensor& unlike : {other, half}) {
    EXPECT_THROW((void)infer(Add{}, {src, unlike}), Error) << unlike.name;
    EXPECT_THROW((void)infer(Concat{}, {src, unlike}), Error) << unlike.name;
  }
  for (const Range channels : {Range{-1, 2}, Range{2, 2}, Range{1, 4}})
    EXPECT_THROW((void)infer(Slice{channels}, {src}), Error) << channels.begin;
}

TEST(Infer, TakesGroupsDilationsAndConvolutionsWithoutABias) {
  const Tensor src = tensor("src", {2, 6, 9, 8});
  const Conv depthwise{{3, 3}, {1, 1}, {2, 2}, {2, 2}, {2, 2}, 6};
  EXPECT_EQ(infer(depthwise, {src, tensor("w", {6, 1, 3, 3})})[0].shape, (Shape{2, 6, 9, 8}));
  const Conv apart{{3, 3}, {1, 1}, {0, 0}, {0, 0}, {4, 3}};
  EXPECT_EQ(infer(apart, {src, tensor("w", {5, 6, 3, 3})})[0].shape, (Shape{2, 5, 1, 2}));
  EXPECT_EQ(infer(ConvBackwardWeights{depthwise}, {src, src})[0].shape, (Shape{6, 1, 3, 3}));
  Conv unfit = depthwise;
  unfit.groups = 4;
  EXPECT_NE(refusal(unfit, {src, tensor("w", {6, 1, 3, 3})}).find("among 4 groups"), std::string::npos);
}

TEST(Infer, ComesBackFromAConvolutionToTheExtentsThatAreAskedFor) {
  const Conv half{{3, 3}, {2, 2}, {1, 1}, {1, 1}};
  const std::vector<Tensor> inputs = {tensor("src", {1, 4, 5, 6}), tensor("w", {4, 3, 3, 3})};
  EXPECT_EQ(infer(ConvBackwardData{half}, inputs)[0].shape, (Shape{1, 3, 9, 11}));
  EXPECT_EQ(infer(ConvBackwardData{half, {10, 12}}, inputs)[0].shape, (Shape{1, 3, 10, 12}));
  EXPECT_NE(refusal(ConvBackwardData{half, {11, 12}}, inputs).find("from 9 to 10"), std::string::npos);
}

TEST(Cost, CountsWhatAGroupMultiplies) {
  GraphBuilder builder(DType::f32);
  const TensorId raw = builder.input("x", {2, 8, 5, 6}, DType::f32);
  const Conv depthwise{{3, 3}, {1, 1}, {1, 1}, {1, 1}, {}, 8};
  builder.conv("depthwise", builder.apply("preprocess", Preprocess{}, {raw}), 8, depthwise, {.with_bias = false});
  EXPECT_EQ(cost(builder.take()).macs, 2 * 8 * 5 * 6 * 9);
}

}  // namespace
}  // namespace trainmark

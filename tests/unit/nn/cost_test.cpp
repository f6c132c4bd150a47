// Costs of every kind of node, counted by hand for small networks. Predictions and reported FLOP rates rest on them.
#include <gtest/gtest.h>

#include <algorithm>

#include "small_network.hpp"

namespace trainmark {
namespace {

using testing::small_network;

struct Counted {
  const char* node;
  std::int64_t macs, flops, bytes, parameters;
};

void expect_cost(const Graph& graph, const Counted& counted) {
  const auto node = std::ranges::find(graph.nodes, counted.node, &Node::name);
  ASSERT_NE(node, graph.nodes.end()) << counted.node;
  const Cost found = cost(graph, *node);
  EXPECT_EQ(found.macs, counted.macs) << counted.node;
  EXPECT_EQ(found.flops, counted.flops) << counted.node;
  EXPECT_EQ(found.bytes, counted.bytes) << counted.node;
  EXPECT_EQ(found.parameters, counted.parameters) << counted.node;
}

// Elements: x 512, conv1 640, pooled 80, conv2 96, dense1 14, dense2 6; weights and biases 540 + 5, 240 + 6, 336 + 7,
// 21 + 3, together 1158. Two samples' step state is 40 bytes, a loss scale 24.
TEST(Cost, OfEveryNodeOfAStepIsWhatItCountsByHand) {
  const Graph graph =
      reduce_and_update(differentiate(small_network(DType::f32, true)), {.bytes = 1 << 30}, SgdMomentum{}, {}, {});
  const std::vector<Counted> nodes = {
      {"preprocess", 0, 512, 512 * 2 + 512 * 4, 0},
      {"conv1", 640 * 4 * 27, 2 * 640 * 4 * 27, 4 * (512 + 545 + 640), 545},
      {"conv1.leaky", 0, 640, 4 * (640 + 640), 0},
      {"conv1.pool", 0, 80 * 8, 4 * (640 + 80), 0},
      {"conv2", 96 * 5 * 8, 2 * 96 * 5 * 8, 4 * (80 + 246 + 96), 246},
      {"dense1", 96 * 7, 2 * 96 * 7, 4 * (96 + 343 + 14), 343},
      {"dense1.dropout", 0, 14, 4 * (14 + 14) + 40, 0},
      {"dense2", 14 * 3, 2 * 14 * 3, 4 * (14 + 24 + 6), 24},
      {"tanh", 0, 6, 4 * (6 + 6), 0},
      {"loss", 0, 4 * 6, 4 * (6 + 6 + 1 + 6) + 40 + 24, 0},
      {"tanh.backward", 0, 6, 4 * (6 + 6 + 6), 0},
      {"dense2.backward_weights", 14 * 3, 2 * 14 * 3, 4 * (14 + 6 + 24), 0},
      {"dense2.backward_data", 14 * 3, 2 * 14 * 3, 4 * (6 + 21 + 14), 21},
      {"dense1.dropout.backward", 0, 14, 4 * (14 + 14) + 40, 0},
      {"dense1.backward_weights", 96 * 7, 2 * 96 * 7, 4 * (96 + 14 + 343), 0},
      {"dense1.backward_data", 96 * 7, 2 * 96 * 7, 4 * (14 + 336 + 96), 336},
      {"conv2.backward_weights", 96 * 5 * 8, 2 * 96 * 5 * 8, 4 * (80 + 96 + 246), 0},
      {"conv2.backward_data", 96 * 5 * 8, 2 * 96 * 5 * 8, 4 * (96 + 240 + 80), 240},
      {"conv1.pool.backward", 0, 80 * 8, 4 * (640 + 80 + 640), 0},
      {"conv1.leaky.backward", 0, 640, 4 * (640 + 640 + 640), 0},
      {"conv1.backward_weights", 640 * 4 * 27, 2 * 640 * 4 * 27, 4 * (512 + 640 + 545), 0},
      {"reduce0", 0, 1159, 2 * 4 * 1159, 0},
      {"check0", 0, 1158, 4 * 1158, 0},
      // Parameter, gradient and momentum are read, parameter and momentum written.
      {"update.conv1.weights", 0, 7 * 1158, 5 * 4 * 1158, 0},
      {"adjust_loss_scale", 0, 1, 2 * 24, 0}};
  EXPECT_EQ(nodes.size(), graph.nodes.size());
  Cost sum;
  for (const Counted& counted : nodes) {
    expect_cost(graph, counted);
    sum += {counted.macs, counted.flops, counted.bytes, counted.parameters};
  }
  const Cost total = cost(graph);
  EXPECT_EQ(total.macs, sum.macs);
  EXPECT_EQ(total.flops, sum.flops);
  EXPECT_EQ(total.bytes, sum.bytes);
  EXPECT_EQ(total.parameters, sum.parameters);
}

TEST(Cost, OfAnUpdateWithoutALossScaleLeavesOutItsDivision) {
  const Graph graph =
      reduce_and_update(differentiate(small_network()), {.bytes = 1 << 30}, SgdMomentum{}, {}, {}, true);
  expect_cost(graph, {"update.conv1.weights", 0, 6 * 1158, 5 * 4 * 1158, 0});
  expect_cost(graph, {"accumulate0", 0, 1159, 4 * 4 * 1159, 0});
}

TEST(Cost, OfAMetricReadsBothAndItsSums) {
  GraphBuilder builder(DType::f32);
  const TensorId prediction = builder.input("p", {2, 3}, DType::f32), target = builder.input("y", {2, 3}, DType::f32);
  builder.apply("metric", Metric{},
                {prediction, target, builder.input("step_state", {step_state_extent(2)}, DType::u8)});
  expect_cost(builder.take(), {"metric", 0, 4 * 6, 4 * (6 + 6) + 40 + 3 * 8, 0});
}

/// Two samples of 4 channels, extents 8, 7, 6; a kernel of 3 and 6 channels; padding that differs at the two ends and a
/// stride of 2 on the last axis give 8 x 6 x 3 outputs, pooled to 4 x 3 x 1.
TEST(Cost, OfAFusedBlockCountsTheConvolutionThatItsPoolHides) {
  const std::int64_t convolved = 2 * 6 * (8 * 6 * 3), macs = convolved * 4 * 27, src = 2 * 4 * (8 * 7 * 6),
                     pooled = 2 * 6 * (4 * 3 * 1), weights = 6 * 4 * 27;
  ConvBlock block{.conv = {{3, 3, 3}, {1, 1, 2}, {1, 0, 1}, {1, 1, 0}},
                  .activation = {},
                  .has_pool = true,
                  .pool = {{2, 2, 2}, {2, 2, 2}}};
  GraphBuilder builder(DType::f32);
  const TensorId x = builder.input("x", {2, 4, 8, 7, 6}, DType::f32), w = builder.parameter("w", {6, 4, 3, 3, 3}),
                 b = builder.parameter("b", {6});
  builder.apply("pooled", block, {x, w, b});
  block.has_pool = false;
  const TensorId whole = builder.apply("whole", block, {x, w, b});
  const TensorId diff = builder.input("diff", {2, 6, 4, 3, 1}, DType::f32),
                 winner = builder.input("winner", {2, 6, 4, 3, 1}, DType::u8);
  builder.apply("backward", ConvBlockBackwardWeights{block}, {x, winner, diff});
  builder.apply("pool.backward", PoolActivationBackward{.pool = {{2, 2, 2}, {2, 2, 2}}, .activation = {}},
                {whole, diff});
  const Graph graph = builder.take();
  expect_cost(graph,
              {"pooled", macs, 2 * macs + 2 * convolved, 4 * (src + weights + 6 + pooled) + pooled, weights + 6});
  expect_cost(graph, {"whole", macs, 2 * macs + convolved, 4 * (src + weights + 6 + convolved), weights + 6});
  expect_cost(graph,
              {"backward", macs, 2 * macs + 3 * convolved, 4 * (src + pooled + weights + 6 + convolved) + pooled, 0});
  expect_cost(graph, {"pool.backward", 0, 2 * convolved, 4 * (convolved + pooled + convolved), 0});
}

}  // namespace
}  // namespace trainmark

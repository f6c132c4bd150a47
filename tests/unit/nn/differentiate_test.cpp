// The backward pass as a rewrite: which nodes appear, in which order, and what they read. That the gradients are right
// is shown in fp64 by tests/backend/branches_test.cpp.
#include <gtest/gtest.h>

#include <algorithm>

#include "small_network.hpp"

namespace trainmark {
namespace {

using testing::small_network;
using testing::tensor_of;

std::vector<std::string> names(const Graph& graph) {
  std::vector<std::string> all;
  for (const Node& node : graph.nodes)
    all.push_back(node.name);
  return all;
}

TEST(Differentiate, WalksBackWithWeightGradientsFirstAndStopsAtTheInput) {
  const Graph graph = differentiate(small_network());
  const auto all = names(graph);
  const auto loss = std::ranges::find(all, "loss");
  EXPECT_EQ(std::vector<std::string>(loss + 1, all.end()),
            (std::vector<std::string>{"tanh.backward", "dense2.backward_weights", "dense2.backward_data",
                                      "dense1.dropout.backward", "dense1.backward_weights", "dense1.backward_data",
                                      "conv2.backward_weights", "conv2.backward_data", "conv1.pool.backward",
                                      "conv1.leaky.backward", "conv1.backward_weights"}));
}

TEST(Differentiate, GivesEachParameterAGradientAtTheSameOffset) {
  const Graph graph = differentiate(small_network());
  int gradients = 0;
  for (const Tensor& tensor : graph.tensors) {
    if (tensor.role != Role::parameter) continue;
    const Tensor& gradient = tensor_of(graph, "diff:" + tensor.name);
    EXPECT_EQ(gradient.role, Role::gradient);
    EXPECT_EQ(gradient.offset, tensor.offset) << tensor.name;
    EXPECT_EQ(gradient.shape, tensor.shape) << tensor.name;
    ++gradients;
  }
  EXPECT_EQ(gradients, 8);
  EXPECT_EQ(tensor_of(graph, "loss.value").role, Role::gradient);
  EXPECT_EQ(tensor_of(graph, "loss.value").offset, graph.parameter_elements());
}

TEST(Differentiate, MakesShapesAndTypesThatInferenceConfirms) {
  const Graph graph = differentiate(small_network(DType::bf16));
  for (const Node& node : graph.nodes) {
    std::vector<Tensor> inputs;
    for (const TensorId id : node.inputs)
      inputs.push_back(graph.tensors[static_cast<std::size_t>(id)]);
    const auto made = infer(node.op, inputs, node.name);
    ASSERT_EQ(made.size(), node.outputs.size()) << node.name;
    for (std::size_t at = 0; at < made.size(); ++at) {
      const Tensor& output = graph.tensors[static_cast<std::size_t>(node.outputs[at])];
      EXPECT_EQ(made[at].shape.elements(), output.shape.elements()) << node.name;
      EXPECT_EQ(made[at].role, output.role) << node.name;
    }
  }
}

TEST(Differentiate, WritesEachTensorOnceAndBeforeItIsRead) {
  const Graph graph = differentiate(small_network());
  std::vector<int> written(graph.tensors.size(), 0);
  for (const Node& node : graph.nodes) {
    for (const TensorId id : node.inputs) {
      const Tensor& tensor = graph.tensors[static_cast<std::size_t>(id)];
      const bool made = tensor.role == Role::activation || tensor.role == Role::gradient;
      EXPECT_EQ(written[static_cast<std::size_t>(id)], made ? 1 : 0) << node.name << " reads " << tensor.name;
    }
    for (const TensorId id : node.outputs)
      ++written[static_cast<std::size_t>(id)];
  }
  EXPECT_LE(std::ranges::max(written), 1);
}

/// `hidden` is read by three: the terms of a sum, which get one gradient, and a dense layer.
Graph branching_network() {
  GraphBuilder builder(DType::f32);
  const TensorId src = builder.input("x", {2, 3}, DType::f32);
  const TensorId target = builder.input("y", {2, 7}, DType::f32);
  const TensorId state = builder.input("step_state", {step_state_extent(2)}, DType::u8);
  const TensorId hidden = builder.dense("hidden", src, 4);
  const TensorId sum = builder.apply("sum", Add{}, {hidden, hidden});
  const TensorId branch = builder.dense("branch", hidden, 3);
  const TensorId joined = builder.apply("joined", Concat{}, {sum, branch});
  builder.apply("loss", Loss{2}, {joined, target, state});
  return builder.take();
}

const Node& node_of(const Graph& graph, std::string_view name) {
  return *std::ranges::find(graph.nodes, name, &Node::name);
}

TEST(Differentiate, SumsWhatReadersGiveBackAsItComesInNodesOfTheirOwn) {
  const Graph graph = differentiate(branching_network());
  const auto all = names(graph);
  const auto loss = std::ranges::find(all, "loss");
  EXPECT_EQ(std::vector<std::string>(loss + 1, all.end()),
            (std::vector<std::string>{"joined.backward0", "joined.backward1", "branch.backward_weights",
                                      "branch.backward_data", "hidden.dst.sum1", "hidden.dst.sum2",
                                      "hidden.backward_weights"}));
  const TensorId of_sum = graph.find("diff:sum.dst");
  EXPECT_EQ(node_of(graph, "hidden.dst.sum1").inputs, (std::vector<TensorId>{graph.find("diff:hidden.dst"), of_sum}));
  EXPECT_EQ(node_of(graph, "hidden.dst.sum2").inputs,
            (std::vector<TensorId>{node_of(graph, "hidden.dst.sum1").outputs[0], of_sum}));
  EXPECT_EQ(node_of(graph, "hidden.backward_weights").inputs[1], node_of(graph, "hidden.dst.sum2").outputs[0]);
}

TEST(Differentiate, GivesEachPartOfAConcatTheChannelsThatItBrought) {
  const Graph graph = differentiate(branching_network());
  EXPECT_EQ(std::get<Slice>(node_of(graph, "joined.backward0").op).channels, (Range{0, 4}));
  EXPECT_EQ(std::get<Slice>(node_of(graph, "joined.backward1").op).channels, (Range{4, 7}));
  EXPECT_EQ(tensor_of(graph, "diff:branch.dst").shape, (Shape{2, 3}));
}

TEST(Differentiate, LeavesPathsWithoutParametersAlone) {
  GraphBuilder builder(DType::f32);
  const TensorId src = builder.input("x", {2, 3}, DType::f32);
  const TensorId target = builder.input("y", {2, 3}, DType::f32);
  const TensorId state = builder.input("step_state", {step_state_extent(2)}, DType::u8);
  const TensorId curved = builder.apply("curved", Activation{}, {src});
  const TensorId sum = builder.apply("sum", Add{}, {curved, builder.dense("dense", curved, 3)});
  builder.apply("loss", Loss{2}, {sum, target, state});
  EXPECT_EQ(names(differentiate(builder.take())),
            (std::vector<std::string>{"curved", "dense", "sum", "loss", "dense.backward_weights"}));
}

TEST(Differentiate, RefusesAParameterWithTwoUses) {
  GraphBuilder builder(DType::f32);
  const TensorId src = builder.input("x", {2, 3}, DType::f32);
  const TensorId target = builder.input("y", {2, 3}, DType::f32);
  const TensorId state = builder.input("step_state", {step_state_extent(2)}, DType::u8);
  const TensorId weights = builder.parameter("weights", {3, 3}), bias = builder.parameter("bias", {3});
  const TensorId once = builder.apply("once", Dense{}, {src, weights, bias});
  const TensorId again = builder.apply("again", Dense{}, {once, weights, bias});
  builder.apply("loss", Loss{2}, {again, target, state});
  EXPECT_THROW((void)differentiate(builder.take()), std::logic_error);
}

TEST(Differentiate, RefusesASecondLoss) {
  GraphBuilder builder(DType::f32);
  const TensorId src = builder.input("x", {2, 3}, DType::f32);
  const TensorId target = builder.input("y", {2, 3}, DType::f32);
  const TensorId state = builder.input("step_state", {step_state_extent(2)}, DType::u8);
  const TensorId hidden = builder.dense("dense1", src, 3);
  builder.apply("branch", Loss{2}, {hidden, target, state});
  builder.apply("loss", Loss{2}, {hidden, target, state});
  EXPECT_THROW((void)differentiate(builder.take()), std::logic_error);
}

TEST(Differentiate, RefusesAGraphWithoutALoss) {
  GraphBuilder builder(DType::f32);
  builder.dense("dense1", builder.input("x", {2, 3}, DType::f32), 3);
  EXPECT_THROW((void)differentiate(builder.take()), std::logic_error);
}

}  // namespace
}  // namespace trainmark

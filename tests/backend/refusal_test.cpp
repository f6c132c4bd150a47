// What a backend refuses, and that it says why before anything runs; and which operations it draws together, which must
// never change what is computed.
#include <algorithm>

#include "backend/harness.hpp"

namespace trainmark::test {
namespace {

class BackendRefusal : public BackendTest {};

TEST_P(BackendRefusal, Fp16OnACpuIsRefusedWithTheTypesThatGo) {
  if (backend->name() != "cpu") GTEST_SKIP() << "devices compute in fp16";
  const TensorDesc half{Shape{2, 4}, DType::f16, logical_layout};
  const TensorDesc single{Shape{2, 4}, DType::f32, logical_layout};
  const Op op = Activation{};
  for (const auto& [src, dst] : {std::pair{half, half}, std::pair{single, half}, std::pair{half, single}}) {
    const std::string reason = backend->refusal(op, {{src}, {dst}});
    EXPECT_NE(reason.find("fp16"), std::string::npos) << reason;
    EXPECT_NE(reason.find("fp32 or bf16"), std::string::npos) << reason;
  }
  EXPECT_EQ(backend->refusal(op, {{single}, {single}}), "");
}

TEST_P(BackendRefusal, BlocksThatAreNotThereAreRefused) {
  const TensorDesc any = backend->activation(Shape{1, 4, 4, 4, 4}, GetParam().dtype);
  ConvBlock block;
  block.has_pool = true;  // without kernels: no shape that a backend has
  EXPECT_NE(backend->refusal(block, {{any}, {any}}), "");
  EXPECT_NE(backend->refusal(ConvBlockBackwardWeights{block}, {{any, any, any}, {any}}), "");
  block.has_pool = false;
  EXPECT_EQ(backend->refusal(block, {{any}, {any}}), "");
}

/// Channels of a device's tensors are padded at their end only, where the last group's would be.
TEST_P(BackendRefusal, GroupsThatPaddingWouldPartAreRefusedOnADevice) {
  const auto refused = [&](std::int64_t inputs, std::int64_t outputs, int groups) {
    const Conv conv{{1, 1}, {1, 1}, {0, 0}, {0, 0}, {}, groups};
    const TensorDesc src = backend->activation(Shape{1, inputs, 4, 4}, GetParam().dtype);
    const TensorDesc dst = backend->activation(Shape{1, outputs, 4, 4}, GetParam().dtype);
    const TensorDesc weights{Shape{outputs, inputs / groups, 1, 1}, DType::f32, logical_layout};
    const bool forward = !backend->refusal(conv, {{src, weights}, {dst}}).empty();
    EXPECT_EQ(!backend->refusal(ConvBackwardData{conv}, {{dst, weights}, {src}}).empty(), forward);
    EXPECT_EQ(!backend->refusal(ConvBackwardWeights{conv}, {{src, dst}, {weights}}).empty(), forward);
    return forward;
  };
  EXPECT_EQ(refused(12, 12, 2), backend->name() == "cuda");
  EXPECT_EQ(refused(16, 12, 2), backend->name() == "cuda");
  EXPECT_FALSE(refused(16, 32, 2));
  EXPECT_FALSE(refused(5, 5, 5)) << "depthwise";
}

TEST_P(BackendRefusal, ACurveIsNotFusedToAConvolutionInGroupsOnADevice) {
  const bool device = backend->name() == "cuda";
  const TensorDesc any = backend->activation(Shape{1, 8, 4, 4}, GetParam().dtype);
  for (const int groups : {1, 8}) {
    const ConvBlock block{
        .conv = {{1, 1}, {1, 1}, {0, 0}, {0, 0}, {}, groups}, .activation = {}, .has_pool = false, .pool = {}};
    const TensorDesc weights{Shape{8, 8 / groups, 1, 1}, DType::f32, logical_layout};
    EXPECT_EQ(backend->refusal(block, {{any, weights}, {any}}).empty(), groups == 1 || !device);

    for (const float slope : {0.0F, 0.3F}) {
      GraphBuilder builder(GetParam().dtype);
      const TensorId src = builder.input("x", {1, 8, 4, 4}, GetParam().dtype);
      const TensorId dst = builder.conv("conv", src, 8, block.conv, {glorot_uniform, true, {}});
      builder.apply("relu", Activation{.curve = Curve::leaky_relu, .slope = slope, .scale = 1.0F}, {dst});
      // oneDNN's ReLU of slope 0 loses NaNs.
      const bool fuses = device ? groups == 1 : slope != 0.0F;
      EXPECT_EQ(backend->fuse(builder.take()).nodes.size(), fuses ? 1U : 2U) << groups << ", " << slope;
    }
  }
}

TEST_P(BackendRefusal, ABlockWhoseCurveWouldLoseNansIsRefusedOnACpu) {
  const TensorDesc any = backend->activation(Shape{1, 8, 4, 4}, GetParam().dtype);
  const ConvBlock block{.conv = {{1, 1}, {1, 1}, {0, 0}, {0, 0}},
                        .activation = {.curve = Curve::leaky_relu, .slope = 0.0F},
                        .has_pool = false,
                        .pool = {}};
  const TensorDesc weights{Shape{8, 8, 1, 1}, DType::f32, logical_layout};
  EXPECT_EQ(backend->refusal(block, {{any, weights}, {any}}).empty(), backend->name() == "cuda");
}

TEST_P(BackendRefusal, TensorsOfTwoToTheThirtyFirstElementsAreRefusedOnADeviceEvenWithinABlock) {
  if (backend->name() != "cuda") GTEST_SKIP() << "a CPU takes them";
  const std::vector<int> one(3, 1), two(3, 2), three(3, 3);
  const ConvBlock block{.conv = {three, one, one, one}, .activation = {}, .has_pool = true, .pool = {two, two}};
  const auto of = [&](std::int64_t samples, std::int64_t channels, std::int64_t extent) {
    return backend->activation(Shape{samples, channels, extent, extent, extent}, GetParam().dtype);
  };
  const TensorDesc any = backend->activation(Shape{32, 8, 3, 3, 3}, DType::f32);
  const auto refusals = [&](std::int64_t samples) {
    const TensorDesc src = of(samples, 8, 128), pooled = of(samples, 32, 64);
    return std::vector{backend->refusal(block, {{src, any, any}, {pooled, pooled}}),
                       backend->refusal(ConvBlockBackwardWeights{block}, {{src, pooled, pooled}, {any, any}})};
  };
  for (const std::string& reason : refusals(32))
    EXPECT_NE(reason.find("2147483648 elements in one tensor"), std::string::npos) << reason;
  EXPECT_EQ(refusals(31), std::vector<std::string>(2));
  EXPECT_NE(backend->refusal(Activation{}, {{of(32, 32, 128)}, {of(32, 32, 128)}}), "");
}

/// A small network: convolution, curve, pool, dense, loss.
class BackendFusion : public BackendTest {
 protected:
  [[nodiscard]] static Graph network(DType dtype, Curve curve, const Pool& pool, bool second_reader,
                                     std::int64_t channels = 16) {
    GraphBuilder builder(dtype);
    const TensorId raw = builder.input("raw", Shape{2, channels, 6, 6, 6}, DType::i16);
    const TensorId target = builder.input("target", Shape{2, 3}, DType::f32);
    const TensorId state = builder.input("step_state", Shape{step_state_extent(2)}, DType::u8);
    const TensorId src = builder.apply("preprocess", Preprocess{}, {raw}, dtype);
    const TensorId conv = builder.conv("conv", src, 8, {{3, 3, 3}, {1, 1, 1}, {1, 1, 1}, {1, 1, 1}});
    const TensorId active = builder.apply("curve", Activation{.curve = curve, .slope = 0.3F}, {conv});
    if (second_reader) (void)builder.apply("also", Activation{.curve = Curve::tanh}, {conv});
    const TensorId pooled = builder.apply("pool", pool, {active});
    const TensorId prediction = builder.dense("dense", pooled, 3, DType::f32);
    (void)builder.apply("loss", Loss{.global_batch = 2}, {prediction, target, state});
    return builder.take();
  }
  /// The CPU has a pooled block for a network's thin first layer alone.
  [[nodiscard]] bool pools_any_layer() const { return backend->name() == "cuda"; }
  template <class Wanted>
  [[nodiscard]] static std::ptrdiff_t count(const Graph& graph) {
    return std::ranges::count_if(graph.nodes, [](const Node& node) { return std::holds_alternative<Wanted>(node.op); });
  }
};

constexpr auto covering = [] { return Pool{{2, 2, 2}, {2, 2, 2}}; };
constexpr auto overlapping = [] { return Pool{{3, 3, 3}, {2, 2, 2}}; };

TEST_P(BackendFusion, ConvolutionAndCurveBecomeOneBlock) {
  const Graph graph = network(GetParam().dtype, Curve::leaky_relu, covering(), false);
  const Graph fused = backend->fuse(graph);
  EXPECT_EQ(count<ConvBlock>(fused), 1);
  EXPECT_EQ(count<Conv>(fused), 0);
  EXPECT_EQ(count<Activation>(fused), 0);
  EXPECT_EQ(fused.nodes.size(), graph.nodes.size() - (pools_any_layer() ? 2 : 1));
}

TEST_P(BackendFusion, DerivativesOfPoolAndCurveBecomeOneBlockWhereWindowsCover) {
  if (pools_any_layer()) GTEST_SKIP() << "this backend takes both into the block of the convolution";
  const Graph fused = backend->fuse(differentiate(network(GetParam().dtype, Curve::leaky_relu, covering(), false)));
  EXPECT_EQ(count<PoolActivationBackward>(fused), 1);
  EXPECT_EQ(count<PoolBackward>(fused), 0);
  EXPECT_EQ(count<ActivationBackward>(fused), 0);
  const Graph apart = backend->fuse(differentiate(network(GetParam().dtype, Curve::leaky_relu, overlapping(), false)));
  EXPECT_EQ(count<PoolActivationBackward>(apart), 0);
  EXPECT_EQ(count<PoolBackward>(apart), 1);
}

TEST_P(BackendFusion, WhatSomeoneElseReadsAndOtherCurvesStayApart) {
  const Graph read_twice = backend->fuse(network(GetParam().dtype, Curve::leaky_relu, covering(), true));
  EXPECT_EQ(count<ConvBlock>(read_twice), 0);
  const Graph tanh = backend->fuse(network(GetParam().dtype, Curve::tanh, covering(), false));
  EXPECT_EQ(count<ConvBlock>(tanh), 0);
  EXPECT_EQ(count<Activation>(tanh), 1);
}

TEST_P(BackendFusion, AFirstLayerBecomesOneBlockWithItsPoolAndItsGradientFollowsTheWinners) {
  const Graph forward = network(GetParam().dtype, Curve::leaky_relu, covering(), false, 4);
  const Graph fused = backend->fuse(differentiate(forward));
  EXPECT_EQ(count<ConvBlockBackwardWeights>(fused), 1);
  EXPECT_EQ(count<ConvBlock>(fused), 1);
  EXPECT_EQ(count<Pool>(fused) + count<Activation>(fused) + count<Conv>(fused), 0);
  EXPECT_EQ(count<PoolBackward>(fused) + count<ActivationBackward>(fused) + count<PoolActivationBackward>(fused), 0);
  EXPECT_EQ(count<ConvBackwardWeights>(fused), 0);
  EXPECT_EQ(count<Pool>(backend->fuse(forward)), 0) << "an evaluation has the block too";
  const Graph wide = backend->fuse(differentiate(network(GetParam().dtype, Curve::leaky_relu, covering(), false, 16)));
  EXPECT_EQ(count<ConvBlockBackwardWeights>(wide), pools_any_layer() ? 1 : 0);
  const Graph apart =
      backend->fuse(differentiate(network(GetParam().dtype, Curve::leaky_relu, overlapping(), false, 4)));
  EXPECT_EQ(count<ConvBlockBackwardWeights>(apart), 0);
}

TEST_P(BackendFusion, AnInnerLayersBlockLeavesItsDataGradientWhatItReads) {
  GraphBuilder builder(GetParam().dtype);
  const TensorId raw = builder.input("raw", Shape{2, 4, 8, 8, 8}, DType::i16);
  const TensorId target = builder.input("target", Shape{2, 3}, DType::f32);
  const TensorId state = builder.input("step_state", Shape{step_state_extent(2)}, DType::u8);
  TensorId src = builder.apply("preprocess", Preprocess{}, {raw}, GetParam().dtype);
  for (const char* layer : {"outer", "inner"}) {
    src = builder.conv(layer, src, 8, {{3, 3, 3}, {1, 1, 1}, {1, 1, 1}, {1, 1, 1}});
    src = builder.apply(std::string(layer) + ".curve", Activation{.curve = Curve::leaky_relu, .slope = 0.3F}, {src});
    src = builder.apply(std::string(layer) + ".pool", covering(), {src});
  }
  const TensorId prediction = builder.dense("dense", src, 3, DType::f32);
  (void)builder.apply("loss", Loss{.global_batch = 2}, {prediction, target, state});
  const Graph fused = backend->fuse(differentiate(builder.take()));

  std::vector<Node> derivatives;
  std::ranges::copy_if(fused.nodes, std::back_inserter(derivatives),
                       [](const Node& node) { return std::holds_alternative<ConvBlockBackwardWeights>(node.op); });
  ASSERT_EQ(derivatives.size(), pools_any_layer() ? 2U : 1U);
  EXPECT_EQ(derivatives.back().outputs.size(), 2U) << "nobody asks for the first layer's";
  if (!pools_any_layer()) return;
  ASSERT_EQ(derivatives.front().outputs.size(), 3U);
  const auto data = std::ranges::find_if(
      fused.nodes, [](const Node& node) { return std::holds_alternative<ConvBackwardData>(node.op); });
  ASSERT_NE(data, fused.nodes.end());
  EXPECT_EQ(data->inputs[0], derivatives.front().outputs[2]);
  EXPECT_EQ(count<PoolBackward>(fused) + count<ActivationBackward>(fused), 0);

  const auto tensor = [&](TensorId id) -> const Tensor& { return fused.tensors.at(static_cast<std::size_t>(id)); };
  ASSERT_TRUE(std::holds_alternative<PackWeights>(fused.nodes.front().op)) << "weights are packed once, all together";
  EXPECT_EQ(count<PackWeights>(fused), 1);
  const Node& pack = fused.nodes.front();
  ASSERT_EQ(pack.outputs.size(), 2U);
  EXPECT_EQ(data->inputs[1], pack.outputs[1]);
  for (std::size_t at = 0; at < 2; ++at) {
    EXPECT_EQ(fused.nodes.at(2 + at).inputs[1], pack.outputs[at]);
    EXPECT_EQ(tensor(pack.outputs[at]).role, Role::activation);
    EXPECT_EQ(tensor(pack.outputs[at]).dtype, GetParam().dtype);
    EXPECT_EQ(tensor(pack.outputs[at]).shape, tensor(pack.inputs[at]).shape);
  }
  const Node& unpack = fused.nodes.back();
  ASSERT_TRUE(std::holds_alternative<UnpackGradients>(unpack.op)) << "nobody reads gradients before";
  ASSERT_EQ(unpack.inputs.size(), 4U);
  for (std::size_t at = 0; at < 4; ++at) {
    EXPECT_EQ(unpack.inputs[at], derivatives.at(at / 2).outputs.at(at % 2));
    EXPECT_EQ(tensor(unpack.outputs[at]).role, Role::gradient);
  }
}

TEST_P(BackendFusion, DenseLayersOfFewSamplesTakeWhatFollowsThemAlong) {
  for (const std::int64_t samples : {2, 33}) {
    GraphBuilder builder(GetParam().dtype);
    const TensorId raw = builder.input("raw", Shape{samples, 5, 4}, DType::f32);
    const TensorId target = builder.input("target", Shape{samples, 3}, DType::f32);
    const TensorId state = builder.input("step_state", Shape{step_state_extent(samples)}, DType::u8);
    TensorId src = builder.apply("preprocess", Preprocess{}, {raw}, GetParam().dtype);
    for (std::uint32_t layer = 0; layer < 2; ++layer) {
      const std::string name = "dense" + std::to_string(layer);
      src = builder.dense(name, src, 6);
      src = builder.apply(name + ".curve", Activation{.curve = Curve::leaky_relu, .slope = 0.3F}, {src});
      if (layer == 0) src = builder.apply(name + ".dropout", Dropout{.rate = 0.5F, .layer = layer}, {src, state});
    }
    src = builder.dense("last", src, 3, DType::f32);
    src = builder.apply("last.curve", Activation{.curve = Curve::tanh}, {src});
    (void)builder.apply("loss", Loss{.global_batch = samples}, {src, target, state});
    const Graph fused = backend->fuse(differentiate(builder.take()));
    const bool takes = pools_any_layer() && samples == 2;
    EXPECT_EQ(count<DenseBlock>(fused), takes ? 3 : 0);
    EXPECT_EQ(count<DenseBlockBackwardData>(fused), takes ? 2 : 0);
    EXPECT_EQ(count<Activation>(fused), takes ? 0 : 3);
    EXPECT_EQ(count<Dropout>(fused) + count<DropoutBackward>(fused), takes ? 0 : 2);
    EXPECT_EQ(count<ActivationBackward>(fused), takes ? 1 : 3) << "that of the loss has no layer above";
  }
}

/// A bucket's gradients are ready when its sum begins, and no earlier bucket waits for them.
TEST_P(BackendFusion, GradientsAreUnpackedABucketAtATime) {
  GraphBuilder builder(GetParam().dtype);
  const TensorId raw = builder.input("raw", Shape{2, 4, 8, 8, 8}, DType::i16);
  const TensorId target = builder.input("target", Shape{2, 3}, DType::f32);
  const TensorId state = builder.input("step_state", Shape{step_state_extent(2)}, DType::u8);
  TensorId src = builder.apply("preprocess", Preprocess{}, {raw}, GetParam().dtype);
  for (const char* layer : {"a", "b", "c"})
    src = builder.conv(layer, src, 8, {{3, 3, 3}, {1, 1, 1}, {1, 1, 1}, {1, 1, 1}});
  const TensorId prediction = builder.dense("dense", src, 3, DType::f32);
  (void)builder.apply("loss", Loss{.global_batch = 2}, {prediction, target, state});
  const Graph step =
      reduce_and_update(differentiate(builder.take()), {.ends = {2, 4}}, SgdMomentum{}, {});  // dense; c; b and a
  const Graph fused = backend->fuse(step);
  const auto unpacks = count<UnpackGradients>(fused);
  ASSERT_EQ(unpacks, pools_any_layer() ? 2 : 0);
  for (std::size_t at = 0; at < fused.nodes.size(); ++at) {
    if (!std::holds_alternative<UnpackGradients>(fused.nodes[at].op)) continue;
    const Node& next = fused.nodes.at(at + 1);
    EXPECT_TRUE(std::holds_alternative<AllReduce>(next.op)) << next.name;
    for (const TensorId gradient : fused.nodes[at].outputs)
      EXPECT_EQ(std::ranges::count(next.inputs, gradient), 1) << next.name;
  }
}

INSTANTIATE_TEST_SUITE_P(Backends, BackendRefusal, testing::ValuesIn(cases()), name_of_case);
INSTANTIATE_TEST_SUITE_P(Backends, BackendFusion, testing::ValuesIn(cases()), name_of_case);

}  // namespace
}  // namespace trainmark::test

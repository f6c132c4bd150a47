// Buckets and updates as a rewrite: every gradient is reduced once and updated once, after its last writer.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "small_network.hpp"

namespace trainmark {
namespace {

using testing::small_network;
using testing::tensor_of;

struct Parts {
  std::vector<Range> reduced, updated;
  std::vector<Segment> segments;
};
Parts parts_of(const Graph& graph) {
  Parts parts;
  for (const Node& node : graph.nodes) {
    if (const auto* reduce = std::get_if<AllReduce>(&node.op)) parts.reduced.push_back(reduce->range);
    if (const auto* update = std::get_if<Update>(&node.op)) {
      parts.updated.push_back(update->range());
      parts.segments.insert(parts.segments.end(), update->segments.begin(), update->segments.end());
    }
  }
  return parts;
}
/// The parameters of these names decay.
std::vector<Treatment> decay(const Graph& graph, float factor, const std::vector<std::string>& names) {
  std::vector<Treatment> treatments;
  for (const Tensor& tensor : graph.tensors) {
    if (tensor.role == Role::parameter)
      treatments.push_back({std::ranges::count(names, tensor.name) > 0 ? factor : 0.0F});
  }
  return treatments;
}
bool tiles(std::vector<Range> ranges, std::int64_t end) {
  std::ranges::sort(ranges, {}, &Range::begin);
  std::int64_t at = 0;
  for (const Range& range : ranges) {
    if (range.begin != at || range.end <= range.begin) return false;
    at = range.end;
  }
  return at == end;
}

class Buckets : public ::testing::TestWithParam<std::int64_t> {};

TEST_P(Buckets, CoverTheGradientsAndTheLossOnceEach) {
  const Graph graph = reduce_and_update(differentiate(small_network()), {.bytes = GetParam()}, SgdMomentum{},
                                        decay(small_network(), 0.02F, {"dense1.weights", "dense2.weights"}));
  const Parts parts = parts_of(graph);
  EXPECT_TRUE(tiles(parts.reduced, graph.gradient_elements()));
  EXPECT_TRUE(tiles(parts.updated, graph.parameter_elements()));
}

TEST_P(Buckets, HoldAtLeastTheBytesAskedForUnlessLast) {
  const Graph graph = reduce_and_update(differentiate(small_network()), {.bytes = GetParam()}, SgdMomentum{}, {});
  const auto reduced = parts_of(graph).reduced;
  EXPECT_EQ(reduced.front().end, graph.gradient_elements()) << "the output side leaves first, with the loss";
  EXPECT_GT(reduced.front().size(), 1) << "the loss does not travel alone";
  for (std::size_t at = 0; at + 1 < reduced.size(); ++at) {
    EXPECT_GE(reduced[at].size() * 4, GetParam());
    EXPECT_EQ(reduced[at].begin, reduced[at + 1].end);
  }
}

TEST_P(Buckets, LeaveRightAfterTheirLastGradient) {
  const Graph graph = reduce_and_update(differentiate(small_network()), {.bytes = GetParam()}, SgdMomentum{}, {});
  std::vector<bool> written(graph.tensors.size(), false), reduced(graph.tensors.size(), false);
  const std::vector<TensorId>* just_made = nullptr;
  for (const Node& node : graph.nodes) {
    if (std::holds_alternative<AllReduce>(node.op)) {
      EXPECT_EQ(node.lane, Lane::communication);
      for (const TensorId id : node.inputs) {
        EXPECT_TRUE(written[static_cast<std::size_t>(id)]) << node.name;
        reduced[static_cast<std::size_t>(id)] = true;
      }
      ASSERT_NE(just_made, nullptr);
      EXPECT_TRUE(std::ranges::any_of(*just_made, [&](TensorId id) { return std::ranges::count(node.inputs, id) > 0; }))
          << node.name << " could have left earlier";
    } else {
      just_made = &node.outputs;
    }
    if (std::holds_alternative<Update>(node.op)) {
      for (const TensorId id : node.inputs) {
        const Tensor& tensor = graph.tensors[static_cast<std::size_t>(id)];
        EXPECT_TRUE(tensor.name == "step_state" || reduced[static_cast<std::size_t>(id)]) << tensor.name;
      }
      EXPECT_EQ(graph.tensors[static_cast<std::size_t>(node.inputs.back())].name, "step_state");
    }
    for (const TensorId id : node.outputs)
      written[static_cast<std::size_t>(id)] = true;
  }
}

TEST_P(Buckets, AreCheckedOnceEachBehindTheirSumAndBeforeAnyUpdateWhereTheLossIsScaled) {
  const LossScaling scaling{.initial = 4.0F, .interval = 7};
  const Graph graph = reduce_and_update(differentiate(small_network(DType::f16, true)), {.bytes = GetParam()},
                                        SgdMomentum{}, decay(small_network(), 0.02F, {"dense1.weights"}), scaling);
  const TensorId scaler = graph.find("loss_scale");
  EXPECT_EQ(graph.tensors[static_cast<std::size_t>(scaler)].role, Role::scaler);
  std::vector<Range> reduced, checked;
  bool updating = false;
  for (const Node& node : graph.nodes) {
    if (const auto* reduce = std::get_if<AllReduce>(&node.op)) reduced.push_back(reduce->range);
    if (const auto* check = std::get_if<GradientCheck>(&node.op)) {
      EXPECT_FALSE(updating) << node.name << " comes after an update";
      EXPECT_EQ(node.lane, Lane::compute) << "one lane keeps checks before updates";
      EXPECT_EQ(node.inputs.back(), scaler);
      EXPECT_TRUE(std::ranges::any_of(
          reduced,
          [&](const Range& range) { return range.begin == check->range.begin && check->range.end <= range.end; }))
          << node.name << " looks at what is not summed yet";
      checked.push_back(check->range);
    }
    if (const auto* update = std::get_if<Update>(&node.op)) {
      updating = true;
      EXPECT_TRUE(update->scaled);
      EXPECT_EQ(node.inputs.back(), scaler);
      EXPECT_EQ(node.inputs[node.inputs.size() - 2], graph.find("step_state"));
    }
  }
  EXPECT_EQ(checked.size(), reduced.size());
  EXPECT_TRUE(tiles(checked, graph.parameter_elements())) << "all parameters, and not the loss value";
  ASSERT_TRUE(std::holds_alternative<AdjustLossScale>(graph.nodes.back().op));
  EXPECT_EQ(std::get<AdjustLossScale>(graph.nodes.back().op).rule, scaling);
  EXPECT_EQ(graph.nodes.back().inputs, std::vector<TensorId>{scaler});
}

TEST_P(Buckets, TakeInWhatEarlierBatchesLeftBeforeTheyLeave) {
  const Graph graph =
      reduce_and_update(differentiate(small_network()), {.bytes = GetParam()}, SgdMomentum{}, {}, {}, true);
  std::vector<Range> summed;
  for (const Node& node : graph.nodes) {
    if (const auto* sum = std::get_if<Accumulate>(&node.op)) {
      EXPECT_TRUE(sum->last);
      EXPECT_EQ(node.lane, Lane::compute);
      summed.push_back(sum->range);
    }
    if (const auto* reduce = std::get_if<AllReduce>(&node.op)) {
      ASSERT_FALSE(summed.empty());
      EXPECT_EQ(summed.back(), reduce->range) << node.name;
    }
  }
  EXPECT_TRUE(tiles(summed, graph.gradient_elements())) << "the loss value too";
}

INSTANTIATE_TEST_SUITE_P(OfManySizes, Buckets, ::testing::Values(1, 64, 1000, 4000, 1 << 30));

TEST(Accumulate, KeepsAllGradientsAndTheLossAndUpdatesNothing) {
  const Graph graph = accumulate(differentiate(small_network()));
  const Node& last = graph.nodes.back();
  ASSERT_TRUE(std::holds_alternative<Accumulate>(last.op));
  EXPECT_FALSE(std::get<Accumulate>(last.op).last);
  EXPECT_EQ(std::get<Accumulate>(last.op).range, (Range{0, graph.gradient_elements()}));
  for (const Node& node : graph.nodes)
    EXPECT_FALSE(std::holds_alternative<Update>(node.op) || std::holds_alternative<AllReduce>(node.op)) << node.name;
  EXPECT_EQ(cost(graph, last).bytes, 12 * graph.gradient_elements());
}

TEST(ReduceAndUpdate, MakesOneUpdateOfABucketWithASegmentWhereverTheDecayChanges) {
  const Graph graph =
      reduce_and_update(differentiate(small_network()), {.bytes = 1 << 30}, SgdMomentum{.momentum = 0.8F},
                        decay(small_network(), 0.02F, {"dense1.weights"}));
  const Parts parts = parts_of(graph);
  const Tensor& weights = tensor_of(graph, "dense1.weights");
  EXPECT_EQ(parts.updated, (std::vector<Range>{{0, graph.parameter_elements()}}));
  const std::int64_t end = weights.offset + weights.shape.elements();
  EXPECT_EQ(parts.segments,
            (std::vector<Segment>{
                {{0, weights.offset}, {}}, {{weights.offset, end}, {0.02F}}, {{end, graph.parameter_elements()}, {}}}));
  EXPECT_EQ(std::get<SgdMomentum>(std::get<Update>(graph.nodes.back().op).rule).momentum, 0.8F);
}

using BytesAndRule = std::pair<std::int64_t, Rule>;
TEST(ReduceAndUpdate, KeepsTensorsApartForARuleThatTakesTheirNorms) {
  for (const auto& [bucket_bytes, rule] : {BytesAndRule{1, Lamb{}}, BytesAndRule{1 << 30, Lamb{}},
                                           BytesAndRule{1, Lars{}}, BytesAndRule{1 << 30, Lars{}}}) {
    const Graph graph = reduce_and_update(differentiate(small_network()), {.bytes = bucket_bytes}, rule,
                                          decay(small_network(), 0.5F, {"conv2.bias"}));
    std::size_t at = 0;
    const auto segments = parts_of(graph).segments;
    std::vector<Segment> sorted = segments;
    std::ranges::sort(sorted, {}, [](const Segment& segment) { return segment.range.begin; });
    for (const Tensor& tensor : graph.tensors) {
      if (tensor.role != Role::parameter) continue;
      ASSERT_LT(at, sorted.size());
      EXPECT_EQ(sorted[at].range, (Range{tensor.offset, tensor.offset + tensor.shape.elements()}));
      EXPECT_EQ(sorted[at++].treatment.decay, tensor.name == "conv2.bias" ? 0.5F : 0.0F) << tensor.name;
    }
    EXPECT_EQ(at, sorted.size());
  }
}

TEST(ReduceAndUpdate, MeasuresAllGradientsAndCountsBeforeTheFirstUpdateOfARuleThatClips) {
  for (const bool scaled : {false, true}) {
    const Graph graph = reduce_and_update(differentiate(small_network(DType::f32, scaled)), {.bytes = 1}, Lamb{}, {});
    std::vector<Range> measured;
    std::vector<TensorId> norms;
    bool counted = false;
    for (const Node& node : graph.nodes) {
      if (const auto* norm = std::get_if<SquaredNorm>(&node.op)) {
        measured.push_back(norm->range);
        norms.push_back(node.outputs.at(0));
      }
      if (const auto* count = std::get_if<CountUpdate>(&node.op)) {
        counted = true;
        EXPECT_EQ(count->scaled, scaled) << "a skipped step does not count";
        EXPECT_EQ(node.inputs.size(), scaled ? 2U : 1U);
      }
      const auto* update = std::get_if<Update>(&node.op);
      if (update == nullptr) continue;
      EXPECT_TRUE(counted);
      EXPECT_TRUE(tiles(measured, graph.parameter_elements())) << "of the loss value none";
      EXPECT_EQ(update->norms, static_cast<int>(norms.size()));
      const auto last = node.inputs.end() - (scaled ? 1 : 0);
      EXPECT_EQ(std::vector<TensorId>(last - static_cast<std::ptrdiff_t>(norms.size()), last), norms);
    }
    EXPECT_GT(norms.size(), 3U);
  }
}

TEST(ReduceAndUpdate, MeasuresNoNormOfAllGradientsForARuleThatLooksAtTensorsAlone) {
  const Graph graph = reduce_and_update(differentiate(small_network(DType::f32, true)), {.bytes = 1}, Lars{}, {});
  for (const Node& node : graph.nodes) {
    EXPECT_FALSE(std::holds_alternative<SquaredNorm>(node.op)) << node.name;
    EXPECT_FALSE(std::holds_alternative<CountUpdate>(node.op)) << node.name;
    if (const auto* update = std::get_if<Update>(&node.op)) {
      EXPECT_EQ(update->norms, 0);
      EXPECT_TRUE(update->scaled);
    }
  }
}

TEST(ReduceAndUpdate, MakesOneSegmentOfABucketThatIsTreatedAlike) {
  for (const std::vector<Treatment>& treatments : {std::vector<Treatment>{}, decay(small_network(), 0.0F, {})}) {
    const Graph graph = reduce_and_update(differentiate(small_network()), {.bytes = 1 << 30}, Adam{}, treatments);
    EXPECT_EQ(parts_of(graph).segments.size(), 1U);
    EXPECT_EQ(parts_of(graph).reduced.size(), 1U);
  }
}

TEST(ReduceAndUpdate, MakesNoNodesOfAScaleThatTheLossDoesNotTake) {
  const Graph graph = reduce_and_update(differentiate(small_network()), {.bytes = 1}, SgdMomentum{}, {});
  for (const Node& node : graph.nodes) {
    EXPECT_FALSE(std::holds_alternative<GradientCheck>(node.op) || std::holds_alternative<AdjustLossScale>(node.op));
    if (const auto* update = std::get_if<Update>(&node.op)) {
      EXPECT_FALSE(update->scaled);
    }
  }
}

TEST(ReduceAndUpdate, TakesTreatmentsOfAnotherNetworkForABugOfOurs) {
  EXPECT_THROW((void)reduce_and_update(differentiate(small_network()), {.bytes = 1}, SgdMomentum{}, {Treatment{}}),
               std::logic_error);
}

/// 161 parameters: a convolution's, two of each of 79 norms, two of a dense layer.
Graph long_chain() {
  GraphBuilder builder(DType::f32);
  const TensorId raw = builder.input("x", {2, 4, 4, 4, 4}, DType::i16);
  const TensorId target = builder.input("y", {2, 3}, DType::f32);
  const TensorId step_state = builder.input("step_state", {step_state_extent(2)}, DType::u8);
  TensorId src = builder.apply("preprocess", Preprocess{}, {raw});
  src = builder.conv("conv", src, 5, {{3, 3, 3}, {1, 1, 1}, {1, 1, 1}, {1, 1, 1}}, {glorot_uniform, false, {}});
  for (int layer = 0; layer < 79; ++layer)
    src = builder.norm("norm" + std::to_string(layer), src, Norm{}, true);
  src = builder.dense("dense", src, 3);
  builder.apply("loss", Loss{.global_batch = 2}, {src, target, step_state});
  return builder.take();
}
std::vector<std::size_t> tensors_of_reductions(const Graph& graph) {
  std::vector<std::size_t> counts;
  for (const Node& node : graph.nodes)
    if (std::holds_alternative<AllReduce>(node.op)) counts.push_back(node.inputs.size());
  return counts;
}
std::vector<std::size_t> sizes_with(const Grouping& grouping) {
  Graph graph = differentiate(long_chain());
  if (grouping.norms_last) graph = norms_in_front(std::move(graph));
  graph = reduce_and_update(std::move(graph), grouping, SgdMomentum{}, {});
  EXPECT_TRUE(tiles(parts_of(graph).reduced, graph.gradient_elements()));
  EXPECT_TRUE(tiles(parts_of(graph).updated, graph.parameter_elements()));
  return tensors_of_reductions(graph);
}

TEST(Grouping, IsCubicFromTheOutputOn) {
  EXPECT_EQ(sizes_with({.ends = cubic_ends()}), (std::vector<std::size_t>{3 + 1, 21, 57, 80})) << "with the loss value";
}

TEST(Grouping, EndsWhereItIsToldAndLeavesTheRestToTheLast) {
  EXPECT_EQ(sizes_with({.ends = {1, 10, 160}}), (std::vector<std::size_t>{1 + 1, 9, 150, 1}));
  EXPECT_EQ(sizes_with({.ends = {161}}), (std::vector<std::size_t>{161 + 1}));
}

TEST(Grouping, LetsNormsWaitForALastBucketAndCountsThemWhereTheyStood) {
  // The first three tensors from the output are the dense layer's two and a norm's shift.
  EXPECT_EQ(sizes_with({.ends = {3, 160}, .norms_last = true}), (std::vector<std::size_t>{2 + 1, 1, 158}));
  EXPECT_EQ(sizes_with({.bytes = 1 << 20, .norms_last = true}), (std::vector<std::size_t>{3 + 1, 158}));
}

TEST(Grouping, OfWaitingNormsKeepsEachParameterWithItsGradientAndItsTreatment) {
  const Graph plain = differentiate(long_chain());
  std::vector<Treatment> treatments;
  for (const Tensor& tensor : plain.tensors)
    if (tensor.role == Role::parameter) treatments.push_back({static_cast<float>(treatments.size())});
  const Graph graph =
      reduce_and_update(norms_in_front(plain), {.ends = {3}, .norms_last = true}, SgdMomentum{}, treatments);
  EXPECT_EQ(tensor_of(graph, "norm0.gamma").offset, 0);
  EXPECT_EQ(tensor_of(graph, "norm78.beta").offset, (2 * 79 - 1) * 5);
  EXPECT_EQ(tensor_of(graph, "conv.weights").offset, 2 * 79 * 5);
  std::map<std::int64_t, float> decay_at;
  for (const Segment& segment : parts_of(graph).segments)
    decay_at[segment.range.begin] = segment.treatment.decay;
  float place = 0.0F;
  for (std::size_t id = 0; id < plain.tensors.size(); ++id) {
    const Tensor& before = plain.tensors[id];
    if (before.role == Role::parameter) {
      EXPECT_EQ(decay_at.at(graph.tensors[id].offset), place) << before.name;
      place += 1.0F;
    }
    if (before.role != Role::gradient || before.offset == plain.parameter_elements()) continue;
    const auto owner = std::ranges::find_if(plain.tensors, [&](const Tensor& tensor) {
      return tensor.role == Role::parameter && tensor.offset == before.offset;
    });
    EXPECT_EQ(graph.tensors[id].offset, graph.tensors[static_cast<std::size_t>(owner - plain.tensors.begin())].offset)
        << before.name;
  }
}

TEST(Wire, IsOfGradientsAndNotOfTheLossValueWhichGoesInFront) {
  for (const DType wire : {DType::bf16, DType::f16}) {
    const Graph graph =
        reduce_and_update(differentiate(small_network()), {.bytes = 256, .wire = wire}, SgdMomentum{}, {});
    const Parts parts = parts_of(graph);
    EXPECT_TRUE(tiles(parts.reduced, graph.gradient_elements()));
    EXPECT_TRUE(tiles(parts.updated, graph.parameter_elements()));
    std::vector<const Node*> sums;
    for (const Node& node : graph.nodes)
      if (std::holds_alternative<AllReduce>(node.op)) sums.push_back(&node);
    const Range loss{graph.parameter_elements(), graph.gradient_elements()};
    EXPECT_EQ(sums[0]->name, "reduce_loss");
    EXPECT_EQ(std::get<AllReduce>(sums[0]->op), (AllReduce{loss, DType::f32}));
    EXPECT_EQ(cost(graph, *sums[0]).bytes, 2 * 4);
    EXPECT_EQ(sums[1]->name, "reduce0");
    for (std::size_t at = 1; at < sums.size(); ++at) {
      EXPECT_EQ(std::get<AllReduce>(sums[at]->op).wire, wire);
      std::int64_t elements = 0;
      for (const TensorId id : sums[at]->inputs)
        elements += graph.tensors[static_cast<std::size_t>(id)].shape.elements();
      EXPECT_EQ(elements, std::get<AllReduce>(sums[at]->op).range.size()) << "inputs are what the range holds";
      EXPECT_EQ(cost(graph, *sums[at]).bytes, 2 * 2 * elements) << "two bytes each, sent and received";
    }
  }
}

}  // namespace
}  // namespace trainmark

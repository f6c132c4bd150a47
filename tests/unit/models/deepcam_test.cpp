// DeepCAM against its reference's figures: layers, parameters, operations, initial laws, loss weights, and the closed
// division.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "trainmark/models.hpp"

namespace trainmark {
namespace {

constexpr std::int64_t reference_macs = 327'668'833'280;
/// The scale of each channel behind the pooled mean is a depthwise convolution here, which counts.
constexpr std::int64_t affine_macs = 256;
const GraphOptions one_sample{.local_batch = 1, .global_batch = 1};

const Tensor& tensor_of(const Graph& graph, std::string_view name) {
  return graph.tensors[static_cast<std::size_t>(graph.find(name))];
}
const Node& node_of(const Graph& graph, std::string_view name) {
  const auto found = std::ranges::find(graph.nodes, name, &Node::name);
  EXPECT_NE(found, graph.nodes.end()) << name;
  return *found;
}
std::string producer_of(const Graph& graph, TensorId id) {
  for (const Node& node : graph.nodes)
    if (std::ranges::count(node.outputs, id) > 0) return node.name;
  return graph.tensors[static_cast<std::size_t>(id)].name;
}

TEST(Deepcam, HasTheReferencesParametersStatisticsAndOperations) {
  const Graph graph = training_graph(DeepcamOptions{}, one_sample);
  EXPECT_EQ(graph.parameter_elements(), 56'454'720);
  EXPECT_EQ(std::ranges::count_if(graph.tensors, [](const Tensor& t) { return t.role == Role::parameter; }), 301);
  EXPECT_EQ(graph.statistic_elements(), 97'760);
  EXPECT_EQ(cost(graph).macs, reference_macs + affine_macs);
  EXPECT_EQ(tensor_of(graph, "deconv3.dst").shape, (Shape{1, 3, 768, 1152}));
  const Graph evaluation = evaluation_graph(DeepcamOptions{}, one_sample);
  EXPECT_EQ(evaluation.parameter_elements(), 56'454'720);
  EXPECT_EQ(evaluation.statistic_elements(), 97'760);
}

TEST(Deepcam, TrainsWithThreeTimesTheForwardPassButForTheFirstLayersDataGradient) {
  EXPECT_EQ(cost(differentiate(training_graph(DeepcamOptions{}, one_sample))).macs,
            3 * (reference_macs + affine_macs) - 1'019'215'872);
}

TEST(Deepcam, LeavesTheLastConvolutionOfStridedBlocksWithoutNorm) {
  const Graph graph = training_graph(DeepcamOptions{}, one_sample);
  for (const char* block : {"block1", "block2", "block3", "block20"}) {
    const Node& add = node_of(graph, std::string(block) + ".add");
    EXPECT_EQ(producer_of(graph, add.inputs[0]), std::string(block) + ".sep3.pointwise") << block;
    EXPECT_EQ(producer_of(graph, add.inputs[1]), std::string(block) + ".skip.norm") << block;
  }
  const Node& middle = node_of(graph, "block4.add");
  EXPECT_EQ(producer_of(graph, middle.inputs[0]), "block4.sep3.norm");
  EXPECT_EQ(producer_of(graph, middle.inputs[1]), "block3.relu");
}

TEST(Deepcam, TakesLowLevelFeaturesBehindTheFirstBlocksActivation) {
  const Graph graph = training_graph(DeepcamOptions{}, one_sample);
  EXPECT_EQ(producer_of(graph, node_of(graph, "low").inputs[0]), "block1.relu");
  EXPECT_EQ(producer_of(graph, node_of(graph, "conv3.depthwise").inputs[0]), "block20.add") << "not rectified";
  EXPECT_EQ(producer_of(graph, node_of(graph, "upsample.concat").inputs[0]), "deconv1b.relu") << "decoder first";
}

TEST(Deepcam, DilatesTheLastThreeLayersAndTheBranchesOnly) {
  const Graph graph = training_graph(DeepcamOptions{}, one_sample);
  const auto dilation = [&](const std::string& name) { return std::get<Conv>(node_of(graph, name).op).dilation; };
  for (const char* name : {"conv3.depthwise", "conv4.depthwise", "conv5.depthwise"})
    EXPECT_EQ(dilation(name), (std::vector<int>{2, 2})) << name;
  for (const char* name : {"block20.sep1.depthwise", "block20.sep3.depthwise", "block19.sep1.depthwise"})
    EXPECT_EQ(dilation(name), (std::vector<int>{1, 1})) << name;
  EXPECT_EQ(dilation("aspp2"), (std::vector<int>{6, 6}));
  EXPECT_EQ(dilation("aspp3"), (std::vector<int>{12, 12}));
  EXPECT_EQ(dilation("aspp4"), (std::vector<int>{18, 18}));
}

TEST(Deepcam, BeginsWithTheReferencesLaws) {
  const Graph graph = training_graph(DeepcamOptions{}, one_sample);
  const auto expect = [&](const char* name, Initial::Law law, double scale) {
    EXPECT_EQ(tensor_of(graph, name).initial.law, law) << name;
    EXPECT_NEAR(tensor_of(graph, name).initial.scale, scale, 1e-6 * scale) << name;
  };
  expect("conv1.weights", Initial::Law::normal, std::sqrt(2.0 / (16 * 9)));
  expect("block1.sep1.depthwise.weights", Initial::Law::normal, 0.47140452);
  expect("block1.sep1.pointwise.weights", Initial::Law::normal, std::sqrt(2.0 / 64));
  expect("aspp4.weights", Initial::Law::normal, std::sqrt(2.0 / (2048 * 9)));
  expect("bottleneck.weights", Initial::Law::uniform, 1.0 / std::sqrt(1280.0));
  expect("low.weights", Initial::Law::uniform, 1.0 / std::sqrt(128.0));
  expect("deconv1a.weights", Initial::Law::uniform, 1.0 / 48.0);
  expect("deconv3.weights", Initial::Law::uniform, 1.0 / std::sqrt(27.0));
  expect("upsample3.bias", Initial::Law::uniform, 1.0 / 16.0);
  expect("conv1.norm.gamma", Initial::Law::constant, 1.0);
  expect("pool.affine.weights", Initial::Law::constant, 1.0);
  expect("conv1.norm.running_variance", Initial::Law::constant, 1.0);
  EXPECT_EQ(tensor_of(graph, "conv1.norm.beta").initial, Initial{});
}

TEST(Deepcam, WeighsClassesByTheirFrequency) {
  const Graph graph = training_graph(DeepcamOptions{}, one_sample);
  const auto& weights = std::get<CrossEntropy>(std::get<Loss>(node_of(graph, "loss").op).criterion).weights;
  ASSERT_EQ(weights.size(), 3U);
  EXPECT_NEAR(weights[0], 1.0017299, 1e-6);
  EXPECT_NEAR(weights[1], 2.6146112, 1e-6);
  EXPECT_NEAR(weights[2], 1.7164197, 1e-6);
}

TEST(Deepcam, MapsChannelsToTheirRange) {
  GraphOptions options = one_sample;
  for (int c = 0; c < 16; ++c)
    options.channels.push_back({.least = -c - 1.0, .most = 3.0 * c + 1.0});
  const Graph graph = training_graph(DeepcamOptions{}, options);
  const auto& normalise = std::get<Normalise>(node_of(graph, "normalise").op);
  EXPECT_FLOAT_EQ(normalise.shift[2], -3.0F);
  EXPECT_FLOAT_EQ(normalise.scale[2], 0.1F);
}

TEST(Deepcam, RefusesWhatDoesNotFit) {
  for (const DeepcamOptions& wrong : {DeepcamOptions{.rows = 100}, DeepcamOptions{.columns = 0},
                                      DeepcamOptions{.width = 0.0}, DeepcamOptions{.middle_blocks = -1}})
    EXPECT_THROW((void)training_graph(wrong, one_sample), Error);
}

const DatasetFacts reference_data{.train_samples = 121266, .validation_samples = 15158, .generated = false};

TEST(Deepcam, OfTheReferenceBreachesNoClosedRule) {
  for (const Rule& rule : {Rule(Lamb{}), Rule(Adam{}), Rule(Adam{.decoupled = true})}) {
    for (const Schedule& schedule :
         {Schedule(StepSchedule{.rate = 0.0055, .warmup_steps = 400, .decay = {{800, 0.1}}}),
          Schedule(StepSchedule{.decay = {{8192, 0.1}, {16384, 0.01}}}), Schedule(StepSchedule{.cosine_steps = 9000})})
      EXPECT_TRUE(closed_breaches({DeepcamOptions{}, rule, schedule}, reference_data).empty());
  }
}

TEST(Deepcam, OfATinyRunBreachesEachClosedRuleByName) {
  const Recipe tiny{.model = DeepcamOptions{.rows = 96, .columns = 144, .width = 0.5, .middle_blocks = 2},
                    .rule = Lamb{.epsilon = 1e-8F, .largest_norm = 2.0F},
                    .schedule = StepSchedule{.decay = {{10, 0.1}, {20, 0.05}}}};
  std::vector<std::string> subjects;
  for (const RuleBreach& breach :
       closed_breaches(tiny, {.train_samples = 2, .validation_samples = 1, .generated = true}))
    subjects.push_back(breach.subject);
  EXPECT_EQ(subjects,
            (std::vector<std::string>{"/model/rows", "/model/columns", "/model/width", "/model/middle_blocks",
                                      "/data/train_samples", "/data/validation_samples", "/submission/generated_data",
                                      "/optimizer/epsilon", "/optimizer/largest_norm", "/schedule/decay/1/factor"}));
  const auto of_sgd = closed_breaches({DeepcamOptions{}, SgdMomentum{}, PiecewiseSchedule{}}, reference_data);
  ASSERT_EQ(of_sgd.size(), 2U);
  EXPECT_EQ(of_sgd[0].subject, "/optimizer/name");
  EXPECT_EQ(of_sgd[1].subject, "/schedule/by");
  const auto of_lars = closed_breaches({DeepcamOptions{}, Lars{}, PolynomialSchedule{}}, reference_data);
  ASSERT_EQ(of_lars.size(), 2U);
  EXPECT_EQ(of_lars[0].found, "lars");
  EXPECT_EQ(of_lars[1].found, "polynomial");
}

TEST(Deepcam, LogsTheKeysOfItsRulesAndDecimalsAsTheyWereWritten) {
  const Metadata log = logged({DeepcamOptions{.norm_group = 2}, Lamb{},
                               StepSchedule{.rate = 0.0055, .warmup_steps = 400, .decay = {{800, 0.1}}}},
                              {});
  const auto value = [&](std::string_view key) {
    const auto found = std::ranges::find_if(log, [&](const auto& entry) { return entry.first == key; });
    return found == log.end() ? EventValue{} : found->second;
  };
  EXPECT_EQ(value("batchnorm_group_size"), EventValue(std::int64_t{2}));
  EXPECT_EQ(value("opt_name"), EventValue(std::string("LAMB")));
  EXPECT_EQ(value("opt_lr"), EventValue(0.0055));
  EXPECT_EQ(value("opt_eps"), EventValue(1e-6)) << "the checker compares with the literal";
  EXPECT_EQ(value("opt_betas"), EventValue(std::vector<double>{0.9, 0.999}));
  EXPECT_EQ(value("opt_weight_decay"), EventValue(0.01));
  EXPECT_EQ(value("opt_bias_correction"), EventValue(true));
  EXPECT_EQ(value("opt_max_grad_norm"), EventValue(1.0));
  EXPECT_EQ(value("scheduler_type"), EventValue(std::string("multistep")));
  EXPECT_EQ(value("scheduler_milestones"), EventValue(std::vector<std::int64_t>{800}));
  EXPECT_EQ(value("scheduler_decay_rate"), EventValue(0.1));
  EXPECT_EQ(value("scheduler_lr_warmup_steps"), EventValue(std::int64_t{400}));
}

TEST(Deepcam, LogsTheNameOfEveryRuleAndTheFormOfEverySchedule) {
  const auto text = [](const Rule& rule, const Schedule& schedule, std::string_view key) {
    for (const auto& [name, value] : logged({DeepcamOptions{}, rule, schedule}, {}))
      if (const auto* word = std::get_if<std::string>(&value); name == key && word != nullptr) return *word;
    return std::string();
  };
  EXPECT_EQ(text(SgdMomentum{}, StepSchedule{}, "opt_name"), "SGD");
  EXPECT_EQ(text(Adam{}, StepSchedule{}, "opt_name"), "Adam");
  EXPECT_EQ(text(Adam{.decoupled = true}, StepSchedule{}, "opt_name"), "AdamW");
  EXPECT_EQ(text(Lars{}, StepSchedule{}, "opt_name"), "LARS");
  EXPECT_EQ(text(Lamb{}, StepSchedule{.cosine_steps = 10}, "scheduler_type"), "cosine_annealing");
}

TEST(Deepcam, DecaysEveryTensorByTheRulesDecay) {
  const Graph graph = training_graph(DeepcamOptions{.rows = 32, .columns = 32, .width = 0.05}, one_sample);
  const auto treated = treatments(DeepcamOptions{}, Lamb{.weight_decay = 0.25F}, graph);
  EXPECT_EQ(treated, std::vector<Treatment>(301, {0.25F}));
}

TEST(Deepcam, LeavesVectorsToPlainMomentumUnderLars) {
  const Graph graph = training_graph(DeepcamOptions{.rows = 32, .columns = 32, .width = 0.05}, one_sample);
  const auto treated = treatments(DeepcamOptions{}, Lars{.weight_decay = 0.25F}, graph);
  std::size_t at = 0;
  for (const Tensor& tensor : graph.tensors) {
    if (tensor.role != Role::parameter) continue;
    const bool vector = tensor.shape.rank() == 1;
    EXPECT_EQ(treated.at(at++), (vector ? Treatment{.decay = 0.0F, .trusted = false} : Treatment{.decay = 0.25F}))
        << tensor.name;
  }
  EXPECT_EQ(at, treated.size());
}

TEST(Deepcam, TellsLarsThePeakRateOfTheSchedule) {
  const DeepcamOptions model{.rows = 32, .columns = 32, .width = 0.05};
  const StepGraphs graphs =
      graphs_of({model, Lars{}, PolynomialSchedule{.rate = 13.0, .warmup_steps = 5}}, {.graph = one_sample});
  std::vector<float> peaks;
  for (const Node& node : graphs.last.nodes) {
    if (const auto* update = std::get_if<Update>(&node.op)) peaks.push_back(std::get<Lars>(update->rule).peak_rate);
  }
  EXPECT_EQ(peaks, std::vector<float>(peaks.size(), 13.0F));
  EXPECT_FALSE(peaks.empty());
}

TEST(Deepcam, SumsGradientsInTurnWithTheSumsOfNormsWhereRanksShareThem) {
  const DeepcamOptions small{.rows = 32, .columns = 32, .width = 0.05, .middle_blocks = 0};
  for (const int group : {1, 2}) {
    DeepcamOptions model = small;
    model.norm_group = group;
    const StepGraphs graphs = graphs_of({model, Lamb{}, StepSchedule{}}, {.graph = one_sample, .ranks = 2});
    for (const Node& node : graphs.last.nodes) {
      if (!std::holds_alternative<AllReduce>(node.op)) continue;
      EXPECT_EQ(node.lane, group == 1 ? Lane::communication : Lane::compute);
    }
  }
}

TEST(Deepcam, BeginsAHigherLossScaleForALargerBatch) {
  const DeepcamOptions small{.rows = 32, .columns = 32, .width = 0.05, .middle_blocks = 0};
  const GraphOptions half{.local_batch = 1, .global_batch = 2048, .compute = DType::f16};
  const StepGraphs graphs = graphs_of({small, Lamb{}, StepSchedule{}}, {.graph = half});
  const auto& rule = std::get<AdjustLossScale>(graphs.last.nodes.back().op).rule;
  EXPECT_EQ(rule.initial, 2048 * LossScaling{}.initial);
  EXPECT_EQ(rule.maximum, 2048 * LossScaling{}.maximum);
}

TEST(GroupNorms, SumWhatEachNormSumsOverTheGroupForwardAndBackward) {
  const DeepcamOptions small{.rows = 32, .columns = 32, .width = 0.05, .middle_blocks = 0};
  const Graph plain = differentiate(training_graph(small, one_sample));
  const Graph grouped = group_norms(plain, 2);
  int moments = 0, sums = 0;
  for (const Node& node : grouped.nodes) {
    if (std::holds_alternative<NormMoments>(node.op) || std::holds_alternative<NormGradients>(node.op)) ++moments;
    if (std::holds_alternative<SumOverGroup>(node.op)) ++sums;
    const auto* apply = std::get_if<NormApply>(&node.op);
    const auto* backward = std::get_if<NormBackward>(&node.op);
    if (apply != nullptr) {
      EXPECT_EQ(apply->norm.ranks, 2);
      EXPECT_EQ(producer_of(grouped, node.inputs[1]).substr(node.name.size()), ".moments.group");
    }
    if (backward != nullptr) {
      EXPECT_EQ(backward->norm.ranks, 2);
      for (const int at : {1, 3})
        EXPECT_TRUE(producer_of(grouped, node.inputs[static_cast<std::size_t>(at)]).ends_with(".group")) << node.name;
    }
  }
  EXPECT_GT(moments, 20);
  EXPECT_EQ(sums, moments);
  EXPECT_EQ(group_norms(plain, 1).nodes.size(), plain.nodes.size());
}

}  // namespace
}  // namespace trainmark

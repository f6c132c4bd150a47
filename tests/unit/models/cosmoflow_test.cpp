// CosmoFlow against the numbers of the reference: parameters, operations, names, padding, rules.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "trainmark/models.hpp"

namespace trainmark {
namespace {

GraphOptions one_sample() { return {.local_batch = 1, .global_batch = 64, .compute = DType::f32, .seed = 1}; }

std::vector<std::string> parameter_names(const Graph& graph) {
  std::vector<std::string> names;
  for (const Tensor& tensor : graph.tensors)
    if (tensor.role == Role::parameter) names.push_back(tensor.name);
  return names;
}

std::int64_t matrix_macs(const Graph& graph) { return cost(graph).macs; }

TEST(Cosmoflow, HasTheReferencesParametersInItsOrder) {
  const Graph graph = training_graph(CosmoflowOptions{}, one_sample());
  EXPECT_EQ(parameter_names(graph),
            (std::vector<std::string>{"conv1.weights", "conv1.bias", "conv2.weights", "conv2.bias", "conv3.weights",
                                      "conv3.bias", "conv4.weights", "conv4.bias", "conv5.weights", "conv5.bias",
                                      "dense1.weights", "dense1.bias", "dense2.weights", "dense2.bias",
                                      "dense3.weights", "dense3.bias"}));
  EXPECT_EQ(graph.parameter_elements(), 8'907'556);
  EXPECT_EQ(graph.gradient_elements(), 8'907'557);
  EXPECT_EQ(cost(graph).parameters, 8'907'556);
}

TEST(Cosmoflow, CountsTheForwardOperationsOfTheFactSheet) {
  EXPECT_EQ(matrix_macs(training_graph(CosmoflowOptions{}, one_sample())), 34'431'049'984);
  EXPECT_EQ(matrix_macs(evaluation_graph(CosmoflowOptions{}, one_sample())), 34'431'049'984);
}

TEST(Cosmoflow, CountsATrainingSampleWithoutTheFirstDataGradient) {
  const Graph step = differentiate(training_graph(CosmoflowOptions{}, one_sample()));
  const std::int64_t macs = matrix_macs(step);
  EXPECT_EQ(macs, 3 * 34'431'049'984 - 7'247'757'312);
  EXPECT_NEAR(2.0 * static_cast<double>(macs) * 1e-9, 192.1, 0.05);
  // Element-wise work is counted, and is small beside the convolutions.
  EXPECT_GT(cost(step).flops, 2 * macs);
  EXPECT_LT(static_cast<double>(cost(step).flops), 2.02 * static_cast<double>(macs));
}

TEST(Cosmoflow, ScalesItsOperationsWithTheBatch) {
  GraphOptions options = one_sample();
  options.local_batch = 3;
  EXPECT_EQ(matrix_macs(training_graph(CosmoflowOptions{.extent = 32}, options)),
            3 * matrix_macs(training_graph(CosmoflowOptions{.extent = 32}, one_sample())));
}

TEST(Cosmoflow, OfKernelTwoPadsBehindTheData) {
  const Graph graph = training_graph(CosmoflowOptions{.kernel = 2}, one_sample());
  EXPECT_EQ(graph.parameter_elements(), 5'597'604);
  EXPECT_EQ(matrix_macs(graph), 10'204'750'080);
  for (const Node& node : graph.nodes) {
    if (const Conv* conv = std::get_if<Conv>(&node.op)) {
      EXPECT_EQ(conv->pad_lo, (std::vector<int>{0, 0, 0}));
      EXPECT_EQ(conv->pad_hi, (std::vector<int>{1, 1, 1}));
    }
  }
}

TEST(Cosmoflow, PacksItsInputsAsDataTargetAndStepState) {
  GraphOptions options = one_sample();
  options.local_batch = 2;
  const Graph graph = training_graph(CosmoflowOptions{.extent = 64}, options);
  std::vector<Tensor> inputs;
  for (const Tensor& tensor : graph.tensors)
    if (tensor.role == Role::input) inputs.push_back(tensor);
  ASSERT_EQ(inputs.size(), 3U);
  EXPECT_EQ(inputs[0].name, "x");
  EXPECT_EQ(inputs[0].shape, (Shape{2, 4, 64, 64, 64}));
  EXPECT_EQ(inputs[0].dtype, DType::i16);
  EXPECT_EQ(inputs[1].shape, (Shape{2, 4}));
  EXPECT_EQ(inputs[2].name, "step_state");
  EXPECT_EQ(inputs[2].shape, (Shape{step_state_extent(2)}));
  const DataSchema schema = data_schema(CosmoflowOptions{.extent = 64});
  EXPECT_EQ(schema.sample_bytes(), static_cast<std::size_t>(64 * 64 * 64 * 4 * 2 + 16));
}

TEST(Cosmoflow, AllowsCountsAndScaledTargets) {
  for (const bool log_transform : {true, false}) {
    const DataSchema schema = data_schema(CosmoflowOptions{.extent = 32, .log_transform = log_transform});
    EXPECT_EQ(schema.fields[0].legal.least, 0.0);
    EXPECT_EQ(schema.fields[0].legal.most, 32767.0);
    EXPECT_EQ(schema.fields[0].legal.positive_mean, !log_transform);
    EXPECT_EQ(schema.fields[1].legal.least, -1.2F);
    EXPECT_EQ(schema.fields[1].legal.most, 1.2F);
    EXPECT_FALSE(schema.fields[1].legal.positive_mean);
  }
}

TEST(Cosmoflow, ScalesItsLossInFp16AndWhereItIsToldTo) {
  const auto scales = [](const Graph& graph) {
    return std::ranges::any_of(graph.tensors, [](const Tensor& tensor) { return tensor.role == Role::scaler; });
  };
  const auto training = [](DType compute, bool scale_loss) {
    GraphOptions options = one_sample();
    options.compute = compute;
    options.scale_loss = scale_loss;
    return training_graph(CosmoflowOptions{.extent = 32}, options);
  };
  EXPECT_TRUE(scales(training(DType::f16, false)));
  EXPECT_TRUE(scales(training(DType::f32, true)));
  EXPECT_FALSE(scales(training(DType::f32, false)));
  EXPECT_FALSE(scales(training(DType::bf16, false)));
  GraphOptions half = one_sample();
  half.compute = DType::f16;
  EXPECT_FALSE(scales(evaluation_graph(CosmoflowOptions{.extent = 32}, half))) << "an evaluation has no gradients";
}

TEST(Cosmoflow, ComputesThePredictionInFp32WhateverTheRestComputesIn) {
  GraphOptions options = one_sample();
  options.compute = DType::bf16;
  const Graph graph = differentiate(training_graph(CosmoflowOptions{.extent = 32}, options));
  const auto type_of = [&](std::string_view name) {
    return graph.tensors[static_cast<std::size_t>(graph.find(name))].dtype;
  };
  EXPECT_EQ(type_of("preprocess.dst"), DType::bf16);
  EXPECT_EQ(type_of("conv5.pool.dst"), DType::bf16);
  EXPECT_EQ(type_of("diff:conv2.dst"), DType::bf16);
  EXPECT_EQ(type_of("dense2.leaky.dst"), DType::bf16);
  EXPECT_EQ(type_of("dense3.dst"), DType::f32);
  EXPECT_EQ(type_of("dense3.tanh.dst"), DType::f32);
  EXPECT_EQ(type_of("diff:dense3.dst"), DType::f32);
  EXPECT_EQ(type_of("diff:conv1.weights"), DType::f32);
}

TEST(Cosmoflow, DropsOutOnlyWhenTrainingAndOnlyHiddenDenseLayers) {
  const auto dropouts = [](const Graph& graph) {
    return std::ranges::count_if(graph.nodes,
                                 [](const Node& node) { return std::holds_alternative<Dropout>(node.op); });
  };
  EXPECT_EQ(dropouts(training_graph(CosmoflowOptions{.dropout = 0.5}, one_sample())), 2);
  EXPECT_EQ(dropouts(training_graph(CosmoflowOptions{.dropout = 0.0}, one_sample())), 0);
  EXPECT_EQ(dropouts(evaluation_graph(CosmoflowOptions{.dropout = 0.5}, one_sample())), 0);
}

TEST(Cosmoflow, EvaluatesWithTheParametersOfTraining) {
  const Graph training = training_graph(CosmoflowOptions{.dropout = 0.5}, one_sample());
  const Graph evaluation = evaluation_graph(CosmoflowOptions{.dropout = 0.5}, one_sample());
  EXPECT_EQ(parameter_names(training), parameter_names(evaluation));
  EXPECT_EQ(training.parameter_elements(), evaluation.parameter_elements());
}

TEST(Cosmoflow, KeepsAtLeastOneChannelAtSmallWidths) {
  const Graph graph = training_graph(CosmoflowOptions{.extent = 32, .width = 0.01}, one_sample());
  EXPECT_EQ(graph.tensors[static_cast<std::size_t>(graph.find("conv1.weights"))].shape, (Shape{1, 4, 3, 3, 3}));
  EXPECT_EQ(graph.tensors[static_cast<std::size_t>(graph.find("conv5.weights"))].shape, (Shape{5, 3, 3, 3, 3}));
}

TEST(Cosmoflow, RefusesAnExtentThatFivePoolsDoNotHalveAndNamesOneThatFits) {
  try {
    (void)training_graph(CosmoflowOptions{.extent = 100}, one_sample());
    FAIL() << "accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::usage);
    EXPECT_NE(std::string(error.what()).find("/model/extent: 100"), std::string::npos) << error.what();
    EXPECT_NE(std::string(error.what()).find("choose 96"), std::string::npos) << error.what();
  }
  EXPECT_THROW((void)data_schema(CosmoflowOptions{.extent = 0}), Error);
  EXPECT_THROW((void)training_graph(CosmoflowOptions{.extent = 32, .kernel = 5}, one_sample()), Error);
  EXPECT_THROW((void)training_graph(CosmoflowOptions{.extent = 32, .width = std::nan("")}, one_sample()), Error);
  EXPECT_THROW((void)training_graph(CosmoflowOptions{.extent = 32, .dropout = 1.0}, one_sample()), Error);
}

TEST(Cosmoflow, DecaysTheKernelsOfTheFirstTwoDenseLayersByTwiceTheFactor) {
  const Graph graph = training_graph(CosmoflowOptions{}, one_sample());
  std::vector<std::string> decayed;
  std::size_t at = 0;
  const auto treated = treatments(CosmoflowOptions{.l2 = 0.01}, SgdMomentum{}, graph);
  for (const Tensor& tensor : graph.tensors) {
    if (tensor.role != Role::parameter) continue;
    const float decay = treated.at(at++).decay;
    if (decay != 0.0F) decayed.push_back(tensor.name);
    EXPECT_FLOAT_EQ(decay, decayed.empty() || decayed.back() != tensor.name ? 0.0F : 0.02F);
  }
  EXPECT_EQ(at, treated.size());
  EXPECT_EQ(decayed, (std::vector<std::string>{"dense1.weights", "dense2.weights"}));
  EXPECT_FLOAT_EQ(treatments(CosmoflowOptions{}, Adam{.weight_decay = 0.25F}, graph).front().decay, 0.25F);
}

TEST(Cosmoflow, OfTheReferenceBreachesNoClosedRule) {
  const DatasetFacts facts{.train_samples = 524288, .validation_samples = 65536, .generated = false};
  EXPECT_TRUE(closed_breaches(Recipe{}, facts).empty());
  EXPECT_TRUE(
      closed_breaches({.model = CosmoflowOptions{.dropout = 0.5, .l2 = 0.01}, .rule = {}, .schedule = {}}, facts)
          .empty())
      << "both are free";
}

TEST(Cosmoflow, OfATinyRunBreachesEachClosedRuleByName) {
  const Recipe tiny{.model = CosmoflowOptions{.extent = 32, .width = 0.5, .kernel = 2, .log_transform = false},
                    .rule = SgdMomentum{.momentum = 0.8F},
                    .schedule = {}};
  const auto breaches = closed_breaches(tiny, {.train_samples = 2048, .validation_samples = 256, .generated = true});
  std::vector<std::string> subjects;
  for (const RuleBreach& breach : breaches)
    subjects.push_back(breach.subject);
  EXPECT_EQ(subjects,
            (std::vector<std::string>{"/model/extent", "/model/width", "/model/kernel", "/model/log_transform",
                                      "/data/train_samples", "/data/validation_samples", "/submission/generated_data",
                                      "/optimizer/momentum"}));
  EXPECT_EQ(breaches[0].found, "32");
  EXPECT_EQ(breaches[0].required, "128");
  EXPECT_EQ(breaches.back().found, "0.8");
  EXPECT_EQ(breaches.back().required, "0.9");
}

TEST(Cosmoflow, OfTheReferenceDecaysByTheModelAloneAndCorrectsNoMomentum) {
  const DatasetFacts facts{.train_samples = 524288, .validation_samples = 65536, .generated = false};
  const auto breaches = closed_breaches({.model = CosmoflowOptions{},
                                         .rule = SgdMomentum{.weight_decay = 1e-4F, .momentum_correction = true},
                                         .schedule = PolynomialSchedule{}},
                                        facts);
  ASSERT_EQ(breaches.size(), 3U);
  EXPECT_EQ(breaches[0].subject, "/optimizer/weight_decay");
  EXPECT_EQ(breaches[0].found, "0.0001");
  EXPECT_EQ(breaches[1].subject, "/optimizer/momentum_correction");
  EXPECT_EQ(breaches[2].found, "polynomial");
}

}  // namespace
}  // namespace trainmark

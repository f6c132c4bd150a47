// ResNet-50 v1.5 against its reference's figures: layers, parameters, operations, initial laws, and what differs
// between the frameworks in which it was published.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "trainmark/models.hpp"

namespace trainmark {
namespace {

constexpr std::int64_t reference_macs = 4'089'184'256;
const GraphOptions one_sample{.local_batch = 1, .global_batch = 1};

const Tensor& tensor_of(const Graph& graph, std::string_view name) {
  return graph.tensors[static_cast<std::size_t>(graph.find(name))];
}
const Node& node_of(const Graph& graph, std::string_view name) {
  const auto found = std::ranges::find(graph.nodes, name, &Node::name);
  EXPECT_NE(found, graph.nodes.end()) << name;
  return *found;
}
/// Of the node of that name; layers of a stage.
std::int64_t macs_of(const Graph& graph, std::string_view prefix) {
  std::int64_t macs = 0;
  for (const Node& node : graph.nodes)
    if (node.name.starts_with(prefix)) macs += cost(graph, node).macs;
  return macs;
}

TEST(Resnet50, HasTheReferencesParametersStatisticsAndOperations) {
  const Graph graph = training_graph(Resnet50Options{}, one_sample);
  EXPECT_EQ(graph.parameter_elements(), 25'557'032);
  EXPECT_EQ(std::ranges::count_if(graph.tensors, [](const Tensor& t) { return t.role == Role::parameter; }), 161);
  EXPECT_EQ(graph.statistic_elements(), 53'120);
  EXPECT_EQ(cost(graph).macs, reference_macs);
  EXPECT_EQ(tensor_of(graph, "fc.dst").shape, (Shape{1, 1000}));
  const Graph evaluation = evaluation_graph(Resnet50Options{}, one_sample);
  EXPECT_EQ(evaluation.parameter_elements(), 25'557'032);
  EXPECT_EQ(cost(evaluation).macs, reference_macs);
}

TEST(Resnet50, TrainsWithThreeTimesTheForwardPassButForTheFirstLayersDataGradient) {
  EXPECT_EQ(cost(differentiate(training_graph(Resnet50Options{}, one_sample))).macs, 3 * reference_macs - 118'013'952);
}

TEST(Resnet50, HasTheOperationsOfEachStageThatTheReferenceHas) {
  const Graph graph = training_graph(Resnet50Options{}, one_sample);
  const std::pair<const char*, double> stages[] = {{"conv1", 118.0},          {"stage1.block1.", 231.2},
                                                   {"stage1.block3.", 218.4}, {"stage2.block1.", 372.5},
                                                   {"stage2.block4.", 218.4}, {"stage3.block1.", 372.5},
                                                   {"stage3.block6.", 218.4}, {"stage4.block1.", 372.5},
                                                   {"stage4.block3.", 218.4}, {"fc", 2.05}};
  for (const auto& [name, millions] : stages)
    EXPECT_NEAR(static_cast<double>(macs_of(graph, name)) * 1e-6, millions, 0.06) << name;
}

TEST(Resnet50, HalvesTheImageInTheMiddleOfABottleneck) {
  const Graph graph = training_graph(Resnet50Options{}, one_sample);
  const auto extent = [&](const char* name) { return tensor_of(graph, name).shape[2]; };
  EXPECT_EQ(extent("conv1.dst"), 112);
  EXPECT_EQ(extent("pool.dst"), 56);
  EXPECT_EQ(extent("stage2.block1.conv1.dst"), 56) << "v1 would halve here";
  EXPECT_EQ(extent("stage2.block1.conv2.dst"), 28);
  EXPECT_EQ(extent("stage4.block3.relu.dst"), 7);
}

TEST(Resnet50, PadsAsTheFrameworksDo) {
  const auto pads = [](const Resnet50Options& model) {
    const Graph graph = training_graph(model, one_sample);
    const auto& first = std::get<Conv>(node_of(graph, "conv1").op);
    const auto& pool = std::get<Pool>(node_of(graph, "pool").op);
    const auto& strided = std::get<Conv>(node_of(graph, "stage3.block1.conv2").op);
    const auto& plain = std::get<Conv>(node_of(graph, "stage3.block2.conv2").op);
    return std::vector{first.pad_lo[0],   first.pad_hi[1],   pool.pad_lo[0],  pool.pad_hi[1],
                       strided.pad_lo[0], strided.pad_hi[1], plain.pad_lo[1], plain.pad_hi[0]};
  };
  EXPECT_EQ(pads({}), (std::vector{3, 3, 1, 1, 1, 1, 1, 1}));
  EXPECT_EQ(pads({.padding = PaddingStyle::tensorflow}), (std::vector{3, 3, 0, 1, 0, 1, 1, 1}));
}

TEST(Resnet50, TakesAnyExtentWithEitherPadding) {
  for (const PaddingStyle padding : {PaddingStyle::torch, PaddingStyle::tensorflow}) {
    for (const int extent : {32, 33, 47, 64, 100, 161, 225}) {
      const Graph graph =
          training_graph({.extent = extent, .width = 0.125, .classes = 7, .padding = padding}, one_sample);
      std::int64_t expected = extent;
      for (int layer = 0; layer < 5; ++layer)
        expected = (expected + 1) / 2;
      EXPECT_EQ(tensor_of(graph, "stage4.block3.relu.dst").shape, (Shape{1, 256, expected, expected})) << extent;
      EXPECT_EQ(tensor_of(graph, "fc.dst").shape, (Shape{1, 7}));
    }
  }
}

TEST(Resnet50, BeginsWithTheReferencesLaws) {
  const Graph graph = training_graph(Resnet50Options{}, one_sample);
  const auto expect = [&](const char* name, Initial::Law law, double scale) {
    EXPECT_EQ(tensor_of(graph, name).initial.law, law) << name;
    EXPECT_NEAR(tensor_of(graph, name).initial.scale, scale, 1e-6 * scale) << name;
  };
  expect("conv1.weights", Initial::Law::normal, std::sqrt(2.0 / 147));
  expect("stage2.block1.conv2.weights", Initial::Law::normal, std::sqrt(2.0 / (128 * 9)));
  expect("stage4.block1.skip.weights", Initial::Law::normal, std::sqrt(2.0 / 1024));
  expect("fc.weights", Initial::Law::normal, 0.01);
  expect("stage1.block1.conv3.norm.gamma", Initial::Law::constant, 1.0);
  EXPECT_EQ(tensor_of(graph, "fc.bias").initial, Initial{});
}

TEST(Resnet50, SmoothsLabelsByEitherDefinitionAndNotInAnEvaluation) {
  const auto others = [](const Graph& graph) {
    return std::get<CrossEntropy>(std::get<Loss>(node_of(graph, "loss").op).criterion).others;
  };
  EXPECT_DOUBLE_EQ(others(training_graph(Resnet50Options{}, one_sample)), 0.1 / 1000);
  EXPECT_DOUBLE_EQ(others(training_graph(Resnet50Options{.smoothing = SmoothingStyle::other_classes}, one_sample)),
                   0.1 / 999);
  const auto metric = std::get<Metric>(node_of(evaluation_graph(Resnet50Options{}, one_sample), "metric").op);
  EXPECT_EQ(metric.judge, Judge::top1);
  EXPECT_EQ(std::get<CrossEntropy>(metric.criterion), CrossEntropy{});
}

TEST(Resnet50, TakesTheMeansOffThePixels) {
  const auto normalise = [](const Resnet50Options& model) {
    return std::get<Normalise>(node_of(training_graph(model, one_sample), "normalise").op);
  };
  EXPECT_EQ(normalise({}).shift, (std::vector{123.675F, 116.28F, 103.53F}));
  EXPECT_FLOAT_EQ(normalise({}).scale[2], 1.0F / 57.375F);
  EXPECT_EQ(normalise({.pixels = PixelStyle::centred}).shift, (std::vector{123.68F, 116.78F, 103.94F}));
  EXPECT_EQ(normalise({.pixels = PixelStyle::centred}).scale, (std::vector{1.0F, 1.0F, 1.0F}));
}

TEST(Resnet50, LetsWeightsDecayAndNeitherNormsNorTheBias) {
  const Graph graph = training_graph(Resnet50Options{}, one_sample);
  const auto treated = treatments(Resnet50Options{}, Lamb{.weight_decay = 0.25F}, graph);
  ASSERT_EQ(treated.size(), 161U);
  EXPECT_EQ(std::ranges::count(treated, 0.25F, &Treatment::decay), 54) << "53 convolutions and the dense layer";
  EXPECT_EQ(std::ranges::count(treated, true, &Treatment::trusted), 54) << "which LARS scales";
  EXPECT_EQ(treated.back().decay, 0.0F) << "its bias";
}

TEST(Resnet50, RefusesWhatItCannotBe) {
  const auto refused = [](const Resnet50Options& model) {
    try {
      static_cast<void>(data_schema(model));
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::usage);
      return std::string(error.what());
    }
    return std::string("nothing");
  };
  EXPECT_TRUE(refused({.extent = 31}).starts_with("/model/extent: 31 is less than 32")) << refused({.extent = 31});
  EXPECT_TRUE(refused({.width = 0.0}).starts_with("/model/width"));
  EXPECT_TRUE(refused({.classes = 1}).starts_with("/model/classes"));
  EXPECT_TRUE(refused({.label_smoothing = 1.0}).starts_with("/model/label_smoothing"));
  EXPECT_TRUE(refused({.least_area = 0.9, .most_area = 0.5}).starts_with("/model/least_area"));
  EXPECT_TRUE(refused({.least_aspect = 2.0}).starts_with("/model/least_aspect"));
  EXPECT_TRUE(refused({.norm_group = 0}).starts_with("/model/norm_group"));
  EXPECT_EQ(refused({}), "nothing");
}

TEST(Resnet50, ReadsCropsOfJpegs) {
  const DataSchema usual = data_schema(Resnet50Options{});
  ASSERT_TRUE(usual.images);
  EXPECT_EQ(usual.sample_bytes(), 224U * 224 * 3 + 4);
  EXPECT_GT(usual.images->plain_from_epoch, 1'000'000) << "never";
  const DataSchema fujitsu = data_schema(Resnet50Options{
      .least_area = 0.05, .most_area = 0.9, .least_aspect = 0.6667, .most_aspect = 1.5, .plain_from_epoch = 85});
  EXPECT_EQ(fujitsu.images->plain_from_epoch, 85);
  EXPECT_EQ(std::tie(fujitsu.images->least_area, fujitsu.images->most_area), std::make_tuple(0.05, 0.9));
  EXPECT_EQ(std::tie(fujitsu.images->least_aspect, fujitsu.images->most_aspect), std::make_tuple(0.6667, 1.5));
}

constexpr DatasetFacts imagenet{1281167, 50000, false};

Recipe closed_recipe(const Rule& rule) {
  return {.model = Resnet50Options{}, .rule = rule, .schedule = PolynomialSchedule{.rate = 0.5, .end_rate = 0.0001}};
}
std::vector<std::string> subjects_of(const std::vector<RuleBreach>& breaches) {
  std::vector<std::string> subjects;
  for (const RuleBreach& breach : breaches)
    subjects.push_back(breach.subject);
  return subjects;
}

TEST(Resnet50, IsClosedOnlyAsTheReferenceIs) {
  const Recipe recipe = closed_recipe(SgdMomentum{.weight_decay = 1e-4F});
  EXPECT_TRUE(closed_breaches(recipe, imagenet, {.global_batch = 4096}).empty());
  Recipe other = recipe;
  other.model = Resnet50Options{.extent = 192, .width = 0.5, .classes = 10, .label_smoothing = 0.2};
  auto& crops = std::get<Resnet50Options>(other.model);
  std::tie(crops.least_area, crops.most_area) = std::tuple(0.08, 0.9);
  std::tie(crops.least_aspect, crops.most_aspect) = std::tuple(0.6667, 1.5);
  crops.plain_from_epoch = 85;
  other.rule = Adam{};
  EXPECT_EQ(subjects_of(closed_breaches(other, {1281166, 49999, true})),
            (std::vector<std::string>{"/model/extent", "/model/width", "/model/classes", "/model/label_smoothing",
                                      "/model/least_area", "/model/most_area", "/model/least_aspect",
                                      "/model/most_aspect", "/model/plain_from_epoch", "/data/train_samples",
                                      "/data/validation_samples", "/submission/generated_data", "/optimizer/name"}));
}

TEST(Resnet50, ClosedRulesLimitTheOptimizersValues) {
  const Lars good{.weight_decay = 2.5e-5F, .epsilon = 0.0F};
  EXPECT_TRUE(closed_breaches(closed_recipe(good), imagenet, {.global_batch = 4096}).empty());
  const Lars bad{
      .momentum = 0.94F, .weight_decay = 1e-5F, .eta = 0.0025F, .epsilon = 1e-9F, .form = LarsForm::premultiplied};
  EXPECT_EQ(subjects_of(closed_breaches(closed_recipe(bad), imagenet, {.global_batch = 32767})),
            (std::vector<std::string>{"/optimizer/eta", "/optimizer/epsilon", "/optimizer/form",
                                      "/optimizer/weight_decay", "/optimizer/momentum"}));
  const Lars free{.momentum = 0.94F, .weight_decay = 2e-4F, .epsilon = 0.0F};
  EXPECT_TRUE(closed_breaches(closed_recipe(free), imagenet, {.global_batch = 32768}).empty())
      << "the momentum is free from there on";
  EXPECT_EQ(subjects_of(closed_breaches(closed_recipe(SgdMomentum{}), imagenet, {.global_batch = 4096})),
            std::vector<std::string>{"/optimizer/weight_decay"})
      << "none at all is no power of two either";
}

TEST(Resnet50, ClosedRulesWantAnEvaluationEveryFourEpochs) {
  const Recipe recipe = closed_recipe(SgdMomentum{.weight_decay = 1e-4F});
  EXPECT_TRUE(closed_breaches(recipe, imagenet, {.eval_every = 4}).empty());
  for (const std::int64_t other : {1, 2, 3, 5, 8}) {
    const std::vector<RuleBreach> breaches = closed_breaches(recipe, imagenet, {.eval_every = other});
    ASSERT_EQ(subjects_of(breaches), std::vector<std::string>{"/train/eval_every"}) << other;
    EXPECT_EQ(breaches[0].found, std::to_string(other));
    EXPECT_EQ(breaches[0].required, "4 epochs from one evaluation to the next");
  }
}

TEST(Resnet50, ClosedRulesFixTheSchedulesPowerAndEnd) {
  Recipe recipe = closed_recipe(Lars{.epsilon = 0.0F});
  recipe.schedule = PolynomialSchedule{.rate = 13.0, .power = 2.2, .end_rate = 0.0325};
  EXPECT_EQ(subjects_of(closed_breaches(recipe, imagenet, {.global_batch = 4096})),
            (std::vector<std::string>{"/schedule/power", "/schedule/end_rate"}));
  for (const Schedule& other : {Schedule(StepSchedule{}), Schedule(TanhSchedule{})}) {
    recipe.schedule = other;
    EXPECT_EQ(subjects_of(closed_breaches(recipe, imagenet, {.global_batch = 4096})),
              std::vector<std::string>{"/schedule/by"});
  }
  recipe = closed_recipe(SgdMomentum{.weight_decay = 1e-4F});
  std::get<PolynomialSchedule>(recipe.schedule).rate = 0.0015;
  EXPECT_EQ(subjects_of(closed_breaches(recipe, imagenet, {.global_batch = 4096})),
            std::vector<std::string>{"/schedule/rate"});
}

TEST(Resnet50, LogsEachOptimizerUnderTheKeysOfTheRules) {
  const StepFacts step{.local_batch = 64, .steps_per_epoch = 40};
  const auto value = [&](const Recipe& recipe, const std::string& key) {
    const Metadata log = logged(recipe, step);
    const auto found = std::ranges::find_if(log, [&](const auto& entry) { return entry.first == key; });
    return found == log.end() ? EventValue{} : found->second;
  };
  Recipe recipe = closed_recipe(Lars{.momentum = 0.94F, .weight_decay = 2.5e-5F, .epsilon = 0.0F});
  recipe.schedule =
      PolynomialSchedule{.rate = 21.2, .warmup_steps = 640, .decay_steps = 2267, .power = 2.0, .end_rate = 0.0001};
  EXPECT_EQ(value(recipe, "opt_name"), EventValue(std::string("lars")));
  EXPECT_EQ(value(recipe, "lars_opt_base_learning_rate"), EventValue(21.2));
  EXPECT_EQ(value(recipe, "lars_opt_end_learning_rate"), EventValue(0.0001));
  EXPECT_EQ(value(recipe, "lars_opt_learning_rate_decay_poly_power"), EventValue(2.0));
  EXPECT_EQ(value(recipe, "lars_opt_learning_rate_decay_steps"), EventValue(std::int64_t{2267}));
  EXPECT_EQ(value(recipe, "lars_epsilon"), EventValue(0.0));
  EXPECT_EQ(value(recipe, "lars_opt_learning_rate_warmup_epochs"), EventValue(16.0));
  EXPECT_EQ(value(recipe, "lars_opt_momentum"), EventValue(0.94));
  EXPECT_EQ(value(recipe, "lars_opt_weight_decay"), EventValue(2.5e-5));
  EXPECT_EQ(value(recipe, "model_bn_span"), EventValue(std::int64_t{64}));
  recipe.rule = SgdMomentum{.weight_decay = 1e-4F};
  recipe.model = Resnet50Options{.norm_group = 4};
  EXPECT_EQ(value(recipe, "sgd_opt_base_learning_rate"), EventValue(21.2));
  EXPECT_EQ(value(recipe, "sgd_opt_end_learning_rate"), EventValue(0.0001));
  EXPECT_EQ(value(recipe, "sgd_opt_learning_rate_decay_poly_power"), EventValue(2.0));
  EXPECT_EQ(value(recipe, "sgd_opt_learning_rate_decay_steps"), EventValue(std::int64_t{2267}));
  EXPECT_EQ(value(recipe, "opt_learning_rate_warmup_epochs"), EventValue(16.0));
  EXPECT_EQ(value(recipe, "sgd_opt_momentum"), EventValue(0.9));
  EXPECT_EQ(value(recipe, "sgd_opt_weight_decay"), EventValue(1e-4));
  EXPECT_EQ(value(recipe, "model_bn_span"), EventValue(std::int64_t{256}));
  recipe.schedule = TanhSchedule{.rate = 2.0, .warmup_steps = 200, .decay_steps = 3400, .end_rate = 0.0001};
  EXPECT_EQ(value(recipe, "trainmark_schedule"), EventValue(std::string("tanh")));
  EXPECT_EQ(value(recipe, "sgd_opt_base_learning_rate"), EventValue(2.0));
  EXPECT_EQ(value(recipe, "sgd_opt_learning_rate_decay_steps"), EventValue(std::int64_t{3400}));
  EXPECT_EQ(value(recipe, "opt_learning_rate_warmup_epochs"), EventValue(5.0));
  EXPECT_EQ(value(recipe, "trainmark_tanh_interval"), EventValue(std::vector<double>{-6.0, 3.0}));
  EXPECT_EQ(value(recipe, "sgd_opt_learning_rate_decay_poly_power"), EventValue{}) << "it has none";
}

TEST(Resnet50, IsJudgedLoggedAndTrainedByTheRateAtItsBatch) {
  Recipe recipe = closed_recipe(SgdMomentum{.weight_decay = 1e-4F});
  std::get<PolynomialSchedule>(recipe.schedule).rate = 0.128;
  recipe.scaling = {.base_batch = 256};
  EXPECT_TRUE(closed_breaches(recipe, imagenet, {.global_batch = 1664}).empty()) << "0.832";
  EXPECT_EQ(subjects_of(closed_breaches(recipe, imagenet, {.global_batch = 257})),
            std::vector<std::string>{"/schedule/rate"})
      << "0.1285 is no multiple of 0.001";
  const Metadata log = logged(recipe, {.global_batch = 4096, .local_batch = 64, .steps_per_epoch = 40});
  const auto holds = [&](const char* key, const EventValue& value) {
    return std::ranges::find(log, std::pair<std::string, EventValue>(key, value)) != log.end();
  };
  EXPECT_TRUE(holds("sgd_opt_base_learning_rate", 2.048));
  EXPECT_TRUE(holds("sgd_opt_end_learning_rate", 0.0001));
  EXPECT_TRUE(holds("trainmark_base_batch", std::int64_t{256}));
  EXPECT_TRUE(holds("trainmark_batch_scaling", std::string("linear")));
  recipe.rule = Lars{};
  const StepGraphs graphs = graphs_of(recipe, {.graph = {.global_batch = 4096}});
  for (const Node& node : graphs.last.nodes) {
    const auto* update = std::get_if<Update>(&node.op);
    if (update != nullptr) {
      EXPECT_EQ(std::get<Lars>(update->rule).peak_rate, 2.048F);
    }
  }
}

TEST(Resnet50, GradientsTravelInFujitsusGroups) {
  const Recipe recipe{.model = Resnet50Options{}, .rule = Lars{}, .schedule = PolynomialSchedule{}};
  const Graph step = graphs_of(recipe, {.graph = {}, .grouping = {.ends = cubic_ends(), .norms_last = true}}).last;
  std::vector<std::int64_t> elements;
  for (const Node& node : step.nodes)
    if (const auto* reduce = std::get_if<AllReduce>(&node.op)) elements.push_back(reduce->range.size());
  // 4.1, 22.0, 20.1 and 4.8 MB in fp16; then 106 tensors of norms. The loss value goes with the first.
  ASSERT_EQ(elements.size(), 5U);
  EXPECT_EQ(elements[0], 2'049'000 + 1);
  EXPECT_NEAR(2e-6 * static_cast<double>(elements[1]), 22.0, 0.05);
  EXPECT_NEAR(2e-6 * static_cast<double>(elements[2]), 20.1, 0.05);
  EXPECT_NEAR(2e-6 * static_cast<double>(elements[3]), 4.8, 0.05);
  EXPECT_EQ(elements[4], 53'120);
}

TEST(Resnet50, GradientsTravelInHalfThoseOfNormsAndTheLossInWholeFloats) {
  const Recipe recipe{.model = Resnet50Options{}, .rule = Lars{}, .schedule = PolynomialSchedule{}};
  const Graph step =
      graphs_of(recipe, {.graph = {}, .grouping = {.ends = cubic_ends(), .norms_last = true, .wire = DType::f16}}).last;
  std::vector<std::pair<DType, std::int64_t>> sums;
  for (const Node& node : step.nodes)
    if (const auto* reduce = std::get_if<AllReduce>(&node.op)) sums.emplace_back(reduce->wire, reduce->range.size());
  ASSERT_EQ(sums.size(), 6U);
  EXPECT_EQ(sums[0], std::pair(DType::f32, std::int64_t{1})) << "the loss value";
  EXPECT_EQ(sums[1], std::pair(DType::f16, std::int64_t{2'049'000}));
  for (std::size_t at = 2; at < 5; ++at)
    EXPECT_EQ(sums[at].first, DType::f16);
  EXPECT_EQ(sums[5], std::pair(DType::f32, std::int64_t{53'120}));
}

}  // namespace
}  // namespace trainmark

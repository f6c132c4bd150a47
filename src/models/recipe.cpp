// From a recipe to what a run needs of it: every function visits the model that the recipe holds.
#include "models/benchmarks.hpp"

#include <charconv>

namespace trainmark {

namespace {

/// NCCL does not promise that sums over different groups of ranks go on beside each other: on one lane they follow each
/// other, in the same order on all ranks.
void sum_in_turn(Graph& graph) {
  for (Node& node : graph.nodes)
    if (std::holds_alternative<AllReduce>(node.op)) node.lane = Lane::compute;
}

std::optional<Graph> average_of(const Graph& network, int ranks) {
  if (network.statistic_elements() == 0 || ranks == 1) return {};
  Graph graph;
  graph.nodes.push_back(
      {"average_statistics", AverageStatistics{network.statistic_elements(), ranks}, {}, {}, Lane::communication});
  return graph;
}

/// The rule with what it must know of the schedule.
Rule rule_of(const Recipe& recipe, std::int64_t global_batch) {
  Rule rule = recipe.rule;
  if (auto* lars = std::get_if<Lars>(&rule))
    lars->peak_rate = static_cast<float>(peak_rate_of(schedule_of(recipe, global_batch)));
  return rule;
}

/// The recipe with the rates that it comes to at this batch, for who looks at them.
Recipe at_batch(const Recipe& recipe, std::int64_t global_batch) {
  Recipe scaled = recipe;
  scaled.schedule = schedule_of(recipe, global_batch);
  return scaled;
}

}  // namespace

Schedule schedule_of(const Recipe& recipe, std::int64_t global_batch) {
  return at_batch(recipe.schedule, recipe.scaling, global_batch);
}

StepGraphs graphs_of(const Recipe& recipe, const StepOptions& options) {
  return std::visit(
      [&](const auto& model) {
        const auto arranged = [&](Graph graph) {
          return options.grouping.norms_last ? norms_in_front(std::move(graph)) : graph;
        };
        const bool in_parts = options.accumulation_steps > 1;
        LossScaling scaling = options.scaling;
        const float factor = models::loss_scale_factor(model, options.graph);
        scaling.initial *= factor;
        scaling.maximum *= factor;
        Graph gradients =
            arranged(group_norms(differentiate(training_graph(model, options.graph)), models::norm_group_of(model)));
        StepGraphs graphs;
        if (in_parts) graphs.earlier = accumulate(gradients);
        const std::vector<Treatment> treated = treatments(model, recipe.rule, gradients);
        graphs.last = reduce_and_update(std::move(gradients), options.grouping,
                                        rule_of(recipe, options.graph.global_batch), treated, scaling, in_parts);
        if (models::norm_group_of(model) > 1) sum_in_turn(graphs.last);
        graphs.evaluation = arranged(evaluation_graph(model, options.graph));
        if (options.averages_statistics) graphs.average = average_of(graphs.evaluation, options.ranks);
        return graphs;
      },
      recipe.model);
}

Graph forward_of(const ModelOptions& model, const GraphOptions& options) {
  return std::visit([&](const auto& chosen) { return training_graph(chosen, options); }, model);
}

float models::weight_decay_of(const Rule& rule) {
  return std::visit(
      [](const auto& chosen) {
        if constexpr (requires { chosen.weight_decay; }) return chosen.weight_decay;
        return 0.0F;
      },
      rule);
}

Treatment models::treatment_of(const Rule& rule, const Tensor& tensor) {
  if (std::holds_alternative<Lars>(rule) && tensor.shape.rank() == 1) return {.decay = 0.0F, .trusted = false};
  return {.decay = weight_decay_of(rule)};
}

double models::as_written(float value) {
  const std::string text = fmt::format("{}", value);
  double result = value;
  std::from_chars(text.data(), text.data() + text.size(), result);
  return result;
}

std::string_view benchmark_of(const ModelOptions& model) {
  return std::visit([](const auto& chosen) { return models::benchmark_of(chosen); }, model);
}

std::string_view accumulation_key_of(const ModelOptions& model) {
  return std::visit([](const auto& chosen) { return models::accumulation_key_of(chosen); }, model);
}

int channels_of(const ModelOptions& model) {
  return std::visit([](const auto& chosen) { return models::channels_of(chosen); }, model);
}

Remainder remainder_of(const ModelOptions& model) {
  return std::visit([](const auto& chosen) { return models::remainder_of(chosen); }, model);
}

int norm_group_of(const ModelOptions& model) {
  return std::visit([](const auto& chosen) { return models::norm_group_of(chosen); }, model);
}

DataSchema schema_of(const ModelOptions& model) {
  return std::visit([](const auto& chosen) { return data_schema(chosen); }, model);
}

std::vector<EvaluationFigure> figures_of(const ModelOptions& model) {
  return std::visit([](const auto& chosen) { return models::figures_of(chosen); }, model);
}

std::vector<RuleBreach> closed_breaches(const Recipe& recipe, const DatasetFacts& data, const TrainFacts& train) {
  const Recipe scaled = train.global_batch > 0 ? at_batch(recipe, train.global_batch) : recipe;
  return std::visit([&](const auto& chosen) { return models::closed_breaches(chosen, scaled, data, train); },
                    recipe.model);
}

std::int64_t largest_reference_batch(const ModelOptions& model) {
  return std::visit([](const auto& chosen) { return models::largest_reference_batch(chosen); }, model);
}

Metadata logged(const Recipe& recipe, const StepFacts& step) {
  const Recipe scaled = at_batch(recipe, step.global_batch);
  Metadata log = std::visit([&](const auto& chosen) { return models::logged(chosen, scaled, step); }, recipe.model);
  if (recipe.scaling.base_batch > 0) {
    log.emplace_back("trainmark_batch_scaling", std::string(word(recipe.scaling.law)));
    log.emplace_back("trainmark_base_batch", recipe.scaling.base_batch);
  }
  return log;
}

}  // namespace trainmark

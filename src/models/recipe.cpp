// From a recipe to what a run needs of it: every function visits the model that the recipe holds.
#include "models/benchmarks.hpp"

namespace trainmark {

StepGraphs graphs_of(const Recipe& recipe, const StepOptions& options) {
  return std::visit(
      [&](const auto& model) {
        const bool in_parts = options.accumulation_steps > 1;
        Graph gradients = differentiate(training_graph(model, options.graph));
        StepGraphs graphs;
        if (in_parts) graphs.earlier = accumulate(gradients);
        graphs.last = reduce_and_update(std::move(gradients), options.bucket_bytes, recipe.rule, decay_rule(model),
                                        options.scaling, in_parts);
        graphs.evaluation = evaluation_graph(model, options.graph);
        return graphs;
      },
      recipe.model);
}

Graph forward_of(const ModelOptions& model, const GraphOptions& options) {
  return std::visit([&](const auto& chosen) { return training_graph(chosen, options); }, model);
}

std::string_view benchmark_of(const ModelOptions& model) {
  return std::visit([](const auto& chosen) { return models::benchmark_of(chosen); }, model);
}

DataSchema schema_of(const ModelOptions& model) {
  return std::visit([](const auto& chosen) { return data_schema(chosen); }, model);
}

std::vector<EvaluationFigure> figures_of(const ModelOptions& model) {
  return std::visit([](const auto& chosen) { return models::figures_of(chosen); }, model);
}

std::vector<RuleBreach> closed_breaches(const Recipe& recipe, const DatasetFacts& data) {
  return std::visit([&](const auto& chosen) { return models::closed_breaches(chosen, recipe, data); }, recipe.model);
}

Metadata logged(const Recipe& recipe) {
  return std::visit([&](const auto& chosen) { return models::logged(chosen, recipe); }, recipe.model);
}

}  // namespace trainmark

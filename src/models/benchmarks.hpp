// What each benchmark answers; recipe.cpp asks the one that a recipe holds, and a benchmark that lacks an answer does
// not compile.
#pragma once

#include "trainmark/models.hpp"

namespace trainmark::models {

[[nodiscard]] std::vector<EvaluationFigure> figures_of(const CosmoflowOptions& model);
[[nodiscard]] std::vector<RuleBreach> closed_breaches(const CosmoflowOptions& model, const Recipe& recipe,
                                                      const DatasetFacts& data);
[[nodiscard]] Metadata logged(const CosmoflowOptions& model, const Recipe& recipe);
[[nodiscard]] constexpr std::string_view benchmark_of(const CosmoflowOptions&) { return "cosmoflow"; }

}  // namespace trainmark::models

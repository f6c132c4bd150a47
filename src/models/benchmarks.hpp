// What each benchmark answers; recipe.cpp asks the one that a recipe holds, and a benchmark that lacks an answer does
// not compile.
#pragma once

#include <fmt/format.h>

#include <bit>

#include "trainmark/models.hpp"

namespace trainmark::models {

[[nodiscard]] std::vector<EvaluationFigure> figures_of(const CosmoflowOptions& model);
[[nodiscard]] std::vector<RuleBreach> closed_breaches(const CosmoflowOptions& model, const Recipe& recipe,
                                                      const DatasetFacts& data, const TrainFacts& train);
[[nodiscard]] Metadata logged(const CosmoflowOptions& model, const Recipe& recipe, const StepFacts& step);
[[nodiscard]] constexpr std::string_view benchmark_of(const CosmoflowOptions&) { return "cosmoflow"; }
[[nodiscard]] constexpr int norm_group_of(const CosmoflowOptions&) { return 1; }
[[nodiscard]] constexpr Remainder remainder_of(const CosmoflowOptions&) { return Remainder::refused; }
[[nodiscard]] constexpr std::int64_t largest_reference_batch(const CosmoflowOptions&) { return 1024; }
[[nodiscard]] constexpr int channels_of(const CosmoflowOptions&) { return 0; }
/// By how much a loss scale begins higher than usual: a power of two.
[[nodiscard]] constexpr float loss_scale_factor(const CosmoflowOptions&, const GraphOptions&) { return 1.0F; }
[[nodiscard]] constexpr std::string_view accumulation_key_of(const CosmoflowOptions&) {
  return "gradient_accumulation_steps";
}

[[nodiscard]] std::vector<EvaluationFigure> figures_of(const DeepcamOptions& model);
[[nodiscard]] std::vector<RuleBreach> closed_breaches(const DeepcamOptions& model, const Recipe& recipe,
                                                      const DatasetFacts& data, const TrainFacts& train);
[[nodiscard]] Metadata logged(const DeepcamOptions& model, const Recipe& recipe, const StepFacts& step);
[[nodiscard]] constexpr std::string_view benchmark_of(const DeepcamOptions&) { return "deepcam"; }
[[nodiscard]] constexpr int norm_group_of(const DeepcamOptions& model) { return model.norm_group; }
[[nodiscard]] constexpr Remainder remainder_of(const DeepcamOptions&) { return Remainder::left_out; }
[[nodiscard]] constexpr std::int64_t largest_reference_batch(const DeepcamOptions&) { return 2048; }
[[nodiscard]] constexpr int channels_of(const DeepcamOptions&) { return 16; }
/// A pixel's gradient is divided by the pixels of a map and by the global batch; the reference divides by the latter
/// behind the backward pass, where fp16 has no part in it any more.
[[nodiscard]] constexpr float loss_scale_factor(const DeepcamOptions&, const GraphOptions& options) {
  return static_cast<float>(std::bit_floor(static_cast<std::uint64_t>(options.global_batch)));
}
[[nodiscard]] constexpr std::string_view accumulation_key_of(const DeepcamOptions&) {
  return "gradient_accumulation_frequency";
}

[[nodiscard]] std::vector<EvaluationFigure> figures_of(const Resnet50Options& model);
[[nodiscard]] std::vector<RuleBreach> closed_breaches(const Resnet50Options& model, const Recipe& recipe,
                                                      const DatasetFacts& data, const TrainFacts& train);
[[nodiscard]] Metadata logged(const Resnet50Options& model, const Recipe& recipe, const StepFacts& step);
[[nodiscard]] constexpr std::string_view benchmark_of(const Resnet50Options&) { return "resnet"; }
[[nodiscard]] constexpr int norm_group_of(const Resnet50Options& model) { return model.norm_group; }
[[nodiscard]] constexpr Remainder remainder_of(const Resnet50Options&) { return Remainder::filled_up; }
[[nodiscard]] constexpr std::int64_t largest_reference_batch(const Resnet50Options&) { return 67840; }
[[nodiscard]] constexpr int channels_of(const Resnet50Options&) { return 0; }
[[nodiscard]] constexpr float loss_scale_factor(const Resnet50Options&, const GraphOptions&) { return 1.0F; }
[[nodiscard]] constexpr std::string_view accumulation_key_of(const Resnet50Options&) {
  return "gradient_accumulation_steps";
}

/// What a rule asks tensors to decay by, where it does.
[[nodiscard]] float weight_decay_of(const Rule& rule);
/// How a rule treats a tensor where all decay. LARS leaves out vectors (biases, scales and shifts of norms), as its
/// references do by their names: plain momentum at the schedule's rate, without decay.
[[nodiscard]] Treatment treatment_of(const Rule& rule, const Tensor& tensor);

/// Raises Error{usage} for options that no model can have; `pointer` names the key.
[[noreturn]] inline void refuse(std::string pointer, std::string what, std::string why, std::string remedy) {
  throw Error(ExitCode::usage, Complaint{std::move(pointer), std::move(what), std::move(why), std::move(remedy)});
}

/// Collects what is not as the closed division asks for.
struct Breaches {
  std::vector<RuleBreach> found;
  template <class Found, class Required>
  void require(bool kept, std::string subject, const Found& value, const Required& required) {
    if (!kept) found.push_back({std::move(subject), fmt::format("{}", value), fmt::format("{}", required)});
  }
};

/// The double that reads as the shortest text of this float: what somebody wrote who meant it.
[[nodiscard]] double as_written(float value);

}  // namespace trainmark::models

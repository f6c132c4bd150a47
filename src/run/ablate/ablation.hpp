// Variants compared in alternating rounds, and what is told of them.
#pragma once

#include "run/ablate/attribution.hpp"
#include "run/ablate/variants.hpp"
#include "run/record/steps_told.hpp"
#include "trainmark/run.hpp"

namespace trainmark {

/// The programs of the variants. Those whose `train` is null have no meaning in this run.
struct AblationPrograms {
  StepPrograms whole;
  StepPrograms unsummed;                   ///< no sums of gradients over ranks
  StepPrograms in_order;                   ///< no overlap of sums with computation
  StepPrograms unfused;                    ///< each operation by itself
  StepPrograms fp32;                       ///< where the run has less
  StepPrograms bf16;                       ///< where the run has more
  std::string precision_means;             ///< of either: "fp32 in place of bf16"
  std::vector<std::string> left_out = {};  ///< which of them found no plan or no room here, and why
};
struct AblationLoaders {
  Loader* train = nullptr;
  Loader* direct = nullptr;  ///< from the source, where the run stages
};

struct AblationResult {
  struct Row {
    std::string name, meaning;
    Interval seconds;     ///< a step of the slowest rank
    Interval difference;  ///< to the full step
  };
  std::vector<Row> rows;  ///< the first is the full step
  std::vector<std::string> left_out;
  Attribution attribution;
  std::optional<LastRank> last;
  std::string slowest_host;
};
/// Collective.
[[nodiscard]] AblationResult compare_variants(const Bench& bench, const AblationPrograms& programs,
                                              const AblationLoaders& loaders, const AblateOptions& how);
[[nodiscard]] std::string to_text(const AblationResult& result);
[[nodiscard]] std::string to_json(const AblationResult& result, const AblateOptions& how, const RunOptions& options,
                                  const World& world);

}  // namespace trainmark

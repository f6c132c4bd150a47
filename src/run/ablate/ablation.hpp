// Variants compared in alternating rounds, and what is told of them.
#pragma once

#include "run/ablate/attribution.hpp"
#include "run/ablate/variants.hpp"
#include "run/record/steps_told.hpp"
#include "trainmark/run.hpp"

namespace trainmark {

/// The programs of the variants. Without the first no step can be said to lose anything.
struct AblationPrograms {
  /// The full step made in another way, which a device or its memory may refuse.
  struct Other {
    std::string name;     ///< a word, for programs
    std::string meaning;  ///< for people
    StepPrograms programs;
  };
  StepPrograms whole;
  StepPrograms unsummed = {};              ///< no sums of gradients over ranks; null for a rank alone
  std::vector<Other> others = {};          ///< that found a plan and room
  std::vector<std::string> left_out = {};  ///< those that did not, each with the reason
  Precision precision = Precision::fp32;   ///< in which the first computes
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
  Precision precision = Precision::fp32;  ///< in which the full step computes
};
/// Collective.
[[nodiscard]] AblationResult compare_variants(const Bench& bench, const AblationPrograms& programs,
                                              const AblationLoaders& loaders, const AblateOptions& how);
[[nodiscard]] std::string to_text(const AblationResult& result);
[[nodiscard]] std::string to_json(const AblationResult& result, const AblateOptions& how, const RunOptions& options,
                                  const World& world);

}  // namespace trainmark

// How far two computations of the same tensors are apart, and whether rounding explains it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "run/record/progress.hpp"
#include "trainmark/run.hpp"

namespace trainmark {

enum class Kind : std::uint8_t { alone, forward, backward, update };
struct Difference {
  std::string tensor;
  double norm = 0.0;      ///< of the difference, over that of the truth
  double largest = 0.0;   ///< difference of two elements, over the largest of the truth
  double rounding = 0.0;  ///< the norm of what rounding makes of it where the truth comes from, if that was computed
  Kind kind = Kind::forward;
  /// The largest norm of a rank that its own rounding does not explain; empty before ranks have agreed.
  std::optional<double> unexplained = {};
};
/// What rounding makes of an operation by itself, at most, as the norm of the difference over that of the truth.
[[nodiscard]] double bound_alone(Precision precision);
/// `found` over `scale`, which is a loss scale, against the truth.
[[nodiscard]] Difference difference(const std::string& name, const std::vector<float>& found, double scale,
                                    const std::vector<float>& truth);
/// Worst over all ranks, so that every rank comes to the same verdict. Collective.
void agree_on_worst(const World& world, std::vector<Difference>& differences);
/// The largest of what was noted so.
void note_rounding(std::vector<Difference>& differences, const std::vector<Difference>& rounding);
/// The largest ones.
void print(Progress& progress, std::vector<Difference> differences);
/// The outcome, and a line of it: `agreed` where no difference is larger than the precision explains, or than three
/// times its rounding; else their number, and the code `communication`.
[[nodiscard]] RunOutcome judged(const std::vector<Difference>& differences, Precision precision,
                                const std::string& agreed, Progress& progress);

}  // namespace trainmark

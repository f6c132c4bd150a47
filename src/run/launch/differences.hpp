// How far two computations of the same tensors are apart, and whether rounding explains it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "run/record/progress.hpp"
#include "trainmark/run.hpp"

namespace trainmark {

enum class Kind : std::uint8_t { forward, backward, update };
struct Difference {
  std::string tensor;
  double norm = 0.0;      ///< of the difference, over that of the truth
  double largest = 0.0;   ///< difference of two elements, over the largest of the truth
  double rounding = 0.0;  ///< the norm of what the CPU makes of it in the same precision; 0 where it has not got it
  double flips = 0.0;     ///< the norm that other winners in max pools explain where fp32 is rounded otherwise
  Kind kind = Kind::forward;
};
/// `found` over `scale`, which is a loss scale, against the truth.
[[nodiscard]] Difference difference(const std::string& name, const std::vector<float>& found, double scale,
                                    const std::vector<float>& truth);
/// The norm of what max pools of so many windows each may make of a gradient, over its own, where the same fp32 sums
/// are rounded otherwise: now and then the two largest of a window change places, and its gradient goes elsewhere. As
/// much as chance makes of it in 99 of 100 computations of each pool.
[[nodiscard]] double norm_of_flips(const std::vector<std::int64_t>& windows);
/// Worst over all ranks, so that every rank comes to the same verdict. Collective.
void agree_on_worst(const World& world, std::vector<Difference>& differences);
void note_rounding(std::vector<Difference>& differences, const std::vector<Difference>& rounding);
/// The largest ones.
void print(Progress& progress, std::vector<Difference> differences);
/// The outcome, and a line of it: `agreed` where no difference is larger than the precision explains, or than twice its
/// rounding, or in fp32 its flips; else their number, and the code `communication`.
[[nodiscard]] RunOutcome judged(const std::vector<Difference>& differences, Precision precision,
                                const std::string& agreed, bool rounds, Progress& progress);

}  // namespace trainmark

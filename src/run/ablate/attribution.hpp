// From the times of the variants to what a step loses, and to what.
#pragma once

#include <string>
#include <vector>

#include "run/ablate/interval.hpp"

namespace trainmark {

/// Seconds a step of one variant: by round, then by rank.
using VariantTimes = std::vector<std::vector<double>>;

/// The variants that losses follow from, each with one thing less than the one before.
struct Chain {
  VariantTimes full;
  VariantTimes uploaded;  ///< without the loader
  VariantTimes resident;  ///< without uploads
  VariantTimes unsummed;  ///< without sums over ranks; empty where there is but one rank
  VariantTimes bare;      ///< launches back to back: the host looks at nothing
};

struct StepLoss {
  std::string name;
  std::string remedy;
  Interval seconds;  ///< of a step
};

struct Attribution {
  Interval full;          ///< seconds a step, of the slowest rank
  Interval compute_only;  ///< of the bare step, the mean over ranks: what each would need by itself
  Interval efficiency;    ///< compute-only over full
  /// input, upload, all_reduce, host, slowest_rank: their means add up to full less compute-only.
  std::vector<StepLoss> losses;
  int slowest_rank = 0;            ///< by the bare step
  double slowest_rank_excess = 0;  ///< over the mean of all ranks, a share
  /// The largest loss that is more than chance; null where none is.
  [[nodiscard]] const StepLoss* largest() const noexcept;
};
[[nodiscard]] Attribution attribute(const Chain& chain);
/// Of the slowest rank, by round.
[[nodiscard]] std::vector<double> slowest(const VariantTimes& times);
/// `one` - `other`, round by round.
[[nodiscard]] Interval paired_difference(const std::vector<double>& one, const std::vector<double>& other);

}  // namespace trainmark

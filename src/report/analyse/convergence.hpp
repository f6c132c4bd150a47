// How many epochs runs took, against the references of the rules and against each other, and how much of a score's
// spread is theirs.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "report/analyse/groups.hpp"
#include "report/analyse/references.hpp"
#include "report/analyse/statistics.hpp"

namespace trainmark::report {

/// ln T = ln epochs + ln (T / epochs), so the variances of both and twice their covariance add up to that of the time.
struct Spread {
  std::size_t runs = 0;
  double time_percent = 0.0, epochs_percent = 0.0, seconds_per_epoch_percent = 0.0;  ///< deviation over mean
  double epochs_share_percent = 0.0;  ///< of ln T's variance; of the covariance half
};

struct GroupConvergence {
  const Group* group = nullptr;
  std::vector<double> epochs;  ///< to the target, of runs that met it
  std::size_t missed = 0;      ///< runs that ended off target
  std::size_t broke_off = 0;   ///< runs that did not come to an end: they count in nothing
  std::size_t seeds = 0;       ///< different ones that are logged
  std::vector<double> last_metrics;
  std::optional<double> mean_epochs;        ///< olympic from three runs on, else plain
  std::optional<ReferencePoint> reference;  ///< of all points
  std::string how;                          ///< the reference is found, or why there is none
  std::optional<double> factor;             ///< own epochs over the reference's
  std::optional<ReferencePoint> checked;    ///< what the official checker compares with
  std::optional<double> normalised_by;      ///< what it multiplies the score by
  bool too_fast = false;                    ///< below what the checker accepts
  OlympicScore score;
  std::optional<Bounds> score_min;  ///< 80 % of the olympic mean, by bootstrap
  std::optional<Spread> spread;     ///< from three runs on
};
/// `instances`: runs of one configuration are instances of one job, as somebody says.
[[nodiscard]] std::vector<GroupConvergence> convergence_of(std::span<const Group> groups, bool instances = false);

/// epochs = least (1 + batch / critical), after McCandlish et al. 2018 (arXiv 1812.06162): the samples that training
/// takes grow linearly with the batch. A line through the means of three batches or more, weighted by their runs.
struct CriticalBatch {
  std::string workload;
  std::size_t batches = 0, runs = 0;
  double least_epochs = 0.0;    ///< as the batch goes to zero
  double critical_batch = 0.0;  ///< where epochs have doubled
  double largest_residual_percent = 0.0;
  double smallest = 0.0, largest = 0.0;  ///< batch that it rests on
};
struct CriticalBatchAnswer {
  std::optional<CriticalBatch> fit;
  std::string why_not;
};
/// One answer for each task (task_of), from runs on target; of batches at which more than one run missed it, none
/// counts.
[[nodiscard]] std::vector<CriticalBatchAnswer> critical_batches(std::span<const GroupConvergence> rows);

/// Two groups of one workload, told apart by Welch's test on their times to train.
struct Difference {
  const Group* one = nullptr;
  const Group* other = nullptr;
  std::size_t runs_of_one = 0, runs_of_other = 0;
  double p = 1.0;
  double percent = 0.0;  ///< by which the other's mean time is longer
  [[nodiscard]] bool differ() const noexcept { return p < differ_below; }
};
/// Of each task (task_of) the fastest group against each other one; groups with fewer than three times, or with runs
/// that missed the target, are left out.
[[nodiscard]] std::vector<Difference> differences_of(std::span<const Group> groups);

}  // namespace trainmark::report

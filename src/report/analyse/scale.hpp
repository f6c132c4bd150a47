// Runs at several numbers of nodes: what became of the time to train, factor by factor, and where the data set fits.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "report/analyse/groups.hpp"
#include "report/analyse/step_model.hpp"

namespace trainmark::report {

/// By what T(N) differs from T of the fewest nodes. T = epochs x (samples / (processes x rate of one) + what an epoch
/// takes besides), so their product is T(N) / T(N0).
struct ScaleFactors {
  double processes = 1.0;               ///< N0 / N
  double rate = 1.0;                    ///< of one process, N0's over N's
  std::optional<double> communication;  ///< = rate, where the local batch is the same: nothing else of it changed
  double epochs = 1.0;
  double besides = 1.0;  ///< staging, evaluation, cold epoch and rest, as they dilute training
  double time = 1.0;     ///< T(N) / T(N0), of the times themselves
  [[nodiscard]] double product() const noexcept { return processes * rate * epochs * besides; }
};

struct ScaleRow {
  const Group* group = nullptr;
  std::string series;  ///< series_of its runs
  std::optional<double> nodes;
  double processes = 0.0;
  std::optional<double> local_batch;
  std::size_t runs = 0;
  std::optional<double> rate;  ///< samples/s, median of the runs' median epochs
  double rate_least = 0.0, rate_most = 0.0;
  std::optional<double> step_s;          ///< batch over rate
  std::optional<double> epochs, time_s;  ///< olympic from three runs on (mean_outcome)
  std::optional<double> staging_s;       ///< median, on either side of the clock
  std::optional<double> evaluation_s;    ///< over a run's epochs, median
  std::optional<double> share_of_node;   ///< of the set: all of it where it is replicated; 1 / nodes where not known
  std::optional<double> bytes_per_node;  ///< a node's part of both sets, as stored raw
  std::string tier;                      ///< the fastest that holds it; "none"; empty where none was stated
  std::optional<ScaleFactors> factors;   ///< against the row of the fewest processes of its series and task
};

/// Of groups that tell their number of processes, by series (series_of) and processes. `tiers` are per node, of any
/// order.
[[nodiscard]] std::vector<ScaleRow> scale_rows(std::span<const Group> groups, std::span<const Tier> tiers);

/// The name of fastest_tier_for(), or "none".
[[nodiscard]] std::string fastest_tier(double bytes, std::span<const Tier> tiers);
/// A term of the mean step ("mean step, compute") over the whole, median of the runs that tell it.
[[nodiscard]] std::optional<double> share_of_step(const Group& group, std::string_view term);
/// What steps the rows tell; rows without a batch or rate tell none.
[[nodiscard]] std::vector<StepObservation> observations_of(std::span<const ScaleRow> rows);

}  // namespace trainmark::report

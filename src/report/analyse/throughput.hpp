// The throughput score of the HPC rules ("weak scaling"): several instances train the same model at the same time, and
// the time to train all of them counts.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "report/analyse/groups.hpp"

namespace trainmark::report {

/// The instances of one job, all of one configuration.
struct Throughput {
  const Group* group = nullptr;
  std::size_t instances = 0;  ///< that count
  std::size_t pruned = 0;     ///< below a folder pruned_results, as the rules' layout has them: they do not count
  std::optional<double> time_to_train_all_min;  ///< last run_stop - first run_start
  std::optional<double> models_per_min;
  double starts_apart_s = 0.0;       ///< from the first run_start to the last
  double mean_run_min = 0.0;         ///< of the instances' own times to train
  double lost_percent = 0.0;         ///< of the time to train all: what the mean of one does not fill
  std::string why_not;               ///< there is no score
  std::vector<std::string> remarks;  ///< what a reader must know of it
};

/// A score for each group whose runs are instances: by their own records, by a folder `weak` in their paths, or for all
/// groups of two runs or more where `all_are` says so.
/// Source: MLPerf HPC training rules, section on the throughput metric; mlperf_logging's result_summarizer.
[[nodiscard]] std::vector<Throughput> throughput_of(std::span<const Group> groups, bool all_are);

/// Whether runs of the group are instances by their own records or by a folder `weak` in their paths.
[[nodiscard]] bool are_instances(const Group& group);

}  // namespace trainmark::report

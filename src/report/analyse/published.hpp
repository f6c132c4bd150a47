// Published results that a run may be held against: which, and why not the others.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "trainmark/report.hpp"

namespace trainmark::report {

/// A row of share/published/results.csv, whose README describes the columns. What an entry's logs lack is none.
struct Published {
  std::string_view round, division, submitter, system, workload, metric, device, precision, clock, rate_of, series,
      source, also_in;
  std::optional<double> nodes, devices, train_samples, batch_samples, local_batch_samples, runs, staging_s, score_s,
      score_with_staging_s, models_per_min, epochs_to_target, epochs_least, epochs_most, evaluation_s, first_epoch_s,
      step_ms, samples_per_s_device;
  [[nodiscard]] bool emulated() const noexcept { return metric == "compute only"; }
  [[nodiscard]] std::string name() const;  ///< "512 A100-80, NVIDIA 2.0"
};
[[nodiscard]] std::span<const Published> published_results();

/// What may stand beside a run, nearest first: by local batch, then the same kind of device, then the same training set
/// and the number of devices. Never of another workload, metric, division or class of precision, nor where
/// RunReport::incomparable tells why not.
struct NearestPublished {
  std::vector<const Published*> entries;
  std::vector<const Published*> emulated;  ///< compute-only steps of the workload
  std::vector<std::string> remarks;        ///< what was left out and why, and what is not known of the run
};
[[nodiscard]] NearestPublished nearest_published(const RunReport& run, std::size_t most = 6);

/// Whether two arithmetics may be compared: "fp32", "tf32" or "16 bit"; empty where nobody says.
[[nodiscard]] std::string_view precision_class(std::string_view precision) noexcept;

}  // namespace trainmark::report

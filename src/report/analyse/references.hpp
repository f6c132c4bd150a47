// How many epochs the benchmarks' references take at a batch, and what the official checker makes of a run that takes
// fewer.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace trainmark::report {

/// A reference convergence point of the rules, or one between two of them.
struct ReferencePoint {
  double batch_samples = 0.0;
  double epochs = 0.0;        ///< mean without the fastest and the slowest run
  double deviation = 0.0;     ///< of all runs, over n
  double least_epochs = 0.0;  ///< a submission's mean below it converges too fast
  double runs = 0.0;          ///< of the reference; 0 where interpolated
  double fastest = 0.0, slowest = 0.0;
};

/// In the order of batches; empty for a workload without any. `rules`: "1.0", "3.0" (2.0 has the same), "4.0"; empty
/// for the latest.
[[nodiscard]] std::span<const ReferencePoint> reference_points(std::string_view workload, std::string_view rules = {});
/// The training set that they are of.
[[nodiscard]] double reference_samples(std::string_view workload) noexcept;
/// The largest and the smallest value of a run's seconds, epochs ... are dropped of as many runs as a score takes.
[[nodiscard]] int runs_of_a_score(std::string_view workload) noexcept;

/// What is compared with at a batch.
struct ExpectedEpochs {
  std::optional<ReferencePoint> point;
  std::string how;  ///< "reference", "interpolated", "the smallest batch's"; else why there is none
};
/// What the reference itself takes, of all points; between two of them linear in the batch, none beyond them.
[[nodiscard]] ExpectedEpochs reference_epochs(std::string_view workload, double batch_samples);
/// What the checker compares with. As mlperf_logging's rcp_checker does by default: of points that others undercut
/// ("pruned") none counts; between points mean and deviation are linear in the batch; below the smallest batch its
/// point counts; above the largest none does.
[[nodiscard]] ExpectedEpochs checked_epochs(std::string_view workload, double batch_samples);

/// By what the checker multiplies the score of a submission that takes fewer epochs than the reference; 1 for others.
[[nodiscard]] double normalisation(const ReferencePoint& reference, double epochs) noexcept;

}  // namespace trainmark::report

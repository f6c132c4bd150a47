// How long a step takes at another number of devices or another local batch, and how wrong that has been on published
// series of runs.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

namespace trainmark::report {

/// What runs of one configuration say of a step.
struct StepObservation {
  double processes = 0.0;
  double local_batch = 0.0;  ///< samples
  double step_s = 0.0;
  double deviation = 0.0;                          ///< of step_s over runs, as a share of it; 0 where it is not known
  std::optional<double> exposed_s = std::nullopt;  ///< of step_s: standing still for sums over ranks
};

/// What published series of one submitter, round, division and local batch at several node counts say.
struct Experience {
  double growth = 0.0;               ///< of a step with each doubling of the devices, as a share; the median
  std::size_t growths = 0;           ///< pairs of entries that it rests on
  double error_a_root_doubling = 0;  ///< of this model, leaving one entry out: 80 % of errors are below it times the
                                     ///< root of the doublings
  std::size_t errors = 0;
};
/// Without the series that is being judged.
[[nodiscard]] Experience published_experience(std::string_view without_series = {});

/// A network as somebody states it, for runs at one node count. A ring all-reduce of n bytes over N processes moves
/// 2 (N - 1) / N n bytes through each, in 2 (N - 1) messages; trees need 2 log2 N (Thakur, Rabenseifner and Gropp
/// 2005).
struct StatedNetwork {
  double bytes_per_s = 0.0;  ///< through one process
  double latency_s = 0.0;    ///< of a message; counted 2 log2 N times, as libraries change to trees
  double gradient_bytes = 0.0;
  double hidden_s = 0.0;  ///< of the all-reduce, behind computation
  [[nodiscard]] double exposed_s(double processes) const noexcept;
};

struct StepPrediction {
  double step_s = 0.0, low_s = 0.0, high_s = 0.0;  ///< 80 % band
  double doublings = 0.0;                          ///< of devices and local batch away from the nearest observation
  bool extrapolated = false;                       ///< more than 8 times away from it
  std::string basis;                               ///< what it rests on, in words
  bool of_network = false;                         ///< the stated network is in it
};
struct StepAnswer {
  std::optional<StepPrediction> prediction;
  std::string why_not;
};

/// t(N, b) = (fixed + b x a sample's time) x (1 + growth x doublings). From observations of the same local batch: a
/// line over log2 N (but what a rank alone knows nothing of, sums over ranks, grows as a ring's volume: there the line
/// errs by half of what two ranks exchange), or of one N its step and the published growth (or a stated network's). Of
/// other local batches: a line over b, which takes two of them, and the published growth beyond the observed N.
[[nodiscard]] StepAnswer predict_step(std::span<const StepObservation> seen, double processes, double local_batch,
                                      const Experience& experience,
                                      const std::optional<StatedNetwork>& network = std::nullopt);

/// Every entry of the published series, predicted from the others of its series.
struct LeftOut {
  std::string series;
  double processes = 0.0, local_batch = 0.0, step_s = 0.0;
  StepAnswer answer;
  [[nodiscard]] double error() const noexcept { return answer.prediction->step_s / step_s - 1.0; }
  [[nodiscard]] bool in_band() const noexcept {
    return answer.prediction->low_s <= step_s && step_s <= answer.prediction->high_s;
  }
};
[[nodiscard]] std::vector<LeftOut> leave_one_out();

}  // namespace trainmark::report

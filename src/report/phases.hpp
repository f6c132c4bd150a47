// The run's clock, cut into what it was spent on.
#pragma once

#include <vector>

#include "trainmark/mllog.hpp"
#include "trainmark/report.hpp"

namespace trainmark::report {

struct Phases {
  bool started = false, finished = false;
  double run_s = 0.0;
  double staging_outside_s = 0.0;
  double staging_s = 0.0, training_s = 0.0, evaluation_s = 0.0, rest_s = 0.0;  ///< add up to run_s
  std::vector<EpochReport> epochs;  ///< times and metrics; rates are not known here
  std::string status;               ///< of run_stop
};

/// Reads no record after run_stop. Where that is missing, the last record ends the clock. Each moment belongs to one
/// phase: staging before evaluation before training, whatever encloses what.
[[nodiscard]] Phases cut_into_phases(const std::vector<LogRecord>& records);

}  // namespace trainmark::report

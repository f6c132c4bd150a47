// The run's clock, cut into what it was spent on.
#pragma once

#include <map>
#include <span>
#include <string>
#include <vector>

#include "trainmark/mllog.hpp"
#include "trainmark/report.hpp"

namespace trainmark::report {

/// What a moment can belong to; where several can, the first of them has it.
enum class Phase : std::uint8_t { staging, evaluation, training, rest };

struct Phases {
  bool finished = false;
  double run_s = 0.0;
  double staging_outside_s = 0.0, staging_outside_more_s = 0.0;  ///< and what else may be
  double staging_s = 0.0, training_s = 0.0, evaluation_s = 0.0, rest_s = 0.0;
  double undecided_s = 0.0;        ///< of more than one phase, for want of a start or stop; adds up to run_s with them
  std::map<Phase, double> more_s;  ///< of undecided_s, what each phase may have
  double evaluation_beside_s = 0.0;  ///< evaluations of earlier epochs beside training, whose time it is
  double clock_back_s = 0.0;         ///< by how much times went back from one record to the next, within the run
  double start_ms = 0.0, stop_ms = 0.0;
  /// Epochs begin again that had begun before: of another attempt, which logs no start of its own.
  bool restarted = false;
  bool uncountable = false;         ///< epochs are numbered in fractions, or some have one number
  bool misplaced = false;           ///< metrics name other epochs than those that are evaluated where they stand
  std::vector<EpochReport> epochs;  ///< times and metrics; rates are not known here
  std::vector<TimeStretch> stretches;
  std::string status, outcome;  ///< of run_stop; the second, where ours says more: "fixed_work_done", "target_missed"
  std::vector<std::string> notes;
};

/// Reads no record after run_stop. Where that is missing, the last record ends the clock. Each moment belongs to one
/// phase: staging before evaluation before training, whatever encloses what. An evaluation beside another epoch's
/// training takes no time from it. `records` have a run_start; `flaws` are of the same lines.
[[nodiscard]] Phases cut_into_phases(std::span<const LogRecord> records, std::span<const LogFlaw> flaws);

}  // namespace trainmark::report

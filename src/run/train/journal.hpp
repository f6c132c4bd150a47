// What is told of training as it goes: rows of steps and epochs, the line that a person watches, sensors, the bracket
// of an outer profiler, and the sums that are left in the end. It touches neither programs nor state.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "run/record/progress.hpp"
#include "run/record/results.hpp"
#include "run/record/sensor_log.hpp"
#include "run/record/step_log.hpp"
#include "run/record/timeline.hpp"
#include "run/train/goal.hpp"
#include "trainmark/exec.hpp"

namespace trainmark {

/// What the loop came to.
struct TrainOutcome {
  bool target_met = false;
  std::int64_t epochs = 0;  ///< completed, evaluation included
  std::int64_t steps = 0;
  std::int64_t samples = 0;
  double train_seconds = 0.0;  ///< in training steps, input waits included
  double eval_seconds = 0.0;
  double wait_seconds = 0.0;                       ///< for input, this rank
  std::optional<std::int64_t> from_storage_bytes;  ///< by this rank since training began, where the kernel counts
  UploadTimes uploads;                             ///< of training batches, this rank, summed
  StepLog log;                                     ///< of all training steps, this rank
  double first_step_seconds = 0.0;
  double metric = 0.0;  ///< last
  double best_metric = 0.0;
  std::vector<double> step_seconds;
  std::optional<LossScale> loss_scale;  ///< at the end, where the loss is scaled
  SensorLog sensors;                    ///< of this rank's device
  std::int64_t profiled_steps = 0;
  int readers = 0, eval_readers = 0;          ///< threads, at the end
  std::string readers_why, eval_readers_why;  ///< so many; empty where a config said it
  // Not zero only where /train/on_divergence lets a run go on:
  std::int64_t losses_not_finite = 0;
  std::int64_t metrics_not_finite = 0;
  std::int64_t first_loss_not_finite = 0;  ///< its step, from 1
};

/// Of the epochs between two evaluations; usually of one.
struct EpochFigures {
  std::optional<double> loss_sum;  ///< nothing where none is computed
  std::int64_t steps = 0;
  double seconds = 0.0;
  double wait_seconds = 0.0;
  double eval_wait_seconds = 0.0;       ///< for input, this rank
  std::int64_t asked_bytes = 0;         ///< by all ranks' loaders, for training and validation, since the row before
  std::int64_t from_storage_bytes = 0;  ///< that the kernel brought for it; -1: it does not count on every rank
  std::int64_t from_memory_bytes = 0;   ///< of what was asked: sources had kept it
};

class RunJournal {
 public:
  struct Parts {  // all of them outlive the journal
    Backend& backend;
    Timeline& timeline;
    Results& results;
    Progress& progress;
  };
  /// What is trained, as far as it is told.
  struct Subject {
    Goal goal;
    Schedule schedule;
    QualityTarget target;
    std::int64_t global_batch = 1;
    std::int64_t steps_per_epoch = 1;
    std::optional<StepRange> profile_steps;
    std::optional<std::int64_t> job_ends_at;  ///< seconds since 1970
  };
  RunJournal(Parts parts, Subject subject);
  ~RunJournal();  ///< however training ends, the rows of its steps are in steps.csv
  RunJournal(const RunJournal&) = delete;
  RunJournal& operator=(const RunJournal&) = delete;

  /// Opens a profiler's bracket before its first step: the device has nothing to do then.
  void before_step(std::int64_t step);
  /// Reads sensors now and then, while the device works on the step that was just launched.
  void sense();
  void brought(const UploadTimes& upload);
  /// Of step `step`, counted from 1.
  void step(std::int64_t step, std::int64_t epoch, std::optional<double> loss, double seconds, double waited_seconds,
            const StepTerms& terms);
  [[nodiscard]] StepLog& steps() noexcept { return outcome_.log; }
  /// The line that a person sees, `left` steps before the end of the epoch.
  void progress(std::int64_t step, std::int64_t epoch, const EpochFigures& figures, std::int64_t left,
                double run_seconds) const;
  void trained(double seconds) { outcome_.train_seconds += seconds; }
  /// Of an epoch that was evaluated: its row, its throughput in the log and its line. `hash` is the parameters'.
  void epoch(const Position& last, const EpochFigures& figures, std::optional<double> metric, double eval_seconds,
             std::uint64_t hash);
  void end(std::int64_t steps);  ///< closes what is open
  void flush();
  /// The sums so far; what only the loop knows is not among them.
  [[nodiscard]] const TrainOutcome& outcome() const noexcept { return outcome_; }

 private:
  Parts parts_;
  Subject subject_;
  TrainOutcome outcome_;
  std::string rows_, rows_in_flight_;  // of steps
  std::optional<Clock> sensed_;        // since the last reading
  std::shared_ptr<void> profiling_;
};

}  // namespace trainmark

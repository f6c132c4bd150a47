// The loop: epochs of steps, each followed by an evaluation of the whole validation set, until what was asked for is
// met.
#pragma once

#include <array>
#include <functional>
#include <optional>
#include <vector>

#include "run/end/watchdog.hpp"
#include "run/record/progress.hpp"
#include "run/record/results.hpp"
#include "run/record/sensor_log.hpp"
#include "run/record/timeline.hpp"
#include "run/train/feed.hpp"
#include "trainmark/exec.hpp"
#include "trainmark/load.hpp"

namespace trainmark {

/// What the loop came to.
struct TrainOutcome {
  bool target_met = false;
  std::int64_t epochs = 0;  ///< completed, evaluation included
  std::int64_t steps = 0;
  std::int64_t samples = 0;
  double train_seconds = 0.0;  ///< in training steps, input waits included
  double eval_seconds = 0.0;
  double wait_seconds = 0.0;  ///< for input, this rank
  UploadTimes uploads;        ///< of training batches, this rank, summed
  double first_step_seconds = 0.0;
  double metric = 0.0;  ///< last
  double best_metric = 0.0;
  std::vector<double> step_seconds;
  std::optional<LossScale> loss_scale;  ///< at the end, where the loss is scaled
  SensorLog sensors;                    ///< of this rank's device
  std::int64_t profiled_steps = 0;
  // Not zero only where /train/on_divergence lets a run go on:
  std::int64_t losses_not_finite = 0;
  std::int64_t metrics_not_finite = 0;
  std::int64_t first_loss_not_finite = 0;  ///< its step, from 1
};

class Trainer {
 public:
  struct Parts {  // all of them outlive the trainer
    const World& world;
    Backend& backend;
    ModelState& state;
    Program& train;
    Program* accumulate;  ///< of a step's batches before the last; null where there is but one
    Program* average;     ///< of running statistics, before an evaluation; null where there are none
    Program& evaluate;
    Loader& train_input;
    Loader& validation_input;
    Timeline& timeline;
    Watchdog& watchdog;
    Results& results;
    Progress& progress;
  };
  struct Plan {
    TrainOptions options;
    Schedule schedule;
    QualityTarget target;
    std::vector<EvaluationFigure> figures;  ///< the first is the target's
    std::int64_t steps_per_epoch = 1;
    std::int64_t validation_steps = 1;
    std::int64_t local_batch = 1;
    double step_limit_seconds = 300;
    std::optional<StepRange> profile_steps;
  };
  Trainer(Parts parts, Plan plan);
  ~Trainer();  ///< however training ends, the rows of its steps are in steps.csv
  Trainer(const Trainer&) = delete;
  Trainer& operator=(const Trainer&) = delete;

  /// Raises AgreedError{target_missed} where a loss or the metric is not finite or no update happens any more, unless
  /// /train/on_divergence is "continue".
  [[nodiscard]] TrainOutcome run();

 private:
  struct EpochFigures {  // of the epochs between two evaluations; usually of one
    double loss_sum = 0.0;
    std::int64_t steps = 0;
    double seconds = 0.0;
    double wait_seconds = 0.0;
  };
  [[nodiscard]] std::int64_t epochs_to_evaluation(std::int64_t done) const;
  void train_epoch(std::int64_t epoch, EpochFigures& figures);
  void step(std::int64_t epoch, EpochFigures& figures, std::int64_t end);
  [[nodiscard]] double evaluate(std::int64_t epoch);
  void profile_if_asked();
  void read_sensors();
  void prove_equal(std::int64_t epoch);
  void flush_steps();
  [[nodiscard]] bool fixed_work_done();
  void require_finite_loss(std::int64_t epoch, double loss);
  void require_finite_metric(std::int64_t epoch);
  void require_updates() const;
  [[nodiscard]] bool goes_on() const { return plan_.options.on_divergence == OnDivergence::proceed; }
  double bring_batch(std::int64_t epoch, std::int64_t update);
  [[nodiscard]] bool last_step() const;
  void report_epoch(std::int64_t epoch, const EpochFigures& figures, double eval_seconds);
  void report_step(std::int64_t epoch, const EpochFigures& figures, std::int64_t end);

  Parts parts_;
  Plan plan_;
  TrainOutcome outcome_;
  Feed feed_;
  std::optional<int> waiting_;  ///< slot of the batch that is launched next, where it was brought ahead
  std::string step_rows_, rows_in_flight_;
  Clock clock_;
  std::optional<Clock> sensors_read_;  ///< since the last reading
  std::shared_ptr<void> profiling_;
  std::uint64_t hash_ = 0;  ///< of the state, when ranks last agreed on it
};

}  // namespace trainmark

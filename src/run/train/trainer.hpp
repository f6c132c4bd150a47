// The loop: epochs of steps, each followed by an evaluation of the whole validation set, until what was asked for is
// met.
#pragma once

#include <optional>
#include <vector>

#include "run/end/watchdog.hpp"
#include "run/train/divergence.hpp"
#include "run/train/feed.hpp"
#include "run/train/journal.hpp"
#include "run/train/readers.hpp"
#include "trainmark/load.hpp"

namespace trainmark {

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
    Trace& trace;
    BackgroundStaging* staging = nullptr;  ///< that goes on beside training; null: none does
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
    std::optional<std::int64_t> job_ends_at;  ///< seconds since 1970
    int most_readers = 0;                     ///< of each split: up to which they are added; 0: none are
    double reader_cpus = 1.0;                 ///< that readers may keep busy
  };
  Trainer(Parts parts, Plan plan);

  /// Raises AgreedError{target_missed} where a loss or the metric is not finite or no update happens any more, unless
  /// /train/on_divergence is "continue".
  [[nodiscard]] TrainOutcome run();

 private:
  /// Of the last evaluation, and of those before it.
  struct Reached {
    double metric = 0.0, best = 0.0;
    bool target = false;
    std::int64_t epochs = 0;  ///< completed, evaluation included
  };
  /// A step that was launched and not looked at yet.
  struct InFlight {
    int slot = 0;  ///< of its last batch
    Feed::Brought sums;
  };
  [[nodiscard]] bool train_epoch(EpochFigures& figures);
  void step(EpochFigures& figures, bool another_step);
  void settle(EpochFigures& figures);
  void alive();
  [[nodiscard]] bool is_profiled(std::int64_t step) const;
  void bring_batch(std::int64_t update, Feed::Brought& sums);
  void evaluate_epoch(EpochFigures& figures);
  [[nodiscard]] std::optional<double> evaluate(std::int64_t epoch, EpochFigures& row);
  void count_reads(EpochFigures& figures);
  [[nodiscard]] std::uint64_t prove_equal(std::int64_t epoch) const;
  [[nodiscard]] std::int64_t epochs_to_evaluation() const;
  [[nodiscard]] bool fixed_work_done() const;
  [[nodiscard]] TrainOutcome outcome() const;

  Parts parts_;
  Plan plan_;
  Goal goal_;
  Position position_;  ///< of the next update
  Reached reached_;
  Feed feed_;
  std::optional<int> waiting_;  ///< slot of the batch that is launched next, where it was brought ahead
  Feed::Brought brought_;       ///< what it took to bring that batch
  std::optional<InFlight> in_flight_;
  double step_began_ = 0.0;  ///< by feed_'s clock: where the step before ended, or the epoch began
  RunJournal journal_;
  Divergence divergence_;
  Readers readers_, eval_readers_;
  std::int64_t asked_before_ = 0, from_storage_before_ = 0,
               from_memory_before_ = 0;  ///< by this rank, when last counted
  std::int64_t from_storage_at_start_ = 0;
  Clock clock_;
};

/// Of a run on so many ranks, with these orders of samples.
[[nodiscard]] Trainer::Plan trainer_plan(const RunOptions& options, int ranks, const Sampling& training,
                                         const Sampling& validation);

}  // namespace trainmark

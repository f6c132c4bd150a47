#include "run/train/trainer.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <utility>

#include "trainmark/process.hpp"

namespace trainmark {
namespace {

constexpr std::int64_t scale_interval = 32;  // steps between two looks at the loss scale

/// A NaN's sign says nothing, but is printed.
double without_sign(double value) { return std::isnan(value) ? std::numeric_limits<double>::quiet_NaN() : value; }

}  // namespace

Trainer::Trainer(Parts parts, Plan plan)
    : parts_(parts),
      plan_(std::move(plan)),
      goal_(goal_of(plan_.options)),
      feed_(parts_.backend, plan_.local_batch, &parts_.trace),
      journal_({parts_.backend, parts_.timeline, parts_.results, parts_.progress},
               {goal_, plan_.schedule, plan_.target, plan_.options.global_batch, plan_.steps_per_epoch,
                plan_.profile_steps, plan_.job_ends_at}),
      divergence_(plan_.schedule, plan_.options.on_divergence),
      readers_(parts_.train_input, "training", plan_.most_readers, plan_.reader_cpus),
      eval_readers_(parts_.validation_input, "evaluation", plan_.most_readers, plan_.reader_cpus) {
  reached_.best =
      plan_.target.lower_is_better ? std::numeric_limits<double>::infinity() : -std::numeric_limits<double>::infinity();
}

TrainOutcome Trainer::run() {
  parts_.watchdog.phase("training", plan_.step_limit_seconds);
  from_storage_at_start_ = from_storage_before_ = bytes_from_storage().value_or(0);
  parts_.train_input.start(0);
  parts_.validation_input.start(0);
  clock_ = Clock();
  const std::int64_t most = most_epochs(goal_);
  while (position_.epoch < most) {
    const std::int64_t first = position_.epoch;
    const std::int64_t count = std::min(epochs_to_evaluation(), most - first);
    LogScope scope =
        plan_.options.eval_every == 1 ? parts_.timeline.epoch(first + 1) : parts_.timeline.block(first + 1, count);
    EpochFigures figures;
    while (position_.epoch < first + count && train_epoch(figures)) {
    }
    if (position_.epoch < first + count) break;  // the fixed work ended within an epoch
    evaluate_epoch(figures);
    if (parts_.staging != nullptr) parts_.staging->settle_if_done();
    if (plan_.options.until == Until::target && reached_.target) break;
    if (fixed_work_done()) break;
  }
  journal_.end(position_.step);
  journal_.steps().settle(parts_.world.all());
  return outcome();
}

std::int64_t Trainer::epochs_to_evaluation() const {
  const std::int64_t every = plan_.options.eval_every;
  const std::int64_t before = plan_.options.eval_first > 0 ? plan_.options.eval_first : every;
  return position_.epoch < before ? before - position_.epoch : every;
}

/// False where fixed work was done before the epoch was.
bool Trainer::train_epoch(EpochFigures& figures) {
  const std::int64_t end = figures.steps + plan_.steps_per_epoch;
  const std::shared_ptr<void> range = parts_.backend.range(fmt::format("training epoch {}", position_.epoch + 1));
  const Clock clock;
  static_cast<void>(feed_.take_ended(feed_.last_launched(), false));  // an evaluation's
  parts_.trace.epoch_begins();
  step_began_ = feed_.clock().seconds();
  for (std::int64_t left = plan_.steps_per_epoch; left > 0 && !fixed_work_done(); --left) {
    step(figures, left > 1 && !is_done(goal_, position_.step + 1, 0.0));
    if (position_.step % StepLog::most_open == 0) {  // not where a rank sees it: some look at a step one later
      settle(figures);
      journal_.steps().settle(parts_.world.all());
    }
    const std::int64_t ended = position_.step - (in_flight_ ? 1 : 0);
    journal_.progress(ended, position_.epoch, figures, end - figures.steps, clock_.seconds());
  }
  settle(figures);
  const double seconds = clock.seconds();
  figures.seconds += seconds;
  journal_.trained(seconds);
  divergence_.look_at_updates(position_.step, parts_.state.loss_scale());
  journal_.flush();
  if (figures.steps < end) return false;
  ++position_.epoch;
  return true;
}

/// Brings the batch that is launched next, as part of this update, and adds what it took.
void Trainer::bring_batch(std::int64_t update, Feed::Brought& sums) {
  const auto rate_of = [&](std::int64_t step) {
    return static_cast<float>(rate_at(plan_.schedule, {.epoch = step / plan_.steps_per_epoch, .step = step}));
  };
  const Feed::Rates rates{.now = rate_of(update), .before = update > 0 ? rate_of(update - 1) : 0.0F};
  const Feed::Brought brought = feed_.bring(parts_.train, parts_.train_input, rates, position_.epoch);
  waiting_ = brought.slot;
  journal_.brought(brought.upload);
  sums.waited_seconds += brought.waited_seconds;
  sums.exposed_seconds += brought.exposed_seconds;
  sums.upload.exposed_seconds += brought.upload.exposed_seconds;
}

void Trainer::step(EpochFigures& figures, bool another_step) {
  if (is_profiled(position_.step + 1)) settle(figures);  // a bracket opens where the device has nothing to do
  if (!in_flight_) parts_.trace.step_begins(step_began_);
  Feed::Brought sums = std::exchange(brought_, {});
  if (!waiting_) bring_batch(position_.step, sums);
  journal_.before_step(position_.step + 1);
  bool ended = false;  // when its last launch returned: so it is on the CPU
  // --- the step: a launch for each batch; the next one goes up beside it, into the other slot ------------------------
  for (std::int64_t left = plan_.options.gradient_accumulation_steps - 1; left >= 0; --left) {
    feed_.launch(left > 0 ? *parts_.accumulate : parts_.train, *std::exchange(waiting_, {}));
    alive();
    ended = parts_.train.times(feed_.last_launched()).has_value();
    if (in_flight_) {  // the step before: this one runs meanwhile
      settle(figures);
      parts_.trace.step_begins(step_began_);
    }
    if (left > 0) bring_batch(position_.step, sums);
    if (left == 0 && another_step) bring_batch(position_.step + 1, brought_);
  }
  // --- everything below is diagnostics -------------------------------------------------------------------------------
  journal_.sense();
  in_flight_ = {feed_.last_launched(), sums};
  ++position_.step;
  if (ended || is_profiled(position_.step)) settle(figures);
}

/// Looks at the step in flight, if there is one: waits for its end, and for nothing that was launched behind it. A step
/// is from the end of the one before to its own, however late the host looks.
void Trainer::settle(EpochFigures& figures) {
  if (!in_flight_) return;
  const InFlight step = *std::exchange(in_flight_, {});
  const bool runs = !parts_.train.times(step.slot);
  const StepResult result = parts_.train.result(step.slot);
  std::optional<double> loss;  // nothing where the device computes none
  if (!parts_.backend.emulates()) loss = without_sign(result.loss);
  const auto [times, ended_at] = feed_.take_ended(step.slot, runs);
  const double seconds = ended_at - std::exchange(step_began_, ended_at);
  const StepTerms terms(seconds, step.sums.exposed_seconds, step.sums.upload.exposed_seconds, times.seconds,
                        times.exposed_seconds);
  if (loss) figures.loss_sum = figures.loss_sum.value_or(0.0) + *loss;
  figures.wait_seconds += step.sums.waited_seconds;
  ++figures.steps;
  const std::int64_t number = position_.step;
  parts_.trace.step_ended(number, position_.epoch, loss, seconds, terms);
  journal_.step(number, position_.epoch, loss, seconds, step.sums.waited_seconds, terms);
  if (number > 1) {
    const std::int64_t samples = plan_.local_batch * plan_.options.gradient_accumulation_steps;
    if (const auto line = readers_.took(seconds, step.sums.exposed_seconds, samples, false))
      parts_.progress.line(*line);
  }
  if (loss) divergence_.look_at_loss(number, position_.epoch, *loss);
  if (number % scale_interval == 0) divergence_.look_at_updates(number, result.scale);
}

/// After each launch. What went wrong with a copy ends the run here, on the rank that met it.
void Trainer::alive() {
  parts_.watchdog.beat();
  if (parts_.staging != nullptr) parts_.staging->look();
}

bool Trainer::is_profiled(std::int64_t step) const {
  return plan_.profile_steps && step >= plan_.profile_steps->first && step <= plan_.profile_steps->last;
}

void Trainer::evaluate_epoch(EpochFigures& figures) {
  const std::int64_t epoch = position_.epoch - 1;
  const Clock clock;
  std::uint64_t hash = 0;
  std::optional<double> metric;
  {
    const LogScope scope = parts_.timeline.evaluation(epoch + 1);
    const std::shared_ptr<void> range = parts_.backend.range(fmt::format("evaluation of epoch {}", epoch + 1));
    hash = prove_equal(epoch);
    metric = evaluate(epoch, figures);
  }
  count_reads(figures);
  journal_.steps().settle(parts_.world.all());
  reached_.epochs = position_.epoch;
  journal_.epoch({.epoch = epoch, .step = position_.step - 1}, figures, metric, clock.seconds(), hash);
  if (!metric) return;
  reached_.metric = *metric;
  divergence_.look_at_metric(epoch, plan_.target.key, reached_.metric);
  const bool better = plan_.target.lower_is_better ? reached_.metric < reached_.best : reached_.metric > reached_.best;
  if (better) reached_.best = reached_.metric;
  // The very number that was logged decides.
  reached_.target |= plan_.target.reached_by(reached_.metric);
}

/// Nothing where the device computes no metric.
std::optional<double> Trainer::evaluate(std::int64_t epoch, EpochFigures& row) {
  if (parts_.average != nullptr) parts_.average->step(0);
  parts_.state.clear_metrics();
  const Clock clock;
  double exposed_seconds = 0.0;
  for (std::int64_t step = 0; step < plan_.validation_steps; ++step) {
    const Feed::Brought brought = feed_.bring(parts_.evaluate, parts_.validation_input, {}, epoch);
    row.eval_wait_seconds += brought.waited_seconds;
    exposed_seconds += brought.exposed_seconds;
    feed_.launch(parts_.evaluate, brought.slot);
    alive();
    if (parts_.progress.due()) {
      parts_.progress.status(
          fmt::format("epoch {}: evaluating, {} of {}", epoch + 1, step + 1, plan_.validation_steps));
    }
  }
  const std::int64_t samples = plan_.local_batch * plan_.validation_steps;
  if (const auto line = eval_readers_.took(clock.seconds(), exposed_seconds, samples, true))
    parts_.progress.line(*line);
  const Score mine = parts_.state.score();
  if (parts_.backend.emulates()) return std::nullopt;
  std::array<double, 3> sums = {mine.quality, mine.loss, mine.count};
  parts_.world.all().sum(sums);
  const Score score{sums[0], sums[1], sums[2]};
  std::vector<double> figures;
  for (const EvaluationFigure& figure : plan_.figures) {
    figures.push_back(without_sign(score.*figure.sum / score.count));  // a mean over what was really counted
    parts_.timeline.metric(figure.key, figures.back(), epoch + 1);
  }
  return figures.front();
}

/// What was asked for and what storage had to give since the last time, all ranks together.
void Trainer::count_reads(EpochFigures& figures) {
  const LoaderStats training = parts_.train_input.stats(), evaluation = parts_.validation_input.stats();
  const std::int64_t asked = training.bytes + evaluation.bytes;
  const std::int64_t from_memory = training.bytes_from_memory() + evaluation.bytes_from_memory();
  const std::optional<std::int64_t> from_storage = bytes_from_storage();
  std::array<std::int64_t, 4> sums = {
      asked - std::exchange(asked_before_, asked),
      from_storage ? *from_storage - std::exchange(from_storage_before_, *from_storage) : 0, from_storage ? 0 : 1,
      from_memory - std::exchange(from_memory_before_, from_memory)};
  parts_.world.all().sum(sums);
  figures.asked_bytes = sums[0];
  figures.from_storage_bytes = sums[2] == 0 ? sums[1] : -1;
  figures.from_memory_bytes = sums[3];
}

std::uint64_t Trainer::prove_equal(std::int64_t epoch) const {
  const std::uint64_t hash = parts_.state.hash();
  require_equal(parts_.world.all(), fmt::format("the parameters after epoch {}", epoch + 1), hash,
                "the named ranks compute or communicate wrongly: run again without their nodes, and test their memory");
  return hash;
}

bool Trainer::fixed_work_done() const {
  if (!std::holds_alternative<UntilSeconds>(goal_)) return is_done(goal_, position_.step, 0.0);
  // Clocks differ by rank: rank 0's decides for all.
  std::array<std::byte, 1> done = {is_done(goal_, position_.step, clock_.seconds()) ? std::byte{1} : std::byte{0}};
  parts_.world.all().broadcast(done);
  return done[0] == std::byte{1};
}

TrainOutcome Trainer::outcome() const {
  TrainOutcome outcome = journal_.outcome();
  outcome.epochs = reached_.epochs;
  outcome.steps = position_.step;
  outcome.target_met = reached_.target;
  outcome.metric = reached_.metric;
  outcome.best_metric = reached_.best;
  outcome.loss_scale = parts_.state.loss_scale();
  outcome.readers = readers_.threads();
  outcome.readers_why = readers_.why();
  outcome.eval_readers = eval_readers_.threads();
  outcome.eval_readers_why = eval_readers_.why();
  if (const std::optional<std::int64_t> bytes = bytes_from_storage())
    outcome.from_storage_bytes = *bytes - from_storage_at_start_;
  outcome.losses_not_finite = divergence_.losses_not_finite();
  outcome.metrics_not_finite = divergence_.metrics_not_finite();
  outcome.first_loss_not_finite = divergence_.first_loss_not_finite();
  return outcome;
}

Trainer::Plan trainer_plan(const RunOptions& options, int ranks, const Sampling& training, const Sampling& validation) {
  Trainer::Plan plan;
  plan.options = options.train;
  plan.schedule = schedule_of(options.recipe, options.train.global_batch);
  plan.target = target_of(options);
  plan.figures = figures_of(options.recipe.model);
  plan.steps_per_epoch = training.steps_per_epoch() / options.train.gradient_accumulation_steps;
  plan.validation_steps = validation.steps_per_epoch();
  plan.local_batch = options.train.batch() / ranks;
  plan.step_limit_seconds = options.watchdog.step_seconds;
  plan.most_readers = options.load.most_threads;
  return plan;
}

}  // namespace trainmark

#include "run/train/trainer.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

namespace trainmark {
namespace {

constexpr std::size_t most_step_times = 1 << 16;  // for the median
constexpr std::size_t flush_bytes = 1 << 13;      // of rows: what a crash may take along
constexpr std::int64_t scale_interval = 32;       // steps between two looks at the loss scale
constexpr double sensor_interval = 5.0;           // seconds between two readings
constexpr std::int32_t patience = 20;             // skipped steps in a row; 16 take the scale from its start to its end

/// A NaN's sign says nothing, but is printed.
double without_sign(double value) { return std::isnan(value) ? std::numeric_limits<double>::quiet_NaN() : value; }

/// What is raised follows from sums over ranks: every rank sees the same, and raises the same.
[[noreturn]] void fail_diverged(const Schedule& schedule, std::string where, std::string what,
                                const std::string& remedy) {
  const char* rate = std::holds_alternative<PiecewiseSchedule>(schedule) ? "/schedule/peak_rate" : "/schedule/rate";
  throw AgreedError(
      ExitCode::target_missed,
      to_string(Complaint{std::move(where), std::move(what), "the run has diverged, and no later step will change that",
                          fmt::format("lower {}, warm up longer{}", rate, remedy)}));
}

}  // namespace

Trainer::Trainer(Parts parts, Plan plan)
    : parts_(parts), plan_(std::move(plan)), feed_(parts_.backend, plan_.local_batch) {
  outcome_.best_metric =
      plan_.target.lower_is_better ? std::numeric_limits<double>::infinity() : -std::numeric_limits<double>::infinity();
  outcome_.step_seconds.reserve(most_step_times);
  step_rows_.reserve(2 * flush_bytes);
  rows_in_flight_.reserve(2 * flush_bytes);
}

Trainer::~Trainer() {
  try {
    flush_steps();
  } catch (const std::exception& error) {
    parts_.progress.line(fmt::format("warning: {}", error.what()));
  }
}

TrainOutcome Trainer::run() {
  parts_.watchdog.phase("training", plan_.step_limit_seconds);
  parts_.train_input.start(0);
  parts_.validation_input.start(0);
  clock_ = Clock();
  const std::int64_t most = plan_.options.until == Until::epochs || plan_.options.until == Until::target
                                ? plan_.options.epochs
                                : std::numeric_limits<std::int64_t>::max();
  for (std::int64_t first = 0; first < most;) {
    const std::int64_t count = std::min(epochs_to_evaluation(first), most - first);
    LogScope scope =
        plan_.options.eval_every == 1 ? parts_.timeline.epoch(first + 1) : parts_.timeline.block(first + 1, count);
    EpochFigures figures;
    for (std::int64_t at = 0; at < count && figures.steps == at * plan_.steps_per_epoch; ++at)
      train_epoch(first + at, figures);
    if (figures.steps < count * plan_.steps_per_epoch) break;  // the fixed work ended within an epoch
    first += count;
    const std::int64_t epoch = first - 1;

    const Clock evaluation;
    outcome_.metric = evaluate(epoch);
    outcome_.eval_seconds += evaluation.seconds();
    outcome_.epochs = first;
    report_epoch(epoch, figures, evaluation.seconds());
    require_finite_metric(epoch);
    const bool better =
        plan_.target.lower_is_better ? outcome_.metric < outcome_.best_metric : outcome_.metric > outcome_.best_metric;
    if (better) outcome_.best_metric = outcome_.metric;
    // The very number that was logged decides.
    outcome_.target_met |= plan_.target.reached_by(outcome_.metric);
    if (plan_.options.until == Until::target && outcome_.target_met) break;
    if (fixed_work_done()) break;
  }
  profiling_.reset();
  if (plan_.profile_steps && outcome_.steps < plan_.profile_steps->first) {
    parts_.progress.line(
        fmt::format("warning: no step was profiled: the run ended after {}, --profile-steps begins at {}",
                    outcome_.steps, plan_.profile_steps->first));
  }
  flush_steps();
  outcome_.loss_scale = parts_.state.loss_scale();
  return outcome_;
}

std::int64_t Trainer::epochs_to_evaluation(std::int64_t done) const {
  const std::int64_t every = plan_.options.eval_every;
  const std::int64_t before = plan_.options.eval_first > 0 ? plan_.options.eval_first : every;
  return done < before ? before - done : every;
}

void Trainer::train_epoch(std::int64_t epoch, EpochFigures& figures) {
  const std::int64_t end = figures.steps + plan_.steps_per_epoch;
  const std::shared_ptr<void> range = parts_.backend.range(fmt::format("training epoch {}", epoch + 1));
  const Clock clock;
  while (figures.steps < end && !fixed_work_done()) {
    step(epoch, figures, end);
    report_step(epoch, figures, end);
  }
  const double seconds = clock.seconds();
  figures.seconds += seconds;
  outcome_.train_seconds += seconds;
  require_updates();
  flush_steps();
}

/// Brings the batch that is launched next, as part of this update. Returns the time spent waiting for the loader.
double Trainer::bring_batch(std::int64_t epoch, std::int64_t update) {
  const auto rate_of = [&](std::int64_t step) {
    return static_cast<float>(rate_at(plan_.schedule, {.epoch = step / plan_.steps_per_epoch, .step = step}));
  };
  const Feed::Rates rates{.now = rate_of(update), .before = update > 0 ? rate_of(update - 1) : 0.0F};
  const Feed::Brought brought = feed_.bring(parts_.train, parts_.train_input, rates, epoch);
  waiting_ = brought.slot;
  outcome_.uploads.seconds += brought.upload.seconds;
  outcome_.uploads.exposed_seconds += brought.upload.exposed_seconds;
  return brought.waited_seconds;
}

void Trainer::step(std::int64_t epoch, EpochFigures& figures, std::int64_t end) {
  const Clock clock;
  double waited = waiting_ ? 0.0 : bring_batch(epoch, outcome_.steps);
  profile_if_asked();
  // --- the step: a launch for each batch; the next one goes up beside it, into the other slot ------------------------
  for (std::int64_t left = plan_.options.gradient_accumulation_steps - 1; left >= 0; --left) {
    feed_.launch(left > 0 ? *parts_.accumulate : parts_.train, *std::exchange(waiting_, {}));
    parts_.watchdog.beat();
    const bool another = left > 0 || (figures.steps + 1 < end && !last_step());
    if (another) waited += bring_batch(epoch, outcome_.steps + (left > 0 ? 0 : 1));
  }
  // --- everything below is diagnostics -------------------------------------------------------------------------------
  read_sensors();
  const double loss = without_sign(parts_.state.loss());
  const double seconds = clock.seconds();
  if (outcome_.steps == 0) outcome_.first_step_seconds = seconds;
  figures.loss_sum += loss;
  figures.wait_seconds += waited;
  ++figures.steps;
  outcome_.wait_seconds += waited;
  outcome_.samples += plan_.options.global_batch;
  if (outcome_.step_seconds.size() < most_step_times) {
    outcome_.step_seconds.push_back(seconds);
  } else {  // the latest ones count
    outcome_.step_seconds[static_cast<std::size_t>(outcome_.steps) % most_step_times] = seconds;
  }
  if (parts_.results.writes()) {
    fmt::format_to(std::back_inserter(step_rows_), "{},{},{:.9g},{:.6f},{:.6f}\n", outcome_.steps + 1, epoch + 1, loss,
                   seconds, waited);
    if (step_rows_.size() > flush_bytes) flush_steps();
  }
  ++outcome_.steps;
  if (plan_.profile_steps && outcome_.steps == plan_.profile_steps->last) profiling_.reset();
  require_finite_loss(epoch, loss);
  if (outcome_.steps % scale_interval == 0) require_updates();
}

void Trainer::require_finite_loss(std::int64_t epoch, double loss) {
  if (std::isfinite(loss)) return;
  if (++outcome_.losses_not_finite == 1) outcome_.first_loss_not_finite = outcome_.steps;
  if (goes_on()) return;
  fail_diverged(plan_.schedule, fmt::format("step {} (epoch {})", outcome_.steps, epoch + 1),
                fmt::format("the loss is {}", loss), "");
}

void Trainer::require_finite_metric(std::int64_t epoch) {
  if (std::isfinite(outcome_.metric)) return;
  ++outcome_.metrics_not_finite;
  if (goes_on()) return;
  fail_diverged(plan_.schedule, fmt::format("evaluation of epoch {}", epoch + 1),
                fmt::format("{} is {}", plan_.target.key, outcome_.metric), " or look at the validation samples");
}

/// The bracket of a profiler opens, and closes, while the device has nothing to do.
void Trainer::profile_if_asked() {
  if (!plan_.profile_steps) return;
  const std::int64_t step = outcome_.steps + 1;
  if (step == plan_.profile_steps->first) {
    profiling_ = parts_.backend.profiling();
    if (profiling_ == nullptr) parts_.progress.line("warning: --profile-steps is for devices and does nothing here");
  }
  if (profiling_ != nullptr) ++outcome_.profiled_steps;
}

/// While the device works on the step that was just launched.
void Trainer::read_sensors() {
  if (sensors_read_ && sensors_read_->seconds() < sensor_interval) return;
  sensors_read_ = Clock();
  if (const std::optional<DeviceReading> reading = parts_.backend.sensors()) outcome_.sensors.add(*reading);
}

void Trainer::require_updates() const {
  if (goes_on()) return;
  const std::optional<LossScale> now = parts_.state.loss_scale();
  if (!now || !is_hopeless(LossScaling{}, *now, patience)) return;
  fail_diverged(plan_.schedule, fmt::format("step {}", outcome_.steps),
                fmt::format("the last {} updates were skipped: gradients are not finite even at a loss scale of {}",
                            now->skipped_in_a_row, now->scale),
                ", or use \"bf16\" or \"fp32\" as /train/precision");
}

void Trainer::flush_steps() {
  // What could not be written is given up: a part of it may be there, and must not come again.
  std::swap(step_rows_, rows_in_flight_);
  step_rows_.clear();
  parts_.results.steps().rows(rows_in_flight_);
}

double Trainer::evaluate(std::int64_t epoch) {
  const LogScope scope = parts_.timeline.evaluation(epoch + 1);
  const std::shared_ptr<void> range = parts_.backend.range(fmt::format("evaluation of epoch {}", epoch + 1));
  prove_equal(epoch);
  if (parts_.average != nullptr) parts_.average->step(0);
  parts_.state.clear_metrics();
  for (std::int64_t step = 0; step < plan_.validation_steps; ++step) {
    feed_.launch(parts_.evaluate, feed_.bring(parts_.evaluate, parts_.validation_input, {}, epoch).slot);
    parts_.watchdog.beat();
    if (parts_.progress.due()) {
      parts_.progress.status(
          fmt::format("epoch {}: evaluating, {} of {}", epoch + 1, step + 1, plan_.validation_steps));
    }
  }
  const Score mine = parts_.state.score();
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

void Trainer::prove_equal(std::int64_t epoch) {
  hash_ = parts_.state.hash();
  require_equal(parts_.world.all(), fmt::format("the parameters after epoch {}", epoch + 1), hash_,
                "the named ranks compute or communicate wrongly: run again without their nodes, and test their memory");
}

bool Trainer::last_step() const {
  return plan_.options.until == Until::steps && outcome_.steps + 1 >= plan_.options.steps;
}

bool Trainer::fixed_work_done() {
  if (plan_.options.until == Until::steps) return outcome_.steps >= plan_.options.steps;
  if (plan_.options.until != Until::seconds) return false;
  // Clocks differ by rank: rank 0's decides for all.
  std::array<std::byte, 1> done = {clock_.seconds() >= plan_.options.seconds ? std::byte{1} : std::byte{0}};
  parts_.world.all().broadcast(done);
  return done[0] == std::byte{1};
}

void Trainer::report_epoch(std::int64_t epoch, const EpochFigures& figures, double eval_seconds) {
  const double samples_per_s = static_cast<double>(figures.steps * plan_.options.global_batch) / figures.seconds;
  const double rate = rate_at(plan_.schedule, {.epoch = epoch, .step = outcome_.steps - 1});
  const double loss = figures.loss_sum / static_cast<double>(figures.steps);
  parts_.timeline.throughput(samples_per_s, epoch + 1);
  parts_.results.epochs().rows(fmt::format("{},{},{:.9g},{:.9g},{:.6f},{:.6f},{:.6f},{:.3f},{:016x}\n", epoch + 1, rate,
                                           loss, outcome_.metric, figures.seconds, eval_seconds, figures.wait_seconds,
                                           samples_per_s, hash_));
  parts_.progress.line(
      fmt::format("epoch {:3}  loss {:.5f}  {} {:.5f} (target {})  {:.1f} samples/s  train {}  eval {}", epoch + 1,
                  loss, plan_.target.key, outcome_.metric, plan_.target.value, samples_per_s,
                  duration_text(figures.seconds), duration_text(eval_seconds)));
}

void Trainer::report_step(std::int64_t epoch, const EpochFigures& figures, std::int64_t end) {
  if (!parts_.progress.due()) return;
  const double per_step = clock_.seconds() / static_cast<double>(std::max<std::int64_t>(1, outcome_.steps));
  const auto left = static_cast<double>(end - figures.steps);
  std::string eta = fmt::format("{} left in epoch", duration_text(left * per_step));
  if (plan_.options.until == Until::steps) {
    eta = fmt::format("{} left", duration_text(static_cast<double>(plan_.options.steps - outcome_.steps) * per_step));
  } else if (plan_.options.until == Until::seconds) {
    eta = fmt::format("{} left", duration_text(std::max(0.0, plan_.options.seconds - clock_.seconds())));
  }
  parts_.progress.status(fmt::format("epoch {}: step {} of {}  loss {:.5f}  {:.1f} samples/s  {}", epoch + 1,
                                     plan_.steps_per_epoch - (end - figures.steps), plan_.steps_per_epoch,
                                     figures.loss_sum / static_cast<double>(figures.steps),
                                     static_cast<double>(plan_.options.global_batch) / per_step, eta));
}

}  // namespace trainmark

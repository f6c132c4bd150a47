#include "run/train/journal.hpp"

#include <fmt/core.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <chrono>
#include <utility>

namespace trainmark {
namespace {

constexpr std::size_t most_step_times = 1 << 16;  // for the median
constexpr std::size_t flush_bytes = 1 << 13;      // of rows: what a crash may take along
constexpr double sensor_interval = 5.0;           // seconds between two readings

/// Of a table; empty where nothing was computed.
std::string cell(std::optional<double> value) { return value ? fmt::format("{:.9g}", *value) : ""; }

std::optional<double> mean_loss(const EpochFigures& figures) {
  if (!figures.loss_sum) return std::nullopt;
  return *figures.loss_sum / static_cast<double>(figures.steps);
}

}  // namespace

RunJournal::RunJournal(Parts parts, Subject subject) : parts_(parts), subject_(std::move(subject)) {
  outcome_.step_seconds.reserve(most_step_times);
  rows_.reserve(2 * flush_bytes);
  rows_in_flight_.reserve(2 * flush_bytes);
}

RunJournal::~RunJournal() {
  try {
    flush();
  } catch (const std::exception& error) {
    parts_.progress.line(fmt::format("warning: {}", error.what()));
  }
}

void RunJournal::before_step(std::int64_t step) {
  if (!subject_.profile_steps) return;
  if (step == subject_.profile_steps->first) {
    profiling_ = parts_.backend.profiling();
    if (profiling_ == nullptr) parts_.progress.line("warning: --profile-steps is for devices and does nothing here");
  }
  if (profiling_ != nullptr) ++outcome_.profiled_steps;
}

void RunJournal::sense() {
  if (sensed_ && sensed_->seconds() < sensor_interval) return;
  sensed_ = Clock();
  if (const std::optional<DeviceReading> reading = parts_.backend.sensors()) outcome_.sensors.add(*reading);
}

void RunJournal::brought(const UploadTimes& upload) {
  outcome_.uploads.seconds += upload.seconds;
  outcome_.uploads.exposed_seconds += upload.exposed_seconds;
}

void RunJournal::step(std::int64_t step, std::int64_t epoch, std::optional<double> loss, double seconds,
                      double waited_seconds, const StepTerms& terms) {
  outcome_.log.add(seconds, terms);
  if (step == 1) outcome_.first_step_seconds = seconds;
  outcome_.wait_seconds += waited_seconds;
  outcome_.samples += subject_.global_batch;
  if (outcome_.step_seconds.size() < most_step_times) {
    outcome_.step_seconds.push_back(seconds);
  } else {  // the latest ones count
    outcome_.step_seconds[static_cast<std::size_t>(step - 1) % most_step_times] = seconds;
  }
  if (parts_.results.writes()) {
    fmt::format_to(std::back_inserter(rows_), "{},{},{},{:.6f},{:.6f},{:.6f}\n", step, epoch + 1, cell(loss), seconds,
                   waited_seconds, fmt::join(terms.seconds(), ","));
    if (rows_.size() > flush_bytes) flush();
  }
  if (subject_.profile_steps && step == subject_.profile_steps->last) profiling_.reset();
  diagnose(LogLevel::trace, [&] {
    return fmt::format("step {} of epoch {}: loss {}, {:.6f} s, {:.6f} s of it waiting for input", step, epoch + 1,
                       loss ? cell(loss) : "none", seconds, waited_seconds);
  });
}

void RunJournal::progress(std::int64_t step, std::int64_t epoch, const EpochFigures& figures, std::int64_t left,
                          double run_seconds) const {
  if (figures.steps == 0 || !parts_.progress.due()) return;  // the first step may still be under way
  const double per_step = run_seconds / static_cast<double>(std::max<std::int64_t>(1, step));
  const std::optional<double> of_goal = seconds_left(subject_.goal, step, run_seconds, per_step);
  const std::string eta = of_goal
                              ? fmt::format("{} left", duration_text(*of_goal))
                              : fmt::format("{} left in epoch", duration_text(static_cast<double>(left) * per_step));
  std::optional<double> of_job;
  if (subject_.job_ends_at)
    of_job = static_cast<double>(*subject_.job_ends_at) -
             std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
  const auto least = least_seconds_left(subject_.goal, step, run_seconds, per_step, subject_.steps_per_epoch);
  const std::optional<double> loss = mean_loss(figures);
  parts_.progress.status(
      fmt::format("epoch {}: step {} of {}  {}  {:.1f} samples/s  {}{}", epoch + 1, subject_.steps_per_epoch - left,
                  subject_.steps_per_epoch, loss ? fmt::format("loss {:.5f}", *loss) : "emulated",
                  static_cast<double>(subject_.global_batch) / per_step, eta, job_time_text(of_job, least)));
}

void RunJournal::epoch(const Position& last, const EpochFigures& figures, std::optional<double> metric,
                       double eval_seconds, std::uint64_t hash) {
  outcome_.eval_seconds += eval_seconds;
  const double samples_per_s = static_cast<double>(figures.steps * subject_.global_batch) / figures.seconds;
  const std::optional<double> loss = mean_loss(figures);
  parts_.timeline.throughput(samples_per_s, last.epoch + 1);
  const std::string from_storage =
      figures.from_storage_bytes < 0 ? "" : fmt::format("{:.3f}", mib(figures.from_storage_bytes));
  parts_.results.epochs().rows(fmt::format("{},{},{},{},{:.6f},{:.6f},{:.6f},{:.3f},{:016x},{:.6f},{:.3f},{},{:.3f}\n",
                                           last.epoch + 1, rate_at(subject_.schedule, last), cell(loss), cell(metric),
                                           figures.seconds, eval_seconds, figures.wait_seconds, samples_per_s, hash,
                                           figures.eval_wait_seconds, mib(figures.asked_bytes), from_storage,
                                           mib(figures.from_memory_bytes)));
  const std::string reached = loss && metric ? fmt::format("loss {:.5f}  {} {:.5f} (target {})", *loss,
                                                           subject_.target.key, *metric, subject_.target.value)
                                             : "emulated";
  parts_.progress.line(fmt::format("epoch {:3}  {}  {:.1f} samples/s  train {}  eval {}", last.epoch + 1, reached,
                                   samples_per_s, duration_text(figures.seconds), duration_text(eval_seconds)));
}

void RunJournal::end(std::int64_t steps) {
  profiling_.reset();
  if (subject_.profile_steps && steps < subject_.profile_steps->first) {
    parts_.progress.line(
        fmt::format("warning: no step was profiled: the run ended after {}, --profile-steps begins at {}", steps,
                    subject_.profile_steps->first));
  }
  flush();
}

void RunJournal::flush() {
  // What could not be written is given up: a part of it may be there, and must not come again.
  std::swap(rows_, rows_in_flight_);
  rows_.clear();
  parts_.results.steps().rows(rows_in_flight_);
}

}  // namespace trainmark

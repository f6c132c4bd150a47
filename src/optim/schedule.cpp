// Learning-rate schedules.
#include <algorithm>
#include <cmath>
#include <numbers>

#include "trainmark/optim.hpp"

namespace trainmark {
namespace {

double rate_of(const PiecewiseSchedule& schedule, const Position& position) {
  const auto epoch = static_cast<int>(position.epoch);
  if (epoch < schedule.warmup_epochs) {
    return schedule.base_rate + epoch * (schedule.peak_rate - schedule.base_rate) / schedule.warmup_epochs;
  }
  double factor = 1.0;
  int latest = -1;
  for (const auto& decay : schedule.decay) {
    if (decay.epoch < epoch && decay.epoch > latest) {
      latest = decay.epoch;
      factor = decay.factor;
    }
  }
  return schedule.peak_rate * factor;
}

/// The rate `steps` into the warm-up of W steps. The reference hands over one step early, and stays where it was then.
double warmed_up(const StepSchedule& schedule, std::int64_t steps) {
  if (schedule.warmup_steps == 0) return schedule.rate;
  const double share = static_cast<double>(steps) / static_cast<double>(schedule.warmup_steps);
  return schedule.rate * (schedule.warmup_factor > 1.0 ? 1.0 + (schedule.warmup_factor - 1.0) * share : share);
}

double decayed(const StepSchedule& schedule, std::int64_t step) {
  if (schedule.cosine_steps > 0) {
    const std::int64_t begin = std::max<std::int64_t>(schedule.warmup_steps - 1, 0);
    const double share = static_cast<double>(step - begin) / static_cast<double>(schedule.cosine_steps);
    return 0.5 * (1.0 + std::cos(std::numbers::pi * share));
  }
  // Behind a warm-up a milestone is met one step later than without: so do the reference's two schedulers.
  const std::int64_t done = schedule.warmup_steps > 0 ? step - schedule.warmup_steps : step + 1;
  double factor = 1.0;
  for (const auto& decay : schedule.decay)
    if (decay.step <= done) factor = decay.factor;
  return factor;
}

double rate_of(const StepSchedule& schedule, const Position& position) {
  const std::int64_t plateau = std::max<std::int64_t>(schedule.warmup_steps - 1, 0);
  if (position.step < plateau) return warmed_up(schedule, position.step + 1);
  return warmed_up(schedule, plateau) * decayed(schedule, position.step);
}

/// Of the way from the rate to the end what is left, when `done` of the decay's steps is done: both are shares.
double share_left(const PolynomialSchedule& schedule, double done) { return std::pow(1.0 - done, schedule.power); }
double share_left(const TanhSchedule& schedule, double done) {
  return 0.5 * (1.0 - std::tanh(schedule.lower + (schedule.upper - schedule.lower) * done));
}

/// A linear warm-up from 0, and then a fall to the end.
template <class Falling>
double rate_of(const Falling& schedule, const Position& position) {
  if (position.step < schedule.warmup_steps) {
    return schedule.rate * static_cast<double>(position.step) / static_cast<double>(schedule.warmup_steps);
  }
  const std::int64_t steps = std::min(position.step - schedule.warmup_steps, schedule.decay_steps);
  const double done = static_cast<double>(steps) / static_cast<double>(schedule.decay_steps);
  return (schedule.rate - schedule.end_rate) * share_left(schedule, done) + schedule.end_rate;
}

double peak_of(const PiecewiseSchedule& schedule) { return schedule.peak_rate; }
double peak_of(const StepSchedule& schedule) {
  return warmed_up(schedule, std::max<std::int64_t>(schedule.warmup_steps - 1, 0));
}
template <class Falling>
double peak_of(const Falling& schedule) {
  return schedule.rate;
}

double& written_peak(PiecewiseSchedule& schedule) { return schedule.peak_rate; }
template <class BySteps>
double& written_peak(BySteps& schedule) {
  return schedule.rate;
}

}  // namespace

Schedule at_batch(const Schedule& schedule, const BatchScaling& scaling, std::int64_t global_batch) {
  if (scaling.base_batch == 0) return schedule;
  const auto batch = static_cast<double>(global_batch), base = static_cast<double>(scaling.base_batch);
  Schedule scaled = schedule;
  double& rate = std::visit([](auto& chosen) -> double& { return written_peak(chosen); }, scaled);
  rate = scaling.law == BatchLaw::linear ? rate * batch / base : rate * std::sqrt(batch / base);
  return scaled;
}

double rate_at(const Schedule& schedule, const Position& position) {
  return std::visit([&](const auto& chosen) { return rate_of(chosen, position); }, schedule);
}

double peak_rate_of(const Schedule& schedule) {
  return std::visit([](const auto& chosen) { return peak_of(chosen); }, schedule);
}

}  // namespace trainmark

// Learning-rate schedules.
#include "trainmark/optim.hpp"

namespace trainmark {
namespace {

double rate_of(const PiecewiseSchedule& schedule, int epoch) {
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

}  // namespace

double rate_at(const Schedule& schedule, int epoch) {
  return std::visit([epoch](const auto& chosen) { return rate_of(chosen, epoch); }, schedule);
}

double peak_rate_of(const Schedule& schedule) {
  return std::visit([](const auto& chosen) { return chosen.peak_rate; }, schedule);
}

}  // namespace trainmark

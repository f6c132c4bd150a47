#include "run/launch/warm_up.hpp"

#include <fmt/core.h>

#include <algorithm>

namespace trainmark {
namespace {

/// In epochs or steps.
struct WarmUp {
  std::int64_t length = 0;   ///< as it is written
  std::int64_t peak_at = 0;  ///< the first, counted from 0, that has the peak's rate
  bool by_epoch = false;
};
WarmUp warm_up_of(const PiecewiseSchedule& schedule) {
  return {schedule.warmup_epochs, schedule.base_rate == schedule.peak_rate ? 0 : schedule.warmup_epochs, true};
}
/// As the reference's, it ends one step short; and its first step is not at 0.
WarmUp warm_up_of(const StepSchedule& schedule) {
  return {schedule.warmup_steps, std::max<std::int64_t>(schedule.warmup_steps - 2, 0)};
}
template <class Falling>
WarmUp warm_up_of(const Falling& schedule) {
  return {schedule.warmup_steps, schedule.warmup_steps};
}

}  // namespace

std::string unfinished_warm_up(const RunOptions& options, std::int64_t train_samples) {
  const Schedule schedule = schedule_of(options.recipe, options.train.global_batch);
  const WarmUp warm_up = std::visit([](const auto& chosen) { return warm_up_of(chosen); }, schedule);
  const bool emulated = options.backend.device == DeviceChoice::emulated;  // nothing learns, at any rate
  if (warm_up.peak_at == 0 || emulated || options.train.until == Until::seconds) return {};
  if (options.data.train_samples > 0) train_samples = options.data.train_samples;
  const std::int64_t an_epoch = train_samples > 0 ? steps_per_epoch(options, train_samples) : 0;
  const bool counts_steps = options.train.until == Until::steps;
  if (an_epoch == 0 && warm_up.by_epoch == counts_steps) return {};
  const std::int64_t steps = an_epoch > 0 || counts_steps ? *most_steps(options, train_samples) : 1;
  const Position last = {counts_steps && an_epoch > 0 ? (steps - 1) / an_epoch : options.train.epochs - 1, steps - 1};
  const std::int64_t trained = (warm_up.by_epoch ? last.epoch : last.step) + 1;
  if (trained > warm_up.peak_at) return {};
  return fmt::format(
      "{0}: the warm-up takes {1} {2}, and training has {3}{4}: the rate gets to {5:.6g}, and not to {6:.6g}; shorten "
      "the warm-up, or train longer",
      warm_up.by_epoch ? "/schedule/warmup_epochs" : "/schedule/warmup_steps", warm_up.length,
      warm_up.by_epoch ? "epochs" : "steps", options.train.until == Until::target ? "at most " : "", trained,
      rate_at(schedule, last), peak_rate_of(schedule));
}

}  // namespace trainmark

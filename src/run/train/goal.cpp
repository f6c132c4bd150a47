#include "run/train/goal.hpp"

#include <algorithm>
#include <limits>

namespace trainmark {
namespace {

struct MostEpochs {
  std::int64_t operator()(const UntilTarget& goal) const { return goal.epochs; }
  std::int64_t operator()(const UntilEpochs& goal) const { return goal.epochs; }
  template <class FixedWork>
  std::int64_t operator()(const FixedWork&) const {
    return std::numeric_limits<std::int64_t>::max();
  }
};

}  // namespace

Goal goal_of(const TrainOptions& options) {
  switch (options.until) {
    case Until::target:
      return UntilTarget{options.epochs};
    case Until::epochs:
      return UntilEpochs{options.epochs};
    case Until::steps:
      return UntilSteps{options.steps};
    case Until::seconds:
      return UntilSeconds{options.seconds};
  }
  TRAINMARK_CHECK(false, "a kind of goal");
  return {};
}

std::int64_t most_epochs(const Goal& goal) { return std::visit(MostEpochs{}, goal); }

bool is_done(const Goal& goal, std::int64_t steps, double seconds) {
  if (const auto* work = std::get_if<UntilSteps>(&goal)) return steps >= work->steps;
  if (const auto* work = std::get_if<UntilSeconds>(&goal)) return seconds >= work->seconds;
  return false;
}

std::optional<double> seconds_left(const Goal& goal, std::int64_t steps, double seconds, double seconds_per_step) {
  if (const auto* work = std::get_if<UntilSteps>(&goal))
    return static_cast<double>(work->steps - steps) * seconds_per_step;
  if (const auto* work = std::get_if<UntilSeconds>(&goal)) return std::max(0.0, work->seconds - seconds);
  return {};
}

std::optional<double> least_seconds_left(const Goal& goal, std::int64_t steps, double seconds, double seconds_per_step,
                                         std::int64_t steps_per_epoch) {
  if (const auto* fixed = std::get_if<UntilEpochs>(&goal)) {
    const double all =
        static_cast<double>(fixed->epochs) * static_cast<double>(steps_per_epoch);  // beyond 64 bits, too
    return std::max(0.0, all - static_cast<double>(steps)) * seconds_per_step;
  }
  return seconds_left(goal, steps, seconds, seconds_per_step);
}

Ending ending_of(const TrainOptions& options, bool target_met) {
  if (options.until != Until::target) return Ending::fixed_work_done;
  return target_met ? Ending::success : Ending::target_missed;
}

}  // namespace trainmark

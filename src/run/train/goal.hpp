// What training is asked for, and whether it has come to that.
#pragma once

#include <cstdint>
#include <optional>
#include <variant>

#include "trainmark/run.hpp"

namespace trainmark {

struct UntilTarget {
  std::int64_t epochs = 0;  ///< at most
};
struct UntilEpochs {
  std::int64_t epochs = 0;
};
struct UntilSteps {
  std::int64_t steps = 0;
};
struct UntilSeconds {
  double seconds = 0.0;
};
using Goal = std::variant<UntilTarget, UntilEpochs, UntilSteps, UntilSeconds>;

[[nodiscard]] Goal goal_of(const TrainOptions& options);
[[nodiscard]] std::int64_t most_epochs(const Goal& goal);
/// Whether so many steps or seconds are the fixed work asked for: it may end within an epoch.
[[nodiscard]] bool is_done(const Goal& goal, std::int64_t steps, double seconds);
/// Until fixed work is done, at this pace; nothing where the goal is counted in epochs.
[[nodiscard]] std::optional<double> seconds_left(const Goal& goal, std::int64_t steps, double seconds,
                                                 double seconds_per_step);
/// The same where epochs are counted, of which each has so many steps; evaluations come on top. Nothing where the
/// target may be met any time.
[[nodiscard]] std::optional<double> least_seconds_left(const Goal& goal, std::int64_t steps, double seconds,
                                                       double seconds_per_step, std::int64_t steps_per_epoch);
/// Of a run that came to its end: success, target_missed or fixed_work_done.
[[nodiscard]] Ending ending_of(const TrainOptions& options, bool target_met);

}  // namespace trainmark

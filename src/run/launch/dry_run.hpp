// `run --dry-run`.
#pragma once

#include "run/launch/session.hpp"
#include "run/record/progress.hpp"

namespace trainmark {

/// Plans everything, trains nothing, leaves nothing behind; says what a run would do.
[[nodiscard]] RunOutcome dry_run(const World& world, Backend& backend, const RunOptions& options,
                                 const Dataset& dataset, Progress& progress);

}  // namespace trainmark

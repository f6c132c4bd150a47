// `run --check`: the same steps on the run's backend and on the CPU in fp32, compared tensor by tensor. Needs no data.
#pragma once

#include "run/record/progress.hpp"
#include "trainmark/run.hpp"

namespace trainmark {

/// Collective. Compiles the step twice, unfused and with memory of its own for every tensor, takes one step on each
/// side and compares everything by name; then evaluates and takes a few steps with the programs that a run would use
/// and compares metric, losses and parameters. Prints the largest differences. The outcome's code is `communication`
/// where they exceed what the precision explains.
[[nodiscard]] RunOutcome check_backend(const World& world, Backend& backend, const RunOptions& options,
                                       Progress& progress);

}  // namespace trainmark

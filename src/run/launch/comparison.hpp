// `run --check`: the same steps on the run's backend and on the CPU in fp32, compared tensor by tensor, or on the
// backend alone in another order. Needs no data.
#pragma once

#include "run/end/ending.hpp"
#include "trainmark/run.hpp"

namespace trainmark {

/// Collective. Compiles the step twice, unfused and with memory of its own for every tensor, takes one step on each
/// side and compares everything by name; then evaluates and takes a few steps with the programs that a run would use
/// and compares metric, losses and parameters. Prints the largest differences. The outcome's code is `communication`
/// where they exceed what the precision explains.
[[nodiscard]] RunOutcome check_backend(const World& world, Backend& backend, const RunOptions& options,
                                       Progress& progress, const Stuck& stuck);
/// Collective, for sizes that take a CPU too long: an evaluation and a few steps as a run takes them, against the same
/// unfused with memory of its own for every tensor, and against one sample after the other where no norms keep them
/// from being the same step. Finds what goes wrong at a size, not what is wrong at all sizes.
[[nodiscard]] RunOutcome check_itself(const World& world, Backend& backend, const RunOptions& options,
                                      Progress& progress, const Stuck& stuck);

}  // namespace trainmark

#include "run/launch/dry_run.hpp"

#include <fmt/core.h>

namespace trainmark {
RunOutcome dry_run(const World& world, Backend& backend, const RunOptions& options, const Dataset& dataset,
                   Progress& progress) {
  const Compiled compiled = compile(world, backend, options, dataset.channels);
  progress.line(fmt::format("dry run: {} training and {} validation samples in {} and {} files", dataset.train.samples,
                            dataset.validation.samples, dataset.train.manifest.entries.size(),
                            dataset.validation.manifest.entries.size()));
  progress.line(fmt::format("dry run: staging {}: {:.1f} MiB to {} node(s), {} the clock", word(options.stage.strategy),
                            mib(dataset.train.staged().bytes() + dataset.validation.staged().bytes()), world.nodes(),
                            stages_before_clock(world, options.stage, rules_of(options)) ? "before" : "inside"));
  progress.line(fmt::format("dry run: {} parameters, activation pool {:.1f} MiB, planned in {}",
                            compiled.state->parameter_elements(), mib(compiled.train->memory().pool_bytes),
                            duration_text(compiled.planning_seconds)));
  RunOutcome outcome;
  outcome.verdict = "dry run";
  return outcome;
}

}  // namespace trainmark

// A probe that follows a run, with what the run has made.
#pragma once

#include "run/launch/session.hpp"

namespace trainmark {

struct AfterRun {
  double seconds = 60.0;
  std::function<void()> alive;
  std::function<void(const std::string& line)> say;
};
/// Collective: leaves probe.json in a run's folder. The run has ended and its results stand: where the probe cannot do
/// its work, that is said, and nothing else changes.
void probe_after_run(const World& world, Backend& backend, const Collectives& collectives, const RunOptions& options,
                     const Dataset& dataset, const std::filesystem::path& folder, const AfterRun& after);

}  // namespace trainmark

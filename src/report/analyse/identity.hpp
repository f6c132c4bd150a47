// What a run is of: what it may be compared with, and whose times may be averaged with its own.
#pragma once

#include "report/parse/files.hpp"
#include "trainmark/report.hpp"

namespace trainmark::report {

/// Sets facts, labels, configuration, and why published results may not stand beside the run. Needs what its header
/// names (benchmark, division, organisation, platform).
void identify(RunReport& run, const RunFiles& files);

/// What a run of ours aimed at, by the config in its log, else by run.json; none where it is the benchmark's or
/// unknown.
[[nodiscard]] std::optional<double> own_target(const RunFiles& files);

}  // namespace trainmark::report

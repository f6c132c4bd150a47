// What a run is of: what it may be compared with, and whose times may be averaged with its own.
#pragma once

#include "report/parse/files.hpp"
#include "trainmark/report.hpp"

namespace trainmark::report {

/// Sets facts, labels, configuration, and why published results may not stand beside the run. Needs what its header
/// names (benchmark, division, organisation, platform).
void identify(RunReport& run, const RunFiles& files);

}  // namespace trainmark::report

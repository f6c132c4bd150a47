// What only the run itself can tell, from run.json: start-up by scope, the terms of a step, the rank that others waited
// for, energy.
#pragma once

#include "report/parse/files.hpp"
#include "trainmark/report.hpp"

namespace trainmark::report {

/// Figures that are there; what an older or broken run.json lacks stays out.
void add_recorded_figures(RunReport& run, const RunFiles& files);

}  // namespace trainmark::report

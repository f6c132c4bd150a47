// What a run is of: what it may be compared with, and whose times may be averaged with its own.
#pragma once

#include "report/parse/files.hpp"
#include "trainmark/report.hpp"

namespace trainmark::report {

void set_facts(RunReport& run, const RunFiles& files);
/// Labels, and why published results may not stand beside the run. Needs its facts.
void set_comparability(RunReport& run, const RunFiles& files);
void set_configuration(RunReport& run, const RunFiles& files);

}  // namespace trainmark::report

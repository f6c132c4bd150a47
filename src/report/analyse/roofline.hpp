// A step against the ceilings that were probed: which resource bounds it, how far above the bound it is, and why.
#pragma once

#include "report/parse/files.hpp"
#include "trainmark/report.hpp"

namespace trainmark::report {

/// Williams, Waterman and Patterson 2009 with a roof for each kind of bytes: the step takes at least as long as its
/// slowest resource needs, all of them working side by side at their probed rates. `run` has its facts.
[[nodiscard]] Roofline roofline_of(const RunReport& run, const Companions& beside);

/// "memory", or all within a thousandth of the slowest: "memory and network"; empty where no ceiling is known.
[[nodiscard]] std::string binding_of(const std::vector<RoofTier>& tiers);

}  // namespace trainmark::report

// A run's own pictures: its time line, a step's terms one behind the other, and how ranks differ.
#pragma once

#include <string>

#include "trainmark/report.hpp"

namespace trainmark::report {

// All are inline SVG, and empty where there is nothing to show. Their numbers stand in the tables of figures, epochs
// and ranks.

/// What the run did when, in seconds from run_start on.
[[nodiscard]] std::string time_line(const RunReport& run);
/// The terms of the mean step of rank 0, and what the step would take at its bound.
[[nodiscard]] std::string step_waterfall(const RunReport& run);
/// Each rank's median of each term against the median rank's, by shade; of many ranks some share a column, which shows
/// the one that differs most. Of two ranks or more.
[[nodiscard]] std::string rank_map(const RunReport& run);

}  // namespace trainmark::report

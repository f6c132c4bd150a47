// The analyses as tables, each column with its unit and source.
#pragma once

#include "report/show/grid.hpp"
#include "trainmark/report.hpp"

namespace trainmark::report {

/// The nearest published entries beside one run; without rows, remarks say why there are none.
[[nodiscard]] Grid published_table(const RunReport& run);

}  // namespace trainmark::report

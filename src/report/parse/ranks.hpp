// What each rank measured of its steps: ranks.csv of a results folder.
#pragma once

#include <string>
#include <vector>

#include "trainmark/report.hpp"

namespace trainmark::report {

/// Of all ranks, or of none: without one of them nobody could say which is the slowest. A table that is there and
/// cannot be used is noted; one without the columns, of an older version, is not.
[[nodiscard]] RankSpread ranks_in(const std::string& table, std::vector<std::string>& notes);

}  // namespace trainmark::report

// The analyses as tables, each column with its unit and source.
#pragma once

#include <span>
#include <vector>

#include "report/analyse/convergence.hpp"
#include "report/analyse/throughput.hpp"
#include "report/analyse/what_if.hpp"
#include "report/show/grid.hpp"
#include "trainmark/report.hpp"

namespace trainmark::report {

/// The nearest published entries beside one run; without rows, remarks say why there are none.
[[nodiscard]] Grid published_table(const RunReport& run);

/// A step's resources against their ceilings, with the chart of their roofs, and its layers. Without a probe, remarks
/// say what makes one; empty beside logs of others.
[[nodiscard]] std::vector<Grid> roofline_tables(const RunReport& run);

/// Each term of a step over ranks: the median rank's, the least and the most, and whose they are. Empty for fewer than
/// two ranks.
[[nodiscard]] Grid rank_table(const RunReport& run);

/// What several runs say together: scores, convergence, and what follows from them. Empty ones are left out.
[[nodiscard]] std::vector<Grid> joint_tables(std::span<const RunReport> runs, const Questions& questions);
[[nodiscard]] Grid score_table(std::span<const GroupConvergence> rows);
/// Empty where no runs are instances of one job.
[[nodiscard]] Grid throughput_table(std::span<const Throughput> rows);
[[nodiscard]] Grid convergence_table(std::span<const GroupConvergence> rows);
[[nodiscard]] Grid critical_batch_table(std::span<const GroupConvergence> rows);
[[nodiscard]] Grid difference_table(std::span<const Group> groups);
/// Epochs, seed and last metric of each run.
[[nodiscard]] Grid run_table(std::span<const RunReport> runs);

[[nodiscard]] Grid scale_table(std::span<const ScaleRow> rows);
/// Empty for fewer than two rows with a time to train.
[[nodiscard]] Grid factor_table(std::span<const ScaleRow> rows);
[[nodiscard]] Grid what_if_table(const WhatIfAnswer& answer);
[[nodiscard]] Grid curve_table(const WhatIfAnswer& answer);

}  // namespace trainmark::report

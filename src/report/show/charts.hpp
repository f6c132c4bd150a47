// The charts that stand above their tables.
#pragma once

#include "report/show/chart.hpp"
#include "report/show/tables.hpp"

namespace trainmark::report {

/// Each is none where it would show less than its table: of one mark, or of none.
[[nodiscard]] std::optional<Chart> convergence_chart(std::span<const GroupConvergence> rows);
[[nodiscard]] std::optional<Chart> repeats_chart(std::span<const GroupConvergence> rows);
/// Layers and the step against a roof for each resource, over operations a byte.
[[nodiscard]] std::optional<Chart> roofline_chart(const Roofline& roofline);
/// A node's part of the data against what tiers hold.
[[nodiscard]] std::optional<Chart> data_chart(std::span<const ScaleRow> rows, std::span<const Tier> tiers);
/// Rate and epochs by ranks, both against those of the fewest.
[[nodiscard]] std::optional<Chart> interplay_chart(std::span<const ScaleRow> rows);
[[nodiscard]] std::optional<Chart> step_chart(std::span<const ScaleRow> rows, const WhatIfAnswer& answer);

}  // namespace trainmark::report

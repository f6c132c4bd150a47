// What a schedule makes of the rate over a run, for people and for programs.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "trainmark/run.hpp"

namespace trainmark::cli {

/// A line at each point at which the rate begins to change or has changed, and evenly between, with a bar of its
/// length.
[[nodiscard]] std::string rates_text(const RunOptions& options);
/// [{"epoch" or "step", "rate"}], the same points.
[[nodiscard]] nlohmann::ordered_json rates_json(const RunOptions& options);

}  // namespace trainmark::cli

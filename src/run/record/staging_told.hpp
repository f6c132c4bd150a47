// What is told of staging: to programs, and to the person who watches.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "run/launch/dataset.hpp"

namespace trainmark {

/// The text of staging.json. `inside_clock` is left out where there is none.
[[nodiscard]] std::string staging_json(const StagedDataset& dataset, const StageOptions& options,
                                       std::optional<bool> inside_clock);
/// How much was read back from devices; nothing where that was not asked for.
[[nodiscard]] std::optional<std::string> read_back_line(const StagedDataset& dataset, const StageOptions& options);
/// A line a split for each node that worked for more than half as long again as the median node, and for a second more.
[[nodiscard]] std::vector<std::string> stragglers(const StagedDataset& dataset);

}  // namespace trainmark

// What is told of staging: to programs, and to the person who watches.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "run/launch/dataset.hpp"

namespace trainmark {

/// The text of staging.json. `inside_clock` is left out where there is none.
[[nodiscard]] std::string staging_json(const StagedDataset& dataset, std::optional<bool> inside_clock);
/// A line a split for each node that worked for more than half as long again as the median node, and for a second more.
[[nodiscard]] std::vector<std::string> stragglers(const StagedDataset& dataset);

}  // namespace trainmark

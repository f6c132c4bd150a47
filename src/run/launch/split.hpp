// Finding one split of a dataset, for find_dataset().
#pragma once

#include "run/launch/dataset.hpp"

namespace trainmark {

/// Collective: lists the files below `source` and learns their samples and layouts, each header read by one rank.
/// `alive` is called as it goes. Raises AgreedError where scan_dataset() would raise on one process; with staging also
/// where a file's samples are in another file.
[[nodiscard]] Split find_split(const World& world, const RunOptions& options, const std::string& name,
                               const std::string& source, const DataSchema& schema, const std::function<void()>& alive,
                               const ManifestUse& use);

}  // namespace trainmark

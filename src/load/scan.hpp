// Finding a dataset's files, for those who look at them one by one.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "trainmark/stage.hpp"

namespace trainmark {

/// Names of all data files below `root`, sorted. Raises Error{data}: no such folder, nothing in it.
[[nodiscard]] std::vector<std::string> data_files(const std::filesystem::path& root);
/// Name, size and time; samples and hash are left open.
[[nodiscard]] ManifestEntry stat_entry(const std::filesystem::path& root, const std::string& name);

}  // namespace trainmark

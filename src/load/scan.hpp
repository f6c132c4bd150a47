// Finding a dataset's files, for those who look at them one by one.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "trainmark/stage.hpp"

struct stat;

namespace trainmark {

/// All data files below `root`, sorted by name; samples and hashes are left open. `progress` is called as it goes.
/// Raises Error{data}: no such folder, nothing in it, names that cannot be used, a folder that is being changed.
[[nodiscard]] std::vector<ManifestEntry> data_files(const std::filesystem::path& root,
                                                    const std::function<void()>& progress = {});
/// The same of files of any other kind, by their names; there may be none.
[[nodiscard]] std::vector<ManifestEntry> files_below(const std::filesystem::path& root,
                                                     bool (*wants)(std::string_view name));
/// Name, size and time; samples and hash are left open.
[[nodiscard]] ManifestEntry entry_of(std::string name, const struct ::stat& info, bool stable_inodes);
[[nodiscard]] ManifestEntry stat_entry(const std::filesystem::path& root, const std::string& name);

}  // namespace trainmark

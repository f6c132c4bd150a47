// Where an import of samples reads from: a folder with the files of both splits.
#pragma once

#include <array>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "trainmark/load.hpp"

namespace trainmark {

struct SourceSplit {
  std::string name;                  ///< of the folder that is written: "train", "validation"
  std::filesystem::path folder;      ///< that is read
  std::vector<ManifestEntry> files;  ///< sorted by name
};

/// Collective; rank 0 looks. Files at any depth of <source>/train and <source>/validation (or val/) whose names `wants`
/// takes; `kind` is what they are, for people. Raises Error{data}: a folder that is not there, one without such files,
/// names that cannot be used.
[[nodiscard]] std::array<SourceSplit, 2> find_splits(const Group& all, const std::filesystem::path& source,
                                                     bool (*wants)(std::string_view name), std::string_view kind);

/// Name, size and time of a file, and what else its samples' bytes depend on: for ImportPlan::made_from.
[[nodiscard]] std::string made_from(const ManifestEntry& file);
[[nodiscard]] std::string made_by(const CosmoflowImport& options);

/// Raises Error{data} on all ranks where a split came to no samples at all.
void require_samples(const Group& all, const ImportReport& report, const std::array<SourceSplit, 2>& splits);

}  // namespace trainmark

// A folder that a dataset is written to, <target>/train and <target>/validation: what is in the way, and making it.
#pragma once

#include <filesystem>
#include <set>
#include <string>

namespace trainmark {

/// Raises Error{data} where a split's folder holds, at any depth, sample files other than `expected` (paths below the
/// target): a run would read them too. Hidden names are files that another run is still writing.
void refuse_strangers(const std::filesystem::path& target, const std::set<std::string>& expected,
                      const std::string& remedy);

/// Makes both splits' folders and clears them of what ended writers left. Raises Error{data}.
void make_split_folders(const std::filesystem::path& target);

}  // namespace trainmark

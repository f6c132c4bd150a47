// Where a dataset's bytes are: in the file that has its name, or in others as well (external links, virtual datasets,
// raw external storage). The one question that must be asked before an offset is used or a file is copied alone.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "load/hdf5_file.hpp"

namespace trainmark {

struct Home {
  std::string elsewhere;  ///< for people, why these are not plain bytes of the opened file; empty: they are
  std::vector<std::filesystem::path> companions;  ///< the other files that the values are in, each of which is there
};

/// Finds every file that the values of `dataset` come from, through sources of sources. Raises Error{data} naming the
/// first that is not there, too short or cannot be opened: the library would read fill values in its place.
[[nodiscard]] Home home_of(hid_t file, hid_t dataset, const std::string& name, const std::filesystem::path& path);

}  // namespace trainmark

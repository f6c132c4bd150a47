// Why a call of the HDF5 library failed, in the words of somebody who has the file before him: cut short, still open
// for writing, of a newer format, in need of a filter, or what the system said. One place for all calls that open or
// read.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "trainmark/core.hpp"

namespace trainmark {

/// The complaint that follows from an error stack. `doing` is what failed ("cannot be opened", "dataset 'x' cannot be
/// read"); it is left out where the reason is of the file as a whole.
[[nodiscard]] Complaint verdict(const std::filesystem::path& path, const std::string& doing,
                                const std::vector<std::string>& frames);
/// The same of the call that just failed.
[[nodiscard]] Complaint verdict(const std::filesystem::path& path, const std::string& doing);

}  // namespace trainmark

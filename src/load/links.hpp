// Links that lead nowhere, told so that their owner can mend them.
#pragma once

#include <filesystem>
#include <string>

#include "load/hdf5_file.hpp"

namespace trainmark {

/// Whether there is a link of that path, though nothing may be behind it.
[[nodiscard]] bool link_exists(hid_t file, const std::string& name);

/// "'y' is an external link to '/train/000' in '../labels.h5', which is not there"; empty where no link of the path is
/// to blame.
[[nodiscard]] std::string broken_link(hid_t file, const std::string& name, const std::filesystem::path& path);

}  // namespace trainmark

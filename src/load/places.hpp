// Where HDF5 looks for a file that another one names. What is examined here must be what the library will read: a
// prefix in the environment can put another file of that name before the one beside its owner.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace trainmark {

enum class Reference : std::uint8_t { external_link, virtual_source };

/// All places, in the library's order: it takes the first that it can open. `prefix` is that of the property list that
/// the dataset was opened with (empty: none).
[[nodiscard]] std::vector<std::filesystem::path> places_of(Reference reference, const std::filesystem::path& holder,
                                                           const std::string& target, const std::string& prefix = "");

/// The first of them at which there is anything but a folder; empty if there is none.
[[nodiscard]] std::filesystem::path first_there(const std::vector<std::filesystem::path>& places);

/// Each of them once, for a message.
[[nodiscard]] std::string listed(const std::vector<std::filesystem::path>& places);

}  // namespace trainmark

// What parts of a dataset hold that nobody has written: its fill value, or nothing that can be told.
#pragma once

#include "load/hdf5_file.hpp"

namespace trainmark {

enum class Fill : std::uint8_t { zero, other, nothing };

/// Of a dataset with these creation properties.
[[nodiscard]] Fill fill_of(hid_t creation);

/// Whether values are missing from the dataset itself that no fill value stands for: the library would leave them as
/// they are in memory. A virtual dataset's sources are asked one by one.
[[nodiscard]] bool holds_nothing(hid_t dataset, hid_t creation);

/// What is wrong with one that does.
inline constexpr const char* never_written =
    "parts of it were never written, and it has no fill value that says what they hold";

}  // namespace trainmark

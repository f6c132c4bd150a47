// Reads a box of a described dataset into memory without the HDF5 library: by offset where it is contiguous, by raw
// chunks (inflated here, outside of any lock) where it is chunked. Safe to call from several threads.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>

#include "load/stored.hpp"

namespace trainmark {

/// Where to read: an open descriptor, and the path for messages and for the library's way.
struct OpenFile {
  const std::filesystem::path& path;
  int descriptor = -1;
  std::int64_t sample = 0;  ///< that is read, of this file: for messages
};

/// Elements of `box` in row-major order as `field` has them in memory, native endianness. Raises Error{data}: cut
/// short, damaged, a value that the field's type has no room for.
void read_box(const OpenFile& file, const Stored& stored, const Box& box, const Field& field, std::span<std::byte> to);

/// Bytes that reading `box` takes from the file's content (whole chunks, and gaps that are cheaper read than skipped).
[[nodiscard]] std::int64_t bytes_touched(const Stored& stored, const Box& box);

}  // namespace trainmark

// Reads a box of a described dataset into memory without the HDF5 library: by offset where it is contiguous, by raw
// chunks (inflated here, outside of any lock) where it is chunked. Safe to call from several threads.
#pragma once

#include <cstddef>
#include <filesystem>
#include <limits>
#include <span>

#include "load/stored.hpp"

namespace trainmark {

/// Where a file lies within what a descriptor reads. All of it, but in a container.
struct FileRange {
  std::uint64_t offset = 0;
  std::uint64_t bytes = std::numeric_limits<std::uint64_t>::max();
  bool in_container = false;
};

/// Where to read: an open descriptor, and the path for messages and for the library's way (of a file in a container:
/// the container's path and the file's name, which no file has).
struct OpenFile {
  const std::filesystem::path& path;
  int descriptor = -1;
  std::int64_t sample = 0;  ///< that is read, of this file: for messages
  FileRange range{};
  hid_t library = H5I_INVALID_HID;  ///< where the library has it open already
};

/// Opens it with the HDF5 library, to be called under Hdf5Lock: a file in a container is read into memory for that.
[[nodiscard]] FileHandle open_by_library(const OpenFile& file);

/// Elements of `box` in row-major order as `field` has them in memory, native endianness. Raises Error{data}: cut
/// short, damaged, a value that the field's type has no room for.
void read_box(const OpenFile& file, const Stored& stored, const Box& box, const Field& field, std::span<std::byte> to);

/// Bytes that reading `box` takes from the file's content (whole chunks, and gaps that are cheaper read than skipped).
[[nodiscard]] std::int64_t bytes_touched(const Stored& stored, const Box& box);

}  // namespace trainmark

// One dataset as it lies in its file: shape, element type, where its bytes are and which filters they went through.
// All that is needed to read it without the HDF5 library, learnt once from the header.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "load/box.hpp"
#include "load/hdf5_file.hpp"
#include "load/numbers.hpp"

namespace trainmark {

/// A chunk's bytes in the file; `bytes` 0 where it was never written.
struct Chunk {
  std::uint64_t offset = 0;
  std::uint32_t bytes = 0;
  std::uint32_t skipped = 0;  ///< bit i: filter i was not applied to this chunk
};

enum class Storage : std::uint8_t {
  contiguous,  ///< one range of the file
  chunked,     ///< chunks with no filter, or shuffle and deflate
  library      ///< anything else: HDF5 itself must read it, for the reason that `why_library` gives
};

struct Stored {
  std::string name;
  std::size_t rank = 0;
  Extents dims{};
  std::string type;  ///< for people: "int16", "float64 big-endian"
  std::string form;  ///< for people, where it has no axes: "one value without axes", "empty (a null dataspace)"
  Number number = Number::u8;  ///< of the file; meaningful if `readable`
  bool readable = false;       ///< the values are of that kind without loss
  bool big_endian = false;
  Storage storage = Storage::library;
  std::string why_library;                        ///< for people; empty where this module reads the bytes itself
  std::string unusable;                           ///< for people, why not even the library can read it; empty if it can
  std::vector<std::filesystem::path> companions;  ///< other files that values come from
  std::uint64_t offset = 0;                       ///< contiguous
  Extents chunk{};                                ///< of a chunked dataset
  Extents grid{};                                 ///< chunks along each axis
  std::vector<Chunk> chunks;                      ///< row-major over the grid
  int shuffle = -1;                               ///< position in the filter pipeline, -1: not there
  int deflate = -1;
  std::string filters;  ///< for people: "shuffle, deflate 4"
  std::int64_t stored_bytes = 0;

  [[nodiscard]] std::size_t element() const noexcept { return size_of(number); }
  [[nodiscard]] Shape shape() const {
    return Shape(std::vector<std::int64_t>(dims.begin(), dims.begin() + static_cast<std::ptrdiff_t>(rank)));
  }
  [[nodiscard]] bool is_chunked() const noexcept { return chunk[0] != 0; }
};

/// Describes a dataset of an open file without its chunks' places, and decides who reads it: this module only what it
/// knows every property of. `path` is for messages. Raises Error{data}: it cannot be opened, a file that it needs is
/// not there.
[[nodiscard]] Stored describe(hid_t file, const std::string& name, const std::filesystem::path& path);
/// Datasets of more chunks are left to the library, because listing them takes too long: before 1.14 it finds the n-th
/// by walking past all before it (4,096 take 90 ms, 32,768 take 7 s); since then the places themselves take the memory.
#if H5_VERSION_GE(1, 14, 0)
constexpr std::int64_t most_chunks = std::int64_t{1} << 26;
#else
constexpr std::int64_t most_chunks = 8192;
#endif
/// Whether other bytes stand in front of the HDF5 content.
[[nodiscard]] bool has_user_block(hid_t file);
[[nodiscard]] double elements_of(const Stored& stored) noexcept;
[[nodiscard]] double chunks_of(const Stored& stored) noexcept;
/// Fills in where the chunks are. Reads the whole index: for datasets that will be read.
void locate_chunks(hid_t file, Stored& stored, const std::filesystem::path& path);

}  // namespace trainmark

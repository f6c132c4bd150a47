// One dataset as it lies in its file: shape, element type, where its bytes are and which filters they went through.
// All that is needed to read it without the HDF5 library, learnt once from the header.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "load/box.hpp"
#include "load/hdf5_file.hpp"

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
  library      ///< anything else: HDF5 itself must read it
};

struct Stored {
  std::string name;
  std::size_t rank = 0;
  Extents dims{};
  std::string type;         ///< for people: "int16", "float64 big-endian"
  DType dtype = DType::u8;  ///< of the file; meaningful if `readable`
  bool readable = false;    ///< the type is one of i16, f32, f64
  bool big_endian = false;
  Storage storage = Storage::library;
  std::uint64_t offset = 0;   ///< contiguous
  Extents chunk{};            ///< of a chunked dataset
  Extents grid{};             ///< chunks along each axis
  std::vector<Chunk> chunks;  ///< row-major over the grid
  int shuffle = -1;           ///< position in the filter pipeline, -1: not there
  int deflate = -1;
  std::string filters;  ///< for people: "shuffle, deflate 4"
  std::int64_t stored_bytes = 0;

  [[nodiscard]] std::size_t element() const noexcept { return size_of(dtype); }
  [[nodiscard]] Shape shape() const {
    return Shape(std::vector<std::int64_t>(dims.begin(), dims.begin() + static_cast<std::ptrdiff_t>(rank)));
  }
  [[nodiscard]] bool is_chunked() const noexcept { return chunk[0] != 0; }
};

/// Describes an open dataset without its chunks' places. `path` is for messages.
[[nodiscard]] Stored describe(hid_t dataset, const std::string& name, const std::filesystem::path& path);
/// Fills in where the chunks are. Reads the whole index: for datasets that will be read. Leaves a dataset to the
/// library whose index it would take too long to list.
void locate_chunks(hid_t dataset, Stored& stored, const std::filesystem::path& path);

}  // namespace trainmark

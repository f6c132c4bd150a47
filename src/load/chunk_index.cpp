// Where the chunks of a dataset lie: its whole index, listed once.
#include <fmt/core.h>

#include <algorithm>

#include "load/stored.hpp"
#include "load/verdict.hpp"

namespace trainmark {
namespace {

struct ChunkTable {
  Stored* stored;
  bool outside = false;  // a chunk lies beyond the dataset or the file
  hsize_t file_bytes = 0;

  /// False where the chunk lies outside of the dataset or of the file: then the index is damaged.
  [[nodiscard]] bool add(const hsize_t* begin, unsigned skipped, haddr_t address, hsize_t bytes) {
    if (address == HADDR_UNDEF) return true;
    outside = bytes > file_bytes || address > file_bytes - bytes;
    std::int64_t index = 0;
    for (std::size_t axis = 0; axis < stored->rank; ++axis) {
      outside = outside || begin[axis] >= static_cast<hsize_t>(stored->dims[axis]);
      index = index * stored->grid[axis] + static_cast<std::int64_t>(begin[axis]) / stored->chunk[axis];
    }
    if (outside) return false;
    stored->chunks.at(static_cast<std::size_t>(index)) = {address, static_cast<std::uint32_t>(bytes), skipped};
    return true;
  }
};

#if H5_VERSION_GE(1, 14, 0)
herr_t list_chunks(hid_t dataset, ChunkTable& table) {
  const auto take = [](const hsize_t* begin, unsigned skipped, haddr_t address, hsize_t bytes, void* data) -> int {
    return static_cast<ChunkTable*>(data)->add(begin, skipped, address, bytes) ? H5_ITER_CONT : H5_ITER_ERROR;
  };
  return H5Dchunk_iter(dataset, H5P_DEFAULT, take, &table);
}
#else
herr_t list_chunks(hid_t dataset, ChunkTable& table) {
  const SpaceHandle space(H5Dget_space(dataset));
  hsize_t written = 0;
  herr_t status = H5Dget_num_chunks(dataset, space.get(), &written);
  for (hsize_t i = 0; i < written && status >= 0; ++i) {
    std::array<hsize_t, max_rank> begin{};
    unsigned skipped = 0;
    haddr_t address = HADDR_UNDEF;
    hsize_t bytes = 0;
    status = H5Dget_chunk_info(dataset, space.get(), i, begin.data(), &skipped, &address, &bytes);
    if (status >= 0 && !table.add(begin.data(), skipped, address, bytes)) status = -1;
  }
  return status;
}
#endif

}  // namespace

void locate_chunks(hid_t file, Stored& stored, const std::filesystem::path& path) {
  stored.chunks.assign(static_cast<std::size_t>(chunks_of(stored)), Chunk{});
  const DatasetHandle dataset = require_dataset(file, stored.name, path);
  ChunkTable table{.stored = &stored};
  H5Fget_filesize(file, &table.file_bytes);
  if (list_chunks(dataset.get(), table) >= 0) return;
  if (!table.outside)
    throw Error(ExitCode::data,
                verdict(path, fmt::format("the chunk index of dataset '{}' cannot be read", stored.name)));
  throw Error(ExitCode::data,
              Complaint{path.string(),
                        fmt::format("a chunk of dataset '{}' lies outside of it or of the file ({} bytes)", stored.name,
                                    table.file_bytes),
                        "the file is cut short or damaged", "copy or generate it again"});
}

}  // namespace trainmark

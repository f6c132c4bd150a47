// Boxes of datasets: contiguous ones row by row, chunked ones chunk by chunk, others through HDF5.
#include "load/region_reader.hpp"

#include <fmt/core.h>

#include <bit>
#include <cstring>

#include "load/chunk_codec.hpp"
#include "load/file_reads.hpp"
#include "load/values.hpp"
#include "load/verdict.hpp"

namespace trainmark {
namespace {

/// Memory that grows to the largest need of its thread and stays.
std::span<std::byte> scratch_of(std::vector<std::byte>& memory, std::size_t bytes) {
  if (memory.size() < bytes) memory.resize(bytes);
  return std::span(memory).first(bytes);
}

BoxPair from_file(const Stored& stored, const Box& box) {
  return {box.rank, box.extent, stored.dims, box.begin, box.extent, {}};
}

void read_contiguous(const OpenFile& file, const Stored& stored, const Box& box, std::span<std::byte> to) {
  const std::size_t element = stored.element();
  GatheredRead reads(file);
  for_each_run(from_file(stored, box), [&](std::int64_t from, std::int64_t at, std::int64_t length) {
    reads.add(stored.offset + static_cast<std::uint64_t>(from) * element,
              to.subspan(static_cast<std::size_t>(at) * element, static_cast<std::size_t>(length) * element));
  });
  reads.finish();
}

/// Calls visit(chunk index, overlap) for every chunk that the box touches; the overlap goes from chunk to box.
template <class Visit>
void for_each_chunk(const Stored& stored, const Box& box, Visit&& visit) {
  Extents first{}, last{}, at{};
  for (std::size_t axis = 0; axis < box.rank; ++axis) {
    first[axis] = at[axis] = box.begin[axis] / stored.chunk[axis];
    last[axis] = (box.begin[axis] + box.extent[axis] - 1) / stored.chunk[axis];
  }
  for (;;) {
    BoxPair overlap{box.rank, {}, stored.chunk, {}, box.extent, {}};
    std::int64_t index = 0;
    for (std::size_t axis = 0; axis < box.rank; ++axis) {
      const std::int64_t origin = at[axis] * stored.chunk[axis];
      const std::int64_t begin = std::max(origin, box.begin[axis]);
      const std::int64_t end = std::min(origin + stored.chunk[axis], box.begin[axis] + box.extent[axis]);
      overlap.extent[axis] = end - begin;
      overlap.from_begin[axis] = begin - origin;
      overlap.to_begin[axis] = begin - box.begin[axis];
      index = index * stored.grid[axis] + at[axis];
    }
    visit(index, overlap);
    std::size_t axis = box.rank;
    while (axis > 0 && ++at[axis - 1] > last[axis - 1]) {
      at[axis - 1] = first[axis - 1];
      --axis;
    }
    if (axis == 0) return;
  }
}

std::int64_t chunk_elements(const Stored& stored) { return Box{stored.rank, {}, stored.chunk}.elements(); }

/// The place in `to` where a whole chunk lands as one run, if it does.
std::span<std::byte> landing_of(const BoxPair& overlap, std::int64_t whole, std::size_t element,
                                std::span<std::byte> to) {
  std::span<std::byte> landing;
  if (Box{overlap.rank, {}, overlap.extent}.elements() != whole) return landing;
  std::int64_t runs = 0;
  for_each_run(overlap, [&](std::int64_t, std::int64_t at, std::int64_t length) {
    if (runs++ == 0 && length == whole) {
      landing = to.subspan(static_cast<std::size_t>(at) * element, static_cast<std::size_t>(length) * element);
    }
  });
  return runs == 1 ? landing : std::span<std::byte>{};
}

void read_chunked(const OpenFile& file, const Stored& stored, const Box& box, std::span<std::byte> to) {
  thread_local std::vector<std::byte> raw_memory, chunk_memory;
  const std::size_t element = stored.element();
  const std::int64_t whole = chunk_elements(stored);
  const std::size_t chunk_bytes = static_cast<std::size_t>(whole) * element;
  for_each_chunk(stored, box, [&](std::int64_t index, const BoxPair& overlap) {
    const Chunk& chunk = stored.chunks.at(static_cast<std::size_t>(index));
    const std::span<std::byte> landing = landing_of(overlap, whole, element, to);
    const std::span<std::byte> plain = landing.empty() ? scratch_of(chunk_memory, chunk_bytes) : landing;
    if (chunk.bytes == 0) {
      std::memset(plain.data(), 0, plain.size());
    } else {
      const std::span<std::byte> raw = scratch_of(raw_memory, chunk.bytes);
      read_fully(file, chunk.offset, raw);
      decode_chunk(stored, chunk, raw, plain, file.path);
    }
    if (!landing.empty()) return;
    for_each_run(overlap, [&](std::int64_t from, std::int64_t at, std::int64_t length) {
      std::memcpy(to.data() + static_cast<std::size_t>(at) * element,
                  plain.data() + static_cast<std::size_t>(from) * element, static_cast<std::size_t>(length) * element);
    });
  });
}

hid_t native_type(Number number) {
  const std::array<hid_t, 10> types = {H5T_NATIVE_INT8,  H5T_NATIVE_UINT8,  H5T_NATIVE_INT16, H5T_NATIVE_UINT16,
                                       H5T_NATIVE_INT32, H5T_NATIVE_UINT32, H5T_NATIVE_INT64, H5T_NATIVE_UINT64,
                                       H5T_NATIVE_FLOAT, H5T_NATIVE_DOUBLE};
  return types.at(static_cast<std::size_t>(number));
}

/// Filters, storage and places that this module does not know: slower, one thread at a time, but right.
void read_by_library(const OpenFile& file, const Stored& stored, const Box& box, std::span<std::byte> to) {
  const Hdf5Lock lock;
  const FileHandle opened = file.library < 0 ? open_by_library(file) : FileHandle();
  const DatasetHandle dataset = require_dataset(opened ? opened.get() : file.library, stored.name, file.path);
  const SpaceHandle space(H5Dget_space(dataset.get()));
  std::array<hsize_t, max_rank> begin{}, extent{};
  std::copy(box.begin.begin(), box.begin.end(), begin.begin());
  std::copy(box.extent.begin(), box.extent.end(), extent.begin());
  const SpaceHandle memory(H5Screate_simple(static_cast<int>(box.rank), extent.data(), nullptr));
  H5Sselect_hyperslab(space.get(), H5S_SELECT_SET, begin.data(), nullptr, extent.data(), nullptr);
  if (H5Dread(dataset.get(), native_type(stored.number), memory.get(), space.get(), without_clipping().get(),
              to.data()) < 0) {
    throw Error(ExitCode::data, verdict(file.path, fmt::format("dataset '{}' cannot be read", stored.name)));
  }
}

}  // namespace

FileHandle open_by_library(const OpenFile& file) {
  if (!file.range.in_container) return open_file(file.path);
  thread_local std::vector<std::byte> memory;
  const std::span<std::byte> content = scratch_of(memory, file.range.bytes);
  read_fully(file, 0, content);
  return open_image(content, file.path);
}

void read_box(const OpenFile& file, const Stored& stored, const Box& box, const Field& field, std::span<std::byte> to) {
  TRAINMARK_CHECK(static_cast<std::size_t>(box.elements()) * size_of(field.dtype) == to.size(),
                  "the destination fits the box");
  thread_local std::vector<std::byte> wide_memory;
  const bool converts = !same_bytes(stored.number, field.dtype);
  const std::size_t raw_bytes = static_cast<std::size_t>(box.elements()) * stored.element();
  const std::span<std::byte> raw = converts ? scratch_of(wide_memory, raw_bytes) : to;
  if (stored.storage == Storage::library) {
    read_by_library(file, stored, box, raw);
  } else if (stored.storage == Storage::contiguous) {
    read_contiguous(file, stored, box, raw);
  } else {
    read_chunked(file, stored, box, raw);
  }
  const bool foreign = stored.big_endian == (std::endian::native == std::endian::little);
  if (foreign && stored.storage != Storage::library) swap_bytes(raw, stored.element());
  if (!converts) return;
  if (const std::optional<std::size_t> index = convert(stored.number, raw, field.dtype, to))
    refuse_value(field, *index, text_of(stored.number, raw, *index), file.path, file.sample, stored.name);
}

std::int64_t bytes_touched(const Stored& stored, const Box& box) {
  const auto element = static_cast<std::int64_t>(stored.element());
  std::int64_t touched = 0;
  if (stored.is_chunked()) {
    const std::int64_t chunk_bytes = chunk_elements(stored) * element;
    for_each_chunk(stored, box, [&](std::int64_t, const BoxPair&) { touched += chunk_bytes; });
    return touched;
  }
  std::int64_t end = -1;
  for_each_run(from_file(stored, box), [&](std::int64_t from, std::int64_t, std::int64_t length) {
    const std::int64_t gap = end < 0 ? 0 : (from - end) * element;
    if (gap <= static_cast<std::int64_t>(GatheredRead::largest_gap)) touched += gap;
    touched += length * element;
    end = from + length;
  });
  return touched;
}

}  // namespace trainmark

// What HDF5's shuffle and deflate filters did to a chunk, undone; and byte order. Pure functions on memory.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>

#include "load/stored.hpp"

namespace trainmark {

/// Turns a chunk's stored bytes into its elements (still in the file's byte order). Scratch memory is kept per thread.
/// Raises Error{data} where the content does not inflate to the chunk's size.
void decode_chunk(const Stored& stored, const Chunk& chunk, std::span<const std::byte> raw, std::span<std::byte> to,
                  const std::filesystem::path& path);

/// Bytes k, k + n, ... of the elements lie together in `from`; puts each element's bytes together.
void unshuffle(std::span<const std::byte> from, std::span<std::byte> to, std::size_t element);

void swap_bytes(std::span<std::byte> elements, std::size_t element);

}  // namespace trainmark

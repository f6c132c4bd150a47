// Inflate by libdeflate; the shuffle filter's inverse with a fast path for the two-byte elements of the benchmark.
#include "load/chunk_codec.hpp"

#include <fmt/core.h>
#include <libdeflate.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "load/inflate.hpp"

namespace trainmark {
namespace {

bool applied(const Chunk& chunk, int filter) { return filter >= 0 && ((chunk.skipped >> filter) & 1U) == 0; }

void unshuffle_pairs(const std::byte* low, const std::byte* high, std::byte* to, std::size_t count) {
  // Blocks of fixed size: compilers turn the inner loop into byte interleaves without being asked for more than -O2.
  constexpr std::size_t block = 32;
  std::size_t i = 0;
  for (; i + block <= count; i += block) {
    for (std::size_t j = 0; j < block; ++j) {
      to[2 * (i + j)] = low[i + j];
      to[2 * (i + j) + 1] = high[i + j];
    }
  }
  for (; i < count; ++i) {
    to[2 * i] = low[i];
    to[2 * i + 1] = high[i];
  }
}

[[noreturn]] void damaged(const Stored& stored, const std::filesystem::path& path, const std::string& what) {
  throw Error(ExitCode::data,
              Complaint{path.string(), fmt::format("a chunk of dataset '{}' is damaged: {}", stored.name, what), "",
                        "copy or generate the file again"});
}

}  // namespace

void unshuffle(std::span<const std::byte> from, std::span<std::byte> to, std::size_t element) {
  const std::size_t count = from.size() / element;
  if (element == 2) {
    unshuffle_pairs(from.data(), from.data() + count, to.data(), count);
  } else {
    for (std::size_t k = 0; k < element; ++k) {
      for (std::size_t i = 0; i < count; ++i)
        to[i * element + k] = from[k * count + i];
    }
  }
}

void swap_bytes(std::span<std::byte> elements, std::size_t element) {
  std::size_t done = 0;
  if (element == 2) {
    constexpr std::size_t block = 32;  // fixed, as above
    std::array<std::uint16_t, block> pairs{};
    for (; done + sizeof pairs <= elements.size(); done += sizeof pairs) {
      std::memcpy(pairs.data(), elements.data() + done, sizeof pairs);
      for (std::size_t i = 0; i < block; ++i)
        pairs[i] = static_cast<std::uint16_t>(pairs[i] << 8 | pairs[i] >> 8);
      std::memcpy(elements.data() + done, pairs.data(), sizeof pairs);
    }
  }
  for (std::size_t i = done; i + element <= elements.size(); i += element)
    std::reverse(elements.data() + i, elements.data() + i + element);
}

void decode_chunk(const Stored& stored, const Chunk& chunk, std::span<const std::byte> raw, std::span<std::byte> to,
                  const std::filesystem::path& path) {
  const bool shuffled = applied(chunk, stored.shuffle);
  thread_local std::vector<std::byte> scratch;
  std::span<const std::byte> plain = raw;
  if (applied(chunk, stored.deflate)) {
    if (shuffled) scratch.resize(std::max(scratch.size(), to.size()));
    const std::span<std::byte> inflated = shuffled ? std::span(scratch).first(to.size()) : to;
    std::size_t size = 0;
    const libdeflate_result result =
        libdeflate_zlib_decompress(decompressor(), raw.data(), raw.size(), inflated.data(), inflated.size(), &size);
    if (result != LIBDEFLATE_SUCCESS || size != to.size()) {
      damaged(stored, path, fmt::format("it does not inflate to {} bytes", to.size()));
    }
    if (!shuffled) return;
    plain = inflated;
  }
  if (plain.size() != to.size()) damaged(stored, path, fmt::format("it has {} bytes, not {}", plain.size(), to.size()));
  if (shuffled) {
    unshuffle(plain, to, stored.element());
  } else {
    std::memcpy(to.data(), plain.data(), to.size());
  }
}

}  // namespace trainmark

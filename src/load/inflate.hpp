// What of libdeflate is shared: one decompressor a thread, and whole gzip files.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

struct libdeflate_decompressor;

namespace trainmark {

/// The calling thread's own.
[[nodiscard]] libdeflate_decompressor* decompressor();

[[nodiscard]] bool looks_like_gzip(std::span<const std::byte> coded) noexcept;

/// Inflates all members of a gzip file, one behind another, into `plain`, which keeps its memory from call to call.
/// Returns what is wrong with it, or nothing: damaged, cut short, more than `most` bytes, something else behind it.
[[nodiscard]] std::string inflate_gzip(std::span<const std::byte> coded, std::size_t most,
                                       std::vector<std::byte>& plain);

}  // namespace trainmark

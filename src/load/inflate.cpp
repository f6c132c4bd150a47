// libdeflate wants room for all that comes out of it, which only an attempt tells for certain.
#include "load/inflate.hpp"

#include <fmt/core.h>
#include <libdeflate.h>

#include <algorithm>
#include <memory>
#include <new>

namespace trainmark {
namespace {

struct FreeDecompressor {
  void operator()(libdeflate_decompressor* raw) const { libdeflate_free_decompressor(raw); }
};

constexpr std::size_t trailer = 4;  // the length that a member inflates to, modulo 2^32, ends it

/// Room to begin with: the length that the last member promises, as far as it can be believed of so few bytes.
std::size_t first_room(std::span<const std::byte> coded, std::size_t most) {
  std::size_t promised = 0;
  for (std::size_t i = 0; i < trailer && coded.size() >= trailer; ++i)
    promised |= static_cast<std::size_t>(coded[coded.size() - trailer + i]) << (8 * i);
  constexpr std::size_t least = 4096, usual_ratio = 16;
  return std::min(most, std::clamp(promised, least, std::max(least, usual_ratio * coded.size())));
}

}  // namespace

libdeflate_decompressor* decompressor() {
  thread_local const std::unique_ptr<libdeflate_decompressor, FreeDecompressor> own(libdeflate_alloc_decompressor());
  if (!own) throw std::bad_alloc();
  return own.get();
}

bool looks_like_gzip(std::span<const std::byte> coded) noexcept {
  return coded.size() >= 3 && coded[0] == std::byte{0x1F} && coded[1] == std::byte{0x8B} && coded[2] == std::byte{8};
}

std::string inflate_gzip(std::span<const std::byte> coded, std::size_t most, std::vector<std::byte>& plain) {
  const std::size_t whole = coded.size();
  if (plain.size() < first_room(coded, most)) plain.resize(first_room(coded, most));
  std::size_t done = 0;
  while (!coded.empty()) {
    const std::size_t at = whole - coded.size();
    if (!looks_like_gzip(coded))
      return fmt::format("has {} bytes behind its gzip data, from byte {} on", coded.size(), at);
    std::size_t taken = 0, made = 0;
    const libdeflate_result result =
        libdeflate_gzip_decompress_ex(decompressor(), coded.data(), coded.size(), plain.data() + done,
                                      std::min(plain.size(), most) - done, &taken, &made);
    if (result == LIBDEFLATE_INSUFFICIENT_SPACE) {
      if (plain.size() >= most) return fmt::format("inflates to more than {} MiB", most >> 20);
      plain.resize(std::min(most, 2 * plain.size()));
      continue;
    }
    if (result != LIBDEFLATE_SUCCESS)
      return fmt::format("is damaged or cut short: its gzip data from byte {} on do not inflate, or their CRC differs",
                         at);
    coded = coded.subspan(taken);
    done += made;
  }
  plain.resize(done);
  return "";
}

}  // namespace trainmark

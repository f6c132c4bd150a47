// Rows are mixed first, in 16 bits over all their bytes at once (a loop that vectorises), then pixels along the row. In
// whole numbers, so that every machine gives the same bytes.
#include "load/resize.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

namespace trainmark {
namespace {

/// Two neighbours and the share of the second.
struct Tap {
  std::size_t first = 0, second = 0;
  std::uint32_t share = 0;  // of `one`
};

/// The neighbours of sample `index` of `extent` along an axis: `begin` and `size` of the box in pixels of the image,
/// `least` and `most` the outermost decoded pixels of it, counted from the decoded part's first.
Tap tap_of(int index, int extent, double begin, double size, int reduction, int first, int count, std::uint32_t one) {
  const double place = (begin + (index + 0.5) * size / extent) / reduction - 0.5;
  const double least = std::floor(begin / reduction);
  const double most = std::max(least, std::min(std::ceil((begin + size) / reduction), 1.0 * first + count) - 1.0);
  const double low = std::floor(place);
  Tap tap;
  tap.first = static_cast<std::size_t>(std::clamp(low, least, most) - first);
  tap.second = static_cast<std::size_t>(std::clamp(low + 1.0, least, most) - first);
  tap.share = static_cast<std::uint32_t>(std::lround((place - low) * one));
  return tap;
}

}  // namespace

void resize_bilinear(const DecodedPart& part, const CropBox& box, int extent, std::span<std::byte> to) {
  constexpr std::uint32_t row_one = 256, pixel_one = 32768;  // 255 * both fits 32 bits
  const auto samples = static_cast<std::size_t>(extent);
  TRAINMARK_CHECK(to.size() == samples * samples * 3, "a sample is extent x extent x 3 bytes");
  thread_local std::vector<Tap> columns;
  thread_local std::vector<std::uint16_t> mixed;
  columns.resize(samples);
  for (int i = 0; i < extent; ++i) {
    const int at = box.flip ? extent - 1 - i : i;
    columns[static_cast<std::size_t>(at)] =
        tap_of(i, extent, box.left, box.width, part.reduction, part.left, part.width, pixel_one);
  }
  const std::size_t row_bytes = static_cast<std::size_t>(part.width) * 3;
  mixed.resize(row_bytes);
  const auto* pixels = reinterpret_cast<const std::uint8_t*>(part.rgb.data());
  auto* out = reinterpret_cast<std::uint8_t*>(to.data());
  for (int y = 0; y < extent; ++y) {
    const Tap row = tap_of(y, extent, box.top, box.height, part.reduction, part.top, part.height, row_one);
    const std::uint8_t* upper = pixels + row.first * row_bytes;
    const std::uint8_t* lower = pixels + row.second * row_bytes;
    const auto above = static_cast<std::uint16_t>(row_one - row.share), below = static_cast<std::uint16_t>(row.share);
    std::uint16_t* between = mixed.data();
    for (std::size_t i = 0; i < row_bytes; ++i)
      between[i] = static_cast<std::uint16_t>(upper[i] * above + lower[i] * below);
    for (const Tap& tap : columns) {
      const std::uint16_t* left = between + tap.first * 3;
      const std::uint16_t* right = between + tap.second * 3;
      for (std::size_t c = 0; c < 3; ++c) {
        const std::uint32_t sum = left[c] * (pixel_one - tap.share) + right[c] * tap.share;
        *out++ = static_cast<std::uint8_t>((sum + (1U << 22)) >> 23);
      }
    }
  }
}

}  // namespace trainmark

// JPEGs of every kind that the loader must decode, made in memory with libjpeg from pixels that a test knows.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "load/crop.hpp"

namespace trainmark::testing {

enum class Colour : std::uint8_t { rgb, grey, cmyk, ycck };
struct Coding {
  Colour colour = Colour::rgb;
  int quality = 95;
  int sampling_h = 2, sampling_v = 2;  ///< of the luma: 2, 2 is 4:2:0; 1, 1 is 4:4:4
  bool progressive = false;
  bool adobe_marker = true;  ///< of CMYK: its inks are inverted
};

/// [height][width][3] of a picture with slopes, stripes and edges: smooth to some degree, no two rows or columns alike.
std::vector<std::uint8_t> picture(ImageExtent extent, int detail = 1);

/// `pixels`: [height][width][channels of the colour].
std::vector<std::byte> jpeg_of(std::span<const std::uint8_t> pixels, ImageExtent extent, const Coding& coding = {});

/// All pixels of a JPEG as libjpeg gives them when nobody asks for a part, reduced by 1, 2, 4 or 8: [height][width][3].
std::vector<std::uint8_t> decode_whole(std::span<const std::byte> coded, int reduction = 1);

}  // namespace trainmark::testing

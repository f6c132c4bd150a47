// Pictures whose class can be seen: a shape on a ground, both with a texture, in a colour. Drawn into memory as RGB.
#pragma once

#include <cstdint>
#include <vector>

#include "trainmark/core.hpp"

namespace trainmark::synth {

/// How many classes there can be: 5 textures, 8 hues, 5 periods, 5 shapes.
constexpr int most_classes = 5 * 8 * 5 * 5;

struct Picture {
  int width = 0, height = 0;
  std::vector<std::uint8_t> pixels;  ///< [height][width][3]
};

/// A picture of class `label` of `classes`, `size` pixels along its sides, times 0.75 to 1.5 each. The first five
/// classes differ in their texture (vertical, horizontal and slanted stripes, checks, dots), more in hue, then in the
/// texture's period, then in the shape; what tells no classes apart is random. Neither a flip nor a crop changes the
/// class.
[[nodiscard]] Picture draw_picture(int label, int classes, int size, Rng& random);

}  // namespace trainmark::synth

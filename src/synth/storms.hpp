// Tropical cyclones and atmospheric rivers: what they add to the weather around them, and where their masks are. A mask
// is where a storm's own signal is above a fixed threshold, so that labels follow from the values at and around a
// pixel.
#pragma once

#include <cstdint>
#include <vector>

#include "trainmark/core.hpp"

namespace trainmark::synth {

/// Planes [height][width]; row 0 is the south pole, columns go around the globe eastwards.
struct Storms {
  Storms(int rows, int columns);
  void clear();

  int height, width;
  std::vector<float> depth;        ///< Pa that sea-level pressure is lower
  std::vector<float> warm;         ///< K that the core is warmer
  std::vector<float> wet;          ///< kg/m2 more water vapour
  std::vector<float> rain;         ///< 0 to 1
  std::vector<float> east, north;  ///< m/s of wind
  std::vector<std::uint8_t> labels,
      relaxed;  ///< 0, 1 tropical cyclone, 2 atmospheric river; lower thresholds in relaxed
};

/// Draws the storms of one sample, 0 to 3 cyclones and 1 to 3 rivers. Sizes are shares of the height, but never so
/// small that a pixel or two would be all there is of them.
void draw_storms(Rng& random, Storms& storms);

}  // namespace trainmark::synth

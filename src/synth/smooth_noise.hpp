// Smooth random fields on a globe's grid: normal deviates on coarse grids, interpolated by cubic B-splines and summed
// over octaves. Periodic in columns.
#pragma once

#include <array>
#include <cstddef>
#include <span>
#include <vector>

#include "synth/sampling.hpp"

namespace trainmark::synth {

/// Makes fields of one shape and roughness, again and again. Not thread-safe.
class SmoothNoise {
 public:
  /// `cells` of the coarsest grid from top to bottom; each octave has twice as many and `decay` times the amplitude.
  /// Octaves whose cells would be smaller than three pixels are left out.
  SmoothNoise(int height, int width, int cells, int octaves, float decay);

  /// field[height][width], mean 0, variance about 1. Octaves take consecutive streams from the key's on.
  void make(const Key& key, std::span<float> field);
  static constexpr std::uint32_t most_octaves = 8;

 private:
  struct Taps {
    std::vector<int> first;                     // coarse index of the first of four taps, by pixel
    std::array<std::vector<float>, 4> weights;  // by pixel
  };
  struct Octave {
    int rows = 0, columns = 0;  // of the coarse grid; 3 rows more than cells
    float amplitude = 0.0F;
    Taps down, across;
  };
  static Taps taps_of(int pixels, int cells);
  void add_octave(const Octave& octave, const Key& key, std::span<float> field);

  int width_;
  std::vector<Octave> octaves_;
  std::vector<float> grid_, line_;
};

}  // namespace trainmark::synth

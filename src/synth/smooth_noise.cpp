#include "synth/smooth_noise.hpp"

#include <algorithm>
#include <cmath>

#include "trainmark/core.hpp"

namespace trainmark::synth {

SmoothNoise::SmoothNoise(int height, int width, int cells, int octaves, float decay) : width_(width) {
  TRAINMARK_CHECK(octaves <= static_cast<int>(most_octaves), "streams of octaves");
  float amplitude = 1.0F, squares = 0.0F;
  for (int i = 0; i < octaves && (i == 0 || cells * 3 <= height); ++i, cells *= 2, amplitude *= decay) {
    const int across = std::max(3, (cells * width + height / 2) / height);
    octaves_.push_back({cells + 3, across, amplitude, taps_of(height, cells), taps_of(width, across)});
    squares += amplitude * amplitude;
  }
  // The mean square of a cubic B-spline's four weights is 0.479 along an axis.
  const float norm = 1.0F / (0.479F * std::sqrt(squares));
  for (Octave& octave : octaves_)
    octave.amplitude *= norm;
}

SmoothNoise::Taps SmoothNoise::taps_of(int pixels, int cells) {
  Taps taps;
  taps.first.resize(static_cast<std::size_t>(pixels));
  for (auto& weights : taps.weights)
    weights.resize(static_cast<std::size_t>(pixels));
  for (int i = 0; i < pixels; ++i) {
    const float at = (static_cast<float>(i) + 0.5F) * static_cast<float>(cells) / static_cast<float>(pixels);
    const int cell = std::min(static_cast<int>(at), cells - 1);
    const float t = at - static_cast<float>(cell), s = 1.0F - t;
    const auto pixel = static_cast<std::size_t>(i);
    taps.first[pixel] = cell;
    taps.weights[0][pixel] = s * s * s / 6.0F;
    taps.weights[1][pixel] = (4.0F - 6.0F * t * t + 3.0F * t * t * t) / 6.0F;
    taps.weights[2][pixel] = (4.0F - 6.0F * s * s + 3.0F * s * s * s) / 6.0F;
    taps.weights[3][pixel] = t * t * t / 6.0F;
  }
  return taps;
}

void SmoothNoise::add_octave(const Octave& octave, const Key& key, std::span<float> field) {
  const auto columns = static_cast<std::size_t>(octave.columns), width = static_cast<std::size_t>(width_);
  grid_.resize((static_cast<std::size_t>(octave.rows) * columns + 1) / 2 * 2);
  normals(key, grid_);
  line_.resize(columns + 3);
  for (std::size_t y = 0; y < octave.down.first.size(); ++y) {
    const float* rows = grid_.data() + static_cast<std::size_t>(octave.down.first[y]) * columns;
    for (std::size_t x = 0; x < columns; ++x) {
      float sum = 0.0F;
      for (std::size_t tap = 0; tap < 4; ++tap)
        sum += octave.down.weights[tap][y] * rows[tap * columns + x];
      line_[x] = octave.amplitude * sum;
    }
    std::copy_n(line_.begin(), 3, line_.begin() + static_cast<std::ptrdiff_t>(columns));
    float* to = field.data() + y * width;
    const auto& [w0, w1, w2, w3] = octave.across.weights;
    for (std::size_t x = 0; x < width; ++x) {
      const float* from = line_.data() + octave.across.first[x];
      to[x] += w0[x] * from[0] + w1[x] * from[1] + w2[x] * from[2] + w3[x] * from[3];
    }
  }
}

void SmoothNoise::make(const Key& key, std::span<float> field) {
  std::ranges::fill(field, 0.0F);
  Key own = key;
  for (const Octave& octave : octaves_) {
    add_octave(octave, own, field);
    ++own.stream;
  }
}

}  // namespace trainmark::synth

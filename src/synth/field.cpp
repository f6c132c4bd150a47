#include "synth/field.hpp"

#include <kissfft/kiss_fft.h>
#include <kissfft/kiss_fftr.h>

#include <algorithm>
#include <cmath>

#include "synth/sampling.hpp"
#include "trainmark/core.hpp"
#include "trainmark/synth.hpp"

namespace trainmark::synth {
namespace {

template <class Configuration>
struct Plan {
  using type = Configuration;
  static type null() noexcept { return nullptr; }
  static void release(type plan) noexcept { kiss_fft_free(plan); }
};

/// Streams of one field: the Gaussian field has number 0, the counts of channel j number 1 + j, within 16 for each
/// split.
constexpr std::uint32_t streams = 16;

}  // namespace

struct FieldMaker::Transforms {
  Handle<Plan<kiss_fft_cfg>> complex;
  Handle<Plan<kiss_fftr_cfg>> real;
  std::vector<kiss_fft_cpx> line;
  std::vector<float> row;
};

FieldMaker::FieldMaker(int extent, int unit)
    : extent_(extent), unit_(unit), transforms_(std::make_unique<Transforms>()) {
  TRAINMARK_CHECK(extent > 0 && extent % 2 == 0, "real transforms have an even extent");
  transforms_->complex = Handle<Plan<kiss_fft_cfg>>(kiss_fft_alloc(extent, 1, nullptr, nullptr));
  transforms_->real = Handle<Plan<kiss_fftr_cfg>>(kiss_fftr_alloc(extent, 1, nullptr, nullptr));
  TRAINMARK_CHECK(transforms_->complex && transforms_->real, "no memory for a transform");
  const auto side = static_cast<std::size_t>(extent);
  transforms_->line.resize(side);
  transforms_->row.resize(side);
  field_.resize(side * side * (side + 2));
  amplitude_.resize(3 * (side / 2) * (side / 2) + 1);
}

FieldMaker::~FieldMaker() = default;

/// P(k) = k^-1 (k/5)^(-1.8 + 1.8 tilt) below k = 5, times exp(-(k/kc)^4) with kc = 7 * 2^(1.1 scale): tilt acts on
/// large scales, the cut-off on small ones, so that a network can tell them apart.
void FieldMaker::tabulate(float tilt, float scale) {
  const double cut = 7.0 * std::exp2(1.1 * static_cast<double>(scale));
  for (std::size_t square = 1; square < amplitude_.size(); ++square) {
    // Wave numbers below a sample's fundamental mode exist in a larger universe only; they count like it.
    const double k = std::max(1.0, std::sqrt(static_cast<double>(square)) * unit_ / extent_);
    const double slope = k < 5.0 ? std::pow(k / 5.0, -1.8 + 1.8 * static_cast<double>(tilt)) : 1.0;
    amplitude_[square] = static_cast<float>(std::sqrt(slope / k * std::exp(-std::pow(k / cut, 4.0))));
  }
  amplitude_[0] = 0.0F;
}

void FieldMaker::shape_modes() {
  const int half = extent_ / 2;
  const auto wave = [this, half](int i) { return i <= half ? i : i - extent_; };
  float* mode = field_.data();
  for (int x = 0; x < extent_; ++x) {
    for (int y = 0; y < extent_; ++y) {
      const int plane = wave(x) * wave(x) + wave(y) * wave(y);
      for (int z = 0; z <= half; ++z, mode += 2) {
        const float a = amplitude_[static_cast<std::size_t>(plane + z * z)];
        mode[0] *= a;
        mode[1] *= a;
      }
    }
  }
}

/// In the planes z = 0 and z = E / 2, which are their own mirror images, mode (-x, -y) is the conjugate of (x, y).
void FieldMaker::make_hermitian(std::size_t z) {
  const auto side = static_cast<std::size_t>(extent_);
  const auto mode_at = [&](std::size_t x, std::size_t y) {
    return field_.data() + 2 * ((x * side + y) * (side / 2 + 1) + z);
  };
  for (std::size_t x = 0; x < side; ++x) {
    for (std::size_t y = 0; y < side; ++y) {
      float* mode = mode_at(x, y);
      float* mirrored = mode_at((side - x) % side, (side - y) % side);
      if (mirrored == mode) {
        mode[0] *= 1.41421356F;  // the variance of two components in one
        mode[1] = 0.0F;
      } else if (mode < mirrored) {
        mirrored[0] = mode[0];
        mirrored[1] = -mode[1];
      }
    }
  }
}

/// Transforms lines whose elements are `stride` modes apart; a line begins at each of `columns` neighbours (so that
/// what a cache line holds is used at once), and `jump` modes on again, `lines` times.
void FieldMaker::transform_axis(std::size_t lines, std::size_t stride, std::size_t columns, std::size_t jump) {
  auto* modes = reinterpret_cast<kiss_fft_cpx*>(field_.data());
  std::vector<kiss_fft_cpx>& line = transforms_->line;
  for (std::size_t i = 0; i < lines; ++i) {
    for (std::size_t column = 0; column < columns; ++column) {
      kiss_fft_cpx* first = modes + i * jump + column;
      kiss_fft_stride(transforms_->complex.get(), first, line.data(), static_cast<int>(stride));
      for (std::size_t at = 0; at < line.size(); ++at)
        first[at * stride] = line[at];
    }
  }
}

/// Modes to values, in place: complex transforms along the first two axes, a real one along the last.
void FieldMaker::transform() {
  const auto side = static_cast<std::size_t>(extent_);
  const std::size_t depth = side / 2 + 1;
  transform_axis(side, side * depth, depth, depth);
  transform_axis(side, depth, depth, side * depth);
  const auto* modes = reinterpret_cast<const kiss_fft_cpx*>(field_.data());
  std::vector<float>& row = transforms_->row;
  for (std::size_t i = 0; i < side * side; ++i) {
    // Values are fewer than the modes' floats: a row never reaches modes that are still to be read.
    kiss_fftri(transforms_->real.get(), modes + i * depth, row.data());
    std::copy(row.begin(), row.end(), field_.begin() + static_cast<std::ptrdiff_t>(i * side));
  }
}

void FieldMaker::normalise() {
  const auto side = static_cast<std::size_t>(extent_);
  const std::span<float> values(field_.data(), side * side * side);
  std::array<double, 8> squares{};
  for (std::size_t i = 0; i < values.size(); ++i)
    squares[i % 8] += static_cast<double>(values[i]) * values[i];
  double sum = 0.0;
  for (const double part : squares)
    sum += part;
  const auto norm = static_cast<float>(1.0 / std::sqrt(sum / static_cast<double>(values.size())));
  for (float& value : values)
    value *= norm;
}

void FieldMaker::gaussian(float tilt, float scale, std::uint64_t seed, std::uint32_t stream, std::uint64_t index) {
  tabulate(tilt, scale);
  normals({seed, stream * streams, index}, field_);
  shape_modes();
  make_hermitian(0);
  make_hermitian(static_cast<std::size_t>(extent_) / 2);
  transform();
  normalise();
}

void FieldMaker::make(const std::array<float, 4>& parameters, std::uint64_t seed, std::uint32_t stream,
                      std::uint64_t index, std::span<std::int16_t> counts) {
  const auto [amplitude, tilt, scale, growth] = parameters;
  const auto side = static_cast<std::size_t>(extent_);
  const std::span<const float> values(field_.data(), side * side * side);
  TRAINMARK_CHECK(counts.size() == 4 * values.size(), "four channels a voxel");
  gaussian(tilt, scale, seed, stream, index);
  double sigma = 1.4 * std::exp2(0.8 * static_cast<double>(amplitude));
  for (std::uint32_t channel = 0; channel < 4; ++channel) {
    const auto width = static_cast<float>(sigma);
    const auto norm = static_cast<float>(static_cast<double>(values.size()) / sum_of_exponentials(values, width));
    poisson_counts({seed, stream * streams + 1 + channel, index}, values, width, norm, counts.subspan(channel), 4);
    sigma *= 0.75 + 0.2 * static_cast<double>(growth);
  }
}

}  // namespace trainmark::synth

namespace trainmark {

void cosmoflow_field(int extent, const std::array<float, 4>& parameters, std::uint64_t seed, std::uint64_t index,
                     std::span<std::int16_t> counts) {
  synth::FieldMaker(extent, extent).make(parameters, seed, 0, index, counts);
}

}  // namespace trainmark

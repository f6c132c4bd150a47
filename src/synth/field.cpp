#include "synth/field.hpp"

#include <kissfft/kiss_fftnd.h>

#include <cmath>

#include "synth/sampling.hpp"
#include "trainmark/core.hpp"
#include "trainmark/synth.hpp"

namespace trainmark::synth {
namespace {

struct Plan {
  using type = kiss_fftnd_cfg;
  static type null() noexcept { return nullptr; }
  static void release(type plan) noexcept { kiss_fft_free(plan); }
};

/// Streams of one field: the Gaussian field has number 0, the counts of channel j number 1 + j, within 16 for each
/// split.
constexpr std::uint32_t streams = 16;

}  // namespace

struct FieldMaker::Transform {
  Handle<Plan> inverse;
  std::vector<kiss_fft_cpx> modes;  // [E][E][E], transformed in place
};

FieldMaker::FieldMaker(int extent, int unit) : extent_(extent), unit_(unit), transform_(std::make_unique<Transform>()) {
  const std::array<int, 3> dims = {extent, extent, extent};
  transform_->inverse = Handle<Plan>(kiss_fftnd_alloc(dims.data(), 3, 1, nullptr, nullptr));
  TRAINMARK_CHECK(transform_->inverse, "no memory for a transform");
  const auto side = static_cast<std::size_t>(extent);
  transform_->modes.resize(side * side * side);
  delta_.resize(side * side * side);
  mean_.resize(delta_.size());
  nothing_.resize(delta_.size());
  amplitude_.resize(3 * (side / 2) * (side / 2) + 1);
}

FieldMaker::~FieldMaker() = default;

/// P(k) = k^-1 (k/5)^(-1.8 + 1.8 tilt) below k = 5, times exp(-(k/kc)^4) with kc = 7 * 2^(1.1 scale): tilt acts on
/// large scales, the cut-off on small ones, so that a network can tell them apart.
void FieldMaker::gaussian(float tilt, float scale, std::uint64_t seed, std::uint32_t stream, std::uint64_t index) {
  const double cut = 7.0 * std::exp2(1.1 * static_cast<double>(scale));
  for (std::size_t square = 1; square < amplitude_.size(); ++square) {
    // Wave numbers below a sample's fundamental mode exist in a larger universe only; they count like it.
    const double k = std::max(1.0, std::sqrt(static_cast<double>(square)) * unit_ / extent_);
    const double slope = k < 5.0 ? std::pow(k / 5.0, -1.8 + 1.8 * static_cast<double>(tilt)) : 1.0;
    amplitude_[square] = static_cast<float>(std::sqrt(slope / k * std::exp(-std::pow(k / cut, 4.0))));
  }
  auto* modes = transform_->modes.data();
  normals({seed, stream * streams, index}, {reinterpret_cast<float*>(modes), 2 * transform_->modes.size()});
  const int half = extent_ / 2;
  const auto wave = [this, half](int i) { return i <= half ? i : i - extent_; };
  for (int x = 0; x < extent_; ++x) {
    for (int y = 0; y < extent_; ++y) {
      const int plane = wave(x) * wave(x) + wave(y) * wave(y);
      kiss_fft_cpx* row = modes + static_cast<std::size_t>(x * extent_ + y) * static_cast<std::size_t>(extent_);
      for (int z = 0; z < extent_; ++z) {
        const float a = amplitude_[static_cast<std::size_t>(plane + wave(z) * wave(z))];
        row[z].r *= a;
        row[z].i *= a;
      }
    }
  }
  modes[0] = {0.0F, 0.0F};
  // Modes without the symmetry of a real field give two real fields at once; the first is enough.
  kiss_fftnd(transform_->inverse.get(), modes, modes);
  double squares = 0.0;
  for (std::size_t i = 0; i < delta_.size(); ++i) {
    delta_[i] = modes[i].r;
    squares += static_cast<double>(delta_[i]) * delta_[i];
  }
  const auto norm = static_cast<float>(1.0 / std::sqrt(squares / static_cast<double>(delta_.size())));
  for (float& value : delta_)
    value *= norm;
}

void FieldMaker::poisson(float sigma, int channel, std::uint64_t seed, std::uint32_t stream, std::uint64_t index,
                         std::span<std::int16_t> counts) {
  const double sum = scaled_exponentials(delta_, sigma, mean_);
  const auto norm = static_cast<float>(static_cast<double>(mean_.size()) / sum);
  for (float& mean : mean_)
    mean *= norm;
  scaled_exponentials(mean_, -1.0F, nothing_);
  poisson_counts({seed, stream * streams + 1 + static_cast<std::uint32_t>(channel), index}, mean_, nothing_,
                 counts.subspan(static_cast<std::size_t>(channel)), 4);
}

void FieldMaker::make(const std::array<float, 4>& parameters, std::uint64_t seed, std::uint32_t stream,
                      std::uint64_t index, std::span<std::int16_t> counts) {
  const auto [amplitude, tilt, scale, growth] = parameters;
  TRAINMARK_CHECK(counts.size() == 4 * delta_.size(), "four channels a voxel");
  gaussian(tilt, scale, seed, stream, index);
  double sigma = 1.4 * std::exp2(0.8 * static_cast<double>(amplitude));
  for (int channel = 0; channel < 4; ++channel) {
    poisson(static_cast<float>(sigma), channel, seed, stream, index, counts);
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

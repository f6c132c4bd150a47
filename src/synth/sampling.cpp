#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "synth/sampling.cpp"
// clang-format off
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
// clang-format on

#include "synth/sampling.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>

#include "trainmark/core.hpp"

// Compiled once for each instruction set and chosen at run time; mostly plain loops, which compilers vectorise. Without
// contraction to FMA (see CMake) their bits are the same in all of them.
HWY_BEFORE_NAMESPACE();
namespace trainmark::synth::HWY_NAMESPACE {
/// 2^k by exponent bits times a polynomial for the rest (Cephes' coefficients for expf).
inline float exponential(float x) {
  const float scaled = std::min(std::max(x, -87.0F), 87.0F) * 1.44269504F;
  // Adding and subtracting 1.5 * 2^23 rounds to an integer without a library call.
  const float shifted = scaled + 12582912.0F;
  const float k = shifted - 12582912.0F;
  const float r = (scaled - k) * 0.693147181F;
  float p = 1.9875691500e-4F;
  p = p * r + 1.3981999507e-3F;
  p = p * r + 8.3334519073e-3F;
  p = p * r + 4.1665795894e-2F;
  p = p * r + 1.6666665459e-1F;
  p = p * r + 5.0000001201e-1F;
  p = p * r * r + r + 1.0F;
  const auto exponent = static_cast<std::uint32_t>(static_cast<std::int32_t>(k) + 127) << 23;
  return p * std::bit_cast<float>(exponent);
}

/// log(x) for x in (0, 1], by the area hyperbolic tangent's series around 1.
inline float logarithm(float x) {
  const auto bits = std::bit_cast<std::uint32_t>(x);
  const auto exponent = static_cast<std::int32_t>(bits - 0x3F3504F3U) >> 23;  // mantissa in [sqrt(1/2), sqrt(2))
  const float m = std::bit_cast<float>(bits - (static_cast<std::uint32_t>(exponent) << 23));
  const float s = (m - 1.0F) / (m + 1.0F);
  const float q = s * s;
  const float series = 2.0F * s * (1.0F + q * (1.0F / 3 + q * (1.0F / 5 + q * (1.0F / 7 + q * (1.0F / 9)))));
  return static_cast<float>(exponent) * 0.693147181F + series;
}

/// sin(2 pi t) for t in [-1/2, 1/2].
inline float sine(float t) {
  t = t > 0.25F ? 0.5F - t : t;
  t = t < -0.25F ? -0.5F - t : t;
  const float x = t * 6.28318531F;
  const float q = x * x;
  return x * (1.0F - q / 6 * (1.0F - q / 20 * (1.0F - q / 42 * (1.0F - q / 72 * (1.0F - q / 110)))));
}

/// philox of core.hpp, a lane a counter.
void fill(std::uint64_t seed, std::uint32_t stream, std::uint64_t index, std::uint32_t first, Words& words) {
  auto& [c0, c1, c2, c3] = words;
  for (std::size_t i = 0; i < batch; ++i) {
    c0[i] = first + static_cast<std::uint32_t>(i);
    c1[i] = stream;
    c2[i] = static_cast<std::uint32_t>(index);
    c3[i] = static_cast<std::uint32_t>(index >> 32);
  }
  auto k0 = static_cast<std::uint32_t>(seed);
  auto k1 = static_cast<std::uint32_t>(seed >> 32);
  for (int round = 0; round < 10; ++round) {
    for (std::size_t i = 0; i < batch; ++i) {
      const std::uint64_t p0 = std::uint64_t{0xD2511F53} * c0[i];
      const std::uint64_t p1 = std::uint64_t{0xCD9E8D57} * c2[i];
      c0[i] = static_cast<std::uint32_t>(p1 >> 32) ^ c1[i] ^ k0;
      c2[i] = static_cast<std::uint32_t>(p0 >> 32) ^ c3[i] ^ k1;
      c1[i] = static_cast<std::uint32_t>(p1);
      c3[i] = static_cast<std::uint32_t>(p0);
    }
    k0 += 0x9E3779B9;
    k1 += 0xBB67AE85;
  }
}

void exponentials(const float* x, float scale, float* result, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i)
    result[i] = exponential(scale * x[i]);
}

/// The 4 * batch normal deviates of one batch of counters: each counter gives two pairs of uniforms.
void normals_of(const Words& words, float* result) {
  for (std::size_t pair = 0; pair < 2; ++pair) {
    const auto& first = words[2 * pair];
    const auto& second = words[2 * pair + 1];
    for (std::size_t i = 0; i < batch; ++i) {
      const float u = static_cast<float>(static_cast<std::int32_t>(first[i] >> 8) + 1) * 0x1p-24F;  // (0, 1]
      const float t = static_cast<float>(static_cast<std::int32_t>(second[i] >> 8)) * 0x1p-24F - 0.5F;
      const float r = std::sqrt(std::max(0.0F, -2.0F * logarithm(u)));
      result[2 * pair * batch + i] = r * sine(t);
      result[(2 * pair + 1) * batch + i] = r * sine(t > 0.25F ? t - 0.75F : t + 0.25F);
    }
  }
}

/// Counts by inversion: a sequential search, a voxel a lane; a lane that has its count waits for the others. The search
/// also ends where a count's probability is below what 24 bits of u resolve: the sum of rounded probabilities may stay
/// below u for ever. Voxels with a mean of `large` or more get no count here.
void small_counts(const std::uint32_t* words, const float* mean, std::int32_t* counts) {
  namespace hn = hwy::HWY_NAMESPACE;
  const hn::ScalableTag<float> floats;
  const hn::RebindToSigned<decltype(floats)> integers;
  const auto resolved = hn::Set(floats, 0x1p-25F);
  std::array<float, batch> start;
  for (std::size_t i = 0; i < batch; ++i)
    start[i] = mean[i] < large ? exponential(-mean[i]) : 2.0F;
  for (std::size_t at = 0; at < batch; at += hn::Lanes(floats)) {
    const auto lambda = hn::LoadU(floats, mean + at);
    const auto word = hn::LoadU(integers, reinterpret_cast<const std::int32_t*>(words) + at);
    const auto upper = hn::And(hn::ShiftRight<8>(word), hn::Set(integers, 0xFFFFFF));
    auto u = hn::Mul(hn::ConvertTo(floats, upper), hn::Set(floats, 0x1p-24F));
    auto p = hn::LoadU(floats, start.data() + at);
    auto count = hn::Zero(integers);
    for (int k = 1;; ++k) {
      const auto more = hn::And(hn::Gt(u, p), hn::Gt(p, resolved));
      if (hn::AllFalse(floats, more)) break;
      u = hn::IfThenElse(more, hn::Sub(u, p), u);
      p = hn::IfThenElse(more, hn::Mul(p, hn::Mul(lambda, hn::Set(floats, 1.0F / static_cast<float>(k)))), p);
      count = hn::Sub(count, hn::VecFromMask(integers, hn::RebindMask(integers, more)));
    }
    hn::StoreU(count, integers, counts + at);
  }
}

}  // namespace trainmark::synth::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace trainmark::synth {
namespace {

HWY_EXPORT(fill);
HWY_EXPORT(exponentials);
HWY_EXPORT(normals_of);
HWY_EXPORT(small_counts);

void fill_words(const Key& key, std::size_t first, Words& words) {
  const std::uint64_t seed =
      key.seed ^ (std::uint64_t{0x9E3779B97F4A7C15} * static_cast<std::uint32_t>(Purpose::synthesise));
  HWY_DYNAMIC_DISPATCH(fill)(seed, key.stream, key.index, static_cast<std::uint32_t>(first), words);
}

}  // namespace

double sum_of_exponentials(std::span<const float> x, float scale) {
  std::array<float, batch> values;
  std::array<double, 8> sums{};  // in a fixed order, whatever the vectors' width
  for (std::size_t at = 0; at < x.size(); at += batch) {
    const std::size_t count = std::min(batch, x.size() - at);
    exponentials(x.subspan(at, count), scale, values);
    for (std::size_t i = 0; i < count; ++i)
      sums[i % 8] += static_cast<double>(values[i]);
  }
  double sum = 0.0;
  for (const double part : sums)
    sum += part;
  return sum;
}

void exponentials(std::span<const float> x, float scale, std::span<float> result) {
  HWY_DYNAMIC_DISPATCH(exponentials)(x.data(), scale, result.data(), x.size());
}

void normals(const Key& key, std::span<float> result) {
  Words words;
  std::array<float, 4 * batch> deviates;
  for (std::size_t at = 0; at < result.size(); at += 4 * batch) {
    fill_words(key, at / 4, words);
    HWY_DYNAMIC_DISPATCH(normals_of)(words, deviates.data());
    std::copy_n(deviates.begin(), std::min(deviates.size(), result.size() - at),
                result.begin() + static_cast<std::ptrdiff_t>(at));
  }
}

void poisson_counts(const Key& key, std::span<const float> x, float scale, float norm, std::span<std::int16_t> counts,
                    std::size_t stride) {
  Words words;
  std::array<float, batch> mean{};
  std::array<std::int32_t, batch> small;
  for (std::size_t at = 0; at < x.size(); at += batch) {
    const std::size_t part = at / batch % 4;
    if (part == 0) fill_words(key, at / 4, words);
    const std::size_t here = std::min(batch, x.size() - at);
    exponentials(x.subspan(at, here), scale, mean);
    for (float& each : mean)
      each *= norm;
    HWY_DYNAMIC_DISPATCH(small_counts)(words[part].data(), mean.data(), small.data());
    for (std::size_t i = 0; i < here; ++i) {
      std::int64_t value = small[i];
      if (mean[i] >= large) {
        // Rare: an exact sampler with a stream of its own.
        const std::uint64_t seed = key.seed + (at + i) * 0x9E3779B97F4A7C15ULL;
        value = Rng(seed, Purpose::synthesise, key.index, key.stream ^ 0x80000000U).poisson(mean[i]);
      }
      counts[(at + i) * stride] = static_cast<std::int16_t>(std::min<std::int64_t>(value, 32767));
    }
  }
}

}  // namespace trainmark::synth
#endif

// Arithmetic of our own that every backend computes alike, as functions that host and device compilers both take.
#pragma once

#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <span>

#include "trainmark/core.hpp"
#include "trainmark/nn.hpp"

namespace trainmark {

/// The random words of four neighbouring units of a dropout layer, `quad` being the first one's number / 4: a function
/// of (seed, epoch, sample, layer, unit), so that masks do not depend on how samples are spread over ranks.
constexpr std::array<std::uint32_t, 4> dropout_words(const Dropout& dropout, std::int64_t epoch, std::int64_t sample,
                                                     std::int64_t quad) {
  const auto id = static_cast<std::uint64_t>(sample);
  const std::uint64_t key =
      dropout.seed ^ (std::uint64_t{0x9E3779B97F4A7C15} * static_cast<std::uint32_t>(Purpose::dropout));
  return philox(key, {static_cast<std::uint32_t>(quad), dropout.layer ^ static_cast<std::uint32_t>(epoch) << 8,
                      static_cast<std::uint32_t>(id), static_cast<std::uint32_t>(id >> 32)});
}
/// Whether the layer keeps a unit whose word this is.
constexpr bool dropout_keeps(const Dropout& dropout, std::uint32_t word) { return unit_float(word) >= dropout.rate; }
constexpr bool dropout_keeps(const Dropout& dropout, std::int64_t epoch, std::int64_t sample, std::int64_t unit) {
  const auto words = dropout_words(dropout, epoch, sample, unit / 4);
  // Chosen, not indexed: what is indexed at run time has to leave a device's registers.
  const std::uint32_t even = unit % 4 < 2 ? words[0] : words[2];
  const std::uint32_t odd = unit % 4 < 2 ? words[1] : words[3];
  return dropout_keeps(dropout, unit % 2 == 0 ? even : odd);
}

/// The curves of Activation, and their derivatives by their own output `dst`.
constexpr float leaky_relu(float src, float slope) { return src > 0.0F ? src : src * slope; }
constexpr float leaky_relu_backward(float dst, float diff_dst, float slope) {
  return dst > 0.0F ? diff_dst : diff_dst * slope;
}
constexpr float scaled_tanh(float src, float scale) { return scale * std::tanh(src); }
constexpr float scaled_tanh_backward(float dst, float diff_dst, float scale) {
  const float t = dst / scale;  // tanh(src)
  return diff_dst * scale * (1.0F - t * t);
}

/// What batch norm makes of a channel's sums over `count` values.
struct ChannelMoments {
  float mean = 0.0F;
  float inverse = 1.0F;  ///< 1 / sqrt(variance + epsilon)
  double variance = 0.0;
};
constexpr ChannelMoments moments_of_channel(const Norm& norm, double count, double sum, double squares) {
  const double mean = sum / count;
  const double spread = squares / count - mean * mean;
  const double variance = spread > 0.0 ? spread : 0.0;  // rounding may take it below
  return {static_cast<float>(mean), static_cast<float>(1.0 / std::sqrt(variance + norm.epsilon)), variance};
}
/// Sums about `centre`, as they were added up, to sums about 0.
constexpr void uncentre(double count, double centre, double& sum, double& squares) {
  squares += 2.0 * centre * sum + count * centre * centre;
  sum += count * centre;
}
constexpr void move_statistics(const Norm& norm, double count, const ChannelMoments& moments, float& mean,
                               float& variance) {
  const double unbiased = moments.variance * (count / (count > 1.0 ? count - 1.0 : 1.0));
  mean += norm.momentum * (moments.mean - mean);
  variance += norm.momentum * (static_cast<float>(unbiased) - variance);
}

/// Mean over classes of the positions in both sets over those in either; 1 for a class that is in none.
constexpr double mean_iou_of(std::span<const std::int64_t> both, std::span<const std::int64_t> either) {
  double sum = 0.0;
  for (std::size_t at = 0; at < both.size(); ++at)
    sum += either[at] == 0 ? 1.0 : static_cast<double>(both[at]) / static_cast<double>(either[at]);
  return sum / static_cast<double>(both.size());
}

/// What preprocessing makes of a count: log(1 + count).
constexpr float log1p_of(float count) { return std::log1p(count); }

/// bf16 is the upper half of an fp32; rounded to nearest even.
constexpr std::uint16_t to_bf16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  if ((bits & 0x7FFFFFFFU) > 0x7F800000U) return static_cast<std::uint16_t>((bits >> 16) | 0x40U);  // stay NaN
  return static_cast<std::uint16_t>((bits + 0x7FFFU + ((bits >> 16) & 1U)) >> 16);
}
constexpr float from_bf16(std::uint16_t half) { return std::bit_cast<float>(static_cast<std::uint32_t>(half) << 16); }

/// IEEE half precision, rounded to nearest even; from 65520 on infinite, below 2^-14 subnormal.
constexpr std::uint16_t to_f16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const auto sign = static_cast<std::uint16_t>(bits >> 16 & 0x8000U);
  const std::uint32_t magnitude = bits & 0x7FFFFFFFU;
  if (magnitude > 0x7F800000U) return static_cast<std::uint16_t>(sign | 0x7E00U);
  if (magnitude >= 0x47800000U) return static_cast<std::uint16_t>(sign | 0x7C00U);
  if (magnitude < 0x38800000U) {
    // Adding one half moves the subnormal's bits to the end of the mantissa, where the addition rounds them.
    const auto shifted = std::bit_cast<std::uint32_t>(std::bit_cast<float>(magnitude) + 0.5F);
    return static_cast<std::uint16_t>(sign | (shifted - 0x3F000000U));
  }
  const std::uint32_t rounded = magnitude - (112U << 23) + 0xFFFU + (magnitude >> 13 & 1U);
  return static_cast<std::uint16_t>(sign | rounded >> 13);
}
constexpr float from_f16(std::uint16_t half) {
  const std::uint32_t sign = static_cast<std::uint32_t>(half & 0x8000U) << 16;
  const std::uint32_t exponent = half >> 10 & 0x1FU;
  const std::uint32_t mantissa = half & 0x3FFU;
  if (exponent == 0) {
    const float magnitude = static_cast<float>(mantissa) * 0x1p-24F;
    return std::bit_cast<float>(sign | std::bit_cast<std::uint32_t>(magnitude));
  }
  if (exponent == 31) return std::bit_cast<float>(sign | 0x7F800000U | mantissa << 13);
  return std::bit_cast<float>(sign | (exponent + 112U) << 23 | mantissa << 13);
}

/// A volume's or image's axes as N, D, H, W, C; missing spatial axes are 1.
struct Extents {
  std::int64_t n = 1, d = 1, h = 1, w = 1, c = 1;
};
[[nodiscard]] inline Extents extents_of(const Shape& shape) {
  Extents extents;
  const std::size_t rank = shape.rank();
  extents.n = shape[0];
  extents.c = rank > 1 ? shape[1] : 1;
  if (rank > 2) extents.w = shape[rank - 1];
  if (rank > 3) extents.h = shape[rank - 2];
  if (rank > 4) extents.d = shape[rank - 3];
  return extents;
}

}  // namespace trainmark

// Random numbers in bulk, and the elementary functions they need, in arithmetic that compilers vectorise and that gives
// the same bits everywhere.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace trainmark::synth {

/// result = exp(scale * x), relative error below 5e-6 for arguments in [-87, 87]; returns its sum. May be in place.
double scaled_exponentials(std::span<const float> x, float scale, std::span<float> result);

/// What keys a stream of random words: position within it is the only other input.
struct Key {
  std::uint64_t seed = 0;
  std::uint32_t stream = 0;
  std::uint64_t index = 0;
};
inline constexpr std::size_t batch = 256;  // counters whose words are made together
/// Words of `batch` consecutive counters: words[j][i] is word j of counter first + i.
using Words = std::array<std::array<std::uint32_t, batch>, 4>;

/// Normal deviates (Box-Muller), mean 0 and variance 1. Size must be even.
void normals(const Key& key, std::span<float> result);

/// counts[i * stride] ~ Poisson(mean[i]), at most 32767. `nothing` is exp(-mean).
void poisson_counts(const Key& key, std::span<const float> mean, std::span<const float> nothing,
                    std::span<std::int16_t> counts, std::size_t stride);

}  // namespace trainmark::synth

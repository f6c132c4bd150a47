// Random numbers in bulk, and the elementary functions they need, in arithmetic that compilers vectorise and that gives
// the same bits everywhere.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace trainmark::synth {

/// result = exp(scale * x), relative error below 5e-6 for arguments in [-87, 87].
void exponentials(std::span<const float> x, float scale, std::span<float> result);
/// Their sum, in an order that depends on nothing but the size.
[[nodiscard]] double sum_of_exponentials(std::span<const float> x, float scale);

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

/// counts[i * stride] ~ Poisson(norm * exp(scale * x[i])), at most 32767. Means from `large` on take the C library's
/// logarithms (Rng::poisson): only there can another library change a count, and then hardly ever.
void poisson_counts(const Key& key, std::span<const float> x, float scale, float norm, std::span<std::int16_t> counts,
                    std::size_t stride);
inline constexpr float large = 12.0F;

}  // namespace trainmark::synth

// Samplers over a counter-based generator; results do not depend on the standard library.
#include <cmath>
#include <numbers>

#include "trainmark/core.hpp"

namespace trainmark {

Rng::Rng(std::uint64_t seed, Purpose purpose, std::uint64_t a, std::uint32_t b) noexcept
    // The key holds (seed, purpose), the counter (position, b, a): streams of different keys never overlap.
    : seed_(seed ^ (std::uint64_t{0x9E3779B97F4A7C15} * static_cast<std::uint32_t>(purpose))),
      counter_{0, b, static_cast<std::uint32_t>(a), static_cast<std::uint32_t>(a >> 32)} {}

std::uint32_t Rng::bits() noexcept {
  if (used_ == 4) {
    block_ = philox(seed_, counter_);
    ++counter_[0];
    used_ = 0;
  }
  return block_[static_cast<std::size_t>(used_++)];
}

double Rng::uniform() noexcept {
  const std::uint64_t high = bits();
  const std::uint64_t word = (high << 32) | bits();
  return static_cast<double>(word >> 11) * 0x1p-53;
}

double Rng::normal() noexcept {
  const double radius = std::sqrt(-2.0 * std::log(1.0 - uniform()));
  return radius * std::cos(2.0 * std::numbers::pi * uniform());
}

std::uint64_t Rng::below(std::uint64_t bound) noexcept {
  // Rejects the incomplete last run of residues.
  const std::uint64_t limit = ~std::uint64_t{0} - ~std::uint64_t{0} % bound;
  for (;;) {
    const std::uint64_t high = bits();
    const std::uint64_t word = (high << 32) | bits();
    if (word < limit) return word % bound;
  }
}

std::int64_t Rng::poisson(double mean) noexcept {
  if (mean <= 0.0) return 0;
  if (mean < 10.0) {  // product of uniforms (Knuth)
    const double limit = std::exp(-mean);
    std::int64_t count = 0;
    for (double product = uniform(); product > limit; product *= uniform())
      ++count;
    return count;
  }
  // PTRS: transformed rejection with squeeze (Hoermann 1993).
  const double b = 0.931 + 2.53 * std::sqrt(mean);
  const double a = -0.059 + 0.02483 * b;
  const double inverse_alpha = 1.1239 + 1.1328 / (b - 3.4);
  const double v_r = 0.9277 - 3.6224 / (b - 2.0);
  for (;;) {
    const double u = uniform() - 0.5;
    const double v = uniform();
    const double us = 0.5 - std::fabs(u);
    const double k = std::floor((2.0 * a / us + b) * u + mean + 0.43);
    if (us >= 0.07 && v <= v_r) return static_cast<std::int64_t>(k);
    if (k < 0.0 || (us < 0.013 && v > us)) continue;
    if (std::log(v) + std::log(inverse_alpha) - std::log(a / (us * us) + b) <=
        k * std::log(mean) - mean - std::lgamma(k + 1.0)) {
      return static_cast<std::int64_t>(k);
    }
  }
}

}  // namespace trainmark

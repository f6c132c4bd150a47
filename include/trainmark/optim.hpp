// Optimizer update rules, the dynamic loss scale and learning-rate schedules as pure functions. No memory, no device,
// no epoch loop.
#pragma once

#include <bit>
#include <cstdint>
#include <variant>
#include <vector>

namespace trainmark {

/// Keras SGD with momentum, the rate inside the velocity: v <- m v - rate (g + decay w); w <- w + v.
/// (PyTorch keeps the rate outside; the two differ as soon as the rate changes.)
struct SgdMomentum {
  float momentum = 0.9F;
  bool operator==(const SgdMomentum&) const = default;
};
using Rule = std::variant<SgdMomentum>;

/// Number of optimizer slots (arrays of the parameters' size) that a rule keeps.
[[nodiscard]] constexpr int slots_of(const Rule& rule) {
  return std::visit([](const SgdMomentum&) { return 1; }, rule);
}

/// One element's update, in fp32. Host and device.
constexpr void update(const SgdMomentum& rule, float rate, float decay, float gradient, float& velocity,
                      float& weight) {
  velocity = rule.momentum * velocity - rate * (gradient + decay * weight);
  weight += velocity;
}

/// How a dynamic loss scale moves. All factors are powers of two, so that scaling and unscaling round nothing.
struct LossScaling {
  float initial = 65536.0F;
  float growth = 2.0F;
  float backoff = 0.5F;
  std::int32_t interval = 2000;  ///< good steps in a row before the scale grows
  float minimum = 1.0F;          ///< gradients that overflow even here are no matter of scale
  float maximum = 16777216.0F;   ///< 2^24
  bool operator==(const LossScaling&) const = default;
};

/// The loss scale as it lies in device memory; only nodes of the step change it.
struct LossScale {
  float scale = 1.0F;
  std::int32_t found_inf = 0;         ///< a gradient of this step was not finite: no update may happen
  std::int32_t good_steps = 0;        ///< since the scale last changed
  std::int32_t skipped_in_a_row = 0;  ///< updates left out since the last that was not
  std::int64_t skipped = 0;           ///< updates left out so far
  bool operator==(const LossScale&) const = default;
};

/// Neither infinite nor a NaN. Host and device, and unlike std::isfinite not for a compiler to assume away.
[[nodiscard]] constexpr bool is_finite(float value) {
  return (std::bit_cast<std::uint32_t>(value) & 0x7F800000U) != 0x7F800000U;
}

/// What a step's end makes of the scale: a skipped step backs off, `interval` good ones in a row let it grow. Clears
/// found_inf. Host and device.
constexpr void adjust(const LossScaling& rule, LossScale& state) {
  if (state.found_inf != 0) {
    const float lower = state.scale * rule.backoff;
    state.scale = lower > rule.minimum ? lower : rule.minimum;
    state.good_steps = 0;
    ++state.skipped_in_a_row;
    ++state.skipped;
  } else {
    state.skipped_in_a_row = 0;
    if (++state.good_steps >= rule.interval) {
      const float higher = state.scale * rule.growth;
      state.scale = higher < rule.maximum ? higher : rule.maximum;
      state.good_steps = 0;
    }
  }
  state.found_inf = 0;
}

/// Whether scaling has given up hope: it has gone down as far as it may, and nothing but skipped steps came of it.
[[nodiscard]] constexpr bool is_hopeless(const LossScaling& rule, const LossScale& state, std::int32_t patience) {
  return state.scale <= rule.minimum && state.skipped_in_a_row >= patience;
}

/// Piecewise constant per epoch (CosmoFlow). `epoch` is 0-based.
/// Warm-up: epoch < warmup_epochs: base + epoch (peak - base) / warmup_epochs, so epoch 0 runs at `base_rate`.
/// Decay: peak times the factor of the largest boundary strictly below the epoch; factors are absolute, not cumulative.
struct PiecewiseSchedule {
  struct Decay {
    int epoch = 0;
    double factor = 1.0;
    bool operator==(const Decay&) const = default;
  };
  double base_rate = 0.001;
  double peak_rate = 0.001;
  int warmup_epochs = 4;
  std::vector<Decay> decay = {{32, 0.25}, {64, 0.125}};
  bool operator==(const PiecewiseSchedule&) const = default;
};
using Schedule = std::variant<PiecewiseSchedule>;

[[nodiscard]] double rate_at(const Schedule& schedule, int epoch);
[[nodiscard]] double peak_rate_of(const Schedule& schedule);

}  // namespace trainmark

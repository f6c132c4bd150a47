// Optimizer update rules and learning-rate schedules as pure functions. No memory, no device, no epoch loop.
#pragma once

#include <variant>
#include <vector>

namespace trainmark {

/// Keras SGD with momentum, the rate inside the velocity: v <- m v - rate (g + decay w); w <- w + v.
/// (PyTorch keeps the rate outside; the two differ as soon as the rate changes.)
struct SgdMomentum {
  float momentum = 0.9F;
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
};
using Schedule = std::variant<PiecewiseSchedule>;

[[nodiscard]] double rate_at(const Schedule& schedule, int epoch);

}  // namespace trainmark

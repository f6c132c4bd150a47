// Optimizer update rules, the dynamic loss scale and learning-rate schedules as pure functions. No memory, no device,
// no epoch loop.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <string_view>
#include <variant>
#include <vector>

#include "trainmark/core.hpp"

namespace trainmark {

/// Keras SGD with momentum, the rate inside the velocity: v <- m v - rate (g + decay w); w <- w + v.
/// (PyTorch keeps the rate outside; the two differ as soon as the rate changes.)
struct SgdMomentum {
  float momentum = 0.9F;
  float weight_decay = 0.0F;  ///< of the tensors that a model lets decay
  /// Multiplies m by rate / rate of the update before, as MXNet does: what the velocity holds follows the rate.
  bool momentum_correction = false;
  bool operator==(const SgdMomentum&) const = default;
};
/// Adam, with decay in the gradient (L2), or decoupled from it (AdamW). Bias-corrected; PyTorch's forms.
struct Adam {
  float beta1 = 0.9F, beta2 = 0.999F, epsilon = 1e-6F;
  float weight_decay = 0.0F;  ///< of the tensors that a model lets decay
  bool decoupled = false;
  bool operator==(const Adam&) const = default;
};
/// LAMB (NVIDIA's fused form): gradients clipped by their norm over all tensors, moments and decoupled decay as in
/// AdamW, then the step of each tensor that decays scaled to the tensor's own norm, without bounds.
struct Lamb {
  float beta1 = 0.9F, beta2 = 0.999F, epsilon = 1e-6F;
  float weight_decay = 0.01F;
  float largest_norm = 1.0F;  ///< of the gradients of all tensors together
  bool operator==(const Lamb&) const = default;
};
/// What LARS weighs a tensor's gradient against. `reference` (TF2): its decay. `premultiplied` (MXNet): its decay times
/// the schedule's peak rate; and a gradient of zero does not switch the scaling off.
enum class LarsForm : std::uint8_t { reference, premultiplied };
template <>
struct Words<LarsForm> {
  static constexpr std::array<std::string_view, 2> all = {"reference", "premultiplied"};
};
/// LARS: SGD with momentum, the rate of each tensor that a model trusts scaled by the tensor's own
/// trust = eta |w| / (|g| + W |w| + epsilon), where |g| is of the gradient without decay. v <- m v - trust rate (g +
/// decay w); w <- w + v. MXNet warms decay and rate up side by side, from `decay * peak` and from `peak`: the decay
/// that it takes off is always decay * rate, so that both forms share this step and differ in W alone.
struct Lars {
  float momentum = 0.9F;
  float weight_decay = 1e-4F;
  bool momentum_correction = false;  ///< as above
  float eta = 0.001F;
  float epsilon = 1e-7F;
  LarsForm form = LarsForm::reference;
  float peak_rate = 1.0F;  ///< of the schedule that goes with it; looked at by `premultiplied` alone
  bool operator==(const Lars&) const = default;
};
using Rule = std::variant<SgdMomentum, Adam, Lamb, Lars>;

[[nodiscard]] constexpr std::string_view name_of(const Rule& rule) {
  constexpr std::string_view names[] = {"sgd", "adam", "lamb", "lars"};
  return names[rule.index()];
}
/// Number of optimizer slots (arrays of the parameters' size) that a rule keeps.
[[nodiscard]] constexpr int slots_of(const Rule& rule) {
  return std::holds_alternative<SgdMomentum>(rule) || std::holds_alternative<Lars>(rule) ? 1 : 2;
}
/// Whether it corrects its moments' bias, for which it counts the updates.
[[nodiscard]] constexpr bool counts_updates(const Rule& rule) { return slots_of(rule) > 1; }
/// Whether it looks at tensors as wholes.
[[nodiscard]] constexpr bool measures_tensors(const Rule& rule) {
  return std::holds_alternative<Lamb>(rule) || std::holds_alternative<Lars>(rule);
}
/// Whether it looks at the norm of all gradients.
[[nodiscard]] constexpr bool takes_norms(const Rule& rule) { return std::holds_alternative<Lamb>(rule); }

/// How one tensor is updated.
struct Treatment {
  float decay = 0.0F;
  bool trusted = true;  ///< LARS scales its rate
  bool operator==(const Treatment&) const = default;
};

/// Updates done so far, as they are counted in device memory: steps that the loss scale skipped are not among them.
struct UpdateCount {
  std::int64_t done = 0;
};

// --- One element's update, in fp32. Host and device.

constexpr void update(const SgdMomentum& rule, float rate, float decay, float gradient, float& velocity,
                      float& weight) {
  velocity = rule.momentum * velocity - rate * (gradient + decay * weight);
  weight += velocity;
}

/// A rule with momentum as its elements' update takes it, at this rate and after that of the update before (0: there
/// was none, and nothing to correct). An update that the loss scale skipped counts as one.
template <class Momentum>
[[nodiscard]] constexpr SgdMomentum at_rate(const Momentum& rule, float rate, float previous_rate) {
  const bool corrects = rule.momentum_correction && previous_rate > 0.0F;
  return {.momentum = corrects ? rule.momentum * (rate / previous_rate) : rule.momentum};
}

/// What LARS multiplies a tensor's rate by, given the squared norms of its weights and of its gradient.
[[nodiscard]] constexpr float trust_ratio(const Lars& rule, const Treatment& treatment, double squared_weights,
                                          double squared_gradient) {
  const bool premultiplied = rule.form == LarsForm::premultiplied;
  if (!treatment.trusted || !(squared_weights > 0.0) || !(premultiplied || squared_gradient > 0.0)) return 1.0F;
  const double weights = std::sqrt(squared_weights);
  const double decay =
      static_cast<double>(treatment.decay) * (premultiplied ? static_cast<double>(rule.peak_rate) : 1.0);
  const double size = std::sqrt(squared_gradient) + decay * weights + static_cast<double>(rule.epsilon);
  return size > 0.0 ? static_cast<float>(static_cast<double>(rule.eta) * weights / size) : 1.0F;
}

/// What moments are divided by, since they start at zero: 1 - beta^updates.
struct BiasCorrection {
  float first = 1.0F, second = 1.0F;
};
template <class AdamLike>
[[nodiscard]] constexpr BiasCorrection bias_correction(const AdamLike& rule, UpdateCount count) {
  const auto updates = static_cast<double>(count.done);
  return {static_cast<float>(1.0 - std::pow(static_cast<double>(rule.beta1), updates)),
          static_cast<float>(1.0 - std::pow(static_cast<double>(rule.beta2), updates))};
}
template <class AdamLike>
constexpr void advance_moments(const AdamLike& rule, float gradient, float& first, float& second) {
  first = rule.beta1 * first + (1.0F - rule.beta1) * gradient;
  second = rule.beta2 * second + (1.0F - rule.beta2) * gradient * gradient;
}
/// Where the moments point.
template <class AdamLike>
[[nodiscard]] constexpr float direction(const AdamLike& rule, BiasCorrection correction, float first, float second) {
  return (first / correction.first) / (std::sqrt(second / correction.second) + rule.epsilon);
}

constexpr void update(const Adam& rule, BiasCorrection correction, float rate, float decay, float gradient,
                      float& first, float& second, float& weight) {
  advance_moments(rule, rule.decoupled ? gradient : gradient + decay * weight, first, second);
  const float step = direction(rule, correction, first, second);
  weight -= rate * (rule.decoupled ? step + decay * weight : step);
}

/// What gradients are multiplied by, given their squared norm over all tensors.
[[nodiscard]] constexpr float clip(const Lamb& rule, double squared_norm) {
  const auto norm = static_cast<float>(std::sqrt(squared_norm));
  return norm > rule.largest_norm ? rule.largest_norm / norm : 1.0F;
}
/// A tensor's step before its scaling.
[[nodiscard]] constexpr float step_of(const Lamb& rule, BiasCorrection correction, float decay, float first,
                                      float second, float weight) {
  return direction(rule, correction, first, second) + decay * weight;
}
/// What a tensor's step is scaled by, given the squared norms of its weights and of the step.
[[nodiscard]] constexpr float trust_ratio(float decay, double squared_weights, double squared_step) {
  if (decay == 0.0F || !(squared_weights > 0.0) || !(squared_step > 0.0)) return 1.0F;
  return static_cast<float>(std::sqrt(squared_weights) / std::sqrt(squared_step));
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
/// By the step (DeepCAM). Steps are updates, counted from 0. A warm-up over W steps rises in equal steps from 0 to
/// `rate` (with a factor f above 1: from `rate` to f rate). As in the reference it ends one step short: the rate stays
/// at what step W - 2 reached, times what the decay says.
struct StepSchedule {
  struct Decay {
    std::int64_t step = 0;  ///< counted from the end of the warm-up
    double factor = 1.0;    ///< from then on; absolute, not cumulative
    bool operator==(const Decay&) const = default;
  };
  double rate = 0.001;
  std::int64_t warmup_steps = 0;
  double warmup_factor = 1.0;
  std::vector<Decay> decay = {};  ///< in ascending order
  /// Above 0, and then without the list above: half a cosine, from the rate to zero in so many steps.
  std::int64_t cosine_steps = 0;
  bool operator==(const StepSchedule&) const = default;
};
/// By the step (ResNet-50). A warm-up over W steps rises in equal steps from 0, at step 0, to `rate`, at step W; from
/// there the rate falls as (rate - end) (1 - t / D)^power + end over D steps and stays at the end.
/// The TF2 reference: power 2, end 1e-4, D = steps in all - W + 1. MXNet multiplies by D(t) = (1 - e) (1 - t / D)^power
/// + e, which is the same with end = e * rate.
struct PolynomialSchedule {
  double rate = 0.001;
  std::int64_t warmup_steps = 0;
  std::int64_t decay_steps = 1000;
  double power = 2.0;
  double end_rate = 0.0;
  bool operator==(const PolynomialSchedule&) const = default;
};
/// By the step, after the same warm-up: hyperbolic-tangent decay, HTD(L, U) of Hsueh, Li and Wu (arXiv 1806.01593).
/// Over D steps the rate falls as (rate - end) / 2 (1 - tanh(L + (U - L) t / D)) + end, and stays where step D left it:
/// at U = 3 a 400th of the way above the end.
struct TanhSchedule {
  double rate = 0.001;
  std::int64_t warmup_steps = 0;
  std::int64_t decay_steps = 1000;
  double lower = -6.0, upper = 3.0;  ///< L and U: what goes through the tangent; L below U
  double end_rate = 0.0;
  bool operator==(const TanhSchedule&) const = default;
};
using Schedule = std::variant<PiecewiseSchedule, StepSchedule, PolynomialSchedule, TanhSchedule>;

[[nodiscard]] constexpr std::string_view name_of(const Schedule& schedule) {
  constexpr std::string_view names[] = {"epoch", "step", "polynomial", "tanh"};
  return names[schedule.index()];
}

/// How a rate follows the global batch: in proportion (Goyal et al., arXiv 1706.02677; the references of ResNet-50 and
/// CosmoFlow), or as its root, which keeps the variance of a step (Krizhevsky, arXiv 1404.5997; CosmoFlow's `sqrt`).
enum class BatchLaw : std::uint8_t { linear, root };
template <>
struct Words<BatchLaw> {
  static constexpr std::array<std::string_view, 2> all = {"linear", "root"};
};
struct BatchScaling {
  BatchLaw law = BatchLaw::linear;
  std::int64_t base_batch = 0;  ///< samples, at which rates are as they are written; 0: they are so at any
  bool operator==(const BatchScaling&) const = default;
};
/// The schedule at a global batch: the rate that its warm-up reaches is scaled, and with it what falls from there.
/// `base_rate` and `end_rate`, where a warm-up begins and a fall ends, stay; what a factor makes of the rate does not.
[[nodiscard]] Schedule at_batch(const Schedule& schedule, const BatchScaling& scaling, std::int64_t global_batch);

/// Of an update: all that its rate may depend on.
struct Position {
  std::int64_t epoch = 0;
  std::int64_t step = 0;  ///< updates before it, skipped ones included
};
[[nodiscard]] double rate_at(const Schedule& schedule, const Position& position);
[[nodiscard]] double peak_rate_of(const Schedule& schedule);

}  // namespace trainmark

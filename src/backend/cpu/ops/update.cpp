// Optimizer updates, and sums of gradients over batches, over flat ranges of the arenas, one pass over memory.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/cpu/ops/update.cpp"
#include <hwy/foreach_target.h>
// clang-format off
#include "backend/cpu/simd-inl.hpp"
// clang-format on

#include "backend/cpu/parallel.hpp"
#include "backend/cpu/plans.hpp"

HWY_BEFORE_NAMESPACE();
namespace trainmark::cpu::HWY_NAMESPACE {

/// optim.hpp's update(SgdMomentum), in vectors, of gradients that `unscale` brings to their true size. It is a power of
/// two, 1 where nothing was scaled: one path for both, so that scaling changes no bit.
void momentum_range(float* weights, const float* gradients, float* velocity, std::int64_t count, float momentum,
                    float rate, float decay, float unscale) {
  over_lanes(count, [&](auto d, std::int64_t at) HWY_ATTR {
    const auto w = load(d, weights + at);
    const auto true_size = hn::Mul(load(d, gradients + at), hn::Set(d, unscale));
    const auto g = hn::Add(true_size, hn::Mul(hn::Set(d, decay), w));
    const auto v = hn::Sub(hn::Mul(hn::Set(d, momentum), load(d, velocity + at)), hn::Mul(hn::Set(d, rate), g));
    store(d, v, velocity + at);
    store(d, hn::Add(w, v), weights + at);
  });
}

void accumulate_range(float* gradients, float* sums, std::int64_t count, bool last) {
  over_lanes(count, [&](auto d, std::int64_t at) HWY_ATTR {
    const auto sum = hn::Add(load(d, sums + at), load(d, gradients + at));
    if (last) store(d, sum, gradients + at);
    store(d, last ? hn::Zero(d) : sum, sums + at);
  });
}

}  // namespace trainmark::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace trainmark::cpu {
namespace {

HWY_EXPORT(momentum_range);
HWY_EXPORT(accumulate_range);

Planned plan_rule(const SgdMomentum& rule, float decay, std::int64_t count, bool scaled) {
  auto body = [rule, decay, count, scaled](std::span<void* const> args) {
    const auto& state = *static_cast<const StepState*>(args[3]);
    const LossScale scaler = scaled ? *static_cast<const LossScale*>(args[4]) : LossScale{};
    if (scaler.found_inf != 0) return;
    const float unscale = 1.0F / scaler.scale;
    parallel_for(count, 1 << 14, [&](Range range, int) {
      HWY_DYNAMIC_DISPATCH(momentum_range)
      (static_cast<float*>(args[0]) + range.begin, static_cast<const float*>(args[1]) + range.begin,
       static_cast<float*>(args[2]) + range.begin, range.size(), rule.momentum, state.rate, decay, unscale);
    });
  };
  return planned(body, {});
}

}  // namespace

Planned plan_op(const Accumulate& accumulate, const Operands&) {
  auto body = [count = accumulate.range.size(), last = accumulate.last](std::span<void* const> args) {
    parallel_for(count, 1 << 14, [&](Range range, int) {
      HWY_DYNAMIC_DISPATCH(accumulate_range)
      (static_cast<float*>(args[0]) + range.begin, static_cast<float*>(args[1]) + range.begin, range.size(), last);
    });
  };
  return planned(body, {});
}

Planned plan_op(const Update& update, const Operands&) {
  return std::visit(
      [&update](const auto& rule) { return plan_rule(rule, update.decay, update.range.size(), update.scaled); },
      update.rule);
}

}  // namespace trainmark::cpu
#endif

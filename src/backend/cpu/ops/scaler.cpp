// The dynamic loss scale's own operations: looking for gradients that are not finite, and moving the scale at the end
// of a step. The loss multiplies by the scale (loss.cpp), the update divides by it (update.cpp).
#include <atomic>

#include "backend/cpu/parallel.hpp"
#include "backend/cpu/plans.hpp"

namespace trainmark::cpu {
namespace {

bool all_finite(const float* values, std::int64_t count) {
  // Without an early end: most steps have nothing to find, and this form is a loop of vectors.
  bool finite = true;
  for (std::int64_t at = 0; at < count; ++at)
    finite &= is_finite(values[at]);
  return finite;
}

}  // namespace

Planned plan_op(const GradientCheck& check, const Operands&) {
  const std::int64_t count = check.range.size();
  auto body = [count](std::span<void* const> args) {
    const auto* gradients = static_cast<const float*>(args[0]);
    std::atomic_ref<std::int32_t> found(static_cast<LossScale*>(args[1])->found_inf);
    parallel_for(count, 1 << 14, [&](Range range, int) {
      if (!all_finite(gradients + range.begin, range.size())) found.store(1, std::memory_order_relaxed);
    });
  };
  return planned(body, {});
}

Planned plan_op(const AdjustLossScale& adjustment, const Operands&) {
  auto body = [rule = adjustment.rule](std::span<void* const> args) {
    adjust(rule, *static_cast<LossScale*>(args[0]));
  };
  return planned(body, {});
}

}  // namespace trainmark::cpu

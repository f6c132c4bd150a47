// Dropout with masks computed from their key when they are needed: nothing is stored between forward and backward.
#include "backend/cpu/parallel.hpp"
#include "backend/cpu/plans.hpp"
#include "backend/math.hpp"

namespace trainmark::cpu {
namespace {

template <class T>
void mask(const Dropout& dropout, const T* src, T* dst, const std::byte* step_state, std::int64_t samples,
          std::int64_t units) {
  const auto& state = *reinterpret_cast<const StepState*>(step_state);
  const auto* ids = reinterpret_cast<const std::int64_t*>(step_state + sizeof(StepState));
  const float scale = 1.0F / (1.0F - dropout.rate);
  parallel_for(samples, 1, [&](Range range, int) {
    for (std::int64_t n = range.begin; n < range.end; ++n) {
      for (std::int64_t unit = 0; unit < units; ++unit) {
        const std::int64_t at = n * units + unit;
        const bool keep = n < state.valid && dropout_keeps(dropout, state.epoch, ids[n], unit);
        if constexpr (sizeof(T) == sizeof(float)) {
          dst[at] = keep ? src[at] * scale : 0.0F;
        } else {
          dst[at] = keep ? to_bf16(from_bf16(src[at]) * scale) : T{0};
        }
      }
    }
  });
}

/// Forward and backward are the same multiplication by the mask.
Planned plan_dropout(const Dropout& dropout, const Operands& operands) {
  const std::int64_t samples = operands.inputs[0].shape[0];
  const std::int64_t units = operands.inputs[0].shape.elements() / samples;
  const bool half = operands.inputs[0].dtype == DType::bf16;
  auto body = [=](std::span<void* const> args) {
    const auto* state = static_cast<const std::byte*>(args[1]);
    if (half) {
      mask(dropout, static_cast<const std::uint16_t*>(args[0]), static_cast<std::uint16_t*>(args[2]), state, samples,
           units);
    } else {
      mask(dropout, static_cast<const float*>(args[0]), static_cast<float*>(args[2]), state, samples, units);
    }
  };
  return planned(body, {{operands.outputs[0].shape, operands.outputs[0].dtype, operands.inputs[0].layout}}, {{0, 0}});
}

}  // namespace

Planned plan_op(const Dropout& op, const Operands& operands) { return plan_dropout(op, operands); }
Planned plan_op(const DropoutBackward& op, const Operands& operands) { return plan_dropout(op.dropout, operands); }

}  // namespace trainmark::cpu

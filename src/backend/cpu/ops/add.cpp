// The sum of two tensors, element by element, in place of either where the memory plan lets it.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/cpu/ops/add.cpp"
#include <hwy/foreach_target.h>
// clang-format off
#include "backend/cpu/simd-inl.hpp"
// clang-format on
#include "backend/cpu/parallel.hpp"
#include "backend/cpu/plans.hpp"

HWY_BEFORE_NAMESPACE();
namespace trainmark::cpu::HWY_NAMESPACE {

template <class T>
void add_range(const void* a, const void* b, void* to, Range range) {
  const auto* left = static_cast<const T*>(a) + range.begin;
  const auto* right = static_cast<const T*>(b) + range.begin;
  auto* sum = static_cast<T*>(to) + range.begin;
  over_lanes(range.size(), [&](auto d, std::int64_t at)
                               HWY_ATTR { store(d, hn::Add(load(d, left + at), load(d, right + at)), sum + at); });
}
void add_f32(const void* a, const void* b, void* to, Range range) { add_range<float>(a, b, to, range); }
void add_bf16(const void* a, const void* b, void* to, Range range) { add_range<std::uint16_t>(a, b, to, range); }

}  // namespace trainmark::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace trainmark::cpu {
namespace {

HWY_EXPORT(add_f32);
HWY_EXPORT(add_bf16);

constexpr std::int64_t grain = 1 << 14;

}  // namespace

Planned plan_op(const Add&, const Operands& operands) {
  const TensorDesc& term = operands.inputs[0];
  TRAINMARK_CHECK(term.layout == operands.inputs[1].layout, "terms lie alike");
  auto body = [count = term.shape.elements(), half = term.dtype == DType::bf16](std::span<void* const> args) {
    parallel_for(count, grain, [&](Range range, int) {
      if (half) return HWY_DYNAMIC_DISPATCH(add_bf16)(args[0], args[1], args[2], range);
      HWY_DYNAMIC_DISPATCH(add_f32)(args[0], args[1], args[2], range);
    });
  };
  return planned(body, {{operands.outputs[0].shape, term.dtype, term.layout}}, {{0, 0}, {0, 1}});
}

}  // namespace trainmark::cpu
#endif

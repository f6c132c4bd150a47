// Activations and their derivatives, element by element, in place where the memory plan lets them.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/cpu/ops/activation.cpp"
#include <hwy/foreach_target.h>
// clang-format off
#include "backend/cpu/simd-inl.hpp"
// clang-format on
#include <cstring>

#include "backend/cpu/element.hpp"
#include "backend/cpu/parallel.hpp"
#include "backend/cpu/plans.hpp"
#include "backend/math.hpp"

HWY_BEFORE_NAMESPACE();
namespace trainmark::cpu::HWY_NAMESPACE {

template <class T>
void leaky_range(const T* src, T* dst, std::int64_t count, float slope) {
  over_lanes(count, [&](auto d, std::int64_t at) HWY_ATTR {
    const auto x = load(d, src + at);
    store(d, hn::IfThenElse(hn::Gt(x, hn::Zero(d)), x, hn::Mul(x, hn::Set(d, slope))), dst + at);
  });
}
template <class T>
void leaky_backward_range(const T* dst, const T* diff_dst, T* diff_src, std::int64_t count, float slope) {
  over_lanes(count, [&](auto d, std::int64_t at) HWY_ATTR {
    const auto g = load(d, diff_dst + at);
    store(d, hn::IfThenElse(hn::Gt(load(d, dst + at), hn::Zero(d)), g, hn::Mul(g, hn::Set(d, slope))), diff_src + at);
  });
}
void leaky_f32(const float* src, float* dst, std::int64_t count, float slope) { leaky_range(src, dst, count, slope); }
void leaky_bf16(const std::uint16_t* src, std::uint16_t* dst, std::int64_t count, float slope) {
  leaky_range(src, dst, count, slope);
}
void leaky_backward_f32(const float* dst, const float* diff_dst, float* diff_src, std::int64_t count, float slope) {
  leaky_backward_range(dst, diff_dst, diff_src, count, slope);
}
void leaky_backward_bf16(const std::uint16_t* dst, const std::uint16_t* diff_dst, std::uint16_t* diff_src,
                         std::int64_t count, float slope) {
  leaky_backward_range(dst, diff_dst, diff_src, count, slope);
}

}  // namespace trainmark::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace trainmark::cpu {
namespace {

HWY_EXPORT(leaky_f32);
HWY_EXPORT(leaky_bf16);
HWY_EXPORT(leaky_backward_f32);
HWY_EXPORT(leaky_backward_bf16);

constexpr std::int64_t grain = 1 << 14;

void leaky(const void* src, void* dst, Range range, DType type, float slope) {
  if (type == DType::f32) {
    HWY_DYNAMIC_DISPATCH(leaky_f32)
    (static_cast<const float*>(src) + range.begin, static_cast<float*>(dst) + range.begin, range.size(), slope);
  } else {
    HWY_DYNAMIC_DISPATCH(leaky_bf16)
    (static_cast<const std::uint16_t*>(src) + range.begin, static_cast<std::uint16_t*>(dst) + range.begin, range.size(),
     slope);
  }
}
void leaky_backward(const void* dst, const void* diff_dst, void* diff_src, Range range, DType type, float slope) {
  if (type == DType::f32) {
    HWY_DYNAMIC_DISPATCH(leaky_backward_f32)
    (static_cast<const float*>(dst) + range.begin, static_cast<const float*>(diff_dst) + range.begin,
     static_cast<float*>(diff_src) + range.begin, range.size(), slope);
  } else {
    HWY_DYNAMIC_DISPATCH(leaky_backward_bf16)
    (static_cast<const std::uint16_t*>(dst) + range.begin, static_cast<const std::uint16_t*>(diff_dst) + range.begin,
     static_cast<std::uint16_t*>(diff_src) + range.begin, range.size(), slope);
  }
}

}  // namespace

Planned plan_op(const Activation& activation, const Operands& operands) {
  const std::int64_t count = operands.inputs[0].shape.elements();
  const DType type = operands.inputs[0].dtype;
  auto body = [activation, count, type](std::span<void* const> args) {
    parallel_for(count, grain, [&](Range range, int) {
      if (activation.curve == Curve::leaky_relu) return leaky(args[0], args[1], range, type, activation.slope);
      for (std::int64_t i = range.begin; i < range.end; ++i) {
        write(args[1], i, type, scaled_tanh(read(args[0], i, type), activation.scale));
      }
    });
  };
  return planned(body, {{operands.outputs[0].shape, type, operands.inputs[0].layout}}, {{0, 0}});
}

Planned plan_op(const ActivationBackward& op, const Operands& operands) {
  const Activation& activation = op.activation;
  const std::int64_t count = operands.inputs[0].shape.elements();
  const DType type = operands.inputs[0].dtype;
  auto body = [activation, count, type](std::span<void* const> args) {
    parallel_for(count, grain, [&](Range range, int) {
      if (activation.curve == Curve::leaky_relu)
        return leaky_backward(args[0], args[1], args[2], range, type, activation.slope);
      for (std::int64_t i = range.begin; i < range.end; ++i) {
        const float dst = read(args[0], i, type), diff_dst = read(args[1], i, type);
        write(args[2], i, type, scaled_tanh_backward(dst, diff_dst, activation.scale));
      }
    });
  };
  return planned(body, {{operands.outputs[0].shape, type, operands.inputs[0].layout}}, {{0, 1}});
}

}  // namespace trainmark::cpu
#endif

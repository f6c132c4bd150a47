// Max pooling over channels-last tensors. The backward pass finds each window's first maximum again instead of storing
// an index, and can take the activation's derivative in the same pass, in place over the activations.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/cpu/ops/pool.cpp"
#include <hwy/foreach_target.h>
// clang-format off
#include "backend/cpu/simd-inl.hpp"
// clang-format on
#include <cstring>

#include "backend/cpu/parallel.hpp"
#include "backend/cpu/plans.hpp"
#include "backend/math.hpp"
#include "backend/pool_window.hpp"

HWY_BEFORE_NAMESPACE();
namespace trainmark::cpu::HWY_NAMESPACE {

/// The maximum of a window's taps, and which came first to it.
template <class D, class T>
HWY_INLINE hn::Vec<D> maximum(D d, const T* window, const PoolTaps& taps, std::int64_t channel, hn::Vec<D>& winner) {
  auto best = load(d, window + taps.offset[0] + channel);
  winner = hn::Zero(d);
  for (int tap = 1; tap < taps.count; ++tap) {
    const auto value = load(d, window + taps.offset[static_cast<std::size_t>(tap)] + channel);
    const auto larger = beats(d, value, best);
    best = hn::IfThenElse(larger, value, best);
    winner = hn::IfThenElse(larger, hn::Set(d, static_cast<float>(tap)), winner);
  }
  return best;
}

template <class T>
void forward_rows(const PoolWindow& pool, const T* src, T* dst, std::int64_t first, std::int64_t last) {
  for (std::int64_t row = first; row < last; ++row) {
    std::int64_t at = pool.row_offset(row);
    T* out = dst + row * pool.dst.w * pool.dst.c;
    PoolTaps inside;
    for (std::int64_t w = 0; w < pool.dst.w; ++w, at += pool.step_w, out += pool.dst.c) {
      if (pool.padded) inside = pool.taps_of(row, w);
      const PoolTaps& taps = pool.padded ? inside : pool.all;
      over_lanes(pool.dst.c, [&](auto d, std::int64_t c) HWY_ATTR {
        auto best = load(d, src + at + taps.offset[0] + c);
        for (int tap = 1; tap < taps.count; ++tap) {
          const auto value = load(d, src + at + taps.offset[static_cast<std::size_t>(tap)] + c);
          best = hn::IfThenElse(beats(d, value, best), value, best);
        }
        store(d, best, out + c);
      });
    }
  }
}

/// `accumulate`: windows overlap, so their shares are added to what is there.
template <class T>
void backward_rows(const PoolWindow& pool, const T* src, const T* diff_dst, T* diff_src, std::int64_t first,
                   std::int64_t last, float slope, bool accumulate) {
  for (std::int64_t row = first; row < last; ++row) {
    std::int64_t at = pool.row_offset(row);
    const T* diff = diff_dst + row * pool.dst.w * pool.dst.c;
    PoolTaps inside;
    for (std::int64_t w = 0; w < pool.dst.w; ++w, at += pool.step_w, diff += pool.dst.c) {
      if (pool.padded) inside = pool.taps_of(row, w);
      const PoolTaps& taps = pool.padded ? inside : pool.all;
      over_lanes(pool.dst.c, [&](auto d, std::int64_t c) HWY_ATTR {
        auto winner = hn::Zero(d);
        const auto best = maximum(d, src + at, taps, c, winner);
        const auto g = load(d, diff + c);
        const auto share = hn::IfThenElse(hn::Gt(best, hn::Zero(d)), g, hn::Mul(g, hn::Set(d, slope)));
        for (int tap = 0; tap < taps.count; ++tap) {
          T* to = diff_src + at + taps.offset[static_cast<std::size_t>(tap)] + c;
          auto value = hn::IfThenElseZero(hn::Eq(winner, hn::Set(d, static_cast<float>(tap))), share);
          if (accumulate) value = hn::Add(value, load(d, to));
          store(d, value, to);
        }
      });
    }
  }
}

void pool_forward(const PoolWindow& pool, const void* src, void* dst, std::int64_t first, std::int64_t last) {
  if (pool.half) {
    forward_rows(pool, static_cast<const std::uint16_t*>(src), static_cast<std::uint16_t*>(dst), first, last);
  } else {
    forward_rows(pool, static_cast<const float*>(src), static_cast<float*>(dst), first, last);
  }
}
void pool_backward(const PoolWindow& pool, const void* src, const void* diff_dst, void* diff_src, std::int64_t first,
                   std::int64_t last, float slope, bool accumulate) {
  if (pool.half) {
    backward_rows(pool, static_cast<const std::uint16_t*>(src), static_cast<const std::uint16_t*>(diff_dst),
                  static_cast<std::uint16_t*>(diff_src), first, last, slope, accumulate);
  } else {
    backward_rows(pool, static_cast<const float*>(src), static_cast<const float*>(diff_dst),
                  static_cast<float*>(diff_src), first, last, slope, accumulate);
  }
}

}  // namespace trainmark::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace trainmark::cpu {
namespace {

HWY_EXPORT(pool_forward);
HWY_EXPORT(pool_backward);

/// Without an activation the plain derivative; with one, that of activation then pool, in place.
Planned plan_pool_backward(const Pool& pool, const Activation* activation, const Operands& operands) {
  const PoolWindow window(pool, operands.inputs[0], operands.inputs[1].shape);
  const float slope = activation != nullptr ? activation->slope : 1.0F;
  const std::size_t bytes =
      static_cast<std::size_t>(operands.inputs[0].shape.elements()) * size_of(operands.inputs[0].dtype);
  const bool covers = window.covers();
  auto body = [window, slope, bytes, covers](std::span<void* const> args) {
    if (!covers) std::memset(args[2], 0, bytes);
    // Overlapping windows of one sample share elements: then samples are the unit of work.
    const std::int64_t unit = covers ? 1 : window.rows() / window.dst.n;
    parallel_for(window.rows() / unit, covers ? 8 : 1, [&](Range units, int) {
      HWY_DYNAMIC_DISPATCH(pool_backward)
      (window, args[0], args[1], args[2], units.begin * unit, units.end * unit, slope, !covers);
    });
  };
  std::vector<InPlace> in_place;
  if (covers) in_place = {{0, 0}};
  return planned(body, as_activations(operands.outputs), in_place);
}

}  // namespace

Planned plan_op(const Pool& pool, const Operands& operands) {
  const PoolWindow window(pool, operands.inputs[0], operands.outputs[0].shape);
  auto body = [window](std::span<void* const> args) {
    parallel_for(window.rows(), 8, [&](Range rows, int) {
      HWY_DYNAMIC_DISPATCH(pool_forward)(window, args[0], args[1], rows.begin, rows.end);
    });
  };
  return planned(body, as_activations(operands.outputs));
}

Planned plan_op(const PoolBackward& op, const Operands& operands) {
  return plan_pool_backward(op.pool, nullptr, operands);
}
Planned plan_op(const PoolActivationBackward& op, const Operands& operands) {
  return plan_pool_backward(op.pool, &op.activation, operands);
}

}  // namespace trainmark::cpu
#endif

// Raw samples to what the network sees: log(1 + x), x over the mean of its sample, or each channel shifted and scaled;
// channels-last in and out.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/cpu/ops/preprocess.cpp"
#include <hwy/foreach_target.h>
// clang-format off
#include "backend/cpu/simd-inl.hpp"
#include <hwy/contrib/math/math-inl.h>
// clang-format on
#include <cstring>

#include "backend/cpu/parallel.hpp"
#include "backend/cpu/plans.hpp"

HWY_BEFORE_NAMESPACE();
namespace trainmark::cpu::HWY_NAMESPACE {

template <class D>
HWY_INLINE hn::Vec<D> load_raw(D d, const std::int16_t* from) {
  const hn::Rebind<std::int16_t, D> narrow;
  const hn::RebindToSigned<D> wide;
  return hn::ConvertTo(d, hn::PromoteTo(wide, hn::LoadU(narrow, from)));
}
template <class D>
HWY_INLINE hn::Vec<D> load_raw(D d, const float* from) {
  return hn::LoadU(d, from);
}

template <class In, class Out>
void log_range(const In* src, Out* dst, std::int64_t count) {
  over_lanes(count, [&](auto d, std::int64_t at) HWY_ATTR { store(d, hn::Log1p(d, load_raw(d, src + at)), dst + at); });
}
template <class In, class Out>
void scale_range(const In* src, Out* dst, std::int64_t count, float factor) {
  over_lanes(count, [&](auto d, std::int64_t at)
                        HWY_ATTR { store(d, hn::Mul(load_raw(d, src + at), hn::Set(d, factor)), dst + at); });
}

template <class In>
void transform(const In* src, void* dst, bool half, std::int64_t begin, std::int64_t end, float factor) {
  auto* halves = static_cast<std::uint16_t*>(dst);
  auto* floats = static_cast<float*>(dst);
  if (factor == 0.0F) {
    half ? log_range(src + begin, halves + begin, end - begin) : log_range(src + begin, floats + begin, end - begin);
  } else {
    half ? scale_range(src + begin, halves + begin, end - begin, factor)
         : scale_range(src + begin, floats + begin, end - begin, factor);
  }
}

/// `factor` 0 takes the logarithm, anything else multiplies.
void preprocess_range(const void* src, bool integers, void* dst, bool half, std::int64_t begin, std::int64_t end,
                      float factor) {
  if (integers) {
    transform(static_cast<const std::int16_t*>(src), dst, half, begin, end, factor);
  } else {
    transform(static_cast<const float*>(src), dst, half, begin, end, factor);
  }
}

template <class D>
HWY_INLINE hn::Vec<D> load_raw(D d, const std::uint8_t* from) {
  const hn::Rebind<std::uint8_t, D> narrow;
  const hn::RebindToSigned<D> wide;
  return hn::ConvertTo(d, hn::PromoteTo(wide, hn::LoadU(narrow, from)));
}

template <class In, class Out>
void normalise(const In* src, Out* dst, Range rows, std::int64_t channels, const float* shift, const float* scale) {
  for (std::int64_t row = rows.begin; row < rows.end; ++row) {
    const std::int64_t first = row * channels;
    over_lanes(channels, [&](auto d, std::int64_t c) HWY_ATTR {
      const auto x = hn::Sub(load_raw(d, src + first + c), hn::LoadU(d, shift + c));
      store(d, hn::Mul(x, hn::LoadU(d, scale + c)), dst + first + c);
    });
  }
}
template <class In>
void normalise_from(const In* src, void* dst, bool half, Range rows, std::int64_t channels, const float* shift,
                    const float* scale) {
  if (half) return normalise(src, static_cast<std::uint16_t*>(dst), rows, channels, shift, scale);
  normalise(src, static_cast<float*>(dst), rows, channels, shift, scale);
}
void normalise_rows(const void* src, bool bytes, void* dst, bool half, Range rows, std::int64_t channels,
                    const float* shift, const float* scale) {
  if (bytes) return normalise_from(static_cast<const std::uint8_t*>(src), dst, half, rows, channels, shift, scale);
  normalise_from(static_cast<const float*>(src), dst, half, rows, channels, shift, scale);
}

}  // namespace trainmark::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace trainmark::cpu {
namespace {

HWY_EXPORT(preprocess_range);
HWY_EXPORT(normalise_rows);

constexpr std::int64_t grain = 1 << 13;

double mean_of(const void* src, bool integers, Range range) {
  double sum = 0.0;
  for (std::int64_t i = range.begin; i < range.end; ++i) {
    sum += integers ? static_cast<double>(static_cast<const std::int16_t*>(src)[i]) : static_cast<const float*>(src)[i];
  }
  return sum / static_cast<double>(range.size());
}

}  // namespace

Planned plan_op(const Preprocess& preprocess, const Operands& operands) {
  const std::int64_t samples = operands.inputs[0].shape[0];
  const std::int64_t elements = operands.inputs[0].shape.elements() / samples;
  const bool integers = operands.inputs[0].dtype == DType::i16;
  const bool half = operands.outputs[0].dtype == DType::bf16;
  const bool logarithm = preprocess.log_transform;
  auto body = [=](std::span<void* const> args) {
    if (logarithm) {
      parallel_for(samples * elements, grain, [&](Range range, int) {
        HWY_DYNAMIC_DISPATCH(preprocess_range)(args[0], integers, args[1], half, range.begin, range.end, 0.0F);
      });
      return;
    }
    for (std::int64_t sample = 0; sample < samples; ++sample) {
      const std::int64_t first = sample * elements;
      const auto factor = static_cast<float>(1.0 / mean_of(args[0], integers, {first, first + elements}));
      parallel_for(elements, grain, [&](Range range, int) {
        HWY_DYNAMIC_DISPATCH(preprocess_range)
        (args[0], integers, args[1], half, first + range.begin, first + range.end, factor);
      });
    }
  };
  return planned(body, as_activations(operands.outputs));
}

Planned plan_op(const Normalise& normalise, const Operands& operands) {
  const std::int64_t channels = operands.inputs[0].shape[1];
  const std::int64_t rows = operands.inputs[0].shape.elements() / channels;
  const bool bytes = operands.inputs[0].dtype == DType::u8;
  const bool half = operands.outputs[0].dtype == DType::bf16;
  auto body = [=](std::span<void* const> args) {
    parallel_for(rows, grain / channels, [&](Range range, int) {
      HWY_DYNAMIC_DISPATCH(normalise_rows)
      (args[0], bytes, args[1], half, range, channels, normalise.shift.data(), normalise.scale.data());
    });
  };
  return planned(body, as_activations(operands.outputs));
}

}  // namespace trainmark::cpu
#endif

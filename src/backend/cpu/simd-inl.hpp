// Loads, stores and loops that the SIMD kernels share. Included once for each instruction set (Highway's
// foreach_target).
#if defined(TRAINMARK_SIMD_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef TRAINMARK_SIMD_INL
#undef TRAINMARK_SIMD_INL
#else
#define TRAINMARK_SIMD_INL
#endif

#include <hwy/highway.h>

#include <cstdint>

HWY_BEFORE_NAMESPACE();
namespace trainmark::cpu::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

/// Element types are told apart by their storage: float, and uint16_t for bf16.
template <class D>
HWY_INLINE hn::Vec<D> load(D d, const float* from) {
  return hn::LoadU(d, from);
}
template <class D>
HWY_INLINE hn::Vec<D> load(D d, const std::uint16_t* from) {
  const hn::Rebind<std::uint16_t, D> halves;
  const hn::RebindToUnsigned<D> words;
  return hn::BitCast(d, hn::ShiftLeft<16>(hn::PromoteTo(words, hn::LoadU(halves, from))));
}
template <class D>
HWY_INLINE void store(D d, hn::Vec<D> value, float* to) {
  hn::StoreU(value, d, to);
}
/// The bf16 in the lower half of each word.
template <class D>
HWY_INLINE hn::Vec<hn::RebindToUnsigned<D>> half_bits(D, hn::Vec<D> value) {
  const hn::RebindToUnsigned<D> words;
  const auto bits = hn::BitCast(words, value);
  const auto odd = hn::And(hn::ShiftRight<16>(bits), hn::Set(words, 1));  // round to nearest even
  const auto rounded = hn::ShiftRight<16>(hn::Add(bits, hn::Add(odd, hn::Set(words, 0x7FFF))));
  const auto quiet = hn::Or(hn::ShiftRight<16>(bits), hn::Set(words, 0x40));  // rounding could make a NaN a zero
  return hn::IfThenElse(hn::RebindMask(words, hn::IsNaN(value)), quiet, rounded);
}
template <class D>
HWY_INLINE void store(D d, hn::Vec<D> value, std::uint16_t* to) {
  const hn::Rebind<std::uint16_t, D> halves;
  const hn::RebindToSigned<D> integers;
  hn::StoreU(hn::DemoteTo(halves, hn::BitCast(integers, half_bits(d, value))), halves, to);
}

/// Where a value takes the place of the maximum so far. A NaN does, so that an overflow is seen behind a pool.
template <class D>
HWY_INLINE hn::Mask<D> beats(D, hn::Vec<D> value, hn::Vec<D> best) {
  return hn::Or(hn::Gt(value, best), hn::IsNaN(value));
}

/// Calls body(tag, index) over [0, count): whole vectors, then halves of them, then single elements.
template <class Body>
HWY_INLINE void over_lanes(std::int64_t count, const Body& body) {
  std::int64_t at = 0;
  const auto run = [&](auto d) HWY_ATTR {
    const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
    for (; at + lanes <= count; at += lanes)
      body(d, at);
  };
  run(hn::ScalableTag<float>());
  run(hn::CappedTag<float, 8>());
  run(hn::CappedTag<float, 4>());
  run(hn::CappedTag<float, 1>());
}

}  // namespace trainmark::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif

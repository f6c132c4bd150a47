// The first block's own kernels. Forward holds the eight convolution outputs of a pool window in registers and stores
// the largest and which it was; the weight gradient then needs one multiplication in eight, since a max pool's
// derivative has one element that is not zero in each window and channel.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/cpu/ops/first_block.cpp"
#include <hwy/foreach_target.h>
// clang-format off
#include "backend/cpu/simd-inl.hpp"
// clang-format on
#include <algorithm>
#include <cstring>

#include "backend/cpu/ops/first_block.hpp"
#include "backend/cpu/parallel.hpp"
#include "backend/cpu/plans.hpp"
#include "backend/cpu/primitive.hpp"

HWY_BEFORE_NAMESPACE();
namespace trainmark::cpu::HWY_NAMESPACE {

/// The 4 x 4 rows under a row of pooled elements, in fp32 with zeros where the padding is.
template <class T>
void gather_patch(const FirstBlock& block, const T* src, std::int64_t row, float* patch) {
  const std::int64_t top = row % block.dst.h * 2 - 1;
  const std::int64_t front = row / block.dst.h % block.dst.d * 2 - 1;
  const std::int64_t sample = row / block.dst.h / block.dst.d;
  const std::int64_t width = block.src.w * block.src.c;
  for (std::int64_t at = 0; at < FirstBlock::patch_rows; ++at, patch += block.row_floats()) {
    const std::int64_t d = front + at / 4, h = top + at % 4;
    if (d < 0 || d >= block.src.d || h < 0 || h >= block.src.h) {
      std::fill_n(patch, block.row_floats(), 0.0F);
      continue;
    }
    const T* line = src + ((sample * block.src.d + d) * block.src.h + h) * width;
    std::fill_n(patch, block.src.c, 0.0F);
    float* inner = patch + block.src.c;
    over_lanes(width, [&](auto f, std::int64_t i) HWY_ATTR { store(f, load(f, line + i), inner + i); });
    std::fill_n(inner + width, block.src.c, 0.0F);
  }
}
inline void gather(const FirstBlock& block, const void* src, std::int64_t row, float* patch) {
  if (block.half_src) {
    gather_patch(block, static_cast<const std::uint16_t*>(src), row, patch);
  } else {
    gather_patch(block, static_cast<const float*>(src), row, patch);
  }
  std::fill_n(patch + FirstBlock::patch_rows * block.row_floats(), FirstBlock::slack, 0.0F);
}

/// One vector of channels: bias, curve, and the winner's number with its side of zero.
template <class D, class T>
HWY_INLINE void finish(D f, hn::Vec<D> best, hn::Vec<D> winner, float slope, T* dst, std::uint8_t* winners) {
  const auto below = hn::Not(hn::Gt(best, hn::Zero(f)));
  store(f, hn::IfThenElse(below, hn::Mul(best, hn::Set(f, slope)), best), dst);
  if (winners == nullptr) return;
  const auto marked = hn::Add(winner, hn::IfThenElseZero(below, hn::Set(f, float{FirstBlock::below_zero})));
  const hn::RebindToSigned<D> words;
  const hn::Rebind<std::uint8_t, D> bytes;
  hn::StoreU(hn::DemoteTo(bytes, hn::ConvertTo(words, marked)), bytes, winners);
}

template <class D>
HWY_INLINE void contend(D f, hn::Vec<D> value, float number, hn::Vec<D>& best, hn::Vec<D>& winner) {
  const auto larger = beats(f, value, best);
  best = hn::IfThenElse(larger, value, best);
  winner = hn::IfThenElse(larger, hn::Set(f, number), winner);
}

/// What the second of two vectors is beside the first: fewer channels than two vectors have leave it the next column.
enum class Beside : std::uint8_t { channels, column };

/// Two vectors of pooled channels: sixteen accumulators. `weights` stand as [tap][channel].
template <Beside beside, class D, class T>
HWY_INLINE void window_channels(D f, const FirstBlock& block, const float* patch, const float* weights,
                                const float* bias, T* dst, std::uint8_t* winners) {
  constexpr bool same_channels = beside == Beside::column;
  const std::size_t lanes = hn::Lanes(f);
  auto a0 = hn::LoadU(f, bias), b0 = same_channels ? a0 : hn::LoadU(f, bias + lanes);
  auto a1 = a0, a2 = a0, a3 = a0, a4 = a0, a5 = a0, a6 = a0, a7 = a0;
  auto b1 = b0, b2 = b0, b3 = b0, b4 = b0, b5 = b0, b6 = b0, b7 = b0;
  const std::int64_t taps = block.taps(), channels = block.dst.c, line = block.row_floats(), next = block.src.c;
  const auto step = [&](const float* x, hn::Vec<D> w, hn::Vec<D> v, hn::Vec<D>& a, hn::Vec<D>& b) HWY_ATTR {
    const auto value = hn::Set(f, *x);
    a = hn::MulAdd(value, w, a);
    b = hn::MulAdd(same_channels ? hn::Set(f, x[2 * next]) : value, v, b);
  };
  for (std::int64_t row = 0; row < FirstBlock::tap_rows; ++row) {
    const float* x = patch + (row / 3 * 4 + row % 3) * line;
    for (std::int64_t tap = 0; tap < taps; ++tap, ++x, weights += channels) {
      const auto w = hn::LoadU(f, weights), v = same_channels ? w : hn::LoadU(f, weights + lanes);
      step(x, w, v, a0, b0);
      step(x + next, w, v, a1, b1);
      step(x + line, w, v, a2, b2);
      step(x + line + next, w, v, a3, b3);
      step(x + 4 * line, w, v, a4, b4);
      step(x + 4 * line + next, w, v, a5, b5);
      step(x + 5 * line, w, v, a6, b6);
      step(x + 5 * line + next, w, v, a7, b7);
    }
  }
  auto winner_a = hn::Zero(f), winner_b = hn::Zero(f);
  const auto pair = [&](float number, hn::Vec<D> a, hn::Vec<D> b) HWY_ATTR {
    contend(f, a, number, a0, winner_a);
    contend(f, b, number, b0, winner_b);
  };
  pair(1, a1, b1);
  pair(2, a2, b2);
  pair(3, a3, b3);
  pair(4, a4, b4);
  pair(5, a5, b5);
  pair(6, a6, b6);
  pair(7, a7, b7);
  const std::int64_t second = same_channels ? channels : static_cast<std::int64_t>(lanes);
  finish(f, a0, winner_a, block.slope, dst, winners);
  finish(f, b0, winner_b, block.slope, dst + second, winners == nullptr ? nullptr : winners + second);
}

template <Beside beside, class D, class T>
void forward_rows(D f, const FirstBlock& block, const void* src, const float* weights, const float* bias, T* dst,
                  std::uint8_t* winners, float* patch, Range rows) {
  constexpr std::int64_t columns = beside == Beside::column ? 2 : 1;
  const auto step = static_cast<std::int64_t>(hn::Lanes(f)) * 2 / columns;
  for (std::int64_t row = rows.begin; row < rows.end; ++row) {
    gather(block, src, row, patch);
    for (std::int64_t w = 0; w < block.dst.w; w += columns) {
      const std::int64_t at = (row * block.dst.w + w) * block.dst.c;
      for (std::int64_t c = 0; c < block.dst.c; c += step) {
        window_channels<beside>(f, block, patch + 2 * w * block.src.c, weights + c, bias + c, dst + at + c,
                                winners == nullptr ? nullptr : winners + at + c);
      }
    }
  }
}

template <Beside beside, class D>
void forward_type(D f, const FirstBlock& block, const void* src, const float* weights, const float* bias, void* dst,
                  std::uint8_t* winners, float* patch, Range rows) {
  if (block.half_dst) {
    forward_rows<beside>(f, block, src, weights, bias, static_cast<std::uint16_t*>(dst), winners, patch, rows);
  } else {
    forward_rows<beside>(f, block, src, weights, bias, static_cast<float*>(dst), winners, patch, rows);
  }
}

/// The widest vectors that divide the channels, alone or by pairs.
void first_forward(const FirstBlock& block, const void* src, const float* weights, const float* bias, void* dst,
                   std::uint8_t* winners, float* patch, std::int64_t first, std::int64_t last) {
  const auto with = [&](auto f) {
    const auto lanes = static_cast<std::int64_t>(hn::Lanes(f));
    const Range rows{first, last};
    if (block.dst.c % (2 * lanes) == 0) {
      forward_type<Beside::channels>(f, block, src, weights, bias, dst, winners, patch, rows);
    } else if (block.dst.c % lanes == 0 && block.dst.w % 2 == 0) {
      forward_type<Beside::column>(f, block, src, weights, bias, dst, winners, patch, rows);
    } else {
      return false;
    }
    return true;
  };
  const bool done =
      with(hn::CappedTag<float, 16>()) || with(hn::CappedTag<float, 8>()) || with(hn::CappedTag<float, 4>());
  TRAINMARK_CHECK(done, "channels by four: see FirstBlock::fits");
}

/// Adds a row of pooled elements to one channel's nine rows of sums, a vector of taps at a time.
template <class D>
void add_row(D f, const FirstBlock& block, const float* patch, const float* shares, const std::int32_t* offsets,
             float* sums) {
  const std::int64_t line = block.row_floats(), pitch = block.padded_taps();
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(f));
  for (std::int64_t tap = 0; tap < block.taps(); tap += lanes) {
    float* to = sums + tap;
    auto s0 = hn::LoadU(f, to), s1 = hn::LoadU(f, to + pitch), s2 = hn::LoadU(f, to + 2 * pitch);
    auto s3 = hn::LoadU(f, to + 3 * pitch), s4 = hn::LoadU(f, to + 4 * pitch), s5 = hn::LoadU(f, to + 5 * pitch);
    auto s6 = hn::LoadU(f, to + 6 * pitch), s7 = hn::LoadU(f, to + 7 * pitch), s8 = hn::LoadU(f, to + 8 * pitch);
    for (std::int64_t w = 0; w < block.dst.w; ++w) {
      const auto share = hn::Set(f, shares[w]);
      const float* x = patch + offsets[w] + tap;
      s0 = hn::MulAdd(share, hn::LoadU(f, x), s0);
      s1 = hn::MulAdd(share, hn::LoadU(f, x + line), s1);
      s2 = hn::MulAdd(share, hn::LoadU(f, x + 2 * line), s2);
      s3 = hn::MulAdd(share, hn::LoadU(f, x + 4 * line), s3);
      s4 = hn::MulAdd(share, hn::LoadU(f, x + 5 * line), s4);
      s5 = hn::MulAdd(share, hn::LoadU(f, x + 6 * line), s5);
      s6 = hn::MulAdd(share, hn::LoadU(f, x + 8 * line), s6);
      s7 = hn::MulAdd(share, hn::LoadU(f, x + 9 * line), s7);
      s8 = hn::MulAdd(share, hn::LoadU(f, x + 10 * line), s8);
    }
    hn::StoreU(s0, f, to), hn::StoreU(s1, f, to + pitch), hn::StoreU(s2, f, to + 2 * pitch);
    hn::StoreU(s3, f, to + 3 * pitch), hn::StoreU(s4, f, to + 4 * pitch), hn::StoreU(s5, f, to + 5 * pitch);
    hn::StoreU(s6, f, to + 6 * pitch), hn::StoreU(s7, f, to + 7 * pitch), hn::StoreU(s8, f, to + 8 * pitch);
  }
}

/// `sums`: of each channel nine padded rows of taps, then all channels' bias. `work`: two numbers a pooled column.
void first_backward(const FirstBlock& block, const void* src, const std::uint8_t* winners, const void* diff,
                    float* sums, float* patch, float* shares, std::int32_t* offsets, std::int64_t first,
                    std::int64_t last) {
  const std::int64_t channels = block.dst.c, each = FirstBlock::tap_rows * block.padded_taps();
  std::array<std::int32_t, FirstBlock::windows> starts{};
  for (std::int64_t i = 0; i < FirstBlock::windows; ++i)
    starts[static_cast<std::size_t>(i)] = static_cast<std::int32_t>(block.window_offset(i));
  const auto* floats = static_cast<const float*>(diff);
  const auto* halves = static_cast<const std::uint16_t*>(diff);
  std::fill_n(sums, block.sums(), 0.0F);
  for (std::int64_t row = first; row < last; ++row) {
    gather(block, src, row, patch);
    for (std::int64_t c = 0; c < channels; ++c) {
      float bias = 0.0F;
      for (std::int64_t w = 0; w < block.dst.w; ++w) {
        const std::int64_t at = (row * block.dst.w + w) * channels + c;
        const float g = block.half_dst ? from_bf16(halves[at]) : floats[at];
        shares[w] = (winners[at] & FirstBlock::below_zero) != 0 ? g * block.slope : g;
        offsets[w] = starts[winners[at] & 7U] + static_cast<std::int32_t>(2 * w * block.src.c);
        bias += shares[w];
      }
      add_row(hn::CappedTag<float, 16>(), block, patch, shares, offsets, sums + c * each);
      sums[channels * each + c] += bias;
    }
  }
}

}  // namespace trainmark::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace trainmark::cpu {
namespace {

HWY_EXPORT(first_forward);
HWY_EXPORT(first_backward);

/// Parts of scratch memory, each on cache lines of its own.
constexpr std::int64_t lined(std::int64_t floats) { return (floats + 15) / 16 * 16; }

/// From logical O,I,kD,kH,kW to [kD kH kW I][O].
void pack(const float* weights, std::int64_t outputs, std::int64_t inputs, float* packed) {
  for (std::int64_t o = 0; o < outputs; ++o) {
    for (std::int64_t i = 0; i < inputs; ++i) {
      for (std::int64_t tap = 0; tap < 27; ++tap)
        packed[(tap * inputs + i) * outputs + o] = weights[(o * inputs + i) * 27 + tap];
    }
  }
}

/// Sums of all parts, in their order, back to logical order.
void unpack(const FirstBlock& block, const float* sums, std::int64_t stride, int parts, float* weights, float* bias) {
  const std::int64_t pitch = block.padded_taps(), each = FirstBlock::tap_rows * pitch;
  const auto total = [&](std::int64_t at) {
    float value = sums[at];
    for (int part = 1; part < parts; ++part)
      value += sums[part * stride + at];
    return value;
  };
  for (std::int64_t o = 0; o < block.dst.c; ++o) {
    for (std::int64_t i = 0; i < block.src.c; ++i) {
      for (std::int64_t tap = 0; tap < 27; ++tap) {
        weights[(o * block.src.c + i) * 27 + tap] = total(o * each + tap / 3 * pitch + tap % 3 * block.src.c + i);
      }
    }
    bias[o] = total(block.dst.c * each + o);
  }
}

}  // namespace

Planned plan_first_block(const ConvBlock& op, const Operands& operands) {
  const FirstBlock block(op, operands.inputs[0], operands.outputs[0]);
  const std::int64_t patch = lined(block.patch_floats());
  const std::int64_t packed = lined(27 * block.src.c * block.dst.c);
  const bool remembers = operands.outputs.size() > 1;
  auto body = [=](std::span<void* const> args) {
    auto* scratch = static_cast<float*>(args[remembers ? 5 : 4]);
    pack(static_cast<const float*>(args[1]), block.dst.c, block.src.c, scratch);
    parallel_for(block.rows(), 1, [&](Range rows, int part) {
      HWY_DYNAMIC_DISPATCH(first_forward)
      (block, args[0], scratch, static_cast<const float*>(args[2]), args[3],
       remembers ? static_cast<std::uint8_t*>(args[4]) : nullptr, scratch + packed + part * patch, rows.begin,
       rows.end);
    });
  };
  Planned result = planned(body, as_activations(operands.outputs));
  result.scratch_bytes = sizeof(float) * static_cast<std::size_t>(packed + loop_threads() * patch);
  return result;
}

Planned plan_op(const ConvBlockBackwardWeights& op, const Operands& operands) {
  const FirstBlock block(op.block, operands.inputs[0], operands.inputs[2]);
  const std::int64_t sums = lined(block.sums()), patch = lined(block.patch_floats()), row = lined(block.dst.w);
  const std::int64_t stride = sums + patch + 2 * row;
  auto body = [=](std::span<void* const> args) {
    auto* scratch = static_cast<float*>(args[5]);
    const auto parts = static_cast<int>(std::min<std::int64_t>(block.rows(), loop_threads()));
    parallel_for(block.rows(), 1, [&](Range rows, int part) {
      float* mine = scratch + part * stride;
      HWY_DYNAMIC_DISPATCH(first_backward)
      (block, args[0], static_cast<const std::uint8_t*>(args[1]), args[2], mine, mine + sums, mine + sums + patch,
       reinterpret_cast<std::int32_t*>(mine + sums + patch + row), rows.begin, rows.end);
    });
    unpack(block, scratch, stride, parts, static_cast<float*>(args[3]), static_cast<float*>(args[4]));
  };
  Planned result = planned(body, operands.outputs);
  result.scratch_bytes = sizeof(float) * static_cast<std::size_t>(loop_threads() * stride);
  return result;
}

}  // namespace trainmark::cpu
#endif

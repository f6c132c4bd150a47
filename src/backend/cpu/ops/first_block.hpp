// The shape of a network's first block as own kernels compute it: a 3^3 convolution of few channels, leaky ReLU and a
// 2^3 max pool, of whose convolution nothing is ever stored. What does not have this shape takes the general path.
#pragma once

#include "backend/math.hpp"
#include "trainmark/backend.hpp"

namespace trainmark::cpu {

struct FirstBlock {
  static constexpr std::int64_t windows = 8;         ///< convolution outputs under one pooled element
  static constexpr std::int64_t patch_rows = 4 * 4;  ///< rows of the source that a row of pooled elements reads
  static constexpr std::int64_t tap_rows = 3 * 3;
  static constexpr std::int64_t slack = 64;  ///< floats behind the patch that whole vectors may read
  static constexpr std::uint8_t below_zero = 8;

  Extents src, dst;  ///< of the block's source and of the pooled tensor
  float slope = 1.0F;
  bool half_src = false, half_dst = false;

  FirstBlock(const ConvBlock& block, const TensorDesc& src_desc, const TensorDesc& dst_desc)
      : src(extents_of(src_desc.shape)),
        dst(extents_of(dst_desc.shape)),
        slope(block.activation.slope),
        half_src(src_desc.dtype == DType::bf16),
        half_dst(dst_desc.dtype == DType::bf16) {}

  /// Whether these kernels compute `block`. A slope above zero keeps the order of values, so that the largest before
  /// the curve is the largest behind it.
  [[nodiscard]] static bool fits(const ConvBlock& block, const Shape& src, const Shape& dst) {
    const auto all = [](const std::vector<int>& values, int wanted) { return values == std::vector<int>(3, wanted); };
    return src.rank() == 5 && src[1] <= 8 && dst[1] % 8 == 0 && src[2] % 2 == 0 && src[3] % 2 == 0 && src[4] % 2 == 0 &&
           all(block.conv.kernel, 3) && all(block.conv.stride, 1) && all(block.conv.pad_lo, 1) &&
           all(block.conv.pad_hi, 1) && block.conv.groups == 1 && reach_of(block.conv, 0) == 3 &&
           reach_of(block.conv, 1) == 3 && reach_of(block.conv, 2) == 3 && block.has_pool &&
           all(block.pool.kernel, 2) && all(block.pool.stride, 2) && block.activation.curve == Curve::leaky_relu &&
           block.activation.slope > 0.0F;
  }

  [[nodiscard]] std::int64_t rows() const noexcept { return dst.n * dst.d * dst.h; }
  [[nodiscard]] std::int64_t row_floats() const noexcept { return (src.w + 2) * src.c; }
  [[nodiscard]] std::int64_t patch_floats() const noexcept { return patch_rows * row_floats() + slack; }
  [[nodiscard]] std::int64_t taps() const noexcept { return 3 * src.c; }  ///< contiguous in a row: kW x channels
  /// Where the patch under element `window` of a pool window starts, from that of the first.
  [[nodiscard]] std::int64_t window_offset(std::int64_t window) const noexcept {
    return ((window / 4) * 4 + (window / 2) % 2) * row_floats() + (window % 2) * src.c;
  }
  /// Accumulators of one output channel: nine rows of taps, each of whole vectors.
  [[nodiscard]] std::int64_t padded_taps() const noexcept { return (taps() + 15) / 16 * 16; }
  [[nodiscard]] std::int64_t sums() const noexcept { return dst.c * (tap_rows * padded_taps() + 1); }
};

/// Convolution, curve and pool in one pass; FirstBlock::fits says which.
[[nodiscard]] Planned plan_first_block(const ConvBlock& op, const Operands& operands);

}  // namespace trainmark::cpu

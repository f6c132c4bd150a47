// Where the windows of a max pool lie in a channels-last tensor, in elements.
#pragma once

#include <array>

#include "backend/math.hpp"
#include "trainmark/backend.hpp"

namespace trainmark {

struct PoolWindow {
  static constexpr int most_taps = 64;
  Extents src, dst;
  std::array<std::int64_t, 3> kernel{1, 1, 1}, stride{1, 1, 1};
  std::array<std::int64_t, most_taps> tap_offset{};  ///< of each element of a window, from its first
  int taps = 0;
  std::int64_t step_w = 0;  ///< from one window to the next along W
  bool half = false;

  PoolWindow(const Pool& pool, const TensorDesc& src_desc, const Shape& dst_shape)
      : src(extents_of(src_desc.shape)), dst(extents_of(dst_shape)), half(src_desc.dtype == DType::bf16) {
    const std::size_t axes = pool.kernel.size();
    for (std::size_t axis = 0; axis < axes; ++axis) {
      kernel[3 - axes + axis] = pool.kernel[axis];
      stride[3 - axes + axis] = pool.stride[axis];
    }
    for (std::int64_t d = 0; d < kernel[0]; ++d) {
      for (std::int64_t h = 0; h < kernel[1]; ++h) {
        for (std::int64_t w = 0; w < kernel[2]; ++w) {
          TRAINMARK_CHECK(taps < most_taps, "pool windows hold at most 64 elements");
          tap_offset[static_cast<std::size_t>(taps++)] = ((d * src.h + h) * src.w + w) * src.c;
        }
      }
    }
    step_w = stride[2] * src.c;
  }

  /// Rows of windows: N * D * H of the result.
  [[nodiscard]] std::int64_t rows() const noexcept { return dst.n * dst.d * dst.h; }
  [[nodiscard]] std::int64_t row_offset(std::int64_t row) const noexcept {
    const std::int64_t h = row % dst.h;
    const std::int64_t d = row / dst.h % dst.d;
    const std::int64_t n = row / dst.h / dst.d;
    return ((n * src.d + d * stride[0]) * src.h + h * stride[1]) * src.w * src.c;
  }
  /// Each element of the source is in exactly one window.
  [[nodiscard]] bool covers() const noexcept {
    return kernel == stride && dst.d * kernel[0] == src.d && dst.h * kernel[1] == src.h && dst.w * kernel[2] == src.w;
  }
};

}  // namespace trainmark

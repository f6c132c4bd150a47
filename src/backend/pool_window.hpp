// Where the windows of a max pool lie in a channels-last tensor, in elements.
#pragma once

#include <algorithm>
#include <array>

#include "backend/math.hpp"
#include "trainmark/backend.hpp"

namespace trainmark {

/// The elements of a window, in order, as offsets from its first.
struct PoolTaps {
  static constexpr int most = 64;
  std::array<std::int64_t, most> offset{};
  int count = 0;
};

struct PoolWindow {
  Extents src, dst;
  std::array<std::int64_t, 3> kernel{1, 1, 1}, stride{1, 1, 1}, pad{};  ///< pad: before each axis
  PoolTaps all;                                                         ///< of a window that is all within the source
  std::int64_t step_w = 0;                                              ///< from one window to the next along W
  bool half = false;
  bool padded = false;  ///< some windows reach beyond the source

  PoolWindow(const Pool& pool, const TensorDesc& src_desc, const Shape& dst_shape)
      : src(extents_of(src_desc.shape)), dst(extents_of(dst_shape)), half(src_desc.dtype == DType::bf16) {
    const std::size_t axes = pool.kernel.size();
    for (std::size_t axis = 0; axis < axes; ++axis) {
      kernel[3 - axes + axis] = pool.kernel[axis];
      stride[3 - axes + axis] = pool.stride[axis];
      if (!pool.pad_lo.empty()) pad[3 - axes + axis] = pool.pad_lo[axis];
    }
    TRAINMARK_CHECK(kernel[0] * kernel[1] * kernel[2] <= PoolTaps::most, "pool windows hold at most 64 elements");
    all = taps_between({}, kernel);
    step_w = stride[2] * src.c;
    padded = starts_outside() || ends_outside();
  }

  /// Rows of windows: N * D * H of the result.
  [[nodiscard]] std::int64_t rows() const noexcept { return dst.n * dst.d * dst.h; }
  [[nodiscard]] std::int64_t row_offset(std::int64_t row) const noexcept {
    const std::int64_t h = row % dst.h;
    const std::int64_t d = row / dst.h % dst.d;
    const std::int64_t n = row / dst.h / dst.d;
    return (((n * src.d + d * stride[0] - pad[0]) * src.h + h * stride[1] - pad[1]) * src.w - pad[2]) * src.c;
  }
  /// The taps of window `w` of a row that lie within the source.
  [[nodiscard]] PoolTaps taps_of(std::int64_t row, std::int64_t w) const noexcept {
    const std::array<std::int64_t, 3> window = {row / dst.h % dst.d, row % dst.h, w}, extent = {src.d, src.h, src.w};
    std::array<std::int64_t, 3> begin{}, end{};
    for (std::size_t axis = 0; axis < 3; ++axis) {
      const std::int64_t first = window[axis] * stride[axis] - pad[axis];
      begin[axis] = std::max<std::int64_t>(0, -first);
      end[axis] = std::min(kernel[axis], extent[axis] - first);
    }
    return taps_between(begin, end);
  }
  /// Each element of the source is in exactly one window.
  [[nodiscard]] bool covers() const noexcept {
    return !padded && kernel == stride && dst.d * kernel[0] == src.d && dst.h * kernel[1] == src.h &&
           dst.w * kernel[2] == src.w;
  }

 private:
  [[nodiscard]] PoolTaps taps_between(const std::array<std::int64_t, 3>& begin,
                                      const std::array<std::int64_t, 3>& end) const noexcept {
    PoolTaps taps;
    for (std::int64_t d = begin[0]; d < end[0]; ++d)
      for (std::int64_t h = begin[1]; h < end[1]; ++h)
        for (std::int64_t w = begin[2]; w < end[2]; ++w)
          taps.offset[static_cast<std::size_t>(taps.count++)] = ((d * src.h + h) * src.w + w) * src.c;
    return taps;
  }
  [[nodiscard]] bool starts_outside() const noexcept { return pad != std::array<std::int64_t, 3>{}; }
  [[nodiscard]] bool ends_outside() const noexcept {
    return (dst.d - 1) * stride[0] - pad[0] + kernel[0] > src.d ||
           (dst.h - 1) * stride[1] - pad[1] + kernel[1] > src.h || (dst.w - 1) * stride[2] - pad[2] + kernel[2] > src.w;
  }
};

}  // namespace trainmark

// Where a pool's windows lie in channels-last tensors, as kernels see it: a thread's voxel and channels, and the
// elements of a window.
#pragma once

#include "backend/cuda/element.cuh"
#include "backend/cuda/plans.hpp"
#include "backend/pool_window.hpp"

namespace trainmark::cuda {

struct Place {
  int d = 0, h = 0, w = 0;
};
/// Extents, and offsets within a window, fit 32 bits, which keeps divisions cheap and registers few; offsets within the
/// tensor are formed in 64.
struct PoolShape {
  Place src, dst, kernel, stride, pad;
  unsigned vectors = 1;  ///< of a voxel
  bool padded = false;   ///< some windows reach beyond the source
};

/// One thread's voxel and the first of its channels.
struct Spot {
  std::int64_t n;
  Place at;
  std::int64_t channel;
};
__device__ inline Spot spot_of(std::int64_t index, const Place& extents, unsigned vectors, int width) {
  auto rest = static_cast<unsigned>(index);
  const unsigned vector = rest % vectors;
  rest /= vectors;
  Place at;
  at.w = static_cast<int>(rest % static_cast<unsigned>(extents.w));
  rest /= static_cast<unsigned>(extents.w);
  at.h = static_cast<int>(rest % static_cast<unsigned>(extents.h));
  rest /= static_cast<unsigned>(extents.h);
  at.d = static_cast<int>(rest % static_cast<unsigned>(extents.d));
  return {static_cast<std::int64_t>(rest / static_cast<unsigned>(extents.d)), at,
          static_cast<std::int64_t>(vector) * width};
}
__device__ inline std::int64_t offset_of(std::int64_t n, const Place& at, const Place& extents, int channels) {
  return (((n * extents.d + at.d) * extents.h + at.h) * extents.w + at.w) * channels;
}

/// Whether the element `at` of the window that begins at `start` lies in the source: a negative place is a large one.
__device__ inline bool is_within(const Place& start, const Place& at, const Place& extents) {
  const auto below = [](int place, int extent) { return static_cast<unsigned>(place) < static_cast<unsigned>(extent); };
  return below(start.d + at.d, extents.d) && below(start.h + at.h, extents.h) && below(start.w + at.w, extents.w);
}

/// Calls body(tap, offset) for the elements of a window in order, those outside the source left out; `Side` is the
/// window's extent along all axes if that is known and no window is padded, else 0.
template <int Side, class Body>
__device__ void over_taps(const PoolShape& shape, const Place& start, int channels, const Body& body) {
  const int row = shape.src.w * channels;
  const int plane = shape.src.h * row;
  if constexpr (Side > 0) {
    for (int tap = 0; tap < Side * Side * Side; ++tap)
      body(tap, tap / (Side * Side) * plane + tap / Side % Side * row + tap % Side * channels);
  } else {
    Place at;  // one loop, not three: fewer counters and bounds to hold
    int offset = 0;
    for (int tap = 0; at.d < shape.kernel.d; ++tap) {
      if (!shape.padded || is_within(start, at, shape.src)) body(tap, offset);
      offset += channels;
      if (++at.w < shape.kernel.w) continue;
      at.w = 0;
      offset += row - shape.kernel.w * channels;
      if (++at.h < shape.kernel.h) continue;
      at.h = 0;
      ++at.d;
      offset += plane - shape.kernel.h * row;
    }
  }
}

__device__ inline Place window_start(const Place& window, const PoolShape& shape) {
  return {window.d * shape.stride.d - shape.pad.d, window.h * shape.stride.h - shape.pad.h,
          window.w * shape.stride.w - shape.pad.w};
}

/// Whether a value takes the place of the maximum so far. A NaN does, so that an overflow is seen behind a pool.
__device__ inline bool beats(float value, float best) { return value > best || value != value; }

/// The maximum of each channel of a window and the tap at which it came first. No window is padded.
template <int Width>
struct Winners {
  float best[Width];
  int tap[Width];
};
template <int Side, class T, int Width = vector_width<T>>
__device__ Winners<Width> winners_of(const PoolShape& shape, const T* window, int channels) {
  Winners<Width> winners{};
  over_taps<Side>(shape, {}, channels, [&](int tap, int offset) {
    const Pack<T, Width> pack = load<Width>(window + offset);
    for (int i = 0; i < Width; ++i) {
      const float value = to_float(pack.values[i]);
      if (tap > 0 && !beats(value, winners.best[i])) continue;
      winners.best[i] = value;
      winners.tap[i] = tap;
    }
  });
  return winners;
}

[[nodiscard]] inline Place place_of(const std::array<std::int64_t, 3>& axes) {
  return {static_cast<int>(axes[0]), static_cast<int>(axes[1]), static_cast<int>(axes[2])};
}
[[nodiscard]] inline PoolShape pool_shape(const PoolWindow& window, DType dtype) {
  const std::int64_t channels = padded(window.src.c);
  const std::int64_t vectors = channels * static_cast<std::int64_t>(size_of(dtype)) / access_bytes;
  TRAINMARK_CHECK(window.src.n * window.src.d * window.src.h * window.src.w * vectors < std::int64_t{1} << 32,
                  "a pool's vectors are numbered in 32 bits");
  TRAINMARK_CHECK(window.kernel[0] * window.src.h * window.src.w * channels < std::int64_t{1} << 31,
                  "offsets within a pool's window fit 32 bits");
  return {.src = place_of({window.src.d, window.src.h, window.src.w}),
          .dst = place_of({window.dst.d, window.dst.h, window.dst.w}),
          .kernel = place_of(window.kernel),
          .stride = place_of(window.stride),
          .pad = place_of(window.pad),
          .vectors = static_cast<unsigned>(vectors),
          .padded = window.padded};
}

}  // namespace trainmark::cuda

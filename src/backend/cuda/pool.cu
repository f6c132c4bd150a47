// Max pooling over channels-last tensors. The backward pass finds each window's first maximum again instead of storing
// an index, and can take the activation's derivative in the same pass, in place over the activations. Where windows
// overlap or leave a rest each element of the source collects the shares of the windows that it won, in their order.
#include "backend/cuda/element.cuh"
#include "backend/cuda/plans.hpp"
#include "backend/math.hpp"
#include "backend/pool_window.hpp"

namespace trainmark::cuda {
namespace {

struct Place {
  int d = 0, h = 0, w = 0;
};
/// Extents, and offsets within a window, fit 32 bits, which keeps divisions cheap and registers few; offsets within the
/// tensor are formed in 64.
struct PoolShape {
  Place src, dst, kernel, stride;
  unsigned vectors = 1;  ///< of a voxel
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

/// Calls body(tap, offset) for the elements of a window in order; `Side` is the window's extent along all axes if that
/// is known, else 0.
template <int Side, class Body>
__device__ void over_taps(const PoolShape& shape, int channels, const Body& body) {
  const int row = shape.src.w * channels;
  const int plane = shape.src.h * row;
  if constexpr (Side > 0) {
    for (int tap = 0; tap < Side * Side * Side; ++tap)
      body(tap, tap / (Side * Side) * plane + tap / Side % Side * row + tap % Side * channels);
  } else {
    Place at;  // one loop, not three: fewer counters and bounds to hold
    int offset = 0;
    for (int tap = 0; at.d < shape.kernel.d; ++tap) {
      body(tap, offset);
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

/// The maximum of each channel of a window and the tap at which it came first.
template <int Width>
struct Winners {
  float best[Width];
  int tap[Width];
};
template <int Side, class T, int Width = vector_width<T>>
__device__ Winners<Width> winners_of(const PoolShape& shape, const T* window, int channels) {
  Winners<Width> winners{};
  over_taps<Side>(shape, channels, [&](int tap, int offset) {
    const Pack<T, Width> pack = load<Width>(window + offset);
    for (int i = 0; i < Width; ++i) {
      const float value = to_float(pack.values[i]);
      if (tap > 0 && !(value > winners.best[i])) continue;
      winners.best[i] = value;
      winners.tap[i] = tap;
    }
  });
  return winners;
}

__device__ inline Place window_start(const Place& window, const PoolShape& shape) {
  return {window.d * shape.stride.d, window.h * shape.stride.h, window.w * shape.stride.w};
}

template <class T, int Side>
__global__ void __launch_bounds__(block_threads)
    pool_forward(const T* src, T* dst, PoolShape shape, std::int64_t windows) {
  constexpr int width = vector_width<T>;
  if (item() >= windows) return;
  const int channels = static_cast<int>(shape.vectors) * width;
  const Spot spot = spot_of(item(), shape.dst, shape.vectors, width);
  const std::int64_t start = offset_of(spot.n, window_start(spot.at, shape), shape.src, channels) + spot.channel;
  float best[width] = {};
  over_taps<Side>(shape, channels, [&](int tap, int offset) {
    const Pack<T, width> pack = load<width>(src + start + offset);
    for (int i = 0; i < width; ++i) {
      const float value = to_float(pack.values[i]);
      best[i] = tap == 0 || value > best[i] ? value : best[i];
    }
  });
  Pack<T, width> pack;
  for (int i = 0; i < width; ++i)
    pack.values[i] = from_float<T>(best[i]);
  store<width>(dst + item() * width, pack);
}

/// Each element of the source is in one window: a thread owns a window, and may write over what it has read.
template <class T, int Side>
__global__ void __launch_bounds__(block_threads)
    pool_backward_covering(const T* src, const T* diff_dst, T* diff_src, PoolShape shape, std::int64_t windows,
                           float slope) {
  constexpr int width = vector_width<T>;
  if (item() >= windows) return;
  const int channels = static_cast<int>(shape.vectors) * width;
  const Spot spot = spot_of(item(), shape.dst, shape.vectors, width);
  const std::int64_t start = offset_of(spot.n, window_start(spot.at, shape), shape.src, channels) + spot.channel;
  const auto winners = winners_of<Side>(shape, src + start, channels);
  Pack<T, width> share = load<width>(diff_dst + item() * width);
  for (int i = 0; i < width; ++i)
    share.values[i] = from_float<T>(leaky_relu_backward(winners.best[i], to_float(share.values[i]), slope));
  over_taps<Side>(shape, channels, [&](int tap, int offset) {
    Pack<T, width> pack;
    for (int i = 0; i < width; ++i)
      pack.values[i] = winners.tap[i] == tap ? share.values[i] : from_float<T>(0.0F);
    store<width>(diff_src + start + offset, pack);
  });
}

/// The windows of one axis that hold an element.
struct Span {
  int first, last;
};
__device__ inline Span windows_over(int at, int kernel, int stride, int windows) {
  const int first = at < kernel ? 0 : (at - kernel) / stride + 1;
  const int last = at / stride;
  return {first, last < windows ? last : windows - 1};
}

template <class T>
__global__ void __launch_bounds__(block_threads)
    pool_backward_gathering(const T* src, const T* diff_dst, T* diff_src, PoolShape shape, std::int64_t elements,
                            float slope) {
  constexpr int width = vector_width<T>;
  if (item() >= elements) return;
  const int channels = static_cast<int>(shape.vectors) * width;
  const Spot spot = spot_of(item(), shape.src, shape.vectors, width);
  const Span over_d = windows_over(spot.at.d, shape.kernel.d, shape.stride.d, shape.dst.d);
  const Span over_h = windows_over(spot.at.h, shape.kernel.h, shape.stride.h, shape.dst.h);
  const Span over_w = windows_over(spot.at.w, shape.kernel.w, shape.stride.w, shape.dst.w);
  const Pack<T, width> self = load<width>(src + item() * width);
  float sums[width] = {};
  // Windows are few and each is a loop of its own: unrolling them would cost registers and gain nothing.
#pragma unroll 1
  for (int d = over_d.first; d <= over_d.last; ++d) {
#pragma unroll 1
    for (int h = over_h.first; h <= over_h.last; ++h) {
#pragma unroll 1
      for (int w = over_w.first; w <= over_w.last; ++w) {
        const Place window{d, h, w};
        const Place start = window_start(window, shape);
        const int own =
            ((spot.at.d - start.d) * shape.kernel.h + spot.at.h - start.h) * shape.kernel.w + spot.at.w - start.w;
        unsigned beaten = 0;  // a bit for each channel
        over_taps<0>(shape, channels, [&](int tap, int offset) {
          const auto others = load<width>(src + offset_of(spot.n, start, shape.src, channels) + spot.channel + offset);
          for (int i = 0; i < width; ++i) {
            const float value = to_float(others.values[i]);
            const float mine = to_float(self.values[i]);
            beaten |= (tap < own ? value >= mine : value > mine) ? 1U << i : 0U;
          }
        });
        const auto diff = load<width>(diff_dst + offset_of(spot.n, window, shape.dst, channels) + spot.channel);
        for (int i = 0; i < width; ++i) {
          if ((beaten >> i & 1U) == 0)
            sums[i] += leaky_relu_backward(to_float(self.values[i]), to_float(diff.values[i]), slope);
        }
      }
    }
  }
  Pack<T, width> pack;
  for (int i = 0; i < width; ++i)
    pack.values[i] = from_float<T>(sums[i]);
  store<width>(diff_src + item() * width, pack);
}

Place place_of(const std::array<std::int64_t, 3>& axes) {
  return {static_cast<int>(axes[0]), static_cast<int>(axes[1]), static_cast<int>(axes[2])};
}

/// What a pool's launches need: threads for the windows and, where windows do not cover, for the source.
struct Launches {
  PoolShape shape;
  DType dtype = DType::f32;
  std::int64_t windows = 0, elements = 0;  // threads
  bool covers = false, cube = false;       // cube: 2 x 2 x 2

  Launches(const Pool& pool, const TensorDesc& src, const Shape& dst) : dtype(src.dtype) {
    const PoolWindow window(pool, src, dst);
    const std::int64_t vectors = padded(window.src.c) * static_cast<std::int64_t>(size_of(src.dtype)) / access_bytes;
    shape.src = place_of({window.src.d, window.src.h, window.src.w});
    shape.dst = place_of({window.dst.d, window.dst.h, window.dst.w});
    shape.kernel = place_of(window.kernel);
    shape.stride = place_of(window.stride);
    shape.vectors = static_cast<unsigned>(vectors);
    windows = window.dst.n * window.dst.d * window.dst.h * window.dst.w * vectors;
    elements = window.src.n * window.src.d * window.src.h * window.src.w * vectors;
    covers = window.covers();
    cube = window.kernel == std::array<std::int64_t, 3>{2, 2, 2};
    TRAINMARK_CHECK(elements < std::int64_t{1} << 32, "a pool's vectors are numbered in 32 bits");
    const std::int64_t reach = window.kernel[0] * window.src.h * window.src.w * padded(window.src.c);
    TRAINMARK_CHECK(reach < std::int64_t{1} << 31, "offsets within a pool's window fit 32 bits");
  }
};

}  // namespace

Planned plan_pool(const Pool& pool, const Operands& operands) {
  const Launches plan(pool, operands.inputs[0], operands.outputs[0].shape);
  auto body = [plan](cudaStream_t stream, std::span<void* const> args) {
    with_type(plan.dtype, [&]<class T>(Type<T>) {
      launch("pool_forward", plan.cube ? pool_forward<T, 2> : pool_forward<T, 0>, one_thread_each(plan.windows), stream,
             static_cast<const T*>(args[0]), static_cast<T*>(args[1]), plan.shape, plan.windows);
    });
  };
  return planned(body, as_activations(operands.outputs));
}

Planned plan_pool_backward(const Pool& pool, const Activation* activation, const Operands& operands) {
  const Launches plan(pool, operands.inputs[0], operands.inputs[1].shape);
  const float slope = activation != nullptr ? activation->slope : 1.0F;
  auto body = [plan, slope](cudaStream_t stream, std::span<void* const> args) {
    with_type(plan.dtype, [&]<class T>(Type<T>) {
      const auto* src = static_cast<const T*>(args[0]);
      const auto* diff_dst = static_cast<const T*>(args[1]);
      auto* diff_src = static_cast<T*>(args[2]);
      if (plan.covers) {
        launch("pool_backward_covering", plan.cube ? pool_backward_covering<T, 2> : pool_backward_covering<T, 0>,
               one_thread_each(plan.windows), stream, src, diff_dst, diff_src, plan.shape, plan.windows, slope);
      } else {
        launch("pool_backward_gathering", pool_backward_gathering<T>, one_thread_each(plan.elements), stream, src,
               diff_dst, diff_src, plan.shape, plan.elements, slope);
      }
    });
  };
  std::optional<std::pair<int, int>> in_place;
  if (plan.covers) in_place = {{0, 0}};
  return planned(body, as_activations(operands.outputs), in_place);
}

}  // namespace trainmark::cuda

// Max pooling over channels-last tensors. The backward pass finds each window's first maximum again instead of storing
// an index, in place over the activations. Where windows overlap or leave a rest each element of the source collects
// the shares of the windows that it won, in their order.
#include "backend/cuda/ops/pool_shape.cuh"

namespace trainmark::cuda {
namespace {

template <class T, int Side>
__global__ void __launch_bounds__(block_threads)
    pool_forward(const T* src, T* dst, PoolShape shape, std::int64_t windows) {
  constexpr int width = vector_width<T>;
  if (item() >= windows) return;
  const int channels = static_cast<int>(shape.vectors) * width;
  const Spot spot = spot_of(item(), shape.dst, shape.vectors, width);
  const Place first = window_start(spot.at, shape);
  const std::int64_t start = offset_of(spot.n, first, shape.src, channels) + spot.channel;
  float best[width] = {};
  bool any = false;
  over_taps<Side>(shape, first, channels, [&](int, int offset) {
    const Pack<T, width> pack = load<width>(src + start + offset);
    for (int i = 0; i < width; ++i) {
      const float value = to_float(pack.values[i]);
      best[i] = !any || beats(value, best[i]) ? value : best[i];
    }
    any = true;
  });
  Pack<T, width> pack;
  for (int i = 0; i < width; ++i)
    pack.values[i] = from_float<T>(best[i]);
  store<width>(dst + item() * width, pack);
}

/// Each element of the source is in one window: a thread owns a window, and may write over what it has read.
template <class T, int Side>
__global__ void __launch_bounds__(block_threads)
    pool_backward_covering(const T* src, const T* diff_dst, T* diff_src, PoolShape shape, std::int64_t windows) {
  constexpr int width = vector_width<T>;
  if (item() >= windows) return;
  const int channels = static_cast<int>(shape.vectors) * width;
  const Spot spot = spot_of(item(), shape.dst, shape.vectors, width);
  const std::int64_t start = offset_of(spot.n, window_start(spot.at, shape), shape.src, channels) + spot.channel;
  const auto winners = winners_of<Side>(shape, src + start, channels);
  const Pack<T, width> share = load<width>(diff_dst + item() * width);
  over_taps<Side>(shape, {}, channels, [&](int tap, int offset) {
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
__device__ inline Span windows_over(int place, int pad, int kernel, int stride, int windows) {
  const int at = place + pad;
  const int first = at < kernel ? 0 : (at - kernel) / stride + 1;
  const int last = at / stride;
  return {first, last < windows ? last : windows - 1};
}

template <class T>
__global__ void __launch_bounds__(block_threads, 3)  // without the 3 the compiler saves registers and spills
    pool_backward_gathering(const T* src, const T* diff_dst, T* diff_src, PoolShape shape, std::int64_t elements) {
  constexpr int width = vector_width<T>;
  if (item() >= elements) return;
  const int channels = static_cast<int>(shape.vectors) * width;
  const Spot spot = spot_of(item(), shape.src, shape.vectors, width);
  const Span over_d = windows_over(spot.at.d, shape.pad.d, shape.kernel.d, shape.stride.d, shape.dst.d);
  const Span over_h = windows_over(spot.at.h, shape.pad.h, shape.kernel.h, shape.stride.h, shape.dst.h);
  const Span over_w = windows_over(spot.at.w, shape.pad.w, shape.kernel.w, shape.stride.w, shape.dst.w);
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
        over_taps<0>(shape, start, channels, [&](int tap, int offset) {
          const auto others = load<width>(src + offset_of(spot.n, start, shape.src, channels) + spot.channel + offset);
          for (int i = 0; i < width; ++i) {
            const float value = to_float(others.values[i]);
            const float mine = to_float(self.values[i]);
            beaten |= (tap < own ? !beats(mine, value) : tap > own && beats(value, mine)) ? 1U << i : 0U;
          }
        });
        const auto diff = load<width>(diff_dst + offset_of(spot.n, window, shape.dst, channels) + spot.channel);
        for (int i = 0; i < width; ++i) {
          if ((beaten >> i & 1U) == 0) sums[i] += to_float(diff.values[i]);
        }
      }
    }
  }
  Pack<T, width> pack;
  for (int i = 0; i < width; ++i)
    pack.values[i] = from_float<T>(sums[i]);
  store<width>(diff_src + item() * width, pack);
}

/// What a pool's launches need: threads for the windows and, where windows do not cover, for the source.
struct Launches {
  PoolShape shape;
  DType dtype = DType::f32;
  std::int64_t windows = 0, elements = 0;  // threads
  bool covers = false, cube = false;       // cube: 2 x 2 x 2

  Launches(const Pool& pool, const TensorDesc& src, const Shape& dst) : dtype(src.dtype) {
    const PoolWindow window(pool, src, dst);
    shape = pool_shape(window, src.dtype);
    windows = window.dst.n * window.dst.d * window.dst.h * window.dst.w * shape.vectors;
    elements = window.src.n * window.src.d * window.src.h * window.src.w * shape.vectors;
    covers = window.covers();
    cube = window.kernel == std::array<std::int64_t, 3>{2, 2, 2};
  }
};

}  // namespace

Planned plan_op(const Pool& pool, const Operands& operands) {
  const Launches plan(pool, operands.inputs[0], operands.outputs[0].shape);
  auto body = [plan](cudaStream_t stream, std::span<void* const> args) {
    with_type(plan.dtype, [&]<class T>(Type<T>) {
      launch("pool_forward", plan.cube ? pool_forward<T, 2> : pool_forward<T, 0>, one_thread_each(plan.windows), stream,
             static_cast<const T*>(args[0]), static_cast<T*>(args[1]), plan.shape, plan.windows);
    });
  };
  return planned(body, as_activations(operands.outputs));
}

Planned plan_op(const PoolBackward& op, const Operands& operands) {
  const Launches plan(op.pool, operands.inputs[0], operands.inputs[1].shape);
  auto body = [plan](cudaStream_t stream, std::span<void* const> args) {
    with_type(plan.dtype, [&]<class T>(Type<T>) {
      const auto* src = static_cast<const T*>(args[0]);
      const auto* diff_dst = static_cast<const T*>(args[1]);
      auto* diff_src = static_cast<T*>(args[2]);
      if (plan.covers) {
        launch("pool_backward_covering", plan.cube ? pool_backward_covering<T, 2> : pool_backward_covering<T, 0>,
               one_thread_each(plan.windows), stream, src, diff_dst, diff_src, plan.shape, plan.windows);
      } else {
        launch("pool_backward_gathering", pool_backward_gathering<T>, one_thread_each(plan.elements), stream, src,
               diff_dst, diff_src, plan.shape, plan.elements);
      }
    });
  };
  std::vector<InPlace> in_place;
  if (plan.covers) in_place = {{0, 0}};
  return planned(body, as_activations(operands.outputs), in_place);
}

Planned plan_op(const PoolActivationBackward&, const Operands&) {
  TRAINMARK_CHECK(false, "refused: see the backend");
  return {};
}

}  // namespace trainmark::cuda

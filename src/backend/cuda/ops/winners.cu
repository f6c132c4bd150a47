// A convolution's output is the largest tensor of a layer. Kept as its windows' winners it takes a sixteenth of the
// memory until the backward pass, which then reads no activation at all, and sums the bias gradient where the gradient
// is an eighth of the size.
#include "backend/cuda/ops/winners.hpp"

#include "backend/cuda/ops/pool_shape.cuh"
#include "backend/cuda/ops/row_sums.cuh"

namespace trainmark::cuda {
namespace {

constexpr std::uint8_t above_zero = 0x80;  // beside the winner's number
constexpr int side = 2;

/// What stands between a convolution and its pool; `channels` have a bias, the padding behind them has none.
struct Epilogue {
  const float* bias;
  int channels;
  float slope;
};

template <class T>
__global__ void __launch_bounds__(block_threads)
    pool_to_winners(const T* src, T* dst, std::uint8_t* winner, PoolShape shape, Epilogue last, std::int64_t items) {
  constexpr int width = vector_width<T>;
  if (item() >= items) return;
  const int channels = static_cast<int>(shape.vectors) * width;
  const Spot spot = spot_of(item(), shape.dst, shape.vectors, width);
  const std::int64_t start = offset_of(spot.n, window_start(spot.at, shape), shape.src, channels) + spot.channel;
  const auto winners = winners_of<side>(shape, src + start, channels);
  Pack<T, width> best;
  Pack<std::uint8_t, width> bytes;
  for (int i = 0; i < width; ++i) {
    const int channel = static_cast<int>(spot.channel) + i;
    const float value = winners.best[i] + (channel < last.channels ? last.bias[channel] : 0.0F);
    const bool above = value > 0.0F;
    best.values[i] = from_float<T>(above ? value : last.slope * value);
    bytes.values[i] = static_cast<std::uint8_t>(winners.tap[i] | (above ? static_cast<int>(above_zero) : 0));
  }
  store<width>(dst + item() * width, best);
  if (winner != nullptr) store<width>(winner + item() * width, bytes);
}

/// A row is a window. Every element of the volume is written: what did not win gets zero.
template <class T>
__global__ void __launch_bounds__(block_threads)
    winners_to_volume(const std::uint8_t* winner, const T* diff_dst, T* diff_src, PoolShape shape, RowDeal deal,
                      float slope, float* partial) {
  constexpr int width = vector_width<T>;
  auto* slots = dynamic_shared<float>();
  const RowShare share = share_of<width>(deal);
  const auto channels = static_cast<int>(deal.stored);
  Pack<float, width> sums{};
  for (std::int64_t row = share.first; row < share.end; row += deal.lanes) {
    const std::int64_t at = row * deal.stored + share.column;
    const auto bytes = load<width>(winner + at);
    Pack<T, width> diff = load<width>(diff_dst + at);
    for (int i = 0; i < width; ++i) {
      if ((bytes.values[i] & above_zero) == 0) diff.values[i] = from_float<T>(slope * to_float(diff.values[i]));
      sums.values[i] += to_float(diff.values[i]);
    }
    const Spot spot = spot_of(row, shape.dst, 1, width);
    const std::int64_t start = offset_of(spot.n, window_start(spot.at, shape), shape.src, channels) + share.column;
    over_taps<side>(shape, {}, channels, [&](int tap, int offset) {
      Pack<T, width> pack;
      for (int i = 0; i < width; ++i)
        pack.values[i] = (bytes.values[i] & ~above_zero) == tap ? diff.values[i] : from_float<T>(0.0F);
      store<width>(diff_src + start + offset, pack);
    });
  }
  sum_lanes<width>(deal, share, sums, slots, partial);
}

RowDeal deal_of(std::int64_t windows, std::int64_t channels, int width) { return {windows, padded(channels), width}; }

}  // namespace

CubePool::CubePool(const ConvBlock& block, const TensorDesc& src, const Shape& dst)
    : pool_(block.pool),
      slope_(block.activation.slope),
      src_(src),
      dst_(dst),
      windows_(dst.elements() / dst[1]),
      channels_(dst[1]) {}

void CubePool::forward(cudaStream_t stream, const void* src, const float* bias, void* dst, void* winner) const {
  const PoolShape shape = pool_shape(PoolWindow(pool_, src_, dst_), src_.dtype);
  const std::int64_t items = windows_ * shape.vectors;
  with_type(src_.dtype, [&]<class T>(Type<T>) {
    launch("pool_to_winners", pool_to_winners<T>, one_thread_each(items), stream, static_cast<const T*>(src),
           static_cast<T*>(dst), static_cast<std::uint8_t*>(winner), shape,
           Epilogue{bias, static_cast<int>(channels_), slope_}, items);
  });
}

void CubePool::backward(cudaStream_t stream, const void* winner, const void* diff_dst, void* diff_src,
                        float* partial) const {
  const PoolShape shape = pool_shape(PoolWindow(pool_, src_, dst_), src_.dtype);
  with_type(src_.dtype, [&]<class T>(Type<T>) {
    const RowDeal deal = deal_of(windows_, channels_, vector_width<T>);
    launch("winners_to_volume", winners_to_volume<T>, deal.launch(bias_sums().parts, vector_width<T>), stream,
           static_cast<const std::uint8_t*>(winner), static_cast<const T*>(diff_dst), static_cast<T*>(diff_src), shape,
           deal, slope_, partial);
  });
}

/// As many parts as keep every lane busy.
PartialSums CubePool::bias_sums() const {
  const auto width = static_cast<int>(access_bytes / static_cast<std::int64_t>(size_of(src_.dtype)));
  const RowDeal deal = deal_of(windows_, channels_, width);
  return {std::clamp<std::int64_t>(windows_ / deal.lanes, 1, most_row_parts), channels_, padded(channels_)};
}

TensorDesc volume_under(const TensorDesc& pooled) {
  Shape shape = pooled.shape;
  for (std::size_t axis = 2; axis < shape.rank(); ++axis)
    shape[axis] *= side;
  return activation_desc(shape, pooled.dtype);
}

bool ends_in_cubes(const ConvBlock& block, const Shape& src, const Shape& dst) {
  const std::vector<int> twos(3, side);
  if (!block.has_pool || block.pool.kernel != twos || block.pool.stride != twos || src.rank() != 5) return false;
  for (std::size_t axis = 0; axis < twos.size(); ++axis) {
    if (convolved_extent(block.conv, axis, src[axis + 2]) != side * dst[axis + 2]) return false;
  }
  return block.activation.curve == Curve::leaky_relu && block.activation.slope >= 0.0F;
}

}  // namespace trainmark::cuda

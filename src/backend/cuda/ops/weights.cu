// Between the logical order of parameters and gradients and the order and type of the graphs, and the sum over rows
// that is a bias gradient. Parameters lie anywhere in their arena, so fp32 is read and written four bytes at a time
// there; what lies in scratch memory moves in whole vectors.
#include "backend/cuda/ops/row_sums.cuh"
#include "backend/cuda/plans.hpp"

namespace trainmark::cuda {
namespace {

// --- Element by element ----------------------------------------------------------------------------------------------

constexpr int convert_width = 8;

template <class From, class To, int Width>
__global__ void __launch_bounds__(block_threads) convert_range(const From* from, To* to, std::int64_t count) {
  const std::int64_t at = item() * Width;
  if (at >= count) return;
  const Pack<From, Width> pack = load<Width>(from + at, count - at);
  Pack<To, Width> result;
  for (int i = 0; i < Width; ++i)
    result.values[i] = from_float<To>(to_float(pack.values[i]));
  store<Width>(to + at, result, count - at);
}

// --- Between orders --------------------------------------------------------------------------------------------------

/// Where rows of `inner` elements lie in rows of `stored` ones: nothing but padding stands between the two orders.
struct PaddedRows {
  std::int64_t rows, inner, stored_rows, stored;
};
template <class T>
__global__ void __launch_bounds__(block_threads) pad_rows(const float* from, T* to, PaddedRows shape) {
  const std::int64_t row = item() / shape.stored;
  const std::int64_t column = item() % shape.stored;
  if (row >= shape.stored_rows) return;
  const bool real = row < shape.rows && column < shape.inner;
  to[item()] = from_float<T>(real ? from[row * shape.inner + column] : 0.0F);
}
template <class T>
__global__ void __launch_bounds__(block_threads) drop_padding(const T* from, float* to, PaddedRows shape) {
  const std::int64_t row = item() / shape.inner;
  if (row < shape.rows) to[item()] = to_float(from[row * shape.stored + item() % shape.inner]);
}

/// Part of the inner indices of one outer index, which a block turns round in shared memory: [inner, spatial] on the
/// logical side, [spatial, stored_inner] on the stored one.
struct Tiles {
  std::int64_t inner, stored_inner, spatial;
  std::int64_t outer;
  int tile;   // inner indices of a block, a multiple of `channel_multiple`
  int tiles;  // of an outer index
};
struct Tile {
  std::int64_t outer, first;
  int real, stored;  // inner indices that exist, and those with their padding
};
__device__ inline Tile tile_of(const Tiles& shape) {
  const std::int64_t outer = blockIdx.x / shape.tiles;
  const std::int64_t first = static_cast<std::int64_t>(blockIdx.x % shape.tiles) * shape.tile;
  const std::int64_t real = outer < shape.outer ? shape.inner - first : 0;
  const std::int64_t stored = shape.stored_inner - first;
  return {outer, first, static_cast<int>(real < 0 ? 0 : (real < shape.tile ? real : shape.tile)),
          static_cast<int>(stored < shape.tile ? stored : shape.tile)};
}

template <class T>
__global__ void __launch_bounds__(block_threads) pack_tiles(const float* from, T* to, Tiles shape) {
  constexpr int width = static_cast<int>(channel_multiple);
  auto* values = dynamic_shared<float>();
  const Tile tile = tile_of(shape);
  const int spatial = static_cast<int>(shape.spatial);
  const float* source = from + (tile.outer * shape.inner + tile.first) * spatial;
  const int threads = static_cast<int>(blockDim.x);
  for (int i = static_cast<int>(threadIdx.x); i < tile.stored * spatial; i += threads)
    values[i] = i < tile.real * spatial ? source[i] : 0.0F;
  __syncthreads();
  T* target = to + tile.outer * spatial * shape.stored_inner + tile.first;
  const int vectors = tile.stored / width;
  for (int i = static_cast<int>(threadIdx.x); i < vectors * spatial; i += threads) {
    const int inner = i % vectors * width;
    const int place = i / vectors;
    Pack<T, width> pack;
    for (int k = 0; k < width; ++k)
      pack.values[k] = from_float<T>(values[(inner + k) * spatial + place]);
    store<width>(target + place * shape.stored_inner + inner, pack);
  }
}

template <class T>
__global__ void __launch_bounds__(block_threads) unpack_tiles(const T* from, float* to, Tiles shape) {
  constexpr int width = static_cast<int>(channel_multiple);
  auto* values = dynamic_shared<float>();
  const Tile tile = tile_of(shape);
  const int spatial = static_cast<int>(shape.spatial);
  const T* source = from + tile.outer * spatial * shape.stored_inner + tile.first;
  const int threads = static_cast<int>(blockDim.x);
  const int vectors = tile.stored / width;
  for (int i = static_cast<int>(threadIdx.x); i < vectors * spatial; i += threads) {
    const int inner = i % vectors * width;
    const int place = i / vectors;
    const Pack<T, width> pack = load<width>(source + place * shape.stored_inner + inner);
    for (int k = 0; k < width; ++k)
      values[(inner + k) * spatial + place] = to_float(pack.values[k]);
  }
  __syncthreads();
  float* target = to + (tile.outer * shape.inner + tile.first) * spatial;
  for (int i = static_cast<int>(threadIdx.x); i < tile.real * spatial; i += threads)
    target[i] = values[i];
}

/// Orders that differ by padding alone.
bool same_order(const WeightOrder& order) { return order.spatial_first || order.spatial == 1 || order.inner == 1; }

PaddedRows rows_of(const WeightOrder& order) {
  return {order.outer * order.spatial, order.inner, order.stored_outer * order.spatial, order.stored_inner};
}

struct TileLaunch {
  Tiles tiles;
  LaunchShape shape;
};
TileLaunch tiles_of(const WeightOrder& order, std::int64_t blocks_outer) {
  constexpr std::int64_t most_tile = 64;                           // inner indices
  constexpr std::int64_t most_values = 48 * 1024 / sizeof(float);  // what a block may have without asking
  const std::int64_t fitting = most_values / order.spatial / channel_multiple * channel_multiple;
  TRAINMARK_CHECK(fitting > 0, "kernels of convolutions have at most 1536 taps");
  TRAINMARK_CHECK(order.stored_inner % channel_multiple == 0, "channels are padded");
  const std::int64_t tile = std::min({most_tile, fitting, order.stored_inner});
  const std::int64_t tiles = ceil_div(order.stored_inner, tile);
  TileLaunch launch{.tiles = {order.inner, order.stored_inner, order.spatial, order.outer, static_cast<int>(tile),
                              static_cast<int>(tiles)},
                    .shape = {}};
  launch.shape.grid.x = static_cast<unsigned>(blocks_outer * tiles);
  launch.shape.block.x = block_threads;
  launch.shape.shared_bytes = static_cast<std::size_t>(tile * order.spatial) * sizeof(float);
  return launch;
}

// --- Sums over rows --------------------------------------------------------------------------------------------------

constexpr std::int64_t least_part = 128;  // rows

std::int64_t parts_of(std::int64_t rows) { return std::clamp<std::int64_t>(rows / least_part, 1, most_row_parts); }

template <class T, int Width>
__global__ void __launch_bounds__(block_threads) sum_part(const T* from, RowDeal deal, float* partial) {
  auto* slots = dynamic_shared<float>();
  const RowShare share = share_of<Width>(deal);
  Pack<float, Width> sums{};
  for (std::int64_t row = share.first; row < share.end; row += deal.lanes) {
    const Pack<T, Width> pack = load<Width>(from + row * deal.stored + share.column);
    for (int i = 0; i < Width; ++i)
      sums.values[i] += to_float(pack.values[i]);
  }
  sum_lanes<Width>(deal, share, sums, slots, partial);
}

__global__ void __launch_bounds__(column_threads* part_threads)
    sum_parts(const float* partial, std::int64_t parts, std::int64_t channels, std::int64_t stored, float* to) {
  __shared__ ColumnSlots slots;
  const double sum = column_sum(partial, parts, channels, stored, slots);
  if (threadIdx.y == 0 && own_column() < channels) to[own_column()] = static_cast<float>(sum);
}

template <class T, int Width>
void launch_sum_part(cudaStream_t stream, const T* from, std::int64_t rows, std::int64_t stored, float* partial) {
  const RowDeal deal(rows, stored, Width);
  launch("sum_part", sum_part<T, Width>, deal.launch(parts_of(rows), Width), stream, from, deal, partial);
}

}  // namespace

void convert(cudaStream_t stream, const void* from, DType from_type, void* to, DType to_type, std::int64_t count) {
  const bool vectors = misaligned_bytes(from) == 0 && misaligned_bytes(to) == 0;
  const LaunchShape shape = one_thread_each(vectors ? ceil_div(count, convert_width) : count);
  with_type(from_type, [&]<class From>(Type<From>) {
    with_type(to_type, [&]<class To>(Type<To>) {
      launch("convert_range", vectors ? convert_range<From, To, convert_width> : convert_range<From, To, 1>, shape,
             stream, static_cast<const From*>(from), static_cast<To*>(to), count);
    });
  });
}

void pack_weights(cudaStream_t stream, const WeightOrder& order, const float* from, void* to, DType type) {
  with_type(type, [&]<class T>(Type<T>) {
    auto* target = static_cast<T*>(to);
    if (!same_order(order)) {
      const TileLaunch tiles = tiles_of(order, order.stored_outer);
      launch("pack_tiles", pack_tiles<T>, tiles.shape, stream, from, target, tiles.tiles);
    } else if (order.inner == order.stored_inner && order.outer == order.stored_outer) {
      convert(stream, from, DType::f32, to, type, order.stored());
    } else {
      launch("pad_rows", pad_rows<T>, one_thread_each(order.stored()), stream, from, target, rows_of(order));
    }
  });
}

void unpack_weights(cudaStream_t stream, const WeightOrder& order, const void* from, DType type, float* to) {
  with_type(type, [&]<class T>(Type<T>) {
    const auto* source = static_cast<const T*>(from);
    if (same_order(order)) {
      const PaddedRows rows = rows_of(order);
      launch("drop_padding", drop_padding<T>, one_thread_each(rows.rows * rows.inner), stream, source, to, rows);
    } else {
      const TileLaunch tiles = tiles_of(order, order.outer);
      launch("unpack_tiles", unpack_tiles<T>, tiles.shape, stream, source, to, tiles.tiles);
    }
  });
}

std::size_t bias_scratch_bytes(std::int64_t rows, std::int64_t stored_channels) {
  return static_cast<std::size_t>(parts_of(rows) * stored_channels) * sizeof(float);
}

void sum_rows(cudaStream_t stream, const void* from, DType type, std::int64_t rows, std::int64_t channels,
              std::int64_t stored_channels, float* to, void* scratch) {
  auto* partial = static_cast<float*>(scratch);
  with_type(type, [&]<class T>(Type<T>) {
    const auto* values = static_cast<const T*>(from);
    if (stored_channels % vector_width<T> == 0 && misaligned_bytes(from) == 0) {
      launch_sum_part<T, vector_width<T>>(stream, values, rows, stored_channels, partial);
    } else {
      launch_sum_part<T, 1>(stream, values, rows, stored_channels, partial);
    }
  });
  add_parts(stream, partial, parts_of(rows), channels, stored_channels, to);
}

void add_parts(cudaStream_t stream, const float* partial, std::int64_t parts, std::int64_t channels,
               std::int64_t stored_channels, float* to) {
  launch("sum_parts", sum_parts, add_parts_shape(parts, channels), stream, partial, parts, channels, stored_channels,
         to);
}

}  // namespace trainmark::cuda

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

/// Orders that differ by padding alone.
bool same_order(const WeightOrder& order) { return order.spatial_first || order.spatial == 1 || order.inner == 1; }

PaddedRows rows_of(const WeightOrder& order) {
  return {order.outer * order.spatial, order.inner, order.stored_outer * order.spatial, order.stored_inner};
}

// --- Sums over rows --------------------------------------------------------------------------------------------------

constexpr std::int64_t least_part = 128;  // rows

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
  launch("sum_part", sum_part<T, Width>, deal.launch(bias_parts(rows), Width), stream, from, deal, partial);
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
  if (!same_order(order)) return pack_tiles(stream, order, from, to, type);
  if (order.inner == order.stored_inner && order.outer == order.stored_outer)
    return convert(stream, from, DType::f32, to, type, order.stored());
  with_type(type, [&]<class T>(Type<T>) {
    launch("pad_rows", pad_rows<T>, one_thread_each(order.stored()), stream, from, static_cast<T*>(to), rows_of(order));
  });
}

void unpack_weights(cudaStream_t stream, const WeightOrder& order, const void* from, DType type, float* to) {
  if (!same_order(order)) return unpack_tiles(stream, order, from, type, to);
  const PaddedRows rows = rows_of(order);
  with_type(type, [&]<class T>(Type<T>) {
    launch("drop_padding", drop_padding<T>, one_thread_each(rows.rows * rows.inner), stream,
           static_cast<const T*>(from), to, rows);
  });
}

std::int64_t bias_parts(std::int64_t rows) { return std::clamp<std::int64_t>(rows / least_part, 1, most_row_parts); }
std::size_t bias_scratch_bytes(std::int64_t rows, std::int64_t stored_channels) {
  return static_cast<std::size_t>(bias_parts(rows) * stored_channels) * sizeof(float);
}

void sum_row_parts(cudaStream_t stream, const void* from, DType type, std::int64_t rows, std::int64_t stored_channels,
                   float* partial) {
  with_type(type, [&]<class T>(Type<T>) {
    const auto* values = static_cast<const T*>(from);
    if (stored_channels % vector_width<T> == 0 && misaligned_bytes(from) == 0) {
      launch_sum_part<T, vector_width<T>>(stream, values, rows, stored_channels, partial);
    } else {
      launch_sum_part<T, 1>(stream, values, rows, stored_channels, partial);
    }
  });
}

void sum_rows(cudaStream_t stream, const void* from, DType type, std::int64_t rows, std::int64_t channels,
              std::int64_t stored_channels, float* to, void* scratch) {
  auto* partial = static_cast<float*>(scratch);
  sum_row_parts(stream, from, type, rows, stored_channels, partial);
  add_parts(stream, partial, {bias_parts(rows), channels, stored_channels}, to);
}

void add_parts(cudaStream_t stream, const float* partial, const PartialSums& sums, float* to) {
  launch("sum_parts", sum_parts, add_parts_shape(sums.parts, sums.channels), stream, partial, sums.parts, sums.channels,
         sums.stored, to);
}

}  // namespace trainmark::cuda

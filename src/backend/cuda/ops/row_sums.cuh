// Sums over the rows of a matrix, column by column and in a fixed order: rows are cut into parts, a block each, and
// dealt to the block's lanes. What kernels do with a row on the way is theirs; column_sum ends all of them.
#pragma once

#include <bit>

#include "backend/cuda/device_side.cuh"
#include "backend/cuda/element.cuh"

namespace trainmark::cuda {

inline constexpr std::int64_t most_row_parts = 1024;

/// Block (part, group of columns): `vectors` threads wide and `lanes`, a power of two, high.
struct RowDeal {
  std::int64_t rows, stored;  ///< stored: elements of a row
  int vectors, lanes;

  RowDeal(std::int64_t all_rows, std::int64_t stored_columns, int width)
      : rows(all_rows),
        stored(stored_columns),
        vectors(static_cast<int>(std::min<std::int64_t>(ceil_div(stored, width), block_threads))),
        lanes(static_cast<int>(std::bit_floor(static_cast<unsigned>(block_threads / vectors)))) {}

  [[nodiscard]] LaunchShape launch(std::int64_t parts, int width) const {
    LaunchShape shape;
    shape.grid = dim3(static_cast<unsigned>(parts),
                      static_cast<unsigned>(ceil_div(stored, static_cast<std::int64_t>(vectors) * width)));
    shape.block.x = static_cast<unsigned>(ceil_div(static_cast<std::int64_t>(vectors) * lanes, 32) * 32);
    shape.shared_bytes = static_cast<std::size_t>(shape.block.x) * static_cast<std::size_t>(width) * sizeof(float);
    return shape;
  }
};

/// One thread's columns and rows: from `first` to `end` in steps of `lanes`; none for a thread without work.
struct RowShare {
  int lane;
  bool works;
  std::int64_t column, first, end;
};
template <int Width>
__device__ RowShare share_of(const RowDeal& deal) {
  const int lane = static_cast<int>(threadIdx.x) / deal.vectors;
  const int vector = static_cast<int>(threadIdx.x) % deal.vectors;
  const std::int64_t column = (static_cast<std::int64_t>(blockIdx.y) * deal.vectors + vector) * Width;
  const std::int64_t length = (deal.rows + gridDim.x - 1) / gridDim.x;
  const std::int64_t begin = blockIdx.x * length;
  const std::int64_t end = begin + length < deal.rows ? begin + length : deal.rows;
  const bool works = lane < deal.lanes && column < deal.stored;
  return {lane, works, column, begin + lane, works ? end : 0};
}

/// Adds the lanes' sums pairwise and leaves the block's in partial[part][column]. `slots`: dynamic shared memory.
template <int Width>
__device__ void sum_lanes(const RowDeal& deal, const RowShare& share, Pack<float, Width> sums, float* slots,
                          float* partial) {
  float* own = slots + static_cast<int>(threadIdx.x) * Width;
  for (int half = deal.lanes / 2; half > 0; half /= 2) {
    if (share.works && share.lane >= half && share.lane < 2 * half) store<Width>(own, sums);
    __syncthreads();
    if (share.works && share.lane < half) {
      const Pack<float, Width> others = load<Width>(own + half * deal.vectors * Width);
      for (int i = 0; i < Width; ++i)
        sums.values[i] += others.values[i];
    }
  }
  if (share.works && share.lane == 0) store<Width>(partial + blockIdx.x * deal.stored + share.column, sums);
}

inline constexpr int column_threads = 32, part_threads = 32;
using ColumnSlots = double[part_threads][column_threads];
/// Blocks of 32 columns; each of a block's rows of threads takes every so many-th part.
[[nodiscard]] inline LaunchShape add_parts_shape(std::int64_t parts, std::int64_t columns) {
  LaunchShape shape;
  shape.grid.x = static_cast<unsigned>(ceil_div(columns, column_threads));
  shape.block = dim3(column_threads, static_cast<unsigned>(std::min<std::int64_t>(parts, part_threads)));
  return shape;
}
/// The column of a thread in such a launch.
__device__ inline std::int64_t own_column() {
  return static_cast<std::int64_t>(blockIdx.x) * column_threads + threadIdx.x;
}
/// Sum over parts of partial[part][own column], for columns below `columns`; the block's first row of threads has it.
__device__ inline double column_sum(const float* partial, std::int64_t parts, std::int64_t columns, std::int64_t stored,
                                    ColumnSlots& slots) {
  const std::int64_t column = own_column();
  double sum = 0.0;
  for (std::int64_t part = threadIdx.y; column < columns && part < parts; part += blockDim.y)
    sum += static_cast<double>(partial[part * stored + column]);
  __syncthreads();  // the slots may hold an earlier sum
  slots[threadIdx.y][threadIdx.x] = sum;
  __syncthreads();
  if (threadIdx.y != 0) return 0.0;
  for (unsigned i = 1; i < blockDim.y; ++i)
    sum += slots[i][threadIdx.x];
  return sum;
}

}  // namespace trainmark::cuda

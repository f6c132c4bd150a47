// Many tensors between logical order and that of the graphs in one launch: weights before a step's convolutions read
// them, gradients once a bucket's are there. A block finds its tensor in a table that travels in the kernel's
// parameters and turns a tile of it round in shared memory.
#include "backend/cuda/layout.hpp"
#include "backend/cuda/ops/row_sums.cuh"
#include "backend/cuda/plans.hpp"

namespace trainmark::cuda {
namespace {

constexpr int width = static_cast<int>(channel_multiple);
constexpr std::int64_t tile_values = 64 * 27;                    // that a block is worth, of kernels of any extent
constexpr std::int64_t most_values = 48 * 1024 / sizeof(float);  // what a block may have without asking

/// A tensor on its way. Weights are cut into tiles, parts of the inner indices of one outer index, which are [inner,
/// spatial] on the logical side and [spatial, stored_inner] on the stored one. Parts of sums ([spatial, stored_inner],
/// of whose columns `inner` count) are cut into columns: `tile` is 0.
struct Region {
  const void* from;
  void* to;
  int outer, inner, stored_inner, spatial;
  int tile;   ///< inner indices of a block, a multiple of `channel_multiple`
  int tiles;  ///< of an outer index
  int first_block;
};
/// The regions of one launch. With what else there is they fit a kernel's 4 KB of parameters.
struct RegionTable {
  static constexpr int most = 80;
  int count = 0;
  int blocks = 0;
  int shared_bytes = 0;
  Region regions[most];

  [[nodiscard]] __device__ const Region& of_block(int block) const {
    int low = 0;
    int high = count - 1;
    while (low < high) {
      const int middle = (low + high + 1) / 2;
      if (block < regions[middle].first_block) {
        high = middle - 1;
      } else {
        low = middle;
      }
    }
    return regions[low];
  }

  /// `outer`: outer indices that get blocks; all that are stored, or those that exist.
  void add(const WeightOrder& order, std::int64_t outer) {
    TRAINMARK_CHECK(order.stored_inner % width == 0, "channels are padded");
    const std::int64_t tile =
        std::min(std::max<std::int64_t>(tile_values / order.spatial / width * width, width), order.stored_inner);
    TRAINMARK_CHECK(tile * order.spatial <= most_values, "kernels of convolutions have at most 1536 taps");
    const std::int64_t tiles = ceil_div(order.stored_inner, tile);
    add({.from = nullptr,
         .to = nullptr,
         .outer = static_cast<int>(order.outer),
         .inner = static_cast<int>(order.inner),
         .stored_inner = static_cast<int>(order.stored_inner),
         .spatial = static_cast<int>(order.spatial),
         .tile = static_cast<int>(tile),
         .tiles = static_cast<int>(tiles),
         .first_block = 0},
        outer * tiles, static_cast<std::size_t>(tile * order.spatial) * sizeof(float));
  }
  void add(const PartialSums& sums) {
    add({.from = nullptr,
         .to = nullptr,
         .outer = 0,
         .inner = static_cast<int>(sums.channels),
         .stored_inner = static_cast<int>(sums.stored),
         .spatial = static_cast<int>(sums.parts),
         .tile = 0,
         .tiles = 0,
         .first_block = 0},
        ceil_div(sums.channels, column_threads), sizeof(ColumnSlots));
  }
  [[nodiscard]] LaunchShape launch_shape() const {
    LaunchShape shape;
    shape.grid.x = static_cast<unsigned>(blocks);
    shape.block.x = block_threads;
    shape.shared_bytes = static_cast<std::size_t>(shared_bytes);
    return shape;
  }

 private:
  void add(Region region, std::int64_t own_blocks, std::size_t own_shared) {
    region.first_block = blocks;
    regions[count++] = region;
    TRAINMARK_CHECK(blocks + own_blocks < std::int64_t{1} << 31, "a launch has at most 2^31 - 1 blocks");
    blocks += static_cast<int>(own_blocks);
    shared_bytes = std::max(shared_bytes, static_cast<int>(own_shared));
  }
};
static_assert(sizeof(RegionTable) <= 4096, "a kernel's parameters have 4 KB");

/// A block's part of a region.
struct Tile {
  std::int64_t outer, first;
  int real, stored;  // inner indices that exist, and those with their padding
};
__device__ inline Tile tile_of(const Region& region) {
  const int block = static_cast<int>(blockIdx.x) - region.first_block;
  const int outer = block / region.tiles;
  const int first = block % region.tiles * region.tile;
  const int real = outer < region.outer ? region.inner - first : 0;
  const int stored = region.stored_inner - first;
  return {outer, first, real < 0 ? 0 : (real < region.tile ? real : region.tile),
          stored < region.tile ? stored : region.tile};
}
__device__ inline std::int64_t logical_start(const Region& region, const Tile& tile) {
  return (tile.outer * region.inner + tile.first) * region.spatial;
}
__device__ inline std::int64_t stored_start(const Region& region, const Tile& tile) {
  return tile.outer * region.spatial * region.stored_inner + tile.first;
}

template <class T>
__global__ void __launch_bounds__(block_threads) pack_regions(const __grid_constant__ RegionTable table) {
  auto* values = dynamic_shared<float>();
  const Region& region = table.of_block(static_cast<int>(blockIdx.x));
  const Tile tile = tile_of(region);
  const float* source = static_cast<const float*>(region.from) + logical_start(region, tile);
  const int threads = static_cast<int>(blockDim.x);
  for (int i = static_cast<int>(threadIdx.x); i < tile.stored * region.spatial; i += threads)
    values[i] = i < tile.real * region.spatial ? source[i] : 0.0F;
  __syncthreads();
  T* target = static_cast<T*>(region.to) + stored_start(region, tile);
  const int vectors = tile.stored / width;
  for (int i = static_cast<int>(threadIdx.x); i < vectors * region.spatial; i += threads) {
    const int inner = i % vectors * width;
    const int place = i / vectors;
    Pack<T, width> pack;
    for (int k = 0; k < width; ++k)
      pack.values[k] = from_float<T>(values[(inner + k) * region.spatial + place]);
    store<width>(target + place * region.stored_inner + inner, pack);
  }
}

/// A block's columns, in the order of column_sum, whose 32 rows of threads are here 8 with four sums each.
__device__ inline void add_up_parts(const Region& region, double* slots) {
  constexpr int rows = block_threads / column_threads, each = part_threads / rows;
  const int row = static_cast<int>(threadIdx.x) / column_threads,
            within = static_cast<int>(threadIdx.x) % column_threads;
  const int column = (static_cast<int>(blockIdx.x) - region.first_block) * column_threads + within;
  const auto* partial = static_cast<const float*>(region.from);
  double sums[each] = {};
  for (int part = row; column < region.inner && part < region.spatial; part += part_threads) {
    for (int k = 0; k < each; ++k) {
      const int own = part + k * rows;
      if (own < region.spatial)
        sums[k] += static_cast<double>(partial[static_cast<std::int64_t>(own) * region.stored_inner + column]);
    }
  }
  for (int k = 0; k < each; ++k)
    slots[(row + k * rows) * column_threads + within] = sums[k];
  __syncthreads();
  if (row != 0 || column >= region.inner) return;
  double sum = slots[within];
  for (int i = 1; i < part_threads && i < region.spatial; ++i)
    sum += slots[i * column_threads + within];
  static_cast<float*>(region.to)[column] = static_cast<float>(sum);
}

template <class T>
__global__ void __launch_bounds__(block_threads) unpack_regions(const __grid_constant__ RegionTable table) {
  const Region& region = table.of_block(static_cast<int>(blockIdx.x));
  if (region.tile == 0) return add_up_parts(region, dynamic_shared<double>());
  auto* values = dynamic_shared<float>();
  const Tile tile = tile_of(region);
  const T* source = static_cast<const T*>(region.from) + stored_start(region, tile);
  const int threads = static_cast<int>(blockDim.x);
  const int vectors = tile.stored / width;
  for (int i = static_cast<int>(threadIdx.x); i < vectors * region.spatial; i += threads) {
    const int inner = i % vectors * width;
    const int place = i / vectors;
    const Pack<T, width> pack = load<width>(source + place * region.stored_inner + inner);
    for (int k = 0; k < width; ++k)
      values[(inner + k) * region.spatial + place] = to_float(pack.values[k]);
  }
  __syncthreads();
  float* target = static_cast<float*>(region.to) + logical_start(region, tile);
  for (int i = static_cast<int>(threadIdx.x); i < tile.real * region.spatial; i += threads)
    target[i] = values[i];
}

void launch_pack(cudaStream_t stream, const RegionTable& table, DType type) {
  with_type(type,
            [&]<class T>(Type<T>) { launch("pack_regions", pack_regions<T>, table.launch_shape(), stream, table); });
}
void launch_unpack(cudaStream_t stream, const RegionTable& table, DType type) {
  with_type(type, [&]<class T>(Type<T>) {
    launch("unpack_regions", unpack_regions<T>, table.launch_shape(), stream, table);
  });
}

/// Regions in as many tables as they need, for launches whose arguments are all sources, then all targets.
class Regions {
 public:
  template <class... Added>
  void add(const Added&... added) {
    if (tables_.empty() || tables_.back().count == RegionTable::most) tables_.emplace_back();
    tables_.back().add(added...);
    ++count_;
  }
  /// Calls body(table) with the addresses in it.
  template <class Body>
  void run(std::span<void* const> args, Body&& body) const {
    std::size_t at = 0;
    for (RegionTable table : tables_) {
      for (Region* region = table.regions; region != table.regions + table.count; ++region, ++at) {
        region->from = args[at];
        region->to = args[at + count_];
      }
      body(table);
    }
  }

 private:
  std::vector<RegionTable> tables_;
  std::size_t count_ = 0;
};

}  // namespace

WeightOrder order_of_packed(const Shape& weights) {
  return {.outer = weights[0],
          .inner = weights[1],
          .spatial = weights.elements() / (weights[0] * weights[1]),
          .stored_outer = padded(weights[0]),
          .stored_inner = padded(weights[1])};
}

void pack_tiles(cudaStream_t stream, const WeightOrder& order, const float* from, void* to, DType type) {
  RegionTable table;
  table.add(order, order.stored_outer);
  table.regions[0].from = from;
  table.regions[0].to = to;
  launch_pack(stream, table, type);
}

void unpack_tiles(cudaStream_t stream, const WeightOrder& order, const void* from, DType type, float* to) {
  RegionTable table;
  table.add(order, order.outer);
  table.regions[0].from = from;
  table.regions[0].to = to;
  launch_unpack(stream, table, type);
}

Planned plan_op(const PackWeights&, const Operands& operands) {
  Regions regions;
  std::vector<TensorDesc> outputs = operands.outputs;
  for (TensorDesc& output : outputs) {
    TRAINMARK_CHECK(output.dtype == outputs[0].dtype, "a launch packs into one type");
    output.layout = packed_weights;
    const WeightOrder order = order_of_packed(output.shape);
    regions.add(order, order.stored_outer);
  }
  auto body = [regions = std::move(regions), type = outputs[0].dtype](cudaStream_t stream,
                                                                      std::span<void* const> args) {
    regions.run(args, [&](const RegionTable& table) { launch_pack(stream, table, type); });
  };
  return planned(std::move(body), std::move(outputs));
}

Planned plan_op(const UnpackGradients&, const Operands& operands) {
  Regions regions;
  std::optional<DType> type;
  for (std::size_t at = 0; at < operands.inputs.size(); ++at) {
    const TensorDesc& from = operands.inputs[at];
    const Shape& to = operands.outputs[at].shape;
    if (from.layout != packed_weights) {
      regions.add(PartialSums{.parts = from.shape[0], .channels = to[0], .stored = from.shape[1]});
      continue;
    }
    TRAINMARK_CHECK(from.dtype == type.value_or(from.dtype), "a launch unpacks from one type");
    type = from.dtype;
    regions.add(order_of_packed(to), to[0]);
  }
  auto body = [regions = std::move(regions), type = type.value_or(DType::f32)](cudaStream_t stream,
                                                                               std::span<void* const> args) {
    regions.run(args, [&](const RegionTable& table) { launch_unpack(stream, table, type); });
  };
  return planned(std::move(body), operands.outputs);
}

}  // namespace trainmark::cuda

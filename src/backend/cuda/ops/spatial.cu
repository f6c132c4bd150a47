// Sums over all positions of a sample, in parts of fp32 that are added up in fp64, and the spreading of one value a
// channel over all positions. Padding channels stay zero.
#include "backend/cuda/ops/row_sums.cuh"
#include "backend/cuda/plans.hpp"

namespace trainmark::cuda {
namespace {

constexpr std::int64_t summed_rows = 32;  // of a thread
constexpr std::int64_t written_rows = 16;

/// The positions of each sample as rows of channels. Volumes and images are padded, so that rows are whole vectors.
struct Maps {
  std::int64_t samples, positions, channels, stored;
  explicit Maps(const TensorDesc& tensor)
      : samples(tensor.shape[0]),
        positions(tensor.shape.elements() / (tensor.shape[0] * tensor.shape[1])),
        channels(tensor.shape[1]),
        stored(stored_shape(tensor)[1]) {
    TRAINMARK_CHECK(samples < 65536, "a batch is one axis of a grid");
    TRAINMARK_CHECK(stored % channel_multiple == 0, "channels are padded");
  }
  /// Of one sample; blockIdx.z is the sample.
  [[nodiscard]] RowDeal deal(int width) const { return {positions, stored, width}; }
  [[nodiscard]] LaunchShape launch(std::int64_t parts, int width) const {
    LaunchShape shape = deal(width).launch(parts, width);
    shape.grid.z = static_cast<unsigned>(samples);
    return shape;
  }
  [[nodiscard]] std::int64_t parts(int width) const {
    return std::clamp<std::int64_t>(positions / (deal(width).lanes * summed_rows), 1, most_row_parts);
  }
};

/// partial[sample][part][channel]
template <class T>
__global__ void __launch_bounds__(block_threads) sum_positions(const T* src, RowDeal deal, float* partial) {
  constexpr int width = vector_width<T>;
  const RowShare share = share_of<width>(deal);
  const T* sample = src + blockIdx.z * deal.rows * deal.stored;
  Pack<float, width> sums{};
  for (std::int64_t row = share.first; row < share.end; row += deal.lanes) {
    const Pack<T, width> pack = load<width>(sample + row * deal.stored + share.column);
    for (int i = 0; i < width; ++i)
      sums.values[i] += to_float(pack.values[i]);
  }
  sum_lanes<width>(deal, share, sums, dynamic_shared<float>(), partial + blockIdx.z * gridDim.x * deal.stored);
}

/// blockIdx.y is the sample.
template <class T>
__global__ void __launch_bounds__(column_threads* part_threads)
    add_positions(const float* partial, std::int64_t parts, std::int64_t channels, std::int64_t stored, float factor,
                  T* dst) {
  __shared__ ColumnSlots slots;
  const double sum = column_sum(partial + blockIdx.y * parts * stored, parts, channels, stored, slots);
  const std::int64_t channel = own_column();
  if (threadIdx.y != 0 || channel >= stored) return;
  dst[blockIdx.y * stored + channel] =
      from_float<T>(channel < channels ? static_cast<float>(static_cast<double>(factor) * sum) : 0.0F);
}

template <class T>
__global__ void __launch_bounds__(block_threads) tile_positions(const T* src, T* dst, RowDeal deal, float factor) {
  constexpr int width = vector_width<T>;
  const RowShare share = share_of<width>(deal);
  if (!share.works) return;
  Pack<T, width> pack = load<width>(src + blockIdx.z * deal.stored + share.column);
  for (int i = 0; i < width; ++i)
    pack.values[i] = from_float<T>(factor * to_float(pack.values[i]));
  T* sample = dst + blockIdx.z * deal.rows * deal.stored;
  for (std::int64_t row = share.first; row < share.end; row += deal.lanes)
    store<width>(sample + row * deal.stored + share.column, pack);
}

int width_of(DType type) { return static_cast<int>(access_bytes / static_cast<std::int64_t>(size_of(type))); }

}  // namespace

Planned plan_op(const SpatialSum& op, const Operands& operands) {
  const Maps maps(operands.inputs[0]);
  const DType type = operands.inputs[0].dtype;
  const std::int64_t parts = maps.parts(width_of(type));
  auto body = [=, factor = op.factor](cudaStream_t stream, std::span<void* const> args) {
    auto* partial = static_cast<float*>(args[2]);
    with_type(type, [&]<class T>(Type<T>) {
      constexpr int width = vector_width<T>;
      launch("sum_positions", sum_positions<T>, maps.launch(parts, width), stream, static_cast<const T*>(args[0]),
             maps.deal(width), partial);
      LaunchShape shape = add_parts_shape(parts, maps.stored);
      shape.grid.y = static_cast<unsigned>(maps.samples);
      launch("add_positions", add_positions<T>, shape, stream, partial, parts, maps.channels, maps.stored, factor,
             static_cast<T*>(args[1]));
    });
  };
  const std::size_t scratch = static_cast<std::size_t>(maps.samples * parts * maps.stored) * sizeof(float);
  return planned(body, as_activations(operands.outputs), {}, scratch);
}

Planned plan_op(const Tile& op, const Operands& operands) {
  const std::vector<TensorDesc> outputs = as_activations(operands.outputs);
  auto body = [maps = Maps(outputs[0]), type = outputs[0].dtype, factor = op.factor](cudaStream_t stream,
                                                                                     std::span<void* const> args) {
    with_type(type, [&]<class T>(Type<T>) {
      const RowDeal deal = maps.deal(vector_width<T>);
      const LaunchShape shape = maps.launch(ceil_div(maps.positions, deal.lanes * written_rows), vector_width<T>);
      launch("tile_positions", tile_positions<T>, shape, stream, static_cast<const T*>(args[0]),
             static_cast<T*>(args[1]), deal, factor);
    });
  };
  return planned(body, outputs);
}

}  // namespace trainmark::cuda

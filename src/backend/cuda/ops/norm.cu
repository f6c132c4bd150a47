// Batch norm over channels-last rows: moments, application, and its derivatives. A block takes some rows; what a thread
// needs of its columns stays in registers. Sums run in fp32 about the channel's first value (or its mean) within a
// block, and in fp64 across blocks, in an order that depends on the shape alone. Padding channels stay zero.
#include "backend/cuda/collective.hpp"
#include "backend/cuda/ops/row_sums.cuh"
#include "backend/cuda/plans.hpp"
#include "backend/math.hpp"

namespace trainmark::cuda {
namespace {

constexpr std::int64_t summed_rows = 32;  // of a thread
constexpr std::int64_t mapped_rows = 16;

/// A tensor as rows of channels.
struct Rows {
  std::int64_t count, channels, stored;
  DType type;
  explicit Rows(const TensorDesc& tensor)
      : count(tensor.shape.elements() / tensor.shape[1]),
        channels(tensor.shape[1]),
        stored(stored_shape(tensor)[1]),
        type(tensor.dtype) {}
  [[nodiscard]] int width() const {
    const auto widest = static_cast<int>(access_bytes / static_cast<std::int64_t>(size_of(type)));
    return stored % widest == 0 ? widest : 1;
  }
  [[nodiscard]] RowDeal deal() const { return {count, stored, width()}; }
  /// Blocks that sum a part each, and the bytes of their sums: two a channel.
  [[nodiscard]] std::int64_t parts() const {
    return std::clamp<std::int64_t>(count / (deal().lanes * summed_rows), 1, most_row_parts);
  }
  [[nodiscard]] std::size_t part_bytes() const {
    return static_cast<std::size_t>(2 * parts() * stored) * sizeof(float);
  }
  [[nodiscard]] LaunchShape mapped() const {
    return deal().launch(ceil_div(count, deal().lanes * mapped_rows), width());
  }
};

/// Calls body(Type<T>{}, width) with the width as a constant.
template <class Body>
void with_rows(const Rows& rows, Body&& body) {
  with_type(rows.type, [&]<class T>(Type<T>) {
    if (rows.width() == vector_width<T>) return body(Type<T>{}, std::integral_constant<int, vector_width<T>>{});
    return body(Type<T>{}, std::integral_constant<int, 1>{});
  });
}

// --- Sums over rows --------------------------------------------------------------------------------------------------

/// Leaves the block's two sums of each column, a part's behind those of all parts.
template <int Width>
__device__ void leave_sums(const RowDeal& deal, const RowShare& share, const Pack<float, Width>& first,
                           const Pack<float, Width>& second, float* partial) {
  auto* slots = dynamic_shared<float>();
  sum_lanes<Width>(deal, share, first, slots, partial);
  __syncthreads();
  sum_lanes<Width>(deal, share, second, slots, partial + gridDim.x * deal.stored);
}

/// Of x - centre and of its square, the centre being the first row's.
template <class T, int Width>
__global__ void __launch_bounds__(block_threads) sum_moments(const T* src, RowDeal deal, float* partial) {
  const RowShare share = share_of<Width>(deal);
  Pack<float, Width> sums{}, squares{};
  Pack<T, Width> centre{};
  if (share.works) centre = load<Width>(src + share.column);
  for (std::int64_t row = share.first; row < share.end; row += deal.lanes) {
    const Pack<T, Width> pack = load<Width>(src + row * deal.stored + share.column);
    for (int i = 0; i < Width; ++i) {
      const float x = to_float(pack.values[i]) - to_float(centre.values[i]);
      sums.values[i] += x;
      squares.values[i] += x * x;
    }
  }
  leave_sums<Width>(deal, share, sums, squares, partial);
}

/// Per channel, over the ranks of its group.
struct Group {
  Norm norm;
  double count;  ///< values of a channel
  std::int64_t channels;
  Group(const Norm& of, const Rows& rows)
      : norm(of), count(static_cast<double>(rows.count) * of.ranks), channels(rows.channels) {}
};
__device__ inline ChannelMoments moments_of(const Group& group, const double* sums, std::int64_t channel) {
  return moments_of_channel(group.norm, group.count, sums[channel], sums[group.channels + channel]);
}

/// Of diff (x - mean) and of diff.
template <class T, int Width>
__global__ void __launch_bounds__(block_threads)
    sum_products(const T* src, const double* moments, const T* diff, RowDeal deal, Group group, float* partial) {
  const RowShare share = share_of<Width>(deal);
  Pack<float, Width> products{}, sums{}, mean{};
  for (int i = 0; i < Width; ++i) {
    if (share.works && share.column + i < group.channels)
      mean.values[i] = moments_of(group, moments, share.column + i).mean;
  }
  for (std::int64_t row = share.first; row < share.end; row += deal.lanes) {
    const std::int64_t at = row * deal.stored + share.column;
    const Pack<T, Width> pack = load<Width>(src + at);
    const Pack<T, Width> gradient = load<Width>(diff + at);
    for (int i = 0; i < Width; ++i) {
      const float d = to_float(gradient.values[i]);
      products.values[i] += d * (to_float(pack.values[i]) - mean.values[i]);
      sums.values[i] += d;
    }
  }
  leave_sums<Width>(deal, share, products, sums, partial);
}

/// What the parts of two sums add up to, for a thread of each block's first row.
struct Totals {
  double first, second;
};
__device__ inline Totals add_two(const float* partial, std::int64_t parts, std::int64_t channels, std::int64_t stored,
                                 ColumnSlots& slots) {
  const double first = column_sum(partial, parts, channels, stored, slots);
  return {first, column_sum(partial + parts * stored, parts, channels, stored, slots)};
}

template <class T>
__global__ void __launch_bounds__(column_threads* part_threads)
    add_moments(const T* src, const float* partial, std::int64_t parts, double count, std::int64_t channels,
                std::int64_t stored, double* moments) {
  __shared__ ColumnSlots slots;
  Totals totals = add_two(partial, parts, channels, stored, slots);
  const std::int64_t channel = own_column();
  if (threadIdx.y != 0 || channel >= channels) return;
  uncentre(count, static_cast<double>(to_float(src[channel])), totals.first, totals.second);
  moments[channel] = totals.first;
  moments[channels + channel] = totals.second;
}

__global__ void __launch_bounds__(column_threads* part_threads)
    add_products(const double* moments, const float* partial, std::int64_t parts, Group group, std::int64_t stored,
                 float* diff_gamma, float* diff_beta, double* sums) {
  __shared__ ColumnSlots slots;
  Totals totals = add_two(partial, parts, group.channels, stored, slots);
  const std::int64_t channel = own_column();
  if (threadIdx.y != 0 || channel >= group.channels) return;
  totals.first *= static_cast<double>(moments_of(group, moments, channel).inverse);
  sums[channel] = totals.first;
  sums[group.channels + channel] = totals.second;
  diff_gamma[channel] = static_cast<float>(totals.first);
  diff_beta[channel] = static_cast<float>(totals.second);
}

// --- Maps over rows, whose constants a launch of one thread a channel makes ------------------------------------------

/// Constants of channels side by side in scratch memory, zero for padding.
struct Constants {
  float* memory;
  std::int64_t stored;
  static constexpr std::int64_t most = 4;
  [[nodiscard]] __host__ __device__ float* mean() const { return memory; }
  [[nodiscard]] __host__ __device__ float* factor() const { return memory + stored; }
  [[nodiscard]] __host__ __device__ float* shift() const { return memory + 2 * stored; }
  [[nodiscard]] __host__ __device__ float* slope() const { return memory + 3 * stored; }
  __device__ void set(std::int64_t channel, float mean_value, float factor_value, float shift_value,
                      float slope_value = 0.0F) const {
    mean()[channel] = mean_value;
    factor()[channel] = factor_value;
    shift()[channel] = shift_value;
    slope()[channel] = slope_value;
  }
  static std::size_t bytes(const Rows& rows) { return static_cast<std::size_t>(most * rows.stored) * sizeof(float); }
};

__global__ void __launch_bounds__(block_threads)
    application_constants(const double* moments, Group group, const float* gamma, const float* beta,
                          float* running_mean, float* running_variance, Constants constants) {
  const std::int64_t channel = item();
  if (channel >= constants.stored) return;
  if (channel >= group.channels) return constants.set(channel, 0.0F, 0.0F, 0.0F);
  const ChannelMoments own = moments_of(group, moments, channel);
  float mean = running_mean[channel], variance = running_variance[channel];
  move_statistics(group.norm, group.count, own, mean, variance);
  running_mean[channel] = mean;
  running_variance[channel] = variance;
  constants.set(channel, own.mean, gamma[channel] * own.inverse, beta[channel]);
}

__global__ void __launch_bounds__(block_threads)
    inference_constants(const float* gamma, const float* beta, const float* mean, const float* variance, float epsilon,
                        std::int64_t channels, Constants constants) {
  const std::int64_t channel = item();
  if (channel >= constants.stored) return;
  if (channel >= channels) return constants.set(channel, 0.0F, 0.0F, 0.0F);
  constants.set(channel, mean[channel], gamma[channel] / std::sqrt(variance[channel] + epsilon), beta[channel]);
}

__global__ void __launch_bounds__(block_threads)
    backward_constants(const double* moments, Group group, const float* gamma, const double* sums,
                       Constants constants) {
  const std::int64_t channel = item();
  if (channel >= constants.stored) return;
  if (channel >= group.channels) return constants.set(channel, 0.0F, 0.0F, 0.0F);
  const ChannelMoments own = moments_of(group, moments, channel);
  const double inverse = own.inverse;
  constants.set(channel, own.mean, gamma[channel] * own.inverse,
                static_cast<float>(sums[group.channels + channel] / group.count),
                static_cast<float>(sums[channel] / group.count * inverse));
}

/// dst = (x - mean) factor + shift
template <class T, int Width>
__global__ void __launch_bounds__(block_threads) apply_norm(const T* src, T* dst, RowDeal deal, Constants constants) {
  const RowShare share = share_of<Width>(deal);
  if (!share.works) return;
  const auto mean = load<Width>(constants.mean() + share.column);
  const auto factor = load<Width>(constants.factor() + share.column);
  const auto shift = load<Width>(constants.shift() + share.column);
  for (std::int64_t row = share.first; row < share.end; row += deal.lanes) {
    const std::int64_t at = row * deal.stored + share.column;
    Pack<T, Width> pack = load<Width>(src + at);
    for (int i = 0; i < Width; ++i)
      pack.values[i] = from_float<T>((to_float(pack.values[i]) - mean.values[i]) * factor.values[i] + shift.values[i]);
    store<Width>(dst + at, pack);
  }
}

/// diff_src = factor (diff - shift - (x - mean) slope)
template <class T, int Width>
__global__ void __launch_bounds__(block_threads)
    norm_backward(const T* src, const T* diff, T* diff_src, RowDeal deal, Constants constants) {
  const RowShare share = share_of<Width>(deal);
  if (!share.works) return;
  const auto mean = load<Width>(constants.mean() + share.column);
  const auto factor = load<Width>(constants.factor() + share.column);
  const auto shift = load<Width>(constants.shift() + share.column);
  const auto slope = load<Width>(constants.slope() + share.column);
  for (std::int64_t row = share.first; row < share.end; row += deal.lanes) {
    const std::int64_t at = row * deal.stored + share.column;
    Pack<T, Width> pack = load<Width>(src + at);
    const Pack<T, Width> gradient = load<Width>(diff + at);
    for (int i = 0; i < Width; ++i) {
      const float x = to_float(pack.values[i]) - mean.values[i];
      const float own = to_float(gradient.values[i]) - shift.values[i];
      pack.values[i] = from_float<T>(factor.values[i] * (own - x * slope.values[i]));
    }
    store<Width>(diff_src + at, pack);
  }
}

void apply(cudaStream_t stream, const Rows& rows, const void* src, void* dst, const Constants& constants) {
  with_rows(rows, [&]<class T, class Width>(Type<T>, Width) {
    launch("apply_norm", apply_norm<T, Width::value>, rows.mapped(), stream, static_cast<const T*>(src),
           static_cast<T*>(dst), rows.deal(), constants);
  });
}

__global__ void __launch_bounds__(block_threads) scale_values(float* values, std::int64_t count, float factor) {
  if (item() < count) values[item()] *= factor;
}

TensorDesc like_source(const Operands& operands) {
  const TensorDesc& src = operands.inputs[0];
  return {operands.outputs[0].shape, src.dtype, src.layout};
}

}  // namespace

Planned plan_op(const NormMoments&, const Operands& operands) {
  const Rows rows(operands.inputs[0]);
  auto body = [rows](cudaStream_t stream, std::span<void* const> args) {
    auto* partial = static_cast<float*>(args[2]);
    with_rows(rows, [&]<class T, class Width>(Type<T>, Width) {
      const auto* src = static_cast<const T*>(args[0]);
      launch("sum_moments", sum_moments<T, Width::value>, rows.deal().launch(rows.parts(), Width::value), stream, src,
             rows.deal(), partial);
      launch("add_moments", add_moments<T>, add_parts_shape(rows.parts(), rows.channels), stream, src, partial,
             rows.parts(), static_cast<double>(rows.count), rows.channels, rows.stored, static_cast<double*>(args[1]));
    });
  };
  return planned(body, operands.outputs, {}, rows.part_bytes());
}

Planned plan_op(const NormApply& op, const Operands& operands) {
  const Rows rows(operands.inputs[0]);
  auto body = [rows, group = Group(op.norm, rows)](cudaStream_t stream, std::span<void* const> args) {
    const Constants constants{static_cast<float*>(args[7]), rows.stored};
    launch("application_constants", application_constants, one_thread_each(rows.stored), stream,
           static_cast<const double*>(args[1]), group, static_cast<const float*>(args[2]),
           static_cast<const float*>(args[3]), static_cast<float*>(args[4]), static_cast<float*>(args[5]), constants);
    apply(stream, rows, args[0], args[6], constants);
  };
  return planned(body, {like_source(operands)}, {{0, 0}}, Constants::bytes(rows));
}

Planned plan_op(const NormInference& op, const Operands& operands) {
  const Rows rows(operands.inputs[0]);
  auto body = [rows, epsilon = op.norm.epsilon](cudaStream_t stream, std::span<void* const> args) {
    const Constants constants{static_cast<float*>(args[6]), rows.stored};
    launch("inference_constants", inference_constants, one_thread_each(rows.stored), stream,
           static_cast<const float*>(args[1]), static_cast<const float*>(args[2]), static_cast<const float*>(args[3]),
           static_cast<const float*>(args[4]), epsilon, rows.channels, constants);
    apply(stream, rows, args[0], args[5], constants);
  };
  return planned(body, {like_source(operands)}, {{0, 0}}, Constants::bytes(rows));
}

Planned plan_op(const NormGradients& op, const Operands& operands) {
  const Rows rows(operands.inputs[0]);
  auto body = [rows, group = Group(op.norm, rows)](cudaStream_t stream, std::span<void* const> args) {
    const auto* moments = static_cast<const double*>(args[1]);
    auto* partial = static_cast<float*>(args[6]);
    with_rows(rows, [&]<class T, class Width>(Type<T>, Width) {
      launch("sum_products", sum_products<T, Width::value>, rows.deal().launch(rows.parts(), Width::value), stream,
             static_cast<const T*>(args[0]), moments, static_cast<const T*>(args[2]), rows.deal(), group, partial);
    });
    launch("add_products", add_products, add_parts_shape(rows.parts(), rows.channels), stream, moments, partial,
           rows.parts(), group, rows.stored, static_cast<float*>(args[3]), static_cast<float*>(args[4]),
           static_cast<double*>(args[5]));
  };
  return planned(body, operands.outputs, {}, rows.part_bytes());
}

Planned plan_op(const NormBackward& op, const Operands& operands) {
  const Rows rows(operands.inputs[0]);
  auto body = [rows, group = Group(op.norm, rows)](cudaStream_t stream, std::span<void* const> args) {
    const Constants constants{static_cast<float*>(args[6]), rows.stored};
    launch("backward_constants", backward_constants, one_thread_each(rows.stored), stream,
           static_cast<const double*>(args[1]), group, static_cast<const float*>(args[2]),
           static_cast<const double*>(args[3]), constants);
    with_rows(rows, [&]<class T, class Width>(Type<T>, Width) {
      launch("norm_backward", norm_backward<T, Width::value>, rows.mapped(), stream, static_cast<const T*>(args[0]),
             static_cast<const T*>(args[4]), static_cast<T*>(args[5]), rows.deal(), constants);
    });
  };
  return planned(body, {like_source(operands)}, {{0, 4}, {0, 0}}, Constants::bytes(rows));
}

namespace {

/// A sum over ranks, and then each one's share of it.
class AveragePlan final : public Plan {
 public:
  AveragePlan(Collective& collective, const AverageStatistics& average) : collective_(collective), average_(average) {}
  void execute(Stream& stream, std::span<void* const> args) override {
    if (average_.elements == 0) return;
    auto* values = static_cast<float*>(args[0]);
    collective_.all_reduce(stream, values, average_.elements);
    launch("scale_values", scale_values, one_thread_each(average_.elements), native(stream), values, average_.elements,
           1.0F / static_cast<float>(average_.ranks));
  }

 private:
  Collective& collective_;
  AverageStatistics average_;
};

}  // namespace

Planned plan_op(const AverageStatistics& average, const Operands& operands) {
  prepare_sums(*operands.collectives.all, average.elements);
  return {std::make_unique<AveragePlan>(*operands.collectives.all, average), {}, 0, {}};
}

}  // namespace trainmark::cuda

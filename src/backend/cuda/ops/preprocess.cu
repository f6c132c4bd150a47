// Raw values to what the network sees: log(1 + x), x over the mean of its sample, or each channel shifted and scaled.
// Raw samples lie channels-last without padding; the result has its channels padded with zeros.
#include <cmath>

#include "backend/cuda/element.cuh"
#include "backend/cuda/plans.hpp"
#include "backend/math.hpp"

namespace trainmark::cuda {
namespace {

/// The most parts in which a sample is summed.
constexpr std::int64_t most_parts = 256;
constexpr std::int64_t least_part = 4096;  // elements

/// fp64 sums of equal parts of each sample: block (part, sample). `Width` divides a sample's elements.
template <class In, int Width>
__global__ void __launch_bounds__(block_threads) sample_sums(const In* raw, double* sums, std::int64_t elements) {
  __shared__ double slots[block_threads];
  const In* sample = raw + blockIdx.y * elements;
  double sum = 0.0;
  const std::int64_t step = static_cast<std::int64_t>(gridDim.x) * blockDim.x * Width;
  for (std::int64_t at = item() * Width; at < elements; at += step) {
    const Pack<In, Width> pack = load<Width>(sample + at);
    for (int i = 0; i < Width; ++i)
      sum += static_cast<double>(pack.values[i]);
  }
  sum = block_sum(sum, slots);
  if (threadIdx.x == 0) sums[static_cast<std::int64_t>(blockIdx.y) * gridDim.x + blockIdx.x] = sum;
}

/// One block a sample: 1 / mean.
__global__ void __launch_bounds__(block_threads)
    sample_factors(const double* sums, std::int64_t parts, std::int64_t elements, float* factors) {
  __shared__ double slots[block_threads];
  double sum = 0.0;
  for (std::int64_t part = threadIdx.x; part < parts; part += blockDim.x)
    sum += sums[blockIdx.x * parts + part];
  sum = block_sum(sum, slots);
  if (threadIdx.x == 0) factors[blockIdx.x] = static_cast<float>(1.0 / (sum / static_cast<double>(elements)));
}

struct Voxels {
  std::int64_t count, per_sample, channels, stored;
  [[nodiscard]] __host__ __device__ std::int64_t groups() const {  // of a voxel's stored channels
    return (stored + channel_multiple - 1) / channel_multiple;
  }
};

/// `factors` null takes the logarithm, else multiplies. `Channels`: how many a voxel has, if that is known and its
/// stored channels are one group; 0 for any number.
template <class In, class Out, int Channels>
__global__ void __launch_bounds__(block_threads)
    transform_counts(const In* raw, Out* dst, Voxels shape, const float* factors) {
  constexpr int width = static_cast<int>(channel_multiple);
  const std::int64_t voxel = Channels > 0 ? item() : item() / shape.groups();
  const std::int64_t first = Channels > 0 ? 0 : item() % shape.groups() * width;
  if (voxel >= shape.count) return;
  const float factor = factors == nullptr ? 0.0F : factors[voxel / shape.per_sample];
  const auto transformed = [&](In count) {
    const float x = to_float(count);
    return from_float<Out>(factors == nullptr ? log1p_of(x) : x * factor);
  };
  Pack<Out, width> pack{};
  if constexpr (Channels > 0) {
    const Pack<In, Channels> counts = load<Channels>(raw + voxel * Channels);
    for (int i = 0; i < Channels; ++i)
      pack.values[i] = transformed(counts.values[i]);
    store<width>(dst + voxel * width, pack);
  } else {
    for (int i = 0; i < width; ++i) {
      if (first + i < shape.channels) pack.values[i] = transformed(raw[voxel * shape.channels + first + i]);
    }
    Out* to = dst + voxel * shape.stored + first;
    if (shape.stored % width == 0) return store<width>(to, pack);
    for (int i = 0; i < width; ++i) {
      if (first + i < shape.stored) to[i] = pack.values[i];
    }
  }
}

template <class In, class Out>
void run(cudaStream_t stream, const In* raw, Out* dst, const Voxels& shape, const float* factors) {
  const bool four = shape.channels == 4 && shape.stored == channel_multiple;
  launch("transform_counts", four ? transform_counts<In, Out, 4> : transform_counts<In, Out, 0>,
         one_thread_each(shape.count * (four ? 1 : shape.groups())), stream, raw, dst, shape, factors);
}

/// Leaves 1 / mean of each sample at the start of `scratch`, the parts' sums behind them.
template <class In>
const float* mean_factors(cudaStream_t stream, const In* raw, std::int64_t samples, std::int64_t elements,
                          std::int64_t parts, void* scratch, std::size_t sums_offset) {
  auto* factors = static_cast<float*>(scratch);
  auto* sums = reinterpret_cast<double*>(static_cast<std::byte*>(scratch) + sums_offset);
  LaunchShape shape;
  shape.block.x = block_threads;
  shape.grid = dim3(static_cast<unsigned>(parts), static_cast<unsigned>(samples));
  constexpr int width = vector_width<In>;
  launch("sample_sums", elements % width == 0 ? sample_sums<In, width> : sample_sums<In, 1>, shape, stream, raw, sums,
         elements);
  shape.grid = dim3(static_cast<unsigned>(samples));
  launch("sample_factors", sample_factors, shape, stream, sums, parts, elements, factors);
  return factors;
}

/// By value in a kernel's parameters.
struct ChannelConstants {
  float shift[most_constants];
  float scale[most_constants];
};
/// A thread takes a group of a voxel's stored channels. `Whole`: all groups are full, on both sides.
template <class In, class Out, bool Whole>
__global__ void __launch_bounds__(block_threads)
    shift_and_scale(const In* raw, Out* dst, Voxels shape, const __grid_constant__ ChannelConstants constants) {
  constexpr int width = static_cast<int>(channel_multiple);
  const std::int64_t voxel = item() / shape.groups();
  const std::int64_t first = item() % shape.groups() * width;
  if (voxel >= shape.count) return;
  const In* from = raw + voxel * shape.channels + first;
  Pack<In, width> values{};
  if constexpr (Whole) {
    values = load<width>(from);
  } else {
    for (int i = 0; i < width; ++i) {
      if (first + i < shape.channels) values.values[i] = from[i];
    }
  }
  Pack<Out, width> pack{};
  for (int i = 0; i < width; ++i) {
    if (Whole || first + i < shape.channels)
      pack.values[i] = from_float<Out>((static_cast<float>(values.values[i]) - constants.shift[first + i]) *
                                       constants.scale[first + i]);
  }
  Out* to = dst + voxel * shape.stored + first;
  if (shape.stored % width == 0) return store<width>(to, pack);
  for (int i = 0; i < width; ++i) {
    if (first + i < shape.stored) to[i] = pack.values[i];
  }
}

/// Calls body(Type<In>{}) for the type of raw data.
template <class Body>
void with_raw_type(DType type, Body&& body) {
  switch (type) {
    case DType::i16:
      return body(Type<std::int16_t>{});
    case DType::u8:
      return body(Type<std::uint8_t>{});
    case DType::f32:
      return body(Type<float>{});
    default:
      TRAINMARK_CHECK(false, "raw samples are i16, u8 or f32");
  }
}

}  // namespace

Planned plan_op(const Preprocess& preprocess, const Operands& operands) {
  const TensorDesc& raw = operands.inputs[0];
  const TensorDesc dst = activation_desc(operands.outputs[0].shape, operands.outputs[0].dtype);
  const std::int64_t samples = raw.shape[0];
  const std::int64_t elements = raw.shape.elements() / samples;
  const std::int64_t channels = raw.shape[1];
  const Voxels shape{samples * (elements / channels), elements / channels, channels, stored_shape(dst)[1]};
  const std::int64_t parts = std::clamp<std::int64_t>(elements / least_part, 1, most_parts);
  const std::size_t sums_offset = static_cast<std::size_t>(ceil_div(samples, 2)) * 2 * sizeof(float);
  const std::size_t sums_bytes = static_cast<std::size_t>(samples * parts) * sizeof(double);
  const bool logarithm = preprocess.log_transform;
  TRAINMARK_CHECK(samples < 65536, "a batch of raw samples is one axis of a grid");
  auto body = [=, from = raw.dtype, to = dst.dtype](cudaStream_t stream, std::span<void* const> args) {
    with_raw_type(from, [&]<class In>(Type<In>) {
      const auto* counts = static_cast<const In*>(args[0]);
      const float* factors =
          logarithm ? nullptr : mean_factors(stream, counts, samples, elements, parts, args[2], sums_offset);
      with_type(to, [&]<class Out>(Type<Out>) { run(stream, counts, static_cast<Out*>(args[1]), shape, factors); });
    });
  };
  return planned(body, {dst}, {}, logarithm ? 0 : sums_offset + sums_bytes);
}

Planned plan_op(const Normalise& normalise, const Operands& operands) {
  const TensorDesc& raw = operands.inputs[0];
  const TensorDesc dst = activation_desc(operands.outputs[0].shape, operands.outputs[0].dtype);
  const std::int64_t channels = raw.shape[1];
  const std::int64_t voxels = raw.shape.elements() / channels;
  TRAINMARK_CHECK(normalise.shift.size() <= most_constants, "more channels are refused");
  const Voxels shape{voxels, voxels / raw.shape[0], channels, stored_shape(dst)[1]};
  ChannelConstants constants{};
  std::ranges::copy(normalise.shift, constants.shift);
  std::ranges::copy(normalise.scale, constants.scale);
  const bool whole = channels % channel_multiple == 0;
  auto body = [=, from = raw.dtype, to = dst.dtype](cudaStream_t stream, std::span<void* const> args) {
    const auto run_from = [&]<class In>(Type<In>) {
      with_type(to, [&]<class Out>(Type<Out>) {
        launch("shift_and_scale", whole ? shift_and_scale<In, Out, true> : shift_and_scale<In, Out, false>,
               one_thread_each(voxels * shape.groups()), stream, static_cast<const In*>(args[0]),
               static_cast<Out*>(args[1]), shape, constants);
      });
    };
    from == DType::u8 ? run_from(Type<std::uint8_t>{}) : run_from(Type<float>{});
  };
  return planned(std::move(body), {dst});
}

}  // namespace trainmark::cuda

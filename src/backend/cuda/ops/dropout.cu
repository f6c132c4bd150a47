// Dropout with masks computed from their key when they are needed: nothing is stored between forward and backward. The
// masks are the CPU's. One thread takes four neighbouring units, which share one evaluation of the generator.
#include "backend/cuda/element.cuh"
#include "backend/cuda/plans.hpp"
#include "backend/math.hpp"

namespace trainmark::cuda {
namespace {

constexpr int quad = 4;

/// How a tensor lies: rows of `stored` elements, of which the first `channels` are units in the order of their numbers.
struct Rows {
  std::int64_t samples, rows_per_sample, channels, stored;
  [[nodiscard]] __host__ __device__ std::int64_t quads() const { return (stored + quad - 1) / quad; }
};

/// `Whole`: four elements of a row that start at a multiple of four are four units that share their words.
template <class T, bool Whole>
__global__ void __launch_bounds__(block_threads)
    dropout_mask(const T* src, T* dst, const StepState* state, Rows shape, Dropout dropout) {
  const std::int64_t row = item() / shape.quads();
  const std::int64_t channel = item() % shape.quads() * quad;
  const std::int64_t sample = row / shape.rows_per_sample;
  if (sample >= shape.samples) return;
  const std::int64_t at = row * shape.stored + channel;
  const bool counts = sample < state->valid;
  const std::int64_t id = counts ? reinterpret_cast<const std::int64_t*>(state + 1)[sample] : 0;
  const std::int64_t epoch = state->epoch;
  const std::int64_t unit = row % shape.rows_per_sample * shape.channels + channel;
  const float scale = 1.0F / (1.0F - dropout.rate);
  if constexpr (Whole) {
    const auto words = dropout_words(dropout, epoch, id, unit / quad);
    Pack<T, quad> pack = load<quad>(src + at);
    for (int i = 0; i < quad; ++i) {
      const bool keep = counts && channel + i < shape.channels && dropout_keeps(dropout, words[i]);
      pack.values[i] = from_float<T>(keep ? to_float(pack.values[i]) * scale : 0.0F);
    }
    store<quad>(dst + at, pack);
  } else {
    for (int i = 0; i < quad && channel + i < shape.stored; ++i) {
      const bool keep = counts && channel + i < shape.channels && dropout_keeps(dropout, epoch, id, unit + i);
      dst[at + i] = from_float<T>(keep ? to_float(src[at + i]) * scale : 0.0F);
    }
  }
}

Rows rows_of(const TensorDesc& desc) {
  const Shape& shape = desc.shape;
  if (desc.layout != channels_last) {
    const std::int64_t units = shape.elements() / shape[0];
    return {shape[0], 1, units, units};
  }
  return {shape[0], shape.elements() / (shape[0] * shape[1]), shape[1], stored_shape(desc)[1]};
}

/// Forward and backward are the same multiplication by the mask.
Planned plan_dropout(const Dropout& dropout, const Operands& operands) {
  const TensorDesc& src = operands.inputs[0];
  const Rows shape = rows_of(src);
  const bool whole = shape.channels % quad == 0;
  auto body = [dropout, shape, whole, dtype = src.dtype](cudaStream_t stream, std::span<void* const> args) {
    with_type(dtype, [&]<class T>(Type<T>) {
      const LaunchShape launch_shape = one_thread_each(shape.samples * shape.rows_per_sample * shape.quads());
      launch("dropout_mask", whole ? dropout_mask<T, true> : dropout_mask<T, false>, launch_shape, stream,
             static_cast<const T*>(args[0]), static_cast<T*>(args[2]), static_cast<const StepState*>(args[1]), shape,
             dropout);
    });
  };
  return planned(body, {{operands.outputs[0].shape, operands.outputs[0].dtype, src.layout}}, {{0, 0}});
}

}  // namespace

Planned plan_op(const Dropout& op, const Operands& operands) { return plan_dropout(op, operands); }
Planned plan_op(const DropoutBackward& op, const Operands& operands) { return plan_dropout(op.dropout, operands); }

}  // namespace trainmark::cuda

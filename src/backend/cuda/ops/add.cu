// The sum of two tensors, element by element, in place of either where the memory plan lets it; and of a tensor and a
// bias. Padding channels are zero and stay so.
#include "backend/cuda/element.cuh"
#include "backend/cuda/plans.hpp"

namespace trainmark::cuda {
namespace {

template <class T>
__global__ void __launch_bounds__(block_threads) add_terms(const T* a, const T* b, T* sum, std::int64_t count) {
  constexpr int width = vector_width<T>;
  const std::int64_t at = item() * width;
  if (at >= count) return;
  Pack<T, width> pack = load<width>(a + at, count - at);
  const Pack<T, width> other = load<width>(b + at, count - at);
  for (int i = 0; i < width; ++i)
    pack.values[i] = from_float<T>(to_float(pack.values[i]) + to_float(other.values[i]));
  store<width>(sum + at, pack, count - at);
}

/// A vector's channels lie side by side: channels are padded to a multiple of its width.
template <class T>
__global__ void __launch_bounds__(block_threads)
    add_to_channels(T* values, const float* bias, std::int64_t channels, std::int64_t count) {
  constexpr int width = vector_width<T>;
  const std::int64_t at = item() * width;
  if (at >= count) return;
  const float* own = bias + at % channels;
  Pack<T, width> pack = load<width>(values + at);
  for (int i = 0; i < width; ++i)
    pack.values[i] = from_float<T>(to_float(pack.values[i]) + own[i]);
  store<width>(values + at, pack);
}

}  // namespace

void add_bias(cudaStream_t stream, void* values, const TensorDesc& desc, const float* bias) {
  const Shape stored = stored_shape(desc);
  TRAINMARK_CHECK(stored[1] % channel_multiple == 0, "channels are padded");
  with_type(desc.dtype, [&]<class T>(Type<T>) {
    launch("add_to_channels", add_to_channels<T>, one_thread_each(ceil_div(stored.elements(), vector_width<T>)), stream,
           static_cast<T*>(values), bias, stored[1], stored.elements());
  });
}

Planned plan_op(const Add&, const Operands& operands) {
  const TensorDesc& term = operands.inputs[0];
  TRAINMARK_CHECK(term.layout == operands.inputs[1].layout, "terms lie alike");
  const std::int64_t count = stored_shape(term).elements();
  auto body = [count, dtype = term.dtype](cudaStream_t stream, std::span<void* const> args) {
    with_type(dtype, [&]<class T>(Type<T>) {
      launch("add_terms", add_terms<T>, one_thread_each(ceil_div(count, vector_width<T>)), stream,
             static_cast<const T*>(args[0]), static_cast<const T*>(args[1]), static_cast<T*>(args[2]), count);
    });
  };
  return planned(body, {{operands.outputs[0].shape, term.dtype, term.layout}}, {{0, 0}, {0, 1}});
}

}  // namespace trainmark::cuda

// Activations and their derivatives, element by element, in place where the memory plan lets them. Padding channels are
// zero and stay so: both curves go through the origin.
#include "backend/cuda/element.cuh"
#include "backend/cuda/plans.hpp"
#include "backend/math.hpp"

namespace trainmark::cuda {
namespace {

struct Leaky {
  float slope;
  __device__ float forward(float src) const { return leaky_relu(src, slope); }
  __device__ float backward(float dst, float diff) const { return leaky_relu_backward(dst, diff, slope); }
};
struct Tanh {
  float scale;
  __device__ float forward(float src) const { return scaled_tanh(src, scale); }
  __device__ float backward(float dst, float diff) const { return scaled_tanh_backward(dst, diff, scale); }
};

template <class T, class Shaped>
__global__ void __launch_bounds__(block_threads)
    activation_forward(const T* src, T* dst, std::int64_t count, Shaped curve) {
  constexpr int width = vector_width<T>;
  const std::int64_t at = item() * width;
  if (at >= count) return;
  Pack<T, width> pack = load<width>(src + at, count - at);
  for (int i = 0; i < width; ++i)
    pack.values[i] = from_float<T>(curve.forward(to_float(pack.values[i])));
  store<width>(dst + at, pack, count - at);
}

template <class T, class Shaped>
__global__ void __launch_bounds__(block_threads)
    activation_backward(const T* dst, const T* diff_dst, T* diff_src, std::int64_t count, Shaped curve) {
  constexpr int width = vector_width<T>;
  const std::int64_t at = item() * width;
  if (at >= count) return;
  const Pack<T, width> pack = load<width>(dst + at, count - at);
  Pack<T, width> diff = load<width>(diff_dst + at, count - at);
  for (int i = 0; i < width; ++i)
    diff.values[i] = from_float<T>(curve.backward(to_float(pack.values[i]), to_float(diff.values[i])));
  store<width>(diff_src + at, diff, count - at);
}

/// Calls body(curve) with the activation's curve as a type.
template <class Body>
void with_curve(const Activation& activation, Body&& body) {
  switch (activation.curve) {
    case Curve::leaky_relu:
      return body(Leaky{activation.slope});
    case Curve::tanh:
      return body(Tanh{activation.scale});
  }
}

}  // namespace

Planned plan_op(const Activation& activation, const Operands& operands) {
  const TensorDesc& src = operands.inputs[0];
  const std::int64_t count = stored_shape(src).elements();
  auto body = [activation, count, dtype = src.dtype](cudaStream_t stream, std::span<void* const> args) {
    with_type(dtype, [&]<class T>(Type<T>) {
      with_curve(activation, [&]<class Shaped>(const Shaped& curve) {
        launch("activation_forward", activation_forward<T, Shaped>, one_thread_each(ceil_div(count, vector_width<T>)),
               stream, static_cast<const T*>(args[0]), static_cast<T*>(args[1]), count, curve);
      });
    });
  };
  return planned(body, {{operands.outputs[0].shape, src.dtype, src.layout}}, {{0, 0}});
}

Planned plan_op(const ActivationBackward& op, const Operands& operands) {
  const Activation& activation = op.activation;
  const TensorDesc& dst = operands.inputs[0];
  const std::int64_t count = stored_shape(dst).elements();
  auto body = [activation, count, dtype = dst.dtype](cudaStream_t stream, std::span<void* const> args) {
    with_type(dtype, [&]<class T>(Type<T>) {
      with_curve(activation, [&]<class Shaped>(const Shaped& curve) {
        launch("activation_backward", activation_backward<T, Shaped>, one_thread_each(ceil_div(count, vector_width<T>)),
               stream, static_cast<const T*>(args[0]), static_cast<const T*>(args[1]), static_cast<T*>(args[2]), count,
               curve);
      });
    });
  };
  return planned(body, {{operands.outputs[0].shape, dst.dtype, dst.layout}}, {{0, 1}});
}

}  // namespace trainmark::cuda

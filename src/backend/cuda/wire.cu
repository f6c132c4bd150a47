// An element a thread: a bucket begins wherever its first tensor does, and a warp reads and writes whole lines anyway.
#include "backend/cuda/wire.hpp"

#include "backend/cuda/element.cuh"

namespace trainmark::cuda {
namespace {

template <class T>
__global__ void __launch_bounds__(block_threads) round_to_wire(const float* values, std::int64_t count, T* to) {
  const std::int64_t at = item();
  if (at < count) to[at] = from_float<T>(values[at]);
}

template <class T>
__global__ void __launch_bounds__(block_threads) widen_from_wire(const T* from, std::int64_t count, float* values) {
  const std::int64_t at = item();
  if (at < count) values[at] = to_float(from[at]);
}

/// Calls body(Type<T>{}) for the type that travels.
template <class Body>
void with_wire(DType wire, Body&& body) {
  if (wire == DType::bf16) return body(Type<__nv_bfloat16>{});
  TRAINMARK_CHECK(wire == DType::f16, "gradients travel as f32, bf16 or f16");
  body(Type<__half>{});
}

}  // namespace

void to_wire(cudaStream_t stream, const float* values, std::int64_t count, DType wire, void* to) {
  with_wire(wire, [&](auto type) {
    using T = typename decltype(type)::type;
    launch("round_to_wire", round_to_wire<T>, one_thread_each(count), stream, values, count, static_cast<T*>(to));
  });
}

void from_wire(cudaStream_t stream, const void* from, std::int64_t count, DType wire, float* values) {
  with_wire(wire, [&](auto type) {
    using T = typename decltype(type)::type;
    launch("widen_from_wire", widen_from_wire<T>, one_thread_each(count), stream, static_cast<const T*>(from), count,
           values);
  });
}

}  // namespace trainmark::cuda

// What the kernels of this backend share: element types and their conversion to the fp32 that all arithmetic is done
// in, packs of elements that move in accesses of 16 bytes, the shapes of flat launches and sums over a block in a fixed
// order. Right under the device compiler and, for tests, under the host's.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <algorithm>
#include <cstdint>
#include <type_traits>
#include <utility>

#include "backend/cuda/launch.hpp"
#include "trainmark/core.hpp"

namespace trainmark::cuda {

// --- Element types ---------------------------------------------------------------------------------------------------

__device__ inline float to_float(float value) { return value; }
__device__ inline float to_float(__nv_bfloat16 value) { return __bfloat162float(value); }
__device__ inline float to_float(__half value) { return __half2float(value); }
__device__ inline float to_float(std::int16_t value) { return static_cast<float>(value); }
__device__ inline float to_float(std::uint8_t value) { return static_cast<float>(value); }

/// Rounded to nearest even; what lies beyond fp16's range becomes infinite there.
template <class T>
__device__ T from_float(float value) {
  if constexpr (std::is_same_v<T, __nv_bfloat16>) {
    return __float2bfloat16_rn(value);
  } else if constexpr (std::is_same_v<T, __half>) {
    return __float2half_rn(value);
  } else {
    return value;
  }
}

/// Stands for a type where a generic lambda takes one.
template <class T>
struct Type {
  using type = T;
};
/// Calls body(Type<T>{}) for the floating-point type that `type` names.
template <class Body>
void with_type(DType type, Body&& body) {
  switch (type) {
    case DType::f32:
      return body(Type<float>{});
    case DType::bf16:
      return body(Type<__nv_bfloat16>{});
    case DType::f16:
      return body(Type<__half>{});
    default:
      TRAINMARK_CHECK(false, "activations are f32, bf16 or f16");
  }
}

// --- Packs -----------------------------------------------------------------------------------------------------------

inline constexpr std::int64_t access_bytes = 16;
/// Elements of one widest access.
template <class T>
inline constexpr int vector_width = static_cast<int>(access_bytes / static_cast<std::int64_t>(sizeof(T)));

/// Neighbours in memory. Its element type is a member's, so that reading elements as a pack aliases them legally for
/// the host's compiler too.
template <class T, int Width>
struct alignas(Width * sizeof(T) < 16 ? Width * sizeof(T) : 16) Pack {
  T values[Width];
};
/// `from` is aligned as a Pack is.
template <int Width, class T>
__device__ Pack<T, Width> load(const T* from) {
  return *reinterpret_cast<const Pack<T, Width>*>(from);
}
template <int Width, class T>
__device__ void store(T* to, const Pack<T, Width>& pack) {
  *reinterpret_cast<Pack<T, Width>*>(to) = pack;
}
/// As load and store, for the end of a range: at most `count` elements are touched.
template <int Width, class T>
__device__ Pack<T, Width> load(const T* from, std::int64_t count) {
  if (count >= Width) return load<Width>(from);
  Pack<T, Width> pack{};
  for (int i = 0; i < Width; ++i) {
    if (i < count) pack.values[i] = from[i];
  }
  return pack;
}
template <int Width, class T>
__device__ void store(T* to, const Pack<T, Width>& pack, std::int64_t count) {
  if (count >= Width) return store<Width>(to, pack);
  for (int i = 0; i < Width; ++i) {
    if (i < count) to[i] = pack.values[i];
  }
}
[[nodiscard]] inline std::int64_t misaligned_bytes(const void* memory) noexcept {
  return static_cast<std::int64_t>(reinterpret_cast<std::uintptr_t>(memory) % access_bytes);
}

// --- Launches --------------------------------------------------------------------------------------------------------

inline constexpr int block_threads = 256;
[[nodiscard]] constexpr std::int64_t ceil_div(std::int64_t value, std::int64_t by) noexcept {
  return (value + by - 1) / by;
}
/// At least one thread for each of `items`, in whole warps.
[[nodiscard]] inline LaunchShape one_thread_each(std::int64_t items) {
  const std::int64_t threads = std::clamp<std::int64_t>(ceil_div(items, 32) * 32, 32, block_threads);
  const std::int64_t blocks = std::max<std::int64_t>(ceil_div(items, threads), 1);
  TRAINMARK_CHECK(blocks < std::int64_t{1} << 31, "a launch has at most 2^31 - 1 blocks");
  LaunchShape shape;
  shape.grid.x = static_cast<unsigned>(blocks);
  shape.block.x = static_cast<unsigned>(threads);
  return shape;
}
/// The thread's place in such a launch.
__device__ inline std::int64_t item() { return static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; }

// --- Sums ------------------------------------------------------------------------------------------------------------

/// Sum of all threads' values, in an order that depends on nothing but their number (a power of two); thread 0 has it.
/// `slots` is shared memory, one for each thread.
template <class T>
__device__ T block_sum(T value, T* slots) {
  const unsigned thread = threadIdx.x;
  __syncthreads();  // the slots may hold an earlier sum
  slots[thread] = value;
  __syncthreads();
  for (unsigned half = blockDim.x / 2; half > 0; half /= 2) {
    if (thread < half) slots[thread] += slots[thread + half];
    __syncthreads();
  }
  return slots[0];
}

}  // namespace trainmark::cuda

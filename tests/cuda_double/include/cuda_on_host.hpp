// Read before every .cu file that g++ compiles for the double: what nvcc knows by itself, with host meanings. Barriers
// and warp operations carry their source location, so that findings name lines.
#pragma once

// CUDA's headers keep these. Shared memory: see shared_memory.cpp, which finds and poisons it.
#define __shared__ static thread_local
#define __global__
#define __launch_bounds__(...)
#define __grid_constant__

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <source_location>
#include <type_traits>

#include "cuda_double/kernel.hpp"

extern uint3 threadIdx, blockIdx;
extern dim3 blockDim, gridDim;
inline constexpr int warpSize = 32;

namespace trainmark::cuda_double {

template <class T>
std::uint64_t to_bits(T value) {
  static_assert(sizeof(T) <= 8 && std::is_trivially_copyable_v<T>);
  std::uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof value);
  return bits;
}
template <class T>
T from_bits(std::uint64_t bits) {
  T value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}
template <class T>
T shuffle(unsigned mask, T value, int lane, const std::source_location& where) {
  return from_bits<T>(meet_warp(WarpCall::shuffle, mask, to_bits(value), lane, where));
}

/// The kernels' build instruments memory accesses; these are declared as atomic instead. No fiber runs in between.
template <class T, class Change>
[[gnu::no_sanitize("thread"), gnu::noinline]] T atomically(T* address, Change change) {
  atomic_access(address, sizeof(T));
  const T before = *address;
  *address = change(before);
  return before;
}

}  // namespace trainmark::cuda_double

using TrainmarkWhere = std::source_location;

// --- Barriers and warp operations ------------------------------------------------------------------------------------
inline void __syncthreads(TrainmarkWhere where = TrainmarkWhere::current()) {
  trainmark::cuda_double::barrier(false, where);
}
inline int __syncthreads_count(int predicate, TrainmarkWhere where = TrainmarkWhere::current()) {
  return trainmark::cuda_double::barrier(predicate != 0, where);
}
inline int __syncthreads_or(int predicate, TrainmarkWhere where = TrainmarkWhere::current()) {
  return trainmark::cuda_double::barrier(predicate != 0, where) > 0 ? 1 : 0;
}
inline int __syncthreads_and(int predicate, TrainmarkWhere where = TrainmarkWhere::current()) {
  return trainmark::cuda_double::barrier(predicate == 0, where) == 0 ? 1 : 0;
}
inline void __syncwarp(unsigned mask = 0xFFFFFFFFU, TrainmarkWhere where = TrainmarkWhere::current()) {
  trainmark::cuda_double::meet_warp(trainmark::cuda_double::WarpCall::sync, mask, 0, 0, where);
}
inline unsigned __ballot_sync(unsigned mask, int predicate, TrainmarkWhere where = TrainmarkWhere::current()) {
  return static_cast<unsigned>(trainmark::cuda_double::meet_warp(trainmark::cuda_double::WarpCall::ballot, mask,
                                                                 predicate != 0 ? 1 : 0, 0, where));
}
inline int __any_sync(unsigned mask, int predicate, TrainmarkWhere where = TrainmarkWhere::current()) {
  return __ballot_sync(mask, predicate, where) != 0 ? 1 : 0;
}
inline int __all_sync(unsigned mask, int predicate, TrainmarkWhere where = TrainmarkWhere::current()) {
  return __ballot_sync(mask, predicate, where) == mask ? 1 : 0;
}
template <class T>
T __shfl_sync(unsigned mask, T value, int lane, int width = 32, TrainmarkWhere where = TrainmarkWhere::current()) {
  const int own = trainmark::cuda_double::lane_id();
  return trainmark::cuda_double::shuffle(mask, value, (own & ~(width - 1)) + (lane & (width - 1)), where);
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int bits, int width = 32, TrainmarkWhere where = TrainmarkWhere::current()) {
  const int own = trainmark::cuda_double::lane_id(), other = own ^ bits;
  // Only lanes of later segments are out of reach.
  return trainmark::cuda_double::shuffle(mask, value, other < (own & ~(width - 1)) + width ? other : own, where);
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32,
                   TrainmarkWhere where = TrainmarkWhere::current()) {
  const int own = trainmark::cuda_double::lane_id(), other = own + static_cast<int>(delta);
  return trainmark::cuda_double::shuffle(mask, value, other < (own & ~(width - 1)) + width ? other : own, where);
}
template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32,
                 TrainmarkWhere where = TrainmarkWhere::current()) {
  const int own = trainmark::cuda_double::lane_id(), other = own - static_cast<int>(delta);
  return trainmark::cuda_double::shuffle(mask, value, other >= (own & ~(width - 1)) ? other : own, where);
}
inline void __threadfence() { trainmark::cuda_double::fence(); }
inline void __threadfence_block() {}
inline void __threadfence_system() { trainmark::cuda_double::fence(); }
[[noreturn]] inline void __trap(TrainmarkWhere where = TrainmarkWhere::current()) {
  trainmark::cuda_double::trap("__trap", where);
}

// --- Memory ----------------------------------------------------------------------------------------------------------
template <class T>
T __ldg(const T* from) {
  return *from;
}
template <class T>
T __ldcs(const T* from) {
  return *from;
}
template <class T>
T __ldca(const T* from) {
  return *from;
}
template <class T>
T __ldcg(const T* from) {
  return *from;
}
template <class T>
void __stcs(T* to, std::type_identity_t<T> value) {
  *to = value;
}
template <class T>
void __stcg(T* to, std::type_identity_t<T> value) {
  *to = value;
}
template <class T>
T atomicAdd(T* to, std::type_identity_t<T> value) {
  return trainmark::cuda_double::atomically(to, [=](T before) { return static_cast<T>(before + value); });
}
template <class T>
T atomicMax(T* to, std::type_identity_t<T> value) {
  return trainmark::cuda_double::atomically(to, [=](T before) { return before < value ? value : before; });
}
template <class T>
T atomicMin(T* to, std::type_identity_t<T> value) {
  return trainmark::cuda_double::atomically(to, [=](T before) { return value < before ? value : before; });
}
template <class T>
T atomicOr(T* to, std::type_identity_t<T> value) {
  return trainmark::cuda_double::atomically(to, [=](T before) { return static_cast<T>(before | value); });
}
template <class T>
T atomicAnd(T* to, std::type_identity_t<T> value) {
  return trainmark::cuda_double::atomically(to, [=](T before) { return static_cast<T>(before & value); });
}
template <class T>
T atomicExch(T* to, std::type_identity_t<T> value) {
  return trainmark::cuda_double::atomically(to, [=](T) { return value; });
}
template <class T>
T atomicCAS(T* to, std::type_identity_t<T> expected, std::type_identity_t<T> value) {
  return trainmark::cuda_double::atomically(to, [=](T before) { return before == expected ? value : before; });
}
inline unsigned atomicInc(unsigned* to, unsigned limit) {
  return trainmark::cuda_double::atomically(to, [=](unsigned before) { return before >= limit ? 0U : before + 1; });
}

// --- Arithmetic: exact where a device approximates -------------------------------------------------------------------
inline float __expf(float x) { return std::exp(x); }
inline float __exp2f(float x) { return std::exp2(x); }
inline float __logf(float x) { return std::log(x); }
inline float __log2f(float x) { return std::log2(x); }
inline float __powf(float x, float y) { return std::pow(x, y); }
inline float __sinf(float x) { return std::sin(x); }
inline float __cosf(float x) { return std::cos(x); }
inline float __fdividef(float x, float y) { return x / y; }
inline float __frcp_rn(float x) { return 1.0F / x; }
inline float __fsqrt_rn(float x) { return std::sqrt(x); }
inline float __fadd_rn(float x, float y) { return x + y; }
inline float __fsub_rn(float x, float y) { return x - y; }
inline float __fmul_rn(float x, float y) { return x * y; }
inline float __fdiv_rn(float x, float y) { return x / y; }
inline float __fmaf_rn(float x, float y, float z) { return std::fma(x, y, z); }
inline float __saturatef(float x) { return x < 0.0F ? 0.0F : x > 1.0F ? 1.0F : x; }
inline float rsqrtf(float x) { return 1.0F / std::sqrt(x); }
inline double rsqrt(double x) { return 1.0 / std::sqrt(x); }
inline unsigned __float_as_uint(float x) { return std::bit_cast<unsigned>(x); }
inline int __float_as_int(float x) { return std::bit_cast<int>(x); }
inline float __uint_as_float(unsigned x) { return std::bit_cast<float>(x); }
inline float __int_as_float(int x) { return std::bit_cast<float>(x); }
inline int __float2int_rn(float x) { return static_cast<int>(std::nearbyint(x)); }
inline int __float2int_rz(float x) { return static_cast<int>(x); }
inline unsigned __umulhi(unsigned x, unsigned y) { return static_cast<unsigned>(std::uint64_t{x} * y >> 32); }
inline unsigned long long __umul64hi(unsigned long long x, unsigned long long y) {
  __extension__ using Wide = unsigned __int128;
  return static_cast<unsigned long long>(static_cast<Wide>(x) * y >> 64);
}
inline int __popc(unsigned x) { return std::popcount(x); }
inline int __popcll(unsigned long long x) { return std::popcount(x); }
inline int __clz(int x) { return std::countl_zero(static_cast<unsigned>(x)); }
inline int __ffs(int x) { return x == 0 ? 0 : std::countr_zero(static_cast<unsigned>(x)) + 1; }
template <class T, class U>
constexpr std::common_type_t<T, U> min(T x, U y) {
  return y < x ? y : x;
}
template <class T, class U>
constexpr std::common_type_t<T, U> max(T x, U y) {
  return x < y ? y : x;
}

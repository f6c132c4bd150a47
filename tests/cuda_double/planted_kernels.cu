// See planted_kernels.hpp. Written as the backend's kernels are: plain CUDA, launched through backend/cuda/launch.hpp.
#include "cuda_double/planted_kernels.hpp"

#include "backend/cuda/device_side.cuh"
#include "backend/cuda/launch.hpp"

namespace trainmark::cuda_double {
namespace {

using cuda::launch;
constexpr unsigned whole_warp = 0xFFFFFFFFU;

__global__ void scale_kernel(float* values, int count, float factor) {
  const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < static_cast<unsigned>(count)) values[i] *= factor;
}

__global__ void add_kernel(float* __restrict__ sums, const float* __restrict__ values, int count) {
  const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < static_cast<unsigned>(count)) sums[i] += __ldg(values + i);
}

template <class Combine>
__device__ float reduce(float value, bool barrier_first, Combine combine) {
  __shared__ float slots[8];
  for (int bits = 16; bits > 0; bits /= 2)
    value = combine(value, __shfl_xor_sync(whole_warp, value, bits));
  if (barrier_first) __syncthreads();
  if (threadIdx.x % 32 == 0) slots[threadIdx.x / 32] = value;
  __syncthreads();
  float all = slots[0];
  for (int i = 1; i < 8; ++i)
    all = combine(all, slots[i]);
  return all;
}

struct Either {
  bool maximum;
  __device__ float operator()(float a, float b) const { return maximum ? fmaxf(a, b) : a + b; }
};

__global__ void __launch_bounds__(256) sum_and_maximum_kernel(const float* values, float2* results, bool faulty) {
  const float value = values[blockIdx.x * 256 + threadIdx.x];
  const float sum = reduce(value, false, Either{false});
  const float maximum = reduce(value, !faulty, Either{true});
  if (threadIdx.x == 0) results[blockIdx.x] = make_float2(sum, maximum);
}

__global__ void count_kernel(const float* values, int count, int* positive, bool faulty) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  const int own = i < count && values[i] > 0.0F ? 1 : 0;
  const int together = __syncthreads_count(own);
  if (threadIdx.x != 0) return;
  if (faulty)
    *positive += together;
  else
    atomicAdd(positive, together);
}

__global__ void next_warp_kernel(float* values, bool faulty) {
  __shared__ float slots[4];
  const unsigned warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  if (lane == 0) slots[warp] = values[threadIdx.x];
  if (!faulty) __syncthreads();
  if (lane == 1) values[threadIdx.x] = slots[(warp + 1) % 4];
}

__global__ void fill_kernel(__nv_bfloat16* values, bool faulty) {
  values[threadIdx.x] = __float2bfloat16_rn(1.0F);
  if (faulty) values[(threadIdx.x + 1) % blockDim.x] = __float2bfloat16_rn(2.0F);
}

__global__ void reverse_warp_kernel(float* values, bool faulty) {
  __shared__ float slots[32];
  slots[threadIdx.x] = values[threadIdx.x];
  if (!faulty) __syncwarp();
  values[threadIdx.x] = slots[31 - threadIdx.x];
}

__global__ void copy_kernel(const float4* from, float4* to, int vectors) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i < vectors) __stcs(to + i, __ldcs(from + i));
}

__global__ void read_at_kernel(const char* from, std::size_t offset, float4* to) {
  *to = *reinterpret_cast<const float4*>(from + offset);
}

__global__ void reverse_static_kernel(float* values, bool faulty) {
  __shared__ float slots[64];
  slots[threadIdx.x + (faulty ? 1 : 0)] = values[threadIdx.x];
  __syncthreads();
  values[threadIdx.x] = slots[63 - threadIdx.x];
}

__global__ void reverse_dynamic_kernel(float* values) {
  float* slots = cuda::dynamic_shared<float>();
  slots[threadIdx.x] = values[threadIdx.x];
  __syncthreads();
  values[threadIdx.x] = slots[blockDim.x - 1 - threadIdx.x];
}

__global__ void cleared_kernel(const float* values, float* sum, bool faulty) {
  __shared__ float total;
  if (threadIdx.x == 0 && !faulty) total = 0.0F;
  __syncthreads();
  atomicAdd(&total, values[threadIdx.x]);
  __syncthreads();
  if (threadIdx.x == 0) *sum = total;
}

__global__ void barriers_kernel(float* values, Barrier barrier) {
  const bool odd = threadIdx.x % 2 != 0;
  if (barrier == Barrier::after_exit && threadIdx.x == 5) return;
  if (barrier == Barrier::two_branches && odd)
    __syncthreads();
  else if (barrier != Barrier::in_branch || odd)
    __syncthreads();
  values[threadIdx.x] += 1.0F;
}

__global__ void warp_sum_kernel(float* values, Mask mask) {
  if (mask == Mask::lane_left && threadIdx.x == 7) return;
  unsigned lanes = whole_warp;
  if (mask == Mask::different && threadIdx.x == 3) lanes = 0xFFU;
  if (mask == Mask::without_itself && threadIdx.x == 3) lanes = 0xF0U;
  values[threadIdx.x] += __shfl_down_sync(lanes, values[threadIdx.x], 1);
}

__global__ void conversions_kernel(float* to, float real, long whole, int small) {
  to[0] = real;
  to[1] = static_cast<float>(whole);
  to[2] = static_cast<float>(small);
}

__global__ void last_block_kernel(const float* values, int count, float* partial, unsigned* arrived, float* sum,
                                  bool faulty) {
  __shared__ bool last;
  if (threadIdx.x == 0) {
    float own = 0.0F;
    for (int i = static_cast<int>(blockIdx.x); i < count; i += static_cast<int>(gridDim.x))
      own += values[i];
    partial[blockIdx.x] = own;
    if (!faulty) __threadfence();
    last = atomicAdd(arrived, 1U) == gridDim.x - 1;
    if (!faulty) __threadfence();
  }
  __syncthreads();
  if (!last || threadIdx.x != 0) return;
  float all = 0.0F;
  for (unsigned i = 0; i < gridDim.x; ++i)
    all += partial[i];
  *sum = all;
}

unsigned blocks_for(int count, int threads) { return static_cast<unsigned>((count + threads - 1) / threads); }

}  // namespace

void scale(cudaStream_t stream, float* values, int count, float factor) {
  launch("scale", scale_kernel, {blocks_for(count, 64), 64}, stream, values, count, factor);
}
void add_into(cudaStream_t stream, float* sums, const float* values, int count) {
  launch("add_into", add_kernel, {blocks_for(count, 64), 64}, stream, sums, values, count);
}
void sum_and_maximum(cudaStream_t stream, const float* values, float2* results, int blocks, bool faulty) {
  launch("sum_and_maximum", sum_and_maximum_kernel, {static_cast<unsigned>(blocks), 256}, stream, values, results,
         faulty);
}
void count_positive(cudaStream_t stream, const float* values, int count, int* positive, bool faulty) {
  launch("count_positive", count_kernel, {blocks_for(count, 64), 64}, stream, values, count, positive, faulty);
}
void pass_to_next_warp(cudaStream_t stream, float* values, bool faulty) {
  launch("pass_to_next_warp", next_warp_kernel, {1, 128}, stream, values, faulty);
}
void fill_halves(cudaStream_t stream, __nv_bfloat16* values, bool faulty) {
  launch("fill_halves", fill_kernel, {1, 64}, stream, values, faulty);
}
void reverse_in_warp(cudaStream_t stream, float* values, bool faulty) {
  launch("reverse_in_warp", reverse_warp_kernel, {1, 32}, stream, values, faulty);
}
void copy_vectors(cudaStream_t stream, const float4* from, float4* to, int vectors, bool faulty) {
  const int all = faulty ? vectors + 1 : vectors;
  launch("copy_vectors", copy_kernel, {blocks_for(all, 64), 64}, stream, from, to, all);
}
void read_vector_at(cudaStream_t stream, const char* from, std::size_t offset, float4* to) {
  launch("read_vector_at", read_at_kernel, {}, stream, from, offset, to);
}
void reverse_static(cudaStream_t stream, float* values, bool faulty) {
  launch("reverse_static", reverse_static_kernel, {1, 64}, stream, values, faulty);
}
void reverse_dynamic(cudaStream_t stream, float* values, bool faulty) {
  launch("reverse_dynamic", reverse_dynamic_kernel, {1, 64, (faulty ? 63 : 64) * sizeof(float)}, stream, values);
}
void sum_from_cleared(cudaStream_t stream, const float* values, float* sum, bool faulty) {
  launch("sum_from_cleared", cleared_kernel, {1, 64}, stream, values, sum, faulty);
}
void barriers(cudaStream_t stream, float* values, Barrier barrier) {
  launch("barriers", barriers_kernel, {1, 64}, stream, values, barrier);
}
void warp_sum(cudaStream_t stream, float* values, Mask mask) {
  launch("warp_sum", warp_sum_kernel, {1, 32}, stream, values, mask);
}
void launch_with_conversions(cudaStream_t stream, float* to) {
  launch("conversions", conversions_kernel, {}, stream, to, 2.5, 7, short{3});
}
void sum_by_last_block(cudaStream_t stream, const float* values, int count, float* partial, unsigned* arrived,
                       float* sum, bool faulty) {
  launch("sum_by_last_block", last_block_kernel, {4, 32}, stream, values, count, partial, arrived, sum, faulty);
}
void launch_too_wide(cudaStream_t stream, float* values) {
  launch("too_wide", scale_kernel, {1, 2048}, stream, values, 1, 1.0F);
}

}  // namespace trainmark::cuda_double

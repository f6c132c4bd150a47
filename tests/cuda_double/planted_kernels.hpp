// Kernels with one error each, planted where `faulty` says so; without it they are right. For the double's own tests.
#pragma once

#include <cuda_bf16.h>
#include <cuda_runtime_api.h>

#include <cstddef>

namespace trainmark::cuda_double {

void scale(cudaStream_t stream, float* values, int count, float factor);          ///< values *= factor
void add_into(cudaStream_t stream, float* sums, const float* values, int count);  ///< sums += values

/// results[block] = (sum, maximum) of 256 values; faulty: no barrier between two reductions that share a slot.
void sum_and_maximum(cudaStream_t stream, const float* values, float2* results, int blocks, bool faulty);
/// One number over all blocks; faulty: added without atomics.
void count_positive(cudaStream_t stream, const float* values, int count, int* positive, bool faulty);
/// Each warp of a block writes a slot, the next reads it; faulty: no barrier in between.
void pass_to_next_warp(cudaStream_t stream, float* values, bool faulty);
/// Threads fill bf16 values that share words; faulty: each also writes its neighbour's.
void fill_halves(cudaStream_t stream, __nv_bfloat16* values, bool faulty);
/// Lanes reverse their values through shared memory; faulty: no __syncwarp.
void reverse_in_warp(cudaStream_t stream, float* values, bool faulty);
/// Copies by 16 bytes; faulty: one vector past the end.
void copy_vectors(cudaStream_t stream, const float4* from, float4* to, int vectors, bool faulty);
/// Reads 16 bytes at from + offset bytes.
void read_vector_at(cudaStream_t stream, const char* from, std::size_t offset, float4* to);
/// Reverses 64 values through a static shared array; faulty: its index runs one past the end.
void reverse_static(cudaStream_t stream, float* values, bool faulty);
/// The same through dynamic shared memory; faulty: one element too few is asked for.
void reverse_dynamic(cudaStream_t stream, float* values, bool faulty);
/// Sums through shared memory that one thread has to clear; faulty: nobody does.
void sum_from_cleared(cudaStream_t stream, const float* values, float* sum, bool faulty);
enum class Barrier { right, in_branch, two_branches, after_exit };
void barriers(cudaStream_t stream, float* values, Barrier barrier);
enum class Mask { right, lane_left, different, without_itself };
void warp_sum(cudaStream_t stream, float* values, Mask mask);
void launch_with_conversions(cudaStream_t stream, float* to);  ///< passes double, int and short for float, long, int
/// Partial sums by block, added up by the last block to finish; faulty: no fence before the counter.
void sum_by_last_block(cudaStream_t stream, const float* values, int count, float* partial, unsigned* arrived,
                       float* sum, bool faulty);
void launch_too_wide(cudaStream_t stream, float* values);  ///< 2048 threads a block

}  // namespace trainmark::cuda_double

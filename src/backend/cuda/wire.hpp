// Gradients as they travel between ranks: 16-bit floats, which only these kernels and NCCL read.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "trainmark/core.hpp"

namespace trainmark::cuda {

/// Enqueues it. `wire`: bf16 or f16, rounded to nearest even; what lies beyond its range becomes infinite.
void to_wire(cudaStream_t stream, const float* values, std::int64_t count, DType wire, void* to);
void from_wire(cudaStream_t stream, const void* from, std::int64_t count, DType wire, float* values);

}  // namespace trainmark::cuda

// The double's runtime: orders of streams, events, capture, faults, and the planted errors of stream code.
#include "cuda_double/planted_kernels.hpp"
#include "cuda_double/support.hpp"

namespace trainmark::cuda_double {
namespace {

TEST(CudaDoubleRuntime, MemoryStartsPoisonedAndIsLimited) {
  reset({.faults = {.memory_bytes = 1 << 20}});
  const float* fresh = device_array<float>(4);
  EXPECT_NE(on_host(fresh, 1)[0], on_host(fresh, 1)[0]);
  void* memory = nullptr;
  EXPECT_EQ(cudaMalloc(&memory, 2 << 20), cudaErrorMemoryAllocation);
  EXPECT_EQ(cudaGetLastError(), cudaErrorMemoryAllocation);
  EXPECT_EQ(cudaGetLastError(), cudaSuccess);
}

}  // namespace
}  // namespace trainmark::cuda_double

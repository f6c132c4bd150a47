// A kernel launch on the host: what launch.hpp hands over and what device_functions.hpp asks of the running thread.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <source_location>
#include <string>

namespace trainmark::cuda_double {

struct Kernel {
  std::string name;
  dim3 grid{1};
  dim3 block{1};
  std::size_t shared_bytes = 0;
  std::shared_ptr<const void> arguments;  ///< and the function, which every thread reads
  std::size_t argument_bytes = 0;
  void (*run_thread)(const void* arguments) = nullptr;
};
/// Enqueues; refuses shapes that no device takes.
cudaError_t submit_kernel(Kernel kernel, cudaStream_t stream);

// --- What a running thread may ask -----------------------------------------------------------------------------------
enum class WarpCall : std::uint8_t { sync, shuffle, ballot };
/// Of the block's threads, all must come. Returns how many of them brought a true predicate.
int barrier(bool predicate, const std::source_location& where);
/// Meets the lanes in `mask`. Shuffle: the value that lane `source` brought; ballot: a bit for each nonzero value.
std::uint64_t meet_warp(WarpCall call, unsigned mask, std::uint64_t value, int source,
                        const std::source_location& where);
[[nodiscard]] int lane_id();
void* dynamic_shared_memory();
/// Declares an atomic access, or a fence, to the access checks.
void atomic_access(const volatile void* address, std::size_t bytes);
void fence();
[[noreturn]] void trap(const char* why, const std::source_location& where);

}  // namespace trainmark::cuda_double

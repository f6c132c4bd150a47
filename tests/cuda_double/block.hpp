// One block of a kernel on the host: its threads as fibers that switch at barriers and warp operations. Shared by the
// fibers, the launch and the access checks; one block runs at a time, under the device's lock.
#pragma once

#include <cstddef>
#include <cstdint>
#include <source_location>
#include <string>
#include <vector>

#include "cuda_double/kernel.hpp"

namespace trainmark::cuda_double {

enum class FiberState : std::uint8_t { fresh, ready, at_barrier, at_warp, done };
struct WarpVisit {
  WarpCall call = WarpCall::sync;
  unsigned mask = 0;
  std::uint64_t value = 0;
  int source = 0;
  std::uint64_t result = 0;
};
struct Fiber {
  FiberState state = FiberState::fresh;
  int thread = 0;  // within the block
  uint3 index{};
  std::uint32_t warp_epoch = 0;  // counts __syncwarp
  bool predicate = false;
  std::source_location where;
  WarpVisit visit;
  char* stack = nullptr;  // its lowest byte
};
inline constexpr std::size_t stack_bytes = std::size_t{256} << 10;

struct Block {
  const Kernel* kernel = nullptr;
  std::uint32_t operation = 0;  // to the access checks
  std::uint32_t number = 0;     // within the launch, linear
  std::uint32_t serial = 0;     // over all launches
  std::uint32_t barrier_epoch = 0;
  char* shared = nullptr;  // dynamic
  int predicates = 0;      // true ones at the last barrier
  [[nodiscard]] std::string describe(const Fiber& fiber) const;
};
/// The block and thread that this host thread is running, or nullptr.
struct Running {
  Block* block = nullptr;
  Fiber* fiber = nullptr;
};
[[nodiscard]] Running& running() noexcept;

/// Runs all blocks of the kernel. False if it was stopped.
bool run_kernel(const Kernel& kernel, std::uint32_t operation);
/// Abandons the kernel from inside one of its threads, after a finding.
[[noreturn]] void stop_kernel();

// --- Fibers (fibers.cpp) ---------------------------------------------------------------------------------------------
[[nodiscard]] Fiber& fiber_at(std::size_t thread);
void resume(Fiber& fiber, const Kernel& kernel);  ///< returns when it switches back, ends or stops the kernel
void suspend();                                   ///< from inside a fiber
[[noreturn]] void leave_for_good();               ///< from inside a fiber, which starts anew next time
[[nodiscard]] bool left_for_good();               ///< whether the last resume ended so
void forget(Fiber& fiber);                        ///< its stack starts anew next time

// --- Shared memory (shared_memory.cpp) -------------------------------------------------------------------------------
struct SharedVariable {
  std::string name;
  std::size_t offset = 0, bytes = 0;  // in the executable's thread-local memory
};
[[nodiscard]] const std::vector<SharedVariable>& shared_variables();
[[nodiscard]] char* thread_local_base();
char* prepare_shared(std::size_t dynamic_bytes);  ///< poisons all of a block's; returns the dynamic part
[[nodiscard]] bool shared_margin_touched(std::size_t dynamic_bytes);

// --- Crashes (crash.cpp) ---------------------------------------------------------------------------------------------
void catch_crashes();  ///< on this host thread

}  // namespace trainmark::cuda_double

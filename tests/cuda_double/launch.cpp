// Enqueues kernels, and answers what a running thread asks: barriers, warp operations, its lane, its shared memory.
#include <fmt/format.h>

#include "cuda_double/block.hpp"
#include "cuda_double/device.hpp"

namespace trainmark::cuda_double {
namespace {

std::string why_unlaunchable(const Kernel& kernel) {
  const dim3 &grid = kernel.grid, &block = kernel.block;
  if (grid.x == 0 || grid.y == 0 || grid.z == 0) return "an empty grid";
  if (block.x == 0 || block.y == 0 || block.z == 0) return "an empty block";
  if (std::uint64_t{block.x} * block.y * block.z > 1024 || block.z > 64) return "more than 1024 threads a block";
  if (grid.x > 0x7FFFFFFFU || grid.y > 65535 || grid.z > 65535) return "a grid beyond the device's limits";
  if (kernel.shared_bytes > (std::size_t{48} << 10)) return "more than 48 KiB of dynamic shared memory";
  if (kernel.argument_bytes > 4096) return "more than 4096 bytes of arguments";
  return {};
}

bool launch_now(const Kernel& kernel, std::uint32_t operation) {
  Device& self = device();
  const Faults& faults = self.options.faults;
  if (faults.failing_launch >= 0 && self.launches >= faults.failing_launch) self.sticky = faults.failure;
  ++self.launches;
  if (self.sticky == cudaSuccess && !run_kernel(kernel, operation) && self.sticky == cudaSuccess)
    self.sticky = cudaErrorIllegalAddress;
  return true;
}

Fiber& self_fiber(const std::source_location& where) {
  Fiber& fiber = *running().fiber;
  fiber.where = where;
  return fiber;
}

}  // namespace

cudaError_t submit_kernel(Kernel kernel, cudaStream_t stream) {
  const Lock lock(device().mutex);
  if (const std::string why = why_unlaunchable(kernel); !why.empty()) {
    add_finding(fmt::format("kernel {} cannot be launched with {}", kernel.name, why));
    return failed(cudaErrorInvalidConfiguration);
  }
  Operation operation{.name = "kernel " + kernel.name};
  operation.start = [shared = std::make_shared<const Kernel>(std::move(kernel))] {
    return [shared] { return launch_now(*shared, current_operation()); };
  };
  return submit(find_stream(stream), std::move(operation));
}

int barrier(bool predicate, const std::source_location& where) {
  Fiber& fiber = self_fiber(where);
  fiber.predicate = predicate;
  fiber.state = FiberState::at_barrier;
  suspend();
  return running().block->predicates;
}

std::uint64_t meet_warp(WarpCall call, unsigned mask, std::uint64_t value, int source,
                        const std::source_location& where) {
  Fiber& fiber = self_fiber(where);
  const int lane = fiber.thread % 32;
  if ((mask >> lane & 1U) == 0) {
    add_finding(fmt::format("{} is not in the mask {:#x} of its own warp operation at {}:{}",
                            running().block->describe(fiber), mask, where.file_name(), where.line()));
    return value;
  }
  fiber.visit = {call, mask, value, source, 0};
  fiber.state = FiberState::at_warp;
  suspend();
  return running().fiber->visit.result;
}

int lane_id() { return running().fiber->thread % 32; }

void* dynamic_shared_memory() { return running().block->shared; }

void atomic_access(const volatile void* address, std::size_t bytes) {
  if (watch().atomic != nullptr) watch().atomic(address, bytes);
}

void fence() {
  if (watch().fence != nullptr) watch().fence();
}

void trap(const char* why, const std::source_location& where) {
  add_finding(fmt::format("{}: {} at {}:{}", running().block->describe(*running().fiber), why, where.file_name(),
                          where.line()));
  stop_kernel();
}

}  // namespace trainmark::cuda_double

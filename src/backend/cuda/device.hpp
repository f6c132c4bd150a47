// The device that a rank computes on: which one, what it is called, its memory, and the one check of runtime calls.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <memory_resource>
#include <string>

#include "trainmark/comm.hpp"

namespace trainmark::cuda {

[[noreturn]] void raise(cudaError_t code, const char* call);
/// Raises Error with the runtime's own text and what it means for the user: {environment} where the machine, its driver
/// or this build does not fit, {communication} where the device failed. `call` is what was tried.
inline void check(cudaError_t code, const char* call) {
  if (code != cudaSuccess) raise(code, call);
}
/// Whether no call of this process can succeed on the device any more after `code`.
[[nodiscard]] bool loses_device(cudaError_t code) noexcept;

struct Device {
  int ordinal = 0;
  std::string name;
  int major = 0, minor = 0;  ///< compute capability
  std::int64_t memory_bytes = 0;
  std::string bus_id;
};
/// Whether a driver and at least one device are there. Never raises.
[[nodiscard]] bool present() noexcept;
/// Collective over all ranks. The one visible device, or the next free one of those that several ranks of a node see;
/// makes it current. Raises AgreedError{environment} where there is none, where two ranks would share one, or where the
/// driver is too old.
[[nodiscard]] Device choose_device(const World& world);
/// Makes the chosen device current on the calling thread: helper threads start on device 0 and would leave a context
/// there. Costs nothing the second time.
void use_chosen_device();

/// Memory of one kind, counted; aligned to 256 bytes. Refuses with what was asked for, what is free and what to change.
class CountedMemory : public std::pmr::memory_resource {
 public:
  [[nodiscard]] std::int64_t calls() const noexcept { return calls_; }

 private:
  virtual void* take(std::size_t bytes) = 0;
  virtual cudaError_t give_back(void* memory) noexcept = 0;

  void* do_allocate(std::size_t bytes, std::size_t alignment) final;
  void do_deallocate(void* memory, std::size_t bytes, std::size_t alignment) final;
  [[nodiscard]] bool do_is_equal(const std::pmr::memory_resource& other) const noexcept final { return this == &other; }

  std::int64_t calls_ = 0;
};
class DeviceMemory final : public CountedMemory {
  void* take(std::size_t bytes) override;
  cudaError_t give_back(void* memory) noexcept override { return cudaFree(memory); }
};
class PinnedMemory final : public CountedMemory {
  void* take(std::size_t bytes) override;
  cudaError_t give_back(void* memory) noexcept override { return cudaFreeHost(memory); }
};

}  // namespace trainmark::cuda

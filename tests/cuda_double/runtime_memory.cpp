// The runtime calls about memory. Copies run in their stream's order; a pinned buffer that the host changes while a
// copy from it is queued is found by comparing what the copy finds with what was there at the call.
#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <string_view>

#include "cuda_double/device.hpp"

namespace trainmark::cuda_double {
namespace {

enum class Place : std::uint8_t { device, pinned, pageable };
Place place_of(const void* address) {
  const MemoryBlock* block = device().arena.find(address);
  if (block == nullptr) return Place::pageable;
  return block->kind == MemoryKind::device ? Place::device : Place::pinned;
}

std::size_t content_of(const void* from, std::size_t bytes) {
  return std::hash<std::string_view>{}({static_cast<const char*>(from), bytes});
}

/// How often operations have written to pinned memory: a change that one of them made is no fault of the host's.
std::int64_t pinned_writes = 0;

/// The last copy from a pinned address. Who refills it must know that the copy is over.
struct Reader {
  std::size_t content = 0;
  std::int64_t writes = 0;
  std::shared_ptr<Marker> end;
};
std::unordered_map<const void*, Reader>& readers() {
  static std::unordered_map<const void*, Reader> all;
  static const bool once = [] {
    device().at_reset.push_back([] { readers().clear(); });
    return true;
  }();
  static_cast<void>(once);
  return all;
}

bool host_knows_end(const Marker& marker) {
  const auto stream = marker.stream.lock();
  return stream == nullptr || (marker.done && covers(device().host, stream->index, marker.clock[stream->index]));
}

void note_reader(const void* from, std::size_t content) {
  Reader& last = readers()[from];
  if (last.end != nullptr && last.content != content && last.writes == pinned_writes && !host_knows_end(*last.end))
    add_finding(fmt::format("{} was refilled before the host had waited for the copy from it: reused too early",
                            device().arena.describe(from)));
  last = {content, pinned_writes, device().pushed};
}

bool touches(const Operation& operation, const void* from, std::size_t bytes) {
  return std::ranges::any_of(operation.accesses, [&](const Access& access) {
    const char* begin = static_cast<const char*>(access.begin);
    const char* first = static_cast<const char*>(from);
    return access.write && begin < first + bytes && first < begin + access.bytes;
  });
}

bool written_by_queued_work(const void* from, std::size_t bytes) {
  for (const auto& weak : device().queues) {
    const auto stream = weak.lock();
    if (stream != nullptr && std::ranges::any_of(stream->queue, [&](const auto& o) { return touches(o, from, bytes); }))
      return true;
  }
  return false;
}

Operation copy_operation(void* to, const void* from, std::size_t bytes, Place source) {
  Operation operation{.name = fmt::format("copy of {} bytes", bytes),
                      .accesses = {{from, bytes, false}, {to, bytes, true}}};
  operation.marks = std::make_shared<Marker>();
  operation.start = [=] {
    const bool watched = source == Place::pinned && !written_by_queued_work(from, bytes) &&
                         device().arena.find(from)->holds(from, bytes);
    const std::size_t content = watched ? content_of(from, bytes) : 0;
    if (watched) note_reader(from, content);
    const std::int64_t writes = pinned_writes;
    return [=] {
      if (watched && writes == pinned_writes && content_of(from, bytes) != content)
        add_finding(fmt::format("{} was changed by the host while a copy from it was queued: reused too early",
                                device().arena.describe(from)));
      if (place_of(to) == Place::pinned) ++pinned_writes;
      std::memmove(to, from, bytes);
      return true;
    };
  };
  return operation;
}

bool kind_fits(cudaMemcpyKind kind, Place to, Place from) {
  switch (kind) {
    case cudaMemcpyHostToDevice:
      return to == Place::device && from != Place::device;
    case cudaMemcpyDeviceToHost:
      return to != Place::device && from == Place::device;
    case cudaMemcpyDeviceToDevice:
      return to != Place::pageable && from != Place::pageable;
    default:
      return true;
  }
}

cudaError_t copy(Lock& lock, void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind, cudaStream_t handle,
                 bool wait) {
  if (const cudaError_t code = standing_error(); code != cudaSuccess) return failed(code);
  if (bytes == 0) return cudaSuccess;
  const auto stream = find_stream(handle);
  if (stream == nullptr) return failed(cudaErrorInvalidResourceHandle);
  const Place source = place_of(from), target = place_of(to);
  if (!kind_fits(kind, target, source)) {
    add_finding(fmt::format("a copy's direction does not fit its memory: from {} to {}", device().arena.describe(from),
                            device().arena.describe(to)));
    return failed(cudaErrorInvalidValue);
  }
  if (device().options.pinned_uploads && device().relaunched && source == Place::pageable && target == Place::device)
    add_finding(fmt::format("a copy of {} bytes to the device is from pageable memory", bytes));
  Operation operation = copy_operation(to, from, bytes, source);
  if (source == Place::pageable && stream->capture == nullptr) {  // staged at the call
    auto staged = std::make_shared<std::string>(static_cast<const char*>(from), bytes);
    operation.accesses.erase(operation.accesses.begin());
    operation.start = [=] {
      return [=] {
        if (place_of(to) == Place::pinned) ++pinned_writes;
        std::memcpy(to, staged->data(), bytes);
        return true;
      };
    };
  }
  if (const cudaError_t code = submit(stream, std::move(operation)); code != cudaSuccess) return code;
  if (!wait && (target != Place::pageable || stream->capture != nullptr)) return cudaSuccess;
  run_until(lock, stream, [&] { return idle(*stream); });
  merge(device().host, stream->clock);
  return failed(device().sticky);
}

cudaError_t allocate(void** memory, std::size_t bytes, MemoryKind kind) {
  const Lock lock(device().mutex);
  *memory = nullptr;
  if (const cudaError_t code = standing_error(); code != cudaSuccess) return failed(code);
  if (forbidden_by_capture()) return failed(cudaErrorStreamCaptureUnsupported);
  if (bytes == 0) return cudaSuccess;
  Device& self = device();
  if (kind == MemoryKind::device && self.arena.used(kind) + bytes > self.options.faults.memory_bytes)
    return failed(cudaErrorMemoryAllocation);
  *memory = self.arena.allocate(bytes, kind);
  return *memory != nullptr ? cudaSuccess : failed(cudaErrorMemoryAllocation);
}

bool has_collective(const std::weak_ptr<Stream>& queue) {
  const auto stream = queue.lock();
  return stream != nullptr &&
         std::ranges::any_of(stream->queue, [](const Operation& each) { return each.communicator != nullptr; });
}

cudaError_t release(void* memory, MemoryKind kind) {
  Lock lock(device().mutex);
  Device& self = device();
  if (memory == nullptr) return cudaSuccess;
  if (const cudaError_t code = standing_error(); code != cudaSuccess && code != self.sticky) return failed(code);
  if (forbidden_by_capture()) return failed(cudaErrorStreamCaptureUnsupported);
  // A device frees when it has come to rest: the host waits with it for a peer that does not come.
  if (std::ranges::any_of(self.queues, has_collective)) {
    run_until(lock, self.null_stream, [&] { return std::ranges::none_of(self.queues, has_collective); });
  }
  const MemoryBlock* block = self.arena.find(memory);
  if (block != nullptr && block->live && watch().freed != nullptr) watch().freed(*block, self.host);
  if (self.arena.release(memory, kind)) return failed(self.sticky);
  if (block != nullptr)
    add_finding(fmt::format("freed twice, or not by its beginning: {}", self.arena.describe(memory)));
  return failed(cudaErrorInvalidValue);
}

}  // namespace
}  // namespace trainmark::cuda_double

using namespace trainmark::cuda_double;
extern "C" {

cudaError_t cudaMemGetInfo(size_t* free, size_t* total) {
  const Lock lock(device().mutex);
  *total = device().options.faults.memory_bytes;
  *free = *total - std::min(*total, device().arena.used(MemoryKind::device));
  return failed(standing_error());
}

cudaError_t cudaMalloc(void** memory, size_t bytes) { return allocate(memory, bytes, MemoryKind::device); }
cudaError_t cudaFree(void* memory) { return release(memory, MemoryKind::device); }
cudaError_t cudaMallocHost(void** memory, size_t bytes) { return allocate(memory, bytes, MemoryKind::pinned); }
cudaError_t cudaHostAlloc(void** memory, size_t bytes, unsigned) { return allocate(memory, bytes, MemoryKind::pinned); }
cudaError_t cudaFreeHost(void* memory) { return release(memory, MemoryKind::pinned); }

cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind, cudaStream_t stream) {
  Lock lock(device().mutex);
  return copy(lock, to, from, bytes, kind, stream, false);
}

cudaError_t cudaMemcpy(void* to, const void* from, size_t bytes, cudaMemcpyKind kind) {
  Lock lock(device().mutex);
  return copy(lock, to, from, bytes, kind, nullptr, true);
}

cudaError_t cudaMemsetAsync(void* to, int value, size_t bytes, cudaStream_t stream) {
  const Lock lock(device().mutex);
  if (bytes == 0) return cudaSuccess;
  Operation operation{.name = fmt::format("memset of {} bytes", bytes), .accesses = {{to, bytes, true}}};
  operation.start = [=] {
    return [=] {
      std::memset(to, value, bytes);
      return true;
    };
  };
  return submit(find_stream(stream), std::move(operation));
}

cudaError_t cudaMemset(void* to, int value, size_t bytes) {
  if (const cudaError_t code = cudaMemsetAsync(to, value, bytes, nullptr); code != cudaSuccess) return code;
  return cudaStreamSynchronize(nullptr);
}
}

// What backends share whose "device" is host memory: it is taken from the heap and counted, copies are memcpy, and one
// stream runs inline.
#pragma once

#include <algorithm>
#include <cstring>

#include "backend/inline.hpp"

namespace trainmark {

/// Host memory in whole pages, as vectors and transfers like it, and counted.
class CountingMemory final : public std::pmr::memory_resource {
 public:
  [[nodiscard]] std::int64_t calls() const noexcept { return calls_; }

 private:
  static constexpr std::size_t page = 4096;
  void* do_allocate(std::size_t bytes, std::size_t alignment) override {
    ++calls_;
    return std::pmr::new_delete_resource()->allocate(bytes, std::max(alignment, page));
  }
  void do_deallocate(void* memory, std::size_t bytes, std::size_t alignment) override {
    std::pmr::new_delete_resource()->deallocate(memory, bytes, std::max(alignment, page));
  }
  [[nodiscard]] bool do_is_equal(const std::pmr::memory_resource& other) const noexcept override {
    return this == &other;
  }

  std::int64_t calls_ = 0;
};

class HostBackend : public Backend {
 public:
  [[nodiscard]] std::pmr::memory_resource& device_memory() override { return device_; }
  [[nodiscard]] std::pmr::memory_resource& pinned_memory() override { return pinned_; }
  [[nodiscard]] std::int64_t allocations() const override { return device_.calls() + pinned_.calls(); }
  void copy_to_device(Stream&, void* to, const void* from, std::size_t bytes) override { std::memcpy(to, from, bytes); }
  void copy_to_host(Stream&, void* to, const void* from, std::size_t bytes) override { std::memcpy(to, from, bytes); }
  void fill_zero(Stream&, void* to, std::size_t bytes) override { std::memset(to, 0, bytes); }
  [[nodiscard]] Stream& stream(Lane) override { return stream_; }
  [[nodiscard]] std::unique_ptr<StreamEvent> make_event() override { return std::make_unique<InlineEvent>(); }
  [[nodiscard]] std::size_t bytes_of(const TensorDesc& tensor) const override {
    return static_cast<std::size_t>(tensor.shape.elements()) * size_of(tensor.dtype);
  }
  Profile profile(const std::vector<Launch>& launches) override {
    Profile seconds;
    for (const Launch& launch : launches) {
      const Clock clock;
      launch.plan->execute(stream_, launch.args);
      seconds.emplace_back(launch.name, clock.seconds());
    }
    return seconds;
  }

 protected:
  InlineStream stream_;

 private:
  CountingMemory device_, pinned_;
};

}  // namespace trainmark

// A backend that computes nothing: its "device" is host memory, its layouts are logical. What replays the time of a
// device that is not there is made of it (emulated/).
#pragma once

#include <cstring>

#include "backend/inline.hpp"

namespace trainmark {

class CountingMemory final : public std::pmr::memory_resource {
 public:
  [[nodiscard]] std::int64_t calls() const noexcept { return calls_; }

 private:
  void* do_allocate(std::size_t bytes, std::size_t alignment) override {
    ++calls_;
    return std::pmr::new_delete_resource()->allocate(bytes, alignment);
  }
  void do_deallocate(void* memory, std::size_t bytes, std::size_t alignment) override {
    std::pmr::new_delete_resource()->deallocate(memory, bytes, alignment);
  }
  [[nodiscard]] bool do_is_equal(const std::pmr::memory_resource& other) const noexcept override {
    return this == &other;
  }

  std::int64_t calls_ = 0;
};

class NullBackend : public Backend {
 public:
  [[nodiscard]] std::string name() const override { return "null"; }
  [[nodiscard]] std::string description() const override { return "null (computes nothing)"; }
  [[nodiscard]] bool overlaps() const override { return false; }
  [[nodiscard]] int threads() const override { return 1; }

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
  [[nodiscard]] TensorDesc activation(const Shape& shape, DType dtype) const override {
    return {shape, dtype, logical_layout};
  }
  void to_logical(const TensorDesc& desc, const void* from, float* to) override;
  void from_logical(const TensorDesc& desc, const float* from, void* to) override;

  [[nodiscard]] std::string refusal(const Op&, const Operands&) const override { return {}; }
  [[nodiscard]] Graph fuse(Graph graph) const override { return graph; }

  [[nodiscard]] Planned plan(const Op& op, const Operands& operands) override;

  [[nodiscard]] std::unique_ptr<Collective> make_collective(const Group& group, Lane lane) override;
  [[nodiscard]] std::unique_ptr<Replay> record(std::vector<Launch> launches) override {
    return std::make_unique<InlineReplay>(std::move(launches), stream_);
  }
  Profile profile(const std::vector<Launch>& launches) override;

 private:
  CountingMemory device_, pinned_;
  InlineStream stream_;
};

}  // namespace trainmark

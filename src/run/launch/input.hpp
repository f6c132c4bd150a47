// The input side of a run, and what of it is logged.
#pragma once

#include <memory>
#include <memory_resource>
#include <vector>

#include "run/launch/dataset.hpp"
#include "run/record/timeline.hpp"

namespace trainmark {

/// Memory for loaders, taken beforehand: page-locking gigabytes takes the better part of a second, which does not
/// belong on the clock.
class InputMemory final : public std::pmr::memory_resource {
 public:
  InputMemory(std::pmr::memory_resource& upstream, int loaders, const LoaderBlock& each);
  ~InputMemory() override;
  InputMemory(const InputMemory&) = delete;
  InputMemory& operator=(const InputMemory&) = delete;

 private:
  void give_back();
  void* do_allocate(std::size_t bytes, std::size_t alignment) override;
  void do_deallocate(void* memory, std::size_t bytes, std::size_t alignment) override;
  [[nodiscard]] bool do_is_equal(const std::pmr::memory_resource& other) const noexcept override {
    return this == &other;
  }

  std::pmr::memory_resource& upstream_;
  LoaderBlock each_;
  std::vector<void*> waiting_;
};
/// For both loaders of a run. Collective.
[[nodiscard]] std::unique_ptr<InputMemory> take_input_memory(const World& world, std::pmr::memory_resource& upstream,
                                                             const RunOptions& options, const DataSchema& schema);

/// The two loaders of a run with what they read from.
struct Input {
  std::unique_ptr<SampleSource> train_source, validation_source;
  std::unique_ptr<Loader> train, validation;
  Sampling train_sampling, validation_sampling;
};
[[nodiscard]] Input open_input(const World& world, std::pmr::memory_resource& memory, const RunOptions& options,
                               const Dataset& dataset, const StagedDataset& staged);
/// Of training's loader, with what both splits' sources keep and the places where both read.
[[nodiscard]] LoaderStats stats_of(const Input& input);
[[nodiscard]] TimelineFacts facts_of(const World& world, const Backend& backend, const RunOptions& options,
                                     const Dataset& dataset);

}  // namespace trainmark

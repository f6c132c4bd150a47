// The harness itself allocates nothing in a step: counted at operator new, over a backend that does nothing.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <new>

#include "trainmark/exec.hpp"
#include "trainmark/models.hpp"

namespace {
std::atomic<long> allocations{0};

void* counted(std::size_t bytes, std::size_t alignment) {
  ++allocations;
  const std::size_t rounded = (bytes + alignment - 1) / alignment * alignment;
  void* memory = std::aligned_alloc(alignment, rounded == 0 ? alignment : rounded);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}
}  // namespace

void* operator new(std::size_t bytes) { return counted(bytes, alignof(std::max_align_t)); }
void* operator new(std::size_t bytes, std::align_val_t alignment) {
  return counted(bytes, static_cast<std::size_t>(alignment));
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept { std::free(memory); }

namespace trainmark {
namespace {

TEST(Allocation, OfTheHarnessIsNoneInAHundredSteps) {
  const auto backend = make_null_backend();
  const CosmoflowOptions model{.extent = 32, .width = 0.25, .dropout = 0.5};
  const GraphOptions options{.local_batch = 2, .global_batch = 2};
  Graph step =
      reduce_and_update(differentiate(training_graph(model, options)), 1 << 16, SgdMomentum{}, decay_rule(model));
  ModelState state(*backend, step, 1);
  const auto collective = backend->make_collective(Group(nullptr));
  const auto slots = make_input_slots(*backend);
  Program training(*backend, std::move(step), state, *collective, slots, {});
  Program evaluation(*backend, evaluation_graph(model, options), state, *collective, slots, {});

  const std::vector<std::byte> x(2 * 4 * 32 * 32 * 32 * 2), y(2 * 4 * 4), step_state(step_state_bytes(2));
  const std::array<std::span<const std::byte>, 3> inputs = {x, y, step_state};
  for (Program* program : {&training, &evaluation}) {
    program->upload(0, inputs);
    program->step(0);
  }

  const long before = allocations;
  const std::int64_t device_before = backend->allocations();
  ASSERT_GT(before, 0) << "operator new is counted";
  float loss = 0.0F;
  for (int at = 0; at < 100; ++at) {
    training.upload(at % 2, inputs);
    training.step(at % 2);
    loss += state.loss();
    evaluation.upload(at % 2, inputs);
    evaluation.step(at % 2);
    loss += static_cast<float>(state.metric_sums()[0]);
  }
  EXPECT_EQ(allocations - before, 0);
  EXPECT_EQ(backend->allocations() - device_before, 0);
  EXPECT_EQ(loss, 0.0F);
}

}  // namespace
}  // namespace trainmark

// The harness itself allocates nothing in a step: counted at operator new, over a backend that does nothing.
#include <gtest/gtest.h>

#include <array>

#include "counting_new.hpp"
#include "trainmark/exec.hpp"
#include "trainmark/models.hpp"

namespace trainmark {
namespace {

TEST(Allocation, OfTheHarnessIsNoneInAHundredSteps) {
  const auto backend = make_null_backend();
  const CosmoflowOptions model{.extent = 32, .width = 0.25, .dropout = 0.5};
  const GraphOptions options{.local_batch = 2, .global_batch = 2};
  StepGraphs graphs =
      graphs_of({.model = model, .rule = {}, .schedule = {}}, {.graph = options, .grouping = {.bytes = 1 << 16}});
  ModelState state(*backend, graphs.last, 1);
  const auto collective = backend->make_collective(Group(nullptr));
  const auto slots = make_input_slots(*backend);
  Program training(*backend, std::move(graphs.last), state, *collective, slots, {});
  Program evaluation(*backend, std::move(graphs.evaluation), state, *collective, slots, {});

  const std::vector<std::byte> x(2 * 4 * 32 * 32 * 32 * 2), y(2 * 4 * 4), step_state(step_state_bytes(2));
  const std::array<std::span<const std::byte>, 3> inputs = {x, y, step_state};
  for (Program* program : {&training, &evaluation}) {
    program->upload(0, inputs);
    program->step(0);
  }

  const long before = testing::allocations();
  const std::int64_t device_before = backend->allocations();
  ASSERT_GT(before, 0) << "operator new is counted";
  float loss = 0.0F;
  for (int at = 0; at < 100; ++at) {
    training.upload(at % 2, inputs);
    training.step(at % 2);
    loss += state.loss();
    evaluation.upload(at % 2, inputs);
    evaluation.step(at % 2);
    loss += static_cast<float>(state.score().quality);
  }
  EXPECT_EQ(testing::allocations() - before, 0);
  EXPECT_EQ(backend->allocations() - device_before, 0);
  EXPECT_EQ(loss, 0.0F);
}

}  // namespace
}  // namespace trainmark

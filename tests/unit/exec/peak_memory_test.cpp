// The process on the real CPU backend, oneDNN's and the allocator's memory included: it does not grow while it trains.
// What we allocate ourselves is counted elsewhere; this sees what others do in our name.
#include <gtest/gtest.h>

#include <array>
#include <cstring>

#include "support/peak_memory.hpp"
#include "trainmark/exec.hpp"
#include "trainmark/models.hpp"

namespace trainmark {
namespace {

constexpr std::int64_t batch = 2;
constexpr int extent = 32;

struct Alone final : Collective {
  void all_reduce(Stream&, float*, std::int64_t) override {}
  void all_reduce(Stream&, double*, std::int64_t) override {}
  void all_reduce(Stream& stream, float* values, std::int64_t count, DType, void*) override {
    all_reduce(stream, values, count);
  }
  [[nodiscard]] std::size_t wire_scratch_bytes(std::int64_t, DType) const override { return 0; }
};

class PeakMemory : public ::testing::TestWithParam<DType> {
 protected:
  void SetUp() override {
    if (!testing::forget_peak_memory()) GTEST_SKIP() << "peaks of earlier tests would hide growth";
  }
};

TEST_P(PeakMemory, GrowsByLessThanAMebibyteInAHundredSteps) {
  const auto backend = make_cpu_backend(1, true);
  const CosmoflowOptions model{.extent = extent, .width = 0.125, .dropout = 0.5, .l2 = 0.01};
  const GraphOptions options{.local_batch = batch, .global_batch = batch, .compute = GetParam(), .seed = 3};
  StepGraphs graphs =
      graphs_of({.model = model, .rule = {}, .schedule = {}}, {.graph = options, .grouping = {.bytes = 1 << 14}});
  ModelState state(*backend, graphs.last, 1);
  state.initialise(7);
  Alone collective;
  const auto slots = make_input_slots(*backend);
  Program training(*backend, std::move(graphs.last), state, collective, slots, {});
  Program evaluation(*backend, std::move(graphs.evaluation), state, collective, slots, {});

  StepState begin;
  begin.rate = 0.001F;
  begin.valid = batch;
  const std::vector<std::byte> x(batch * 4 * extent * extent * extent * 2, std::byte{1}), y(batch * 4 * 4);
  std::vector<std::byte> step_state(step_state_bytes(batch));
  std::memcpy(step_state.data(), &begin, sizeof(begin));
  const std::array<std::span<const std::byte>, 3> inputs = {x, y, step_state};
  const auto train_and_evaluate = [&](int times) {
    for (int at = 0; at < times; ++at) {
      for (Program* program : {&training, &evaluation}) {
        program->upload(at % 2, inputs);
        program->step(at % 2);
      }
    }
  };
  train_and_evaluate(4);
  const std::int64_t before = testing::peak_memory_bytes();
  ASSERT_GT(before, 0);
  train_and_evaluate(100);
  EXPECT_LT(testing::peak_memory_bytes() - before, 1 << 20);
}

TEST_P(PeakMemory, SeesMemoryThatIsTouched) {
  constexpr std::int64_t bytes = 64 << 20;  // more than malloc keeps in its heap
  const std::int64_t before = testing::peak_memory_bytes();
  const std::vector<char> touched(bytes, 'x');
  EXPECT_GT(testing::peak_memory_bytes() - before, bytes - (1 << 20)) << touched.size();
}

INSTANTIATE_TEST_SUITE_P(OnTheCpu, PeakMemory, ::testing::Values(DType::f32, DType::bf16));

}  // namespace
}  // namespace trainmark

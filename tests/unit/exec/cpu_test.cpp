// Whole steps on the real CPU backend: fused and shared against unfused and apart, both slots, gradients against
// differences of the loss.
#include <gtest/gtest.h>

#include <chrono>
#include <cmath>
#include <cstring>
#include <limits>
#include <optional>
#include <thread>

#include "counting_new.hpp"
#include "trainmark/exec.hpp"
#include "trainmark/models.hpp"

namespace trainmark {
namespace {

constexpr int default_extent = 64;
constexpr std::int64_t batch = 2;

struct Batch {
  std::vector<std::byte> x, y, step_state;
  [[nodiscard]] std::array<std::span<const std::byte>, 3> inputs() const { return {x, y, step_state}; }
};

Batch random_batch(std::uint64_t seed, float rate, std::int32_t valid = batch, int extent = default_extent) {
  Rng rng(seed, Purpose::test);
  std::vector<std::int16_t> counts(static_cast<std::size_t>(batch * 4 * extent * extent * extent));
  for (std::int16_t& count : counts)
    count = static_cast<std::int16_t>(rng.poisson(1.0));
  std::vector<float> targets(batch * 4);
  for (float& target : targets)
    target = static_cast<float>(2.0 * rng.uniform() - 1.0);
  Batch made;
  const auto bytes_of = [](const auto& values) {
    const auto bytes = std::as_bytes(std::span(values));
    return std::vector<std::byte>(bytes.begin(), bytes.end());
  };
  made.x = bytes_of(counts);
  made.y = bytes_of(targets);
  const StepState state{.rate = rate, .valid = valid, .epoch = 0};
  const std::array<std::int64_t, batch> ids = {11, 5};
  made.step_state.resize(step_state_bytes(batch));
  std::memcpy(made.step_state.data(), &state, sizeof(state));
  std::memcpy(made.step_state.data() + sizeof(state), ids.data(), sizeof(ids));
  return made;
}

/// In place of other ranks: halves what it is given, the loss too, and so late that whoever does not wait is found out.
struct LateHalving final : Collective {
  void all_reduce(Stream&, float* values, std::int64_t count) override {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
    for (float& value : std::span(values, static_cast<std::size_t>(count)))
      value *= 0.5F;
  }
  void all_reduce(Stream&, double*, std::int64_t) override {}
  void all_reduce(Stream& stream, float* values, std::int64_t count, DType, void*) override {
    all_reduce(stream, values, count);
  }
  [[nodiscard]] std::size_t wire_scratch_bytes(std::int64_t, DType) const override { return 0; }
};

/// A state and its training program on the CPU.
struct Training {
  Training(const CosmoflowOptions& model, DType compute, Program::Options options, bool overlap = false,
           const std::optional<LossScaling>& scaling = {})
      : backend(make_cpu_backend(1, overlap)),
        graph(graphs_of({.model = model, .rule = {}, .schedule = {}}, {.graph = {.local_batch = batch,
                                                                                 .global_batch = batch,
                                                                                 .compute = compute,
                                                                                 .seed = 3,
                                                                                 .scale_loss = scaling.has_value()},
                                                                       .grouping = {.bytes = 1 << 14},
                                                                       .scaling = scaling.value_or(LossScaling{})})
                  .last),
        state(*backend, graph, 1),
        program(*backend, graph, state, collective, make_input_slots(*backend), options) {
    state.initialise(7);
  }
  float step(int slot, const Batch& data) {
    program.upload(slot, data.inputs());
    program.step(slot);
    return state.loss();
  }
  std::vector<float> parameters() { return state.read(state.parameters(), state.parameter_elements()); }
  std::vector<float> velocity() { return state.read(state.slot(0), state.parameter_elements()); }
  std::unique_ptr<Backend> backend;
  Graph graph;
  ModelState state;
  LateHalving collective;
  Program program;
};

constexpr CosmoflowOptions small = {.extent = default_extent, .width = 0.125, .dropout = 0.5, .l2 = 0.01};

class Precision : public ::testing::TestWithParam<DType> {};

TEST_P(Precision, GivesTheSameLossesFusedAndSharedAsUnfusedAndApart) {
  Training fused(small, GetParam(), {.fuse = true, .reuse = true});
  Training apart(small, GetParam(), {.fuse = false, .reuse = false});
  EXPECT_LT(fused.program.memory().pool_bytes, apart.program.memory().pool_bytes);
  const float tolerance = GetParam() == DType::f32 ? 1e-5F : 2e-2F;
  for (int at = 0; at < 4; ++at) {
    const Batch data = random_batch(static_cast<std::uint64_t>(at), 0.01F);
    const float expected = apart.step(at % 2, data);
    EXPECT_GT(expected, 0.0F);
    EXPECT_NEAR(fused.step(at % 2, data), expected, tolerance * expected) << "step " << at;
  }
}

TEST_P(Precision, RepeatsItselfToTheBitInEitherSlot) {
  Training first(small, GetParam(), {});
  Training second(small, GetParam(), {});
  for (int at = 0; at < 3; ++at) {
    const Batch data = random_batch(static_cast<std::uint64_t>(at), 0.01F);
    EXPECT_EQ(first.step(0, data), second.step(1, data));
  }
  EXPECT_EQ(first.state.hash(), second.state.hash());
}

TEST_P(Precision, IsUntouchedByOverlap) {
  Training inline_(small, GetParam(), {}, false);
  Training overlapped(small, GetParam(), {}, true);
  for (int at = 0; at < 3; ++at) {
    const Batch data = random_batch(static_cast<std::uint64_t>(at), 0.01F);
    EXPECT_EQ(inline_.step(0, data), overlapped.step(0, data));
  }
  EXPECT_EQ(inline_.state.hash(), overlapped.state.hash());
}

TEST_P(Precision, IsTheSameToTheBitWithALossScale) {
  for (const bool overlap : {false, true}) {
    Training plain(small, GetParam(), {}, overlap);
    Training scaled(small, GetParam(), {}, overlap, LossScaling{.interval = 2});
    for (int at = 0; at < 5; ++at) {
      const Batch data = random_batch(static_cast<std::uint64_t>(at), 0.01F);
      EXPECT_EQ(plain.step(at % 2, data), scaled.step(at % 2, data)) << "step " << at;
    }
    EXPECT_EQ(plain.parameters(), scaled.parameters());
    EXPECT_EQ(plain.velocity(), scaled.velocity());
    EXPECT_EQ(scaled.state.loss_scale(), (LossScale{.scale = 65536.0F * 4.0F, .good_steps = 1}));
    EXPECT_FALSE(plain.state.loss_scale());
  }
}

INSTANTIATE_TEST_SUITE_P(OnTheCpu, Precision, ::testing::Values(DType::f32, DType::bf16));

TEST(CpuUpload, HidesBehindNoStep) {
  Training training(small, DType::f32, {});
  for (int at = 0; at < 3; ++at) {
    const UploadTimes taken = training.program.upload(at % 2, random_batch(1, 0.01F).inputs());
    EXPECT_GT(taken.seconds, 0.0);
    EXPECT_EQ(taken.exposed_seconds, taken.seconds);
    training.program.step(at % 2);
  }
}

TEST(CpuStep, HasTheGradientThatDifferencesOfTheLossGive) {
  for (const int kernel : {3, 2}) {
    Training subject({.extent = default_extent, .width = 0.125, .kernel = kernel}, DType::f32, {});
    const Batch still = random_batch(1, 0.0F);  // a rate of zero moves nothing
    (void)subject.step(0, still);
    const std::int64_t count = subject.state.parameter_elements();
    const std::vector<float> gradient = subject.state.read(subject.state.gradients(), count);
    const std::vector<float> parameters = subject.state.read(subject.state.parameters(), count);
    double square = 0.0;
    for (const float value : gradient)
      square += static_cast<double>(value) * value;
    const double length = 5e-4 / std::sqrt(square);  // short: pools and leaky ReLUs bend the loss
    const auto loss_at = [&](double step) {
      std::vector<float> moved = parameters;
      for (std::size_t at = 0; at < moved.size(); ++at)
        moved[at] += static_cast<float>(step * gradient[at]);
      subject.state.write(subject.state.parameters(), moved);
      return static_cast<double>(subject.step(0, still));
    };
    const double slope = (loss_at(length) - loss_at(-length)) / (2.0 * length);
    EXPECT_NEAR(slope, square, 0.02 * square) << "kernel " << kernel;
  }
}

/// A batch whose first target is so large that gradients, once scaled, no longer fit fp32; its loss does.
Batch overflowing_batch(float rate) {
  Batch made = random_batch(9, rate);
  const float target = 1e15F;
  std::memcpy(made.y.data(), &target, sizeof(target));
  return made;
}

TEST(CpuStep, SkipsAStepWhoseGradientsOverflowAndGoesOnAtHalfTheScale) {
  const LossScaling scaling{.initial = 0x1p100F, .maximum = 0x1p100F};
  for (const bool overlap : {false, true}) {
    Training subject(small, DType::f32, {}, overlap, scaling);
    // In a run of its own, without scaling and without the bad batch.
    Training expected(small, DType::f32, {}, overlap);
    const Batch first = random_batch(1, 0.01F), last = random_batch(2, 0.01F);
    (void)subject.step(0, first);
    (void)expected.step(0, first);
    EXPECT_EQ(subject.state.loss_scale(), (LossScale{.scale = 0x1p100F, .good_steps = 1}));
    const std::vector<float> parameters = subject.parameters(), velocity = subject.velocity();
    EXPECT_EQ(parameters, expected.parameters());

    EXPECT_TRUE(std::isfinite(subject.step(1, overflowing_batch(0.01F)))) << "the loss value is not scaled";
    EXPECT_EQ(subject.parameters(), parameters);
    EXPECT_EQ(subject.velocity(), velocity);
    EXPECT_EQ(subject.state.loss_scale(),
              (LossScale{.scale = 0x1p99F, .good_steps = 0, .skipped_in_a_row = 1, .skipped = 1}));

    EXPECT_EQ(subject.step(0, last), expected.step(0, last));
    EXPECT_EQ(subject.parameters(), expected.parameters());
    EXPECT_EQ(subject.state.loss_scale(), (LossScale{.scale = 0x1p99F, .good_steps = 1, .skipped = 1}));
  }
}

TEST(CpuStep, SaysThatScalingIsHopelessWhereNoScaleHelps) {
  Training subject(small, DType::f32, {}, false, LossScaling{.initial = 4.0F});
  subject.state.write(subject.state.parameters(), std::vector<float>{std::numeric_limits<float>::infinity()});
  const Batch data = random_batch(1, 0.01F);
  for (int at = 0; at < 4; ++at) {
    EXPECT_FALSE(is_hopeless(LossScaling{}, *subject.state.loss_scale(), 4)) << at;
    (void)subject.step(at % 2, data);
  }
  EXPECT_TRUE(is_hopeless(LossScaling{}, *subject.state.loss_scale(), 4));
  EXPECT_EQ(subject.state.loss_scale()->scale, 1.0F);
}

TEST(CpuStep, RefusesFp16WithTheTypesThatGo) {
  try {
    Training subject({.extent = 32, .width = 0.125}, DType::f16, {});
    FAIL() << "accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::environment);
    EXPECT_NE(std::string(error.what()).find("fp16 is for devices; use fp32 or bf16"), std::string::npos);
  }
}

TEST(CpuStep, AllocatesNoMemoryOfTheBackendAndNothingLargeInAHundredSteps) {
  for (const DType compute : {DType::f32, DType::bf16}) {
    Training subject({.extent = 32, .width = 0.125, .dropout = 0.5}, compute, {}, true);
    const Batch data = random_batch(1, 0.001F, batch, 32);
    for (const int slot : {0, 1})
      (void)subject.step(slot, data);
    const std::int64_t device = subject.backend->allocations();
    const long large = testing::large_allocations();
    for (int at = 0; at < 100; ++at)
      (void)subject.step(at % 2, data);
    EXPECT_EQ(subject.backend->allocations(), device);
    EXPECT_EQ(testing::large_allocations(), large);
  }
}

TEST(CpuStep, CountsOnlyValidSamples) {
  Training subject({.extent = default_extent, .width = 0.125}, DType::f32, {});
  Batch full = random_batch(1, 0.0F);
  const float both = subject.step(0, full);
  Batch half = random_batch(1, 0.0F, 1);
  const float first = subject.step(0, half);
  std::memset(half.x.data() + half.x.size() / 2, 0x11, half.x.size() / 2);  // padding may hold anything
  EXPECT_EQ(subject.step(0, half), first);
  EXPECT_LT(first, both);
}

}  // namespace
}  // namespace trainmark

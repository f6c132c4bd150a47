// Training CosmoFlow on the device double: whatever the order in which streams and threads run, and whether a step is
// one captured graph or a stream of launches, the bits are the same; and an overflow skips the step it happens in.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <memory_resource>

#include "backend/cuda.hpp"
#include "cuda_double/double.hpp"
#include "device/batches.hpp"
#include "trainmark/exec.hpp"
#include "trainmark/models.hpp"

namespace trainmark::test {
namespace {

using cuda_double::Order;
using cuda_double::ThreadOrder;

constexpr int steps = 4;

const World& world() {
  static int count = 1;
  static char name[] = "device_training";
  static char* arguments[] = {name, nullptr};
  static char** list = arguments;
  static const Mpi mpi(count, list);
  return mpi.world();
}

struct Trained {
  std::vector<std::string> replayed;  // of the last step, where it was captured
  std::uint64_t hash = 0;
  std::vector<float> losses;
  std::optional<LossScale> scale;
  std::vector<float> parameters;
  std::string description;
};

/// One pinned buffer for all batches, which is filled again and again.
class Pinned {
 public:
  explicit Pinned(Backend& backend) : memory_(backend.pinned_memory()) {}
  [[nodiscard]] const std::vector<std::span<const std::byte>>& filled(const Packed& packed) {
    inputs_.clear();
    for (std::size_t field = 0; field < packed.memory.size(); ++field) {
      if (fields_.size() == field) fields_.emplace_back(packed.memory[field].size(), std::byte{0}, &memory_);
      std::ranges::copy(packed.memory[field], fields_[field].begin());
      inputs_.emplace_back(fields_[field]);
    }
    return inputs_;
  }

 private:
  std::pmr::memory_resource& memory_;
  std::vector<std::pmr::vector<std::byte>> fields_;
  std::vector<std::span<const std::byte>> inputs_;
};

Trained train(const cuda_double::Options& order, bool capture, DType type, float initial_scale = 1024.0F,
              bool refill = false) {
  cuda_double::reset(order);
  Trained trained;
  {
    const auto backend = make_cuda_backend({.capture = capture}, world());
    const Graph graph = graphs_of({.model = small(), .rule = {}, .schedule = {}},
                                  {.graph = {.local_batch = batch, .global_batch = batch, .compute = type, .seed = 5},
                                   .grouping = {.bytes = 1 << 14},
                                   .scaling = {.initial = initial_scale}})
                            .last;
    const auto collective = backend->make_collective(world().all());
    ModelState state(*backend, graph, 1);
    state.initialise(11);
    Program program(*backend, graph, state, *collective, make_input_slots(*backend), {});
    Pinned pinned(*backend);
    const auto bring = [&](int step) {
      const Packed packed(step);
      const UploadTimes taken = program.upload(step % 2, refill ? pinned.filled(packed) : packed.inputs);
      EXPECT_GT(taken.seconds, 0.0);
      EXPECT_LE(taken.exposed_seconds, taken.seconds);
    };
    bring(0);
    const auto look = [&](int step) {
      const StepResult result = program.result(step % 2);
      trained.losses.push_back(result.loss);
      trained.scale = result.scale;
    };
    for (int step = 0; step < steps; ++step) {
      program.step(step % 2);
      if (step > 0) look(step - 1);           // behind the launch of the next one, as a run does
      if (step + 1 < steps) bring(step + 1);  // beside the step
    }
    look(steps - 1);
    for (const cuda_double::Replayed& node : cuda_double::last_replay())
      trained.replayed.push_back(node.name);
    EXPECT_EQ(trained.losses.back(), state.loss());
    EXPECT_EQ(trained.scale, state.loss_scale());
    trained.hash = state.hash();
    trained.parameters = state.read(state.parameters(), state.parameter_elements());
    trained.description = backend->description();
  }
  EXPECT_EQ(cuda_double::findings(), std::vector<std::string>{});
  return trained;
}

/// Losses of two steps of three parts each, and the parameters behind them.
struct InParts {
  std::vector<float> losses, parameters;
  std::optional<LossScale> scale;
};
InParts steps_in_parts(Backend& backend, DType type, float initial_scale = 1024.0F) {
  constexpr int parts = 3;
  const Graph gradients = differentiate(
      training_graph(small(), {.local_batch = batch, .global_batch = batch * parts, .compute = type, .seed = 5}));
  const Graph step =
      reduce_and_update(gradients, {.bytes = 1 << 14}, SgdMomentum{}, {}, LossScaling{.initial = initial_scale}, true);
  const auto collective = backend.make_collective(world().all());
  ModelState state(backend, step, 1);
  state.initialise(11);
  const auto slots = make_input_slots(backend);
  Program last(backend, step, state, *collective, slots, {});
  Program earlier(backend, accumulate(gradients), state, *collective, slots, {});
  InParts result;
  int slot = 0;
  for (int at = 0; at < 2 * parts; ++at, slot ^= 1) {  // the second step finds what the first has left
    Program& program = at % parts + 1 < parts ? earlier : last;
    program.upload(slot, Packed(at).inputs);
    program.step(slot);
    if (at % parts + 1 == parts) result.losses.push_back(state.loss());
  }
  result.parameters = state.read(state.parameters(), state.parameter_elements());
  result.scale = state.loss_scale();
  return result;
}

class DeviceTraining : public testing::TestWithParam<DType> {};

TEST_P(DeviceTraining, ACapturedStepGivesTheBitsOfAStreamedOne) {
  const Trained captured = train({}, true, GetParam());
  const Trained streamed = train({}, false, GetParam());
  EXPECT_EQ(captured.hash, streamed.hash);
  EXPECT_EQ(captured.losses, streamed.losses);
  EXPECT_NE(captured.losses[0], captured.losses[1]) << "nothing was trained";
  EXPECT_EQ(captured.description.find("not captured"), std::string::npos) << captured.description;
}

/// What a step of CosmoFlow is made of: five pooled convolutions and three dense layers of few samples.
TEST(DeviceSteps, LaunchNoMoreThanTheyNeed) {
  const Trained trained = train({}, true, DType::bf16);
  const auto count = [&](const std::string& name) { return std::ranges::count(trained.replayed, name); };
  const auto kernels = [&](const std::string& name) { return count("kernel " + name); };
  EXPECT_EQ(kernels("pack_regions"), 1) << "all convolutions' weights together, once, though two passes read them";
  EXPECT_EQ(kernels("pad_rows") + kernels("convert_range"), 0) << "no bias, and no dense layer's weights";
  EXPECT_EQ(count("graph"), 5 + 5 + 4) << "forward, weight and data gradients; no product of matrices";
  EXPECT_EQ(kernels("dense_forward") + kernels("dense_backward_data") + kernels("dense_backward_weights"), 9);
  EXPECT_EQ(kernels("activation_forward") + kernels("dropout_mask"), 0) << "they end dense layers";
  EXPECT_EQ(kernels("activation_backward"), 1) << "behind the loss";
  EXPECT_EQ(count("copy of 4 bytes"), 1) << "the loss, to the host";
  EXPECT_EQ(trained.replayed.back(), "copy of 4 bytes");
  const auto buckets = kernels("update_elements"), unpacks = kernels("unpack_regions");
  EXPECT_GT(unpacks, 0);
  EXPECT_LE(unpacks, buckets) << "one for all weights and biases of a bucket";
  EXPECT_EQ(kernels("drop_padding") + kernels("sum_parts"), 0);
  EXPECT_EQ(static_cast<std::ptrdiff_t>(trained.replayed.size()) - buckets - unpacks, 38);
}

TEST(DeviceSteps, ThatCannotBeCapturedAreStreamedAndSayWhy) {
  const Trained captured = train({}, true, DType::f32);
  const Trained refused = train({.faults = {.failing_capture = 1}}, true, DType::f32);  // of the second slot
  EXPECT_EQ(refused.hash, captured.hash);
  EXPECT_EQ(refused.losses, captured.losses);
  EXPECT_NE(refused.description.find("steps not captured: "), std::string::npos) << refused.description;
  EXPECT_NE(refused.description.find("cudaErrorStreamCaptureInvalidated"), std::string::npos) << refused.description;
}

TEST(DeviceSteps, LetTheirBatchBeRefilledAsSoonAsItIsUploaded) {
  const Trained expected = train({}, true, DType::f32);
  for (const Order order : {Order::lazy, Order::random}) {
    const Trained refilled =
        train({.order = order, .seed = 23, .pinned_uploads = true}, true, DType::f32, 1024.0F, true);
    EXPECT_EQ(refilled.hash, expected.hash);
  }
}

/// How many seeds the orders are drawn from; more by hand: TRAINMARK_SEEDS=20 bin/device_training.
std::uint64_t seeds() {
  const char* wanted = std::getenv("TRAINMARK_SEEDS");
  return wanted == nullptr ? 1 : std::strtoull(wanted, nullptr, 10);
}

TEST_P(DeviceTraining, NoOrderOfStreamsOrThreadsChangesABit) {
  const Trained expected = train({}, true, GetParam());
  for (std::uint64_t seed = 17; seed < 17 + seeds(); ++seed) {
    for (const auto& [order, threads] :
         {std::pair{Order::lazy, ThreadOrder::reverse}, std::pair{Order::random, ThreadOrder::random},
          std::pair{Order::priority, ThreadOrder::random}}) {
      for (const bool capture : {true, false}) {
        SCOPED_TRACE(seed);
        const Trained found = train({.order = order, .threads = threads, .seed = seed}, capture, GetParam());
        EXPECT_EQ(found.hash, expected.hash);
        EXPECT_EQ(found.losses, expected.losses);
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Types, DeviceTraining, testing::Values(DType::f32, DType::bf16, DType::f16),
                         [](const testing::TestParamInfo<DType>& type) { return std::string(name_of(type.param)); });

InParts device_in_parts(const cuda_double::Options& order, DType type, bool capture, float initial_scale = 1024.0F) {
  cuda_double::reset(order);
  InParts result;
  {
    const auto backend = make_cuda_backend({.capture = capture}, world());
    result = steps_in_parts(*backend, type, initial_scale);
  }
  EXPECT_EQ(cuda_double::findings(), std::vector<std::string>{});
  return result;
}

TEST(DeviceAccumulation, OfSeveralPartsIsTheCpusAndTheSameInEveryOrder) {
  const auto cpu = make_cpu_backend(1, false);
  const InParts truth = steps_in_parts(*cpu, DType::f32);
  EXPECT_NE(truth.losses[0], truth.losses[1]) << "nothing was trained";
  const InParts first = device_in_parts({.order = Order::lazy}, DType::f32, true);
  for (std::size_t i = 0; i < truth.losses.size(); ++i)
    EXPECT_NEAR(first.losses[i], truth.losses[i], 1e-4 * truth.losses[i]);
  ASSERT_EQ(first.parameters.size(), truth.parameters.size());
  for (std::size_t i = 0; i < truth.parameters.size(); ++i)
    ASSERT_NEAR(first.parameters[i], truth.parameters[i], 1e-4) << i;
  for (const bool capture : {true, false}) {
    const InParts found = device_in_parts({.order = Order::random, .seed = 3}, DType::f32, capture);
    EXPECT_EQ(found.losses, first.losses);
    EXPECT_EQ(found.parameters, first.parameters);
  }
}

TEST(DeviceAccumulation, AnOverflowInAnEarlierPartSkipsTheStepAndLeavesNothingForTheNext) {
  const InParts calm = device_in_parts({}, DType::f16, true);
  ASSERT_TRUE(calm.scale);
  EXPECT_EQ(calm.scale->skipped, 0);
  const InParts wild = device_in_parts({}, DType::f16, true, 16777216.0F);
  ASSERT_TRUE(wild.scale);
  EXPECT_EQ(wild.scale->skipped, 2);
  EXPECT_EQ(wild.scale->scale, 16777216.0F / 4);
  for (const float parameter : wild.parameters)
    ASSERT_TRUE(is_finite(parameter));
}

TEST(DeviceLossScale, AStepThatOverflowsIsSkippedAndTheScaleBacksOff) {
  const Trained calm = train({}, true, DType::f16, 1024.0F);
  ASSERT_TRUE(calm.scale);
  EXPECT_EQ(calm.scale->skipped, 0);
  EXPECT_EQ(calm.scale->good_steps, steps);
  const Trained wild = train({}, true, DType::f16, 16777216.0F);
  ASSERT_TRUE(wild.scale);
  EXPECT_GT(wild.scale->skipped, 0);
  EXPECT_LT(wild.scale->scale, 16777216.0F);
  for (const float parameter : wild.parameters)
    ASSERT_TRUE(is_finite(parameter));
}

}  // namespace
}  // namespace trainmark::test

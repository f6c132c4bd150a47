// CosmoFlow's training step, whole, on one and on two ranks, against PyTorch's: loss, prediction, every gradient by
// name and the parameters after ten steps of SGD with momentum and decay.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "parity/recorded.hpp"
#include "support/mpi_main.hpp"
#include "trainmark/exec.hpp"
#include "trainmark/models.hpp"

namespace trainmark {
namespace {

constexpr int extent = 32, batch = 2, steps = 10;
constexpr float learning_rate = 0.02F;

struct Case {
  int kernel;
  DType compute;
  bool fuse;
  double tolerance;  // relative to a tensor's largest value, with bf16 to its norm
};

std::string name_of_case(const testing::TestParamInfo<Case>& info) {
  return "Kernel" + std::to_string(info.param.kernel) + (info.param.compute == DType::bf16 ? "Bf16" : "Fp32") +
         (info.param.fuse ? "Fused" : "Unfused");
}

class CosmoflowParity : public testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    truth = recorded::read(std::string(TRAINMARK_SOURCE_DIR) + "/tests/reference/cosmoflow_kernel" +
                           std::to_string(GetParam().kernel) + ".bin");
    backend = make_cpu_backend(2, world.all().size() > 1);
    model.extent = extent;
    model.width = 1.0 / 16;
    model.kernel = GetParam().kernel;
    model.l2 = 0.01;
    GraphOptions options;
    options.global_batch = batch;
    options.local_batch = local_batch;
    options.compute = GetParam().compute;
    const Recipe recipe{.model = model, .rule = rule, .schedule = {}};
    Graph graph = graphs_of(recipe, {.graph = options, .grouping = {.bytes = 16 << 10}}).last;
    state = std::make_unique<ModelState>(*backend, graph, slots_of(rule));
    for (const auto& entry : state->entries())
      write(entry, truth.at("initial:" + entry.name));
    collective = backend->make_collective(world.all());
    program = std::make_unique<Program>(*backend, std::move(graph), *state, *collective, make_input_slots(*backend),
                                        Program::Options{.fuse = GetParam().fuse, .reuse = GetParam().fuse});
  }

  void write(const ModelState::Entry& entry, const std::vector<float>& values) {
    ASSERT_EQ(static_cast<std::int64_t>(values.size()), entry.shape.elements()) << entry.name;
    state->write(state->parameters() + entry.offset, values);
  }

  void step(float rate) {
    constexpr std::int64_t voxels = std::int64_t{extent} * extent * extent * 4;
    const std::int64_t first = world.all().rank() * local_batch;
    std::vector<std::int16_t> x(static_cast<std::size_t>(local_batch * voxels));
    for (std::size_t i = 0; i < x.size(); ++i)
      x[i] = recorded::count_at(first * voxels + static_cast<std::int64_t>(i));
    const std::vector<float>& all_targets = truth.at("target");
    const std::vector<float> y(all_targets.begin() + first * 4, all_targets.begin() + (first + local_batch) * 4);
    std::vector<std::byte> step_state(step_state_bytes(local_batch));
    StepState header;
    header.rate = rate;
    header.valid = local_batch;
    std::memcpy(step_state.data(), &header, sizeof(header));
    const std::vector<std::span<const std::byte>> inputs = {std::as_bytes(std::span(x)), std::as_bytes(std::span(y)),
                                                            step_state};
    program->upload(slot, inputs);
    program->step(slot);
    slot ^= 1;
  }

  void expect_close(const std::vector<float>& found, const std::vector<float>& wanted, const std::string& name,
                    double tolerance) {
    ASSERT_EQ(found.size(), wanted.size()) << name;
    double largest = 0.0, worst = 0.0, squares = 0.0, distance = 0.0;
    for (std::size_t i = 0; i < found.size(); ++i) {
      const double error = static_cast<double>(found[i]) - wanted[i];
      largest = std::max(largest, std::fabs(static_cast<double>(wanted[i])));
      worst = std::max(worst, std::fabs(error));
      squares += static_cast<double>(wanted[i]) * wanted[i];
      distance += error * error;
    }
    if (GetParam().compute == DType::bf16) {
      // Rounding makes other elements of a pooling window win, which moves single gradients as a whole: only norms
      // compare.
      EXPECT_LE(std::sqrt(distance / squares), tolerance) << name;
    } else {
      EXPECT_LE(worst, tolerance * largest) << name << ": largest value " << largest;
    }
  }

  const World& world = test_world();
  const int local_batch = batch / world.all().size();
  const Rule rule = SgdMomentum{0.9F};
  recorded::Tensors truth;
  CosmoflowOptions model;
  std::unique_ptr<Backend> backend;
  std::unique_ptr<ModelState> state;
  std::unique_ptr<Collective> collective;
  std::unique_ptr<Program> program;
  int slot = 0;
};

TEST_P(CosmoflowParity, LossAndEveryGradientAgreeWithPyTorch) {
  step(0.0F);
  EXPECT_NEAR(state->loss(), truth.at("losses")[0], GetParam().tolerance * truth.at("losses")[0]);
  for (const auto& entry : state->entries()) {
    expect_close(state->read(state->gradients() + entry.offset, entry.shape.elements()),
                 truth.at("gradient:" + entry.name), entry.name, GetParam().tolerance);
  }
}

TEST_P(CosmoflowParity, PredictionAgreesWithPyTorch) {
  step(0.0F);
  const auto& nodes = program->graph().nodes;
  const auto output =
      std::find_if(nodes.begin(), nodes.end(), [](const Node& node) { return node.name == "dense3.tanh"; });
  ASSERT_NE(output, nodes.end());
  if (GetParam().fuse) GTEST_SKIP() << "activations share memory: the prediction is gone at the end of the step";
  const std::string name = program->graph().tensors.at(static_cast<std::size_t>(output->outputs[0])).name;
  const std::vector<float>& all = truth.at("prediction");
  const auto first = all.begin() + world.all().rank() * local_batch * 4;
  expect_close(program->read(name), {first, first + local_batch * 4}, name, GetParam().tolerance);
}

TEST_P(CosmoflowParity, TenStepsOfMomentumAndDecayAgreeWithPyTorch) {
  // Rounding grows from step to step: the tolerance of bf16 does not carry so far.
  if (GetParam().compute == DType::bf16) GTEST_SKIP() << "compared for one step only";
  for (int i = 0; i < steps; ++i) {
    step(learning_rate);
    const double wanted = truth.at("losses")[static_cast<std::size_t>(i)];
    EXPECT_NEAR(state->loss(), wanted, GetParam().tolerance * wanted) << "step " << i;
  }
  for (const auto& entry : state->entries()) {
    expect_close(state->read(state->parameters() + entry.offset, entry.shape.elements()),
                 truth.at("final:" + entry.name), entry.name, GetParam().tolerance);
  }
}

INSTANTIATE_TEST_SUITE_P(Cosmoflow, CosmoflowParity,
                         testing::Values(Case{3, DType::f32, false, 1e-4}, Case{3, DType::f32, true, 1e-4},
                                         Case{2, DType::f32, false, 1e-4}, Case{2, DType::f32, true, 1e-4},
                                         Case{3, DType::bf16, true, 0.3}, Case{3, DType::bf16, false, 0.3}),
                         name_of_case);

}  // namespace
}  // namespace trainmark

// DeepCAM's training step, in full wiring and depth, against what PyTorch computed (scripts/record_deepcam.py). On two
// ranks each holds one of the two samples, and norms take both together: the same training.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "parity/recorded.hpp"
#include "support/mpi_main.hpp"
#include "trainmark/exec.hpp"
#include "trainmark/models.hpp"

namespace trainmark {
namespace {

constexpr int rows = 64, columns = 96, batch = 2, channels = 16;
constexpr int images = 2078, classes = 777;  // streams
constexpr float learning_rate = 0.001F;
constexpr float weight_decay = 0.01F;

struct Case {
  std::string optimizer;
  Rule rule;
};

class DeepcamParity : public testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    truth = recorded::read(std::string(TRAINMARK_SOURCE_DIR) + "/tests/reference/deepcam.bin");
    backend = make_cpu_backend(2, world.all().size() > 1);
    const DeepcamOptions model{
        .rows = rows, .columns = columns, .width = 0.03, .middle_blocks = 16, .norm_group = world.all().size()};
    const Recipe recipe{.model = model, .rule = GetParam().rule, .schedule = {}};
    const GraphOptions options{.local_batch = local_batch, .global_batch = batch};
    Graph graph = graphs_of(recipe, {.graph = options, .grouping = {.bytes = 64 << 10}}).last;
    state = std::make_unique<ModelState>(*backend, graph, slots_of(GetParam().rule));
    state->initialise(1);
    int stream = 1;
    for (const ModelState::Entry& entry : state->entries())
      write(entry, stream++);
    all = backend->make_collective(world.all());
    norms = backend->make_collective(world.all(), Lane::compute);
    program = std::make_unique<Program>(*backend, std::move(graph), *state, Collectives{*all, norms.get()},
                                        make_input_slots(*backend), Program::Options{});
  }

  /// The recorded network's law: by the tensor's place, about 1, 0, or where a residual branch ends a quarter.
  void write(const ModelState::Entry& entry, int stream) {
    const bool damped = entry.name.starts_with("block") && entry.name.ends_with(".sep3.norm.gamma");
    const bool ones = entry.name.ends_with(".gamma") || entry.name == "pool.affine.weights";
    const double centre = damped ? 0.25 : ones ? 1.0 : 0.0;
    const bool small = entry.name.ends_with(".beta") || entry.name.ends_with(".bias");
    const auto fan = static_cast<double>(fan_in_of(entry.shape));
    const double spread = damped ? 0.05 : ones ? 0.2 : small ? 0.1 : std::sqrt(3.0 / fan);
    std::vector<float> values(static_cast<std::size_t>(entry.shape.elements()));
    for (std::size_t i = 0; i < values.size(); ++i)
      values[i] =
          static_cast<float>(centre + spread * (2.0 * recorded::hashed(static_cast<std::int64_t>(i), stream) - 1.0));
    state->write(state->parameters() + entry.offset, values);
  }

  void step(float rate) {
    const std::int64_t pixels = std::int64_t{rows} * columns, first = world.all().rank() * local_batch * pixels;
    std::vector<float> data(static_cast<std::size_t>(local_batch * pixels * channels));
    for (std::size_t i = 0; i < data.size(); ++i)
      data[i] = static_cast<float>(recorded::hashed(first * channels + static_cast<std::int64_t>(i), images));
    std::vector<std::uint8_t> labels(static_cast<std::size_t>(local_batch * pixels));
    for (std::size_t i = 0; i < labels.size(); ++i)
      labels[i] = static_cast<std::uint8_t>(3.0 * recorded::hashed(first + static_cast<std::int64_t>(i), classes));
    std::vector<std::byte> step_state(step_state_bytes(local_batch));
    const StepState header{.rate = rate, .valid = local_batch, .epoch = 0};
    std::memcpy(step_state.data(), &header, sizeof(header));
    const std::vector<std::span<const std::byte>> inputs = {std::as_bytes(std::span(data)),
                                                            std::as_bytes(std::span(labels)), step_state};
    program->upload(slot, inputs);
    program->step(slot);
    slot ^= 1;
  }

  /// Relative to the tensor's own norm; `least`: what may be lost of any.
  static void expect_close(const std::vector<float>& found, const std::vector<float>& wanted, const std::string& name,
                           double tolerance, double least = 0.0) {
    ASSERT_EQ(found.size(), wanted.size()) << name;
    double squares = 0.0, distance = 0.0;
    for (std::size_t i = 0; i < found.size(); ++i) {
      const double error = static_cast<double>(found[i]) - wanted[i];
      squares += static_cast<double>(wanted[i]) * wanted[i];
      distance += error * error;
    }
    EXPECT_LE(std::sqrt(distance), std::max(least, tolerance * std::sqrt(squares))) << name;
  }

  const World& world = test_world();
  const int local_batch = batch / world.all().size();
  recorded::Tensors truth;
  std::unique_ptr<Backend> backend;
  std::unique_ptr<ModelState> state;
  std::unique_ptr<Collective> all, norms;
  std::unique_ptr<Program> program;
  int slot = 0;
};

TEST_P(DeepcamParity, LossStatisticsAndEveryGradientAgreeWithPyTorch) {
  step(0.0F);
  const double wanted = truth.at("losses:" + GetParam().optimizer)[0];
  EXPECT_NEAR(state->loss(), wanted, 1e-5 * wanted);
  // A few gradients are all but zero beside the others, and what their sums are made of is not: there fp32's rounding
  // of the whole counts. And as much may be lost as noise of fp32's size does, twice.
  const std::vector<float>& noise = truth.at("noise:gradient");
  double squares = 0.0;
  for (const ModelState::Entry& entry : state->entries())
    for (const float value : truth.at("gradient:" + entry.name))
      squares += static_cast<double>(value) * value;
  const double least = 6e-8 * std::sqrt(squares);
  for (std::size_t at = 0; at < state->entries().size(); ++at) {
    const ModelState::Entry& entry = state->entries()[at];
    expect_close(state->read(state->gradients() + entry.offset, entry.shape.elements()),
                 truth.at("gradient:" + entry.name), entry.name, std::max(1e-4, 2.0 * noise[at]), least);
  }
  for (const auto& entry : state->statistics()) {
    expect_close(state->read(state->statistic_values() + entry.offset, entry.shape.elements()),
                 truth.at("statistic:" + entry.name), entry.name, 1e-4);
  }
}

TEST_P(DeepcamParity, FiveStepsAgreeWithPyTorch) {
  const std::vector<float>& losses = truth.at("losses:" + GetParam().optimizer);
  for (std::size_t at = 0; at < losses.size(); ++at) {
    step(learning_rate);
    // Decay in the gradient or beside it makes 5e-3 of difference by the fourth loss; rounding has grown as far by the
    // fifth.
    EXPECT_NEAR(state->loss(), losses[at], (at < 4 ? 2e-3 : 5e-3) * losses[at]) << "step " << at;
  }
  // A step of these rules has its rate's size where a gradient is all but rounding: elements go apart, the whole does
  // not.
  double squares = 0.0, wanted = 0.0;
  for (const float value : state->read(state->parameters(), state->parameter_elements()))
    squares += static_cast<double>(value) * value;
  for (const float norm : truth.at("norms:" + GetParam().optimizer))
    wanted += static_cast<double>(norm) * norm;
  EXPECT_NEAR(std::sqrt(squares), std::sqrt(wanted), 2e-4 * std::sqrt(wanted));
}

INSTANTIATE_TEST_SUITE_P(Deepcam, DeepcamParity,
                         testing::Values(Case{"adam", Adam{.weight_decay = weight_decay}},
                                         Case{"adamw", Adam{.weight_decay = weight_decay, .decoupled = true}},
                                         Case{"lamb", Lamb{.weight_decay = weight_decay}}),
                         [](const auto& each) { return each.param.optimizer; });

}  // namespace
}  // namespace trainmark

// ResNet-50's training step, narrow but in full wiring and depth, against what PyTorch computed
// (scripts/record_resnet50.py). On two and four ranks each holds its part of eight images, and norms take all of them
// together: the same training.
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

constexpr int extent = 48, batch = 8, colours = 3, classes = 10;
constexpr int images = 1700, labels = 777;  // streams
constexpr float sgd_rate = 2e-5F, lars_rate = 5e-4F;
constexpr int steps = 5;

/// The step of this run's part of the batch, from the recorded parameters on.
class Training {
 public:
  Training(const Rule& rule, Resnet50Options model, const Grouping& grouping = {.bytes = 64 << 10}) {
    model.extent = extent;
    model.width = 0.0625;
    model.classes = classes;
    model.norm_group = world.all().size();
    const Recipe recipe{.model = model, .rule = rule, .schedule = PiecewiseSchedule{.peak_rate = steps * lars_rate}};
    const GraphOptions options{.local_batch = local_batch, .global_batch = batch};
    Graph graph = graphs_of(recipe, {.graph = options, .grouping = grouping}).last;
    state = std::make_unique<ModelState>(*backend, graph, slots_of(rule));
    state->initialise(1);
    int stream = 1;
    for (const ModelState::Entry& entry : state->entries())
      write(entry, stream++);
    program = std::make_unique<Program>(*backend, std::move(graph), *state, Collectives{*all, norms.get()},
                                        make_input_slots(*backend), Program::Options{});
  }

  void step(float rate) {
    const std::int64_t pixels = std::int64_t{extent} * extent, first = world.all().rank() * local_batch;
    std::vector<std::uint8_t> image(static_cast<std::size_t>(local_batch * pixels * colours));
    for (std::size_t i = 0; i < image.size(); ++i)
      image[i] = static_cast<std::uint8_t>(
          256.0 * recorded::hashed(first * pixels * colours + static_cast<std::int64_t>(i), images));
    std::vector<std::int32_t> label(static_cast<std::size_t>(local_batch));
    for (std::size_t i = 0; i < label.size(); ++i)
      label[i] = static_cast<std::int32_t>(classes * recorded::hashed(first + static_cast<std::int64_t>(i), labels));
    std::vector<std::byte> step_state(step_state_bytes(local_batch));
    const StepState header{.rate = rate, .valid = local_batch, .epoch = 0};
    std::memcpy(step_state.data(), &header, sizeof(header));
    const std::vector<std::span<const std::byte>> inputs = {std::as_bytes(std::span(image)),
                                                            std::as_bytes(std::span(label)), step_state};
    program->upload(slot, inputs);
    program->step(slot);
    slot ^= 1;
  }

  const World& world = test_world();
  const int local_batch = batch / world.all().size();
  std::unique_ptr<Backend> backend = make_cpu_backend(world.all().size() > 2 ? 1 : 2, world.all().size() > 1);
  std::unique_ptr<Collective> all = backend->make_collective(world.all());
  std::unique_ptr<Collective> norms = backend->make_collective(world.all(), Lane::compute);
  std::unique_ptr<ModelState> state;
  std::unique_ptr<Program> program;
  int slot = 0;

 private:
  /// The recorded network's law: by the tensor's place, about 1, 0, or where a residual branch ends a quarter.
  void write(const ModelState::Entry& entry, int stream) {
    const bool damped = entry.name.ends_with("conv3.norm.gamma");
    const double centre = damped ? 0.25 : entry.name.ends_with(".gamma") ? 1.0 : 0.0;
    const bool small = entry.name.ends_with(".beta") || entry.name.ends_with(".bias");
    const auto fan = static_cast<double>(fan_in_of(entry.shape));
    const double spread = damped ? 0.05 : centre > 0.0 ? 0.2 : small ? 0.1 : std::sqrt(3.0 / fan);
    std::vector<float> values(static_cast<std::size_t>(entry.shape.elements()));
    for (std::size_t i = 0; i < values.size(); ++i)
      values[i] =
          static_cast<float>(centre + spread * (2.0 * recorded::hashed(static_cast<std::int64_t>(i), stream) - 1.0));
    state->write(state->parameters() + entry.offset, values);
  }
};

const recorded::Tensors& truth() {
  static const recorded::Tensors tensors =
      recorded::read(std::string(TRAINMARK_SOURCE_DIR) + "/tests/reference/resnet50.bin");
  return tensors;
}

/// Distance over norm.
double distance(const std::vector<float>& found, const std::vector<float>& wanted) {
  EXPECT_EQ(found.size(), wanted.size());
  double squares = 0.0, apart = 0.0;
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    const double error = static_cast<double>(found.at(i)) - wanted[i];
    squares += static_cast<double>(wanted[i]) * wanted[i];
    apart += error * error;
  }
  return std::sqrt(apart / squares);
}

double norm_of(const std::vector<float>& values) {
  double squares = 0.0;
  for (const float value : values)
    squares += static_cast<double>(value) * value;
  return std::sqrt(squares);
}

/// The most that noise of fp32's size on the parameters does to a kind of truth, relative.
double noise(const std::string& kind) { return *std::ranges::max_element(truth().at("noise:" + kind)); }

TEST(Resnet50Parity, LossAndEveryGradientAgreeInBothStyles) {
  for (const bool tensorflow : {false, true}) {
    const std::string style = tensorflow ? "tensorflow" : "torch";
    SCOPED_TRACE(style);
    Training training(SgdMomentum{},
                      {.padding = tensorflow ? PaddingStyle::tensorflow : PaddingStyle::torch,
                       .smoothing = tensorflow ? SmoothingStyle::other_classes : SmoothingStyle::all_classes});
    training.step(0.0F);
    const double wanted = truth().at("loss:" + style)[0];
    EXPECT_NEAR(training.state->loss(), wanted, 2e-6 * wanted);
    for (const ModelState::Entry& entry : training.state->entries()) {
      const auto found = training.state->read(training.state->gradients() + entry.offset, entry.shape.elements());
      EXPECT_LE(distance(found, truth().at("gradient:" + style + ":" + entry.name)), 1e-4) << entry.name;
    }
  }
}

/// The losses agree to a thousandth of what the last step changed; velocities to what noise does to the worst of them.
void expect_same_training(const Rule& rule, const std::string& name, float rate, const Grouping& grouping = {}) {
  SCOPED_TRACE(name);
  Training training(rule, {}, grouping);
  const std::vector<float>& losses = truth().at("losses:" + name);
  ASSERT_EQ(losses.size(), std::size_t{steps});
  for (int at = 0; at < steps; ++at) {
    training.step(rate * static_cast<float>(at + 1));
    EXPECT_NEAR(training.state->loss(), losses.at(static_cast<std::size_t>(at)), 3e-5) << "step " << at;
  }
  const std::vector<float>& norms = truth().at("velocities:" + name);
  ASSERT_EQ(norms.size(), training.state->entries().size());
  for (std::size_t at = 0; at < norms.size(); ++at) {
    const ModelState::Entry& entry = training.state->entries()[at];
    const double found = norm_of(training.state->read(training.state->slot(0) + entry.offset, entry.shape.elements()));
    EXPECT_NEAR(found / norms[at], 1.0, 1e-4 + 3.0 * noise("velocities:" + name)) << entry.name;
  }
}

TEST(Resnet50Parity, FiveStepsAgreeWithSgd) {
  expect_same_training(SgdMomentum{.momentum = 0.9F, .weight_decay = 1.0F}, "sgd", sgd_rate);
}

TEST(Resnet50Parity, FiveStepsAgreeWithLarsInBothForms) {
  Lars rule{.momentum = 0.9F, .weight_decay = 1.0F, .eta = 0.02F, .epsilon = 1e-9F};
  expect_same_training(rule, "lars", lars_rate);
  expect_same_training(rule, "lars", lars_rate, {.ends = cubic_ends(), .norms_last = true});
  rule.form = LarsForm::premultiplied;
  expect_same_training(rule, "lars_premultiplied", lars_rate);
}

}  // namespace
}  // namespace trainmark

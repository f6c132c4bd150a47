// The model's state: initialisation by the reference's formula, hash, copies.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "trainmark/exec.hpp"
#include "trainmark/models.hpp"

namespace trainmark {
namespace {

class State : public ::testing::Test {
 protected:
  std::unique_ptr<Backend> backend = make_null_backend();
  Graph graph = training_graph(CosmoflowOptions{.extent = 32}, {});

  ModelState initialised(std::uint64_t seed) {
    ModelState state(*backend, graph, 1);
    state.initialise(seed);
    return state;
  }
  static std::vector<float> values_of(const ModelState& state, const std::string& name) {
    const auto entry = std::ranges::find(state.entries(), name, &ModelState::Entry::name);
    return state.read(state.parameters() + entry->offset, entry->shape.elements());
  }
};

TEST_F(State, LiesInTheOrderOfTheReferencesTensors) {
  const ModelState state(*backend, graph, 1);
  ASSERT_EQ(state.entries().size(), 16U);
  EXPECT_EQ(state.entries().front().name, "conv1.weights");
  EXPECT_EQ(state.entries().back().name, "dense3.bias");
  EXPECT_EQ(state.parameter_elements(), graph.parameter_elements());
  std::int64_t at = 0;
  for (const ModelState::Entry& entry : state.entries()) {
    EXPECT_EQ(entry.offset, at) << entry.name;
    at += entry.shape.elements();
  }
}

TEST_F(State, StartsGlorotUniformWithZeroBiases) {
  const ModelState state = initialised(1);
  // The limits of the reference's layers.
  const std::vector<std::pair<std::string, double>> limits = {
      {"conv1.weights", 0.07857}, {"conv2.weights", 0.04811},  {"conv3.weights", 0.03402}, {"conv4.weights", 0.02406},
      {"conv5.weights", 0.01701}, {"dense2.weights", 0.17678}, {"dense3.weights", 0.29704}};
  for (const auto& [name, limit] : limits) {
    const auto values = values_of(state, name);
    double sum = 0.0, squares = 0.0, most = 0.0;
    for (const float value : values) {
      sum += value;
      squares += static_cast<double>(value) * value;
      most = std::max(most, std::abs(static_cast<double>(value)));
    }
    const auto count = static_cast<double>(values.size());
    EXPECT_LE(most, limit * 1.0005) << name;
    EXPECT_GE(most, limit * 0.97) << name;
    EXPECT_NEAR(sum / count, 0.0, 4.0 * limit / std::sqrt(3.0 * count)) << name;
    EXPECT_NEAR(squares / count, limit * limit / 3.0, 6.0 * limit * limit / std::sqrt(count) / 3.0) << name;
  }
  for (const std::string name : {"conv1.bias", "dense1.bias", "dense3.bias"}) {
    const auto values = values_of(state, name);
    EXPECT_TRUE(std::ranges::all_of(values, [](float value) { return value == 0.0F; })) << name;
  }
  EXPECT_EQ(state.loss(), 0.0F);
}

TEST_F(State, IsAFunctionOfTheSeedAlone) {
  EXPECT_EQ(initialised(1).hash(), initialised(1).hash());
  EXPECT_NE(initialised(1).hash(), initialised(2).hash());
  ModelState used = initialised(1);
  const std::uint64_t fresh = used.hash();
  used.write(used.slot(0), std::vector<float>{1.0F});
  used.initialise(1);
  EXPECT_EQ(used.hash(), fresh) << "slots start at zero again";
}

TEST_F(State, GivesTensorsOfOneShapeDifferentValues) {
  GraphBuilder builder(DType::f32);
  const TensorId src = builder.input("x", {1, 8}, DType::f32);
  builder.dense("second", builder.dense("first", src, 8), 8);
  ModelState state(*backend, builder.take(), 1);
  state.initialise(1);
  EXPECT_NE(values_of(state, "first.weights"), values_of(state, "second.weights"));
}

TEST_F(State, HashesEveryParameterAndSlotButNoGradient) {
  ModelState state = initialised(3);
  const std::uint64_t before = state.hash();
  const std::int64_t last = state.parameter_elements() - 1;
  for (float* where : {state.parameters(), state.parameters() + last, state.slot(0), state.slot(0) + last}) {
    const auto old = state.read(where, 1);
    state.write(where, std::vector<float>{old[0] + 1.0F});
    EXPECT_NE(state.hash(), before);
    state.write(where, old);
    EXPECT_EQ(state.hash(), before);
  }
  state.write(state.gradients(), std::vector<float>{1.0F});
  EXPECT_EQ(state.hash(), before);
}

TEST_F(State, ReturnsToASnapshot) {
  ModelState state = initialised(3);
  state.write(state.slot(0) + 5, std::vector<float>{1.0F});
  const std::uint64_t before = state.hash();
  const auto snapshot = state.snapshot();
  state.write(state.parameters(), std::vector<float>(100, 7.0F));
  state.write(state.slot(0), std::vector<float>(100, 7.0F));
  EXPECT_NE(state.hash(), before);
  state.restore(snapshot);
  EXPECT_EQ(state.hash(), before);
  EXPECT_THROW(state.restore(std::vector<std::byte>(3)), std::logic_error);
}

TEST_F(State, HoldsALossScaleWhereItsGraphMovesOne) {
  EXPECT_FALSE(ModelState(*backend, graph, 1).loss_scale());
  Graph scaled = graph;
  const TensorId scaler = scaled.add({"loss_scale", Shape{loss_scale_extent}, DType::u8, Role::scaler, 0});
  scaled.nodes.push_back({"adjust", AdjustLossScale{{.initial = 512.0F}}, {scaler}, {}, Lane::compute});
  ModelState state(*backend, scaled, 1);
  EXPECT_EQ(state.loss_scale(), LossScale{.scale = 512.0F});
  const auto snapshot = state.snapshot();
  const LossScale moved{.scale = 8.0F, .good_steps = 3, .skipped_in_a_row = 1, .skipped = 6};
  *state.scaler() = moved;  // the null backend's device memory is the host's
  EXPECT_EQ(state.loss_scale(), moved);
  state.restore(snapshot);
  EXPECT_EQ(state.loss_scale(), LossScale{.scale = 512.0F}) << "warm-up leaves no trace";
  *state.scaler() = moved;
  state.initialise(1);
  EXPECT_EQ(state.loss_scale(), LossScale{.scale = 512.0F});
}

TEST_F(State, KeepsTheLossBehindTheGradientsAndClearsMetrics) {
  ModelState state(*backend, graph, 1);
  state.write(state.gradients() + state.parameter_elements(), std::vector<float>{0.25F});
  EXPECT_EQ(state.loss(), 0.25F);
  state.metrics()[1] = 3.0;  // the null backend's device memory is the host's
  EXPECT_EQ(state.score().loss, 3.0);
  state.clear_metrics();
  EXPECT_EQ(state.score(), Score{});
}

}  // namespace
}  // namespace trainmark

// Whole backward passes of networks that branch: residual sums, channels side by side, tensors with several readers,
// transposed convolutions. First the rewrite alone, in fp64 against differences of the loss; then each backend, fused
// and with its memory shared, against the rewrite in fp64.
#include <cmath>
#include <cstring>

#include "backend/harness.hpp"
#include "reference/interpreter.hpp"
#include "trainmark/exec.hpp"

namespace trainmark::test {
namespace {

constexpr std::int64_t batch = 2;

/// A residual block whose skip is read three times, then parts of odd channel counts side by side.
Graph residual_network(DType compute) {
  GraphBuilder builder(compute);
  const TensorId raw = builder.input("x", {batch, 3, 6, 8}, DType::f32);
  const TensorId target = builder.input("y", {batch, 3}, DType::f32);
  const TensorId state = builder.input("step_state", {step_state_extent(batch)}, DType::u8);
  const Conv same{{3, 3}, {1, 1}, {1, 1}, {1, 1}}, point{{1, 1}, {1, 1}, {0, 0}, {0, 0}};
  TensorId src = builder.apply("preprocess", Preprocess{}, {raw});
  src = builder.conv("stem", src, 5, same);
  const TensorId skip = builder.apply("stem.leaky", Activation{}, {src});
  src = builder.conv("block1", skip, 5, same);
  src = builder.apply("block1.leaky", Activation{}, {src});
  src = builder.conv("block2", src, 5, same);
  src = builder.apply("block.add", Add{}, {src, skip});
  const TensorId joined = builder.apply("block.leaky", Activation{}, {src});
  const TensorId first = builder.conv("branch1", joined, 3, point);
  TensorId second = builder.conv("branch2", joined, 9, same);
  second = builder.apply("branch2.leaky", Activation{}, {second});
  const TensorId twice = builder.apply("twice", Add{}, {joined, joined});
  src = builder.apply("concat", Concat{}, {first, second, twice, skip});
  src = builder.conv("head", src, 4, {{3, 3}, {2, 2}, {0, 0}, {1, 1}});
  src = builder.dense("dense", src, 3, DType::f32);
  src = builder.apply("tanh", Activation{.curve = Curve::tanh, .scale = 1.2F}, {src});
  builder.apply("loss", Loss{.global_batch = batch}, {src, target, state});
  return builder.take();
}

/// As a decoder is built: depthwise, dilated and pointwise layers without bias, up again by a transposed convolution
/// whose result is one row and one column larger than the smallest, and beside it what came before.
Graph decoder_network(DType compute) {
  GraphBuilder builder(compute);
  const TensorId raw = builder.input("x", {batch, 4, 6, 8}, DType::f32);
  const TensorId target = builder.input("y", {batch, 3}, DType::f32);
  const TensorId state = builder.input("step_state", {step_state_extent(batch)}, DType::u8);
  const Conv point{{1, 1}, {1, 1}, {0, 0}, {0, 0}}, half{{3, 3}, {2, 2}, {1, 1}, {1, 1}};
  const Conv depthwise{{3, 3}, {1, 1}, {2, 2}, {2, 2}, {2, 2}, 6};
  TensorId src = builder.apply("preprocess", Preprocess{}, {raw});
  src = builder.conv("stem", src, 6, half, {.with_bias = false});
  const TensorId low = builder.apply("stem.leaky", Activation{}, {src});
  src = builder.conv("depthwise", low, 6, depthwise, {.with_bias = false});
  src = builder.conv("point", src, 5, point, {.with_bias = false});
  src = builder.conv("down", src, 7, half, {.with_bias = false});
  src = builder.conv_transposed("up1", src, 6, half, {3, 4});
  src = builder.apply("joined", Concat{}, {src, low});
  src = builder.conv_transposed("up2", src, 3, half, {6, 8});
  src = builder.dense("dense", src, 3, DType::f32);
  builder.apply("loss", Loss{.global_batch = batch}, {src, target, state});
  return builder.take();
}

/// Norms behind convolutions and around a sum, a branch through the mean of the map, and a loss of labels.
Graph norm_network(DType compute) {
  GraphBuilder builder(compute);
  const TensorId raw = builder.input("x", {batch, 3, 4, 6}, DType::f32);
  const TensorId labels = builder.input("y", {batch, 4, 6}, DType::u8);
  const TensorId state = builder.input("step_state", {step_state_extent(batch)}, DType::u8);
  const Conv same{{3, 3}, {1, 1}, {1, 1}, {1, 1}}, point{{1, 1}, {1, 1}, {0, 0}, {0, 0}};
  const Activation relu{.curve = Curve::leaky_relu, .slope = 0.0F, .scale = 1.0F};
  const auto norm_relu = [&](const std::string& name, TensorId src) {
    return builder.apply(name + ".relu", relu, {builder.norm(name + ".norm", src, Norm{}, true)});
  };
  TensorId src = builder.apply("normalise", Normalise{{0.1F, 0.2F, 0.3F}, {1.5F, 2.0F, 0.5F}}, {raw});
  src = norm_relu("stem", builder.conv("stem", src, 5, same, {.with_bias = false}));
  const TensorId main = builder.norm("main", builder.conv("main", src, 5, same, {.with_bias = false}), Norm{}, true);
  src = builder.apply("add.relu", relu, {builder.apply("add", Add{}, {main, src})});
  const Conv affine{{1, 1}, {1, 1}, {0, 0}, {0, 0}, {}, 5};
  TensorId mean = builder.apply("mean", SpatialSum{1.0F / 24.0F}, {src});
  mean = builder.apply("tile", Tile{{4, 6}, 1.0F}, {builder.conv("affine", mean, 5, affine)});
  src = norm_relu("join", builder.conv("join", builder.apply("concat", Concat{}, {src, mean}), 6, point));
  src = builder.conv("head", src, 3, point);
  builder.apply("loss", Loss{.global_batch = batch, .criterion = CrossEntropy{{1.0F, 2.5F, 1.75F}}},
                {src, labels, state});
  return builder.take();
}

/// Labels are whole numbers below 3.
std::vector<Array> inputs_of(const Graph& graph) {
  std::vector<Array> inputs;
  Rng rng(3, Purpose::test);
  for (const Tensor& tensor : graph.tensors) {
    if (tensor.role != Role::input || tensor.name == "step_state") continue;
    Array& input = inputs.emplace_back(tensor.shape);
    for (double& value : input.values)
      value = tensor.dtype == DType::u8 ? static_cast<double>(rng.below(3)) : static_cast<float>(rng.uniform());
  }
  return inputs;
}
std::vector<double> parameters_of(const Graph& graph) {
  Rng rng(4, Purpose::test);
  std::vector<double> values(static_cast<std::size_t>(graph.parameter_elements()));
  for (double& value : values)
    value = static_cast<float>(0.6 * rng.uniform() - 0.3);
  return values;
}

class Branches : public testing::TestWithParam<Graph (*)(DType)> {};

TEST_P(Branches, GradientsAreDifferencesOfTheLoss) {
  const Graph graph = differentiate(GetParam()(DType::f32));
  const std::vector<Array> inputs = inputs_of(graph);
  std::vector<double> parameters = parameters_of(graph);
  const std::vector<double> gradients = reference::gradients_of(graph, inputs, parameters);
  const double step = 1e-6;
  double largest = 0.0;
  for (std::size_t at = 0; at < parameters.size(); at += 7) {
    const double centre = parameters[at];
    parameters[at] = centre + step;
    const double above = reference::gradients_of(graph, inputs, parameters).back();
    parameters[at] = centre - step;
    const double below = reference::gradients_of(graph, inputs, parameters).back();
    parameters[at] = centre;
    EXPECT_NEAR(gradients[at], (above - below) / (2.0 * step), 1e-7) << "element " << at;
    largest = std::max(largest, std::fabs(gradients[at]));
  }
  EXPECT_GT(largest, 1e-3) << "nothing was compared";
}

INSTANTIATE_TEST_SUITE_P(Networks, Branches, testing::Values(residual_network, decoder_network, norm_network));

class BackendBranches : public BackendTest {
 protected:
  [[nodiscard]] std::vector<float> gradients(const Graph& graph, Program::Options options) {
    const std::vector<Array> inputs = inputs_of(graph);
    const std::vector<double> parameters = parameters_of(graph);
    ModelState state(*backend, graph, 0);
    const std::vector<float> weights(parameters.begin(), parameters.end());
    state.write(state.parameters(), weights);
    const auto collective = backend->make_collective(world_of_one().all());
    Program program(*backend, graph, state, *collective, make_input_slots(*backend), options);
    const std::vector<float> x = channels_last(inputs[0]), y(inputs[1].values.begin(), inputs[1].values.end());
    const std::vector<std::uint8_t> labels(inputs[1].values.begin(), inputs[1].values.end());
    const bool labelled = graph.tensors[static_cast<std::size_t>(graph.find("y"))].dtype == DType::u8;
    std::vector<std::byte> now(step_state_bytes(batch));
    const StepState header{.rate = 0.0F, .valid = batch, .epoch = 0};
    std::memcpy(now.data(), &header, sizeof header);
    const std::array<std::span<const std::byte>, 3> fed = {
        std::as_bytes(std::span(x)), labelled ? std::as_bytes(std::span(labels)) : std::as_bytes(std::span(y)), now};
    program.upload(0, fed);
    program.step(0);
    return state.read(state.gradients(), graph.gradient_elements());
  }
  void expect_gradients(Graph (*network)(DType)) {
    const Graph graph = differentiate(network(GetParam().dtype));
    const std::vector<double> expected = reference::gradients_of(graph, inputs_of(graph), parameters_of(graph));
    double norm = 0.0;
    for (const double value : expected)
      norm += value * value;
    for (const bool fuse : {false, true}) {
      for (const bool reuse : {false, true}) {
        const std::vector<float> found = gradients(graph, {.fuse = fuse, .reuse = reuse});
        double error = 0.0;
        for (std::size_t at = 0; at < expected.size(); ++at)
          error += (found[at] - expected[at]) * (found[at] - expected[at]);
        const double tolerance = GetParam().dtype == DType::f32 ? 1e-5 : GetParam().dtype == DType::f16 ? 0.01 : 0.05;
        EXPECT_LT(std::sqrt(error), tolerance * std::sqrt(norm))
            << (fuse ? "fused" : "unfused") << (reuse ? ", shared" : ", apart");
      }
    }
  }

 private:
  [[nodiscard]] static std::vector<float> channels_last(const Array& array) {
    const std::int64_t channels = array.shape[1], points = array.shape.elements() / array.shape[0] / channels;
    std::vector<float> values(array.values.size());
    for (std::int64_t i = 0; i < array.shape.elements(); ++i) {
      const std::int64_t n = i / points / channels, c = i / points % channels, point = i % points;
      values[static_cast<std::size_t>((n * points + point) * channels + c)] = static_cast<float>(array[i]);
    }
    return values;
  }
};

TEST_P(BackendBranches, GradientsOfResidualsAndPartsSideBySideAreThoseOfTheRewrite) {
  expect_gradients(residual_network);
}

TEST_P(BackendBranches, GradientsOfSeparableAndTransposedConvolutionsAreThoseOfTheRewrite) {
  expect_gradients(decoder_network);
}

TEST_P(BackendBranches, GradientsThroughNormsMeansAndLabelsAreThoseOfTheRewrite) { expect_gradients(norm_network); }

INSTANTIATE_TEST_SUITE_P(Backends, BackendBranches, testing::ValuesIn(cases()), name_of_case);

}  // namespace
}  // namespace trainmark::test

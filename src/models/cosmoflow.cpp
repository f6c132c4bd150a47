// CosmoFlow as MLPerf HPC defines it: five blocks of convolution, leaky ReLU and pooling, then three dense layers that
// regress four cosmological parameters from the particle counts of a cube at four redshifts.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "models/benchmarks.hpp"

namespace trainmark {
namespace {

constexpr int redshifts = 4;
constexpr int targets = 4;
constexpr int blocks = 5;
constexpr std::array<int, blocks> reference_channels = {32, 64, 128, 256, 512};
constexpr std::array<int, 2> hidden_units = {128, 64};
constexpr float slope = 0.3F;         // Keras' default of LeakyReLU
constexpr float output_scale = 1.2F;  // targets fill [-1, 1], where tanh saturates

void require_fitting(const CosmoflowOptions& model) {
  constexpr int divisor = 1 << blocks;
  using models::refuse;
  if (model.extent < divisor || model.extent % divisor != 0) {
    refuse("/model/extent", fmt::format("{} is not a positive multiple of {}", model.extent, divisor),
           "each of five pools halves the volume",
           fmt::format("choose {}", std::max(1, model.extent / divisor) * divisor));
  }
  if (model.kernel != 2 && model.kernel != 3) {
    refuse("/model/kernel", fmt::format("{} is no kernel of CosmoFlow", model.kernel), "",
           "choose 3 (MLPerf HPC 1.0 and later) or 2 (0.7)");
  }
  if (!(model.width > 0.0)) {
    refuse("/model/width", fmt::format("{} is not a positive factor", model.width), "it multiplies the channels",
           "choose 1 for the reference's network, less for small runs");
  }
  if (!(model.dropout >= 0.0 && model.dropout < 1.0)) {
    refuse("/model/dropout", fmt::format("{} is not in [0, 1)", model.dropout), "", "choose 0 for none, or e.g. 0.5");
  }
}

int channels_of(const CosmoflowOptions& model, int block) {
  return std::max(1,
                  static_cast<int>(std::lround(reference_channels.at(static_cast<std::size_t>(block)) * model.width)));
}

Conv convolution(const CosmoflowOptions& model) {
  // TensorFlow's 'same': an even kernel gets its odd plane of padding behind the data.
  const int before = (model.kernel - 1) / 2;
  const int after = model.kernel - 1 - before;
  return {{model.kernel, model.kernel, model.kernel}, {1, 1, 1}, {before, before, before}, {after, after, after}};
}

struct Network {
  TensorId prediction = 0, target = 0, step_state = 0;
};

/// From raw counts to the prediction; inputs in the order in which a batch is packed.
Network build(GraphBuilder& builder, const CosmoflowOptions& model, const GraphOptions& options, bool training) {
  require_fitting(model);
  const std::int64_t batch = options.local_batch;
  const std::int64_t extent = model.extent;
  const TensorId raw = builder.input("x", {batch, redshifts, extent, extent, extent}, DType::i16);  // N,C,D,H,W
  Network network;
  network.target = builder.input("y", {batch, targets}, DType::f32);
  network.step_state = builder.input("step_state", {step_state_extent(batch)}, DType::u8);

  const Activation leaky{.curve = Curve::leaky_relu, .slope = slope, .scale = 1.0F};
  TensorId src = builder.apply("preprocess", Preprocess{.log_transform = model.log_transform}, {raw});
  for (int block = 0; block < blocks; ++block) {
    const std::string name = fmt::format("conv{}", block + 1);
    src = builder.conv(name, src, channels_of(model, block), convolution(model));  // N,C,D,H,W
    src = builder.apply(name + ".leaky", leaky, {src});
    src = builder.apply(name + ".pool", Pool{{2, 2, 2}, {2, 2, 2}}, {src});  // halves D,H,W
  }
  for (std::uint32_t layer = 0; layer < hidden_units.size(); ++layer) {
    const std::string name = fmt::format("dense{}", layer + 1);
    src = builder.dense(name, src, hidden_units.at(layer));  // N,O
    src = builder.apply(name + ".leaky", leaky, {src});
    if (training && model.dropout > 0.0) {
      const Dropout dropout{.rate = static_cast<float>(model.dropout), .seed = options.seed, .layer = layer};
      src = builder.apply(name + ".dropout", dropout, {src, network.step_state});
    }
  }
  // From here on fp32 whatever the rest computes in: tanh and the loss are where half precision hurts.
  src = builder.dense("dense3", src, targets, DType::f32);
  network.prediction =
      builder.apply("dense3.tanh", Activation{.curve = Curve::tanh, .slope = 0.0F, .scale = output_scale}, {src});
  return network;
}

}  // namespace

DataSchema data_schema(const CosmoflowOptions& model) {
  require_fitting(model);
  const std::int64_t extent = model.extent;
  const LegalValues counts{
      .least = 0.0,
      .most = 32767.0,
      .positive_mean = !model.log_transform,
      .why = model.log_transform ? "inputs are counts, of which the network takes log(1 + count)"
                                 : "inputs are counts; where /model/log_transform is false, each is divided by the "
                                   "mean of its sample"};
  // Beyond the network's bound nothing can be learnt; it usually means that the unscaled parameters were named.
  const LegalValues scaled{.least = -output_scale,
                           .most = output_scale,
                           .why = "targets are scaled to [-1, 1], the network's output is bounded by 1.2"};
  return {.fields = {{"x", {extent, extent, extent, redshifts}, DType::i16, counts, {"x", "full"}},
                     {"y", {targets}, DType::f32, scaled, {"y", "unitPar"}}},
          .cut = Cut{.stored_as = "full", .extent = 128}};
}

Graph training_graph(const CosmoflowOptions& model, const GraphOptions& options) {
  GraphBuilder builder(options.compute);
  const Network network = build(builder, model, options, true);
  std::vector<TensorId> compared = {network.prediction, network.target, network.step_state};
  if (options.scale_loss || options.compute == DType::f16) compared.push_back(builder.loss_scale());
  builder.apply("loss", Loss{options.global_batch}, std::move(compared));
  return builder.take();
}

Graph evaluation_graph(const CosmoflowOptions& model, const GraphOptions& options) {
  GraphBuilder builder(options.compute);
  const Network network = build(builder, model, options, false);
  builder.apply("metric", Metric{}, {network.prediction, network.target, network.step_state});
  return builder.take();
}

std::vector<Treatment> treatments(const CosmoflowOptions& model, const Rule& rule, const Graph& graph) {
  std::vector<Treatment> treatments;
  for (const Tensor& tensor : graph.tensors) {
    if (tensor.role != Role::parameter) continue;
    const bool decays = tensor.name == "dense1.weights" || tensor.name == "dense2.weights";
    // Keras' l2(c) adds c * sum(w^2) without a half, so its gradient is 2 c w.
    Treatment treatment = models::treatment_of(rule, tensor);
    if (decays) treatment.decay += static_cast<float>(2.0 * model.l2);
    treatments.push_back(treatment);
  }
  return treatments;
}

namespace models {

std::vector<EvaluationFigure> figures_of(const CosmoflowOptions&) { return {{"eval_error", &Score::quality}}; }

std::vector<RuleBreach> closed_breaches(const CosmoflowOptions& model, const Recipe& recipe, const DatasetFacts& data,
                                        const TrainFacts&) {
  Breaches breaches;
  breaches.require(model.extent == 128, "/model/extent", model.extent, 128);
  breaches.require(model.width == 1.0, "/model/width", model.width, 1);
  breaches.require(model.kernel == 3, "/model/kernel", model.kernel, 3);
  breaches.require(model.log_transform, "/model/log_transform", model.log_transform, true);
  breaches.require(data.train_samples == 524288, "/data/train_samples", data.train_samples, 524288);
  breaches.require(data.validation_samples == 65536, "/data/validation_samples", data.validation_samples, 65536);
  breaches.require(!data.generated, "/submission/generated_data", "generated samples", "the reference's dataset");
  const auto* sgd = std::get_if<SgdMomentum>(&recipe.rule);
  breaches.require(sgd != nullptr, "/optimizer/name", name_of(recipe.rule), "sgd");
  if (sgd != nullptr) {
    breaches.require(sgd->momentum == 0.9F, "/optimizer/momentum", sgd->momentum, 0.9F);
    breaches.require(sgd->weight_decay == 0.0F, "/optimizer/weight_decay", as_written(sgd->weight_decay),
                     "0, which leaves decay to /model/l2");
    breaches.require(!sgd->momentum_correction, "/optimizer/momentum_correction", true, false);
  }
  breaches.require(std::holds_alternative<PiecewiseSchedule>(recipe.schedule), "/schedule/by", name_of(recipe.schedule),
                   "epoch");
  return std::move(breaches.found);
}

namespace {

void log_schedule(Metadata& log, const PiecewiseSchedule& schedule) {
  std::vector<std::int64_t> boundaries;
  std::vector<double> factors;
  for (const auto& decay : schedule.decay) {
    boundaries.push_back(decay.epoch);
    factors.push_back(decay.factor);
  }
  log.emplace_back("opt_base_learning_rate", schedule.peak_rate);
  log.emplace_back("opt_learning_rate_warmup_epochs", std::int64_t{schedule.warmup_epochs});
  log.emplace_back("opt_learning_rate_warmup_factor",
                   schedule.base_rate > 0.0 ? schedule.peak_rate / schedule.base_rate : 1.0);
  log.emplace_back("opt_learning_rate_decay_boundary_epochs", std::move(boundaries));
  log.emplace_back("opt_learning_rate_decay_factor", std::move(factors));
}
template <class BySteps>
void log_schedule(Metadata& log, const BySteps& schedule) {
  log.emplace_back("opt_base_learning_rate", schedule.rate);
  log.emplace_back("opt_learning_rate_warmup_steps", schedule.warmup_steps);
}

}  // namespace

Metadata logged(const CosmoflowOptions& model, const Recipe& recipe, const StepFacts&) {
  Metadata log = {{"opt_name", std::string(name_of(recipe.rule))}};
  std::visit([&](const auto& schedule) { log_schedule(log, schedule); }, recipe.schedule);
  log.emplace_back("dropout", model.dropout);
  const float decay = weight_decay_of(recipe.rule);
  log.emplace_back("opt_weight_decay", decay > 0.0F ? as_written(decay) : model.l2);
  return log;
}

}  // namespace models
}  // namespace trainmark

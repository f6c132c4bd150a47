// DeepCAM as MLPerf HPC defines it: an Xception encoder at a sixteenth of the resolution, parallel atrous convolutions,
// and a decoder of learned transposed convolutions that finds cyclones and rivers of vapour in maps of the climate.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "models/benchmarks.hpp"

namespace trainmark {
namespace {

constexpr int channels_in = models::channels_of(DeepcamOptions{});
constexpr std::array<double, 3> class_frequencies = {0.986267818390377, 0.0004578708870701058, 0.01327431072255291};

using models::refuse;

void require_fitting(const DeepcamOptions& model) {
  constexpr int divisor = 16;
  const std::pair<const char*, int> extents[] = {{"rows", model.rows}, {"columns", model.columns}};
  for (const auto& [name, extent] : extents) {
    if (extent >= divisor && extent % divisor == 0) continue;
    refuse(fmt::format("/model/{}", name), fmt::format("{} is not a positive multiple of {}", extent, divisor),
           "four strided layers halve the map", fmt::format("choose {}", std::max(1, extent / divisor) * divisor));
  }
  if (!(model.width > 0.0))
    refuse("/model/width", fmt::format("{} is not a positive factor", model.width), "it multiplies the channels",
           "choose 1 for the reference's network, less for small runs");
  if (model.middle_blocks < 0)
    refuse("/model/middle_blocks", fmt::format("{} is no number of blocks", model.middle_blocks), "",
           "choose 16 for the reference's network, less for small runs");
  if (model.norm_group < 1)
    refuse("/model/norm_group", fmt::format("{} is no number of ranks", model.norm_group), "",
           "choose 1 for norms of a rank's own samples");
}

Initial ones(const Shape&) { return {Initial::Law::constant, 1.0F}; }

/// Makes the layers of one network; names follow the reference's structure.
class Deepcam {
 public:
  Deepcam(GraphBuilder& builder, const DeepcamOptions& model, bool training)
      : builder_(builder), model_(model), training_(training) {}

  TensorId logits(TensorId normalised) {
    TensorId low = 0;
    const TensorId encoded = encoder(normalised, low);
    return decoder(bottleneck(encoded), low);
  }

 private:
  using Law = Initial (*)(const Shape&);

  [[nodiscard]] int channels(int reference) const {
    return std::max(1, static_cast<int>(std::lround(reference * model_.width)));
  }
  TensorId relu(const std::string& name, TensorId src) {
    return builder_.apply(name + ".relu", Activation{.curve = Curve::leaky_relu, .slope = 0.0F, .scale = 1.0F}, {src});
  }
  TensorId norm(const std::string& name, TensorId src) { return builder_.norm(name + ".norm", src, Norm{}, training_); }
  TensorId norm_relu(const std::string& name, TensorId src) { return relu(name, norm(name, src)); }

  /// Square kernel, padded so that a stride of 1 keeps the extents. Without bias.
  TensorId conv(const std::string& name, TensorId src, int count, int kernel, Law law, int stride = 1, int dilation = 1,
                int groups = 1) {
    const int padding = dilation * (kernel - 1) / 2;
    const Conv attributes{{kernel, kernel},   {stride, stride},     {padding, padding},
                          {padding, padding}, {dilation, dilation}, groups};
    return builder_.conv(name, src, count, attributes, {.weights = law, .with_bias = false});
  }
  /// A depthwise convolution and a pointwise one right behind it.
  TensorId separable(const std::string& name, TensorId src, int count, int stride = 1, int dilation = 1) {
    const auto own = static_cast<int>(builder_.tensor(src).shape[1]);
    const TensorId spread = conv(name + ".depthwise", src, own, 3, he_normal, stride, dilation, own);
    return conv(name + ".pointwise", spread, count, 1, he_normal);
  }

  /// Of the strided blocks and the last one: their last convolution has neither norm nor activation.
  TensorId block(const std::string& name, TensorId src, int first, int second, int stride) {
    TensorId main = norm_relu(name + ".sep1", separable(name + ".sep1", src, first));
    main = norm(name + ".sep2", separable(name + ".sep2", main, second));
    main = separable(name + ".sep3", main, second, stride);
    const TensorId skip = norm(name + ".skip", conv(name + ".skip", src, second, 1, he_normal, stride));
    return builder_.apply(name + ".add", Add{}, {main, skip});
  }
  TensorId middle_block(const std::string& name, TensorId src, int count) {
    TensorId main = norm_relu(name + ".sep1", separable(name + ".sep1", src, count));
    main = norm_relu(name + ".sep2", separable(name + ".sep2", main, count));
    main = norm(name + ".sep3", separable(name + ".sep3", main, count));
    return relu(name, builder_.apply(name + ".add", Add{}, {main, src}));
  }

  /// `low`: what the decoder takes of the first block, rectified.
  TensorId encoder(TensorId src, TensorId& low) {
    src = norm_relu("conv1", conv("conv1", src, channels(32), 3, he_normal, 2));
    src = norm_relu("conv2", conv("conv2", src, channels(64), 3, he_normal));
    src = low = relu("block1", block("block1", src, channels(128), channels(128), 2));
    src = relu("block2", block("block2", src, channels(256), channels(256), 2));
    src = relu("block3", block("block3", src, channels(728), channels(728), 2));
    for (int at = 0; at < model_.middle_blocks; ++at)
      src = middle_block(fmt::format("block{}", 4 + at), src, channels(728));
    src = block(fmt::format("block{}", 4 + model_.middle_blocks), src, channels(728), channels(1024), 1);
    src = norm_relu("conv3", separable("conv3", src, channels(1536), 1, 2));
    src = norm_relu("conv4", separable("conv4", src, channels(1536), 1, 2));
    return norm_relu("conv5", separable("conv5", src, channels(2048), 1, 2));
  }

  TensorId bottleneck(TensorId src) {
    const int count = channels(256);
    std::vector<TensorId> branches = {norm_relu("aspp1", conv("aspp1", src, count, 1, he_normal))};
    for (int at = 1; at <= 3; ++at) {
      const std::string name = fmt::format("aspp{}", at + 1);
      branches.push_back(norm_relu(name, conv(name, src, count, 3, he_normal, 1, 6 * at)));
    }
    branches.push_back(pooled(src, count));
    const TensorId joined = builder_.apply("bottleneck.concat", Concat{}, std::move(branches));
    return norm_relu("bottleneck", conv("bottleneck", joined, count, 1, torch_uniform));
  }
  /// The mean over the map, through a layer of its own, spread over the map again.
  TensorId pooled(TensorId src, int count) {
    const std::vector<std::int64_t> all = builder_.tensor(src).shape.extents();
    const std::vector<std::int64_t> extents = {all.begin() + 2, all.end()};
    const float share = 1.0F / static_cast<float>(extents[0] * extents[1]);
    TensorId mean = builder_.apply("pool.mean", SpatialSum{share}, {src});
    mean = conv("pool", mean, count, 1, torch_uniform);
    // A trainable scale and shift of each channel is a depthwise convolution of one tap.
    const Conv affine{{1, 1}, {1, 1}, {0, 0}, {0, 0}, {}, count};
    mean = builder_.conv("pool.affine", mean, count, affine, {.weights = ones});
    return builder_.apply("pool.tile", Tile{extents}, {relu("pool", mean)});
  }

  /// Doubles both extents.
  TensorId up(const std::string& name, TensorId src, int count) {
    const Shape& shape = builder_.tensor(src).shape;
    const Conv halving{{3, 3}, {2, 2}, {1, 1}, {1, 1}};
    return builder_.conv_transposed(name, src, count, halving, {2 * shape[2], 2 * shape[3]}, torch_uniform);
  }
  TensorId decoder(TensorId src, TensorId low) {
    const int count = channels(256);
    src = norm_relu("deconv1a", up("deconv1a", src, count));
    src = norm_relu("deconv1b", up("deconv1b", src, count));
    // Beside its reader, so that its gradient lives shortly; block1's output waits for it in either place.
    const TensorId fine = norm_relu("low", conv("low", low, channels(48), 1, torch_uniform));
    src = builder_.apply("upsample.concat", Concat{}, {src, fine});
    src = norm_relu("upsample1", conv("upsample1", src, count, 3, torch_uniform));
    src = norm_relu("upsample2", conv("upsample2", src, count, 3, torch_uniform));
    const Conv point{{1, 1}, {1, 1}, {0, 0}, {0, 0}};
    const Shape weights{count, count, 1, 1};
    src = builder_.conv("upsample3", src, count, point, {.weights = torch_uniform, .bias = torch_uniform(weights)});
    src = norm_relu("deconv2", up("deconv2", src, count));
    return up("deconv3", src, static_cast<int>(class_frequencies.size()));
  }

  GraphBuilder& builder_;
  const DeepcamOptions& model_;
  bool training_;
};

/// By which a pixel's loss is multiplied: rare classes weigh more.
CrossEntropy criterion() {
  CrossEntropy criterion;
  for (const double frequency : class_frequencies)
    criterion.weights.push_back(static_cast<float>(std::pow(frequency, -0.125)));
  return criterion;
}

/// Ends in what loss and metric compare: logits, labels, step_state.
std::vector<TensorId> build(GraphBuilder& builder, const DeepcamOptions& model, const GraphOptions& options,
                            bool training) {
  require_fitting(model);
  const std::int64_t batch = options.local_batch;
  const TensorId raw = builder.input("data", {batch, channels_in, model.rows, model.columns}, DType::f32);  // N,C,H,W
  const TensorId labels = builder.input("labels", {batch, model.rows, model.columns}, DType::u8);
  const TensorId step_state = builder.input("step_state", {step_state_extent(batch)}, DType::u8);
  Normalise normalise{std::vector<float>(channels_in, 0.0F), std::vector<float>(channels_in, 1.0F)};
  for (std::size_t c = 0; c < options.channels.size(); ++c) {
    normalise.shift.at(c) = static_cast<float>(options.channels[c].least);
    normalise.scale.at(c) = static_cast<float>(1.0 / (options.channels[c].most - options.channels[c].least));
  }
  const TensorId src = builder.apply("normalise", normalise, {raw});
  return {Deepcam(builder, model, training).logits(src), labels, step_state};
}

}  // namespace

DataSchema data_schema(const DeepcamOptions& model) {
  require_fitting(model);
  const LegalValues physical{.least = -1e6,
                             .most = 1e6,
                             .why = "channels are wind, pressure, temperature, humidity, rain and height in SI units"};
  const LegalValues classes{.least = 0.0,
                            .most = static_cast<double>(class_frequencies.size() - 1),
                            .why = "labels are 0 (background), 1 (cyclone) and 2 (atmospheric river)"};
  return {.fields = {{"data", {model.rows, model.columns, channels_in}, DType::f32, physical, {"climate/data"}},
                     {"labels", {model.rows, model.columns}, DType::u8, classes, {"climate/labels_0"}}}};
}

Graph training_graph(const DeepcamOptions& model, const GraphOptions& options) {
  GraphBuilder builder(options.compute);
  std::vector<TensorId> compared = build(builder, model, options, true);
  if (options.scale_loss || options.compute == DType::f16) compared.push_back(builder.loss_scale());
  builder.apply("loss", Loss{options.global_batch, criterion()}, std::move(compared));
  return builder.take();
}

Graph evaluation_graph(const DeepcamOptions& model, const GraphOptions& options) {
  GraphBuilder builder(options.compute);
  builder.apply("metric", Metric{Judge::mean_iou, criterion()}, build(builder, model, options, false));
  return builder.take();
}

std::vector<Treatment> treatments(const DeepcamOptions&, const Rule& rule, const Graph& graph) {
  // One group of parameters: norms, biases and scales decay as well, unless the rule leaves them out.
  std::vector<Treatment> treatments;
  for (const Tensor& tensor : graph.tensors)
    if (tensor.role == Role::parameter) treatments.push_back(models::treatment_of(rule, tensor));
  return treatments;
}

namespace models {

std::vector<EvaluationFigure> figures_of(const DeepcamOptions&) {
  return {{"eval_accuracy", &Score::quality}, {"eval_loss", &Score::loss}};
}

std::vector<RuleBreach> closed_breaches(const DeepcamOptions& model, const Recipe& recipe, const DatasetFacts& data,
                                        const TrainFacts&) {
  Breaches breaches;
  breaches.require(model.rows == 768, "/model/rows", model.rows, 768);
  breaches.require(model.columns == 1152, "/model/columns", model.columns, 1152);
  breaches.require(model.width == 1.0, "/model/width", model.width, 1);
  breaches.require(model.middle_blocks == 16, "/model/middle_blocks", model.middle_blocks, 16);
  breaches.require(data.train_samples == 121266, "/data/train_samples", data.train_samples, 121266);
  breaches.require(data.validation_samples == 15158, "/data/validation_samples", data.validation_samples, 15158);
  breaches.require(!data.generated, "/submission/generated_data", "generated samples", "the reference's dataset");
  const auto moments = [&](const auto& rule) {
    breaches.require(rule.epsilon == 1e-6F, "/optimizer/epsilon", as_written(rule.epsilon), 1e-6);
  };
  if (const auto* adam = std::get_if<Adam>(&recipe.rule)) moments(*adam);
  if (const auto* lamb = std::get_if<Lamb>(&recipe.rule)) {
    moments(*lamb);
    breaches.require(lamb->largest_norm == 1.0F, "/optimizer/largest_norm", as_written(lamb->largest_norm), 1);
  }
  const bool known = std::holds_alternative<Adam>(recipe.rule) || std::holds_alternative<Lamb>(recipe.rule);
  breaches.require(known, "/optimizer/name", name_of(recipe.rule), "adam or lamb");
  const auto* schedule = std::get_if<StepSchedule>(&recipe.schedule);
  breaches.require(schedule != nullptr, "/schedule/by", name_of(recipe.schedule), "step");
  if (schedule != nullptr) {
    double expected = 1.0;
    for (std::size_t at = 0; at < schedule->decay.size(); ++at) {
      expected *= schedule->decay.front().factor;
      const double factor = schedule->decay[at].factor;
      breaches.require(std::abs(factor - expected) < 1e-9, fmt::format("/schedule/decay/{}/factor", at), factor,
                       fmt::format("{}, the same decay at each milestone", expected));
    }
  }
  return std::move(breaches.found);
}

namespace {

void log_rule(Metadata& log, const SgdMomentum&) { log.emplace_back("opt_name", std::string("SGD")); }
template <class AdamLike>
void log_moments(Metadata& log, const std::string& name, const AdamLike& rule) {
  log.emplace_back("opt_name", name);
  log.emplace_back("opt_betas", std::vector<double>{as_written(rule.beta1), as_written(rule.beta2)});
  log.emplace_back("opt_eps", as_written(rule.epsilon));
  log.emplace_back("opt_weight_decay", as_written(rule.weight_decay));
}
void log_rule(Metadata& log, const Adam& rule) { log_moments(log, rule.decoupled ? "AdamW" : "Adam", rule); }
void log_rule(Metadata& log, const Lamb& rule) {
  log_moments(log, "LAMB", rule);
  log.emplace_back("opt_bias_correction", true);
  log.emplace_back("opt_grad_averaging", true);
  log.emplace_back("opt_max_grad_norm", as_written(rule.largest_norm));
}

void log_rule(Metadata& log, const Lars& rule) {
  log.emplace_back("opt_name", std::string("LARS"));
  log.emplace_back("opt_eps", as_written(rule.epsilon));
  log.emplace_back("opt_weight_decay", as_written(rule.weight_decay));
}

void log_schedule(Metadata& log, const PiecewiseSchedule& schedule) { log.emplace_back("opt_lr", schedule.peak_rate); }
void log_schedule(Metadata& log, const StepSchedule& schedule) {
  log.emplace_back("opt_lr", schedule.rate);
  log.emplace_back("scheduler_lr_warmup_steps", schedule.warmup_steps);
  log.emplace_back("scheduler_lr_warmup_factor", schedule.warmup_factor);
  if (schedule.cosine_steps > 0) {
    log.emplace_back("scheduler_type", std::string("cosine_annealing"));
    log.emplace_back("scheduler_t_max", schedule.cosine_steps);
    log.emplace_back("scheduler_eta_min", 0.0);
    return;
  }
  std::vector<std::int64_t> milestones;
  for (const auto& decay : schedule.decay)
    milestones.push_back(decay.step);
  log.emplace_back("scheduler_type", std::string("multistep"));
  log.emplace_back("scheduler_milestones", std::move(milestones));
  log.emplace_back("scheduler_decay_rate", schedule.decay.empty() ? 1.0 : schedule.decay.front().factor);
}

template <class Falling>
void log_schedule(Metadata& log, const Falling& schedule) {
  log.emplace_back("opt_lr", schedule.rate);
  log.emplace_back("scheduler_type", std::string(name_of(schedule)));
  log.emplace_back("scheduler_lr_warmup_steps", schedule.warmup_steps);
}

}  // namespace

Metadata logged(const DeepcamOptions& model, const Recipe& recipe, const StepFacts&) {
  Metadata log = {{"batchnorm_group_size", std::int64_t{model.norm_group}}};
  std::visit([&](const auto& rule) { log_rule(log, rule); }, recipe.rule);
  std::visit([&](const auto& schedule) { log_schedule(log, schedule); }, recipe.schedule);
  return log;
}

}  // namespace models
}  // namespace trainmark

// ResNet-50 v1.5 as MLPerf Training defines it: bottlenecks whose stride stands on their 3x3 convolution, batch norm
// behind every convolution, and one dense layer that tells the classes of a photograph apart.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "models/benchmarks.hpp"

namespace trainmark {
namespace {

constexpr int colours = 3;
constexpr int least_extent = 32;  // five strided layers leave one position of it
constexpr int expansion = 4;      // of a bottleneck's channels at its end
struct Stage {
  int channels, blocks;
};
constexpr std::array<Stage, 4> stages = {{{64, 3}, {128, 4}, {256, 6}, {512, 3}}};

using models::refuse;

void require_fitting(const Resnet50Options& model) {
  if (model.extent < least_extent)
    refuse("/model/extent", fmt::format("{} is less than {}", model.extent, least_extent),
           "five strided layers halve the image", fmt::format("choose {} or more", least_extent));
  if (!(model.width > 0.0))
    refuse("/model/width", fmt::format("{} is not a positive factor", model.width), "it multiplies the channels",
           "choose 1 for the reference's network, less for small runs");
  if (model.classes < 2)
    refuse("/model/classes", fmt::format("{} is no number of classes", model.classes),
           "there must be something to tell apart", "choose 1000 for ImageNet");
  if (!(model.label_smoothing >= 0.0 && model.label_smoothing < 1.0))
    refuse("/model/label_smoothing", fmt::format("{} is not in [0, 1)", model.label_smoothing),
           "it is what labels give to other classes", "choose 0.1, or 0 for none");
  if (!(model.least_area > 0.0 && model.least_area <= model.most_area && model.most_area <= 1.0))
    refuse("/model/least_area",
           fmt::format("crops of {} to {} of an image are none", model.least_area, model.most_area), "",
           "choose shares above 0 and at most 1, the lesser first");
  if (!(model.least_aspect > 0.0 && model.least_aspect <= model.most_aspect))
    refuse("/model/least_aspect", fmt::format("aspects from {} to {} are none", model.least_aspect, model.most_aspect),
           "", "choose ratios above 0, the lesser first");
  if (model.norm_group < 1)
    refuse("/model/norm_group", fmt::format("{} is no number of ranks", model.norm_group), "",
           "choose 1 for norms of a rank's own samples");
}

Initial of_the_classifier(const Shape&) { return {Initial::Law::normal, 0.01F}; }

/// Padding of a window with stride 2, so that it halves the extent (rounded up).
struct Padding {
  int before = 0, after = 0;
};
Padding padding_of(PaddingStyle style, int kernel, std::int64_t extent) {
  if (style == PaddingStyle::torch) return {kernel / 2, kernel / 2};
  const auto total = static_cast<int>(std::max<std::int64_t>(((extent + 1) / 2 - 1) * 2 + kernel - extent, 0));
  return {total / 2, total - total / 2};  // the odd one stands behind
}

/// Makes the layers of one network.
class Resnet50 {
 public:
  Resnet50(GraphBuilder& builder, const Resnet50Options& model, bool training)
      : builder_(builder), model_(model), training_(training) {}

  TensorId logits(TensorId src) {
    src = norm_relu("conv1", conv("conv1", src, channels(64), 7, 2, {3, 3}));
    const Padding pad = padding_of(model_.padding, 3, extent(src));
    src = builder_.apply("pool", Pool{{3, 3}, {2, 2}, {pad.before, pad.before}, {pad.after, pad.after}}, {src});
    for (std::size_t stage = 0; stage < stages.size(); ++stage) {
      for (int block = 0; block < stages[stage].blocks; ++block) {
        const int stride = block == 0 && stage > 0 ? 2 : 1;
        src = bottleneck(fmt::format("stage{}.block{}", stage + 1, block + 1), src, channels(stages[stage].channels),
                         stride, block == 0);
      }
    }
    const Shape& last = builder_.tensor(src).shape;
    const TensorId mean = builder_.apply("mean", SpatialSum{1.0F / static_cast<float>(last[2] * last[3])}, {src});
    return builder_.dense("fc", mean, model_.classes, DType::f32, of_the_classifier);
  }

 private:
  [[nodiscard]] int channels(int reference) const {
    return std::max(1, static_cast<int>(std::lround(reference * model_.width)));
  }
  [[nodiscard]] std::int64_t extent(TensorId src) const { return builder_.tensor(src).shape[2]; }
  TensorId conv(const std::string& name, TensorId src, int count, int kernel, int stride = 1, Padding pad = {}) {
    const Conv attributes{{kernel, kernel}, {stride, stride}, {pad.before, pad.before}, {pad.after, pad.after}};
    return builder_.conv(name, src, count, attributes, {.weights = he_normal, .with_bias = false});
  }
  TensorId relu(const std::string& name, TensorId src) {
    return builder_.apply(name + ".relu", Activation{.curve = Curve::leaky_relu, .slope = 0.0F, .scale = 1.0F}, {src});
  }
  TensorId norm(const std::string& name, TensorId src) { return builder_.norm(name + ".norm", src, Norm{}, training_); }
  TensorId norm_relu(const std::string& name, TensorId src) { return relu(name, norm(name, src)); }

  TensorId bottleneck(const std::string& name, TensorId src, int count, int stride, bool projects) {
    TensorId main = norm_relu(name + ".conv1", conv(name + ".conv1", src, count, 1));
    const Padding pad = stride == 1 ? Padding{1, 1} : padding_of(model_.padding, 3, extent(src));
    main = norm_relu(name + ".conv2", conv(name + ".conv2", main, count, 3, stride, pad));
    main = norm(name + ".conv3", conv(name + ".conv3", main, expansion * count, 1));
    if (projects) src = norm(name + ".skip", conv(name + ".skip", src, expansion * count, 1, stride));
    return relu(name, builder_.apply(name + ".add", Add{}, {main, src}));
  }

  GraphBuilder& builder_;
  const Resnet50Options& model_;
  bool training_;
};

/// The two definitions differ in whether the label takes part in what it gives away.
CrossEntropy criterion(const Resnet50Options& model, bool training) {
  if (!training) return {};
  const int sharers = model.smoothing == SmoothingStyle::all_classes ? model.classes : model.classes - 1;
  return {.weights = {}, .others = model.label_smoothing / sharers};
}

/// Ends in what loss and metric compare: logits, label, step_state.
std::vector<TensorId> build(GraphBuilder& builder, const Resnet50Options& model, const GraphOptions& options,
                            bool training) {
  require_fitting(model);
  const std::int64_t batch = options.local_batch;
  const TensorId raw = builder.input("image", {batch, colours, model.extent, model.extent}, DType::u8);  // N,C,H,W
  const TensorId labels = builder.input("label", {batch}, DType::i32);
  const TensorId step_state = builder.input("step_state", {step_state_extent(batch)}, DType::u8);
  // ImageNet's means and deviations of red, green and blue; the reference takes the means off and divides by nothing.
  Normalise normalise{{123.675F, 116.28F, 103.53F}, {1.0F / 58.395F, 1.0F / 57.12F, 1.0F / 57.375F}};
  if (model.pixels == PixelStyle::centred) normalise = {{123.68F, 116.78F, 103.94F}, {1.0F, 1.0F, 1.0F}};
  const TensorId src = builder.apply("normalise", normalise, {raw});
  return {Resnet50(builder, model, training).logits(src), labels, step_state};
}

}  // namespace

DataSchema data_schema(const Resnet50Options& model) {
  require_fitting(model);
  const LegalValues classes{.least = 0.0,
                            .most = static_cast<double>(model.classes - 1),
                            .why = fmt::format("labels are classes, of which /model/classes has {}", model.classes)};
  CodedImages images{.least_area = model.least_area,
                     .most_area = model.most_area,
                     .least_aspect = model.least_aspect,
                     .most_aspect = model.most_aspect};
  if (model.plain_from_epoch > 0) images.plain_from_epoch = model.plain_from_epoch;
  return {.fields = {{"image", {model.extent, model.extent, colours}, DType::u8, {}, {"jpeg"}},
                     {"label", {}, DType::i32, classes, {"labels"}}},
          .images = images};
}

Graph training_graph(const Resnet50Options& model, const GraphOptions& options) {
  GraphBuilder builder(options.compute);
  std::vector<TensorId> compared = build(builder, model, options, true);
  if (options.scale_loss || options.compute == DType::f16) compared.push_back(builder.loss_scale());
  builder.apply("loss", Loss{options.global_batch, criterion(model, true)}, std::move(compared));
  return builder.take();
}

Graph evaluation_graph(const Resnet50Options& model, const GraphOptions& options) {
  GraphBuilder builder(options.compute);
  builder.apply("metric", Metric{Judge::top1, criterion(model, false)}, build(builder, model, options, false));
  return builder.take();
}

std::vector<Treatment> treatments(const Resnet50Options&, const Rule& rule, const Graph& graph) {
  // Weights of convolutions and of the dense layer decay, and LARS scales their rate; norms and the bias are left
  // alone.
  const float decay = models::weight_decay_of(rule);
  std::vector<Treatment> treated;
  for (const Tensor& tensor : graph.tensors) {
    if (tensor.role != Role::parameter) continue;
    const bool weights = tensor.name.ends_with(".weights");
    treated.push_back({.decay = weights ? decay : 0.0F, .trusted = weights});
  }
  return treated;
}

namespace models {

std::vector<EvaluationFigure> figures_of(const Resnet50Options&) {
  return {{"eval_accuracy", &Score::quality}, {"eval_loss", &Score::loss}};
}

namespace {

constexpr double least_decay = 1e-4;      // of the reference; the rules let it be doubled or halved any number of times
constexpr double closed_end_rate = 1e-4;  // of the schedule
constexpr std::int64_t closed_eval_every = 4;  // epochs
constexpr std::int64_t free_momentum = 32768;  // batch from which on the momentum may be chosen

bool is_power_of_two(double ratio) {
  int exponent = 0;
  return ratio > 0.0 && std::frexp(ratio, &exponent) == 0.5;
}

void require_closed(Breaches& breaches, const Lars& rule) {
  breaches.require(rule.eta == 0.001F, "/optimizer/eta", as_written(rule.eta), 0.001);
  breaches.require(rule.epsilon == 0.0F, "/optimizer/epsilon", as_written(rule.epsilon), 0);
  breaches.require(rule.form == LarsForm::reference, "/optimizer/form", word(rule.form), word(LarsForm::reference));
}
void require_closed(Breaches&, const SgdMomentum&) {}

template <class Momentum>
void require_closed(Breaches& breaches, const Momentum& rule, const Schedule& schedule, std::int64_t global_batch) {
  require_closed(breaches, rule);
  const double decay = as_written(rule.weight_decay);
  breaches.require(is_power_of_two(decay / least_decay), "/optimizer/weight_decay", decay, "0.0001 times a power of 2");
  const bool is_free = global_batch == 0 || global_batch >= free_momentum;
  breaches.require(is_free || rule.momentum == 0.9F, "/optimizer/momentum", as_written(rule.momentum),
                   fmt::format("0.9 at a batch below {}", free_momentum));
  const auto* falling = std::get_if<PolynomialSchedule>(&schedule);
  breaches.require(falling != nullptr, "/schedule/by", name_of(schedule), "polynomial");
  if (falling == nullptr) return;
  breaches.require(falling->power == 2.0, "/schedule/power", falling->power, 2);
  breaches.require(falling->end_rate == closed_end_rate, "/schedule/end_rate", falling->end_rate, closed_end_rate);
  if constexpr (std::is_same_v<Momentum, SgdMomentum>) {
    const double thousandths = falling->rate / 0.001;  // the rule's own arithmetic
    breaches.require(thousandths == std::floor(thousandths), "/schedule/rate", falling->rate, "a multiple of 0.001");
  }
}

}  // namespace

std::vector<RuleBreach> closed_breaches(const Resnet50Options& model, const Recipe& recipe, const DatasetFacts& data,
                                        const TrainFacts& train) {
  Breaches breaches;
  breaches.require(model.extent == 224, "/model/extent", model.extent, 224);
  breaches.require(model.width == 1.0, "/model/width", model.width, 1);
  breaches.require(model.classes == 1000, "/model/classes", model.classes, 1000);
  breaches.require(model.label_smoothing == 0.0 || model.label_smoothing == 0.1, "/model/label_smoothing",
                   model.label_smoothing, "0 or 0.1");
  const Resnet50Options reference;
  breaches.require(model.least_area == reference.least_area, "/model/least_area", model.least_area,
                   reference.least_area);
  breaches.require(model.most_area == reference.most_area, "/model/most_area", model.most_area, reference.most_area);
  breaches.require(model.least_aspect == reference.least_aspect, "/model/least_aspect", model.least_aspect,
                   reference.least_aspect);
  breaches.require(model.most_aspect == reference.most_aspect, "/model/most_aspect", model.most_aspect,
                   reference.most_aspect);
  breaches.require(model.plain_from_epoch == 0, "/model/plain_from_epoch", model.plain_from_epoch,
                   "0, crops drawn in all epochs");
  breaches.require(data.train_samples == 1281167, "/data/train_samples", data.train_samples, 1281167);
  breaches.require(data.validation_samples == 50000, "/data/validation_samples", data.validation_samples, 50000);
  breaches.require(!data.generated, "/submission/generated_data", "generated samples", "the reference's dataset");
  // The first may stand behind any of epochs 1 to 4: the rules' offset. /train/eval_first is never beyond eval_every.
  breaches.require(train.eval_every == 0 || train.eval_every == closed_eval_every, "/train/eval_every",
                   train.eval_every, fmt::format("{} epochs from one evaluation to the next", closed_eval_every));
  const auto* sgd = std::get_if<SgdMomentum>(&recipe.rule);
  const auto* lars = std::get_if<Lars>(&recipe.rule);
  breaches.require(sgd != nullptr || lars != nullptr, "/optimizer/name", name_of(recipe.rule), "sgd or lars");
  if (sgd != nullptr) require_closed(breaches, *sgd, recipe.schedule, train.global_batch);
  if (lars != nullptr) require_closed(breaches, *lars, recipe.schedule, train.global_batch);
  return std::move(breaches.found);
}

namespace {

/// The rules name these keys by the optimizer, but for the warm-up of sgd.
void log_rule(Metadata& log, const Recipe& recipe, const StepFacts& step) {
  const std::string optimizer(name_of(recipe.rule));
  const auto add = [&](const std::string& key, EventValue value) {
    log.emplace_back(optimizer + "_opt_" + key, std::move(value));
  };
  const auto add_momentum = [&](const auto& rule) {
    add("momentum", as_written(rule.momentum));
    add("weight_decay", as_written(rule.weight_decay));
    log.emplace_back("trainmark_momentum_correction", rule.momentum_correction);
  };
  if (const auto* sgd = std::get_if<SgdMomentum>(&recipe.rule)) add_momentum(*sgd);
  if (const auto* lars = std::get_if<Lars>(&recipe.rule)) {
    add_momentum(*lars);
    log.emplace_back("lars_epsilon", as_written(lars->epsilon));
    log.emplace_back("trainmark_lars_eta", as_written(lars->eta));
    log.emplace_back("trainmark_lars_form", std::string(word(lars->form)));
  }
  add("base_learning_rate", peak_rate_of(recipe.schedule));
  log.emplace_back("trainmark_schedule", std::string(name_of(recipe.schedule)));
  const auto add_fall = [&](const auto& schedule) {
    add("end_learning_rate", schedule.end_rate);
    add("learning_rate_decay_steps", schedule.decay_steps);
    const double epochs = static_cast<double>(schedule.warmup_steps) / static_cast<double>(step.steps_per_epoch);
    const bool in_lars = std::holds_alternative<Lars>(recipe.rule);
    log.emplace_back(in_lars ? "lars_opt_learning_rate_warmup_epochs" : "opt_learning_rate_warmup_epochs", epochs);
  };
  if (const auto* polynomial = std::get_if<PolynomialSchedule>(&recipe.schedule)) {
    add_fall(*polynomial);
    add("learning_rate_decay_poly_power", polynomial->power);
  }
  if (const auto* tanh = std::get_if<TanhSchedule>(&recipe.schedule)) {
    add_fall(*tanh);
    log.emplace_back("trainmark_tanh_interval", std::vector<double>{tanh->lower, tanh->upper});
  }
}

}  // namespace

Metadata logged(const Resnet50Options& model, const Recipe& recipe, const StepFacts& step) {
  Metadata log = {{"opt_name", std::string(name_of(recipe.rule))}};
  log_rule(log, recipe, step);
  log.insert(log.end(), {{"model_bn_span", step.local_batch * model.norm_group},
                         {"label_smoothing", model.label_smoothing},
                         {"trainmark_smoothing", std::string(word(model.smoothing))},
                         {"trainmark_padding", std::string(word(model.padding))},
                         {"trainmark_pixels", std::string(word(model.pixels))},
                         {"trainmark_crop_area", std::vector<double>{model.least_area, model.most_area}},
                         {"trainmark_crop_aspect", std::vector<double>{model.least_aspect, model.most_aspect}},
                         {"trainmark_plain_crops_from_epoch", std::int64_t{model.plain_from_epoch}}});
  return log;
}

}  // namespace models
}  // namespace trainmark

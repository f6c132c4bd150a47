// What a benchmark trains and how: graphs, update rule, schedule, scoring, data schema, the rules of its closed
// division and what its log says of them. Pure functions of a Recipe; each is a visit onto one of
// src/models/<model>.cpp.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "trainmark/nn.hpp"

namespace trainmark {

/// CosmoFlow (MLPerf HPC 1.0 to 3.0; kernel 2 is the network of 0.7).
struct CosmoflowOptions {
  int extent = 128;      ///< voxels along each axis of a sample; divisible by 32
  double width = 1.0;    ///< factor on the channels 32, 64, 128, 256, 512
  int kernel = 3;        ///< 3, or 2 with TensorFlow's asymmetric 'same' padding
  double dropout = 0.0;  ///< after the two hidden dense layers
  /// On the kernels of the first two dense layers, Keras meaning: the gradient is that of the loss plus l2 * sum(w^2).
  /// The loss that is reported is without this term, which Keras' contains.
  double l2 = 0.0;
  bool log_transform = true;
  bool operator==(const CosmoflowOptions&) const = default;
};
/// DeepCAM (MLPerf HPC 1.0 to 3.0; the network of 0.7 has its activations elsewhere).
struct DeepcamOptions {
  int rows = 768, columns = 1152;  ///< of a map; divisible by 16
  double width = 1.0;              ///< factor on the channels 32 to 2048
  int middle_blocks = 16;
  int norm_group = 1;  ///< neighbouring ranks that normalise over their samples together
  bool operator==(const DeepcamOptions&) const = default;
};
/// Where windows with a stride of 2 are padded.
enum class PaddingStyle : std::uint8_t {
  torch,      ///< alike on both sides (PyTorch, MXNet)
  tensorflow  ///< 'same': where one side is enough, behind; the first convolution alike on both
};
template <>
struct Words<PaddingStyle> {
  static constexpr std::array<std::string_view, 2> all = {"torch", "tensorflow"};
};
/// Among which classes label smoothing spreads its share.
enum class SmoothingStyle : std::uint8_t {
  all_classes,   ///< the label among them (TensorFlow)
  other_classes  ///< all but the label (MXNet)
};
template <>
struct Words<SmoothingStyle> {
  static constexpr std::array<std::string_view, 2> all = {"all_classes", "other_classes"};
};
/// What becomes of the pixels' bytes.
enum class PixelStyle : std::uint8_t {
  standardised,  ///< ImageNet's means are taken off, and its deviations divide (MXNet, PyTorch)
  centred        ///< its means are taken off (TensorFlow)
};
template <>
struct Words<PixelStyle> {
  static constexpr std::array<std::string_view, 2> all = {"standardised", "centred"};
};
/// ResNet-50 v1.5 (MLPerf Training 0.5 to 4.0).
struct Resnet50Options {
  int extent = 224;    ///< pixels along each side of an image; at least 32
  double width = 1.0;  ///< factor on the channels 64 to 2048
  int classes = 1000;
  PaddingStyle padding = PaddingStyle::torch;
  PixelStyle pixels = PixelStyle::standardised;
  double label_smoothing = 0.1;
  SmoothingStyle smoothing = SmoothingStyle::all_classes;
  int norm_group = 1;  ///< neighbouring ranks that normalise over their samples together
  // Of training's random crops:
  double least_area = 0.05, most_area = 1.0;            ///< share of the image
  double least_aspect = 0.75, most_aspect = 4.0 / 3.0;  ///< width over height
  int plain_from_epoch = 0;  ///< from this epoch on, counted from 0, centre crops without flips; 0: never
  bool operator==(const Resnet50Options&) const = default;
};
using ModelOptions = std::variant<CosmoflowOptions, DeepcamOptions, Resnet50Options>;
/// The alternatives of ModelOptions, in their order.
enum class Workload : std::uint8_t { cosmoflow, deepcam, resnet50 };
template <>
struct Words<Workload> {
  static constexpr std::array<std::string_view, std::variant_size_v<ModelOptions>> all = {"cosmoflow", "deepcam",
                                                                                          "resnet50"};
};

/// What is trained and how its parameters are updated. The defaults are CosmoFlow's.
struct Recipe {
  ModelOptions model;
  Rule rule;
  Schedule schedule;          ///< as written; at a batch it is what schedule_of says
  BatchScaling scaling = {};  ///< of the schedule's rates
  bool operator==(const Recipe&) const = default;
};
/// The schedule that an update at this global batch follows.
[[nodiscard]] Schedule schedule_of(const Recipe& recipe, std::int64_t global_batch);

// --- Graphs ----------------------------------------------------------------------------------------------------------

/// The values of one channel of a dataset, which a model may map to [0, 1].
struct ChannelRange {
  double least = 0.0, most = 1.0;
};
struct GraphOptions {
  std::int64_t local_batch = 1;
  std::int64_t global_batch = 1;  ///< of a whole step
  DType compute = DType::f32;
  std::uint64_t seed = 0;                   ///< of dropout
  bool scale_loss = false;                  ///< keep a dynamic loss scale; f16 always does
  std::vector<ChannelRange> channels = {};  ///< of the data; empty: they are in [0, 1]
};
struct StepOptions {
  GraphOptions graph;
  Grouping grouping = {};               ///< of gradients on their way over ranks
  std::int64_t accumulation_steps = 1;  ///< batches of a rank in one step, one after the other
  LossScaling scaling = {};
  int ranks = 1;
  bool averages_statistics = true;  ///< of norms, before an evaluation
};
/// What a run launches.
struct StepGraphs {
  Graph last;                    ///< of a step's batches the last or only one: forward, backward, reduction, update
  std::optional<Graph> earlier;  ///< of its other batches: forward, backward, sum of gradients
  Graph evaluation;              ///< forward, ends in Metric
  /// Where norms keep statistics of a rank's own: their mean over ranks, for all to evaluate alike.
  std::optional<Graph> average;
};
/// The only place that assembles a step. Raises Error{usage} where the model's options are impossible.
[[nodiscard]] StepGraphs graphs_of(const Recipe& recipe, const StepOptions& options);
[[nodiscard]] Graph forward_of(const ModelOptions& model, const GraphOptions& options);  ///< training's, ends in Loss

// --- What a run and its log have to know -----------------------------------------------------------------------------

[[nodiscard]] std::string_view benchmark_of(const ModelOptions& model);  ///< MLPerf's name, e.g. "cosmoflow"
[[nodiscard]] DataSchema schema_of(const ModelOptions& model);
/// Of an image whose channels are mapped to [0, 1] by their range over the dataset; 0 where nothing is.
[[nodiscard]] int channels_of(const ModelOptions& model);
/// What becomes of training samples that fill no whole batch.
enum class Remainder : std::uint8_t {
  refused,   ///< there are to be none
  left_out,  ///< others in each epoch
  filled_up  ///< the last batch takes what it lacks from the epoch's beginning
};
[[nodiscard]] Remainder remainder_of(const ModelOptions& model);
[[nodiscard]] int norm_group_of(const ModelOptions& model);  ///< ranks that normalise over their samples together

/// One figure of an evaluation: the log's name for it, and the sum over samples that it is the mean of.
struct EvaluationFigure {
  std::string key;
  double Score::*sum = &Score::quality;
};
/// Never empty. The first figure is the one that the quality target judges.
[[nodiscard]] std::vector<EvaluationFigure> figures_of(const ModelOptions& model);

/// One way in which a run differs from the reference, with what the closed division asks for.
struct RuleBreach {
  std::string subject;  ///< e.g. "/model/extent"
  std::string found;
  std::string required;
};
struct DatasetFacts {
  std::int64_t train_samples = 0;
  std::int64_t validation_samples = 0;
  bool generated = false;
};
/// How a run trains, as far as rules look at it. 0: not known, and what depends on it is not looked at.
struct TrainFacts {
  std::int64_t global_batch = 0;
  std::int64_t eval_every = 0;  ///< epochs from one evaluation to the next
};
[[nodiscard]] std::vector<RuleBreach> closed_breaches(const Recipe& recipe, const DatasetFacts& data,
                                                      const TrainFacts& train = {});
/// Of the reference convergence points of the benchmark's latest rules the largest batch.
[[nodiscard]] std::int64_t largest_reference_batch(const ModelOptions& model);

/// Under which the log says in how many parts a step is computed.
[[nodiscard]] std::string_view accumulation_key_of(const ModelOptions& model);
/// Of a launch, what some hyper-parameters are counted in or follow.
struct StepFacts {
  std::int64_t global_batch = 1;
  std::int64_t local_batch = 1;
  std::int64_t steps_per_epoch = 1;
};
/// Hyper-parameters under the names that the benchmark's rules give them, in the order in which they are logged.
[[nodiscard]] Metadata logged(const Recipe& recipe, const StepFacts& step);

// --- DeepCAM ---------------------------------------------------------------------------------------------------------

/// data: f32 [H,W,16]; labels: u8 [H,W], 0 to 2.
[[nodiscard]] DataSchema data_schema(const DeepcamOptions& model);
[[nodiscard]] Graph training_graph(const DeepcamOptions& model, const GraphOptions& options);
[[nodiscard]] Graph evaluation_graph(const DeepcamOptions& model, const GraphOptions& options);
[[nodiscard]] std::vector<Treatment> treatments(const DeepcamOptions& model, const Rule& rule, const Graph& graph);

// --- ResNet-50 -------------------------------------------------------------------------------------------------------

/// image: u8 [S,S,3], red, green, blue, decoded from JPEGs; label: i32, from 0 on.
[[nodiscard]] DataSchema data_schema(const Resnet50Options& model);
[[nodiscard]] Graph training_graph(const Resnet50Options& model, const GraphOptions& options);
[[nodiscard]] Graph evaluation_graph(const Resnet50Options& model, const GraphOptions& options);
[[nodiscard]] std::vector<Treatment> treatments(const Resnet50Options& model, const Rule& rule, const Graph& graph);

// --- CosmoFlow -------------------------------------------------------------------------------------------------------

/// x: i16 [D,H,W,4], counts from 0 on (not all 0 without log_transform); y: f32 [4] within 1.2 of 0.
[[nodiscard]] DataSchema data_schema(const CosmoflowOptions& model);
[[nodiscard]] Graph training_graph(const CosmoflowOptions& model, const GraphOptions& options);
[[nodiscard]] Graph evaluation_graph(const CosmoflowOptions& model, const GraphOptions& options);
/// How each parameter of the model's graph is updated, in the order of the arena.
[[nodiscard]] std::vector<Treatment> treatments(const CosmoflowOptions& model, const Rule& rule, const Graph& graph);

}  // namespace trainmark

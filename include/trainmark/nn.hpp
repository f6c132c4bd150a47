// A network, and a whole training step, as plain data: tensors, nodes and the rewrites Graph -> Graph that make a step
// out of a forward pass. No device, no MPI, no JSON, no memory.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "trainmark/core.hpp"
#include "trainmark/optim.hpp"

namespace trainmark {

// --- Operations: attribute structs without behaviour. Every visitor names each of them or does not compile.
// ----------- Shapes are logical: N,C,[D,]H,W. Operand orders stand beside each operation as (inputs) -> (outputs).

struct Conv {                                       // (src, weights[O,I/groups,kD,kH,kW] [, bias[O]]) -> (dst)
  std::vector<int> kernel, stride, pad_lo, pad_hi;  // one entry per spatial axis
  std::vector<int> dilation = {};                   // distance of taps, likewise; empty: 1 along each axis
  int groups = 1;  // of channels: each part of the input's makes its part of the output's; I groups are depthwise
  static constexpr std::string_view name = "Conv";
  bool operator==(const Conv&) const = default;
};
struct Pool {  // max pooling: (src) -> (dst)
  std::vector<int> kernel, stride;
  std::vector<int> pad_lo = {}, pad_hi = {};  // of elements that never win, fewer than the kernel's; empty: none
  static constexpr std::string_view name = "Pool";
  bool operator==(const Pool&) const = default;
};
struct Dense {  // (src[N,...], weights[O,I], bias[O]) -> (dst[N,O]); a volume is flattened D,H,W,C with C fastest
  static constexpr std::string_view name = "Dense";
  bool operator==(const Dense&) const = default;
};
enum class Curve : std::uint8_t { leaky_relu, tanh };
struct Activation {  // (src) -> (dst): leaky_relu: x > 0 ? x : slope x; tanh: scale tanh(x)
  Curve curve = Curve::leaky_relu;
  float slope = 0.3F;
  float scale = 1.0F;
  static constexpr std::string_view name = "Activation";
  bool operator==(const Activation&) const = default;
};
struct Dropout {  // (src, step_state) -> (dst): inverted scaling; the mask is a function of (seed, epoch, sample id,
                  // layer, unit)
  float rate = 0.0F;
  std::uint64_t seed = 0;
  std::uint32_t layer = 0;
  static constexpr std::string_view name = "Dropout";
  bool operator==(const Dropout&) const = default;
};
struct Add {  // (a, b) -> (sum), of one shape and type
  static constexpr std::string_view name = "Add";
  bool operator==(const Add&) const = default;
};
struct Concat {  // (parts...) -> (dst): channels beside each other, in this order; all other extents are equal
  static constexpr std::string_view name = "Concat";
  bool operator==(const Concat&) const = default;
};
struct Preprocess {  // (raw, channels-last i16/f32) -> (dst): log(1 + x), or x / (mean of x's sample)
  bool log_transform = true;
  static constexpr std::string_view name = "Preprocess";
  bool operator==(const Preprocess&) const = default;
};
struct Normalise {  // (raw, channels-last f32 or u8) -> (dst): (x - shift[c]) scale[c]
  std::vector<float> shift, scale;
  static constexpr std::string_view name = "Normalise";
  bool operator==(const Normalise&) const = default;
};
struct SpatialSum {  // (src[N,C,...]) -> (dst[N,C,1...]): factor times the sum over all spatial positions
  float factor = 1.0F;
  static constexpr std::string_view name = "SpatialSum";
  bool operator==(const SpatialSum&) const = default;
};
struct Tile {  // (src[N,C,1...]) -> (dst[N,C,extents]): factor times src at each position
  std::vector<std::int64_t> extents;
  float factor = 1.0F;
  static constexpr std::string_view name = "Tile";
  bool operator==(const Tile&) const = default;
};

/// Batch norm: each channel is brought to mean 0 and variance 1 over the samples and positions of `ranks` ranks.
/// In training that is four operations, so that ranks of a group may add their moments up in between.
struct Norm {
  float epsilon = 1e-5F;
  float momentum = 0.1F;  ///< PyTorch's: running = (1 - momentum) running + momentum (mean, unbiased variance)
  int ranks = 1;          ///< whose samples the moments are of
  bool operator==(const Norm&) const = default;
};
struct NormMoments {  // (src) -> (moments f64[2,C]): sums of x and of x^2
  static constexpr std::string_view name = "NormMoments";
  bool operator==(const NormMoments&) const = default;
};
struct NormApply {  // (src, moments, gamma[C], beta[C], running_mean[C], running_variance[C]) -> (dst); moves the
                    // running statistics
  Norm norm;
  static constexpr std::string_view name = "NormApply";
  bool operator==(const NormApply&) const = default;
};
struct NormInference {  // (src, gamma[C], beta[C], running_mean[C], running_variance[C]) -> (dst)
  Norm norm;
  static constexpr std::string_view name = "NormInference";
  bool operator==(const NormInference&) const = default;
};
struct NormGradients {  // (src, moments, diff_dst) -> (diff_gamma, diff_beta, sums f64[2,C]: those of diff_dst times
  Norm norm;            // the normalised x, and of diff_dst, which are the first two again)
  static constexpr std::string_view name = "NormGradients";
  bool operator==(const NormGradients&) const = default;
};
struct NormBackward {  // (src, moments, gamma, sums, diff_dst) -> (diff_src)
  Norm norm;
  static constexpr std::string_view name = "NormBackward";
  bool operator==(const NormBackward&) const = default;
};

struct SquaredError {  // of prediction[N,K] f32 and target[N,K] f32; of a sample the mean over K
  bool operator==(const SquaredError&) const = default;
};
struct CrossEntropy {  // of softmax(logits[N,K,...]), in fp32 whatever their type, and labels[N,...] u8 or i32 below K:
                       // -weight[label] sum over k of q[k] log p[k]; of a sample the mean over positions, undivided by
                       // weights. q is `others` for every class but the label, which has the rest of 1
  std::vector<float> weights = {};  // by class; empty: all are 1
  double others = 0.0;              // above 0: smoothed labels
  bool operator==(const CrossEntropy&) const = default;
};
using Criterion = std::variant<SquaredError, CrossEntropy>;
struct Loss {  // (prediction, target, step_state [, loss_scale]) -> (value[1], diff_prediction)
  // value = sum over this rank's valid samples of the criterion / global_batch; diff is its derivative.
  // A loss scale multiplies diff, never the value.
  std::int64_t global_batch = 1;
  Criterion criterion = {};
  static constexpr std::string_view name = "Loss";
  bool operator==(const Loss&) const = default;
};
/// What an evaluation judges a sample by.
enum class Judge : std::uint8_t {
  absolute_error,  ///< of each output, which is counted by itself
  mean_iou,        ///< mean over classes of the intersection over union of a sample's labels; 1 for a class without any
  top1             ///< share of a sample's positions whose largest logit, the first of equals, is the label's
};
struct Metric {  // (prediction, target, step_state) -> (sums f64[3], a Score): adds what `judge` and the criterion make
                 // of each valid sample
  Judge judge = Judge::absolute_error;
  Criterion criterion = {};
  static constexpr std::string_view name = "Metric";
  bool operator==(const Metric&) const = default;
};
/// What an evaluation adds up over the samples that count. Each figure of it is one of the sums over `count`.
struct Score {
  double quality = 0.0;  ///< CosmoFlow: absolute errors; DeepCAM: intersections over union; ResNet-50: right answers
  double loss = 0.0;
  double count = 0.0;  ///< of what the other two are sums
  bool operator==(const Score&) const = default;
};
struct ConvBackwardData {  // (diff_dst, weights) -> (diff_src); as a forward operation a transposed convolution, whose
  Conv conv;               // weights[I,O/groups,...] are those of `conv`, from its result back to its source
  std::vector<std::int64_t> src_extents = {};  // of the spatial axes; empty: the smallest that `conv` takes to diff_dst
  static constexpr std::string_view name = "ConvBackwardData";
  bool operator==(const ConvBackwardData&) const = default;
};
struct ConvBackwardWeights {  // (src, diff_dst) -> (diff_weights [, diff_bias])
  Conv conv;
  bool packed = false;  // both are left to an UnpackGradients, as it takes them
  static constexpr std::string_view name = "ConvBackwardWeights";
  bool operator==(const ConvBackwardWeights&) const = default;
};
struct PoolBackward {  // (src, diff_dst) -> (diff_src); the first maximum of a window takes it all
  Pool pool;
  static constexpr std::string_view name = "PoolBackward";
  bool operator==(const PoolBackward&) const = default;
};
struct DenseBackwardData {  // (diff_dst, weights) -> (diff_src)
  static constexpr std::string_view name = "DenseBackwardData";
  bool operator==(const DenseBackwardData&) const = default;
};
struct DenseBackwardWeights {  // (src, diff_dst) -> (diff_weights, diff_bias)
  static constexpr std::string_view name = "DenseBackwardWeights";
  bool operator==(const DenseBackwardWeights&) const = default;
};
struct ActivationBackward {  // (dst, diff_dst) -> (diff_src): both curves invert from their output
  Activation activation;
  static constexpr std::string_view name = "ActivationBackward";
  bool operator==(const ActivationBackward&) const = default;
};
struct DropoutBackward {  // (diff_dst, step_state) -> (diff_src)
  Dropout dropout;
  static constexpr std::string_view name = "DropoutBackward";
  bool operator==(const DropoutBackward&) const = default;
};
struct Slice {  // (src) -> (dst): these channels of it; what Concat gives back to one of its parts
  Range channels;
  static constexpr std::string_view name = "Slice";
  bool operator==(const Slice&) const = default;
};
struct Accumulate {  // (gradients...) -> (): adds the elements [begin, end) of the gradient arena to their sum over the
                     // step's earlier batches; at the last one the gradients become that sum, which starts anew
  Range range;
  bool last = false;
  static constexpr std::string_view name = "Accumulate";
  bool operator==(const Accumulate&) const = default;
};
struct AllReduce {  // (gradients...) -> (): sums the elements [begin, end) of the gradient arena over all ranks
  Range range;
  DType wire = DType::f32;  ///< that ranks send, bf16 and f16 too: their values are rounded to it, and so is the sum
  static constexpr std::string_view name = "AllReduce";
  bool operator==(const AllReduce&) const = default;
};
struct GradientCheck {  // (gradients..., loss_scale) -> (): raises found_inf where an element of [begin, end) of the
  Range range;          // gradient arena is not finite; works on summed gradients, so ranks need not agree on it
  static constexpr std::string_view name = "GradientCheck";
  bool operator==(const GradientCheck&) const = default;
};
struct SquaredNorm {  // (gradients...) -> (sum f64[1]): of the squares of the elements [begin, end) of the gradient
  Range range;        // arena, as they are: a loss scale is not taken off
  static constexpr std::string_view name = "SquaredNorm";
  bool operator==(const SquaredNorm&) const = default;
};
struct CountUpdate {  // (update_count [, loss_scale]) -> (): one more, unless the loss scale skips this step
  bool scaled = false;
  static constexpr std::string_view name = "CountUpdate";
  bool operator==(const CountUpdate&) const = default;
};
/// One tensor of the parameter arena, or several neighbours where a rule looks at elements alone.
struct Segment {
  Range range;
  Treatment treatment = {};
  bool operator==(const Segment&) const = default;
};
struct Update {  // (gradients..., step_state [, update_count] [, squared norm of each bucket...] [, loss_scale]) -> ():
                 // updates a stretch of the parameter arena
  Rule rule;
  std::vector<Segment> segments;  // side by side
  int norms = 0;                  // squared norms, which together are those of all gradients
  bool scaled = false;  // there is a loss scale: gradients are divided by it, and found_inf leaves everything as it is
  [[nodiscard]] Range range() const { return {segments.front().range.begin, segments.back().range.end}; }
  static constexpr std::string_view name = "Update";
};
struct AverageStatistics {  // () -> (): the elements [0, elements) of the statistic arena become their mean over ranks
  std::int64_t elements = 0;
  int ranks = 1;
  static constexpr std::string_view name = "AverageStatistics";
  bool operator==(const AverageStatistics&) const = default;
};
struct SumOverGroup {  // (values f64) -> (sums f64): over the ranks of a group of batch norm
  int ranks = 1;
  static constexpr std::string_view name = "SumOverGroup";
  bool operator==(const SumOverGroup&) const = default;
};
struct AdjustLossScale {  // (loss_scale) -> (): the step's last word on it, see optim.hpp's adjust
  LossScaling rule;
  static constexpr std::string_view name = "AdjustLossScale";
  bool operator==(const AdjustLossScale&) const = default;
};

// Fused blocks, one bounded block per family; made by a backend's fuse(), never by a model.
struct ConvBlock {  // (src, weights[, bias]) -> (dst [, winner u8]): conv, activation, max pool. With pool, dst is the
                    // pooled
  Conv conv;        // tensor and `winner` tells which of a window's elements won and on which side of zero it lay
  Activation activation;
  bool has_pool = false;
  Pool pool;
  static constexpr std::string_view name = "ConvBlock";
  bool operator==(const ConvBlock&) const = default;
};
struct PoolActivationBackward {  // (src = activated conv output, diff_dst) -> (diff of the convolution's output), in
                                 // place on src
  Pool pool;
  Activation activation;
  static constexpr std::string_view name = "PoolActivationBackward";
  bool operator==(const PoolActivationBackward&) const = default;
};
struct ConvBlockBackwardWeights {  // (src, winner, diff of the pooled tensor) -> (diff_weights, diff_bias [, diff of
                                   // the convolution's output, for a data gradient])
  ConvBlock block;
  bool packed = false;  // the first two are left to an UnpackGradients
  static constexpr std::string_view name = "ConvBlockBackwardWeights";
  bool operator==(const ConvBlockBackwardWeights&) const = default;
};

struct DenseBlock {  // (src, weights, bias [, step_state]) -> (active [, dst]): dense, activation and perhaps dropout
  Activation activation;
  std::optional<Dropout> dropout;  // makes dst
  static constexpr std::string_view name = "DenseBlock";
  bool operator==(const DenseBlock&) const = default;
};
struct DenseBlockBackwardData {  // (diff_dst, weights, active [, step_state]) -> (diff of the dense result below): also
  DenseBlock below;              // back through activation and dropout of the layer that made the source
  static constexpr std::string_view name = "DenseBlockBackwardData";
};
struct PackWeights {  // (weights...) -> (packed...): as a backend's convolutions without groups read them
  static constexpr std::string_view name = "PackWeights";
};
struct UnpackGradients {  // (packed or sums...) -> (gradients...): from there; a bias's of f32[parts, padded channels]
  static constexpr std::string_view name = "UnpackGradients";
};

using Op =
    std::variant<Conv, Pool, Dense, Activation, Dropout, Add, Concat, Preprocess, Normalise, SpatialSum, Tile,
                 NormMoments, NormApply, NormInference, Loss, Metric, ConvBackwardData, ConvBackwardWeights,
                 PoolBackward, DenseBackwardData, DenseBackwardWeights, ActivationBackward, DropoutBackward, Slice,
                 NormGradients, NormBackward, Accumulate, AllReduce, SumOverGroup, AverageStatistics, GradientCheck,
                 SquaredNorm, CountUpdate, Update, AdjustLossScale, ConvBlock, PoolActivationBackward,
                 ConvBlockBackwardWeights, DenseBlock, DenseBlockBackwardData, PackWeights, UnpackGradients>;
[[nodiscard]] std::string_view name_of(const Op& op);

/// Elements of a spatial axis from the first tap of a window to its last.
[[nodiscard]] int reach_of(const Conv& conv, std::size_t axis);
/// Extent of the result along a spatial axis; below 1 where the window does not fit.
[[nodiscard]] std::int64_t convolved_extent(const Conv& conv, std::size_t axis, std::int64_t src);

/// Extent of a graph's step_state input (u8): what the host says about a step, and one sample id (i64) for each sample
/// of the batch. backend.hpp's StepState is its layout.
[[nodiscard]] constexpr std::int64_t step_state_extent(std::int64_t local_batch) { return 24 + 8 * local_batch; }
/// Extent of a graph's loss_scale (u8). optim.hpp's LossScale is its layout.
inline constexpr std::int64_t loss_scale_extent = 24;
/// Of a graph's update_count (u8). optim.hpp's UpdateCount is its layout.
inline constexpr std::int64_t update_count_extent = 8;

/// The memories that nodes touch. Ranges of different ones never overlap.
enum class Space : std::uint8_t {
  pool,          ///< activations
  input,         ///< what arrives with a batch
  parameter,     ///< fp32, as all arenas down to `statistic`
  gradient,      ///< and behind the parameters' gradients the value of the loss
  gradient_sum,  ///< of a step's earlier batches
  slot,          ///< of the optimizer: arrays of the parameters' size, one behind the other
  statistic,     ///< running statistics of norms
  metric,        ///< a Score
  loss_scale,
  update_count
};
/// Elements of an arena that an operation works on although no operand says so.
struct ArenaUse {
  Space space = Space::gradient;
  Range range;
  bool writes = false;
  int slot = 0;  ///< which array of the optimizer's
};
/// Empty for what works on operands alone. Otherwise the operation's plan takes a pointer to each of these, in this
/// order, and behind them its operands that are not gradients.
[[nodiscard]] std::vector<ArenaUse> arena_uses(const Op& op);
/// Whether it changes those of its operands in place that are state: loss scale, update count, running statistics.
[[nodiscard]] bool changes_state(const Op& op);

// --- Graph -----------------------------------------------------------------------------------------------------------

/// What keeps a tensor alive and where it lives.
enum class Role : std::uint8_t {
  input,       ///< arrives with the batch, in one of two device slots
  activation,  ///< lives between its producer and its last consumer in the pool
  parameter,   ///< a range of ModelState's parameter arena
  gradient,    ///< a range of the gradient arena (the loss value is its last element, so it is summed with the rest)
  metric,      ///< accumulates over an evaluation: f64 sums in device memory
  scaler,      ///< ModelState's loss scale
  counter,     ///< ModelState's count of updates
  statistic,   ///< a range of the arena of running statistics
};

/// The law that a tensor's initial values follow. Each is drawn as a function of (seed, tensor, element).
struct Initial {
  enum class Law : std::uint8_t { constant, uniform, normal } law = Law::constant;
  float scale = 0.0F;  ///< the constant; half the width of the uniform interval around 0; the standard deviation
  bool operator==(const Initial&) const = default;
};
/// Inputs of one output element, for weights [O,I/groups,kernel...].
[[nodiscard]] std::int64_t fan_in_of(const Shape& weights);
[[nodiscard]] Initial glorot_uniform(const Shape& weights);  ///< Keras' default; of weights without groups
[[nodiscard]] Initial he_normal(const Shape& weights);       ///< for ReLU, by fan-in
[[nodiscard]] Initial torch_uniform(const Shape& weights);   ///< PyTorch's default: uniform within 1 / sqrt(fan-in)

using TensorId = int;
struct Tensor {
  std::string name;  // e.g. "conv1.weights", "conv1.dst", "diff:conv1.dst"
  Shape shape;
  DType dtype = DType::f32;
  Role role = Role::activation;
  std::int64_t offset = 0;  // parameter, gradient and statistic: first element in the arena
  Initial initial = {};     // parameter and statistic
};

enum class Lane : std::uint8_t { compute, communication, copy };

struct Node {
  std::string name;
  Op op;
  std::vector<TensorId> inputs;
  std::vector<TensorId> outputs;
  Lane lane = Lane::compute;
};

/// Nodes stand in an order in which they may run; it is the same on all ranks.
struct Graph {
  std::vector<Tensor> tensors;
  std::vector<Node> nodes;

  TensorId add(Tensor tensor);
  [[nodiscard]] TensorId find(std::string_view name) const;  ///< contract: it exists
  [[nodiscard]] std::int64_t parameter_elements() const;
  [[nodiscard]] std::int64_t statistic_elements() const;
  [[nodiscard]] std::int64_t gradient_elements() const;  ///< parameters plus the loss value
};

/// Output shapes, types and roles of an operation; names and offsets stay open. Types follow the (first) input; what a
/// graph's tensor says counts. Raises Error{usage} with node, shapes and remedy where they do not fit.
[[nodiscard]] std::vector<Tensor> infer(const Op& op, const std::vector<Tensor>& inputs, std::string_view node = {});

/// What a node costs by the dense count: every tap of a padded convolution counts.
struct Cost {
  std::int64_t macs = 0;        ///< multiply-accumulates
  std::int64_t flops = 0;       ///< 2 * macs, plus element-wise work
  std::int64_t bytes = 0;       ///< read and written once each
  std::int64_t parameters = 0;  ///< elements of parameters read
  Cost& operator+=(const Cost& other);
};
[[nodiscard]] Cost cost(const Graph& graph, const Node& node);
[[nodiscard]] Cost cost(const Graph& graph);

/// Builds a forward graph node by node; shapes are inferred on the way. Parameters lie in the arena in order of
/// creation.
class GraphBuilder {
 public:
  /// `compute` is the element type of activations (f32, bf16 or f16); parameters and gradients are always f32.
  explicit GraphBuilder(DType compute) : compute_(compute) {}
  TensorId input(std::string name, Shape shape, DType dtype);
  TensorId parameter(std::string name, Shape shape, Initial initial = {});
  TensorId loss_scale();  ///< the tensor of that name, for a Loss that takes one
  /// Returns the first output, which is named "<name>.dst" ("<name>.value", "<name>.sums" of a loss and a metric).
  /// `result` overrides its element type, e.g. to leave bf16 before the loss.
  TensorId apply(const std::string& name, const Op& op, std::vector<TensorId> inputs, std::optional<DType> result = {});
  /// How a layer's parameters begin, and whether there is a bias.
  struct Parameters {
    Initial (*weights)(const Shape&) = glorot_uniform;
    bool with_bias = true;
    Initial bias = {};
  };
  /// Makes the weights and, if wanted, one bias value a channel.
  TensorId conv(const std::string& name, TensorId src, int channels, const Conv& attributes,
                const Parameters& parameters = {glorot_uniform, true, {}});
  /// The way back through a convolution `attributes` that takes `extents` (one a spatial axis) to those of `src`; makes
  /// the weights.
  TensorId conv_transposed(const std::string& name, TensorId src, int channels, const Conv& attributes,
                           std::vector<std::int64_t> extents, Initial (*weights)(const Shape&) = glorot_uniform);
  TensorId dense(const std::string& name, TensorId src, int units, std::optional<DType> result = {},
                 Initial (*weights)(const Shape&) = glorot_uniform);
  /// Makes gamma (1), beta (0), running_mean (0) and running_variance (1). In training over the batch, else by the
  /// running statistics.
  TensorId norm(const std::string& name, TensorId src, const Norm& attributes, bool training);
  [[nodiscard]] const Tensor& tensor(TensorId id) const { return graph_.tensors.at(static_cast<std::size_t>(id)); }
  [[nodiscard]] Graph take() { return std::move(graph_); }

 private:
  DType compute_;
  Graph graph_;
};

/// Appends the backward pass of a graph that ends in its one Loss: a gradient for every parameter, weight gradients
/// before data gradients. Nothing flows into `input` tensors. A tensor may have any number of readers (what they give
/// back is summed by Add nodes), a parameter has one.
[[nodiscard]] Graph differentiate(Graph forward);

/// Appends to a differentiated graph what keeps its gradients and its loss for later batches of the same step.
[[nodiscard]] Graph accumulate(Graph graph);

/// Lets the ranks of groups of `ranks` neighbours normalise over their samples together: what norms sum over this
/// rank's batch is summed over its group before it is used, forward and backward.
[[nodiscard]] Graph group_norms(Graph graph, int ranks);

/// Which gradients travel together in a sum over ranks: whole tensors, neighbours in the arena, those of the output's
/// side first, which are ready first. It follows from the graph alone: no rank has to ask another what is ready.
struct Grouping {
  std::int64_t bytes = 4 << 20;  ///< that a bucket holds at least, unless it is the last
  /// Where it is not empty, instead: a bucket ends behind so many tensors, ascending, counted from the output; the last
  /// bucket takes what is left.
  std::vector<std::int64_t> ends = {};
  /// Norms' scales and shifts wait for a bucket of their own at the end; of a graph that norms_in_front() has arranged.
  bool norms_last = false;
  /// In which gradients travel. The loss value, and norms that wait for a bucket of their own, stay in fp32 (as
  /// Fujitsu's: there is little of them).
  DType wire = DType::f32;
};
/// Ends behind 3 n^3 tensors: few at first, which leave early, then more and more (Fujitsu's of round 0.6; of
/// ResNet-50's 161 tensors the buckets take 3, 21, 57 and 80).
[[nodiscard]] std::vector<std::int64_t> cubic_ends();
/// Moves norms' scales and shifts to the front of the arena (and their gradients likewise), so that they are
/// neighbours. All graphs that share a state have to be arranged alike.
[[nodiscard]] Graph norms_in_front(Graph graph);

/// Appends bucketed AllReduce nodes (placed as soon as a bucket's last gradient is there, on the communication lane)
/// and the updates.
/// `treatments` are the parameters' in the order of the graph's tensors; none: all alike, without decay. Where the rule
/// takes the norm of all gradients, that is measured before the first update. Where the loss takes a loss scale,
/// gradients are checked after their sum, all of them before the first update, and `scaling` moves the scale at the
/// end. With `accumulated` a bucket first takes in what accumulate() kept of earlier batches.
[[nodiscard]] Graph reduce_and_update(Graph graph, const Grouping& grouping, const Rule& rule,
                                      const std::vector<Treatment>& treatments, const LossScaling& scaling = {},
                                      bool accumulated = false);

}  // namespace trainmark

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
struct Pool {  // max pooling, 'valid': (src) -> (dst)
  std::vector<int> kernel, stride;
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
struct Loss {  // mean squared error: (prediction[N,K], target[N,K], step_state [, loss_scale])
               // -> (value[1], diff_prediction[N,K])
  // value = sum over this rank's valid samples of (p - y)^2 / (K global_batch); diff seeded with 1 / global_batch.
  // A loss scale multiplies diff, never the value.
  std::int64_t global_batch = 1;
  static constexpr std::string_view name = "Loss";
  bool operator==(const Loss&) const = default;
};
struct Metric {  // (prediction[N,K], target[N,K], step_state) -> (sums f64[3], a Score): adds |p - y|, (p - y)^2 and
                 // one for each output of a valid sample
  static constexpr std::string_view name = "Metric";
  bool operator==(const Metric&) const = default;
};
/// What an evaluation adds up over the samples that count. Each figure of it is one of the sums over `count`.
struct Score {
  double quality = 0.0;  ///< CosmoFlow: absolute errors
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
  static constexpr std::string_view name = "AllReduce";
  bool operator==(const AllReduce&) const = default;
};
struct GradientCheck {  // (gradients..., loss_scale) -> (): raises found_inf where an element of [begin, end) of the
  Range range;          // gradient arena is not finite; works on summed gradients, so ranks need not agree on it
  static constexpr std::string_view name = "GradientCheck";
  bool operator==(const GradientCheck&) const = default;
};
struct Update {  // (gradients..., step_state [, loss_scale]) -> (): updates the elements [begin, end) of the parameter
                 // arena
  Rule rule;
  float decay = 0.0F;  // added to the gradient as decay * weight (Keras L2 of c is decay 2c)
  Range range;
  bool scaled = false;  // there is a loss scale: gradients are divided by it, and found_inf leaves everything as it is
  static constexpr std::string_view name = "Update";
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
  static constexpr std::string_view name = "ConvBlockBackwardWeights";
  bool operator==(const ConvBlockBackwardWeights&) const = default;
};

using Op = std::variant<Conv, Pool, Dense, Activation, Dropout, Add, Concat, Preprocess, Loss, Metric, ConvBackwardData,
                        ConvBackwardWeights, PoolBackward, DenseBackwardData, DenseBackwardWeights, ActivationBackward,
                        DropoutBackward, Slice, Accumulate, AllReduce, GradientCheck, Update, AdjustLossScale,
                        ConvBlock, PoolActivationBackward, ConvBlockBackwardWeights>;
[[nodiscard]] std::string_view name_of(const Op& op);

/// Elements of a spatial axis from the first tap of a window to its last.
[[nodiscard]] int reach_of(const Conv& conv, std::size_t axis);
/// Extent of the result along a spatial axis; below 1 where the window does not fit.
[[nodiscard]] std::int64_t convolved_extent(const Conv& conv, std::size_t axis, std::int64_t src);

/// Extent of a graph's step_state input (u8): what the host says about a step, and one sample id (i64) for each sample
/// of the batch. backend.hpp's StepState is its layout.
[[nodiscard]] constexpr std::int64_t step_state_extent(std::int64_t local_batch) { return 16 + 8 * local_batch; }
/// Extent of a graph's loss_scale (u8). optim.hpp's LossScale is its layout.
inline constexpr std::int64_t loss_scale_extent = 24;

// --- Graph -----------------------------------------------------------------------------------------------------------

/// What keeps a tensor alive and where it lives.
enum class Role : std::uint8_t {
  input,       ///< arrives with the batch, in one of two device slots
  activation,  ///< lives between its producer and its last consumer in the pool
  parameter,   ///< a range of ModelState's parameter arena
  gradient,    ///< a range of the gradient arena (the loss value is its last element, so it is summed with the rest)
  metric,      ///< accumulates over an evaluation: f64 sums in device memory
  scaler,      ///< ModelState's loss scale
};

using TensorId = int;
struct Tensor {
  std::string name;  // e.g. "conv1.weights", "conv1.dst", "diff:conv1.dst"
  Shape shape;
  DType dtype = DType::f32;
  Role role = Role::activation;
  std::int64_t offset = 0;  // parameter and gradient: first element in the arena
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
  TensorId parameter(std::string name, Shape shape);
  TensorId loss_scale();  ///< the tensor of that name, for a Loss that takes one
  /// Returns the first output, which is named "<name>.dst" ("<name>.value", "<name>.sums" of a loss and a metric).
  /// `result` overrides its element type, e.g. to leave bf16 before the loss.
  TensorId apply(const std::string& name, const Op& op, std::vector<TensorId> inputs, std::optional<DType> result = {});
  /// Makes the weights and, with `bias`, one bias value a channel.
  TensorId conv(const std::string& name, TensorId src, int channels, const Conv& attributes, bool bias = true);
  /// The way back through a convolution `attributes` that takes `extents` (one a spatial axis) to those of `src`; makes
  /// the weights.
  TensorId conv_transposed(const std::string& name, TensorId src, int channels, const Conv& attributes,
                           std::vector<std::int64_t> extents);
  TensorId dense(const std::string& name, TensorId src, int units, std::optional<DType> result = {});
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

/// Parameters whose names are in `tensors` get `decay` in their update.
struct DecayRule {
  float decay = 0.0F;
  std::vector<std::string> tensors;
};
/// Appends bucketed AllReduce nodes (placed as soon as a bucket's last gradient is there, on the communication lane)
/// and the updates. A bucket holds whole tensors, neighbours in the arena, at least `bucket_bytes` unless it is the
/// last.
/// Where the loss takes a loss scale, gradients are checked after their sum, all of them before the first update, and
/// `scaling` moves the scale at the end. With `accumulated` a bucket first takes in what accumulate() kept of earlier
/// batches.
[[nodiscard]] Graph reduce_and_update(Graph graph, std::int64_t bucket_bytes, const Rule& rule, const DecayRule& decay,
                                      const LossScaling& scaling = {}, bool accumulated = false);

}  // namespace trainmark

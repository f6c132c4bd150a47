// The three visitors that say what an operation is: what it makes of which operands, what that costs, and what its
// derivative is. Each names every operation or does not compile; ops/ holds the answers, a family a file.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "trainmark/nn.hpp"

namespace trainmark::nn {

using Tensors = std::vector<Tensor>;

[[nodiscard]] inline Tensor activation(Shape shape, DType dtype) {
  return {"", std::move(shape), dtype, Role::activation, 0};
}
[[nodiscard]] inline Tensor gradient(Shape shape) { return {"", std::move(shape), DType::f32, Role::gradient, 0}; }

/// Taps of a window.
[[nodiscard]] std::int64_t volume(const std::vector<int>& extents);

/// Shapes and types of what an operation makes, and the refusal of operands that do not fit.
class Infer {
 public:
  Infer(const Op& op, const Tensors& inputs, std::string_view node) : op_(op), inputs_(inputs), node_(node) {}

  Tensors operator()(const Conv& conv) const;
  Tensors operator()(const ConvBackwardData& backward) const;
  Tensors operator()(const ConvBackwardWeights& backward) const;
  Tensors operator()(const ConvBlock& block) const;
  Tensors operator()(const ConvBlockBackwardWeights& backward) const;
  Tensors operator()(const DenseBlock& block) const;
  Tensors operator()(const DenseBlockBackwardData& backward) const;
  Tensors operator()(const PackWeights&) const;
  Tensors operator()(const UnpackGradients&) const;
  Tensors operator()(const Pool& pool) const;
  Tensors operator()(const PoolBackward& backward) const;
  Tensors operator()(const PoolActivationBackward& backward) const;
  Tensors operator()(const Dense&) const;
  Tensors operator()(const DenseBackwardData&) const;
  Tensors operator()(const DenseBackwardWeights&) const;
  Tensors operator()(const Activation&) const;
  Tensors operator()(const ActivationBackward&) const;
  Tensors operator()(const Dropout& dropout) const;
  Tensors operator()(const DropoutBackward&) const;
  Tensors operator()(const Add&) const;
  Tensors operator()(const Concat&) const;
  Tensors operator()(const Slice& slice) const;
  Tensors operator()(const Preprocess&) const;
  Tensors operator()(const Loss& loss) const;
  Tensors operator()(const Metric&) const;
  Tensors operator()(const Accumulate&) const;
  Tensors operator()(const Update& update) const;
  Tensors operator()(const GradientCheck&) const;
  Tensors operator()(const AdjustLossScale&) const;
  Tensors operator()(const AllReduce&) const;
  Tensors operator()(const Normalise&) const;
  Tensors operator()(const SpatialSum&) const;
  Tensors operator()(const Tile&) const;
  Tensors operator()(const NormMoments&) const;
  Tensors operator()(const NormApply&) const;
  Tensors operator()(const NormInference&) const;
  Tensors operator()(const NormGradients&) const;
  Tensors operator()(const NormBackward&) const;
  Tensors operator()(const SumOverGroup&) const;
  Tensors operator()(const AverageStatistics&) const;
  Tensors operator()(const SquaredNorm&) const;
  Tensors operator()(const CountUpdate&) const;

 private:
  void arity(std::size_t expected) const;
  void require(bool fits, std::string_view what, std::string_view remedy) const;
  void same(const Shape& expected, std::size_t index) const;
  void bias(std::size_t index, std::int64_t units) const;
  void scaler(std::size_t index) const;
  void compared(const Criterion& criterion) const;
  void channelled(std::size_t index) const;
  [[nodiscard]] Tensor dense_result() const;
  [[nodiscard]] Tensor dense_source() const;
  [[nodiscard]] bool with_bias() const { return inputs_.size() > 2; }
  [[nodiscard]] static Shape weights_of(const Conv& conv, std::int64_t src_channels, std::int64_t dst_channels);
  void spatial(const Shape& src, const Conv& conv) const;
  void grouped(const Conv& conv, std::int64_t src_channels, std::int64_t dst_channels) const;
  Shape convolved(const Conv& conv) const;
  Shape convolved(const Conv& conv, const Shape& src, std::int64_t channels) const;
  Shape pooled(const Pool& pool, const Shape& src) const;
  Tensors convolution_gradients(const Conv& conv, std::int64_t channels) const;

  const Op& op_;
  const Tensors& inputs_;
  std::string_view node_;
};

/// What a node costs, by the dense count.
class CostOf {
 public:
  CostOf(const Graph& graph, const Node& node) : graph_(graph), node_(node) {}

  Cost operator()(const Conv& conv) const;
  Cost operator()(const ConvBackwardData& backward) const;
  Cost operator()(const ConvBackwardWeights& backward) const;
  Cost operator()(const ConvBlock& block) const;
  Cost operator()(const ConvBlockBackwardWeights& backward) const;
  Cost operator()(const DenseBlock& block) const;
  Cost operator()(const DenseBlockBackwardData& backward) const;
  Cost operator()(const PackWeights&) const;
  Cost operator()(const UnpackGradients&) const;
  Cost operator()(const Pool& pool) const;
  Cost operator()(const PoolBackward& backward) const;
  Cost operator()(const PoolActivationBackward&) const;
  Cost operator()(const Dense&) const;
  Cost operator()(const DenseBackwardData&) const;
  Cost operator()(const DenseBackwardWeights&) const;
  Cost operator()(const Activation&) const;
  Cost operator()(const ActivationBackward&) const;
  Cost operator()(const Dropout&) const;
  Cost operator()(const DropoutBackward&) const;
  Cost operator()(const Add&) const;
  Cost operator()(const Concat&) const;
  Cost operator()(const Slice&) const;
  Cost operator()(const Preprocess&) const;
  Cost operator()(const Loss&) const;
  Cost operator()(const Metric&) const;
  Cost operator()(const Accumulate& sum) const;
  Cost operator()(const Update& update) const;
  Cost operator()(const GradientCheck& check) const;
  Cost operator()(const AdjustLossScale&) const;
  Cost operator()(const AllReduce& reduce) const;
  Cost operator()(const Normalise&) const;
  Cost operator()(const SpatialSum&) const;
  Cost operator()(const Tile&) const;
  Cost operator()(const NormMoments&) const;
  Cost operator()(const NormApply&) const;
  Cost operator()(const NormInference&) const;
  Cost operator()(const NormGradients&) const;
  Cost operator()(const NormBackward&) const;
  Cost operator()(const SumOverGroup&) const;
  Cost operator()(const AverageStatistics&) const;
  Cost operator()(const SquaredNorm&) const;
  Cost operator()(const CountUpdate&) const;

 private:
  const Shape& input(std::size_t index) const { return shape(node_.inputs.at(index)); }
  const Shape& output(std::size_t index) const { return shape(node_.outputs.at(index)); }
  const Shape& shape(TensorId id) const { return graph_.tensors.at(static_cast<std::size_t>(id)).shape; }

  Cost elementwise(std::int64_t flops) const;
  Cost matrix(std::int64_t values, std::int64_t units) const;
  Cost convolution(const Conv& conv, const Shape& dst, std::int64_t src_channels) const;
  /// Counts the convolution's whole output, which a fused pool never shows; `extra` operations on each of its elements.
  Cost convolution_block(const ConvBlock& block, std::int64_t channels, std::int64_t extra) const;
  Cost moved(Cost cost) const;
  std::int64_t bytes(TensorId id) const;

  const Graph& graph_;
  const Node& node_;
};

/// The backward pass: a reverse walk over a forward graph, whose steps append nodes to it.
class Differentiate {
 public:
  explicit Differentiate(Graph& graph);
  void run();

  void operator()(const Conv& conv);
  void operator()(const ConvBackwardData& transposed);
  void operator()(const ConvBackwardWeights&);
  void operator()(const ConvBlock&);
  void operator()(const ConvBlockBackwardWeights&);
  void operator()(const DenseBlock&);
  void operator()(const DenseBlockBackwardData&);
  void operator()(const PackWeights&);
  void operator()(const UnpackGradients&);
  void operator()(const Pool& pool);
  void operator()(const PoolBackward&);
  void operator()(const PoolActivationBackward&);
  void operator()(const Dense&);
  void operator()(const DenseBackwardData&);
  void operator()(const DenseBackwardWeights&);
  void operator()(const Activation& curve);
  void operator()(const ActivationBackward&);
  void operator()(const Dropout& dropout);
  void operator()(const DropoutBackward&);
  void operator()(const Add&);
  void operator()(const Concat&);
  void operator()(const Slice&);
  void operator()(const Preprocess&);
  void operator()(const Loss&);
  void operator()(const Metric&);
  void operator()(const Accumulate&);
  void operator()(const Update&);
  void operator()(const GradientCheck&);
  void operator()(const AdjustLossScale&);
  void operator()(const AllReduce&);
  void operator()(const Normalise&);
  void operator()(const SpatialSum&);
  void operator()(const Tile&);
  void operator()(const NormMoments&);
  void operator()(const NormApply&);
  void operator()(const NormInference&);
  void operator()(const NormGradients&);
  void operator()(const NormBackward&);
  void operator()(const SumOverGroup&);
  void operator()(const AverageStatistics&);
  void operator()(const SquaredNorm&);
  void operator()(const CountUpdate&);

 private:
  static std::size_t index(TensorId id) { return static_cast<std::size_t>(id); }
  const Tensor& tensor(TensorId id) const { return graph_.tensors.at(index(id)); }

  void not_forward() const;
  TensorId dst_diff() const;
  /// Takes in what one consumer gives back. A reverse walk meets all consumers of a tensor before its producer.
  void contribute(TensorId of, TensorId diff);
  /// A tensor for a gradient of `of`: the only one is "diff:<name>", those that follow are numbered.
  TensorId make_diff(TensorId of);
  /// Appends a node that makes gradients of these tensors.
  void append(std::string_view suffix, Op op, std::vector<TensorId> inputs, const std::vector<TensorId>& of);
  void parametrised(Op weights_op, Op data_op);
  void through(Op op, TensorId first, TensorId second);

  static constexpr TensorId none = -1;

  Graph& graph_;
  std::vector<TensorId> diff_;  // by forward tensor: the sum of its gradients so far
  std::vector<int> made_;       // by forward tensor: how many tensors that took
  std::vector<bool> wanted_;
  Node node_;
};

}  // namespace trainmark::nn

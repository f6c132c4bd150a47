#include "reference/interpreter.hpp"

#include <algorithm>
#include <map>
#include <stdexcept>

namespace trainmark::reference {
namespace {

class Interpreter {
 public:
  Interpreter(const Graph& graph, std::map<TensorId, Array>& values) : graph_(graph), values_(values) {}

  void run(const Node& node) {
    node_ = &node;
    std::visit(*this, node.op);
  }

  void operator()(const Preprocess& op) { set(0, preprocess(op, in(0))); }
  void operator()(const Conv& op) { set(0, conv(op, in(0), in(1), bias(in(1).shape[0]))); }
  void operator()(const ConvBackwardData& op) { set(0, conv_backward_data(op.conv, in(0), in(1), out(0).shape)); }
  void operator()(const ConvBackwardWeights& op) {
    // The kernel's extents say what the shapes of both tensors leave open.
    both(conv_backward_weights(op.conv, in(0), in(1)));
  }
  void operator()(const Dense&) { set(0, dense(in(0), in(1), bias(in(1).shape[0]))); }
  void operator()(const DenseBackwardData&) { set(0, dense_backward_data(in(0), in(1), out(0).shape)); }
  void operator()(const DenseBackwardWeights&) { both(dense_backward_weights(in(0), in(1))); }
  void operator()(const Activation& op) { set(0, activation(op, in(0))); }
  void operator()(const ActivationBackward& op) { set(0, activation_backward(op.activation, in(0), in(1))); }
  void operator()(const Pool& op) { set(0, pool(op, in(0))); }
  void operator()(const PoolBackward& op) { set(0, pool_backward(op.pool, in(0), in(1))); }
  void operator()(const Add&) { set(0, add(in(0), in(1))); }
  void operator()(const Slice& op) { set(0, slice(op.channels, in(0))); }
  void operator()(const Concat&) {
    std::vector<Array> parts;
    for (std::size_t at = 0; at < node_->inputs.size(); ++at)
      parts.push_back(in(at));
    set(0, concat(parts));
  }
  void operator()(const Normalise& op) { set(0, normalise(op, in(0))); }
  void operator()(const SpatialSum& op) { set(0, spatial_sum(op.factor, in(0))); }
  void operator()(const Tile& op) { set(0, tile(op, in(0))); }
  void operator()(const NormMoments&) { set(0, norm_moments(in(0))); }
  void operator()(const NormApply& op) { set(0, norm_apply(op.norm, in(0), in(1), in(2), in(3))); }
  void operator()(const NormGradients& op) {
    const Array sums = norm_gradients(op.norm, in(0), in(1), in(2));
    const std::int64_t channels = sums.shape[1];
    Array gamma(Shape{channels}), beta(Shape{channels});
    for (std::int64_t c = 0; c < channels; ++c) {
      gamma[c] = sums[c];
      beta[c] = sums[channels + c];
    }
    set(0, gamma);
    set(1, beta);
    set(2, sums);
  }
  void operator()(const NormBackward& op) { set(0, norm_backward(op.norm, in(0), in(1), in(2), in(3), in(4))); }
  void operator()(const Loss& op) {
    const LossResult result = loss(op, in(0), in(1), in(0).shape[0]);
    Array value(Shape{1});
    value[0] = result.value;
    set(0, value);
    set(1, result.diff);
  }
  template <class Other>
  void operator()(const Other&) {
    throw std::logic_error("the interpreter does not know " + std::string(name_of(node_->op)));
  }

 private:
  const Array& in(std::size_t at) const { return values_.at(node_->inputs.at(at)); }
  const Tensor& out(std::size_t at) const { return graph_.tensors.at(static_cast<std::size_t>(node_->outputs.at(at))); }
  void set(std::size_t at, Array array) { values_.insert_or_assign(node_->outputs.at(at), std::move(array)); }
  Array bias(std::int64_t units) const { return node_->inputs.size() > 2 ? in(2) : Array(Shape{units}); }
  void both(const Gradients& gradients) {
    set(0, gradients.weights);
    if (node_->outputs.size() > 1) set(1, gradients.bias);
  }

  const Graph& graph_;
  std::map<TensorId, Array>& values_;
  const Node* node_ = nullptr;
};

}  // namespace

std::vector<double> gradients_of(const Graph& graph, const std::vector<Array>& inputs,
                                 const std::vector<double>& parameters) {
  std::map<TensorId, Array> values;
  auto input = inputs.begin();
  for (std::size_t id = 0; id < graph.tensors.size(); ++id) {
    const Tensor& tensor = graph.tensors[id];
    if (tensor.role == Role::input && tensor.name != "step_state")
      values.insert_or_assign(static_cast<TensorId>(id), *input++);
    if (tensor.role != Role::parameter) continue;
    Array array(tensor.shape);
    std::copy_n(parameters.begin() + tensor.offset, tensor.shape.elements(), array.values.begin());
    values.insert_or_assign(static_cast<TensorId>(id), std::move(array));
  }
  Interpreter interpreter(graph, values);
  for (const Node& node : graph.nodes)
    interpreter.run(node);
  std::vector<double> arena(static_cast<std::size_t>(graph.gradient_elements()));
  for (const auto& [id, array] : values) {
    const Tensor& tensor = graph.tensors[static_cast<std::size_t>(id)];
    if (tensor.role == Role::gradient) std::ranges::copy(array.values, arena.begin() + tensor.offset);
  }
  return arena;
}

}  // namespace trainmark::reference

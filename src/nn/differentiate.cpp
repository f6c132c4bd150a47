// The backward pass as explicit nodes: a reverse walk over a forward graph that ends in a loss. Each parametrised node
// gives its weight gradient first, so that a bucket of gradients can leave while data gradients go on. Where paths
// branch, what their consumers give back is summed as it comes: two tensors are alive, never one for each consumer.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "trainmark/nn.hpp"

namespace trainmark {
namespace {

constexpr TensorId none = -1;

class Differentiate {
 public:
  explicit Differentiate(Graph& graph)
      : graph_(graph), diff_(graph.tensors.size(), none), made_(graph.tensors.size(), 0) {
    // A tensor wants a gradient if a parameter shaped it; inputs and what is made of them alone do not.
    wanted_.resize(graph.tensors.size());
    for (std::size_t id = 0; id < graph.tensors.size(); ++id)
      wanted_[id] = graph.tensors[id].role == Role::parameter;
    for (const Node& node : graph.nodes) {
      const bool shaped = std::ranges::any_of(node.inputs, [&](TensorId id) { return wanted_[index(id)]; });
      for (const TensorId id : node.outputs)
        wanted_[index(id)] = shaped;
    }
  }

  void run() {
    const std::size_t forward_nodes = graph_.nodes.size();
    for (std::size_t at = forward_nodes; at-- > 0;) {
      node_ = graph_.nodes[at];  // a copy: backward nodes are appended to the same list
      if (wanted_[index(node_.outputs[0])]) std::visit(*this, node_.op);
    }
    for (std::size_t id = 0; id < diff_.size(); ++id) {
      TRAINMARK_CHECK(graph_.tensors[id].role != Role::parameter || diff_[id] != none,
                      fmt::format("{} does not reach the loss", graph_.tensors[id].name));
    }
  }

  void operator()(const Loss&) {
    TRAINMARK_CHECK(tensor(node_.outputs[0]).offset == graph_.parameter_elements(),
                    "a parameter was made after the loss");
    TRAINMARK_CHECK(diff_[index(node_.inputs[0])] == none, "a graph has one loss, and it comes last");
    ++made_[index(node_.inputs[0])];  // by the loss itself
    contribute(node_.inputs[0], node_.outputs[1]);
  }
  void operator()(const Conv& conv) {
    const std::vector<std::int64_t>& extents = tensor(node_.inputs[0]).shape.extents();
    parametrised(ConvBackwardWeights{conv}, ConvBackwardData{conv, {extents.begin() + 2, extents.end()}});
  }
  /// As a forward operation a transposed convolution, whose derivatives are the convolution and its weight gradient
  /// with source and destination in each other's place.
  void operator()(const ConvBackwardData& transposed) {
    const TensorId src = node_.inputs[0], weights = node_.inputs[1], diff_dst = dst_diff();
    append("backward_weights", ConvBackwardWeights{transposed.conv}, {diff_dst, src}, {weights});
    if (wanted_[index(src)]) append("backward_data", transposed.conv, {diff_dst, weights}, {src});
  }
  void operator()(const Dense&) { parametrised(DenseBackwardWeights{}, DenseBackwardData{}); }
  void operator()(const Pool& pool) { through(PoolBackward{pool}, node_.inputs[0], dst_diff()); }
  void operator()(const Activation& curve) { through(ActivationBackward{curve}, node_.outputs[0], dst_diff()); }
  void operator()(const Dropout& dropout) { through(DropoutBackward{dropout}, dst_diff(), node_.inputs[1]); }
  void operator()(const Add&) {
    const TensorId diff = dst_diff();  // of both terms: no copy is made
    for (const TensorId term : node_.inputs)
      if (wanted_[index(term)]) contribute(term, diff);
  }
  void operator()(const Concat&) {
    std::int64_t begin = 0;
    for (std::size_t at = 0; at < node_.inputs.size(); ++at) {
      const TensorId part = node_.inputs[at];
      const Range channels{begin, begin + tensor(part).shape[1]};
      begin = channels.end;
      if (wanted_[index(part)]) append(fmt::format("backward{}", at), Slice{channels}, {dst_diff()}, {part});
    }
  }
  void operator()(const Preprocess&) {}  // nothing flows into inputs
  void operator()(const Metric&) { not_forward(); }
  void operator()(const ConvBackwardWeights&) { not_forward(); }
  void operator()(const PoolBackward&) { not_forward(); }
  void operator()(const DenseBackwardData&) { not_forward(); }
  void operator()(const DenseBackwardWeights&) { not_forward(); }
  void operator()(const ActivationBackward&) { not_forward(); }
  void operator()(const DropoutBackward&) { not_forward(); }
  void operator()(const Slice&) { not_forward(); }
  void operator()(const Accumulate&) { not_forward(); }
  void operator()(const AllReduce&) { not_forward(); }
  void operator()(const GradientCheck&) { not_forward(); }
  void operator()(const Update&) { not_forward(); }
  void operator()(const AdjustLossScale&) { not_forward(); }
  void operator()(const ConvBlock&) { not_forward(); }
  void operator()(const PoolActivationBackward&) { not_forward(); }
  void operator()(const ConvBlockBackwardWeights&) { not_forward(); }

 private:
  static std::size_t index(TensorId id) { return static_cast<std::size_t>(id); }
  const Tensor& tensor(TensorId id) const { return graph_.tensors.at(index(id)); }

  void not_forward() const {
    TRAINMARK_CHECK(false, fmt::format("{} ({}) has no derivative", node_.name, name_of(node_.op)));
  }
  TensorId dst_diff() const {
    const TensorId diff = diff_[index(node_.outputs[0])];
    TRAINMARK_CHECK(diff != none, fmt::format("the output of {} does not reach the loss", node_.name));
    return diff;
  }
  /// Takes in what one consumer gives back. A reverse walk meets all consumers of a tensor before its producer.
  void contribute(TensorId of, TensorId diff) {
    TensorId& sum = diff_[index(of)];
    TRAINMARK_CHECK(sum == none || tensor(of).role != Role::parameter,
                    fmt::format("{} is used twice, and a parameter has one use", tensor(of).name));
    if (sum == none) {
      sum = diff;
      return;
    }
    const TensorId total = make_diff(of);
    graph_.nodes.push_back(
        {fmt::format("{}.sum{}", tensor(of).name, made_[index(of)] - 1), Add{}, {sum, diff}, {total}, Lane::compute});
    sum = total;
  }
  /// A tensor for a gradient of `of`: the only one is "diff:<name>", those that follow are numbered.
  TensorId make_diff(TensorId of) {
    Tensor diff = tensor(of);
    const int earlier = made_[index(of)]++;
    diff.name = fmt::format("diff:{}{}", diff.name, earlier == 0 ? "" : fmt::format("#{}", earlier));
    diff.role = diff.role == Role::parameter ? Role::gradient : Role::activation;
    return graph_.add(std::move(diff));
  }
  /// Appends a node that makes gradients of these tensors.
  void append(std::string_view suffix, Op op, std::vector<TensorId> inputs, const std::vector<TensorId>& of) {
    std::vector<TensorId> outputs;
    for (const TensorId id : of)
      outputs.push_back(make_diff(id));
    graph_.nodes.push_back(
        {fmt::format("{}.{}", node_.name, suffix), std::move(op), std::move(inputs), outputs, Lane::compute});
    for (std::size_t at = 0; at < of.size(); ++at)
      contribute(of[at], outputs[at]);
  }
  void parametrised(Op weights_op, Op data_op) {
    const TensorId src = node_.inputs[0], weights = node_.inputs[1], diff_dst = dst_diff();
    // The weights, and the bias where there is one.
    append("backward_weights", std::move(weights_op), {src, diff_dst}, {node_.inputs.begin() + 1, node_.inputs.end()});
    if (wanted_[index(src)]) append("backward_data", std::move(data_op), {diff_dst, weights}, {src});
  }
  void through(Op op, TensorId first, TensorId second) {
    append("backward", std::move(op), {first, second}, {node_.inputs[0]});
  }

  Graph& graph_;
  std::vector<TensorId> diff_;  // by forward tensor: the sum of its gradients so far
  std::vector<int> made_;       // by forward tensor: how many tensors that took
  std::vector<bool> wanted_;
  Node node_;
};

}  // namespace

Graph differentiate(Graph forward) {
  TRAINMARK_CHECK(!forward.nodes.empty() && std::holds_alternative<Loss>(forward.nodes.back().op),
                  "only a graph that ends in a loss can be differentiated");
  Differentiate(forward).run();
  return forward;
}

}  // namespace trainmark

// The backward pass as explicit nodes: a reverse walk over a forward graph that ends in a loss. Each parametrised node
// gives its weight gradient first, so that a bucket of gradients can leave while data gradients go on.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "trainmark/nn.hpp"

namespace trainmark {
namespace {

constexpr TensorId none = -1;

class Differentiate {
 public:
  explicit Differentiate(Graph& graph) : graph_(graph), diff_(graph.tensors.size(), none) {
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
      std::visit(*this, node_.op);
    }
    for (std::size_t id = 0; id < diff_.size(); ++id) {
      TRAINMARK_CHECK(graph_.tensors[id].role != Role::parameter || diff_[id] != none,
                      fmt::format("{} does not reach the loss", graph_.tensors[id].name));
    }
  }

  void operator()(const Loss&) {
    TRAINMARK_CHECK(tensor(node_.outputs[0]).offset == graph_.parameter_elements(),
                    "a parameter was made after the loss");
    assign(node_.inputs[0], node_.outputs[1]);
  }
  void operator()(const Conv& conv) { parametrised(ConvBackwardWeights{conv}, ConvBackwardData{conv}); }
  void operator()(const Dense&) { parametrised(DenseBackwardWeights{}, DenseBackwardData{}); }
  void operator()(const Pool& pool) { through(PoolBackward{pool}, node_.inputs[0], dst_diff()); }
  void operator()(const Activation& curve) { through(ActivationBackward{curve}, node_.outputs[0], dst_diff()); }
  void operator()(const Dropout& dropout) { through(DropoutBackward{dropout}, dst_diff(), node_.inputs[1]); }
  void operator()(const Preprocess&) {}  // nothing flows into inputs
  void operator()(const Metric&) { not_forward(); }
  void operator()(const ConvBackwardData&) { not_forward(); }
  void operator()(const ConvBackwardWeights&) { not_forward(); }
  void operator()(const PoolBackward&) { not_forward(); }
  void operator()(const DenseBackwardData&) { not_forward(); }
  void operator()(const DenseBackwardWeights&) { not_forward(); }
  void operator()(const ActivationBackward&) { not_forward(); }
  void operator()(const DropoutBackward&) { not_forward(); }
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
  void assign(TensorId of, TensorId diff) {
    // Sums of gradients come with the operations that branch; until then a second consumer is a mistake.
    TRAINMARK_CHECK(diff_[index(of)] == none,
                    fmt::format("{} has two consumers that carry a gradient", tensor(of).name));
    diff_[index(of)] = diff;
  }
  TensorId make_diff(TensorId of) {
    Tensor diff = tensor(of);
    diff.name = "diff:" + diff.name;
    diff.role = diff.role == Role::parameter ? Role::gradient : Role::activation;
    const TensorId id = graph_.add(std::move(diff));
    assign(of, id);
    return id;
  }
  void append(std::string_view suffix, Op op, std::vector<TensorId> inputs, std::vector<TensorId> outputs) {
    graph_.nodes.push_back({fmt::format("{}.{}", node_.name, suffix), std::move(op), std::move(inputs),
                            std::move(outputs), Lane::compute});
  }
  void parametrised(Op weights_op, Op data_op) {
    const TensorId diff_dst = dst_diff();
    const TensorId src = node_.inputs[0];
    const TensorId diff_weights = make_diff(node_.inputs[1]);
    const TensorId diff_bias = make_diff(node_.inputs[2]);
    append("backward_weights", std::move(weights_op), {src, diff_dst}, {diff_weights, diff_bias});
    if (wanted_[index(src)]) append("backward_data", std::move(data_op), {diff_dst, node_.inputs[1]}, {make_diff(src)});
  }
  void through(Op op, TensorId first, TensorId second) {
    if (wanted_[index(node_.inputs[0])])
      append("backward", std::move(op), {first, second}, {make_diff(node_.inputs[0])});
  }

  Graph& graph_;
  std::vector<TensorId> diff_;
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

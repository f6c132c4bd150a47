// The fused blocks that this backend has, and what it does once for many tensors of a step.
#include <map>
#include <optional>

#include "backend/cuda/ops/few_rows.hpp"
#include "backend/cuda/ops/winners.hpp"
#include "backend/cuda/plans.hpp"
#include "backend/rewrites.hpp"

namespace trainmark::cuda {

namespace {

/// cuDNN 9.19 has no engine for a convolution in groups with a curve behind it, in 16 bits.
bool ungrouped(const Conv& conv, const Activation&) { return conv.groups == 1; }

void erase(Graph& graph, std::size_t at) { graph.nodes.erase(graph.nodes.begin() + static_cast<std::ptrdiff_t>(at)); }

/// Whether the kernels of dense layers take this source, or a gradient of it.
bool has_few_rows(const Tensor& src) { return src.shape.rank() == 2 && FewRows::take(src.shape[0]); }

/// A dense layer of few samples takes its activation along, and the dropout of that.
void end_dense_layers(Graph& graph) {
  for (std::size_t at = 0; at < graph.nodes.size(); ++at) {
    if (!std::holds_alternative<Dense>(graph.nodes[at].op)) continue;
    const TensorId result = graph.nodes[at].outputs[0];
    const auto curve = only_consumer<Activation>(graph, result);
    if (!has_few_rows(tensor_of(graph, result)) || !curve) continue;
    DenseBlock block{.activation = std::get<Activation>(graph.nodes[*curve].op), .dropout = {}};
    const TensorId active = graph.nodes[*curve].outputs[0];
    graph.nodes[at].outputs = {active};
    erase(graph, *curve);
    for (const std::size_t reader : consumers_of(graph, active)) {
      const auto* dropout = std::get_if<Dropout>(&graph.nodes[reader].op);
      if (dropout == nullptr) continue;
      block.dropout = *dropout;
      graph.nodes[at].inputs.push_back(graph.nodes[reader].inputs[1]);
      graph.nodes[at].outputs.push_back(graph.nodes[reader].outputs[0]);
      erase(graph, reader);
      break;
    }
    graph.nodes[at].op = block;
  }
}

/// And its data gradient goes back through the ending of the layer below at once.
void return_through_dense_layers(Graph& graph) {
  for (std::size_t at = 0; at < graph.nodes.size(); ++at) {
    if (!std::holds_alternative<DenseBackwardData>(graph.nodes[at].op)) continue;
    TensorId diff = graph.nodes[at].outputs[0];
    if (!has_few_rows(tensor_of(graph, diff))) continue;
    const auto dropout = only_consumer<DropoutBackward>(graph, diff);
    if (dropout) diff = graph.nodes[*dropout].outputs[0];
    const auto curve = only_consumer<ActivationBackward>(graph, diff);
    if (!curve || graph.nodes[*curve].inputs[1] != diff) continue;
    const TensorId active = graph.nodes[*curve].inputs[0];
    if (tensor_of(graph, active).dtype != tensor_of(graph, diff).dtype) continue;
    DenseBlockBackwardData op{
        {.activation = std::get<ActivationBackward>(graph.nodes[*curve].op).activation, .dropout = {}}};
    Node& node = graph.nodes[at];
    node.inputs.push_back(active);
    if (dropout) {
      op.below.dropout = std::get<DropoutBackward>(graph.nodes[*dropout].op).dropout;
      node.inputs.push_back(graph.nodes[*dropout].inputs[1]);
    }
    node.op = op;
    node.outputs = graph.nodes[*curve].outputs;
    erase(graph, *curve);
    if (dropout) erase(graph, *dropout);
  }
}

/// The convolution of a pass that reads weights, or nothing.
struct ReadsWeights {
  const Conv* operator()(const Conv& op) const { return &op; }
  const Conv* operator()(const ConvBlock& op) const { return &op.conv; }
  const Conv* operator()(const ConvBackwardData& op) const { return &op.conv; }
  template <class Other>
  const Conv* operator()(const Other&) const {
    return nullptr;
  }
};
/// Not those of groups, whose order shapes alone do not tell.
bool reads(const Node& node, TensorId weights) {
  const Conv* conv = std::visit(ReadsWeights{}, node.op);
  return conv != nullptr && conv->groups == 1 && node.inputs[1] == weights;
}

/// Weights are packed once a launch of the step, all by one launch at its beginning.
void pack_weights_together(Graph& graph) {
  std::map<TensorId, std::vector<std::size_t>> readers;  // by weights: nodes by their place
  std::size_t packings = 0;
  for (std::size_t id = 0; id < graph.tensors.size(); ++id) {
    const auto weights = static_cast<TensorId>(id);
    if (graph.tensors[id].role != Role::parameter) continue;
    for (std::size_t at = 0; at < graph.nodes.size(); ++at) {
      if (!reads(graph.nodes[at], weights)) continue;
      readers[weights].push_back(at);
      ++packings;
    }
  }
  if (packings < 2) return;  // a single pass does it itself
  Node pack{"pack_weights", PackWeights{}, {}, {}, Lane::compute};
  for (const auto& [weights, nodes] : readers) {
    const Tensor& own = tensor_of(graph, weights);
    const DType type = tensor_of(graph, graph.nodes[nodes.front()].inputs[0]).dtype;
    const TensorId packed = graph.add({.name = own.name + ".packed", .shape = own.shape, .dtype = type});
    pack.inputs.push_back(weights);
    pack.outputs.push_back(packed);
    for (const std::size_t at : nodes)
      graph.nodes[at].inputs[1] = packed;
  }
  graph.nodes.insert(graph.nodes.begin(), std::move(pack));
}

/// What a backward pass makes for the launch that unpacks its gradients; nothing where it unpacks its own.
struct LeavesGradients {
  const Graph& graph;
  Node& node;

  /// Sums over parts of the batch of its bias gradient.
  std::optional<PartialSums> operator()(ConvBackwardWeights& op) const {
    if (op.conv.groups != 1) return {};
    op.packed = true;
    const Shape& diff = tensor_of(graph, node.inputs[1]).shape;
    return PartialSums{bias_parts(diff.elements() / diff[1]), diff[1], padded(diff[1])};
  }
  std::optional<PartialSums> operator()(ConvBlockBackwardWeights& op) const {
    if (op.block.conv.groups != 1) return {};
    op.packed = true;
    const Tensor& pooled = tensor_of(graph, node.inputs[2]);
    return CubePool(op.block, volume_under({pooled.shape, pooled.dtype}), pooled.shape).bias_sums();
  }
  template <class Other>
  std::optional<PartialSums> operator()(Other&) const {
    return {};
  }
};

/// Gradients are unpacked by one launch for all that the next node reads: a bucket, as it is summed over ranks.
void unpack_gradients_together(Graph& graph) {
  std::map<std::size_t, Node> due;  // by the place of the node that reads them first
  for (Node& node : graph.nodes) {
    const auto sums = std::visit(LeavesGradients{graph, node}, node.op);
    if (!sums) continue;
    const DType type = tensor_of(graph, node.inputs[0]).dtype;
    for (std::size_t output = 0; output < node.outputs.size() && output < 2; ++output) {
      const TensorId gradient = node.outputs[output];
      const std::string& name = tensor_of(graph, gradient).name;
      Tensor made = output == 0
                        ? Tensor{.name = name + ".packed", .shape = tensor_of(graph, gradient).shape, .dtype = type}
                        : Tensor{.name = name + ".parts", .shape = Shape{sums->parts, sums->stored}};
      const std::vector<std::size_t> readers = consumers_of(graph, gradient);
      Node& unpack = due[readers.empty() ? graph.nodes.size() : readers.front()];
      unpack.inputs.push_back(graph.add(std::move(made)));
      unpack.outputs.push_back(gradient);
      node.outputs[output] = unpack.inputs.back();
    }
  }
  for (auto each = due.rbegin(); each != due.rend(); ++each) {
    Node& unpack = each->second;
    unpack.op = UnpackGradients{};
    unpack.name = "unpack." + tensor_of(graph, unpack.outputs.front()).name;
    graph.nodes.insert(graph.nodes.begin() + static_cast<std::ptrdiff_t>(each->first), std::move(unpack));
  }
}

}  // namespace

Graph fuse(Graph graph) {
  while (fuse_pooled_block(graph, ends_in_cubes, DataGradient::with) || fuse_conv_activation(graph, ungrouped)) {
  }
  end_dense_layers(graph);
  return_through_dense_layers(graph);
  pack_weights_together(graph);
  unpack_gradients_together(graph);
  return graph;
}

}  // namespace trainmark::cuda

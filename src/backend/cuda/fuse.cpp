// The fused blocks that this backend has.
#include "backend/cuda/ops/winners.hpp"
#include "backend/cuda/plans.hpp"
#include "backend/rewrites.hpp"

namespace trainmark::cuda {

namespace {

/// cuDNN 9.19 has no engine for a convolution in groups with a curve behind it, in 16 bits.
bool ungrouped(const Conv& conv, const Activation&) { return conv.groups == 1; }

/// The convolution of a pass that reads weights; null for all else, and for groups, whose packing is not told by
/// shapes.
struct ReadsWeights {
  const Conv* operator()(const Conv& op) const { return &op; }
  const Conv* operator()(const ConvBlock& op) const { return &op.conv; }
  const Conv* operator()(const ConvBackwardData& op) const { return &op.conv; }
  template <class Other>
  const Conv* operator()(const Other&) const {
    return nullptr;
  }
};
bool reads(const Node& node, TensorId weights) {
  const Conv* conv = std::visit(ReadsWeights{}, node.op);
  return conv != nullptr && conv->groups == 1 && node.inputs[1] == weights;
}

/// Weights that several passes read are packed once: the first pass leaves them to the others.
void share_packed_weights(Graph& graph) {
  for (std::size_t id = 0, count = graph.tensors.size(); id < count; ++id) {
    if (graph.tensors[id].role != Role::parameter) continue;
    const auto weights = static_cast<TensorId>(id);
    std::vector<Node*> readers;
    for (Node& node : graph.nodes)
      if (reads(node, weights)) readers.push_back(&node);
    if (readers.size() < 2) continue;
    const TensorId packed = graph.add({.name = graph.tensors[id].name + ".packed",
                                       .shape = graph.tensors[id].shape,
                                       .dtype = tensor_of(graph, readers[0]->inputs[0]).dtype});
    readers[0]->outputs.push_back(packed);
    for (std::size_t at = 1; at < readers.size(); ++at)
      readers[at]->inputs[1] = packed;
  }
}

}  // namespace

Graph fuse(Graph graph) {
  while (fuse_pooled_block(graph, ends_in_cubes, DataGradient::with) || fuse_conv_activation(graph, ungrouped)) {
  }
  share_packed_weights(graph);
  return graph;
}

}  // namespace trainmark::cuda

// Plans the nodes that become cuDNN graphs, with tensors as the executor would describe them.
#include "cuda_plans/workload_graphs.hpp"

#include <set>

#include "backend/cuda/cudnn/graph_notes.hpp"
#include "backend/cuda/plans.hpp"
#include "trainmark/models.hpp"

namespace trainmark::cuda {
namespace {

TensorDesc desc_of(const Tensor& tensor) {
  if (tensor.role == Role::activation) return activation_desc(tensor.shape, tensor.dtype);
  return {tensor.shape, tensor.dtype, logical_layout};
}

Operands operands_of(const Graph& graph, const Node& node) {
  Operands operands;
  for (const TensorId id : node.inputs)
    operands.inputs.push_back(desc_of(graph.tensors.at(static_cast<std::size_t>(id))));
  for (const TensorId id : node.outputs)
    operands.outputs.push_back(desc_of(graph.tensors.at(static_cast<std::size_t>(id))));
  return operands;
}

/// Plans what is a cuDNN graph here; everything else is a kernel of our own.
void listen(const Compute& compute, const Graph& graph) {
  for (const Node& node : graph.nodes) {
    const Operands operands = operands_of(graph, node);
    const auto plan_graph = [&](const auto& op) {
      if constexpr (requires { plan_op(compute, op, operands); }) (void)plan_op(compute, op, operands);
    };
    std::visit(plan_graph, node.op);
  }
}

struct Size {
  ModelOptions model;
  std::vector<std::int64_t> local_batches;
  bool unfused = false;
};

std::vector<Size> sizes_of(const Precision& precision) {
  const bool small = precision.compute != DType::f32;  // what devices train large networks in
  using Batches = std::vector<std::int64_t>;
  return {{CosmoflowOptions{.extent = 32, .width = 0.25}, {8}, true},
          {CosmoflowOptions{}, {1, 2, 4, 8}},
          {DeepcamOptions{.rows = 96, .columns = 144, .width = 0.25}, {4}, true},
          {DeepcamOptions{}, small ? Batches{1, 2, 8} : Batches{1}},
          {Resnet50Options{.extent = 48, .width = 0.25, .classes = 10}, {32}, true},
          {Resnet50Options{}, small ? Batches{1, 32, 64, 256, 400} : Batches{32}}};
}

}  // namespace

std::vector<GraphSpec> distinct_graphs(const Precision& precision) {
  GraphNotes notes;
  const Compute compute{notes, precision.math};
  for (const Size& size : sizes_of(precision)) {
    for (const std::int64_t batch : size.local_batches) {
      const GraphOptions options{.local_batch = batch, .global_batch = batch, .compute = precision.compute};
      const Graph training = differentiate(forward_of(size.model, options));
      listen(compute, fuse(training));
      listen(compute, fuse(graphs_of({size.model, {}, {}}, {.graph = options}).evaluation));
      if (size.unfused) listen(compute, training);
    }
  }
  std::set<std::string> seen;
  std::erase_if(notes.specs, [&](const GraphSpec& spec) { return !seen.insert(key_of(spec)).second; });
  return std::move(notes.specs);
}

}  // namespace trainmark::cuda

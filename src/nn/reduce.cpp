// Gradient reduction and the update as nodes. Buckets are fixed by tensor order from the output side, whose gradients
// come first; each leaves on the communication lane as soon as its last gradient is there.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "trainmark/nn.hpp"

namespace trainmark {
namespace {

struct Bucket {
  Range range;                      // of the gradient arena
  std::vector<TensorId> gradients;  // in arena order
};

std::vector<TensorId> gradients_in_order(const Graph& graph) {
  std::vector<TensorId> gradients;
  for (std::size_t id = 0; id < graph.tensors.size(); ++id)
    if (graph.tensors[id].role == Role::gradient) gradients.push_back(static_cast<TensorId>(id));
  std::ranges::sort(gradients, {}, [&](TensorId id) { return graph.tensors[static_cast<std::size_t>(id)].offset; });
  return gradients;
}

std::vector<Bucket> make_buckets(const Graph& graph, std::int64_t bucket_bytes) {
  const std::vector<TensorId> gradients = gradients_in_order(graph);
  TRAINMARK_CHECK(gradients.size() >= 2, "nothing to reduce: differentiate first");
  std::vector<Bucket> buckets;
  Bucket open;
  for (auto id = gradients.rbegin(); id != gradients.rend(); ++id) {
    const Tensor& tensor = graph.tensors[static_cast<std::size_t>(*id)];
    const std::int64_t end = tensor.offset + tensor.shape.elements();
    if (open.gradients.empty()) open.range.end = end;
    TRAINMARK_CHECK(open.gradients.empty() || open.range.begin == end, "gradients leave a gap in their arena");
    open.range.begin = tensor.offset;
    open.gradients.insert(open.gradients.begin(), *id);
    // The loss value never travels alone: an update follows each bucket, and whoever waits for updates has the loss.
    const bool only_loss = id == gradients.rbegin();
    if (!only_loss && open.range.size() * static_cast<std::int64_t>(sizeof(float)) >= bucket_bytes) {
      buckets.push_back(std::exchange(open, {}));
    }
  }
  if (!open.gradients.empty()) buckets.push_back(std::move(open));
  return buckets;
}

/// Index of the last node that writes one of a bucket's gradients.
std::size_t ready_after(const Graph& graph, const Bucket& bucket) {
  std::size_t last = 0;
  for (std::size_t at = 0; at < graph.nodes.size(); ++at) {
    const auto& outputs = graph.nodes[at].outputs;
    const auto writes = [&](TensorId id) { return std::ranges::find(outputs, id) != outputs.end(); };
    if (std::ranges::any_of(bucket.gradients, writes)) last = at;
  }
  return last;
}

/// Cuts a bucket into the longest ranges of one decay each; the loss value behind the parameters is no part of any.
std::vector<Node> updates_of(const Graph& graph, const Bucket& bucket, const Rule& rule, const DecayRule& decay,
                             TensorId step_state) {
  const std::int64_t parameters = graph.parameter_elements();
  std::vector<Node> updates;
  for (const TensorId id : bucket.gradients) {
    const Tensor& gradient = graph.tensors[static_cast<std::size_t>(id)];
    if (gradient.offset == parameters) continue;
    const std::string_view parameter = std::string_view(gradient.name).substr(std::string_view("diff:").size());
    const bool decays = std::ranges::find(decay.tensors, parameter) != decay.tensors.end();
    const float factor = decays ? decay.decay : 0.0F;
    const std::int64_t end = gradient.offset + gradient.shape.elements();
    if (updates.empty() || std::get<Update>(updates.back().op).decay != factor) {
      const Update update{.rule = rule, .decay = factor, .range = {gradient.offset, end}};
      updates.push_back({fmt::format("update.{}", parameter), update, {}, {}, Lane::compute});
    }
    std::get<Update>(updates.back().op).range.end = end;
    updates.back().inputs.push_back(id);
  }
  for (Node& update : updates)
    update.inputs.push_back(step_state);
  return updates;
}

TensorId step_state_of(const Graph& graph) {
  const auto is_loss = [](const Node& node) { return std::holds_alternative<Loss>(node.op); };
  const auto loss = std::ranges::find_if(graph.nodes, is_loss);
  TRAINMARK_CHECK(loss != graph.nodes.end(), "a graph without a loss has no gradients to reduce");
  return loss->inputs.at(2);
}

}  // namespace

Graph reduce_and_update(Graph graph, std::int64_t bucket_bytes, const Rule& rule, const DecayRule& decay) {
  for (const std::string& name : decay.tensors)
    TRAINMARK_CHECK(graph.tensors[static_cast<std::size_t>(graph.find(name))].role == Role::parameter, name);
  const TensorId step_state = step_state_of(graph);
  const std::vector<Bucket> buckets = make_buckets(graph, bucket_bytes);

  std::vector<std::vector<Node>> after(graph.nodes.size());
  std::vector<Node> updates;
  for (std::size_t at = 0; at < buckets.size(); ++at) {
    const Bucket& bucket = buckets[at];
    after[ready_after(graph, bucket)].push_back(
        {fmt::format("reduce{}", at), AllReduce{bucket.range}, bucket.gradients, {}, Lane::communication});
    for (Node& update : updates_of(graph, bucket, rule, decay, step_state))
      updates.push_back(std::move(update));
  }

  std::vector<Node> nodes;
  for (std::size_t at = 0; at < graph.nodes.size(); ++at) {
    nodes.push_back(std::move(graph.nodes[at]));
    std::ranges::move(after[at], std::back_inserter(nodes));
  }
  std::ranges::move(updates, std::back_inserter(nodes));
  graph.nodes = std::move(nodes);
  return graph;
}

}  // namespace trainmark

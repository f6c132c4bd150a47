// Gradient reduction and the update as nodes. Buckets are fixed by tensor order from the output side, whose gradients
// come first; each leaves on the communication lane as soon as its last gradient is there.
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>
#include <utility>

#include "trainmark/nn.hpp"

namespace trainmark {
namespace {

struct Bucket {
  Range range;                      // of the gradient arena
  std::vector<TensorId> gradients;  // in arena order
  bool waits = false;               // for all that do not
};

std::vector<TensorId> gradients_in_order(const Graph& graph) {
  std::vector<TensorId> gradients;
  for (std::size_t id = 0; id < graph.tensors.size(); ++id)
    if (graph.tensors[id].role == Role::gradient) gradients.push_back(static_cast<TensorId>(id));
  std::ranges::sort(gradients, {}, [&](TensorId id) { return graph.tensors[static_cast<std::size_t>(id)].offset; });
  return gradients;
}

/// By tensor id: whether it is a norm's scale or shift.
std::vector<bool> norm_parameters(const Graph& graph) {
  std::vector<bool> found(graph.tensors.size(), false);
  for (const Node& node : graph.nodes) {
    if (!std::holds_alternative<NormApply>(node.op) && !std::holds_alternative<NormInference>(node.op)) continue;
    for (const TensorId id : node.inputs)
      found[static_cast<std::size_t>(id)] = graph.tensors[static_cast<std::size_t>(id)].role == Role::parameter;
  }
  return found;
}

/// Parameters' offsets, which their gradients share, in the order of the graph's tensors.
std::vector<std::int64_t> parameter_offsets(const Graph& graph) {
  std::vector<std::int64_t> offsets;
  for (const Tensor& tensor : graph.tensors)
    if (tensor.role == Role::parameter) offsets.push_back(tensor.offset);
  return offsets;
}

/// By the offset of a gradient the number of its bucket, as the recipe counts them.
std::map<std::int64_t, std::size_t> listed_buckets(const Graph& graph, const Grouping& grouping) {
  std::map<std::int64_t, std::size_t> bucket_of;
  const std::vector<bool> is_norm = norm_parameters(graph);
  auto left = static_cast<std::int64_t>(parameter_offsets(graph).size());  // tensors up to this one, from the output
  for (std::size_t id = 0; id < graph.tensors.size(); ++id) {
    const Tensor& tensor = graph.tensors[id];
    if (tensor.role != Role::parameter) continue;
    const auto bucket = std::ranges::lower_bound(grouping.ends, left--) - grouping.ends.begin();
    const bool waits = grouping.norms_last && is_norm[id];
    bucket_of[tensor.offset] = waits ? grouping.ends.size() + 1 : static_cast<std::size_t>(bucket);
  }
  return bucket_of;
}

std::vector<Bucket> make_buckets(const Graph& graph, const Grouping& grouping) {
  const std::vector<TensorId> gradients = gradients_in_order(graph);
  const std::map<std::int64_t, std::size_t> listed = listed_buckets(graph, grouping);
  TRAINMARK_CHECK(gradients.size() >= 2, "nothing to reduce: differentiate first");
  std::vector<Bucket> buckets;
  Bucket open;
  // The loss value never travels alone: an update follows each bucket, and whoever waits for updates has the loss.
  const auto closed_by = [&](const Tensor& next) {
    if (open.gradients.empty() || open.range.begin == graph.parameter_elements()) return false;
    if (listed.at(next.offset) != listed.at(open.range.begin)) return true;
    return grouping.ends.empty() && open.range.size() * static_cast<std::int64_t>(sizeof(float)) >= grouping.bytes;
  };
  for (auto id = gradients.rbegin(); id != gradients.rend(); ++id) {
    const Tensor& tensor = graph.tensors[static_cast<std::size_t>(*id)];
    const std::int64_t end = tensor.offset + tensor.shape.elements();
    if (closed_by(tensor)) buckets.push_back(std::exchange(open, {}));
    if (open.gradients.empty()) open.range.end = end;
    TRAINMARK_CHECK(open.gradients.empty() || open.range.begin == end, "gradients leave a gap in their arena");
    open.range.begin = tensor.offset;
    open.gradients.insert(open.gradients.begin(), *id);
  }
  buckets.push_back(std::move(open));
  for (Bucket& bucket : buckets)
    bucket.waits = listed.at(bucket.range.begin) > grouping.ends.size();
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

/// A bucket's sum over ranks. Where gradients travel in fewer bits than fp32, the loss value, which is none and which
/// no scale has touched, has a sum of its own in front, on the same lane: who waits for the bucket has it.
std::vector<Node> sums_of(const Graph& graph, const Bucket& bucket, DType wire, std::size_t index) {
  Node sum{fmt::format("reduce{}", index),
           AllReduce{bucket.range, bucket.waits ? DType::f32 : wire},
           bucket.gradients,
           {},
           Lane::communication};
  auto& reduce = std::get<AllReduce>(sum.op);
  const std::int64_t loss = graph.parameter_elements();
  if (reduce.wire == DType::f32 || reduce.range.end <= loss) return {std::move(sum)};
  Node first{"reduce_loss", AllReduce{{loss, reduce.range.end}}, {sum.inputs.back()}, {}, Lane::communication};
  reduce.range.end = loss;
  sum.inputs.pop_back();
  return {std::move(first), std::move(sum)};
}

/// What every step hands to those who reduce and update: what the host says, and the loss scale if there is one.
struct Controls {
  TensorId step_state = 0;
  std::optional<TensorId> loss_scale;
};

Controls controls_of(const Graph& graph) {
  const auto is_loss = [](const Node& node) { return std::holds_alternative<Loss>(node.op); };
  const auto loss = std::ranges::find_if(graph.nodes, is_loss);
  TRAINMARK_CHECK(loss != graph.nodes.end(), "a graph without a loss has no gradients to reduce");
  Controls controls{.step_state = loss->inputs.at(2), .loss_scale = {}};
  if (loss->inputs.size() > 3) controls.loss_scale = loss->inputs[3];
  return controls;
}

/// Looks at a bucket's gradients, and not at the loss value, which no scale has touched.
Node check_of(const Graph& graph, const Bucket& bucket, TensorId loss_scale, std::size_t index) {
  const Range range{bucket.range.begin, std::min(bucket.range.end, graph.parameter_elements())};
  Node check{fmt::format("check{}", index), GradientCheck{range}, {}, {}, Lane::compute};
  for (const TensorId id : bucket.gradients)
    if (graph.tensors[static_cast<std::size_t>(id)].offset < range.end) check.inputs.push_back(id);
  check.inputs.push_back(loss_scale);
  return check;
}

const Tensor& parameter_at(const Graph& graph, std::int64_t offset) {
  const auto fits = [&](const Tensor& tensor) { return tensor.role == Role::parameter && tensor.offset == offset; };
  const auto found = std::ranges::find_if(graph.tensors, fits);
  TRAINMARK_CHECK(found != graph.tensors.end(), fmt::format("no parameter begins at element {}", offset));
  return *found;
}

/// A bucket's parameters and how each is treated: as few segments as the rule can do with. The loss value behind the
/// parameters is no part of any.
std::vector<Segment> segments_of(const Graph& graph, const Bucket& bucket, const Rule& rule,
                                 const std::vector<Treatment>& treatments) {
  std::vector<Segment> segments;
  const std::vector<std::int64_t> offsets = parameter_offsets(graph);
  for (const TensorId id : bucket.gradients) {
    const Tensor& gradient = graph.tensors[static_cast<std::size_t>(id)];
    if (gradient.offset == graph.parameter_elements()) continue;
    const auto parameter = static_cast<std::size_t>(std::ranges::find(offsets, gradient.offset) - offsets.begin());
    const Treatment treatment = treatments.empty() ? Treatment{} : treatments.at(parameter);
    const Range range{gradient.offset, gradient.offset + gradient.shape.elements()};
    if (!segments.empty() && !measures_tensors(rule) && segments.back().treatment == treatment) {
      segments.back().range.end = range.end;
    } else {
      segments.push_back({range, treatment});
    }
  }
  return segments;
}

/// The nodes between reduction and the step's end, which stand on one lane in the order of these lists.
struct Tail {
  std::vector<Node> checks, norms, updates;
  std::vector<TensorId> squared_norms;
};

Node norm_of(Graph& graph, const Bucket& bucket, std::size_t index) {
  const Range range{bucket.range.begin, std::min(bucket.range.end, graph.parameter_elements())};
  const std::string name = fmt::format("norm{}", index);
  const TensorId sum = graph.add({name + ".sum", Shape{1}, DType::f64, Role::activation});
  return {name, SquaredNorm{range}, bucket.gradients, {sum}, Lane::compute};
}

/// Hands every update what the host and the other nodes say of the step.
void add_controls(Graph& graph, const Controls& controls, const Rule& rule, Tail& tail) {
  std::vector<TensorId> last = {controls.step_state};
  if (counts_updates(rule)) {
    const TensorId count = graph.add({"update_count", Shape{update_count_extent}, DType::u8, Role::counter});
    std::vector<TensorId> inputs = {count};
    if (controls.loss_scale) inputs.push_back(*controls.loss_scale);
    tail.norms.push_back({"count_update", CountUpdate{controls.loss_scale.has_value()}, inputs, {}, Lane::compute});
    last.push_back(count);
  }
  last.insert(last.end(), tail.squared_norms.begin(), tail.squared_norms.end());
  if (controls.loss_scale) last.push_back(*controls.loss_scale);
  for (Node& update : tail.updates) {
    std::get<Update>(update.op).norms = static_cast<int>(tail.squared_norms.size());
    update.inputs.insert(update.inputs.end(), last.begin(), last.end());
  }
}

}  // namespace

std::vector<std::int64_t> cubic_ends() {
  constexpr std::int64_t most = 1'000'000;  // tensors of any network
  std::vector<std::int64_t> ends;
  for (std::int64_t n = 1; 3 * n * n * n < most; ++n)
    ends.push_back(3 * n * n * n);
  return ends;
}

Graph norms_in_front(Graph graph) {
  const std::vector<bool> is_norm = norm_parameters(graph);
  std::map<std::int64_t, std::int64_t> moved;  // offsets
  std::int64_t next = 0;
  for (const bool norms : {true, false}) {
    for (std::size_t id = 0; id < graph.tensors.size(); ++id) {
      const Tensor& tensor = graph.tensors[id];
      if (tensor.role != Role::parameter || is_norm[id] != norms) continue;
      moved[tensor.offset] = next;
      next += tensor.shape.elements();
    }
  }
  moved[next] = next;  // the loss value stays behind all
  for (Tensor& tensor : graph.tensors)
    if (tensor.role == Role::parameter || tensor.role == Role::gradient) tensor.offset = moved.at(tensor.offset);
  return graph;
}

Graph accumulate(Graph graph) {
  graph.nodes.push_back({"accumulate",
                         Accumulate{.range = {0, graph.gradient_elements()}, .last = false},
                         gradients_in_order(graph),
                         {},
                         Lane::compute});
  return graph;
}

Graph reduce_and_update(Graph graph, const Grouping& grouping, const Rule& rule,
                        const std::vector<Treatment>& treatments, const LossScaling& scaling, bool accumulated) {
  const auto is_parameter = [](const Tensor& tensor) { return tensor.role == Role::parameter; };
  TRAINMARK_CHECK(treatments.empty() || static_cast<std::ptrdiff_t>(treatments.size()) ==
                                            std::ranges::count_if(graph.tensors, is_parameter),
                  "one treatment for each parameter");
  const Controls controls = controls_of(graph);
  const std::vector<Bucket> buckets = make_buckets(graph, grouping);

  std::vector<std::vector<Node>> after(graph.nodes.size());
  Tail tail;
  std::size_t latest = 0;
  for (std::size_t at = 0; at < buckets.size(); ++at) {
    const Bucket& bucket = buckets[at];
    const std::size_t own = ready_after(graph, bucket);
    latest = std::max(latest, own);
    std::vector<Node>& ready = after[bucket.waits ? latest : own];
    if (accumulated) {
      const Accumulate sum{.range = bucket.range, .last = true};
      ready.push_back({fmt::format("accumulate{}", at), sum, bucket.gradients, {}, Lane::compute});
    }
    std::ranges::move(sums_of(graph, bucket, grouping.wire, at), std::back_inserter(ready));
    if (controls.loss_scale) tail.checks.push_back(check_of(graph, bucket, *controls.loss_scale, at));
    if (takes_norms(rule)) {
      tail.norms.push_back(norm_of(graph, bucket, at));
      tail.squared_norms.push_back(tail.norms.back().outputs[0]);
    }
    const Update update{.rule = rule,
                        .segments = segments_of(graph, bucket, rule, treatments),
                        .scaled = controls.loss_scale.has_value()};
    const std::string name = fmt::format("update.{}", parameter_at(graph, update.range().begin).name);
    tail.updates.push_back({name, update, bucket.gradients, {}, Lane::compute});
  }
  add_controls(graph, controls, rule, tail);

  std::vector<Node> nodes;
  for (std::size_t at = 0; at < graph.nodes.size(); ++at) {
    nodes.push_back(std::move(graph.nodes[at]));
    std::ranges::move(after[at], std::back_inserter(nodes));
  }
  // On one lane in this order, so that every check and every norm has ended before the first update begins.
  for (auto* list : {&tail.checks, &tail.norms, &tail.updates})
    std::ranges::move(*list, std::back_inserter(nodes));
  if (controls.loss_scale) {
    nodes.push_back({"adjust_loss_scale", AdjustLossScale{scaling}, {*controls.loss_scale}, {}, Lane::compute});
  }
  graph.nodes = std::move(nodes);
  return graph;
}

}  // namespace trainmark

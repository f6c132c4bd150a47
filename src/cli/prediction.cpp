#include "cli/prediction.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "cli/devices.hpp"
#include "trainmark/exec.hpp"

namespace trainmark::cli {
namespace {

/// An H100 has the H200's multiprocessors, which is what plans depend on.
std::string description_of(const std::string& device) { return device == "a100" ? a100_description : h200_description; }

/// A graph, and what its plans move through scratch memory, by node; nothing where it was not planned.
struct Part {
  Graph graph;
  std::vector<std::int64_t> scratch_traffic = {};
};

/// Plans all graphs, which takes their place as the backend fuses them, and notes what memory they need.
Part planned(Backend& planner, Graph graph, Prediction& prediction) {
  Blueprint blueprint = plan_only(planner, std::move(graph));
  prediction.pool_bytes = std::max(prediction.pool_bytes, blueprint.pool_bytes);
  prediction.scratch_bytes = std::max(prediction.scratch_bytes, blueprint.scratch_bytes);
  return {std::move(blueprint.graph), std::move(blueprint.scratch_traffic)};
}

/// Memory and matrix units work side by side: whichever takes longer is the floor.
void bound(NodeBound& node, double bytes_per_s, double matrix_flops_per_s) {
  const double moving = static_cast<double>(node.cost.bytes) / bytes_per_s;
  const double multiplying = 2.0 * static_cast<double>(node.cost.macs) / matrix_flops_per_s;
  node.memory_bound = moving >= multiplying;
  node.seconds = std::max(moving, multiplying);
}

void add(std::vector<NodeBound>& nodes, const Part& part, std::int64_t count) {
  for (std::size_t at = 0; at < part.graph.nodes.size(); ++at) {
    const Node& node = part.graph.nodes[at];
    // What goes over the network is bounded by the network, not by the device.
    if (std::holds_alternative<AllReduce>(node.op)) continue;
    Cost each = cost(part.graph, node);
    if (!part.scratch_traffic.empty()) each.bytes += part.scratch_traffic[at];
    auto found = std::ranges::find(nodes, node.name, &NodeBound::node);
    if (found == nodes.end()) found = nodes.insert(found, NodeBound{.node = node.name, .cost = {}});
    found->cost += times(count, each);
    found->cost.parameters = each.parameters;
  }
}

void add_bounds(Prediction& prediction, const Part& last, const Part& earlier, const TrainOptions& train,
                const nlohmann::json& ceilings) {
  add(prediction.nodes, last, 1);
  add(prediction.nodes, earlier, train.gradient_accumulation_steps - 1);
  for (NodeBound& node : prediction.nodes) {
    bound(node, ceilings.at("bytes_per_s"), ceilings.at("matrix_flops_per_s").at(std::string(word(train.precision))));
    prediction.seconds += node.seconds;
  }
}

}  // namespace

std::vector<std::string> known_devices() {
  std::vector<std::string> names;
  const auto devices = nlohmann::json::parse(device_ceilings);
  for (const auto& [name, ceilings] : devices.items())
    names.push_back(name);
  return names;
}

Cost times(std::int64_t count, Cost cost) {
  cost.macs *= count;
  cost.flops *= count;
  cost.bytes *= count;
  return cost;
}

Prediction predict(const std::string& device, const RunOptions& options, StepGraphs graphs) {
  const auto ceilings = nlohmann::json::parse(device_ceilings).at(device);
  Prediction prediction;
  prediction.device = ceilings.at("name");
  prediction.ceilings = ceilings.at("source");
  BackendOptions backend_options = options.backend;
  backend_options.tf32 = options.train.precision == Precision::tf32;
  Part last{graphs.last}, earlier{graphs.earlier.value_or(Graph{})};
  try {
    const auto planner = make_cuda_planner(backend_options, description_of(device));
    Part fused_last = planned(*planner, std::move(graphs.last), prediction);
    if (graphs.earlier) earlier = planned(*planner, std::move(*graphs.earlier), prediction);
    (void)planned(*planner, std::move(graphs.evaluation), prediction);
    last = std::move(fused_last);
    prediction.plans = fmt::format("plan-checked with {}, never executed", planner->description());
  } catch (const Error& error) {
    prediction.pool_bytes = prediction.scratch_bytes = 0;
    prediction.plans = fmt::format("not plan-checked, the bound is of the unfused step: {}", error.what());
  }
  add_bounds(prediction, last, earlier, options.train, ceilings);
  return prediction;
}

EmulatedDevice emulated_times(const RunOptions& options, std::int64_t ranks) {
  EmulatedDevice device = options.backend.emulated;
  if (options.backend.device != DeviceChoice::emulated || device.like.empty()) return device;
  const std::vector<std::string> known = known_devices();
  if (std::ranges::find(known, device.like) == known.end()) {
    throw Error(ExitCode::usage,
                Complaint{"/backend/emulated/like", fmt::format("\"{}\" is no known device", device.like),
                          "its floor follows from its ceilings",
                          fmt::format("use one of {}, or state train_ms and eval_ms", fmt::join(known, ", "))});
  }
  if (!options.train.divides(ranks)) return device;  // which the launch complains of
  StepGraphs graphs = graphs_of(options.recipe, step_options(options, ranks));
  device.train_ms = 1e3 * least_step_seconds(device.like, options, graphs);
  StepGraphs evaluation;
  evaluation.last = std::move(graphs.evaluation);
  device.eval_ms = 1e3 * least_step_seconds(device.like, options, evaluation);
  return device;
}

double least_step_seconds(const std::string& device, const RunOptions& options, const StepGraphs& graphs) {
  Prediction prediction;
  add_bounds(prediction, {graphs.last}, {graphs.earlier.value_or(Graph{})}, options.train,
             nlohmann::json::parse(device_ceilings).at(device));
  return prediction.seconds;
}

}  // namespace trainmark::cli

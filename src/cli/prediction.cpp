#include "cli/prediction.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "cli/devices.hpp"
#include "trainmark/exec.hpp"

namespace trainmark::cli {
namespace {

std::string description_of(const std::string& device) { return device == "h200" ? h200_description : a100_description; }

/// Memory and matrix units work side by side: whichever takes longer is the floor.
NodeBound bound(const Graph& graph, const Node& node, double bytes_per_s, double matrix_flops_per_s) {
  NodeBound result{node.name, cost(graph, node), 0.0, true};
  const double moving = static_cast<double>(result.cost.bytes) / bytes_per_s;
  const double multiplying = 2.0 * static_cast<double>(result.cost.macs) / matrix_flops_per_s;
  result.memory_bound = moving >= multiplying;
  result.seconds = std::max(moving, multiplying);
  return result;
}

}  // namespace

std::vector<std::string> known_devices() {
  std::vector<std::string> names;
  const auto devices = nlohmann::json::parse(device_ceilings);
  for (const auto& [name, ceilings] : devices.items())
    names.push_back(name);
  return names;
}

Prediction predict(const std::string& device, const RunOptions& options, Graph step) {
  const auto ceilings = nlohmann::json::parse(device_ceilings).at(device);
  Prediction prediction;
  prediction.device = ceilings.at("name");
  prediction.ceilings = ceilings.at("source");
  BackendOptions backend_options = options.backend;
  backend_options.tf32 = options.train.precision == "tf32";
  try {
    const auto planner = make_cuda_planner(backend_options, description_of(device));
    Blueprint blueprint = plan_only(*planner, step);
    prediction.plans = fmt::format("plan-checked with {}, never executed", planner->description());
    prediction.pool_bytes = blueprint.pool_bytes;
    prediction.scratch_bytes = blueprint.scratch_bytes;
    step = std::move(blueprint.graph);
  } catch (const Error& error) {
    prediction.plans = fmt::format("not plan-checked, the bound is of the unfused step: {}", error.what());
  }
  for (const Node& node : step.nodes) {
    // What goes over the network is bounded by the network, not by the device.
    if (std::holds_alternative<AllReduce>(node.op)) continue;
    prediction.nodes.push_back(
        bound(step, node, ceilings.at("bytes_per_s"), ceilings.at("matrix_flops_per_s").at(options.train.precision)));
    prediction.seconds += prediction.nodes.back().seconds;
  }
  return prediction;
}

}  // namespace trainmark::cli

// The committed table of plans (tests/reference/cudnn_plans.txt): which engine, with how much workspace, takes each
// graph on each described device. A row is device, key, engine, workspace, separated by tabs.
#pragma once

#include <map>
#include <string>

#include "backend/cuda/cudnn/graphs.hpp"

namespace trainmark::cuda {

/// Options to plan for a device of share/devices, e.g. "h200".
[[nodiscard]] CompilerOptions options_for(const std::string& device, bool select_only);
/// The same for a device with this much memory.
[[nodiscard]] CompilerOptions with_memory(CompilerOptions options, std::int64_t bytes);

/// "engine, workspace", as rows and messages have them.
[[nodiscard]] std::string outcome(const CompiledGraph& plan);
[[nodiscard]] std::string row(const std::string& device, const GraphSpec& spec, const CompiledGraph& plan);

struct PlanTable {
  std::string library;                          ///< which made it, e.g. "cuDNN 9.19.0"
  std::map<std::string, std::string> outcomes;  ///< by "device, key"
};
[[nodiscard]] PlanTable read_plan_table();

}  // namespace trainmark::cuda

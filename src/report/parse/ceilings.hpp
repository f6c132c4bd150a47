// What a probe measured and what a run's nodes took: probe.json and nodes.csv of a results folder.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "trainmark/report.hpp"

namespace trainmark::report {

/// probe.json, as far as it can be used.
struct Probed {
  std::string workload, precision, backend;
  double ranks = 0.0;
  std::vector<Ceiling> ceilings;  ///< those above 0
  std::vector<StepMessage> messages;
  // Of a step on one rank; 0 where it says nothing.
  double samples = 0.0, flops = 0.0, memory_bytes = 0.0, host_to_device_bytes = 0.0, network_bytes = 0.0,
         storage_bytes = 0.0;
  std::string storage;  ///< that training reads: "staged" or "source"
  [[nodiscard]] const Ceiling* find(std::string_view name) const;
};
/// Nothing, and a note, for a document of another kind or form. What of it cannot be used is noted and left out.
[[nodiscard]] std::optional<Probed> probed_in(const nlohmann::json& document, std::vector<std::string>& notes);

/// Rows that are whole, without bounds; others are counted in a note.
[[nodiscard]] std::vector<RoofNode> nodes_in(const std::string& table, std::vector<std::string>& notes);

/// Of a line of one of our tables, whose quotes hold no quotes.
[[nodiscard]] std::vector<std::string> cells_of(const std::string& line);
/// Nothing for what is no finite number, or below 0.
[[nodiscard]] std::optional<double> number_in_cell(const std::string& cell);

}  // namespace trainmark::report

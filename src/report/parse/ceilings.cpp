#include "report/parse/ceilings.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>
#include <sstream>

namespace trainmark::report {
namespace {

using Json = nlohmann::json;

double number_in(const Json& object, const char* key) {
  const auto found = object.is_object() ? object.find(key) : object.end();
  const double value = found != object.end() && found->is_number() ? found->get<double>() : 0.0;
  return std::isfinite(value) && value > 0.0 ? value : 0.0;
}
std::string text_in(const Json& object, const char* key) {
  const auto found = object.is_object() ? object.find(key) : object.end();
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}
const Json& part_of(const Json& object, const char* key) {
  static const Json nothing;
  const auto found = object.is_object() ? object.find(key) : object.end();
  return found != object.end() ? *found : nothing;
}

/// A median that is no number above 0 is none.
std::optional<Ceiling> spread_in(const Json& spread, std::string name) {
  const double median = number_in(spread, "median");
  if (median == 0.0) return std::nullopt;
  return Ceiling{std::move(name), number_in(spread, "n"), median, number_in(spread, "min"), number_in(spread, "max")};
}

}  // namespace

const Ceiling* Probed::find(std::string_view name) const {
  const auto found = std::ranges::find(ceilings, name, &Ceiling::name);
  return found == ceilings.end() ? nullptr : &*found;
}

std::optional<Probed> probed_in(const Json& document, std::vector<std::string>& notes) {
  if (text_in(document, "kind") != "trainmark probe" || number_in(document, "format") != 1.0) {
    notes.emplace_back("probe.json is not of the form that this program reads, and was left out");
    return std::nullopt;
  }
  Probed probed{.workload = text_in(document, "workload"),
                .precision = text_in(document, "precision"),
                .backend = text_in(document, "backend"),
                .ranks = number_in(document, "ranks"),
                .ceilings = {},
                .messages = {},
                .storage = {}};
  int unusable = 0;
  for (const Json& figure : part_of(document, "figures")) {
    std::optional<Ceiling> ceiling = spread_in(part_of(figure, "rank"), text_in(figure, "name"));
    if (!ceiling || ceiling->name.empty()) {
      ++unusable;
      continue;
    }
    ceiling->cache = text_in(figure, "cache");
    probed.ceilings.push_back(std::move(*ceiling));
  }
  for (const Json& message : part_of(document, "all_reduce")) {
    const auto seconds = spread_in(part_of(message, "seconds"), "seconds");
    const auto bus = spread_in(part_of(message, "bus_bytes_per_s"), "bus_bytes_per_s");
    const double ranks = number_in(message, "ranks"), bytes = number_in(message, "bytes");
    if (!seconds || !bus || ranks < 2.0 || bytes == 0.0) {
      ++unusable;
      continue;
    }
    probed.messages.push_back({text_in(message, "name"), ranks, bytes, *seconds, *bus});
  }
  if (unusable > 0)
    notes.push_back(fmt::format("probe.json: {} figures have no value above 0 and were left out", unusable));
  const Json& step = part_of(document, "step");
  probed.samples = number_in(step, "samples");
  probed.flops = number_in(step, "flops");
  probed.memory_bytes = number_in(step, "memory_bytes");
  probed.host_to_device_bytes = number_in(step, "host_to_device_bytes");
  probed.network_bytes = number_in(step, "network_bytes");
  probed.storage_bytes = number_in(step, "storage_bytes");
  probed.storage = text_in(step, "storage");
  return probed;
}

std::vector<std::string> cells_of(const std::string& line) {
  std::vector<std::string> cells(1);
  bool quoted = false;
  for (const char c : line) {
    if (c == '"')
      quoted = !quoted;
    else if (c == ',' && !quoted)
      cells.emplace_back();
    else
      cells.back() += c;
  }
  return cells;
}

std::optional<double> number_in_cell(const std::string& cell) {
  double value = 0.0;
  const char* end = cell.data() + cell.size();
  const auto [stop, error] = std::from_chars(cell.data(), end, value);
  if (error != std::errc{} || stop != end || !std::isfinite(value) || value < 0.0) return std::nullopt;
  return value;
}

std::vector<RoofNode> nodes_in(const std::string& table, std::vector<std::string>& notes) {
  std::istringstream stream(table);
  std::string line;
  std::getline(stream, line);
  const std::vector<std::string> names = cells_of(line);
  const auto column = [&names](std::string_view name) {
    return static_cast<std::size_t>(std::ranges::find(names, name) - names.begin());
  };
  const std::size_t node = column("node"), op = column("op"), seconds = column("seconds"), flops = column("flops"),
                    bytes = column("bytes");
  std::vector<RoofNode> nodes;
  int unusable = 0;
  while (std::getline(stream, line)) {
    const std::vector<std::string> cells = cells_of(line);
    if (std::max({node, op, seconds, flops, bytes}) >= cells.size()) {
      ++unusable;
      continue;
    }
    const auto time = number_in_cell(cells[seconds]), work = number_in_cell(cells[flops]),
               moved = number_in_cell(cells[bytes]);
    if (time && work && moved) {
      nodes.push_back({cells[node], cells[op], *time, *work, *moved, std::nullopt, {}});
    } else {
      ++unusable;
    }
  }
  if (unusable > 0) notes.push_back(fmt::format("nodes.csv: {} rows cannot be read and were left out", unusable));
  return nodes;
}

}  // namespace trainmark::report

// A probe's result as JSON, for programs and `trainmark report`, and as a table for people.
#include <fmt/core.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "mllog/utf8.hpp"
#include "run/probe/probe.hpp"
#include "run/screen/judge.hpp"

namespace trainmark {
namespace {

using Json = nlohmann::ordered_json;

Json to_json(const Spread& spread) {
  return {{"median", spread.median}, {"n", spread.n}, {"min", spread.least}, {"max", spread.most}};
}

Json to_json(const ProbeFigure& figure) {
  Json document = {{"name", figure.name}, {"source", "measured"}, {"of", figure.of}};
  if (!figure.cache.empty()) document["cache"] = figure.cache;
  document["rank"] = to_json(figure.rank);
  document["node"] = to_json(figure.node);
  document["by_rank"] = figure.by_rank;
  document["by_node"] = figure.by_node;
  if (figure.alone) document["rank_alone"] = to_json(*figure.alone);
  return document;
}

Json to_json(const ProbeMessage& message) {
  return {{"name", message.name},
          {"source", "measured"},
          {"ranks", message.ranks},
          {"bytes", message.bytes},
          {"seconds", to_json(message.seconds)},
          {"bus_bytes_per_s", to_json(message.bus_bytes_per_s)}};
}

Json to_json(const StepWork& work) {
  return {{"source", "modelled"},
          {"samples", work.samples},
          {"flops", work.flops},
          {"memory_bytes", work.memory_bytes},
          {"host_to_device_bytes", work.host_to_device_bytes},
          {"network_bytes", work.network_bytes},
          {"storage_bytes", work.storage_bytes},
          {"storage", work.storage}};
}

/// 3.2e9 as 3.20 G.
std::string scaled(double value) {
  for (const auto& [factor, letter] : {std::pair{1e15, 'P'}, {1e12, 'T'}, {1e9, 'G'}, {1e6, 'M'}, {1e3, 'k'}})
    if (value >= factor) return fmt::format("{:.2f} {}", value / factor, letter);
  return fmt::format("{:.0f} ", value);
}
std::string in_unit(double value, bool flops) { return scaled(value) + (flops ? "FLOP/s" : "B/s"); }

}  // namespace

std::string probe_json(const World& world, const Backend& backend, const RunOptions& options, double budget_seconds,
                       const ProbeResult& result) {
  Json document = {{"kind", "trainmark probe"},
                   {"format", 1},
                   {"name", options.name},
                   {"workload", benchmark_of(options.recipe.model)},
                   {"precision", word(computed_in(backend, options.train.precision))},
                   {"backend", backend.description()},
                   {"ranks", world.all().size()},
                   {"nodes", world.nodes()},
                   {"hosts", result.hosts},
                   {"global_batch_samples", options.train.global_batch},
                   {"budget_s", budget_seconds},
                   {"used_s", result.seconds},
                   {"figures", Json::array()},
                   {"all_reduce", Json::array()},
                   {"step", to_json(result.step)},
                   {"nodes_are_judged", result.hosts.size() >= least_judged},
                   {"slow_nodes", Json::array()},
                   {"left_out", result.left_out}};
  for (const ProbeFigure& figure : result.figures)
    document["figures"].push_back(to_json(figure));
  for (const ProbeMessage& message : result.messages)
    document["all_reduce"].push_back(to_json(message));
  for (const SlowNode& slow : slow_nodes(result.figures))
    document["slow_nodes"].push_back({{"node", slow.node},
                                      {"host", result.hosts.at(slow.node)},
                                      {"figure", slow.figure},
                                      {"excess_share", slow.excess}});
  return json_text(document, 2) + "\n";
}

std::string probe_text(const ProbeResult& result) {
  std::string text = fmt::format("{:<34} {:>14} {:>14} {:>14} {:>4} {:>8}  {}\n", "ceiling [measured]", "a rank",
                                 "a node", "a rank alone", "n", "spread", "of");
  for (const ProbeFigure& figure : result.figures) {
    const bool flops = figure.name.ends_with("flops_per_s");
    const double spread = figure.rank.median > 0.0 ? (figure.rank.most - figure.rank.least) / figure.rank.median : 0.0;
    text += fmt::format("{:<34} {:>14} {:>14} {:>14} {:>4} {:>6.1f} %  {}{}\n", figure.name,
                        in_unit(figure.rank.median, flops), in_unit(figure.node.median, flops),
                        figure.alone ? in_unit(figure.alone->median, flops) : "-", figure.rank.n, 100.0 * spread,
                        figure.of, figure.cache.empty() ? "" : fmt::format(" ({} page cache)", figure.cache));
  }
  if (!result.messages.empty()) {
    text += fmt::format("\n{:<34} {:>6} {:>12} {:>12} {:>14} {:>4}\n", "sum over ranks [measured]", "ranks", "MiB",
                        "ms", "bus", "n");
    for (const ProbeMessage& each : result.messages)
      text += fmt::format("{:<34} {:>6} {:>12.3f} {:>12.4f} {:>14} {:>4}\n", each.name, each.ranks,
                          static_cast<double>(each.bytes) / 1048576.0, 1e3 * each.seconds.median,
                          in_unit(each.bus_bytes_per_s.median, false), each.seconds.n);
  }
  const StepWork& step = result.step;
  text += fmt::format(
      "\na step of {} samples on a rank [modelled]: {}FLOP, {}B of memory, {}B to the device, {}B sent, {}B of files\n",
      step.samples, scaled(static_cast<double>(step.flops)), scaled(static_cast<double>(step.memory_bytes)),
      scaled(static_cast<double>(step.host_to_device_bytes)), scaled(step.network_bytes), scaled(step.storage_bytes));
  text += "medians; spread is (max - min) / median over ranks and rounds\n";
  for (const SlowNode& slow : slow_nodes(result.figures))
    text += fmt::format("slow: node {} ({}) takes {:.1f} % longer than the median of {} nodes: {}\n", slow.node,
                        result.hosts.at(slow.node), 100.0 * slow.excess, result.hosts.size(), slow.figure);
  for (const std::string& line : result.left_out)
    text += "not measured: " + line + "\n";
  return text + fmt::format("measured in {:.1f} s\n", result.seconds);
}

}  // namespace trainmark

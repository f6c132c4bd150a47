// The extended roofline: a table of a step's resources, a table of its layers, and the chart of the roofs.
#include <fmt/core.h>

#include <algorithm>

#include "report/show/charts.hpp"
#include "report/show/tables.hpp"

namespace trainmark::report {
namespace {

constexpr double giga = 1e-9;

Grid resource_table(const Roofline& roofline) {
  using enum FigureSource;
  Grid grid{.title = "A step on a rank against its ceilings",
            .columns = {{"resource"},
                        {"of"},
                        {"work", "1e9", modelled, 4},
                        {"ceiling", "1e9/s", measured, 3},
                        {"n", "", measured, 0},
                        {"least", "1e9/s", measured, 3},
                        {"most", "1e9/s", measured, 3},
                        {"at least", "ms", modelled, 3},
                        {"step", "ms", measured, 3},
                        {"used", "%", modelled, 1}},
            .rows = {}};
  for (const RoofTier& tier : roofline.tiers) {
    const std::optional<double> bound = tier.bound_s();
    grid.rows.push_back({tier.name, tier.computes ? "FLOP" : "byte", giga * tier.work,
                         cell(tier.ceiling, &Ceiling::median, 1e9), cell(tier.ceiling, &Ceiling::n),
                         cell(tier.ceiling, &Ceiling::least, 1e9), cell(tier.ceiling, &Ceiling::most, 1e9),
                         cell(bound, 1e-3), roofline.step_s > 0.0 ? Cell(1e3 * roofline.step_s) : Cell(),
                         bound && roofline.step_s > 0.0 ? Cell(100.0 * *bound / roofline.step_s) : Cell()});
  }
  if (const auto gap = roofline.gap()) {
    grid.remarks.push_back(
        fmt::format("bound by {}: at least {:.3f} ms [modelled]; {} is {:.3f} ms [measured], {:.2f} "
                    "times the bound",
                    roofline.binding, 1e3 * roofline.bound_s, roofline.step_of, 1e3 * roofline.step_s, *gap));
  }
  if (!roofline.largest.empty()) grid.remarks.push_back("most beyond its bound: " + roofline.largest);
  if (!roofline.remedy.empty()) grid.remarks.push_back("next: " + roofline.remedy);
  grid.remarks.insert(grid.remarks.end(), roofline.remarks.begin(), roofline.remarks.end());
  if (const std::optional<Chart> chart = roofline_chart(roofline)) grid.charts.push_back(*chart);
  return grid;
}

/// The longest, in the order of their time.
Grid layer_table(const Roofline& roofline) {
  using enum FigureSource;
  constexpr std::size_t most = 15;
  Grid grid{.title = "Layers of a step, the longest first",
            .columns = {{"node"},
                        {"op"},
                        {"measured", "ms", measured, 3},
                        {"GFLOP", "", modelled, 4},
                        {"MB", "", modelled, 3},
                        {"rate", "GFLOP/s", measured, 2},
                        {"moved", "GB/s", measured, 2},
                        {"at least", "ms", modelled, 3},
                        {"bound by"},
                        {"over bound", "", modelled, 2}},
            .rows = {}};
  std::vector<RoofNode> nodes = roofline.nodes;
  std::ranges::stable_sort(nodes, std::greater<>(), &RoofNode::seconds);
  double others = 0.0, bounds = 0.0;
  for (std::size_t at = 0; at < nodes.size(); ++at) {
    const RoofNode& node = nodes[at];
    bounds += node.bound_s.value_or(0.0);
    if (at >= most) {
      others += node.seconds;
      continue;
    }
    const bool timed = node.seconds > 0.0;
    grid.rows.push_back({node.node, node.op, 1e3 * node.seconds, giga * node.flops, 1e-6 * node.bytes,
                         timed ? Cell(giga * node.flops / node.seconds) : Cell(),
                         timed ? Cell(giga * node.bytes / node.seconds) : Cell(), cell(node.bound_s, 1e-3),
                         node.bound_by,
                         node.bound_s && *node.bound_s > 0.0 ? Cell(node.seconds / *node.bound_s) : Cell()});
  }
  if (nodes.size() > most)
    grid.remarks.push_back(
        fmt::format("{} others take {:.3f} ms together [measured]", nodes.size() - most, 1e3 * others));
  if (bounds > 0.0)
    grid.remarks.push_back(
        fmt::format("one after the other the nodes take {:.3f} ms at their bounds [modelled]", 1e3 * bounds));
  return grid;
}

}  // namespace

std::optional<Chart> roofline_chart(const Roofline& roofline) {
  const auto compute = std::ranges::find_if(roofline.tiers, &RoofTier::computes);
  if (compute == roofline.tiers.end() || !compute->ceiling) return std::nullopt;
  Chart chart{.title = "Roofs of a rank, its layers and its step",
              .x_name = "FLOP a byte, of each resource's bytes",
              .y_name = "GFLOP/s",
              .log_x = true,
              .log_y = true,
              .series = {{"layers, by bytes of memory", {}, false}, {"the step, by each resource's bytes", {}, false}}};
  const double most = giga * compute->ceiling->median;
  chart.roofs.push_back({.name = "compute", .most = most});
  for (const RoofTier& tier : roofline.tiers) {
    if (tier.computes || !tier.ceiling) continue;
    chart.roofs.push_back({.name = tier.name, .slope = giga * tier.ceiling->median, .most = most});
    if (roofline.step_s > 0.0)
      chart.series[1].marks.push_back({compute->work / tier.work, giga * compute->work / roofline.step_s});
  }
  for (const RoofNode& node : roofline.nodes)
    if (node.bytes > 0.0 && node.seconds > 0.0)
      chart.series[0].marks.push_back({node.flops / node.bytes, giga * node.flops / node.seconds});
  std::erase_if(chart.series, [](const MarkSeries& series) { return series.marks.empty(); });
  if (chart.series.empty()) return std::nullopt;
  return chart;
}

std::vector<Grid> roofline_tables(const RunReport& run) {
  std::vector<Grid> grids = {resource_table(run.roofline), layer_table(run.roofline)};
  if (run.roofline.nodes.empty()) grids.pop_back();
  std::erase_if(grids, [](const Grid& grid) { return grid.rows.empty() && grid.remarks.empty(); });
  return grids;
}

}  // namespace trainmark::report

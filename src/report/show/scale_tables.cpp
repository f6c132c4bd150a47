// Scale as tables: what became of the time to train, where the data fit, and what comes next.
#include <fmt/core.h>

#include <algorithm>

#include "report/show/tables.hpp"

namespace trainmark::report {

using enum FigureSource;

Grid scale_table(std::span<const ScaleRow> rows) {
  Grid grid{"scale: a row for each number of nodes",
            {{"configuration"},
             {"nodes", "", logged, 0},
             {"ranks", "", logged, 0},
             {"local batch", "samples", logged, 3},
             {"n", "", logged, 0},
             {"rate", "samples/s", logged, 1},
             {"least", "samples/s", logged, 1},
             {"most", "samples/s", logged, 1},
             {"step", "ms", modelled, 2},
             {"epochs", "", logged, 2},
             {"time to train", "min", logged, 2},
             {"part of a node", "GiB", modelled, 1},
             {"share of the set", "%", modelled, 3},
             {"fastest tier"}},
            {}};
  for (const ScaleRow& row : rows)
    grid.rows.push_back({row.group->name, cell(row.nodes), row.processes, cell(row.local_batch), count_of(row.runs),
                         cell(row.rate), row.rate ? Cell(row.rate_least) : Cell(),
                         row.rate ? Cell(row.rate_most) : Cell(), cell(row.step_s, 1e-3), cell(row.epochs),
                         cell(row.time_s, 60.0), cell(row.bytes_per_node, 0x1p30), cell(row.share_of_node, 0.01),
                         row.tier});
  grid.remarks.push_back(
      "rate: median of the runs' median epochs, n runs; step: batch over rate; share of the set: what a "
      "node that holds its part shuffles among");
  for (const ScaleRow& row : rows)
    if (row.group->first().facts.ranks_a_cpu() > 1.0)
      grid.remarks.push_back(fmt::format("{}: oversubscribed: its ranks take turns on the {:g} CPUs of a node",
                                         row.group->name, *row.group->first().facts.node_cpus));
  return grid;
}

Grid factor_table(std::span<const ScaleRow> rows) {
  Grid grid{"by what the time to train changes with scale",
            {{"configuration"},
             {"ranks", "", logged, 0},
             {"more ranks", "x", modelled, 3},
             {"rate of a rank", "x", modelled, 3},
             {"communication", "x", modelled, 3},
             {"epochs", "x", modelled, 3},
             {"besides training", "x", modelled, 3},
             {"product", "x", modelled, 3},
             {"T(N) / T(N0)", "x", logged, 3}},
            {}};
  for (const ScaleRow& row : rows) {
    if (!row.factors) continue;
    grid.rows.push_back({row.group->name, row.processes, row.factors->processes, row.factors->rate,
                         cell(row.factors->communication), row.factors->epochs, row.factors->besides,
                         row.factors->product(), row.factors->time});
  }
  if (grid.rows.size() < 2) return {};
  grid.remarks.push_back(
      "each against the fewest ranks of its workload, network, training set, target, division, organisation, "
      "precision, "
      "threads and wire; their product is T(N) / T(N0). communication: the rate of a rank at "
      "one local batch, so communication, stragglers and input; at another local batch it cannot be "
      "told apart");
  return grid;
}

Grid what_if_table(const WhatIfAnswer& answer) {
  Grid grid{"what if, from " + answer.base,
            {{"figure"},
             {"unit"},
             {"now", "", std::nullopt, 3},
             {"then", "", std::nullopt, 3},
             {"low", "", std::nullopt, 3},
             {"high", "", std::nullopt, 3},
             {"source"},
             {"basis"}},
            {},
            answer.remarks};
  for (const Predicted& each : answer.figures)
    grid.rows.push_back({each.name, each.unit, cell(each.now), cell(each.then), cell(each.low), cell(each.high),
                         std::string(name_of(each.source)), each.basis});
  grid.remarks.push_back("low to high: 80 %");
  return grid;
}

Grid curve_table(const WhatIfAnswer& answer) {
  Grid grid{"step by number of ranks, at the local batch of the runs",
            {{"nodes", "", modelled, 1},
             {"ranks", "", assumed, 0},
             {"step", "ms", modelled, 2},
             {"low", "ms", modelled, 2},
             {"high", "ms", modelled, 2},
             {"part of a node", "GiB", modelled, 1},
             {"fastest tier"},
             {"extrapolated"}},
            {}};
  for (const ScalePoint& each : answer.curve)
    grid.rows.push_back({each.nodes > 0.0 ? Cell(each.nodes) : Cell(), each.processes, each.step.step_s * 1e3,
                         each.step.low_s * 1e3, each.step.high_s * 1e3, cell(each.bytes_per_node, 0x1p30), each.tier,
                         std::string(each.step.extrapolated ? "yes" : "")});
  return grid;
}

}  // namespace trainmark::report

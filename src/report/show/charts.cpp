// What of the tables is worth a look: epochs by batch, repeats, data against memory, rate and epochs against ranks, and
// the predicted step with its band.
#include "report/show/charts.hpp"

#include <fmt/core.h>

#include <algorithm>

namespace trainmark::report {
namespace {

std::size_t count_marks(const Chart& chart) {
  std::size_t marks = 0;
  for (const MarkSeries& series : chart.series)
    marks += series.marks.size();
  return marks;
}

std::optional<Chart> if_worth(Chart chart, std::size_t least) {
  return count_marks(chart) < least ? std::nullopt : std::optional(std::move(chart));
}

/// Charts have one workload, and charts of scale one series: that of the first row.
bool in_first(const GroupConvergence& row, std::span<const GroupConvergence> rows) {
  return row.group->first().benchmark == rows.front().group->first().benchmark;
}
bool in_first(const ScaleRow& row, std::span<const ScaleRow> rows) { return row.series == rows.front().series; }

}  // namespace

std::optional<Chart> convergence_chart(std::span<const GroupConvergence> rows) {
  if (rows.empty()) return std::nullopt;
  MarkSeries own{"runs: mean, least to most", {}, false}, reference{"reference: mean, fastest to slowest", {}, true};
  double smallest = 0.0, most = 0.0;
  for (const GroupConvergence& row : rows) {
    const auto batch = row.group->first().facts.batch_samples;
    if (!batch || !row.mean_epochs || !in_first(row, rows)) continue;
    own.marks.push_back(
        {*batch, *row.mean_epochs, *std::ranges::min_element(row.epochs), *std::ranges::max_element(row.epochs)});
    smallest = smallest == 0.0 ? *batch : std::min(smallest, *batch);
    most = std::max(most, *batch);
  }
  std::ranges::sort(own.marks, {}, &Mark::x);
  const bool compares = std::ranges::any_of(rows, [](const auto& row) { return row.reference.has_value(); });
  for (const ReferencePoint& each : reference_points(rows.front().group->first().benchmark))
    if (compares && each.batch_samples >= smallest / 4.5 && each.batch_samples <= most * 4.5)
      reference.marks.push_back({each.batch_samples, each.epochs, each.fastest, each.slowest});
  Chart chart{"Epochs to the target by batch", "global batch, samples", "epochs", true, false, {std::move(own)}};
  if (!reference.marks.empty()) chart.series.push_back(std::move(reference));
  return if_worth(std::move(chart), 2);
}

std::optional<Chart> repeats_chart(std::span<const GroupConvergence> rows) {
  constexpr std::size_t most_groups = 8, most_runs = 400;
  if (rows.empty() || rows.size() > most_groups) return std::nullopt;
  Chart chart{"Time to train of each run",
              "configuration, in the order of the table",
              "minutes",
              false,
              true,
              {{"runs", {}, false}, {"olympic mean and its 80 % interval", {}, false}}};
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const double x = static_cast<double>(i);
    chart.x_labels.push_back(std::to_string(i + 1));
    const std::vector<double> times = figures_of(*rows[i].group, "time to train");
    for (std::size_t run = 0; run < std::min(times.size(), most_runs); ++run)
      chart.series[0].marks.push_back({x - 0.12, times[run] / 60.0});
    if (rows[i].score.minutes)
      chart.series[1].marks.push_back({x + 0.12, *rows[i].score.minutes,
                                       rows[i].score_min ? std::optional(rows[i].score_min->low) : std::nullopt,
                                       rows[i].score_min ? std::optional(rows[i].score_min->high) : std::nullopt});
  }
  if (chart.series[1].marks.empty()) chart.series.pop_back();
  return if_worth(std::move(chart), 3);
}

std::optional<Chart> data_chart(std::span<const ScaleRow> rows, std::span<const Tier> tiers) {
  if (rows.empty()) return std::nullopt;
  MarkSeries part{"data set's part of a node", {}, true};
  for (const ScaleRow& row : rows)
    if (row.bytes_per_node && row.nodes && in_first(row, rows))
      part.marks.push_back({*row.nodes, *row.bytes_per_node / 0x1p30});
  // On one number of nodes there is nothing to see along the axis.
  if (std::ranges::all_of(part.marks, [&](const Mark& mark) { return mark.x == part.marks.front().x; }))
    return std::nullopt;
  Chart chart{"Where a node's part of the data fits", "nodes", "GiB", true, true, {std::move(part)}};
  for (const Tier& tier : tiers)
    chart.levels.push_back({tier.bytes / 0x1p30, tier.name});
  return if_worth(std::move(chart), 2);
}

std::optional<Chart> interplay_chart(std::span<const ScaleRow> rows) {
  if (rows.empty()) return std::nullopt;
  Chart chart{"Rate and epochs against the fewest ranks",
              "ranks",
              "times the fewest ranks'",
              true,
              true,
              {{"samples/s", {}, true}, {"epochs to the target", {}, true}, {"time to train", {}, true}}};
  const ScaleRow* base = nullptr;
  for (const ScaleRow& row : rows) {
    if (!row.factors || !in_first(row, rows)) continue;
    if (base == nullptr) base = &row;
    chart.series[0].marks.push_back({row.processes, *row.rate / *base->rate});
    chart.series[1].marks.push_back({row.processes, *row.epochs / *base->epochs});
    chart.series[2].marks.push_back({row.processes, *row.time_s / *base->time_s});
  }
  return if_worth(std::move(chart), 6);
}

std::optional<Chart> step_chart(std::span<const ScaleRow> rows, const WhatIfAnswer& answer) {
  Chart chart{"Step by number of ranks, with its 80 % band",
              "ranks",
              "ms",
              true,
              false,
              {{"runs: median, least to most", {}, false}, {"predicted", {}, true}}};
  for (const ScaleRow& row : rows) {
    if (!row.step_s || answer.curve.empty()) continue;
    const double batch = *row.step_s * *row.rate;
    chart.series[0].marks.push_back(
        {row.processes, *row.step_s * 1e3, batch / row.rate_most * 1e3, batch / row.rate_least * 1e3});
  }
  for (const ScalePoint& each : answer.curve) {
    const Mark mark{each.processes, each.step.step_s * 1e3, each.step.low_s * 1e3, each.step.high_s * 1e3};
    chart.series[1].marks.push_back({mark.x, mark.y});
    chart.band.push_back(mark);
  }
  return if_worth(std::move(chart), 2);
}

}  // namespace trainmark::report

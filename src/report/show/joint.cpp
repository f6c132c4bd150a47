// Which tables several runs get, in the order in which a reader asks: how fast, who won by what, where to go next.
#include <algorithm>

#include "report/show/charts.hpp"

namespace trainmark::report {
namespace {

/// The memory that env.json names is a tier, where nobody states one.
std::vector<Tier> with_memory(std::vector<Tier> tiers, std::span<const RunReport> runs) {
  const bool stated = std::ranges::any_of(tiers, [](const Tier& each) { return each.name == "dram"; });
  const auto known =
      std::ranges::find_if(runs, [](const RunReport& run) { return run.facts.memory_bytes.has_value(); });
  if (!stated && known != runs.end()) tiers.push_back({"dram", *known->facts.memory_bytes});
  return tiers;
}

/// A chart stands above the table that has its numbers.
Grid with(Grid grid, std::initializer_list<std::optional<Chart>> charts) {
  for (const std::optional<Chart>& chart : charts)
    if (chart) grid.charts.push_back(*chart);
  return grid;
}

}  // namespace

std::vector<Grid> joint_tables(std::span<const RunReport> runs, const Questions& questions) {
  constexpr std::size_t most_listed = 50;
  const std::vector<Group> groups = group_runs(runs);
  const std::vector<GroupConvergence> convergence = convergence_of(groups, questions.instances);
  const std::vector<Tier> tiers = with_memory(questions.tiers, runs);
  const std::vector<ScaleRow> scale = scale_rows(groups, tiers);
  std::vector<Grid> grids;
  if (runs.size() > 1) grids.push_back(with(score_table(convergence), {repeats_chart(convergence)}));
  grids.push_back(throughput_table(throughput_of(groups, questions.instances)));
  if (std::ranges::any_of(convergence, [](const auto& row) { return row.mean_epochs.has_value(); })) {
    grids.push_back(with(convergence_table(convergence), {convergence_chart(convergence)}));
    grids.push_back(critical_batch_table(convergence));
  }
  grids.push_back(difference_table(groups));
  if (scale.size() > 1 || (!scale.empty() && (!questions.tiers.empty() || questions.what_if))) {
    grids.push_back(with(scale_table(scale), {interplay_chart(scale), data_chart(scale, tiers)}));
    grids.push_back(factor_table(scale));
  }
  if (questions.what_if) {
    const WhatIfAnswer next = answer(*questions.what_if, scale, tiers);
    grids.push_back(what_if_table(next));
    grids.push_back(with(curve_table(next), {step_chart(scale, next)}));
  }
  if (runs.size() > 1 && runs.size() <= most_listed) grids.push_back(run_table(runs));
  std::erase_if(grids, [](const Grid& grid) { return grid.rows.empty() && grid.remarks.empty(); });
  return grids;
}

}  // namespace trainmark::report

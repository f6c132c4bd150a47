// Rows are groups of runs; factors are ratios of their own figures, so their product holds by construction.
#include "report/analyse/scale.hpp"

#include <algorithm>
#include <map>
#include <tuple>

#include "report/analyse/staging_model.hpp"
#include "report/analyse/statistics.hpp"

namespace trainmark::report {
namespace {

std::optional<double> median_in(const std::vector<double>& values) {
  return values.empty() ? std::nullopt : std::optional(quantile_of(values, 0.5));
}

void add_rates(ScaleRow& row) {
  const std::vector<double> rates = figures_of(*row.group, "samples/s median epoch");
  row.rate = median_in(rates);
  if (!row.rate) return;
  row.rate_least = *std::ranges::min_element(rates);
  row.rate_most = *std::ranges::max_element(rates);
  const std::optional<double> batch = row.group->first().facts.batch_samples;
  if (batch && *row.rate > 0.0) row.step_s = *batch / *row.rate;
}

void add_times(ScaleRow& row) {
  std::vector<double> staging, evaluation;
  for (const RunReport* run : row.group->runs) {
    if (!run->facts.found_staged) staging.push_back(run->terms.staging_s + run->staging_outside_s);
    // Not each epoch ends in an evaluation, and a block has one for several.
    double epochs = 0.0;
    for (const EpochReport& epoch : run->epochs)
      epochs += epoch.epochs;
    if (epochs > 0.0 && !run->broke_off) evaluation.push_back(run->terms.evaluation_s / epochs);
  }
  row.epochs = mean_outcome(outcomes_of(*row.group, "epochs to target"));
  if (row.epochs) row.time_s = mean_outcome(outcomes_of(*row.group, "time to train"));
  row.staging_s = median_in(staging);
  row.evaluation_s = median_in(evaluation);
}

void add_data(ScaleRow& row, std::span<const Tier> tiers) {
  const RunFacts& facts = row.group->first().facts;
  if (!row.nodes) return;
  row.share_of_node = group_of(facts).value_or(1.0) / *row.nodes;
  if (!facts.sample_bytes || !facts.train_samples) return;
  row.bytes_per_node =
      *facts.sample_bytes * (*facts.train_samples + facts.evaluation_samples.value_or(0.0)) * *row.share_of_node;
  if (!tiers.empty()) row.tier = fastest_tier(*row.bytes_per_node, tiers);
}

double besides(const ScaleRow& row) {
  const double samples = row.group->first().facts.train_samples.value_or(0.0);
  return *row.time_s / (*row.epochs * samples / *row.rate);
}

bool complete(const ScaleRow& row) {
  return row.rate && row.epochs && row.time_s && row.group->first().facts.train_samples;
}

void add_factors(ScaleRow& row, const ScaleRow& base) {
  if (!complete(row) || !complete(base)) return;
  ScaleFactors factors;
  factors.processes = base.processes / row.processes;
  factors.rate = (*base.rate / base.processes) / (*row.rate / row.processes);
  if (row.local_batch && base.local_batch && row.local_batch == base.local_batch) factors.communication = factors.rate;
  factors.epochs = *row.epochs / *base.epochs;
  factors.besides = besides(row) / besides(base);
  factors.time = *row.time_s / *base.time_s;
  row.factors = factors;
}

}  // namespace

std::optional<double> share_of_step(const Group& group, std::string_view term) {
  std::vector<double> shares;
  for (const RunReport* run : group.runs) {
    const Figure *part = run->find(term), *step = run->find("mean step");
    if (part != nullptr && step != nullptr && step->value > 0.0) shares.push_back(part->value / step->value);
  }
  return median_in(shares);
}

std::string fastest_tier(double bytes, std::span<const Tier> tiers) {
  const std::optional<Tier> tier = fastest_tier_for(bytes, tiers);
  return tier ? tier->name : "none";
}

std::vector<ScaleRow> scale_rows(std::span<const Group> groups, std::span<const Tier> tiers) {
  std::vector<ScaleRow> rows;
  for (const Group& group : groups) {
    const RunFacts& facts = group.first().facts;
    if (!facts.processes) continue;
    ScaleRow row;
    row.group = &group;
    row.series = series_of(group.first());
    row.nodes = facts.nodes;
    row.processes = *facts.processes;
    row.local_batch = facts.local_batch();
    row.runs = group.runs.size();
    add_rates(row);
    add_times(row);
    add_data(row, tiers);
    rows.push_back(std::move(row));
  }
  std::ranges::stable_sort(rows, {}, [](const ScaleRow& each) { return std::tie(each.series, each.processes); });
  std::map<std::string, const ScaleRow*> bases;
  for (ScaleRow& row : rows) {
    const auto [base, fresh] = bases.try_emplace(row.series + task_of(row.group->first()), &row);
    if (!complete(*base->second)) base->second = &row;
    add_factors(row, *base->second);
  }
  return rows;
}

std::vector<StepObservation> observations_of(std::span<const ScaleRow> rows) {
  std::vector<StepObservation> seen;
  for (const ScaleRow& row : rows) {
    if (!row.step_s || !row.local_batch) continue;
    const std::vector<double> rates = figures_of(*row.group, "samples/s median epoch");
    seen.push_back({row.processes, *row.local_batch, *row.step_s,
                    rates.size() < 3 ? 0.0 : deviation_of(rates) / mean_of(rates),
                    share_of_step(*row.group, "mean step, exposed all-reduce")});
    if (seen.back().exposed_s) *seen.back().exposed_s *= *row.step_s;
  }
  return seen;
}

}  // namespace trainmark::report

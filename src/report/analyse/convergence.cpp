// Epochs, their references, and what of a score's spread they explain.
#include "report/analyse/convergence.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

namespace trainmark::report {
namespace {

bool counts(const RunReport& run) {
  return run.target_met && run.find("epochs to target") != nullptr && run.find("time to train") != nullptr;
}

void add_reference(GroupConvergence& row) {
  const RunReport& run = row.group->first();
  const double samples = reference_samples(run.benchmark);
  if (samples == 0.0) {
    row.how = "the rules have no convergence points for this workload";
  } else if (!run.incomparable.empty()) {
    row.how = "not the benchmark's: " + run.incomparable.front();
  } else if (run.facts.train_samples.value_or(0.0) != samples) {
    row.how = fmt::format("the rules' convergence points are of {} training samples", samples);
  } else if (!run.facts.batch_samples) {
    row.how = "the log has no global_batch_size";
  } else if (run.generated_data) {
    row.how = "generated data: its epochs mean nothing beside the reference's";
  } else {
    const ExpectedEpochs reference = reference_epochs(run.benchmark, *run.facts.batch_samples);
    row.reference = reference.point;
    row.how = reference.how;
    row.checked = checked_epochs(run.benchmark, *run.facts.batch_samples).point;
  }
  if (!row.mean_epochs) return;
  if (row.reference) row.factor = *row.mean_epochs / row.reference->epochs;
  if (!row.checked) return;
  row.normalised_by = normalisation(*row.checked, *row.mean_epochs);
  row.too_fast = *row.mean_epochs < row.checked->least_epochs;
}

std::optional<Spread> spread_of(std::span<const double> times, std::span<const double> epochs) {
  const std::size_t n = times.size();
  if (n < 3) return std::nullopt;
  std::vector<double> pace, log_time, log_epochs, log_pace;
  for (std::size_t i = 0; i < n; ++i) {
    pace.push_back(times[i] / epochs[i]);
    log_time.push_back(std::log(times[i]));
    log_epochs.push_back(std::log(epochs[i]));
    log_pace.push_back(std::log(pace[i]));
  }
  const auto percent = [](std::span<const double> values) { return 100.0 * deviation_of(values) / mean_of(values); };
  const auto variance = [](std::span<const double> values) { return std::pow(deviation_of(values), 2); };
  Spread spread{n, percent(times), percent(epochs), percent(pace), 0.0};
  const double whole = variance(log_time);
  if (!(whole > 0.0)) return spread;
  const double covariance = (whole - variance(log_epochs) - variance(log_pace)) / 2.0;
  spread.epochs_share_percent = 100.0 * (variance(log_epochs) + covariance) / whole;
  return spread;
}

GroupConvergence convergence_of_group(const Group& group, bool instances) {
  GroupConvergence row;
  row.group = &group;
  row.score = score_of(group, instances);
  row.last_metrics = figures_of(group, "last metric");
  std::set<std::string> seeds;
  std::vector<double> times, their_epochs;
  for (const RunReport* run : group.runs) {
    if (!run->facts.seed.empty()) seeds.insert(run->facts.seed);
    const Figure* epochs = run->find("epochs to target");
    const Figure* time = run->find("time to train");
    if (!counts(*run) || !(epochs->value > 0.0) || !(time->value > 0.0)) continue;
    their_epochs.push_back(epochs->value);
    times.push_back(time->value);
  }
  row.seeds = seeds.size();
  const std::vector<double> outcomes = outcomes_of(group, "epochs to target");
  std::ranges::copy_if(outcomes, std::back_inserter(row.epochs), [](double each) { return std::isfinite(each); });
  row.missed = outcomes.size() - row.epochs.size();
  row.mean_epochs = mean_outcome(outcomes);
  row.spread = spread_of(times, their_epochs);
  row.broke_off = static_cast<std::size_t>(std::ranges::count_if(group.runs, &RunReport::broke_off));
  if (row.score.minutes && times.size() + row.broke_off == group.runs.size()) {
    row.score_min = bootstrap(times, olympic_of);
    if (row.score_min) row.score_min = Bounds{row.score_min->low / 60.0, row.score_min->high / 60.0};
  }
  add_reference(row);
  return row;
}

CriticalBatchAnswer fit_critical(const std::string& workload, const std::map<double, std::vector<double>>& batches) {
  if (batches.size() < 3)
    return {std::nullopt, fmt::format("{}: a critical batch is fitted from three batches on; runs on target are of {}",
                                      workload, batches.size())};
  std::vector<WeightedPoint> points;
  CriticalBatch fit{workload, batches.size(), 0, 0.0, 0.0, 0.0, batches.begin()->first, batches.rbegin()->first};
  for (const auto& [batch, epochs] : batches) {
    points.push_back({batch, *mean_outcome(epochs), static_cast<double>(epochs.size())});
    fit.runs += epochs.size();
  }
  const std::optional<Line> line = fit_line(points);
  if (!line || !(line->slope > 0.0) || !(line->intercept > 0.0))
    return {std::nullopt, fmt::format("{}: epochs do not grow with the batch as a line above zero: no critical batch "
                                      "can be told",
                                      workload)};
  fit.least_epochs = line->intercept;
  fit.critical_batch = line->intercept / line->slope;
  for (const WeightedPoint& each : points) {
    const double model = line->intercept + line->slope * each.x;
    fit.largest_residual_percent = std::max(fit.largest_residual_percent, 100.0 * std::abs(each.y / model - 1.0));
  }
  return {fit, {}};
}

}  // namespace

std::vector<GroupConvergence> convergence_of(std::span<const Group> groups, bool instances) {
  std::vector<GroupConvergence> rows;
  for (const Group& group : groups)
    rows.push_back(convergence_of_group(group, instances));
  return rows;
}

std::vector<CriticalBatchAnswer> critical_batches(std::span<const GroupConvergence> rows) {
  std::map<std::string, std::map<double, std::vector<double>>> tasks;
  std::map<std::string, Traits> traits;
  std::map<std::string, std::vector<Traits>> alike;  // tasks of a workload
  for (const GroupConvergence& row : rows) {
    const RunReport& run = row.group->first();
    if (!run.facts.batch_samples || row.epochs.empty()) continue;
    auto& epochs = tasks[task_of(run)][*run.facts.batch_samples];
    for (const double each : outcomes_of(*row.group, "epochs to target"))
      epochs.push_back(each);
    if (traits.try_emplace(task_of(run), task_traits(run)).second) alike[run.benchmark].push_back(task_traits(run));
  }
  std::vector<CriticalBatchAnswer> answers;
  for (auto& [task, batches] : tasks) {
    std::erase_if(batches, [](const auto& each) { return !mean_outcome(each.second); });
    const std::string workload = traits[task]["workload"];
    std::string name = workload;
    for (const std::string& each : differing(alike[workload]))
      name += fmt::format(", {} {}", each, value_in(traits[task], each));
    answers.push_back(fit_critical(name, batches));
  }
  return answers;
}

std::vector<Difference> differences_of(std::span<const Group> groups) {
  struct Timed {
    const Group* group;
    std::vector<double> times;
  };
  std::map<std::string, std::vector<Timed>> workloads;
  for (const Group& group : groups) {
    std::vector<double> times = outcomes_of(group, "time to train");
    if (times.size() >= 3 && std::ranges::none_of(times, [](double each) { return std::isinf(each); }))
      workloads[task_of(group.first())].push_back({&group, std::move(times)});
  }
  std::vector<Difference> differences;
  for (const auto& [workload, timed] : workloads) {
    const auto fastest = std::ranges::min_element(timed, {}, [](const Timed& each) { return mean_of(each.times); });
    for (const Timed& each : timed) {
      if (&each == &*fastest) continue;
      const std::optional<double> p = welch_p(fastest->times, each.times);
      if (!p) continue;
      differences.push_back({fastest->group, each.group, fastest->times.size(), each.times.size(), *p,
                             100.0 * (mean_of(each.times) / mean_of(fastest->times) - 1.0)});
    }
  }
  return differences;
}

}  // namespace trainmark::report

// An empirical model: what cannot be told from the runs at hand comes from published series, and so does its error.
#include "report/analyse/step_model.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "report/analyse/published.hpp"
#include "report/analyse/statistics.hpp"

namespace trainmark::report {
namespace {

constexpr double far_doublings = 3.0;  // 8 times

struct Entry {
  StepObservation seen;
  std::string_view round, division;
};
using Series = std::map<std::string_view, std::vector<Entry>>;

const Series& all_series() {
  static const Series series = [] {
    Series found;
    for (const Published& each : published_results())
      if (!each.series.empty() && each.step_ms && each.devices && each.local_batch_samples)
        found[each.series].push_back(
            {{*each.devices, *each.local_batch_samples, *each.step_ms / 1e3, 0.0}, each.round, each.division});
    for (auto& [name, entries] : found)
      std::ranges::stable_sort(entries, {}, [](const Entry& each) { return each.seen.processes; });
    return found;
  }();
  return series;
}

bool alike(double one, double other) { return std::abs(one / other - 1.0) < 0.01; }
double doublings(double from, double to) { return std::log2(to / from); }

std::vector<double> growths(std::string_view without) {
  std::vector<double> all;
  for (const auto& [name, entries] : all_series()) {
    if (name == without) continue;
    for (std::size_t i = 1; i < entries.size(); ++i) {
      const Entry& one = entries[i - 1];
      const Entry& other = entries[i];
      const bool one_code = one.round == other.round && one.division == other.division;
      if (!one_code || !alike(one.seen.local_batch, other.seen.local_batch)) continue;
      const double more = doublings(one.seen.processes, other.seen.processes);
      if (more > 0.0) all.push_back((other.seen.step_s / one.seen.step_s - 1.0) / more);
    }
  }
  return all;
}

double grown(double step_s, double growth, double more) {
  return more >= 0.0 ? step_s * (1.0 + growth * more) : step_s / (1.0 - growth * more);
}

struct Point {
  double step_s = 0.0, away = 0.0, deviation = 0.0;
  std::string basis;
  bool of_network = false;
  std::optional<double> otherwise_s = std::nullopt;  // the step by another shape of growth that the runs leave possible
};

/// What a ring moves through each of N processes, as a multiple of the gradients: nothing alone, never twice.
double ring(double processes) { return processes < 2.0 ? 0.0 : 2.0 * (processes - 1.0) / processes; }

double nearest_in(std::span<const StepObservation> seen, double StepObservation::*part, double value) {
  double least = HUGE_VAL;
  for (const StepObservation& each : seen)
    least = std::min(least, std::abs(doublings(each.*part, value)));
  return least;
}

/// Of several numbers of devices. Among several of more than one the line holds whatever grows. Sums over ranks are
/// not there for a rank alone, all at once for two, and then grow as a ring's volume: where a rank alone is among the
/// runs they stand beside the line. Runs that do not tell them leave both shapes possible.
void grow(Point& point, std::span<const StepObservation> seen, double processes) {
  std::vector<WeightedPoint> steps, rest, sums;
  std::vector<double> alone, stood_still;
  bool told = true;
  const StepObservation* near = nullptr;  // of those that sum over ranks
  for (const StepObservation& each : seen) {
    const double x = std::log2(each.processes);
    const double exposed = each.processes < 2.0 ? 0.0 : std::min(each.step_s, each.exposed_s.value_or(0.0));
    steps.push_back({x, each.step_s, 1.0});
    rest.push_back({x, each.step_s - exposed, 1.0});
    if (each.processes < 2.0) {
      alone.push_back(each.step_s);
      continue;
    }
    told = told && each.exposed_s;
    sums.push_back({x, exposed, 1.0});
    stood_still.push_back(exposed);
    if (near == nullptr ||
        std::abs(doublings(each.processes, processes)) < std::abs(doublings(near->processes, processes)))
      near = &each;
  }
  const auto at = [&](const Line& line) { return line.intercept + line.slope * std::log2(processes); };
  point.step_s = at(fit_line(steps).value());
  if (alone.empty() || near == nullptr) return;
  const double volume = ring(processes) / ring(near->processes);  // against what is seen
  if (!told) {
    const double by_itself = mean_of(alone);
    point.otherwise_s = by_itself + (near->step_s - by_itself) * volume;
    return;
  }
  const std::optional<Line> line = fit_line(sums);
  const double exposed = line ? std::max(0.0, at(*line)) : mean_of(stood_still) * volume;
  point.step_s = at(fit_line(rest).value()) + (processes < 2.0 ? 0.0 : exposed);
  point.basis = line ? ", exposed sums over ranks by themselves" : ", exposed sums over ranks by a ring's volume";
}

Point of_same_batch(std::span<const StepObservation> seen, double processes, const Experience& experience,
                    const std::optional<StatedNetwork>& network) {
  const StepObservation& near = *std::ranges::min_element(
      seen, {}, [processes](const StepObservation& each) { return std::abs(doublings(each.processes, processes)); });
  Point point{near.step_s, std::abs(doublings(near.processes, processes)), near.deviation, {}};
  std::set<double> counts;
  for (const StepObservation& each : seen)
    counts.insert(each.processes);
  if (point.away == 0.0) {
    point.basis = "runs at this number of devices";
  } else if (counts.size() > 1) {
    grow(point, seen, processes);
    point.basis = fmt::format("a line over log2 of {} numbers of devices{}", counts.size(), point.basis);
  } else if (network) {
    point.step_s += network->exposed_s(processes) - network->exposed_s(near.processes);
    point.basis = fmt::format("runs on {} devices and the stated network", near.processes);
    point.of_network = true;
  } else {
    point.step_s = grown(near.step_s, experience.growth, doublings(near.processes, processes));
    point.basis = fmt::format("runs on {} devices and {:.1f} % a doubling (median of {} published pairs)",
                              near.processes, 100.0 * experience.growth, experience.growths);
  }
  return point;
}

std::optional<Point> of_other_batches(std::span<const StepObservation> seen, double processes, double local_batch,
                                      const Experience& experience) {
  std::vector<WeightedPoint> points;
  double fewest = HUGE_VAL, most = 0.0, deviation = 0.0;
  for (const StepObservation& each : seen) {
    points.push_back({each.local_batch, each.step_s, 1.0});
    fewest = std::min(fewest, each.processes);
    most = std::max(most, each.processes);
    deviation = std::max(deviation, each.deviation);
  }
  const std::optional<Line> line = fit_line(points);
  if (!line) return std::nullopt;
  const double beyond = doublings(std::clamp(processes, fewest, most), processes);
  Point point;
  point.step_s = grown(line->intercept + line->slope * local_batch, experience.growth, beyond);
  point.away = std::abs(beyond) + nearest_in(seen, &StepObservation::local_batch, local_batch);
  point.deviation = deviation;
  point.basis = fmt::format("a line over {} local batches", points.size());
  if (beyond != 0.0)
    point.basis += fmt::format(" and {:.1f} % a doubling of devices (median of {} published pairs)",
                               100.0 * experience.growth, experience.growths);
  return point;
}

std::vector<LeftOut> leave_out(const std::string_view series, const Experience& experience) {
  std::vector<LeftOut> results;
  const std::vector<Entry>& entries = all_series().at(series);
  for (std::size_t i = 0; i < entries.size(); ++i) {
    std::vector<StepObservation> others;
    for (std::size_t j = 0; j < entries.size(); ++j)
      if (j != i) others.push_back(entries[j].seen);
    const StepObservation& real = entries[i].seen;
    results.push_back({std::string(series), real.processes, real.local_batch, real.step_s,
                       predict_step(others, real.processes, real.local_batch, experience)});
  }
  return results;
}

}  // namespace

double StatedNetwork::exposed_s(double processes) const noexcept {
  if (processes < 2.0) return 0.0;
  const double volume = 2.0 * (processes - 1.0) / processes * gradient_bytes;
  return std::max(0.0, volume / bytes_per_s + 2.0 * std::log2(processes) * latency_s - hidden_s);
}

StepAnswer predict_step(std::span<const StepObservation> seen, double processes, double local_batch,
                        const Experience& experience, const std::optional<StatedNetwork>& network) {
  if (seen.empty()) return {std::nullopt, "no run tells its step: batch, rate and number of devices are needed"};
  std::vector<StepObservation> same;
  for (const StepObservation& each : seen)
    if (alike(each.local_batch, local_batch)) same.push_back(each);
  const std::optional<Point> point = same.empty() ? of_other_batches(seen, processes, local_batch, experience)
                                                  : of_same_batch(same, processes, experience, network);
  if (!point)
    return {std::nullopt, fmt::format("all runs have a local batch of {:g}: what a step takes at {:g} is not in them; "
                                      "report on runs at two local batches, or ask for batch={}",
                                      seen.front().local_batch, local_batch, seen.front().local_batch * processes)};
  if (!(point->step_s > 0.0)) return {std::nullopt, "the runs lead to a step of no time there"};
  const double model = experience.error_a_root_doubling * std::sqrt(point->away);
  const double tail = 1.2816 * point->deviation;  // 80 % of a normal distribution
  const double half = std::sqrt(model * model + tail * tail);
  const auto [less, more] = std::minmax({point->step_s, point->otherwise_s.value_or(point->step_s)});
  return {StepPrediction{point->step_s, less * std::max(0.0, 1.0 - half), more * (1.0 + half), point->away,
                         point->away > far_doublings + 1e-9, point->basis, point->of_network},
          {}};
}

Experience published_experience(std::string_view without_series) {
  const std::vector<double> all = growths(without_series);
  Experience experience{quantile_of(all, 0.5), all.size(), 0.0, 0};
  std::vector<double> errors;
  for (const auto& [name, entries] : all_series()) {
    if (name == without_series) continue;
    for (const LeftOut& each : leave_out(name, experience))
      if (each.answer.prediction && each.answer.prediction->doublings > 0.0)
        errors.push_back(std::abs(each.step_s / each.answer.prediction->step_s - 1.0) /
                         std::sqrt(each.answer.prediction->doublings));
  }
  experience.error_a_root_doubling = quantile_of(errors, interval_share);
  experience.errors = errors.size();
  return experience;
}

std::vector<LeftOut> leave_one_out() {
  std::vector<LeftOut> results;
  for (const auto& [name, entries] : all_series()) {
    const std::vector<LeftOut> of_series = leave_out(name, published_experience(name));
    results.insert(results.end(), of_series.begin(), of_series.end());
  }
  return results;
}

}  // namespace trainmark::report

// Follows mlperf_logging's rcp_checker: its statistics, its pruning and its test, without its binary search, which has
// a closed form.
#include "report/analyse/references.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>

#include "report/analyse/statistics.hpp"
#include "report/analyse/table.hpp"
#include "report/published_data.hpp"

namespace trainmark::report {
namespace {

using Points = std::vector<ReferencePoint>;

/// "16x1 17x2 18x16": epochs x runs, ascending.
std::vector<double> runs_in(std::string_view text) {
  std::vector<double> epochs;
  while (!text.empty()) {
    double value = 0.0;
    int count = 0;
    const char* end = text.data() + text.size();
    const char* next = std::from_chars(text.data(), end, value).ptr;
    next = std::from_chars(next == end ? end : next + 1, end, count).ptr;
    epochs.insert(epochs.end(), static_cast<std::size_t>(count), value);
    text.remove_prefix(static_cast<std::size_t>(next == end ? end - text.data() : next + 1 - text.data()));
  }
  return epochs;
}

/// The least mean of a score's runs that a one-sided t-test at 5 % does not tell from the reference's, if both vary
/// alike.
double least_mean(double mean, double deviation, double reference_runs, double score_runs) {
  if (deviation == 0.0) return mean;
  const double freedom = reference_runs + score_runs - 2.0;
  return mean - student_quantile(0.95, freedom) * deviation * std::sqrt(1.0 / reference_runs + 1.0 / score_runs);
}

double deviation_over_n(const std::vector<double>& values) {
  const double n = static_cast<double>(values.size());
  return deviation_of(values) * std::sqrt((n - 1.0) / n);
}

std::map<std::pair<std::string_view, std::string_view>, Points> read_points() {
  static const Table table(published_convergence_csv);
  std::map<std::pair<std::string_view, std::string_view>, Points> all;
  for (std::size_t row = 0; row < table.rows(); ++row) {
    const std::string_view workload = table.text(row, "workload");
    const std::vector<double> epochs = runs_in(table.text(row, "epochs"));
    ReferencePoint point;
    point.batch_samples = table.number(row, "batch_samples").value_or(0.0);
    point.epochs = olympic_of(epochs);
    point.deviation = deviation_over_n(epochs);
    point.runs = static_cast<double>(epochs.size());
    point.fastest = epochs.front();
    point.slowest = epochs.back();
    point.least_epochs = least_mean(point.epochs, point.deviation, point.runs - 2.0, runs_of_a_score(workload) - 2.0);
    all[{workload, table.text(row, "rules")}].push_back(point);
  }
  return all;
}

ReferencePoint between(const ReferencePoint& low, const ReferencePoint& high, double batch, int score_runs) {
  const double part = (batch - low.batch_samples) / (high.batch_samples - low.batch_samples);
  const auto mix = [part](double one, double other) { return one + part * (other - one); };
  ReferencePoint point;
  point.batch_samples = batch;
  point.epochs = mix(low.epochs, high.epochs);
  point.deviation = mix(low.deviation, high.deviation);
  point.fastest = mix(low.fastest, high.fastest);
  point.slowest = mix(low.slowest, high.slowest);
  point.least_epochs = least_mean(point.epochs, point.deviation, 2.0 * score_runs, score_runs - 2.0);
  return point;
}

/// Points that a smaller batch or the line between their neighbours undercuts are not held against anybody. In one walk
/// upwards, as the checker's: what remains need not be convex.
Points pruned(std::span<const ReferencePoint> all, int score_runs) {
  const auto fastest = std::ranges::min_element(all, {}, &ReferencePoint::epochs);
  Points points(fastest, all.end());
  for (std::size_t i = 1; i + 1 < points.size();) {
    const ReferencePoint line = between(points[i - 1], points[i + 1], points[i].batch_samples, score_runs);
    if (points[i].epochs > line.epochs)
      points.erase(points.begin() + static_cast<std::ptrdiff_t>(i));  // the next has the same place
    else
      ++i;
  }
  return points;
}

}  // namespace

std::span<const ReferencePoint> reference_points(std::string_view workload, std::string_view rules) {
  static const auto all = read_points();
  if (rules.empty()) rules = workload == "resnet" ? "4.0" : "3.0";
  const auto found = all.find({workload, rules});
  return found == all.end() ? std::span<const ReferencePoint>() : found->second;
}

double reference_samples(std::string_view workload) noexcept {
  if (workload == "cosmoflow") return 524288;
  if (workload == "deepcam") return 121266;
  return workload == "resnet" ? 1281167 : 0;
}

int runs_of_a_score(std::string_view workload) noexcept { return workload == "cosmoflow" ? 10 : 5; }

namespace {

ExpectedEpochs found_in(std::span<const ReferencePoint> points, std::string_view workload, double batch_samples,
                        bool below_too) {
  if (points.empty()) return {std::nullopt, "the rules have no convergence points for this workload"};
  const auto above = std::ranges::lower_bound(points, batch_samples, {}, &ReferencePoint::batch_samples);
  if (above == points.end())
    return {std::nullopt,
            fmt::format("the largest batch of the rules' convergence points is {}", points.back().batch_samples)};
  if (above->batch_samples == batch_samples) return {*above, "reference"};
  if (above != points.begin())
    return {between(*(above - 1), *above, batch_samples, runs_of_a_score(workload)), "interpolated"};
  if (below_too) return {*above, "the smallest batch's"};
  return {std::nullopt,
          fmt::format("the smallest batch of the rules' convergence points is {}", points.front().batch_samples)};
}

}  // namespace

ExpectedEpochs reference_epochs(std::string_view workload, double batch_samples) {
  return found_in(reference_points(workload), workload, batch_samples, false);
}

ExpectedEpochs checked_epochs(std::string_view workload, double batch_samples) {
  const auto all = reference_points(workload);
  return found_in(all.empty() ? Points() : pruned(all, runs_of_a_score(workload)), workload, batch_samples, true);
}

double normalisation(const ReferencePoint& reference, double epochs) noexcept {
  return epochs > 0.0 ? std::max(1.0, reference.epochs / epochs) : 1.0;
}

}  // namespace trainmark::report

// Small-sample statistics. Student's t is Boost.Math's; resampling is ours, since distributions of the standard library
// differ between machines.
#include "report/analyse/statistics.hpp"

#include <algorithm>
#include <boost/math/distributions/students_t.hpp>
#include <cmath>
#include <numeric>

#include "trainmark/core.hpp"

namespace trainmark::report {

double mean_of(std::span<const double> values) {
  if (values.empty()) return 0.0;
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

double deviation_of(std::span<const double> values) {
  if (values.size() < 2) return 0.0;
  const double mean = mean_of(values);
  double squares = 0.0;
  for (const double each : values)
    squares += (each - mean) * (each - mean);
  return std::sqrt(squares / static_cast<double>(values.size() - 1));
}

double quantile_of(std::vector<double> values, double share) {
  if (values.empty()) return 0.0;
  std::ranges::sort(values);
  const double place = share * static_cast<double>(values.size() - 1);
  const auto below = static_cast<std::size_t>(place);
  const std::size_t above = std::min(below + 1, values.size() - 1);
  if (place == static_cast<double>(below)) return values[below];  // the next may be infinite
  return values[below] + (place - static_cast<double>(below)) * (values[above] - values[below]);
}

double olympic_of(std::vector<double> values) {
  if (values.size() < 3) return mean_of(values);
  std::ranges::sort(values);
  return mean_of(std::span(values).subspan(1, values.size() - 2));
}

std::optional<Bounds> bootstrap(std::span<const double> values,
                                const std::function<double(std::vector<double>)>& statistic) {
  constexpr int resamples = 2000;
  if (values.size() < 3) return std::nullopt;
  Rng random(1, Purpose::sample_order);  // of runs: no data set is at hand
  std::vector<double> results, drawn(values.size());
  for (int i = 0; i < resamples; ++i) {
    for (double& each : drawn)
      each = values[random.below(values.size())];
    results.push_back(statistic(drawn));
  }
  const double tail = (1.0 - interval_share) / 2.0;
  return Bounds{quantile_of(results, tail), quantile_of(results, 1.0 - tail)};
}

double student_quantile(double share, double freedom) {
  return boost::math::quantile(boost::math::students_t(freedom), share);
}

std::optional<double> welch_p(std::span<const double> one, std::span<const double> other) {
  if (one.size() < 3 || other.size() < 3) return std::nullopt;
  const double n = static_cast<double>(one.size()), m = static_cast<double>(other.size());
  const double own = std::pow(deviation_of(one), 2) / n, their = std::pow(deviation_of(other), 2) / m;
  const double sum = own + their;
  if (!(sum > 0.0) || !std::isfinite(sum)) return std::nullopt;
  const double t = (mean_of(one) - mean_of(other)) / std::sqrt(sum);
  const double freedom = sum * sum / (own * own / (n - 1.0) + their * their / (m - 1.0));
  return 2.0 * boost::math::cdf(boost::math::complement(boost::math::students_t(freedom), std::abs(t)));
}

std::optional<Line> fit_line(std::span<const WeightedPoint> points) {
  double weights = 0.0, x_sum = 0.0, y_sum = 0.0;
  for (const WeightedPoint& each : points) {
    weights += each.weight;
    x_sum += each.weight * each.x;
    y_sum += each.weight * each.y;
  }
  if (!(weights > 0.0)) return std::nullopt;
  const double x_mean = x_sum / weights, y_mean = y_sum / weights;
  double xx = 0.0, xy = 0.0;
  for (const WeightedPoint& each : points) {
    xx += each.weight * (each.x - x_mean) * (each.x - x_mean);
    xy += each.weight * (each.x - x_mean) * (each.y - y_mean);
  }
  if (!(xx > 0.0)) return std::nullopt;
  Line line{y_mean - xy / xx * x_mean, xy / xx, 0.0};
  if (points.size() > 2) {
    double squares = 0.0;
    for (const WeightedPoint& each : points)
      squares += each.weight * std::pow(each.y - line.intercept - line.slope * each.x, 2);
    line.slope_error = std::sqrt(squares / static_cast<double>(points.size() - 2) / xx);
  }
  return line;
}

}  // namespace trainmark::report

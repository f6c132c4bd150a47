// What can be said of a handful of values: their spread, how sure their mean is, and whether two sets of them differ.
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <vector>

namespace trainmark::report {

/// All intervals of a report hold 80 %: a tenth lies below, a tenth above.
inline constexpr double interval_share = 0.8;
struct Bounds {
  double low = 0.0, high = 0.0;
};

[[nodiscard]] double mean_of(std::span<const double> values);  ///< 0 of none
/// Over n - 1; 0 below two values.
[[nodiscard]] double deviation_of(std::span<const double> values);
/// Linear between the order statistics (R's type 7); `share` in [0, 1]; 0 of none.
[[nodiscard]] double quantile_of(std::vector<double> values, double share);
/// Mean without the least and the most; of fewer than three values the plain mean.
[[nodiscard]] double olympic_of(std::vector<double> values);

/// Percentile bootstrap (Efron and Tibshirani 1993, chapter 13) with 2,000 resamples of a fixed seed: equal values give
/// equal bounds on every machine. None below three values.
[[nodiscard]] std::optional<Bounds> bootstrap(std::span<const double> values,
                                              const std::function<double(std::vector<double>)>& statistic);

/// Of Student's t with `freedom` degrees, for the lower tail `share`.
[[nodiscard]] double student_quantile(double share, double freedom);

/// Welch's test (1947) for equal means of two sets with their own variances: the chance of a difference as large as
/// this one among equals. None where either has fewer than three values or both do not vary.
[[nodiscard]] std::optional<double> welch_p(std::span<const double> one, std::span<const double> other);
/// At or above it two sets are said not to differ.
inline constexpr double differ_below = 0.05;

/// Least squares for y = intercept + slope x, each point with its weight. None where x does not vary.
struct Line {
  double intercept = 0.0, slope = 0.0;
  double slope_error = 0.0;  ///< its standard error from the residuals; 0 for two points
};
struct WeightedPoint {
  double x = 0.0, y = 0.0, weight = 1.0;
};
[[nodiscard]] std::optional<Line> fit_line(std::span<const WeightedPoint> points);

}  // namespace trainmark::report

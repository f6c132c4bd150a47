// Lines through points, with the error of their slope.
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "report/analyse/statistics.hpp"

namespace trainmark::report {
namespace {

TEST(FitLine, HasTheSlopesErrorFromWhatIsLeftOver) {
  // Mean x 1, y 2/3; sum of (x - 1)^2 is 2, of (x - 1) y is 1; what is left over is -1/6, 1/3, -1/6.
  const std::vector<WeightedPoint> points = {{0.0, 0.0}, {1.0, 1.0}, {2.0, 1.0}};
  const auto line = fit_line(points);
  ASSERT_TRUE(line.has_value());
  EXPECT_NEAR(line->slope, 0.5, 1e-12);
  EXPECT_NEAR(line->intercept, 1.0 / 6.0, 1e-12);
  EXPECT_NEAR(line->slope_error, std::sqrt(1.0 / 6.0 / 1.0 / 2.0), 1e-12);
}

TEST(FitLine, CountsAPointOfWeightTwoAsTwoPoints) {
  const std::vector<WeightedPoint> heavy = {{0.0, 0.0, 1.0}, {1.0, 1.0, 2.0}, {2.0, 1.0, 1.0}};
  const std::vector<WeightedPoint> twice = {{0.0, 0.0}, {1.0, 1.0}, {1.0, 1.0}, {2.0, 1.0}};
  EXPECT_NEAR(fit_line(heavy)->slope, fit_line(twice)->slope, 1e-12);
  EXPECT_NEAR(fit_line(heavy)->intercept, fit_line(twice)->intercept, 1e-12);
}

TEST(FitLine, NeedsTwoPlaces) {
  EXPECT_FALSE(fit_line(std::vector<WeightedPoint>{{1.0, 0.0}, {1.0, 2.0}}).has_value());
  EXPECT_FALSE(fit_line(std::vector<WeightedPoint>{}).has_value());
}

}  // namespace
}  // namespace trainmark::report

// Small-sample statistics against values worked out by hand, and what they make of too little.
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

TEST(Statistics, OfNothingOrOneAreNone) {
  EXPECT_EQ(mean_of({}), 0.0);
  EXPECT_EQ(quantile_of({}, 0.5), 0.0);
  EXPECT_EQ(deviation_of(std::vector{7.0}), 0.0);
  EXPECT_EQ(olympic_of({7.0}), 7.0);
  EXPECT_EQ(olympic_of({1.0, 9.0}), 5.0) << "without a least and a most there would be nothing left";
  EXPECT_EQ(olympic_of({9.0, 1.0, 4.0}), 4.0);
}

TEST(Quantile, LiesBetweenTheValuesAroundIt) {
  EXPECT_EQ(quantile_of({30.0, 10.0, 20.0}, 0.0), 10.0);
  EXPECT_EQ(quantile_of({30.0, 10.0, 20.0}, 1.0), 30.0);
  EXPECT_EQ(quantile_of({30.0, 10.0, 20.0}, 0.5), 20.0);
  EXPECT_NEAR(quantile_of({30.0, 10.0, 20.0}, 0.6), 22.0, 1e-12);
}

TEST(Bootstrap, HoldsTheMiddleOfWhatDrawingAgainGives) {
  const auto mean = [](const std::vector<double>& values) { return mean_of(values); };
  const std::vector<double> values = {1.0, 2.0, 3.0, 4.0, 5.0};
  EXPECT_FALSE(bootstrap(std::span(values).first(2), mean).has_value());
  const Bounds bounds = bootstrap(values, mean).value();
  // The mean of five drawn from these deviates by sqrt(2 / 5); a tenth of a normal distribution lies beyond 1.2816.
  EXPECT_NEAR(bounds.low, 3.0 - 1.2816 * std::sqrt(0.4), 0.1);
  EXPECT_NEAR(bounds.high, 3.0 + 1.2816 * std::sqrt(0.4), 0.1);
  const Bounds same = bootstrap(std::vector{2.0, 2.0, 2.0}, mean).value();
  EXPECT_EQ(same.low, 2.0);
  EXPECT_EQ(same.high, 2.0);
}

TEST(WelchsTest, NeedsThreeOfEachAndASpread) {
  const std::vector<double> three = {1.0, 2.0, 3.0}, flat = {2.0, 2.0, 2.0};
  EXPECT_FALSE(welch_p(std::span(three).first(2), three).has_value());
  EXPECT_FALSE(welch_p(three, std::span(three).first(2)).has_value());
  EXPECT_FALSE(welch_p(flat, flat).has_value());
  EXPECT_NEAR(welch_p(three, three).value(), 1.0, 1e-12);
  EXPECT_NEAR(welch_p(three, flat).value(), 1.0, 1e-12) << "one of them may have none";
}

TEST(StudentsT, LeavesHalfOnEitherSide) {
  EXPECT_NEAR(student_quantile(0.5, 3.0), 0.0, 1e-12);
  EXPECT_NEAR(student_quantile(0.975, 4.0), 2.776445, 1e-5);
}

}  // namespace
}  // namespace trainmark::report

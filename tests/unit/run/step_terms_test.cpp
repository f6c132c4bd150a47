// Terms of a step add up to it; quantiles of any number of times are as exact as they say.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>

#include "run/record/distribution.hpp"
#include "run/record/step_terms.hpp"

namespace trainmark {
namespace {

TEST(StepTerms, GiveWhatIsLeftToTheHost) {
  const StepTerms step(10.0, 1.0, 0.5, 7.0, 2.0);
  EXPECT_DOUBLE_EQ(step[Term::input], 1.0);
  EXPECT_DOUBLE_EQ(step[Term::upload], 0.5);
  EXPECT_DOUBLE_EQ(step[Term::compute], 5.0);
  EXPECT_DOUBLE_EQ(step[Term::all_reduce], 2.0);
  EXPECT_DOUBLE_EQ(step[Term::host], 1.5);
  EXPECT_DOUBLE_EQ(step.sum(), 10.0);
}

TEST(StepTerms, TakeFromComputationWhatClocksDisagreeAbout) {
  const StepTerms step(10.0, 1.0, 0.5, 9.0, 2.0);
  EXPECT_DOUBLE_EQ(step[Term::compute], 6.5);
  EXPECT_DOUBLE_EQ(step[Term::host], 0.0);
  EXPECT_DOUBLE_EQ(step.sum(), 10.0);
}

TEST(Distribution, KnowsItsQuantilesToHalfAPercent) {
  std::mt19937_64 random(7);
  std::lognormal_distribution<double> times(-5.0, 2.0);
  Distribution distribution;
  std::vector<double> all;
  for (int i = 0; i < 20000; ++i) {
    all.push_back(times(random));
    distribution.add(all.back());
  }
  std::ranges::sort(all);
  for (const double share : {0.01, 0.25, 0.5, 0.9, 0.99, 0.999}) {
    const double exact = all[static_cast<std::size_t>(std::ceil(share * 20000.0)) - 1];
    EXPECT_NEAR(distribution.quantile(share), exact, 0.0051 * exact) << share;
  }
  EXPECT_EQ(distribution.max(), all.back());
  EXPECT_EQ(distribution.count(), 20000);
}

TEST(Distribution, HoldsNothingAndExtremes) {
  Distribution distribution;
  EXPECT_EQ(distribution.quantile(0.5), 0.0);
  distribution.add(0.0);
  EXPECT_EQ(distribution.quantile(0.5), 0.0);
  distribution.add(1e9);
  distribution.add(1e9);
  EXPECT_GT(distribution.quantile(0.5), 9e4) << "the last class has no end";
  EXPECT_EQ(distribution.max(), 1e9);
}

}  // namespace
}  // namespace trainmark

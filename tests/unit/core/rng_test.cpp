// The generator against published vectors, the samplers against the moments of their distributions.
#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "trainmark/core.hpp"

namespace trainmark {
namespace {

using Words = std::array<std::uint32_t, 4>;

struct Moments {
  double mean = 0.0, variance = 0.0;
};
template <class Draw>
Moments moments_of(int count, Draw draw) {
  double sum = 0.0, squares = 0.0;
  for (int at = 0; at < count; ++at) {
    const double value = draw();
    sum += value;
    squares += value * value;
  }
  const double mean = sum / count;
  return {mean, squares / count - mean * mean};
}

TEST(Philox, GivesTheKnownAnswersOfRandom123) {
  static_assert(philox(0, {0, 0, 0, 0})[0] == 0x6627e8d5);
  EXPECT_EQ(philox(0, {0, 0, 0, 0}), (Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(philox(0xffffffffffffffff, {0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}),
            (Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(philox(0x299f31d0a4093822, {0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}),
            (Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(UnitFloat, ReachesZeroButNotOne) {
  EXPECT_EQ(unit_float(0), 0.0F);
  EXPECT_LT(unit_float(0xffffffff), 1.0F);
}

TEST(Rng, RepeatsItselfForOneKeyAndDiffersForAnother) {
  const auto first_words = [](Rng rng) {
    std::vector<std::uint32_t> words;
    for (int at = 0; at < 9; ++at)
      words.push_back(rng.bits());
    return words;
  };
  const auto words = first_words(Rng(7, Purpose::test, 3, 4));
  EXPECT_EQ(words, first_words(Rng(7, Purpose::test, 3, 4)));
  EXPECT_NE(words, first_words(Rng(8, Purpose::test, 3, 4)));
  EXPECT_NE(words, first_words(Rng(7, Purpose::warm_up, 3, 4)));
  EXPECT_NE(words, first_words(Rng(7, Purpose::test, 4, 4)));
  EXPECT_NE(words, first_words(Rng(7, Purpose::test, std::uint64_t{3} << 32, 4)));
  EXPECT_NE(words, first_words(Rng(7, Purpose::test, 3, 5)));
}

TEST(Rng, DrawsUniformNumbersOfTheRightMoments) {
  Rng rng(1, Purpose::test);
  const Moments moments = moments_of(200'000, [&] { return rng.uniform(); });
  EXPECT_NEAR(moments.mean, 0.5, 0.003);
  EXPECT_NEAR(moments.variance, 1.0 / 12.0, 0.001);
}

TEST(Rng, DrawsNormalNumbersOfTheRightMoments) {
  Rng rng(2, Purpose::test);
  double fourth = 0.0;
  const Moments moments = moments_of(200'000, [&] {
    const double value = rng.normal();
    fourth += value * value * value * value / 200'000;
    return value;
  });
  EXPECT_NEAR(moments.mean, 0.0, 0.01);
  EXPECT_NEAR(moments.variance, 1.0, 0.02);
  EXPECT_NEAR(fourth, 3.0, 0.15);
}

class PoissonMean : public ::testing::TestWithParam<double> {};
TEST_P(PoissonMean, IsTheMeanAndTheVarianceOfWhatIsDrawn) {
  Rng rng(3, Purpose::test);
  const double mean = GetParam();
  const Moments moments = moments_of(100'000, [&] { return static_cast<double>(rng.poisson(mean)); });
  const double error = 5.0 * std::sqrt(mean / 100'000);
  EXPECT_NEAR(moments.mean, mean, error);
  EXPECT_NEAR(moments.variance, mean, 0.03 * mean + error);
}
INSTANTIATE_TEST_SUITE_P(OnBothSidesOfTheSwitch, PoissonMean, ::testing::Values(0.01, 1.0, 9.9, 10.1, 50.0, 3000.0));

TEST_P(PoissonMean, MakesEachCountAsFrequentAsTheLawDoes) {
  Rng rng(8, Purpose::test);
  const double mean = GetParam();
  constexpr int draws = 400'000;
  std::map<std::int64_t, int> seen;
  for (int at = 0; at < draws; ++at)
    ++seen[rng.poisson(mean)];
  for (const auto& [count, times] : seen) {
    const auto k = static_cast<double>(count);
    const double expected = draws * std::exp(k * std::log(mean) - mean - std::lgamma(k + 1.0));
    EXPECT_NEAR(times, expected, 6.0 * std::sqrt(expected + 1.0)) << count << " of mean " << mean;
  }
}

TEST(Rng, DrawsNoCountsForMeansThatAreNotPositive) {
  Rng rng(4, Purpose::test);
  EXPECT_EQ(rng.poisson(0.0), 0);
  EXPECT_EQ(rng.poisson(-1.0), 0);
}

TEST(Rng, DrawsEveryNumberBelowABoundAndNoOther) {
  Rng rng(5, Purpose::test);
  std::array<int, 7> counts{};
  for (int at = 0; at < 70'000; ++at)
    ++counts.at(rng.below(7));
  for (const int count : counts)
    EXPECT_NEAR(count, 10'000, 500);
  EXPECT_EQ(rng.below(1), 0U);
  const std::uint64_t large = (std::uint64_t{1} << 63) + 1;
  for (int at = 0; at < 100; ++at)
    EXPECT_LT(rng.below(large), large);
}

TEST(Rng, IsTheBlockCipherOfItsKeyWordByWord) {
  // The counter holds position, b and a; another order of words would give equal seeds other weights and batches.
  Rng rng(7, Purpose::dropout, (std::uint64_t{5} << 32U) + 4, 3);
  const std::uint64_t key = 7 ^ (std::uint64_t{0x9E3779B97F4A7C15} * 2);
  for (std::uint32_t block = 0; block < 3; ++block) {
    for (const std::uint32_t word : philox(key, {block, 3, 4, 5}))
      EXPECT_EQ(rng.bits(), word) << block;
  }
}

TEST(Rng, DrawsFromEqualSeedsWhatItAlwaysDrew) {
  // Weights, batches and generated data follow from these: a change here makes runs of equal seeds incomparable.
  Rng rng(20231, Purpose::test);
  EXPECT_EQ(rng.uniform(), 0.028840070729460154);
  EXPECT_NEAR(rng.normal(), 0.050259029324213181, 1e-14);
  EXPECT_EQ(rng.below(1'000'000'007), 473'761'560U);
  std::vector<std::int64_t> counts;
  for (const double mean : {0.5, 4.0, 11.0, 40.0, 5e5})
    counts.push_back(rng.poisson(mean));
  EXPECT_EQ(counts, (std::vector<std::int64_t>{0, 2, 14, 39, 499'925}));
  std::vector<int> order = {0, 1, 2, 3, 4, 5, 6, 7};
  permute(order, rng);
  EXPECT_EQ(order, (std::vector<int>{5, 0, 7, 1, 6, 3, 2, 4}));
}

}  // namespace
}  // namespace trainmark

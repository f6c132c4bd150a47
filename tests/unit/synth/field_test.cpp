// Fields have the statistics that their parameters ask for, and the same bits whatever computes them.
#include "synth/field.hpp"

#include <gtest/gtest.h>
#include <hwy/targets.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "synth/sampling.hpp"
#include "trainmark/core.hpp"
#include "trainmark/synth.hpp"

namespace trainmark::synth {
namespace {

constexpr int extent = 32;
constexpr std::size_t voxels = std::size_t{extent} * extent * extent;

std::vector<std::int16_t> field(const std::array<float, 4>& parameters, std::uint64_t index = 0,
                                std::uint32_t stream = 0) {
  static FieldMaker maker(extent, extent);
  std::vector<std::int16_t> counts(voxels * 4);
  maker.make(parameters, 7, stream, index, counts);
  return counts;
}

double mean_of(const std::vector<std::int16_t>& counts, std::size_t channel) {
  double sum = 0.0;
  for (std::size_t i = channel; i < counts.size(); i += 4)
    sum += counts[i];
  return sum / static_cast<double>(voxels);
}

/// Variance beyond that of the counting itself.
double excess(const std::vector<std::int16_t>& counts, std::size_t channel) {
  const double mean = mean_of(counts, channel);
  double squares = 0.0;
  for (std::size_t i = channel; i < counts.size(); i += 4)
    squares += (counts[i] - mean) * (counts[i] - mean);
  return squares / static_cast<double>(voxels) - mean;
}

/// Correlation of voxels `step` apart along the last axis.
double correlation(const std::vector<std::int16_t>& counts, std::size_t step) {
  double products = 0.0;
  for (std::size_t row = 0; row < voxels; row += extent) {
    for (std::size_t w = 0; w < extent; ++w) {
      products += (counts[(row + w) * 4] - 1.0) * (counts[(row + (w + step) % extent) * 4] - 1.0);
    }
  }
  return products / static_cast<double>(voxels) / excess(counts, 0);
}

template <class Statistic>
double average(const std::array<float, 4>& parameters, Statistic&& statistic) {
  double sum = 0.0;
  for (std::uint64_t index = 0; index < 6; ++index)
    sum += statistic(field(parameters, index));
  return sum / 6.0;
}

TEST(Field, HasMeanOneInEachChannelWhateverTheParameters) {
  for (const float p : {-1.0F, 0.0F, 1.0F}) {
    const auto counts = field({p, p, p, p});
    for (std::size_t channel = 0; channel < 4; ++channel)
      EXPECT_NEAR(mean_of(counts, channel), 1.0, 0.05) << p << " " << channel;
  }
}

TEST(Field, AmplitudeRaisesTheClustering) {
  const auto clustering = [](const auto& counts) { return excess(counts, 0); };
  EXPECT_GT(average({0.8F, 0, 0, 0}, clustering), 2.0 * average({-0.8F, 0, 0, 0}, clustering));
}

TEST(Field, GrowthSetsTheRatioBetweenRedshifts) {
  const auto ratio = [](const auto& counts) { return excess(counts, 3) / excess(counts, 0); };
  EXPECT_GT(average({0, 0, 0, 0.9F}, ratio), 1.5 * average({0, 0, 0, -0.9F}, ratio));
}

TEST(Field, ScaleSmoothsNeighbours) {
  // Much small-scale power (scale up) makes neighbours less alike.
  const auto near = [](const auto& counts) { return correlation(counts, 1); };
  EXPECT_GT(average({0, 0, -0.9F, 0}, near), average({0, 0, 0.9F, 0}, near) + 0.1);
}

TEST(Field, TiltMovesPowerBetweenLargeAndMiddleScales) {
  const auto far = [](const auto& counts) { return correlation(counts, 4); };
  EXPECT_GT(average({0, -0.9F, 0, 0}, far), average({0, 0.9F, 0, 0}, far) + 0.05);
}

TEST(Field, IsAFunctionOfItsKeyAlone) {
  EXPECT_EQ(field({0, 0, 0, 0}, 3), field({0, 0, 0, 0}, 3));
  EXPECT_NE(field({0, 0, 0, 0}, 3), field({0, 0, 0, 0}, 4));
  EXPECT_NE(field({0, 0, 0, 0}, 3, 0), field({0, 0, 0, 0}, 3, 1));
}

TEST(Field, HasTheSameBitsOnEveryInstructionSet) {
  const auto reference = field({0.5F, 0.2F, -0.3F, 0.1F});
  for (const auto target : hwy::SupportedAndGeneratedTargets()) {
    hwy::SetSupportedTargetsForTest(target);
    EXPECT_EQ(field({0.5F, 0.2F, -0.3F, 0.1F}), reference) << hwy::TargetName(target);
  }
  hwy::SetSupportedTargetsForTest(0);
}

/// FNV-1a over the bytes of a vector of numbers.
std::uint64_t hash(const auto& numbers) {
  std::uint64_t sum = 14695981039346656037ULL;
  for (const std::byte byte : std::as_bytes(std::span(numbers)))
    sum = (sum ^ static_cast<std::uint64_t>(byte)) * 1099511628211ULL;
  return sum;
}

TEST(Field, HasTheBitsItAlwaysHad) {
  // A change here changes what equal options generate: raise generator_version with this number.
  std::vector<std::int16_t> counts(std::size_t{16} * 16 * 16 * 4);
  cosmoflow_field(16, {0.5F, 0.2F, -0.3F, 0.1F}, 11, 3, counts);
  EXPECT_EQ(hash(counts), 18131922124293269075ULL);
  FieldMaker universe(16, 8);  // with modes that are longer than a sample's first
  universe.make({0.5F, 0.2F, -0.3F, 0.1F}, 11, 1, 3, counts);
  EXPECT_EQ(hash(counts), 4194093404881215587ULL);
}

TEST(Sampling, GivesTheBitsItAlwaysGave) {
  // A change here changes what equal options generate: raise generator_version with these numbers.
  std::vector<float> values(4096);
  normals({1, 2, 3}, values);
  std::vector<std::int16_t> counts(values.size());
  poisson_counts({4, 5, 6}, values, 0.7F, 0.8F, counts, 1);
  EXPECT_EQ(hash(values), 15956220442982293619ULL);
  EXPECT_EQ(hash(counts), 15271891469603555976ULL);
}

TEST(Sampling, ExponentialsAreAccurate) {
  std::vector<float> x, y(2001);
  double wanted_sum = 0.0;
  for (int i = -1000; i <= 1000; ++i)
    x.push_back(static_cast<float>(i) * 0.08F);
  exponentials(x, 1.0F, y);
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double wanted = std::exp(static_cast<double>(x[i]));
    wanted_sum += wanted;
    EXPECT_NEAR(y[i] / wanted, 1.0, 5e-6) << x[i];
  }
  EXPECT_NEAR(sum_of_exponentials(x, 1.0F) / wanted_sum, 1.0, 5e-6);
}

TEST(Sampling, NormalsHaveTheMomentsOfANormalDistribution) {
  std::vector<float> values(1 << 18);
  normals({1, 2, 3}, values);
  std::array<double, 4> moments{};
  for (const float value : values) {
    for (std::size_t power = 0; power < 4; ++power)
      moments[power] += std::pow(value, static_cast<double>(power + 1));
  }
  for (double& moment : moments)
    moment /= static_cast<double>(values.size());
  EXPECT_NEAR(moments[0], 0.0, 0.01);
  EXPECT_NEAR(moments[1], 1.0, 0.01);
  EXPECT_NEAR(moments[2], 0.0, 0.03);
  EXPECT_NEAR(moments[3], 3.0, 0.06);
}

/// 2^18 counts of one mean.
std::vector<std::int16_t> counts_of(float mean, std::uint64_t index = 3) {
  const std::vector<float> nothing(1 << 18, 0.0F);
  std::vector<std::int16_t> counts(nothing.size());
  poisson_counts({1, 2, index}, nothing, 1.0F, mean, counts, 1);
  return counts;
}

TEST(Sampling, PoissonCountsHaveMeanAndVarianceOfTheirMean) {
  for (const float wanted : {0.05F, 1.0F, 7.0F, 11.9F, 12.1F, 300.0F}) {
    const auto counts = counts_of(wanted);
    const auto size = static_cast<double>(counts.size());
    double sum = 0.0, squares = 0.0;
    for (const std::int16_t count : counts)
      sum += count;
    sum /= size;
    for (const std::int16_t count : counts)
      squares += (count - sum) * (count - sum);
    EXPECT_NEAR(sum, wanted, 6.0 * std::sqrt(wanted / size));
    EXPECT_NEAR(squares / size / wanted, 1.0, 0.05) << wanted;
  }
}

TEST(Sampling, PoissonCountsAreAsFrequentAsTheDistributionSays) {
  for (const float mean : {0.3F, 4.0F, 11.0F}) {
    std::vector<double> seen(64, 0.0);
    const auto counts = counts_of(mean);
    for (const std::int16_t count : counts)
      ++seen[static_cast<std::size_t>(std::min<int>(count, 63))];
    double probability = std::exp(-static_cast<double>(mean));
    for (std::size_t k = 0; k < 40; ++k) {
      const double expected = probability * static_cast<double>(counts.size());
      EXPECT_NEAR(seen[k], expected, 6.0 * std::sqrt(expected + 1.0)) << "mean " << mean << " count " << k;
      probability *= mean / static_cast<double>(k + 1);
    }
  }
}

TEST(Sampling, NoCountIsAbsurdlyLarge) {
  // Where rounded probabilities sum to less than the largest uniform number, a search without an end runs to its bound:
  // that happened about once in 10^7 counts for means near 6.
  std::int16_t largest = 0;
  for (std::uint64_t index = 0; index < 256; ++index) {
    const auto counts = counts_of(6.1F, index);
    largest = std::max(largest, *std::max_element(counts.begin(), counts.end()));
  }
  EXPECT_LT(largest, 32);
}

TEST(Sampling, CountsEndAtTheLargestThatFits) {
  for (const std::int16_t count : counts_of(1e6F))
    ASSERT_EQ(count, 32767);
}

}  // namespace
}  // namespace trainmark::synth

// stats.h5 is read in every form that it may have, and what would make scaled channels nonsense is refused.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "unit/load/make_hdf5.hpp"

namespace trainmark {
namespace {

using testing::expect_data_error;
using testing::File;
using testing::Scratch;

class StatsFile : public ::testing::Test {
 protected:
  Scratch folder;
  std::filesystem::path path = folder.path() / "stats.h5";
  void put(const std::vector<double>& least, const std::vector<double>& most) const {
    File file(path);
    file.group("climate");
    file.put_f64("climate/minval", {least.size()}, least);
    file.put_f64("climate/maxval", {most.size()}, most, {.big_endian = true});
  }
  void refused(const std::vector<std::string>& parts, std::int64_t channels = 3) const {
    expect_data_error([&] { (void)read_channel_stats(path, channels); }, parts);
  }
};

TEST_F(StatsFile, IsReadInEitherFloatAndByteOrder) {
  put({-1.5, 0.0, 1e-9}, {2.5, 1e5, 2e-9});
  const ChannelStats stats = read_channel_stats(path, 3);
  EXPECT_EQ(stats.minimum, (std::vector<double>{-1.5, 0.0, 1e-9}));
  EXPECT_EQ(stats.maximum, (std::vector<double>{2.5, 1e5, 2e-9}));
  EXPECT_EQ(stats.count, 0);
  EXPECT_TRUE(stats.mean.empty() && stats.mean_square.empty());
  {
    File file(path);
    file.group("climate");
    file.put("climate/minval", {2}, std::vector<float>{0.1F, 1.0F}, {.big_endian = true});
    file.put("climate/maxval", {2}, std::vector<float>{0.2F, 3.0F});
    file.put_f64("climate/mean", {2}, {0.15, 2.0});
    file.put("climate/sqmean", {2}, std::vector<float>{0.5F, 4.5F}, {.compact = true});
    file.put_integers("climate/count", {2}, H5T_STD_I32BE, {77, 77});
  }
  const ChannelStats more = read_channel_stats(path, 2);
  EXPECT_EQ(more.minimum[0], static_cast<double>(0.1F));
  EXPECT_EQ(more.maximum[1], 3.0);
  EXPECT_EQ(more.mean, (std::vector<double>{0.15, 2.0}));
  EXPECT_EQ(more.mean_square, (std::vector<double>{0.5, 4.5}));
  EXPECT_EQ(more.count, 77);
}

TEST_F(StatsFile, IsMadeOfAllValuesOfAllSamples) {
  const std::filesystem::path data = folder.path() / "train";
  std::filesystem::create_directories(data);
  std::vector<double> sum(16), square(16), least(16, 1e30), most(16, -1e30);
  for (int number = 0; number < 3; ++number) {
    std::vector<float> values;
    for (int at = 0; at < 2 * 3 * 16; ++at) {
      const double value = 0.5 * (at % 16) + (number == 1 ? -1.0 : 1.0) * (at / 16);
      values.push_back(static_cast<float>(value));
      const auto channel = static_cast<std::size_t>(at % 16);
      sum[channel] += value;
      square[channel] += value * value;
      least[channel] = std::min(least[channel], value);
      most[channel] = std::max(most[channel], value);
    }
    File file(data / ("data-" + std::to_string(number) + ".h5"));
    file.group("climate");
    file.put("climate/data", {2, 3, 16}, values);
    file.put_as("climate/labels_0", {2, 3}, H5T_STD_U8LE);
  }
  std::vector<double> heard;
  const ChannelStats found = channel_stats_of(pretended_world(1).all(), data, {}, testing::climate(2, 3),
                                              [&](double done) { heard.push_back(done); });
  EXPECT_EQ(found.count, 3 * 2 * 3);
  EXPECT_EQ(found.minimum, least);
  EXPECT_EQ(found.maximum, most);
  for (std::size_t channel = 0; channel < 16; ++channel) {
    EXPECT_DOUBLE_EQ(found.mean[channel], sum[channel] / 18.0);
    EXPECT_DOUBLE_EQ(found.mean_square[channel], square[channel] / 18.0);
  }
  EXPECT_EQ(heard, (std::vector<double>{1.0 / 3.0, 2.0 / 3.0, 1.0}));
}

TEST_F(StatsFile, ComesBackAsItWasWritten) {
  const ChannelStats stats{123456789012, {-0.5, 2.0}, {0.25, 7.0}, {0.125, 1.0 / 3.0}, {1.0 / 7.0, 9.0}};
  write_channel_stats(path, stats, "a test");
  const ChannelStats read = read_channel_stats(path, 2);
  EXPECT_EQ(read.count, stats.count);
  EXPECT_EQ(read.minimum, stats.minimum);
  EXPECT_EQ(read.maximum, stats.maximum);
  EXPECT_EQ(read.mean, stats.mean);
  EXPECT_EQ(read.mean_square, stats.mean_square);
}

TEST_F(StatsFile, ThatIsMissingOrLacksAVectorIsNamedWithItsRemedy) {
  refused({"stats.h5: is not there", "trainmark data stats"});
  {
    File file(path);
    file.group("climate");
    file.put_f64("climate/minval", {3}, {0, 0, 0});
  }
  refused({"stats.h5: has no dataset 'climate/maxval'"});
  { const File empty(path); }
  refused({"stats.h5: has no dataset 'climate/minval'"});
}

TEST_F(StatsFile, OfAnotherNumberOfChannelsIsRefused) {
  put({0, 0, 0, 0}, {1, 1, 1, 1});
  refused({"dataset 'climate/minval' is float64 of shape 4, expected 3 floats"});
  put({0, 0, 0}, {1, 1});
  refused({"dataset 'climate/maxval' is float64 big-endian of shape 2, expected 3 floats"});
}

TEST_F(StatsFile, WithAChannelThatIsTheSameEverywhereIsRefused) {
  put({0, 5.5, 0}, {1, 5.5, 1});
  refused({"channel 1 is 5.5 everywhere", "divides by"});
  put({0, 0, 3}, {1, 1, 2});
  refused({"channel 2 has a minimum of 3 above its maximum of 2"});
}

TEST_F(StatsFile, WithWhatIsNoNumberIsRefused) {
  put({0, std::nan(""), 0}, {1, 1, 1});
  refused({"climate/minval[1] is nan"});
  put({0, 0, 0}, {1, 1, INFINITY});
  refused({"climate/maxval[2] is inf"});
}

}  // namespace
}  // namespace trainmark

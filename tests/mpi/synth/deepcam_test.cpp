// DeepCAM datasets: the same bytes and statistics from any number of ranks, whatever the form of the files.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <fstream>
#include <iterator>
#include <thread>

#include "support/mpi_main.hpp"
#include "synth/data_file.hpp"
#include "trainmark/load.hpp"
#include "trainmark/synth.hpp"

namespace trainmark {
namespace {

namespace fs = std::filesystem;

constexpr int height = 32, width = 48;
const DataSchema schema = deepcam_schema(height, width);

SynthOptions small(DatasetLayout layout) {
  SynthOptions options;
  options.content = DeepcamData{.height = height, .width = width};
  options.layout = layout;
  options.train_samples = 11;
  options.validation_samples = 3;
  options.samples_per_file = 4;
  return options;
}

std::string bytes_of(const fs::path& path) {
  std::ifstream stream(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), {}};
}

class Deepcam : public testing::Test {
 protected:
  const Group& all = test_world().all();
  const bool first = all.rank() == 0;
  // One folder for all ranks, named by rank 0.
  fs::path folder =
      all.broadcast((fs::path(testing::TempDir()) / ("trainmark-deepcam-" + std::to_string(getpid()))).string());
  void TearDown() override {
    all.barrier();
    if (first) fs::remove_all(folder);
    all.barrier();
  }
  SynthReport make(const SynthOptions& options, const std::string& name) {
    const SynthReport report = generate_dataset(test_world(), options, folder / name, {});
    all.barrier();
    return report;
  }
  /// The bytes of each sample.
  std::vector<std::vector<std::byte>> samples_of(const std::string& name) const {
    const Manifest manifest = scan_dataset(folder / name, {}, schema);
    const auto source = open_hdf5(folder / name, manifest, {}, schema);
    std::vector<std::vector<std::byte>> samples;
    for (std::int64_t i = 0; i < manifest.samples(); ++i) {
      const std::span<std::byte> bytes(samples.emplace_back(schema.sample_bytes()));
      source->read({.sample = i}, {bytes.first(schema.fields[0].bytes()), bytes.last(schema.fields[1].bytes())});
    }
    return samples;
  }
  /// Of one rank alone, and of all of them.
  ChannelStats alone(const std::string& name) const {
    return channel_stats_of(all.split(all.rank()), folder / name, {}, schema);
  }
  ChannelStats together(const std::string& name) const { return channel_stats_of(all, folder / name, {}, schema); }
};

void expect_same(const ChannelStats& a, const ChannelStats& b) {
  EXPECT_EQ(a.count, b.count);
  EXPECT_EQ(a.minimum, b.minimum);
  EXPECT_EQ(a.maximum, b.maximum);
  EXPECT_EQ(a.mean, b.mean);
  EXPECT_EQ(a.mean_square, b.mean_square);
}

TEST_F(Deepcam, HasTheSameBytesHoweverManyRanksWriteAndWhenever) {
  for (const DatasetLayout form : {DatasetLayout::packed, DatasetLayout::block}) {
    const std::string layout(word(form));
    SynthOptions options = small(form);
    options.gzip = form == DatasetLayout::packed ? 2 : 0;
    make(options, layout);
    if (first) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1100));  // HDF5 keeps times by the second
      const auto content = synth::make_content(options);
      const auto files = synth::files_of(options);
      // In another order: a sample must not depend on what was made before it.
      for (auto file = files.rbegin(); file != files.rend(); ++file) {
        const fs::path mine = folder / "alone" / file->split / file->name;
        fs::create_directories(mine.parent_path());
        synth::write_file(*content, *file, mine, [](std::int64_t) {});
        EXPECT_TRUE(bytes_of(mine) == bytes_of(folder / layout / file->split / file->name)) << file->name;
      }
    }
    all.barrier();
  }
}

TEST_F(Deepcam, StatisticsHaveTheSameBytesFromAnyNumberOfRanks) {
  make(small(DatasetLayout::block), "data");
  expect_same(alone("data/train"), together("data/train"));
  const ChannelStats one = alone("data/train");
  if (!first) return;
  const ChannelStats kept = read_channel_stats(folder / "data/stats.h5", 16);
  expect_same(kept, one);
  write_channel_stats(folder / "one.h5", one, "test");
  write_channel_stats(folder / "kept.h5", kept, "test");
  EXPECT_TRUE(bytes_of(folder / "one.h5") == bytes_of(folder / "kept.h5"));
}

TEST_F(Deepcam, StatisticsDoNotDependOnHowManySamplesShareAFile) {
  make(small(DatasetLayout::block), "block");
  make(small(DatasetLayout::packed), "packed");
  expect_same(together("block/train"), together("packed/train"));
}

TEST_F(Deepcam, StatisticsAreThoseOfTheTrainingSamples) {
  make(small(DatasetLayout::packed), "data");
  const ChannelStats stats = together("data/train");
  constexpr std::size_t channels = 16;
  std::vector<double> sum(channels), square(channels), least(channels, 1e30), most(channels, -1e30);
  const auto samples = samples_of("data/train");
  for (const auto& bytes : samples) {
    for (std::size_t i = 0; i < height * width * channels; ++i) {
      float value = 0;
      std::memcpy(&value, bytes.data() + i * sizeof value, sizeof value);
      const auto wide = static_cast<double>(value);
      sum[i % channels] += wide;
      square[i % channels] += wide * wide;
      least[i % channels] = std::min(least[i % channels], wide);
      most[i % channels] = std::max(most[i % channels], wide);
    }
  }
  EXPECT_EQ(stats.count, 11 * height * width);
  EXPECT_EQ(stats.minimum, least);
  EXPECT_EQ(stats.maximum, most);
  for (std::size_t c = 0; c < channels; ++c) {
    EXPECT_NEAR(stats.mean[c] / (sum[c] / static_cast<double>(stats.count)), 1.0, 1e-9) << c;
    EXPECT_NEAR(stats.mean_square[c] / (square[c] / static_cast<double>(stats.count)), 1.0, 1e-12) << c;
  }
}

TEST_F(Deepcam, SamplesDoNotDependOnTheFormOfTheFiles) {
  make(small(DatasetLayout::block), "plain");
  int number = 0;
  for (const int bits : {16, 32, 64}) {
    SynthOptions other = small(bits == 32 ? DatasetLayout::packed : DatasetLayout::block);
    std::get<DeepcamData>(other.content).label_bits = bits;
    other.big_endian = bits != 16;
    other.gzip = bits == 64 ? 0 : 3;
    const std::string name = "other" + std::to_string(number++);
    make(other, name);
    EXPECT_TRUE(samples_of("plain/train") == samples_of(name + "/train")) << bits;
  }
  EXPECT_TRUE(samples_of("plain/train")[0] != samples_of("plain/validation")[0]);
}

TEST_F(Deepcam, StatisticsFollowTheTrainingSamplesAndReplaceNothingElse) {
  make(small(DatasetLayout::block), "data");
  const std::string before = bytes_of(folder / "data/stats.h5");
  const auto written = fs::last_write_time(folder / "data/stats.h5");
  EXPECT_EQ(make(small(DatasetLayout::block), "data").files_written, 0);
  EXPECT_EQ(fs::last_write_time(folder / "data/stats.h5"), written);
  SynthOptions more = small(DatasetLayout::block);
  more.train_samples = 12;
  make(more, "data");
  EXPECT_TRUE(bytes_of(folder / "data/stats.h5") != before);
  EXPECT_EQ(read_channel_stats(folder / "data/stats.h5", 16).count, 12 * height * width);
  all.barrier();
  if (first) std::ofstream(folder / "data/stats.h5") << "mine";
  all.barrier();
  more.train_samples = 13;
  try {
    make(more, "data");
    FAIL() << "another's file was replaced";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::data);
    EXPECT_NE(std::string(error.what()).find("stats.h5: is in the way"), std::string::npos) << error.what();
  }
  all.barrier();
  EXPECT_EQ(bytes_of(folder / "data/stats.h5"), "mine");
  EXPECT_FALSE(fs::exists(folder / "data/train/data-1996-01-02-04-1.h5"));
}

TEST_F(Deepcam, AConstantChannelHasNoUsefulStatistics) {
  SynthOptions one = small(DatasetLayout::block);
  one.train_samples = 1;
  make(one, "data");
  // Columns of the labels as channels: of a single image some have no storm in any row.
  const DataSchema labels{{schema.fields[1]}, {}};
  try {
    (void)channel_stats_of(all, folder / "data/train", {}, labels);
    FAIL() << "no channel was constant";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::data);
    EXPECT_NE(std::string(error.what()).find("is 0 everywhere"), std::string::npos) << error.what();
  }
}

TEST_F(Deepcam, ReportsProgressToTheEnd) {
  std::vector<double> heard;
  generate_dataset(test_world(), small(DatasetLayout::block), folder / "progress",
                   [&](double at) { heard.push_back(at); });
  if (!first) {
    EXPECT_TRUE(heard.empty());
    return;
  }
  ASSERT_GT(heard.size(), 2U);
  EXPECT_TRUE(std::is_sorted(heard.begin(), heard.end()));
  EXPECT_EQ(heard.back(), 1.0);
}

}  // namespace
}  // namespace trainmark

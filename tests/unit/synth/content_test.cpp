// What generated files hold beside their samples: the parameters, statistics, names and forms that readers of the
// original files ask for.
#include <gtest/gtest.h>
#include <hdf5.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "load/hdf5_file.hpp"
#include "load/hdf5_writer.hpp"
#include "synth/data_file.hpp"
#include "synth/weather.hpp"
#include "unit/stage/scratch.hpp"

namespace trainmark::synth {
namespace {

namespace fs = std::filesystem;

/// The values of a dataset, as numbers of T.
template <class T>
std::vector<T> values_of(const fs::path& path, const char* name, hid_t type) {
  const Hdf5Lock lock;
  const FileHandle file = open_file(path);
  const DatasetHandle dataset = require_dataset(file.get(), name, path);
  const SpaceHandle space(H5Dget_space(dataset.get()));
  std::vector<T> values(static_cast<std::size_t>(H5Sget_simple_extent_npoints(space.get())));
  EXPECT_GE(H5Dread(dataset.get(), type, H5S_ALL, H5S_ALL, H5P_DEFAULT, values.data()), 0) << name;
  return values;
}
std::vector<float> floats_of(const fs::path& path, const char* name) {
  return values_of<float>(path, name, H5T_NATIVE_FLOAT);
}
std::vector<std::string> strings_of(const fs::path& path, const char* name) {
  const Hdf5Lock lock;
  const FileHandle file = open_file(path);
  const DatasetHandle dataset = require_dataset(file.get(), name, path);
  const TypeHandle type(H5Dget_type(dataset.get()));
  const SpaceHandle space(H5Dget_space(dataset.get()));
  const std::size_t length = H5Tget_size(type.get());
  std::vector<std::string> strings;
  std::string all(length * static_cast<std::size_t>(H5Sget_simple_extent_npoints(space.get())), '\0');
  EXPECT_GE(H5Dread(dataset.get(), type.get(), H5S_ALL, H5S_ALL, H5P_DEFAULT, all.data()), 0) << name;
  for (std::size_t at = 0; at < all.size(); at += length)
    strings.emplace_back(all.substr(at, length).c_str());
  return strings;
}
std::string unit_of(const fs::path& path, const char* name) {
  const Hdf5Lock lock;
  const FileHandle file = open_file(path);
  const DatasetHandle dataset = require_dataset(file.get(), name, path);
  const hid_t attribute = H5Aopen(dataset.get(), "units", H5P_DEFAULT);
  if (attribute < 0) return "";
  const TypeHandle type(H5Aget_type(attribute));
  std::string text(H5Tget_size(type.get()), '\0');
  H5Aread(attribute, type.get(), text.data());
  H5Aclose(attribute);
  return text.c_str();
}

class Written : public ::testing::Test {
 protected:
  /// The first file of a dataset.
  fs::path write(const SynthOptions& options, std::size_t number = 0) {
    const FilePlan plan = files_of(options).at(number);
    const fs::path path = folder_.path() / plan.name;
    done_ = 0;
    write_file(*make_content(options), plan, path, [this](std::int64_t samples) { done_ += samples; });
    EXPECT_EQ(done_, plan.samples);
    return path;
  }

  const testing::Scratch folder_;
  std::int64_t done_ = 0;
};

TEST_F(Written, UniversesHaveTheOriginalFilesDatasets) {
  SynthOptions options;
  options.content = CosmoflowData{.extent = 8, .universe_extent = 16};
  options.layout = DatasetLayout::universe;
  options.train_samples = 16;
  const fs::path path = write(options, 1);
  const std::vector<float> unit = floats_of(path, "unitPar"), physical = floats_of(path, "physPar");
  ASSERT_EQ(unit.size(), 4U);
  ASSERT_EQ(physical.size(), 4U);
  for (const float each : unit)
    EXPECT_LE(std::abs(each), 1.0F);
  EXPECT_EQ(std::set<float>(unit.begin(), unit.end()).size(), 4U) << "each is drawn for itself";
  // Of the density's logarithm the deviation, below k = 5 the slope, the cut-off's k, and the ratio of a redshift to
  // the one before it.
  EXPECT_NEAR(std::log2(physical[0] / 1.4), 0.8 * static_cast<double>(unit[0]), 1e-5);
  EXPECT_NEAR(physical[1], -1.8 + 1.8 * static_cast<double>(unit[1]), 1e-5);
  EXPECT_NEAR(std::log2(physical[2] / 7.0), 1.1 * static_cast<double>(unit[2]), 1e-5);
  EXPECT_NEAR(physical[3], 0.75 + 0.2 * static_cast<double>(unit[3]), 1e-5);
  EXPECT_EQ(strings_of(path, "namePar"), (std::vector<std::string>{"amplitude", "tilt", "scale", "growth"}));
  EXPECT_EQ(floats_of(path, "redshifts"), (std::vector<float>{0.0F, 0.5F, 1.5F, 3.0F}));
  EXPECT_EQ(unit_of(path, "full"), "particles per voxel, at four redshifts");
  EXPECT_EQ(unit_of(path, "unitPar"), "amplitude, tilt, scale, growth; each mapped to [-1, 1]");
  const auto counts = values_of<std::int16_t>(path, "full", H5T_NATIVE_INT16);
  double sum = 0.0;
  for (const std::int16_t count : counts)
    sum += count;
  EXPECT_EQ(counts.size(), 16U * 16 * 16 * 4);
  EXPECT_NEAR(sum / static_cast<double>(counts.size()), 1.0, 0.1);
  EXPECT_NE(floats_of(write(options, 0), "unitPar"), unit);
}

TEST_F(Written, SaysThatItIsGeneratedFromWhatAndByWhom) {
  SynthOptions options;
  options.content = CosmoflowData{.extent = 4};
  options.train_samples = 2;
  const fs::path path = write(options);
  EXPECT_EQ(read_attribute(path, "generator"), "trainmark cosmoflow");
  EXPECT_EQ(read_attribute(path, "generator_version"), "2");
  EXPECT_EQ(read_attribute(path, "options"),
            "layout=packed extent=4 universe_extent=0 gzip=0 big_endian=0 seed=20231 split=train first=0 samples=2");
  EXPECT_TRUE(read_attribute(path, "note").starts_with("generated data: "));
  EXPECT_EQ(unit_of(path, "x"), "particles per voxel, at four redshifts");
}

/// Mean, maximum, minimum and deviation of every `stride`-th value.
std::array<double, 4> figures_of(const auto& values, std::size_t first, std::size_t stride) {
  double sum = 0.0, squares = 0.0, least = 1e30, most = -1e30, count = 0.0;
  for (std::size_t at = first; at < values.size(); at += stride) {
    const auto value = static_cast<double>(values[at]);
    sum += value;
    least = std::min(least, value);
    most = std::max(most, value);
    ++count;
  }
  for (std::size_t at = first; at < values.size(); at += stride)
    squares += std::pow(static_cast<double>(values[at]) - sum / count, 2.0);
  return {sum / count, most, least, std::sqrt(squares / count)};
}

TEST_F(Written, ImagesOfWeatherHaveTheirStatisticsBesideThem) {
  SynthOptions options;
  options.content = DeepcamData{.height = 64, .width = 96};
  options.layout = DatasetLayout::block;
  options.train_samples = 3;
  const fs::path path = write(options, 2);
  const std::vector<float> data = floats_of(path, "climate/data"), stats = floats_of(path, "climate/data_stats");
  ASSERT_EQ(stats.size(), 4 * channels);
  for (std::size_t channel = 0; channel < channels; ++channel) {
    const std::array<double, 4> wanted = figures_of(data, channel, channels);
    for (std::size_t row = 0; row < 4; ++row)
      EXPECT_NEAR(stats[row * channels + channel] / wanted[row], 1.0, row == 3 ? 1e-3 : 1e-5)
          << channel_table[channel].name << " " << row;
  }
  std::vector<std::vector<int>> all_labels;
  for (const std::string name : {"climate/labels_0", "climate/labels_1"}) {
    const std::vector<int> labels = values_of<int>(path, name.c_str(), H5T_NATIVE_INT);
    const std::vector<float> found = floats_of(path, (name + "_stats").c_str());
    const std::array<double, 4> wanted = figures_of(labels, 0, 1);
    ASSERT_EQ(found.size(), 7U);
    for (std::size_t row = 0; row < 4; ++row)
      EXPECT_NEAR(found[row], wanted[row], 1e-5) << name << " " << row;
    for (int label = 0; label < 3; ++label) {
      const auto share = static_cast<double>(std::ranges::count(labels, label)) / static_cast<double>(labels.size());
      EXPECT_NEAR(found[4 + static_cast<std::size_t>(label)], 100.0 * share, 1e-3) << "per cent of " << label;
    }
    all_labels.push_back(labels);
  }
  EXPECT_EQ(std::ranges::max(all_labels[0]), 2);
  EXPECT_NE(all_labels[0], all_labels[1]) << "the second are the relaxed ones";
  EXPECT_EQ(strings_of(path, "climate/channels").at(15), "ZBOT");
  EXPECT_EQ(strings_of(path, "climate/units"),
            (std::vector<std::string>{"kg/m2", "m/s", "m/s", "m/s", "m/s", "kg/kg", "Pa", "Pa", "K", "K", "m/s", "K",
                                      "K", "m", "m", "m"}));
}

/// What a JPEG's frame header says, found by walking its segments.
struct Frame {
  bool progressive = false, halves_colour = false;
  int width = 0, height = 0, first_quantum = 0;
};
Frame frame_of(std::span<const std::uint8_t> jpeg) {
  Frame frame;
  for (std::size_t at = 2; at + 12 < jpeg.size() && jpeg[at + 1] != 0xda;) {
    const std::uint8_t* body = jpeg.data() + at + 4;
    if (jpeg[at + 1] == 0xdb && frame.first_quantum == 0) frame.first_quantum = body[1];
    if (jpeg[at + 1] == 0xc0 || jpeg[at + 1] == 0xc2) {
      frame = {.progressive = jpeg[at + 1] == 0xc2,
               .halves_colour = body[7] == 0x22,
               .width = body[3] * 256 + body[4],
               .height = body[1] * 256 + body[2],
               .first_quantum = frame.first_quantum};
    }
    at += 2 + static_cast<std::size_t>(jpeg[at + 2] * 256 + jpeg[at + 3]);
  }
  return frame;
}

TEST_F(Written, JpegsHaveTheFormsOfCamerasInTheirShares) {
  SynthOptions options;
  options.content = ImageData{.classes = 3, .size = 32};
  options.layout = DatasetLayout::jpeg;
  options.train_samples = options.samples_per_file = 600;
  const fs::path path = write(options);
  const auto bytes = values_of<std::uint8_t>(path, "jpeg", H5T_NATIVE_UINT8);
  const auto offsets = values_of<std::int64_t>(path, "offsets", H5T_NATIVE_INT64);
  const auto labels = values_of<int>(path, "labels", H5T_NATIVE_INT);
  ASSERT_EQ(offsets.size(), 601U);
  EXPECT_EQ(offsets.back(), std::ssize(bytes));
  int progressive = 0, halved = 0;
  std::set<int> quanta;
  for (std::size_t i = 0; i < 600; ++i) {
    EXPECT_EQ(labels[i], static_cast<int>(i % 3));
    const auto begin = static_cast<std::size_t>(offsets[i]), end = static_cast<std::size_t>(offsets[i + 1]);
    const Frame frame = frame_of(std::span(bytes).subspan(begin, end - begin));
    progressive += frame.progressive ? 1 : 0;
    halved += frame.halves_colour ? 1 : 0;
    quanta.insert(frame.first_quantum);
    ASSERT_GE(std::min(frame.width, frame.height), 24);
    ASSERT_LT(std::max(frame.width, frame.height), 48);
  }
  EXPECT_NEAR(progressive, 600 / 16, 20);
  EXPECT_NEAR(halved, 600 * 3 / 4, 40);
  EXPECT_EQ(*quanta.begin(), 2) << "the finest: quality 95 has 16 * 10 / 100";
  EXPECT_EQ(*quanta.rbegin(), 8) << "the coarsest: quality 75 has 16 * 50 / 100";
}

TEST(Schemas, KnowTheLegalValuesOfTheirFields) {
  const DataSchema weather = deepcam_schema(768, 1152);
  EXPECT_EQ(weather.fields.at(0).shape, (Shape{768, 1152, 16}));
  EXPECT_EQ(weather.fields.at(1).shape, (Shape{768, 1152}));
  EXPECT_EQ(weather.fields[1].legal.least, 0.0);
  EXPECT_EQ(weather.fields[1].legal.most, 2.0);
  const DataSchema pictures = image_schema(224, 1000);
  EXPECT_EQ(pictures.fields.at(0).shape, (Shape{224, 224, 3}));
  EXPECT_EQ(pictures.fields[0].legal.most, 255.0);
  EXPECT_EQ(pictures.fields.at(1).legal.least, 0.0);
  EXPECT_EQ(pictures.fields[1].legal.most, 999.0);
  EXPECT_EQ(image_schema(224, 1).fields[1].legal.most, 0.0);
  EXPECT_EQ(image_schema(224, 0).fields[1].legal.most, 2147483647.0) << "of no stated number of classes: any";
  EXPECT_TRUE(pictures.images.has_value());
}

}  // namespace
}  // namespace trainmark::synth

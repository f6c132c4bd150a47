// Images with a label a pixel, in a group of the file: the labels in integers of any kind, one sample a file or many.
#include <gtest/gtest.h>

#include <cmath>

#include "unit/load/make_hdf5.hpp"

namespace trainmark {
namespace {

using testing::climate;
using testing::expect_data_error;
using testing::File;
using testing::Scratch;
using testing::Storing;

constexpr hsize_t height = 4, width = 6, channels = 16;
constexpr std::size_t pixels = height * width;
const DataSchema small = climate(height, width);
const std::string name = "data-1996-06-02-05-3.h5";

std::vector<float> data_of(std::size_t samples) {
  std::vector<float> values;
  for (std::size_t i = 0; i < samples * pixels * channels; ++i)
    values.push_back(static_cast<float>(i) * 0.25F - 100.0F);
  return values;
}

std::vector<std::int64_t> labels_of(std::size_t samples) {
  std::vector<std::int64_t> values;
  for (std::size_t i = 0; i < samples * pixels; ++i)
    values.push_back(static_cast<std::int64_t>(i * 7 % 5 % 3));
  return values;
}

struct Form {
  hid_t labels = H5T_STD_U8LE;
  std::size_t packed = 0;  // samples of a packed file; 0: one sample in a file of its own
  Storing data = {}, storing = {};
};

void put(const std::filesystem::path& path, const Form& form, const std::vector<float>& data,
         const std::vector<std::int64_t>& labels) {
  File file(path);
  file.group("climate");
  std::vector<hsize_t> dims = {height, width, channels}, flat = {height, width};
  if (form.packed > 0) {
    dims.insert(dims.begin(), form.packed);
    flat.insert(flat.begin(), form.packed);
  }
  file.put("climate/data", dims, data, form.data);
  file.put_integers("climate/labels_0", flat, form.labels, labels, form.storing);
}

struct Image {
  std::vector<float> data = std::vector<float>(pixels * channels);
  std::vector<std::uint8_t> labels = std::vector<std::uint8_t>(pixels);
};

Image read(const std::filesystem::path& folder, std::int64_t sample, const FormatOptions& format = {}) {
  const Manifest manifest = scan_dataset(folder, format, small);
  const auto source = open_hdf5(folder, manifest, format, small);
  Image image;
  source->read({.sample = sample},
               {std::as_writable_bytes(std::span(image.data)), std::as_writable_bytes(std::span(image.labels))});
  return image;
}

void expect_round_trip(const Form& form) {
  const Scratch folder;
  const std::size_t samples = std::max<std::size_t>(form.packed, 1);
  const std::vector<float> data = data_of(samples);
  const std::vector<std::int64_t> labels = labels_of(samples);
  put(folder.path() / name, form, data, labels);
  for (std::size_t i = 0; i < samples; ++i) {
    const Image image = read(folder.path(), static_cast<std::int64_t>(i));
    EXPECT_TRUE(std::equal(image.data.begin(), image.data.end(),
                           data.begin() + static_cast<std::ptrdiff_t>(i * pixels * channels)));
    EXPECT_TRUE(
        std::equal(image.labels.begin(), image.labels.end(), labels.begin() + static_cast<std::ptrdiff_t>(i * pixels)));
  }
}

const std::vector<std::pair<const char*, hid_t>>& integers() {
  H5open();
  static const std::vector<std::pair<const char*, hid_t>> all = {{"i8", H5T_STD_I8LE},
                                                                 {"u8", H5T_STD_U8LE},
                                                                 {"i16", H5T_STD_I16LE},
                                                                 {"u16", H5T_STD_U16LE},
                                                                 {"i32", H5T_STD_I32LE},
                                                                 {"u32", H5T_STD_U32LE},
                                                                 {"i64", H5T_STD_I64LE},
                                                                 {"u64", H5T_STD_U64LE},
                                                                 {"i8 big-endian", H5T_STD_I8BE},
                                                                 {"u8 big-endian", H5T_STD_U8BE},
                                                                 {"i16 big-endian", H5T_STD_I16BE},
                                                                 {"u16 big-endian", H5T_STD_U16BE},
                                                                 {"i32 big-endian", H5T_STD_I32BE},
                                                                 {"u32 big-endian", H5T_STD_U32BE},
                                                                 {"i64 big-endian", H5T_STD_I64BE},
                                                                 {"u64 big-endian", H5T_STD_U64BE}};
  return all;
}

TEST(Climate, LabelsAreTheSameWhateverIntegersHoldThem) {
  for (const auto& [label, type] : integers()) {
    SCOPED_TRACE(label);
    expect_round_trip({.labels = type});
    expect_round_trip({.labels = type, .packed = 3});
    expect_round_trip({.labels = type, .storing = {.chunk = {3, 4}, .shuffle = true, .gzip = 3}});
    expect_round_trip({.labels = type, .storing = {.compact = true}});  // through the library
  }
}

TEST(Climate, ImagesMayBeChunkedDeflatedAndBigEndian) {
  expect_round_trip({.data = {.chunk = {2, 6, 16}, .shuffle = true, .gzip = 4}});
  expect_round_trip({.data = {.big_endian = true}});
  expect_round_trip(
      {.packed = 3, .data = {.chunk = {1, 4, 6, 16}, .gzip = 4}, .storing = {.chunk = {1, 4, 6}, .gzip = 4}});
}

TEST(Climate, ALabelBeyondTheClassesIsNamedWithFileSampleAndPixelAndNeverWrapped) {
  const auto said = [](hid_t type, std::int64_t label, const char* expected) {
    for (const std::size_t packed : {0, 2}) {
      const Scratch folder;
      std::vector<std::int64_t> labels = labels_of(std::max<std::size_t>(packed, 1));
      const std::size_t last = labels.size() - 2;
      labels[last] = label;
      put(folder.path() / name, {.labels = type, .packed = packed}, data_of(std::max<std::size_t>(packed, 1)), labels);
      const std::int64_t sample = packed == 0 ? 0 : 1;
      expect_data_error([&] { (void)read(folder.path(), sample); },
                        {name + ": sample " + std::to_string(sample) + ": labels[3, 4] is " + expected +
                             ", legal are 0 to 2 (dataset 'climate/labels_0')",
                         "classes"});
    }
  };
  H5open();
  said(H5T_STD_U8LE, 3, "3");
  said(H5T_STD_I8LE, -1, "-1");  // 255 as unsigned
  said(H5T_STD_I16BE, 300, "300");
  said(H5T_STD_I16LE, 256, "256");  // 0, were it wrapped
  said(H5T_STD_I32LE, -256, "-256");
  said(H5T_STD_I64LE, std::int64_t{1} << 40, "1099511627776");
  said(H5T_STD_U64LE, std::int64_t{1} << 62, "4611686018427387904");
  said(H5T_STD_U32BE, 4294967295, "4294967295");
}

TEST(Climate, WhatIsNoNumberInAnImageIsNamed) {
  for (const float value : {std::nanf(""), INFINITY, -INFINITY}) {
    const Scratch folder;
    std::vector<float> data = data_of(1);
    data[(2 * width + 1) * channels + 7] = value;
    put(folder.path() / name, {}, data, labels_of(1));
    expect_data_error([&] { (void)read(folder.path(), 0); }, {name + ": sample 0: data[2, 1, 7] is " +
                                                                  (std::isnan(value) ? "nan"
                                                                   : value > 0       ? "inf"
                                                                                     : "-inf"),
                                                              "'climate/data'"});
  }
}

/// The file has what `make` puts into it.
template <class Make>
void expect_refused(Make&& make, const std::vector<std::string>& parts, const FormatOptions& format = {}) {
  const Scratch folder;
  {
    File file(folder.path() / name);
    make(file);
  }
  expect_data_error([&] { (void)scan_dataset(folder.path(), format, small); }, parts);
}

void put_data(File& file, std::vector<hsize_t> dims) {
  hsize_t count = 1;
  for (const hsize_t extent : dims)
    count *= extent;
  file.put("climate/data", dims, std::vector<float>(count, 1.0F));
}

TEST(Climate, FilesOfAnotherFormAreRefusedWithTheirReason) {
  H5open();
  const auto labels = [](File& file, const std::vector<hsize_t>& dims) {
    file.put_as("climate/labels_0", dims, H5T_STD_U8LE);
  };
  expect_refused([](File& file) { file.put("data", {4}, std::vector<float>(4)); },
                 {name, "no dataset 'climate/data' for the input", "it has 'data'"});
  expect_refused(
      [](File& file) {
        file.group("climate");
        put_data(file, {height, width, channels});
      },
      {name, "no dataset 'climate/labels_0' for the target", "it has 'climate/data'"});
  expect_refused(
      [&](File& file) {
        file.group("climate");
        put_data(file, {height, width, 8});
        labels(file, {height, width});
      },
      {name, "dataset 'climate/data' has shape 4x6x8, expected 4x6x16"});
  expect_refused(
      [&](File& file) {
        file.group("climate");
        put_data(file, {8, 12, 16});
        labels(file, {8, 12});
      },
      {name, "dataset 'climate/data' has shape 8x12x16, expected 4x6x16"});
  expect_refused(
      [&](File& file) {
        file.group("climate");
        put_data(file, {height, width, channels});
        labels(file, {width, height});
      },
      {name, "dataset 'climate/labels_0' has shape 6x4, expected 4x6"});
  expect_refused(
      [&](File& file) {
        file.group("climate");
        put_data(file, {2, height, width, channels});
        labels(file, {height, width});
      },
      {name, "dataset 'climate/labels_0' has shape 4x6, expected 2x4x6", "2 sample(s) in layout packed"});
  expect_refused(
      [&](File& file) {
        file.group("climate");
        put_data(file, {height, width, channels});
        file.put("climate/labels_0", {height, width}, std::vector<float>(pixels));
      },
      {name, "dataset 'climate/labels_0' is float32, expected integers"});
  expect_refused(
      [&](File& file) {
        file.group("climate");
        put_data(file, {height, width, channels});
        labels(file, {height, width});
      },
      {name, "which cannot be cut"}, {.layout = DatasetLayout::universe});
}

TEST(Climate, DatasetsMayBeNamedByTheirPath) {
  const Scratch folder;
  {
    File file(folder.path() / name);
    file.group("other");
    file.group("other/deeper");
    file.put("other/deeper/data", {height, width, channels}, data_of(1));
    file.put_integers("other/labels_1", {height, width}, H5T_STD_I64LE, labels_of(1));
  }
  const Image image = read(folder.path(), 0, {.input = "other/deeper/data", .target = "/other/labels_1"});
  EXPECT_EQ(image.data, data_of(1));
  EXPECT_EQ(image.labels[3], labels_of(1)[3]);
  expect_data_error([&] { (void)read(folder.path(), 0, {.input = "other/deeper/date"}); },
                    {"no dataset 'other/deeper/date'", "did you mean 'other/deeper/data'?"});
}

TEST(Climate, InspectionShowsChannelsAndTheShareOfEachClass) {
  const Scratch folder;
  std::vector<std::int64_t> labels(2 * pixels, 0);
  labels[0] = labels[5] = labels[pixels] = 1;
  labels[7] = 2;
  put(folder.path() / name, {.labels = H5T_STD_I32LE, .packed = 2}, data_of(2), labels);
  for (const DataSchema& schema : {small, climate(0, 0)}) {
    const Inspection found = inspect_dataset(folder.path(), {}, schema, 10);
    EXPECT_EQ(found.layout, DatasetLayout::packed);
    EXPECT_EQ(found.manifest.samples(), 2);
    EXPECT_EQ(found.schema.fields[0].shape, (Shape{height, width, channels}));
    EXPECT_EQ(found.schema.fields[1].shape, (Shape{height, width}));
    ASSERT_EQ(found.values.size(), 2U);
    ASSERT_EQ(found.values[0].channel_minimum.size(), channels);
    EXPECT_EQ(found.values[0].channel_minimum[3], -99.25);
    EXPECT_EQ(found.values[0].channel_maximum[3], 0.25 * (2 * pixels * channels - 13) - 100.0);
    EXPECT_TRUE(found.values[1].channel_minimum.empty());
    EXPECT_EQ(found.values[1].class_share, (std::vector<double>{44.0 / 48, 3.0 / 48, 1.0 / 48}));
  }
  const Verification sound = verify_dataset(folder.path(), {}, climate(0, 0), false);
  EXPECT_EQ(sound.differences, std::vector<std::string>{});
  EXPECT_EQ(sound.samples, 2);
}

TEST(Climate, OpenExtentsDoNotOpenTheNumberOfChannels) {
  const Scratch folder;
  {
    File file(folder.path() / name);
    file.group("climate");
    put_data(file, {height, width, 8});
    file.put_as("climate/labels_0", {height, width}, H5T_STD_U8LE);
  }
  expect_data_error([&] { (void)inspect_dataset(folder.path(), {}, climate(0, 0), 1); },
                    {"dataset 'climate/data' has shape 4x6x8, expected 4x6x16"});
  {
    File file(folder.path() / name);
    file.group("climate");
    put_data(file, {height, 16});
    file.put_as("climate/labels_0", {height, width}, H5T_STD_U8LE);
  }
  expect_data_error([&] { (void)inspect_dataset(folder.path(), {}, climate(0, 0), 1); },
                    {"dataset 'climate/data' has shape 4x16, expected *x*x16"});
}

}  // namespace
}  // namespace trainmark

// Files of JPEGs as datasets: found, counted, read by offset and decoded, and what is refused of them.
#include <gtest/gtest.h>

#include <fstream>

#include "load/resize.hpp"
#include "unit/load/make_hdf5.hpp"
#include "unit/load/make_jpeg.hpp"

namespace trainmark {
namespace {

using testing::Coding;
using testing::expect_data_error;
using testing::File;
using testing::jpeg_of;
using testing::picture;
using testing::Scratch;
using testing::Storing;

constexpr int extent = 32;

DataSchema images() {
  DataSchema schema;
  schema.fields = {{.name = "image", .shape = {extent, extent, 3}, .dtype = DType::u8, .stored_as = {"jpeg"}},
                   {.name = "label",
                    .shape = Shape{},
                    .dtype = DType::i32,
                    .legal = {.least = 0.0, .most = 9.0, .why = "they are classes"},
                    .stored_as = {"labels"}}};
  schema.images = CodedImages{};
  return schema;
}

ImageExtent extent_of(int sample) { return {100 + 7 * sample, 80 + 5 * sample}; }
std::vector<std::byte> image(int sample) {
  return jpeg_of(picture(extent_of(sample), 1 + sample % 3), extent_of(sample), Coding{.progressive = sample == 1});
}

/// What a file says; a test changes one part of it.
struct Content {
  std::vector<std::int64_t> bytes, offsets = {0}, labels;
  Storing storing = {};
  explicit Content(int first = 0, int samples = 3) {
    for (int i = first; i < first + samples; ++i) {
      add(image(i));
      labels.push_back(i % 10);
    }
  }
  void add(const std::vector<std::byte>& coded) {
    for (const std::byte byte : coded)
      bytes.push_back(std::to_integer<std::int64_t>(byte));
    offsets.push_back(static_cast<std::int64_t>(bytes.size()));
  }
  void write(const std::filesystem::path& path) const {
    File file(path);
    file.put_integers("jpeg", {bytes.size()}, H5T_STD_U8LE, bytes, storing);
    file.put_integers("offsets", {offsets.size()}, H5T_STD_I64LE, offsets);
    file.put_integers("labels", {labels.size()}, H5T_STD_I32LE, labels);
  }
};

struct Decoded {
  std::vector<std::uint8_t> pixels = std::vector<std::uint8_t>(extent * extent * 3);
  std::int32_t label = -1;
  bool operator==(const Decoded&) const = default;
};

std::unique_ptr<SampleSource> open(const std::filesystem::path& root, const Cropping& cropping = {},
                                   const DataSchema& schema = images()) {
  return open_hdf5(root, scan_dataset(root, {}, schema), {}, schema, Values::legal, cropping);
}

Decoded read(SampleSource& source, std::int64_t sample, std::int64_t epoch = 0) {
  Decoded decoded;
  source.read({.sample = sample, .epoch = epoch}, {std::as_writable_bytes(std::span(decoded.pixels)),
                                                   std::as_writable_bytes(std::span(&decoded.label, 1))});
  return decoded;
}

std::vector<std::uint8_t> shown(const std::vector<std::byte>& coded, const CropBox& box) {
  JpegDecoder decoder;
  (void)decoder.open(coded);
  std::vector<std::uint8_t> pixels(extent * extent * 3);
  resize_bilinear(decoder.decode(box, extent), box, extent, std::as_writable_bytes(std::span(pixels)));
  return pixels;
}

TEST(CodedImages, SamplesOfSeveralFilesAreReadByOffsetAndShowTheirCentre) {
  for (const Storing& storing : {Storing{}, Storing{.chunk = {1000}, .gzip = 1}}) {
    const Scratch scratch;
    for (const int first : {0, 3}) {
      Content content(first);
      content.storing = storing;
      content.write(scratch.path() / ("images_" + std::to_string(first) + ".hdf5"));
    }
    const auto source = open(scratch.path());
    ASSERT_EQ(source->size(), 6);
    for (const int sample : {5, 0, 3, 1, 2, 4}) {
      const Decoded decoded = read(*source, sample);
      EXPECT_EQ(decoded.label, sample);
      EXPECT_EQ(decoded.pixels, shown(image(sample), centre_crop(extent_of(sample), extent))) << sample;
    }
  }
}

TEST(CodedImages, TrainingSeesOtherCropsInEachEpochThatFollowFromSeedEpochAndSample) {
  const Scratch scratch;
  Content().write(scratch.path() / "a.hdf5");
  DataSchema schema = images();
  schema.images->plain_from_epoch = 4;
  const auto source = open(scratch.path(), {Crop::random, 77}, schema),
             again = open(scratch.path(), {Crop::random, 77}, schema);
  for (std::int64_t epoch = 0; epoch < 4; ++epoch) {
    Rng random(77, Purpose::augment, 2, static_cast<std::uint32_t>(epoch));
    const CropBox box = random_crop(*schema.images, extent_of(2), random);
    EXPECT_EQ(read(*source, 2, epoch).pixels, shown(image(2), box));
    EXPECT_EQ(read(*source, 2, epoch), read(*again, 2, epoch));
    EXPECT_NE(read(*source, 2, epoch), read(*source, 2, epoch + 1));
  }
  EXPECT_EQ(read(*source, 2, 4).pixels, shown(image(2), centre_crop(extent_of(2), extent)));
}

TEST(CodedImages, VerifyDecodesEachImageToItsLastByte) {
  const Scratch scratch;
  Content().write(scratch.path() / "a.hdf5");
  EXPECT_TRUE(verify_dataset(scratch.path(), {}, images(), false).differences.empty());
  Content damaged;
  damaged.bytes[static_cast<std::size_t>(damaged.offsets[2] - 40)] =
      0xff;  // near the bottom of sample 1, which no crop shows
  damaged.bytes[static_cast<std::size_t>(damaged.offsets[2] - 39)] = 0xd9;
  damaged.write(scratch.path() / "a.hdf5");
  const auto differences = verify_dataset(scratch.path(), {}, images(), false).differences;
  ASSERT_EQ(differences.size(), 1U);
  EXPECT_NE(differences[0].find("a.hdf5: sample 1 is damaged: "), std::string::npos) << differences[0];
}

TEST(CodedImages, AnInspectionTellsLayoutAndValues) {
  const Scratch scratch;
  Content().write(scratch.path() / "a.hdf5");
  const Inspection found = inspect_dataset(scratch.path(), {}, images(), 10);
  EXPECT_EQ(found.layout, DatasetLayout::jpeg);
  EXPECT_EQ(found.samples_read, 3);
  EXPECT_DOUBLE_EQ(found.read_amplification, 1.0);
  ASSERT_EQ(found.values.size(), 2U);
  EXPECT_EQ(found.values[1].class_share[2], 1.0 / 3.0);
  EXPECT_EQ(found.values[0].channel_maximum.size(), 3U);
}

TEST(CodedImages, AFileThatDoesNotFitIsRefusedWhenItIsScanned) {
  const auto refuses = [](const Content& content, const std::vector<std::string>& words) {
    const Scratch scratch;
    content.write(scratch.path() / "a.hdf5");
    expect_data_error([&] { (void)scan_dataset(scratch.path(), {}, images()); }, words);
  };
  Content content;
  std::swap(content.offsets[1], content.offsets[2]);
  refuses(content, {"a.hdf5", "'offsets': sample 1 goes from byte", "offsets must rise"});
  content = Content();
  content.offsets[0] = -1;
  refuses(content, {"sample 0 goes from byte -1 to", "offsets must rise"});
  content = Content();
  content.offsets[3] += 1;
  refuses(content, {"sample 2 goes from byte", "but 'jpeg' has", "cut short"});
  content = Content();
  content.labels.pop_back();
  refuses(content, {"dataset 'labels'", "shape 2", "a label for each of the 3 images"});
  content = Content();
  content.offsets = {0};
  refuses(content, {"dataset 'offsets'", "shape 1", "offsets of 1 to"});
}

TEST(CodedImages, FilesOfAnotherFormAreRefusedByName) {
  const Scratch scratch;
  const auto path = scratch.path() / "a.hdf5";
  const auto scan = [&](const FormatOptions& format = {}) { (void)scan_dataset(scratch.path(), format, images()); };
  {
    File file(path);
    file.put_integers("jpeg", {8}, H5T_STD_I16LE, {0, 1, 2, 3, 4, 5, 6, 7});
    file.put_integers("offsets", {2}, H5T_STD_I64LE, {0, 8});
    file.put_integers("labels", {1}, H5T_STD_I32LE, {0});
  }
  expect_data_error([&] { scan(); }, {"a.hdf5", "dataset 'jpeg' is int16 of shape 8", "the bytes of JPEGs"});
  {
    File file(path);
    file.put_integers("jpeg", {8}, H5T_STD_U8LE, {0, 1, 2, 3, 4, 5, 6, 7});
    file.put_integers("labels", {1}, H5T_STD_I32LE, {0});
  }
  expect_data_error([&] { scan(); }, {"a.hdf5", "has no dataset 'offsets'"});
  Content().write(path);
  expect_data_error([&] { scan({.layout = DatasetLayout::packed}); },
                    {"layout packed was asked for", "decoded from JPEGs"});
}

TEST(CodedImages, ASampleThatCannotBeUsedIsNamedWithItsFile) {
  const Scratch scratch;
  Content content;
  const std::string_view png = "\x89PNG\r\n\x1a\n and so on";
  std::vector<std::byte> bytes;
  for (const char c : png)
    bytes.push_back(static_cast<std::byte>(c));
  content.add(bytes);
  content.labels.push_back(0);
  content.labels[1] = 10;
  content.write(scratch.path() / "a.hdf5");
  const auto source = open(scratch.path());
  expect_data_error([&] { (void)read(*source, 1); }, {"a.hdf5: sample 1", "label is 10, legal are 0 to 9"});
  expect_data_error([&] { (void)read(*source, 3); }, {"a.hdf5", "sample 3 is a PNG file, not a JPEG"});
  EXPECT_EQ(read(*source, 2).label, 2);
}

}  // namespace
}  // namespace trainmark

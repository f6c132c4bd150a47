// What staging copies in place of compressed files: the same samples, in files that need no inflating.
#include <gtest/gtest.h>

#include "load/descriptors.hpp"
#include "unit/load/make_hdf5.hpp"

namespace trainmark {
namespace {

namespace fs = std::filesystem;
using testing::contents_of;
using testing::counting;
using testing::expect_data_error;
using testing::File;
using testing::read_sample;
using testing::Scratch;
using testing::Storing;
using testing::write_file;

const DataSchema small = testing::schema({4, 2, 6, 4});
constexpr std::int64_t sample_elements = 4 * 2 * 6 * 4;

class Inflated : public ::testing::Test {
 protected:
  Inflated() {
    fs::create_directories(source_);
    fs::create_directories(target_);
  }
  void put(const Storing& storing, std::int64_t samples = 2, const std::string& x = "x") {
    for (const char* name : {"a.hdf5", "b.hdf5"}) {
      const std::int64_t first = *name == 'a' ? 0 : 1000;
      fs::remove(source_ / name);
      File file(source_ / name);
      if (x.find('/') != std::string::npos) file.group(x.substr(0, x.find('/')));
      file.put(x, {static_cast<hsize_t>(samples), 4, 2, 6, 4}, counting(samples * sample_elements, first), storing);
      file.put("y", {static_cast<hsize_t>(samples), 4},
               std::vector<float>(static_cast<std::size_t>(4 * samples), 0.25F));
    }
  }
  [[nodiscard]] std::unique_ptr<RecodedFile> opened(const ManifestEntry& entry) const {
    return entry.recoding->open(source_ / entry.name, open_to_read(source_ / entry.name).get());
  }
  /// As staging does: block by block, in order.
  void copy(const Manifest& copies) {
    for (const ManifestEntry& entry : copies.entries) {
      if (!entry.recoding) {
        fs::copy_file(source_ / entry.name, target_ / entry.name, fs::copy_options::overwrite_existing);
      } else {
        const std::unique_ptr<RecodedFile> copy = opened(entry);
        ASSERT_EQ(copy->bytes(), entry.bytes);
        std::string content(static_cast<std::size_t>(entry.bytes), '\0');
        const auto bytes = std::as_writable_bytes(std::span(content));
        for (std::size_t at = 0; at < content.size(); at += 1000)
          copy->read(static_cast<std::int64_t>(at),
                     bytes.subspan(at, std::min<std::size_t>(1000, content.size() - at)));
        write_file(target_ / entry.name, content);
      }
      fs::last_write_time(target_ / entry.name, fs::last_write_time(source_ / entry.name));
    }
  }
  void expect_same_samples(const Manifest& manifest, const Manifest& copies, const FormatOptions& format = {},
                           const DataSchema& schema = small) const {
    const auto one = open_hdf5(source_, manifest, format, schema), other = open_hdf5(target_, copies, format, schema);
    ASSERT_EQ(one->size(), other->size());
    for (std::int64_t i = 0; i < one->size(); ++i) {
      const auto from_source = read_sample(*one, schema, i), from_copy = read_sample(*other, schema, i);
      EXPECT_EQ(from_source.x, from_copy.x) << i;
      EXPECT_EQ(from_source.y, from_copy.y) << i;
    }
  }

  Scratch folder_;
  fs::path source_ = folder_.path() / "source", target_ = folder_.path() / "target";
};

TEST_F(Inflated, CopiesHoldTheSameSamplesWithoutChunks) {
  const std::vector<std::pair<Storing, std::int64_t>> forms = {
      {{.chunk = {1, 4, 2, 6, 4}, .shuffle = true, .gzip = 4}, 2},
      {{.chunk = {2, 3, 2, 5, 4}, .gzip = 1}, 5},                     // chunks that reach beyond the edges
      {{.chunk = {1, 1, 2, 6, 4}, .gzip = 9, .big_endian = true}, 5}  // more chunks than are listed
  };
  for (const auto& [storing, samples] : forms) {
    put(storing, samples);
    const Manifest manifest = scan_dataset(source_, {}, small), copies = inflated_copies(manifest, {}, small);
    ASSERT_EQ(copies.entries.size(), 2U);
    for (std::size_t i = 0; i < 2; ++i) {
      const ManifestEntry &entry = manifest.entries[i], &copied = copies.entries[i];
      ASSERT_TRUE(copied.recoding);
      EXPECT_EQ(copied.name, entry.name);
      EXPECT_EQ(copied.samples, entry.samples);
      EXPECT_EQ(copied.modified_ns, entry.modified_ns);
      EXPECT_EQ(copied.bytes_at_source(), entry.bytes);
      EXPECT_GE(copied.bytes, samples * (2 * sample_elements + 16));
      EXPECT_NE(copied.stamp, entry.stamp);
      EXPECT_NE(copied.stamp, 0U);
    }
    copy(copies);
    expect_same_samples(manifest, copies);
    const Manifest found = scan_dataset(target_, {}, small);  // by their headers
    for (std::size_t i = 0; i < 2; ++i) {
      EXPECT_EQ(found.entries[i].samples, samples);
      EXPECT_EQ(found.entries[i].bytes, copies.entries[i].bytes);
      EXPECT_EQ(found.entries[i].layout, copies.entries[i].layout);
    }
    EXPECT_TRUE(inspect_dataset(target_, {}, small, 1).fields[0].chunk.empty());
    expect_same_samples(manifest, found);
  }
}

TEST_F(Inflated, CopiesAreTheSameBytesEachTime) {
  put({.chunk = {1, 4, 2, 6, 4}, .gzip = 4});
  const Manifest copies = inflated_copies(scan_dataset(source_, {}, small), {}, small);
  copy(copies);
  const std::string first = contents_of(target_ / "a.hdf5");
  copy(copies);
  EXPECT_EQ(contents_of(target_ / "a.hdf5"), first);
}

TEST_F(Inflated, WhatIsNotCompressedOrOnlyTheLibraryReadsIsCopiedAsItIs) {
  for (const Storing& storing :
       {Storing{}, Storing{.chunk = {1, 4, 2, 6, 4}}, Storing{.chunk = {1, 4, 2, 6, 4}, .shuffle = true},
        Storing{.chunk = {1, 4, 2, 6, 4}, .gzip = 4, .checksum = true}, Storing{.compact = true}}) {
    put(storing);
    Manifest manifest = scan_dataset(source_, {}, small);
    for (ManifestEntry& entry : manifest.entries)
      entry.xxh3 = hash_file(source_ / entry.name);
    const Manifest copies = inflated_copies(manifest, {}, small);
    for (std::size_t i = 0; i < 2; ++i) {
      EXPECT_FALSE(copies.entries[i].recoding);
      EXPECT_EQ(copies.entries[i].bytes, manifest.entries[i].bytes);
      EXPECT_EQ(copies.entries[i].stamp, manifest.entries[i].stamp);
      EXPECT_EQ(copies.entries[i].xxh3, manifest.entries[i].xxh3);
    }
  }
}

TEST_F(Inflated, HashesOfTheSourceAreNoneOfACopy) {
  put({.chunk = {1, 4, 2, 6, 4}, .gzip = 4});
  Manifest manifest = scan_dataset(source_, {}, small);
  manifest.entries[0].xxh3 = hash_file(source_ / "a.hdf5");
  EXPECT_EQ(inflated_copies(manifest, {}, small).entries[0].xxh3, "");
}

TEST_F(Inflated, CopiesKeepGroupsAndTypes) {
  const FormatOptions format{.input = "deep/x"};
  put({.chunk = {1, 4, 2, 6, 4}, .gzip = 4}, 2, "deep/x");
  fs::remove(source_ / "b.hdf5");
  {
    File file(source_ / "b.hdf5");
    file.group("deep");
    std::vector<std::int64_t> wide(2 * sample_elements, 7);
    wide[1] = 32767;
    wide[sample_elements + 2] = 40000;  // for whoever reads the second sample to name
    file.put_integers("deep/x", {2, 4, 2, 6, 4}, H5T_STD_I64BE, wide, {.chunk = {2, 4, 2, 6, 4}, .gzip = 4});
    file.put_f64("y", {2, 4}, std::vector<double>(8, 0.125));
  }
  const Manifest manifest = scan_dataset(source_, format, small), copies = inflated_copies(manifest, format, small);
  ASSERT_TRUE(copies.entries[0].recoding && copies.entries[1].recoding);
  copy(copies);
  EXPECT_EQ(opened(copies.entries[1])->source_bytes_read() > 64, true);
  const auto one = open_hdf5(source_, manifest, format, small), other = open_hdf5(target_, copies, format, small);
  for (const std::int64_t i : {0, 1, 2}) {
    EXPECT_EQ(read_sample(*one, small, i).x, read_sample(*other, small, i).x) << i;
    EXPECT_EQ(read_sample(*one, small, i).y, read_sample(*other, small, i).y) << i;
  }
  expect_data_error([&] { (void)read_sample(*other, small, 3); }, {"b.hdf5", "sample 1", "40000"});
  EXPECT_EQ(inspect_dataset(target_, format, small, 0).fields[0].type, "int16");
}

TEST_F(Inflated, NamesThatHdf5WritesInSeveralWaysAreCopiedAsTheyAre) {
  put({.chunk = {1, 4, 2, 6, 4}, .gzip = 4}, 2, "deep/x");
  for (const char* name : {"deep//x", "/deep/x"}) {
    const FormatOptions format{.input = name};
    EXPECT_FALSE(inflated_copies(scan_dataset(source_, format, small), format, small).entries[0].recoding) << name;
  }
}

TEST_F(Inflated, ACopyIsNoneOfAnotherDatasetOfTheSameFile) {
  for (const char* name : {"a.hdf5"}) {
    File file(source_ / name);
    for (const char* x : {"x", "z"})
      file.put(x, {2, 4, 2, 6, 4}, counting(2 * sample_elements, *x), {.chunk = {1, 4, 2, 6, 4}, .gzip = 4});
    file.put("y", {2, 4}, std::vector<float>(8, 0.25F));
  }
  const FormatOptions other{.input = "z"};
  const Manifest x = inflated_copies(scan_dataset(source_, {}, small), {}, small),
                 z = inflated_copies(scan_dataset(source_, other, small), other, small);
  EXPECT_EQ(x.entries[0].bytes, z.entries[0].bytes);
  EXPECT_NE(x.entries[0].stamp, z.entries[0].stamp);
}

TEST_F(Inflated, ADamagedSourceIsNamed) {
  put({.chunk = {1, 4, 2, 6, 4}, .gzip = 4});
  const Manifest copies = inflated_copies(scan_dataset(source_, {}, small), {}, small);
  const std::string places = scan_dataset(source_, {}, small).entries[0].layout.places;
  std::string content = contents_of(source_ / "a.hdf5");
  content.replace(std::stoul(places) + 10, 20, 20, '\x55');
  write_file(source_ / "a.hdf5", content);
  expect_data_error([&] { (void)opened(copies.entries[0]); }, {"a.hdf5"});
  const auto copy = opened(copies.entries[1]);
  std::vector<std::byte> beyond(8);
  expect_data_error([&] { copy->read(copy->bytes() - 4, beyond); }, {"b.hdf5, inflated: has ", "not of the form"});
}

}  // namespace
}  // namespace trainmark

// Samples of files that lie in containers: the same bytes as from the files, in every form that files have, and never
// a neighbour's.
#include <gtest/gtest.h>

#include <fstream>

#include "load/descriptors.hpp"
#include "load/file_reads.hpp"
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

/// Three files of two samples each, and the same bytes one behind the other at the target.
class InContainers : public ::testing::TestWithParam<Storing> {
 protected:
  void SetUp() override {
    fs::create_directories(source_);
    fs::create_directories(target_);
    for (int i = 0; i < 3; ++i) {
      File file(source_ / name_of(i), i == 2 ? 512 : 0);  // one with a user block
      file.put("x", {2, 4, 2, 6, 4}, x_of(i), GetParam());
      file.put("y", {2, 4}, std::vector<float>(8, 0.25F * static_cast<float>(i)), {});
    }
    manifest_ = scan_dataset(source_, {}, small);
    pack();
  }
  void pack() {
    std::string all(4096, 'h');
    places_.clear();
    for (int i = 0; i < 3; ++i) {
      places_.push_back({7, static_cast<std::int64_t>(all.size())});
      all += contents_of(source_ / name_of(i)).substr(0, static_cast<std::size_t>(manifest_.entries.at(i).bytes));
      all.resize((all.size() + 4095) / 4096 * 4096, '\xff');
    }
    write_file(container_path(target_, 7), all);
  }
  [[nodiscard]] std::unique_ptr<SampleSource> open() const {
    return open_hdf5(target_, manifest_, {}, small, Values::legal, {}, {}, places_);
  }
  static std::string name_of(int i) { return "f" + std::to_string(i) + ".hdf5"; }
  static std::vector<std::int16_t> x_of(int i) { return counting(2 * sample_elements, 1000 * i); }

  Scratch folder_;
  fs::path source_ = folder_.path() / "source", target_ = folder_.path() / "target";
  Manifest manifest_;
  std::vector<ContainerPlace> places_;
};

TEST_P(InContainers, SamplesAreThoseOfTheFiles) {
  const auto packed = open(), files = open_hdf5(source_, manifest_, {}, small);
  for (const std::int64_t i : {5, 0, 3, 1, 4, 2}) {
    const auto one = read_sample(*packed, small, i), other = read_sample(*files, small, i);
    EXPECT_EQ(one.x, other.x) << i;
    EXPECT_EQ(one.y, other.y) << i;
    const std::vector<std::int16_t> x = x_of(static_cast<int>(i / 2));
    EXPECT_TRUE(std::equal(one.x.begin(), one.x.end(), x.begin() + i % 2 * sample_elements)) << i;
  }
}

TEST_P(InContainers, AFileThatWasCutIsNeverReadOnInItsNeighbour) {
  manifest_.entries[1].bytes -= 200;
  manifest_.entries[1].layout = {};  // its header is read, which promises more
  pack();
  const auto packed = open();
  (void)read_sample(*packed, small, 0);
  expect_data_error([&] { (void)read_sample(*packed, small, 2); }, {"trainmark.container.7/f1.hdf5"});
  (void)read_sample(*packed, small, 4);
}

TEST_P(InContainers, AContainerThatEndsTooEarlyOrIsNotThereIsNamed) {
  fs::resize_file(container_path(target_, 7), static_cast<std::uintmax_t>(places_[2].offset) + 100);
  expect_data_error([&] { (void)read_sample(*open(), small, 4); }, {"trainmark.container.7/f2.hdf5", "cut short"});
  fs::remove(container_path(target_, 7));
  expect_data_error([&] { (void)read_sample(*open(), small, 0); }, {"trainmark.container.7: cannot be opened"});
}

TEST_P(InContainers, WhatIsNoHdf5FileIsNamed) {
  std::string all = contents_of(container_path(target_, 7));
  all.replace(static_cast<std::size_t>(places_[0].offset), 16, 16, 'x');
  write_file(container_path(target_, 7), all);
  expect_data_error([&] { (void)read_sample(*open(), small, 0); },
                    {"trainmark.container.7/f0.hdf5", "cannot be opened"});
}

TEST_P(InContainers, AContainerThatWasReplacedIsNotReadOn) {
  for (int i = 0; i < 70; ++i) {  // more files of their own than are kept open
    const std::string name = "g" + std::to_string(100 + i) + ".hdf5";
    fs::copy_file(source_ / name_of(0), target_ / name);
    ManifestEntry entry = manifest_.entries[0];
    entry.name = name;
    entry.modified_ns = 0;
    manifest_.entries.push_back(entry);
    places_.emplace_back();
  }
  const auto mixed = open();
  (void)read_sample(*mixed, small, 0);
  fs::copy_file(container_path(target_, 7), folder_.path() / "copy");
  fs::rename(folder_.path() / "copy", container_path(target_, 7));
  for (std::int64_t i = 6; i < mixed->size(); ++i)
    EXPECT_EQ(read_sample(*mixed, small, i).x.front(), i % 2 * sample_elements);
  expect_data_error([&] { (void)read_sample(*mixed, small, 2); }, {"trainmark.container.7", "was written or replaced"});
}

INSTANTIATE_TEST_SUITE_P(Storages, InContainers,
                         ::testing::Values(Storing{}, Storing{.chunk = {1, 4, 2, 6, 4}, .shuffle = true, .gzip = 4},
                                           Storing{.compact = true},  // by the library
                                           Storing{.chunk = {2, 4, 2, 6, 4}, .gzip = 4, .checksum = true}));

TEST(InContainer, NothingBeyondAFilesEndIsRead) {
  const Scratch folder;
  const fs::path path = folder.path() / "container";
  write_file(path, "0123456789");
  const Descriptor opened = open_to_read(path);
  const OpenFile file{.path = path, .descriptor = opened.get(), .range = {2, 4, true}};
  std::string text(4, ' ');
  read_fully(file, 0, std::as_writable_bytes(std::span(text)));
  EXPECT_EQ(text, "2345");
  const auto expect_end = [&](const auto& read) { expect_data_error(read, {"cut short: it ends before byte 4"}); };
  expect_end([&] { read_fully(file, 1, std::as_writable_bytes(std::span(text))); });
  expect_end([&] { read_fully(file, 5, std::as_writable_bytes(std::span(text))); });
  GatheredRead within(file);
  within.add(0, std::as_writable_bytes(std::span(text).first(1)));
  within.add(3, std::as_writable_bytes(std::span(text).last(1)));
  within.finish();
  EXPECT_EQ(text, "2345");
  expect_end([&] {
    GatheredRead beyond(file);
    beyond.add(0, std::as_writable_bytes(std::span(text).first(1)));
    beyond.add(3, std::as_writable_bytes(std::span(text).last(2)));
    beyond.finish();
  });
}

TEST(InContainer, AFolderOfContainersIsNoSource) {
  const Scratch folder;
  File(folder.path() / "a.h5").put("x", {4, 2, 6, 4}, counting(sample_elements));
  write_file(folder.path() / "deeper" / "trainmark.container.0.index", "");
  expect_data_error(
      [&] { (void)scan_dataset(folder.path(), {}, small); },
      {folder.path().string(), "was staged to with /stage/form \"packed\"", "deeper/trainmark.container.0"});
}

}  // namespace
}  // namespace trainmark

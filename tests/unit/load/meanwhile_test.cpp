// A set that is read while it is being staged: each file from its target once it is there, until then from its source.
#include <gtest/gtest.h>

#include <fstream>

#include "unit/load/make_hdf5.hpp"

namespace trainmark {
namespace {

namespace fs = std::filesystem;
using testing::counting;
using testing::File;
using testing::read_sample;
using testing::Scratch;
using testing::Storing;

const DataSchema small = testing::schema({4, 2, 6, 4});
constexpr std::int64_t sample_elements = 4 * 2 * 6 * 4;

/// Two files of two samples at the source, nothing at the target.
class Meanwhile : public ::testing::TestWithParam<Storing> {
 protected:
  Meanwhile() {
    fs::create_directories(source_);
    fs::create_directories(target_);
    for (const char* name : {"a.hdf5", "b.hdf5"}) {
      File file(source_ / name);
      file.put("x", {2, 4, 2, 6, 4}, x_, GetParam());
      file.put("y", {2, 4}, std::vector<float>(8, 0.25F), {});
    }
    manifest_ = scan_dataset(source_, {}, small);
    samples_ = open_hdf5(target_, manifest_, {}, small, Values::legal, {}, source_);
  }
  void stage(const std::string& name) const {
    fs::copy_file(source_ / name, target_ / "under way");
    fs::last_write_time(target_ / "under way", fs::last_write_time(source_ / name));
    fs::rename(target_ / "under way", target_ / name);
  }
  void expect_sample(std::int64_t i) const {
    const auto sample = read_sample(*samples_, small, i);
    EXPECT_TRUE(std::equal(sample.x.begin(), sample.x.end(), x_.begin() + i % 2 * sample_elements)) << i;
  }
  void expect_read(std::int64_t at_source, std::int64_t at_target) const {
    EXPECT_EQ(samples_->places().at_source, at_source);
    EXPECT_EQ(samples_->places().at_target, at_target);
  }

  Scratch folder_;
  fs::path source_ = folder_.path() / "source", target_ = folder_.path() / "target";
  std::vector<std::int16_t> x_ = counting(2 * sample_elements, 300);
  Manifest manifest_;
  std::unique_ptr<SampleSource> samples_;
};

TEST_P(Meanwhile, EachFileIsReadWhereItIs) {
  expect_sample(0);
  expect_read(1, 0);
  stage("a.hdf5");
  expect_sample(1);  // though the source's file is open
  expect_read(1, 1);
  expect_sample(2);
  expect_read(2, 1);
  stage("b.hdf5");
  fs::remove_all(source_);
  for (std::int64_t i = 0; i < 4; ++i)
    expect_sample(i);
  expect_read(2, 5);
  EXPECT_EQ(samples_->places().sample_bytes, static_cast<std::int64_t>(small.sample_bytes()));
}

TEST_P(Meanwhile, WhatIsNotTheFileIsNotRead) {
  std::ofstream(target_ / "a.hdf5") << "of another size";
  stage("b.hdf5");
  fs::last_write_time(target_ / "b.hdf5", fs::file_time_type::clock::now() + std::chrono::hours(1));
  for (std::int64_t i = 0; i < 4; ++i)
    expect_sample(i);
  expect_read(4, 0);
}

TEST_P(Meanwhile, ASourceThatChangesIsNoticed) {
  {
    std::ofstream file(source_ / "a.hdf5", std::ios::app);
    file << "more";
  }
  testing::expect_data_error([&] { expect_sample(0); }, {"source/a.hdf5", "bytes now"});
}

INSTANTIATE_TEST_SUITE_P(Storages, Meanwhile,
                         ::testing::Values(Storing{}, Storing{.chunk = {1, 4, 2, 6, 4}, .gzip = 4}));

}  // namespace
}  // namespace trainmark

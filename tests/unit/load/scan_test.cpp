// What a folder is found to hold, and everything that can be wrong with it.
#include <gtest/gtest.h>

#include <fstream>

#include "unit/load/make_hdf5.hpp"

namespace trainmark {
namespace {

using testing::counting;
using testing::expect_data_error;
using testing::File;
using testing::Scratch;

const DataSchema small = testing::schema({2, 2, 2, 4});

void put_block(const std::filesystem::path& path) {
  File file(path);
  file.put("x", {2, 2, 2, 4}, counting(32));
  file.put("y", {4}, std::vector<float>{0.1F, 0.2F, 0.3F, 0.4F});
}

TEST(Scan, FindsFilesBelowTheFolderSortedByName) {
  const Scratch folder;
  put_block(folder.path() / "b.hdf5");
  put_block(folder.path() / "sub" / "c.h5");
  put_block(folder.path() / "a.hdf5");
  std::ofstream(folder.path() / "notes.txt") << "not data";
  std::ofstream(folder.path() / ".trainmark-host-1-2.hdf5") << "a copy under way";
  const Manifest manifest = scan_dataset(folder.path(), {}, small);
  ASSERT_EQ(manifest.entries.size(), 3U);
  EXPECT_EQ(manifest.entries[0].name, "a.hdf5");
  EXPECT_EQ(manifest.entries[1].name, "b.hdf5");
  EXPECT_EQ(manifest.entries[2].name, "sub/c.h5");
  EXPECT_EQ(manifest.entries[0].bytes, static_cast<std::int64_t>(std::filesystem::file_size(folder.path() / "a.hdf5")));
  EXPECT_GT(manifest.entries[0].modified_ns, 0);
  EXPECT_EQ(manifest.samples(), 3);
}

TEST(Scan, CountsThePackedSamplesAndTheBlocksOfUniverses) {
  const Scratch folder;
  {
    File packed(folder.path() / "packed" / "p.hdf5");
    packed.put("x", {5, 2, 2, 2, 4}, counting(5 * 32));
    packed.put("y", {5, 4}, std::vector<float>(20));
    File universe(folder.path() / "universe" / "u.hdf5");
    universe.put("full", {4, 4, 4, 4}, counting(256));
    universe.put("unitPar", {4}, std::vector<float>(4));
  }
  EXPECT_EQ(scan_dataset(folder.path() / "packed", {}, small).samples(), 5);
  EXPECT_EQ(scan_dataset(folder.path() / "universe", {}, small).samples(), 8);
}

TEST(Scan, ReadsDatasetsByTheNamesItIsGiven) {
  const Scratch folder;
  {
    File file(folder.path() / "a.hdf5");
    file.put("density", {2, 2, 2, 4}, counting(32));
    file.put("parameters", {4}, std::vector<float>(4));
  }
  EXPECT_EQ(scan_dataset(folder.path(), {DatasetLayout::automatic, "density", "parameters"}, small).samples(), 1);
}

TEST(Scan, NamesAMissingFolderAnEmptyOneAndAFileInItsPlace) {
  const Scratch folder;
  expect_data_error([&] { (void)scan_dataset(folder.path() / "absent", {}, small); }, {"absent", "does not exist"});
  expect_data_error([&] { (void)scan_dataset(folder.path(), {}, small); }, {"has no *.hdf5"});
  put_block(folder.path() / "a.hdf5");
  expect_data_error([&] { (void)scan_dataset(folder.path() / "a.hdf5", {}, small); }, {"is not a folder"});
}

TEST(Scan, NamesAFileThatIsNotHdf5) {
  const Scratch folder;
  std::ofstream(folder.path() / "a.hdf5") << "something else";
  expect_data_error([&] { (void)scan_dataset(folder.path(), {}, small); },
                    {"a.hdf5", "is not an HDF5 file", "14 bytes"});
}

TEST(Scan, NamesWhatAFileIsThatIsNotHdf5) {
  const Scratch folder;
  const auto expect = [&](const std::string& content, const std::vector<std::string>& parts) {
    std::ofstream(folder.path() / "a.hdf5", std::ios::binary) << content;
    expect_data_error([&] { (void)scan_dataset(folder.path(), {}, small); }, parts);
  };
  expect(std::string("\x1f\x8b\x08\0", 4), {"a.hdf5: is compressed by gzip, not an HDF5 file (4 bytes)", "zcat"});
  expect("version https://git-lfs.github.com/spec/v1\n", {"is a pointer of Git LFS, not an HDF5 file", "git lfs pull"});
  expect(std::string("CDF\x01\0\0\0\0", 8), {"is a netCDF file in its classic format", "nccopy"});
  expect("<!DOCTYPE html><html>", {"is an HTML page, not an HDF5 file", "download the file again"});
}

TEST(Scan, NamesAFileThatIsCutShort) {
  const Scratch folder;
  put_block(folder.path() / "a.hdf5");
  const auto size = std::filesystem::file_size(folder.path() / "a.hdf5");
  std::filesystem::resize_file(folder.path() / "a.hdf5", size - 64);
  expect_data_error([&] { (void)scan_dataset(folder.path(), {}, small); }, {"a.hdf5", "is cut short"});
}

TEST(Scan, NamesAMissingDatasetWhatIsThereAndTheNearestName) {
  const Scratch folder;
  {
    File file(folder.path() / "a.hdf5");
    file.put("density", {2, 2, 2, 4}, counting(32));
    file.put("y", {4}, std::vector<float>(4));
  }
  expect_data_error(
      [&] {
        (void)scan_dataset(folder.path(), {DatasetLayout::automatic, "densty", "auto"}, small);
      },
      {"has no dataset 'densty'", "it has 'density', 'y'", "did you mean 'density'?"});
}

TEST(Scan, NamesAWrongRankExtentAndTypeWithWhatWasExpected) {
  const Scratch folder;
  {
    File rank(folder.path() / "rank" / "a.hdf5");
    rank.put("x", {8, 4}, counting(32));
    rank.put("y", {4}, std::vector<float>(4));
    File extent(folder.path() / "extent" / "a.hdf5");
    extent.put("x", {2, 2, 3, 4}, counting(48));
    extent.put("y", {4}, std::vector<float>(4));
    File universe(folder.path() / "universe" / "a.hdf5");
    universe.put("full", {3, 3, 3, 4}, counting(108));
    universe.put("unitPar", {4}, std::vector<float>(4));
    File type(folder.path() / "type" / "a.hdf5");
    type.put_as("x", {2, 2, 2, 4}, H5T_IEEE_F32LE);
    type.put("y", {4}, std::vector<float>(4));
    File target(folder.path() / "target" / "a.hdf5");
    target.put("x", {2, 2, 2, 2, 4}, counting(64));
    target.put("y", {3, 4}, std::vector<float>(12));
    File target_type(folder.path() / "target_type" / "a.hdf5");
    target_type.put("x", {2, 2, 2, 4}, counting(32));
    target_type.put_as("y", {4}, H5T_STD_I32LE);
  }
  const auto scan = [&](const char* name) {
    return [&, name] { (void)scan_dataset(folder.path() / name, {}, small); };
  };
  expect_data_error(scan("rank"), {"'x' has shape 8x4", "expected 2x2x2x4"});
  expect_data_error(scan("extent"), {"'x' has shape 2x2x3x4", "expected 2x2x2x4"});
  expect_data_error(scan("universe"), {"'full' has shape 3x3x3x4", "cannot be cut into samples of 2x2x2x4"});
  expect_data_error(scan("type"), {"'x' is float32", "expected integers"});
  expect_data_error(scan("target"), {"'y' has shape 3x4", "expected 2x4"});
  expect_data_error(scan("target_type"), {"'y' is int32", "expected float32"});
}

}  // namespace
}  // namespace trainmark

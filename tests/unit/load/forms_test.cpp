// Files of another form among a folder's files: named wherever they are met, and allowed where the config says how
// samples lie.
#include <gtest/gtest.h>

#include "load/scan.hpp"
#include "unit/load/make_hdf5.hpp"

namespace trainmark {
namespace {

using testing::counting;
using testing::expect_data_error;
using testing::File;
using testing::Scratch;

const DataSchema small = testing::schema({2, 2, 2, 4});
const FormatOptions universes{.layout = DatasetLayout::universe};

void put(const std::filesystem::path& path, const std::string& input, const std::string& target, hsize_t extent) {
  File file(path);
  file.put(input, {extent, extent, extent, 4}, counting(static_cast<std::int64_t>(extent * extent * extent) * 4));
  file.put(target, {4}, std::vector<float>(4));
}

void put_packed(const std::filesystem::path& path, hsize_t samples) {
  File file(path);
  file.put("x", {samples, 2, 2, 2, 4}, counting(static_cast<std::int64_t>(samples) * 32));
  file.put("y", {samples, 4}, std::vector<float>(samples * 4));
}

/// Three files of one sample each, and room for a stranger among them.
class Forms : public ::testing::Test {
 protected:
  Forms() {
    for (const char* name : {"a.h5", "b.h5", "d.h5"})
      put(folder_.path() / name, "x", "y", 2);
  }
  [[nodiscard]] std::filesystem::path stranger() const { return folder_.path() / "c.h5"; }
  [[nodiscard]] Manifest scan(const FormatOptions& format = {}) const {
    return scan_dataset(folder_.path(), format, small);
  }
  void expect_stranger(const std::string& form) const {
    expect_data_error([&] { (void)scan(); },
                      {folder_.path().string(), "holds files of 2 forms",
                       "3 of layout block with 'x' and 'y' (a.h5), 1 of layout " + form + " (c.h5)"});
  }
  /// As a program wrote it that let strangers join; `samples` of the fourth file, c.h5.
  void write_manifest_with(std::int64_t samples) const {
    Manifest manifest{data_files(folder_.path())};
    for (ManifestEntry& entry : manifest.entries)
      entry.samples = entry.name == "c.h5" ? samples : 1;
    write_manifest(folder_.path(), manifest);
  }

  Scratch folder_;
};

TEST_F(Forms, ACubeAmongBlocksIsAStrangerUnlessAllAreSaidToBeCubes) {
  put(stranger(), "x", "y", 4);
  expect_stranger("universe 4x4x4x4 with 'x' and 'y'");
  EXPECT_EQ(scan(universes).samples(), 3 + 8);
}

TEST_F(Forms, PackedSamplesAmongBlocksAreStrangers) {
  put_packed(stranger(), 1);
  expect_stranger("packed with 'x' and 'y'");
  expect_data_error([&] { (void)scan(); }, {"write all of them in one form"});
}

TEST_F(Forms, OtherNamesAreStrangersUnlessTheConfigNamesThem) {
  {
    File file(stranger());
    for (const char* name : {"x", "full"})
      file.put(name, {2, 2, 2, 4}, counting(32));
    file.put("unitPar", {4}, std::vector<float>(4));
  }
  expect_stranger("block with 'x' and 'unitPar'");
}

TEST(FormsOfUniverses, DifferInExtentsAndPackedFilesNotInTheNumberOfSamples) {
  const Scratch cubes, packed;
  put(cubes.path() / "a.h5", "full", "unitPar", 4);
  put(cubes.path() / "b.h5", "full", "unitPar", 8);
  expect_data_error([&] { (void)scan_dataset(cubes.path(), {}, small); },
                    {"1 of layout universe 4x4x4x4 with 'full' and 'unitPar' (a.h5)", "universe 8x8x8x4",
                     "data.format.layout \"universe\""});
  EXPECT_EQ(scan_dataset(cubes.path(), universes, small).samples(), 8 + 64);
  put_packed(packed.path() / "a.h5", 2);
  put_packed(packed.path() / "b.h5", 5);
  EXPECT_EQ(scan_dataset(packed.path(), {}, small).samples(), 7);
}

TEST_F(Forms, NoManifestIsWrittenOfStrangersAndVerifyNamesThem) {
  put(stranger(), "x", "y", 4);
  const Verification found = verify_dataset(folder_.path(), {}, small, true);
  EXPECT_FALSE(found.manifest_written);
  ASSERT_EQ(found.differences.size(), 1U);
  EXPECT_NE(found.differences[0].find("holds files of 2 forms"), std::string::npos) << found.differences[0];
  EXPECT_TRUE(verify_dataset(folder_.path(), universes, small, true).manifest_written);
}

TEST_F(Forms, AManifestThatListsMoreSamplesThanTheFirstFileHasDoesNotHideTheStranger) {
  put(stranger(), "x", "y", 4);
  write_manifest_with(8);
  expect_stranger("universe 4x4x4x4 with 'x' and 'y'");
  EXPECT_EQ(scan(universes).samples(), 3 + 8);
}

TEST_F(Forms, AStrangerOfAsManySamplesThatAManifestHidesIsNamedWhenItIsRead) {
  put_packed(stranger(), 1);
  write_manifest_with(1);
  const auto source = open_hdf5(folder_.path(), scan(), {}, small);
  (void)testing::read_sample(*source, small, 1);
  expect_data_error([&] { (void)testing::read_sample(*source, small, 2); },
                    {"holds files of 2 forms", "1 of layout packed with 'x' and 'y' (c.h5)"});
}

TEST_F(Forms, AreToldToOtherRanksAsText) {
  FileForms here, there;
  here.add("block with 'x' and 'y'", "b file.h5", 2);
  here.add("", "of a named layout.h5");
  there.add("block with 'x' and 'y'", "a.h5");
  there.require_one("data");
  there.add_told(here.to_text());
  there.require_one("data");
  there.add("packed with 'x' and 'y'", "c.h5");
  expect_data_error([&] { there.require_one("data"); },
                    {"data: holds files of 2 forms: 3 of layout block with 'x' and 'y' (a.h5), 1 of layout packed"});
}

}  // namespace
}  // namespace trainmark

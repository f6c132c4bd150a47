// What a manifest says of a dataset is compared with what is there, one thing after the other.
#include <gtest/gtest.h>

#include "unit/load/make_hdf5.hpp"

namespace trainmark {
namespace {

using testing::File;
using testing::Scratch;

const DataSchema small = testing::schema({2, 2, 2, 4});

void put_packed(const std::filesystem::path& path, hsize_t samples, std::int16_t value = 1) {
  File file(path);
  file.put("x", {samples, 2, 2, 2, 4}, std::vector<std::int16_t>(samples * 32, value));
  file.put("y", {samples, 4}, std::vector<float>(samples * 4));
}

/// Three files of two samples, and what a manifest of them says.
class Verify : public ::testing::Test {
 protected:
  Verify() {
    for (const char* name : {"a.h5", "b.h5", "c.h5"})
      put_packed(folder_.path() / name, 2);
    EXPECT_TRUE(verify_dataset(folder_.path(), {}, small, true).manifest_written);
    listed_ = *read_manifest(folder_.path());
  }
  std::vector<std::string> differences() { return verify_dataset(folder_.path(), {}, small, false).differences; }

  Scratch folder_;
  Manifest listed_;
};
using Lines = std::vector<std::string>;

TEST_F(Verify, TellsWhatItReadAndHowFarItIs) {
  std::int64_t heard = 0;
  const Verification found =
      verify_dataset(folder_.path(), {}, small, false, [&](std::int64_t bytes) { heard += bytes; });
  std::int64_t bytes = 0;
  for (const ManifestEntry& entry : listed_.entries)
    bytes += entry.bytes;
  EXPECT_EQ(found.files, 3);
  EXPECT_EQ(found.samples, 6);
  EXPECT_EQ(found.bytes, bytes);
  EXPECT_EQ(heard, bytes);
  EXPECT_FALSE(found.manifest_written);
}

TEST_F(Verify, NamesAnotherSize) {
  put_packed(folder_.path() / "b.h5", 3);
  const auto bytes = std::filesystem::file_size(folder_.path() / "b.h5");
  EXPECT_EQ(differences(), Lines{"b.h5: bytes " + std::to_string(bytes) + ", the manifest says " +
                                 std::to_string(listed_.entries[1].bytes)});
}

TEST_F(Verify, NamesAnotherContentOfTheSameSize) {
  put_packed(folder_.path() / "b.h5", 2, 7);
  EXPECT_EQ(differences(), Lines{"b.h5: XXH3 " + hash_file(folder_.path() / "b.h5") + ", the manifest says " +
                                 listed_.entries[1].xxh3});
}

TEST_F(Verify, NamesAnotherCountAndComparesNoHashThatIsNotKnown) {
  listed_.entries[0].samples = 5;
  listed_.entries[2].xxh3.clear();
  write_manifest(folder_.path(), listed_);
  EXPECT_EQ(differences(), Lines{"a.h5: samples 2, the manifest says 5"});
}

TEST_F(Verify, NamesFilesThatAreMissingOrNotListedWhereverTheyStand) {
  put_packed(folder_.path() / "a0.h5", 2);
  put_packed(folder_.path() / "d.h5", 2);
  std::filesystem::remove(folder_.path() / "b.h5");
  EXPECT_EQ(differences(), (Lines{"a0.h5: is not in the manifest", "b.h5: is missing, the manifest lists it",
                                  "d.h5: is not in the manifest"}));
}

TEST_F(Verify, WritesAManifestOfWhatIsThereWhateverAnOldOneSays) {
  put_packed(folder_.path() / "b.h5", 3);
  EXPECT_TRUE(verify_dataset(folder_.path(), {}, small, true).manifest_written);
  EXPECT_EQ(differences(), Lines{});
  EXPECT_EQ(read_manifest(folder_.path())->samples(), 7);
}

}  // namespace
}  // namespace trainmark

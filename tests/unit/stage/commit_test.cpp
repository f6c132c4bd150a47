// Copies that take their places several at a time: in which order they are flushed and renamed, and what a failure
// leaves.
#include <gtest/gtest.h>
#include <linux/magic.h>
#include <sys/utsname.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>

#include "stage/files.hpp"
#include "unit/stage/scratch.hpp"
#include "unit/stage/system_calls.hpp"

namespace trainmark {
namespace {

using testing::contents_of;
using testing::expect_data_error;
using testing::manifest_of;
using testing::Scratch;
using testing::system_calls;
using testing::write_file;

/// A source of four bytes, and the entry that lists it.
class Commits : public ::testing::Test {
 protected:
  Commits() {
    write_file(folder_.path() / "from", "text");
    entry_.bytes = 4;
    entry_.modified_ns = 0;
  }

  const Scratch folder_;
  ManifestEntry entry_ = manifest_of({1}).entries[0];
};

TEST_F(Commits, HasFilesOnTheDiskBeforeTheyTakeTheirPlacesAndFlushesAFolderOnce) {
  Manifest manifest = manifest_of({1, 1, 1});
  std::vector<std::string> published;
  Commit commit(
      folder_.path(),
      [&](const ManifestEntry& entry, const std::string& xxh3) { published.push_back(entry.name + xxh3); },
      [](std::int64_t) {});
  for (std::size_t i = 0; i < 3; ++i) {
    ManifestEntry& entry = manifest.entries[i];
    write_file(folder_.path() / "source" / entry.name, "text");
    entry.bytes = 4;
    entry.modified_ns = 0;
    std::filesystem::create_directories(folder_.path() / "to");
    Copied copy =
        copy_entry(entry, folder_.path() / "source" / entry.name, folder_.path() / "to" / entry.name, false, {});
    commit.add(std::move(copy.landing), std::to_string(i), false);
    EXPECT_FALSE(std::filesystem::exists(folder_.path() / "to" / entry.name));
  }
  EXPECT_TRUE(published.empty());
  system_calls() = {};
  commit.flush();
  EXPECT_EQ(system_calls().made, (std::vector<std::string>{"fsync file", "fsync file", "fsync file", "rename", "rename",
                                                           "rename", "fsync folder"}));
  EXPECT_EQ(published, (std::vector<std::string>{manifest.entries[0].name + "0", manifest.entries[1].name + "1",
                                                 manifest.entries[2].name + "2"}));
  system_calls() = {};
  commit.flush();
  EXPECT_TRUE(system_calls().made.empty()) << "nothing is left to do";
}

TEST_F(Commits, IsMadeWhereManyFilesOrBytesWait) {
  int published = 0;
  Commit commit(
      folder_.path(), [&](const ManifestEntry&, const std::string&) { ++published; }, [](std::int64_t) {});
  for (int i = 0; i < 300; ++i) {
    Copied copy = copy_entry(entry_, folder_.path() / "from", folder_.path() / std::to_string(i), false, {});
    commit.add(std::move(copy.landing), "", false);
    EXPECT_EQ(published, (i + 1) / 128 * 128) << "a kill must not cost more than that";
  }
}

class ManyFiles : public Commits {
 protected:
  ManyFiles() {
    utsname system{};
    int major = 0, minor = 0;
    uname(&system);
    std::sscanf(system.release, "%d.%d", &major, &minor);
    if (std::pair(major, minor) < std::pair(5, 17)) skipped_ = "this kernel's syncfs tells nothing";
    system_calls() = {};
    system_calls().file_system_magic = EXT4_SUPER_MAGIC;
  }
  ~ManyFiles() override { system_calls() = {}; }
  ManyFiles(const ManyFiles&) = delete;
  ManyFiles& operator=(const ManyFiles&) = delete;
  void SetUp() override {
    if (skipped_ != nullptr) GTEST_SKIP() << skipped_;
  }

  void add(Commit& commit, int files) {
    for (int i = 0; i < files; ++i) {
      Copied copy = copy_entry(entry_, folder_.path() / "from", folder_.path() / std::to_string(next_++), false, {});
      commit.add(std::move(copy.landing), "", false);
    }
    system_calls().made.clear();
    commit.flush();
  }
  [[nodiscard]] static long times(const char* call) { return std::ranges::count(system_calls().made, call); }

  int next_ = 0;
  const char* skipped_ = nullptr;
};

TEST_F(ManyFiles, AreOnTheDiskByOneCallBeforeTheFirstTakesItsPlace) {
  int published = 0, beats = 0;
  Commit commit(
      folder_.path(), [&](const ManifestEntry&, const std::string&) { ++published; }, [&](std::int64_t) { ++beats; });
  add(commit, 16);
  EXPECT_EQ(system_calls().made.front(), "sync all");
  EXPECT_EQ(times("sync all"), 1);
  EXPECT_EQ(times("fsync file"), 0);
  EXPECT_EQ(times("rename"), 16);
  EXPECT_EQ(system_calls().made.back(), "fsync folder");
  EXPECT_EQ(published, 16);
  EXPECT_GT(beats, 0);
  add(commit, 15);
  EXPECT_EQ(times("sync all"), 0) << "few files are quicker one by one";
  EXPECT_EQ(times("fsync file"), 15);
  add(commit, 20);
  EXPECT_EQ(times("sync all"), 1);
}

TEST_F(ManyFiles, AreAskedOneByOneOnceAWriteWasLost) {
  int published = 0;
  Commit commit(
      folder_.path(), [&](const ManifestEntry&, const std::string&) { ++published; }, [](std::int64_t) {});
  system_calls().syncfs_fails_with = EIO;
  add(commit, 16);
  EXPECT_EQ(times("sync all"), 1);
  EXPECT_EQ(times("fsync file"), 16);
  EXPECT_EQ(published, 16) << "it was a write of somebody else's";
  system_calls().syncfs_fails_with = 0;
  add(commit, 16);
  EXPECT_EQ(times("sync all"), 0) << "a file that was half written then is not known to be whole";
  EXPECT_EQ(times("fsync file"), 16);
  EXPECT_EQ(published, 32);
}

TEST_F(ManyFiles, OfWhichOneWasLostAreNotPublished) {
  int published = 0;
  Commit commit(
      folder_.path(), [&](const ManifestEntry&, const std::string&) { ++published; }, [](std::int64_t) {});
  system_calls().syncfs_fails_with = system_calls().fsync_fails_with = EIO;
  EXPECT_THROW(add(commit, 16), Error);
  EXPECT_EQ(published, 0);
}

TEST_F(ManyFiles, AreNotKeptByASecondCallWhereTheFirstToldOfALostWriteAndTheWorkWasCalledOff) {
  int published = 0, beats = 0;
  Commit commit(
      folder_.path(), [&](const ManifestEntry&, const std::string&) { ++published; },
      [&](std::int64_t) {
        if (++beats == 2) throw Pulse::Cancelled{};  // behind the call
      });
  system_calls().syncfs_fails_with = EIO;
  EXPECT_THROW(add(commit, 16), Pulse::Cancelled);
  EXPECT_EQ(times("sync all"), 1);
  system_calls().syncfs_fails_with = 0;  // what was told once is not told again
  system_calls().fsync_fails_with = EIO;
  commit.keep();
  EXPECT_EQ(published, 0);
}

TEST_F(ManyFiles, AreAskedOneByOneWhereTheFileSystemIsNotKnownToTellOfLostWrites) {
  system_calls().file_system_magic = OVERLAYFS_SUPER_MAGIC;
  Commit commit(
      folder_.path(), [](const ManifestEntry&, const std::string&) {}, [](std::int64_t) {});
  add(commit, 16);
  EXPECT_EQ(times("sync all"), 0);
  EXPECT_EQ(times("fsync file"), 16);
}

TEST_F(Commits, LetsAFileThatReplacesAnotherOneDoSoAtOnce) {
  write_file(folder_.path() / "old", "of another dataset");
  int published = 0;
  Commit commit(
      folder_.path(), [&](const ManifestEntry&, const std::string&) { ++published; }, [](std::int64_t) {});
  const auto add = [&](const char* name, bool replaces) {
    Copied copy = copy_entry(entry_, folder_.path() / "from", folder_.path() / name, false, {});
    commit.add(std::move(copy.landing), "", replaces);
  };
  add("new", false);
  EXPECT_EQ(published, 0);
  add("old", true);
  EXPECT_EQ(published, 2);
  EXPECT_EQ(contents_of(folder_.path() / "old"), "text");
}

TEST_F(Commits, KeepsWhatIsCompleteWhereTheWorkFails) {
  int published = 0;
  Commit commit(
      folder_.path(), [&](const ManifestEntry&, const std::string&) { ++published; },
      [](std::int64_t) { throw Pulse::Cancelled{}; });
  Copied copy = copy_entry(entry_, folder_.path() / "from", folder_.path() / "to", false, {});
  commit.add(std::move(copy.landing), "", false);
  commit.keep();
  EXPECT_EQ(published, 1);
  EXPECT_EQ(contents_of(folder_.path() / "to"), "text");
  copy = copy_entry(entry_, folder_.path() / "from", folder_.path() / "other", false, {});
  commit.add(std::move(copy.landing), "", false);
  system_calls().fsync_fails_with = EIO;
  commit.keep();
  system_calls() = {};
  EXPECT_EQ(published, 1);
  EXPECT_FALSE(std::filesystem::exists(folder_.path() / "other"));
}

TEST_F(Commits, NeverPublishesAFileWhoseFlushHasFailedOnce) {
  int published = 0;
  Commit commit(
      folder_.path(), [&](const ManifestEntry&, const std::string&) { ++published; }, [](std::int64_t) {});
  for (const char* name : {"first", "second"}) {
    Copied copy = copy_entry(entry_, folder_.path() / "from", folder_.path() / name, false, {});
    commit.add(std::move(copy.landing), "", false);
  }
  system_calls().fsync_fails_with = EIO;
  EXPECT_THROW(commit.flush(), Error);
  system_calls() = {};
  commit.keep();  // a second fsync succeeds, as Linux has it, though the bytes are gone
  EXPECT_EQ(published, 1);
  EXPECT_FALSE(std::filesystem::exists(folder_.path() / "first"));
  EXPECT_EQ(contents_of(folder_.path() / "second"), "text");
}

TEST_F(Commits, ThatFailsPublishesNothing) {
  {
    Commit commit(
        folder_.path(), [](const ManifestEntry&, const std::string&) { FAIL(); }, [](std::int64_t) {});
    Copied copy = copy_entry(entry_, folder_.path() / "from", folder_.path() / "to", false, {});
    commit.add(std::move(copy.landing), "", false);
    system_calls() = {};
    system_calls().fsync_fails_with = EIO;
    expect_data_error([&] { commit.flush(); }, {"to: cannot be flushed"});
    system_calls() = {};
  }
  std::vector<std::string> names;
  for (const auto& each : std::filesystem::directory_iterator(folder_.path()))
    names.push_back(each.path().filename());
  EXPECT_EQ(names, std::vector<std::string>{"from"});
}

}  // namespace
}  // namespace trainmark

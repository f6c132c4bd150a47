// What a target already holds is taken for the source's only if it is known to be: another dataset of equal names,
// sizes and times is not, nor is what nobody can vouch for.
#include <fcntl.h>
#include <unistd.h>

#include "mpi/stage/staging.hpp"

namespace trainmark {
namespace {

namespace fs = std::filesystem;
using testing::contents_of;
using testing::Staging;
using testing::write_file;

class Reuse : public Staging {
 protected:
  static std::string other_text_of(int i) {
    return std::string(static_cast<std::size_t>(1000 * i + 1), static_cast<char>('A' + i));
  }
  /// A second dataset: the same names, sizes and times as the first, other contents.
  void make_twin(const fs::path& twin) const {
    for (int i = 0; i < 7; ++i) {
      write_file(twin / name_of(i), other_text_of(i));
      fs::last_write_time(twin / name_of(i), fs::last_write_time(source_ / name_of(i)));
    }
  }
  void expect_twin() const {
    for (int i = 0; i < 7; ++i)
      EXPECT_EQ(contents_of(target(i)), other_text_of(i)) << i;
    test_world().all().barrier();
  }
  /// The target's manifest in the form of version 1, as an older program wrote it.
  void write_first_version() const {
    std::string text = "trainmark manifest 1\n";
    for (const ManifestEntry& entry : manifest_.entries) {
      text += hash_file(source_ / entry.name) + "\t" + std::to_string(entry.bytes) + "\t1\t" +
              std::to_string(entry.modified_ns) + "\t" + entry.name + "\n";
    }
    write_file(fs::path(options_.target) / manifest_name, text + "end 7\n");
  }
};

TEST_F(Reuse, TakesNothingOfAnotherDatasetWithEqualNamesSizesAndTimes) {
  for (const bool verify : {true, false}) {
    options_.verify = verify ? Verify::copy : Verify::none;
    options_.target = (root_ / (verify ? "verified" : "unverified")).string();
    source_ = root_ / "source";
    scan();
    (void)run();
    on_one_rank([&] { make_twin(root_ / "twin"); });
    source_ = root_ / "twin";
    scan();
    const Staged staged = run();
    EXPECT_EQ(staged.nodes[0].files_copied, 7);
    EXPECT_EQ(staged.nodes[0].files_reused, 0);
    expect_twin();
  }
}

TEST_F(Reuse, TakesNothingOfADatasetThatStoodUnderTheSourcesName) {
  (void)run();
  for (const bool verify : {true, false}) {
    options_.verify = verify ? Verify::copy : Verify::none;
    on_one_rank([&] {
      make_twin(root_ / "twin");
      fs::rename(source_, root_ / "moved");
      fs::rename(root_ / "twin", source_);
    });
    scan();
    EXPECT_EQ(run().nodes[0].files_copied, 7);
    expect_twin();
    on_one_rank([&] {
      fs::rename(source_, root_ / "twin");
      fs::rename(root_ / "moved", source_);
    });
    scan();
    EXPECT_EQ(run().nodes[0].files_copied, 7);
    expect_complete();
  }
}

TEST_F(Reuse, TakesNothingOfAnotherDatasetFromTheJournalOfAKilledRun) {
  (void)run();
  on_one_rank([&] {
    const fs::path folder = options_.target;
    const std::string text = contents_of(folder / manifest_name);
    write_file(folder / ".trainmark.journal.0", text.substr(0, text.find("end ")));
    fs::remove(folder / manifest_name);
    make_twin(root_ / "twin");
  });
  options_.verify = Verify::none;
  source_ = root_ / "twin";
  scan();
  EXPECT_EQ(run().nodes[0].files_copied, 7);
  expect_twin();
}

TEST_F(Reuse, TakesWhatHasAContentThatIsKnownFromTheSource) {
  (void)run();
  on_one_rank([&] {
    fs::copy(source_, root_ / "copy", fs::copy_options::recursive);
    for (int i = 0; i < 7; ++i)
      fs::last_write_time(root_ / "copy" / name_of(i), fs::last_write_time(source_ / name_of(i)));
  });
  source_ = root_ / "copy";
  scan();
  for (ManifestEntry& entry : manifest_.entries)
    entry.xxh3 = hash_file(source_ / entry.name);
  const Staged staged = run();
  EXPECT_EQ(staged.nodes[0].files_reused, 7);
  EXPECT_EQ(read_manifest(options_.target).value().source, fs::canonical(root_ / "copy"));
  expect_complete();
}

TEST_F(Reuse, TakesNothingOnTheWordOfAManifestThatNamesNoSource) {
  for (const bool verify : {true, false}) {
    (void)run();
    scan();
    options_.verify = verify ? Verify::copy : Verify::none;
    on_one_rank([&] { write_first_version(); });
    EXPECT_EQ(run().nodes[0].files_copied, 7);
    on_one_rank([&] { fs::remove(fs::path(options_.target) / manifest_name); });
    EXPECT_EQ(run().nodes[0].files_copied, 7) << "without a manifest";
  }
  expect_complete();
}

TEST_F(Reuse, TakesNothingWhoseSourceIsNotKnownToBeTheSame) {
  for (const bool verify : {true, false}) {
    options_.verify = verify ? Verify::copy : Verify::none;
    for (int run_number = 0; run_number < 2; ++run_number) {
      scan();
      for (ManifestEntry& entry : manifest_.entries)
        entry.stamp = 0;
      EXPECT_EQ(run().nodes[0].files_copied, 7);
    }
  }
  expect_complete();
}

TEST_F(Reuse, TakesNoFileOfAnotherTimeWithoutHashing) {
  options_.verify = Verify::none;
  (void)run();
  on_one_rank([&] { fs::last_write_time(target(3), fs::last_write_time(target(3)) + std::chrono::seconds(5)); });
  EXPECT_EQ(run().nodes[0].files_copied, 1) << "somebody wrote there";
}

TEST_F(Reuse, TakesWhatARunThatFailedHadCopied) {
  for (const bool verify : {true, false}) {
    options_.verify = verify ? Verify::copy : Verify::none;
    options_.target = (root_ / (verify ? "verified" : "unverified")).string();
    scan();
    on_one_rank([&] { fs::rename(source_ / name_of(6), root_ / "away"); });
    testing::expect_data_error([&] { (void)run(); }, {"f6", "cannot be opened"});
    on_one_rank([&] { fs::rename(root_ / "away", source_ / name_of(6)); });
    scan();
    const Staged staged = run();
    EXPECT_GE(staged.nodes[0].files_reused, 1);
    EXPECT_EQ(staged.nodes[0].files_copied + staged.nodes[0].files_reused, 7);
    expect_complete();
  }
}

TEST_F(Reuse, SaysWhyAManifestOfALaterProgramIsNotBelieved) {
  (void)run();
  scan();
  on_one_rank([&] { write_file(fs::path(options_.target) / manifest_name, "trainmark manifest 9\nend 0\n"); });
  EXPECT_EQ(run().nodes[0].files_copied, 7);
  if (leads()) {
    EXPECT_NE(said_.find("files are copied again"), std::string::npos) << said_;
    EXPECT_NE(said_.find("'trainmark manifest 9'"), std::string::npos) << said_;
  } else {
    EXPECT_EQ(said_, "");
  }
  expect_complete();
}

TEST_F(Reuse, TakesNothingOnTheWordOfAnotherUser) {
  if (geteuid() != 0) GTEST_SKIP() << "giving files away needs more rights";
  for (const char* theirs : {"", "trainmark.manifest"}) {
    (void)run();
    scan();
    said_.clear();
    on_one_rank([&] { ASSERT_EQ(chown((fs::path(options_.target) / theirs).c_str(), 12345, 12345), 0); });
    EXPECT_EQ(run().nodes[0].files_copied, 7) << theirs;
    EXPECT_TRUE(!leads() || said_.find("belongs to another user") != std::string::npos) << said_;
    on_one_rank([&] { ASSERT_EQ(chown(options_.target.c_str(), 0, 0), 0); });
  }
  expect_complete();
}

TEST_F(Reuse, LeavesTheManifestAloneWhereNothingChanged) {
  (void)run();
  const auto inode_of = [&](const fs::path& path) {
    struct stat info {};
    EXPECT_EQ(stat(path.c_str(), &info), 0);
    return info.st_ino;
  };
  const fs::path manifest = fs::path(options_.target) / manifest_name;
  const auto before = inode_of(manifest), file_before = inode_of(target(3));
  scan();
  (void)run();
  EXPECT_EQ(inode_of(manifest), before);
  EXPECT_EQ(inode_of(target(3)), file_before);
}

TEST_F(Reuse, ForgetsFilesThatAreGoneOrOfAnotherSource) {
  (void)run();
  on_one_rank([&] { fs::remove(target(5)); });
  scan();
  std::erase_if(manifest_.entries, [](const ManifestEntry& entry) { return entry.name == name_of(5); });
  (void)run();
  const Manifest known = read_manifest(options_.target).value();
  EXPECT_EQ(known.entries.size(), 6U);
  for (const ManifestEntry& entry : known.entries)
    EXPECT_NE(entry.name, name_of(5)) << "it is not there any more";

  on_one_rank([&] { make_twin(root_ / "twin"); });
  source_ = root_ / "twin";
  scan();
  manifest_.entries.resize(2);
  (void)run();
  EXPECT_EQ(read_manifest(options_.target).value().entries.size(), 2U) << "a manifest speaks of one source";
  EXPECT_EQ(contents_of(target(0)), text_of(0)) << "files of others stay";
}

TEST_F(Reuse, KeepsWhatIsPrivateAtTheSourcePrivate) {
  on_one_rank([&] { fs::permissions(source_ / name_of(1), fs::perms::owner_read); });
  (void)run();
  const auto mode_of = [](const fs::path& path) { return fs::status(path).permissions(); };
  EXPECT_EQ(mode_of(target(1)), fs::perms::owner_read);
  EXPECT_EQ(mode_of(target(3)), mode_of(source_ / name_of(3)));
  EXPECT_EQ(mode_of(options_.target), fs::perms::owner_all);
  EXPECT_EQ(mode_of(target(2).parent_path()), fs::perms::owner_all);
  test_world().all().barrier();
}

}  // namespace
}  // namespace trainmark

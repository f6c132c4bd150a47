// Staging with form packed by several ranks of one node: what lies in containers, what is found again, mended and
// cleaned, and that files of the other form are never mixed up with it.
#include <sys/mount.h>

#include <array>
#include <cerrno>
#include <fstream>

#include "mpi/stage/staging.hpp"
#include "stage/container.hpp"
#include "unit/stage/system_calls.hpp"

namespace trainmark {
namespace {

namespace fs = std::filesystem;
using testing::contents_of;
using testing::expect_data_error;
using testing::Staging;
using testing::system_calls;
using testing::write_file;

class Packed : public Staging {
 protected:
  Packed() { options_.form = StageForm::packed; }

  /// That each file is where `staged` says, and nowhere else.
  void expect_packed(const Staged& staged) const {
    ASSERT_EQ(staged.places.size(), 7U);
    for (std::size_t i = 0; i < 7; ++i) {
      const ManifestEntry& entry = manifest_.entries[i];
      const ContainerPlace& place = staged.places[i];
      ASSERT_GE(place.container, 0) << entry.name;
      const std::string all = contents_of(container_path(options_.target, place.container));
      EXPECT_EQ(all.substr(static_cast<std::size_t>(place.offset), static_cast<std::size_t>(entry.bytes)),
                contents_of(source_ / entry.name));
      EXPECT_FALSE(fs::exists(fs::path(options_.target) / entry.name));
    }
    EXPECT_FALSE(fs::exists(fs::path(options_.target) / manifest_name)) << "it would vouch for files of these names";
    test_world().all().barrier();
  }
  [[nodiscard]] ContainerPlace place_of(int i) const {
    return Containers(options_.target).find(name_of(i)).value().place;
  }
  void damage(int i) const {
    const ContainerPlace place = place_of(i);
    std::fstream file(container_path(options_.target, place.container),
                      std::ios::binary | std::ios::in | std::ios::out);
    file.seekp(place.offset + manifest_.entries[0].bytes / 2);
    file.put('!');
  }
};

TEST_F(Packed, PutsAllIntoOneContainerARankAndFindsThemAgain) {
  const Staged staged = run();
  EXPECT_EQ(staged.nodes[0].files_copied, 7);
  EXPECT_EQ(staged.nodes[0].files_packed, 7);
  EXPECT_EQ(staged.nodes[0].bytes_copied, 21007);
  expect_packed(staged);
  EXPECT_EQ(container_numbers(options_.target).size(), std::min<std::size_t>(7, test_world().all().size()));
  for (const bool verify : {true, false}) {
    scan();
    options_.verify = verify ? Verify::copy : Verify::none;
    const Staged again = run();
    EXPECT_EQ(again.nodes[0].files_reused, 7);
    EXPECT_EQ(again.nodes[0].files_packed, 7);
    EXPECT_EQ(again.nodes[0].files_copied, 0);
    EXPECT_EQ(again.places, staged.places);
    expect_packed(again);
  }
}

TEST_F(Packed, PublishesTheSamePlacesOnAllRanks) {
  const Staged staged = run();
  std::string mine;
  for (const ContainerPlace& place : staged.places)
    mine += std::to_string(place.container) + " " + std::to_string(place.offset) + "\n";
  for (const std::string& other : test_world().all().all_gather(mine))
    EXPECT_EQ(other, mine);
}

TEST_F(Packed, FindsDamagedBytesAndCopiesThatContentAgain) {
  (void)run();
  scan();
  on_one_rank([&] {
    damage(3);
    damage(4);
  });
  context_.only_looks = true;
  const Staged looked = run();
  EXPECT_EQ(looked.nodes[0].files_missing, 2);
  EXPECT_EQ(looked.nodes[0].files_reused, 5);
  context_.only_looks = false;
  scan();
  const Staged mended = run();
  EXPECT_EQ(mended.nodes[0].files_copied, 2);
  EXPECT_EQ(mended.nodes[0].files_reused, 5);
  expect_packed(mended);
  options_.verify = Verify::none;  // the damaged bytes are vouched for by nothing any more
  scan();
  const Staged again = run();
  EXPECT_EQ(again.nodes[0].files_reused, 7);
  expect_packed(again);
}

TEST_F(Packed, CopiesOnlyWhatChangedAtTheSource) {
  (void)run();
  on_one_rank([&] { write_file(source_ / name_of(5), std::string(text_of(5).size(), '?')); });
  scan();
  options_.verify = Verify::none;
  const Staged staged = run();
  EXPECT_EQ(staged.nodes[0].files_copied, 1);
  expect_packed(staged);
}

TEST_F(Packed, CopiesAllAgainWhereReuseIsOffAndKeepsNothingOfBefore) {
  (void)run();
  const std::vector<int> before = container_numbers(options_.target);
  options_.reuse = false;
  const Staged staged = run();
  EXPECT_EQ(staged.nodes[0].files_copied, 7);
  expect_packed(staged);
  EXPECT_EQ(container_numbers(options_.target).size(), before.size());
}

TEST_F(Packed, TakesNothingOfAnotherDatasetWithEqualNamesSizesAndTimes) {
  for (const bool verify : {true, false}) {
    options_.verify = verify ? Verify::copy : Verify::none;
    options_.target = (root_ / (verify ? "verified" : "unverified")).string();
    source_ = root_ / "source";
    scan();
    (void)run();
    on_one_rank([&] {
      for (int i = 0; i < 7; ++i) {
        write_file(root_ / "twin" / name_of(i), std::string(text_of(i).size(), '#'));
        fs::last_write_time(root_ / "twin" / name_of(i), fs::last_write_time(source_ / name_of(i)));
      }
    });
    source_ = root_ / "twin";
    scan();
    const Staged staged = run();
    EXPECT_EQ(staged.nodes[0].files_copied, 7);
    expect_packed(staged);
  }
}

TEST_F(Packed, GoesOnWhereARunFailedInTheMiddle) {
  on_one_rank([&] { write_file(source_ / name_of(6), "shorter"); });  // the last that its rank copies, or all but
  expect_data_error([&] { (void)run(); }, {"f6", "changed since it was scanned"});
  test_world().all().barrier();
  const Containers kept(options_.target);
  int listed = 0;
  for (const ManifestEntry& entry : manifest_.entries)
    listed += kept.find(entry.name) ? 1 : 0;
  EXPECT_FALSE(kept.find(name_of(6)));
  test_world().all().barrier();
  scan();
  const Staged staged = run();
  EXPECT_EQ(staged.nodes[0].files_reused, listed);
  EXPECT_EQ(staged.nodes[0].files_copied, 7 - listed);
  expect_packed(staged);
}

TEST_F(Packed, LeavesFilesOfTheOtherFormAloneAndVouchesForNoneOfThem) {
  options_.form = StageForm::files;
  (void)run();
  const std::string manifest = contents_of(fs::path(options_.target) / manifest_name);
  on_one_rank([&] {  // another content of that size and time, of which only the stamp tells
    const auto time = fs::last_write_time(source_ / name_of(5));
    write_file(root_ / "new", std::string(text_of(5).size(), '?'));
    fs::rename(root_ / "new", source_ / name_of(5));
    fs::last_write_time(source_ / name_of(5), time);
  });
  scan();
  options_.form = StageForm::packed;
  options_.verify = Verify::none;
  EXPECT_EQ(run().nodes[0].files_copied, 7);
  EXPECT_EQ(contents_of(target(5)), text_of(5)) << "it is not this run's";
  EXPECT_EQ(contents_of(fs::path(options_.target) / manifest_name), manifest);
  test_world().all().barrier();
  options_.form = StageForm::files;
  const Staged files = run();
  EXPECT_TRUE(files.places.empty());
  EXPECT_EQ(files.nodes[0].files_copied, 1) << "the file there is not what lies in the container";
  EXPECT_EQ(contents_of(target(5)), std::string(text_of(5).size(), '?'));
}

TEST_F(Packed, KeepsLargeFilesAsFilesBesideTheContainers) {
  const std::string large((16 << 20) + 1, 'L');
  on_one_rank([&] { write_file(source_ / "large", large); });
  scan();
  struct stat info {};
  ASSERT_EQ(stat((source_ / "large").c_str(), &info), 0);
  manifest_.entries.insert(
      manifest_.entries.begin() + 3,
      {"large", info.st_size, 1, std::int64_t{info.st_mtim.tv_sec} * 1'000'000'000 + info.st_mtim.tv_nsec, "",
       stamp_of(info)});
  for (const std::int64_t copied : {8, 0}) {
    const Staged staged = run();
    EXPECT_EQ(staged.nodes[0].files_copied, copied);
    EXPECT_EQ(staged.nodes[0].files_packed, 7);
    ASSERT_EQ(staged.places.size(), 8U);
    EXPECT_EQ(staged.places[3].container, -1);
    EXPECT_EQ(contents_of(fs::path(options_.target) / "large"), large);
    const Manifest listed = read_manifest(options_.target).value();
    ASSERT_EQ(listed.entries.size(), 1U) << "of the files that are there by their names";
    EXPECT_EQ(listed.entries[0].name, "large");
    test_world().all().barrier();
  }
}

TEST_F(Packed, IsCleanedAwayWithItsIndices) {
  (void)run();
  on_one_rank([&] { write_file(fs::path(options_.target) / "mine", "a user's own file"); });
  const std::array<fs::path, 1> targets = {options_.target}, sources = {source_};
  const Cleaned done = clean_targets(test_world(), sources, targets, options_, context_);
  EXPECT_EQ(done.files, 7);
  EXPECT_EQ(done.bytes, 21007);
  EXPECT_TRUE(container_numbers(options_.target).empty());
  EXPECT_EQ(contents_of(fs::path(options_.target) / "mine"), "a user's own file");
}

TEST_F(Packed, ListsNothingThatDidNotReachTheDisk) {
  system_calls().fsync_fails_with = ENOSPC;  // as where a quota is asked when the pages are written back
  expect_data_error([&] { (void)run(); },
                    {options_.target, "trainmark.container.", "cannot be flushed", "No space left on device"});
  system_calls() = {};
  test_world().all().barrier();
  const Containers kept(options_.target);
  for (const ManifestEntry& entry : manifest_.entries)
    EXPECT_FALSE(kept.find(entry.name)) << entry.name;
  test_world().all().barrier();
  const Staged staged = run();
  EXPECT_EQ(staged.nodes[0].files_copied, 7);
  expect_packed(staged);
}

class SmallForPacked : public testing::OnSmallTarget<Packed> {
 protected:
  SmallForPacked() { system_calls() = {}; }
  ~SmallForPacked() override { system_calls() = {}; }

  static int writers() { return std::min(7, test_world().all().size()); }
  /// Two locks, of each rank a container's head and an index.
  static int kib_without_content() { return 8 + 8 * writers(); }
  /// 36 KiB of content in blocks, and what the space check adds for each rank.
  static std::uint64_t room_kib() { return static_cast<std::uint64_t>(44 + 20 * writers()); }
  void resize_small(std::uint64_t kib) {
    on_one_rank([&] {
      const std::string size = "size=" + std::to_string(kib) + "k";
      ASSERT_EQ(mount("tmpfs", small_.c_str(), "tmpfs", MS_REMOUNT, size.c_str()), 0);
    });
  }
};

TEST_F(SmallForPacked, KeepsWhatIsWholeWhereSpaceEndsInTheMiddleAndGoesOnOnceThereIsMore) {
  const std::string size = "size=" + std::to_string(kib_without_content() + 16) + "k";  // of 36 KiB of content
  if (!mount_small(size.c_str())) GTEST_SKIP() << "mounting a file system needs more rights";
  struct statvfs& plenty = system_calls().file_system.emplace();  // others take it once it has been looked at
  plenty.f_frsize = 4096;
  plenty.f_blocks = plenty.f_bfree = plenty.f_bavail = 1 << 20;
  expect_data_error([&] { (void)run(); },
                    {options_.target, "trainmark.container.", "cannot be written: No space left on device",
                     "free space there, choose another stage.target"});
  system_calls() = {};
  test_world().all().barrier();
  int listed = 0;
  {
    const Containers kept(options_.target);
    for (const ManifestEntry& entry : manifest_.entries)
      listed += kept.find(entry.name) ? 1 : 0;
  }
  EXPECT_LT(listed, 7);
  EXPECT_TRUE(writers() > 1 || listed == 3) << listed << ": all that fits are files of one, one and two blocks";
  expect_data_error([&] { (void)run(); }, {"free, staging needs", "nothing was copied"});
  resize_small(room_kib());
  const Staged staged = run();
  EXPECT_EQ(staged.nodes[0].files_reused, listed);
  EXPECT_EQ(staged.nodes[0].files_copied, 7 - listed);
  expect_packed(staged);
}

TEST_F(SmallForPacked, CountsAsFreeWhatAKilledRunDidNotList) {
  const std::string size = "size=" + std::to_string(room_kib()) + "k";
  if (!mount_small(size.c_str())) GTEST_SKIP() << "mounting a file system needs more rights";
  (void)run();
  on_one_rank([&] {
    const fs::path index = index_path(options_.target, place_of(6).container);
    std::string lines = contents_of(index);
    lines.resize(lines.rfind('\n', lines.size() - 2) + 1);  // the last file of its container, of two blocks
    write_file(index, lines);
  });
  struct statvfs now {};
  ASSERT_EQ(statvfs(small_.c_str(), &now), 0);
  test_world().all().barrier();
  // Two locks, and a new container takes 20 KiB with that file in it, of which 8 are where the file is now.
  resize_small((now.f_blocks - now.f_bfree) * now.f_frsize / 1024 + 8 + 12);
  const Staged staged = run();
  EXPECT_EQ(staged.nodes[0].files_copied, 1);
  EXPECT_EQ(staged.nodes[0].files_reused, 6);
  expect_packed(staged);
}

TEST_F(SmallForPacked, IsRefusedBeforeTheFirstByteAndFilledToItsEnd) {
  if (!mount_small("size=36k")) GTEST_SKIP() << "mounting a file system needs more rights";
  expect_data_error([&] { (void)run(); }, {test_world().host(), "free, staging needs", "nothing was copied"});
  EXPECT_TRUE(container_numbers(options_.target).empty());
  test_world().all().barrier();
  resize_small(room_kib());
  expect_packed(run());
  on_one_rank([&] {
    for (int i = 0; i < 7; ++i)
      write_file(source_ / name_of(i), std::string(text_of(i).size(), '+'));
  });
  scan();
  const Staged again = run();  // in the place of what is outdated
  EXPECT_EQ(again.nodes[0].files_copied, 7);
  expect_packed(again);
}

}  // namespace
}  // namespace trainmark

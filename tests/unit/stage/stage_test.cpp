// The parts of staging that one process can show: manifests, plans, partial files, single copies.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <numeric>

#include "stage/files.hpp"
#include "stage/stager.hpp"
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

/// A file on its own: copied and in its place. Returns its hash.
std::string copied(const ManifestEntry& entry, const std::filesystem::path& from, const std::filesystem::path& to,
                   bool hashed, const ByteProgress& progress) {
  const Copied copy = copy_entry(entry, from, to, hashed, progress);
  copy.landing->file().publish();
  return copy.xxh3;
}

StageOptions with(Strategy strategy) {
  StageOptions options;
  options.strategy = strategy;
  return options;
}

ManifestEntry entry_of(const std::filesystem::path& root, const std::string& name) {
  const FileFacts facts = facts_of(root / name).value();
  return {name, facts.bytes, 1, facts.modified_ns, "", 0};
}

TEST(FileErrors, SayWhatTheSystemsNumberMeansAsElsewhere) {
  const Scratch folder;
  write_file(folder.path() / "f", "text");
  rlimit before{};
  getrlimit(RLIMIT_NOFILE, &before);
  const rlimit none{0, before.rlim_max};
  setrlimit(RLIMIT_NOFILE, &none);
  std::string told;
  try {
    (void)hash_file(folder.path() / "f");
  } catch (const Error& error) {
    told = error.what();
  }
  setrlimit(RLIMIT_NOFILE, &before);
  EXPECT_NE(told.find("f: cannot be opened: Too many open files (this process may have 0 files open, and has)"),
            std::string::npos)
      << told;
  EXPECT_NE(told.find("ulimit -n"), std::string::npos) << told;
}

TEST(Plan, GivesEveryNodeEverythingToReplicate) {
  const StagingPlan plan = plan_staging(manifest_of({1, 2, 3}), with(Strategy::replicate), 2);
  EXPECT_EQ(plan.part_of(0), (std::vector<std::size_t>{0, 1, 2}));
  EXPECT_EQ(plan.part_of(1), plan.part_of(0));
  EXPECT_EQ(plan.parts.size(), 1U) << "a list for each of thousands of nodes would fill the memory";
}

TEST(Plan, SharesFilesOutByTheirSamples) {
  const Manifest manifest = manifest_of({4, 1, 1, 2, 3, 1});
  const StagingPlan plan = plan_staging(manifest, with(Strategy::shard), 3);
  std::vector<std::size_t> seen;
  for (const auto& part : plan.parts) {
    std::int64_t sum = 0;
    for (const std::size_t entry : part) {
      sum += manifest.entries[entry].samples;
      seen.push_back(entry);
    }
    EXPECT_EQ(sum, 4);
    EXPECT_TRUE(std::is_sorted(part.begin(), part.end()));
  }
  std::sort(seen.begin(), seen.end());
  EXPECT_EQ(seen, (std::vector<std::size_t>{0, 1, 2, 3, 4, 5}));
}

TEST(Plan, SharesForFourThousandNodes) {
  const StagingPlan plan = plan_staging(manifest_of(std::vector<std::int64_t>(8192, 64)), with(Strategy::shard), 4096);
  for (const auto& part : plan.parts)
    ASSERT_EQ(part.size(), 2U);
}

TEST(Plan, HasNeighboursHoldOnePartWhereNodesFormGroups) {
  StageOptions options = with(Strategy::group);
  options.group = 2;
  const StagingPlan plan = plan_staging(manifest_of({1, 1, 1, 1, 1, 1}), options, 6);
  ASSERT_EQ(plan.parts.size(), 3U);
  for (int node = 0; node < 6; ++node) {
    EXPECT_EQ(plan.part_number_of(node), static_cast<std::size_t>(node / 2));
    EXPECT_EQ(&plan.part_of(node), &plan.parts[static_cast<std::size_t>(node / 2)]);
    EXPECT_EQ(plan.part_of(node).size(), 2U);
  }
}

TEST(Plan, OfGroupsLiesBetweenShardsAndReplicas) {
  const Manifest manifest = manifest_of(std::vector<std::int64_t>(12, 1));
  StageOptions options = with(Strategy::group);
  options.group = 4;
  EXPECT_EQ(parts_of(options, 4), 1);
  const StagingPlan whole = plan_staging(manifest, options, 4),
                    replicas = plan_staging(manifest, with(Strategy::replicate), 4);
  EXPECT_EQ(whole.parts, replicas.parts);
  EXPECT_EQ(whole.part_number_of(3), 0U);
  options.group = 1;
  EXPECT_EQ(plan_staging(manifest, options, 4).parts, plan_staging(manifest, with(Strategy::shard), 4).parts);
  options.group = 3;
  try {
    (void)plan_staging(manifest, options, 4);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::usage);
    EXPECT_NE(std::string(error.what()).find("/stage/group: 3 does not divide 4 nodes"), std::string::npos);
  }
}

TEST(Plan, DealsEqualFilesByItsSeedAndNotByTheirNames) {
  const Manifest manifest = manifest_of(std::vector<std::int64_t>(64, 1));
  StageOptions options = with(Strategy::shard);
  const auto first = plan_staging(manifest, options, 4).parts;
  int same_hour = 0;  // four files a day: dealt in turn each node would hold one hour of every day
  for (const std::size_t file : first[0])
    same_hour += file % 4 == first[0][0] % 4 ? 1 : 0;
  EXPECT_LT(same_hour, 12);
  options.deal_seed = 1;
  EXPECT_NE(plan_staging(manifest, options, 4).parts, first);
  options.deal_seed = 0;
  EXPECT_EQ(plan_staging(manifest, options, 4).parts, first) << "the next run on these nodes wants the same files";
}

TEST(Plan, PartsTheTrainingAndValidationSetsOfDeepCamOverAnyNumberOfNodes) {
  for (const std::size_t samples : {121'266U, 15'158U}) {
    const Manifest manifest = manifest_of(std::vector<std::int64_t>(samples, 1));
    for (const int nodes : {2, 7, 64, 1000, 4096}) {
      const StagingPlan plan = plan_staging(manifest, with(Strategy::shard), nodes, PartSums::may_differ);
      std::vector<bool> seen(samples);
      for (const auto& part : plan.parts) {
        ASSERT_GE(part.size(), samples / static_cast<std::size_t>(nodes));
        ASSERT_LE(part.size(), samples / static_cast<std::size_t>(nodes) + 1);
        for (const std::size_t file : part) {
          ASSERT_FALSE(seen[file]);
          seen[file] = true;
        }
      }
      EXPECT_EQ(std::count(seen.begin(), seen.end(), false), 0);
    }
  }
}

TEST(Plan, NamesTheRemediesWhereFilesCannotBeShared) {
  const StageOptions shard = with(Strategy::shard);
  expect_data_error(
      [&] {
        (void)plan_staging(manifest_of({1, 1}), shard, 3);
      },
      {"stage.strategy shard", "2 file(s) for 3 parts", "at least 3 files", "replicate"});
  expect_data_error(
      [&] {
        (void)plan_staging(manifest_of({2, 2, 2}), shard, 2);
      },
      {"6 samples in 3 files do not part equally into 2 (between 2 and 4 each)", "replicate"});
}

TEST(Plan, RefusesShardsThatDifferByOneSample) {
  const StageOptions shard = with(Strategy::shard);
  expect_data_error(
      [&] {
        (void)plan_staging(manifest_of({1, 1, 1}), shard, 2);
      },
      {"3 samples in 3 files do not part equally into 2 (between 1 and 2 each)"});
}

TEST(Plan, OfAnEvaluationGivesEveryFileToOneNodeAndDiffersByNoMoreThanTheLargest) {
  std::uint64_t random = 1;
  const auto below = [&](std::uint64_t bound) {
    random = random * 6364136223846793005U + 1442695040888963407U;
    return static_cast<std::int64_t>((random >> 33U) % bound);
  };
  for (int time = 0; time < 200; ++time) {
    const auto nodes = static_cast<int>(1 + below(9));
    std::vector<std::int64_t> samples(static_cast<std::size_t>(nodes + below(40)));
    for (std::int64_t& each : samples)
      each = 1 + below(50);
    const Manifest manifest = manifest_of(samples);
    const StagingPlan plan = plan_staging(manifest, with(Strategy::shard), nodes, PartSums::may_differ);
    std::vector<std::size_t> seen;
    std::vector<std::int64_t> sums;
    for (const auto& part : plan.parts) {
      EXPECT_FALSE(part.empty());
      EXPECT_TRUE(std::is_sorted(part.begin(), part.end()));
      seen.insert(seen.end(), part.begin(), part.end());
      sums.push_back(0);
      for (const std::size_t entry : part)
        sums.back() += manifest.entries[entry].samples;
    }
    std::sort(seen.begin(), seen.end());
    ASSERT_EQ(seen.size(), samples.size());
    for (std::size_t at = 0; at < seen.size(); ++at)
      ASSERT_EQ(seen[at], at);
    const auto [least, most] = std::minmax_element(sums.begin(), sums.end());
    EXPECT_LE(*most - *least, *std::max_element(samples.begin(), samples.end())) << nodes << " nodes";
    EXPECT_EQ(plan_staging(manifest, with(Strategy::shard), nodes, PartSums::may_differ).parts, plan.parts);
  }
}

TEST(Plan, OfAnEvaluationStillWantsAFileForEveryNode) {
  expect_data_error(
      [&] {
        (void)plan_staging(manifest_of({1, 1}), with(Strategy::shard), 3, PartSums::may_differ);
      },
      {"2 file(s) for 3 parts"});
}

TEST(Plan, LetsNodesBeginAtDifferentFiles) {
  const std::vector<std::size_t> files = {3, 5, 6, 8, 9};
  EXPECT_EQ(copy_order(files, 0, 3), files);
  EXPECT_EQ(copy_order(files, 1, 3), (std::vector<std::size_t>{5, 6, 8, 9, 3}));
  EXPECT_EQ(copy_order(files, 2, 3), (std::vector<std::size_t>{8, 9, 3, 5, 6}));
  EXPECT_EQ(copy_order({4}, 999, 1000), std::vector<std::size_t>{4});
  EXPECT_EQ(copy_order({}, 3, 4), std::vector<std::size_t>{});
}

TEST(PartialFile, IsThereUnderItsNameOnlyWhenPublished) {
  const Scratch folder;
  {
    const PartialFile dropped(folder.path() / "a");
    EXPECT_FALSE(std::filesystem::exists(folder.path() / "a"));
    EXPECT_TRUE(std::filesystem::exists(dropped.path()));
    EXPECT_TRUE(dropped.path().filename().string().starts_with(".trainmark-"));
  }
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
  PartialFile kept(folder.path() / "a");
  write_all(kept.descriptor(), std::as_bytes(std::span("text", 4)), kept.path());
  kept.publish();
  EXPECT_EQ(contents_of(folder.path() / "a"), "text");
  EXPECT_FALSE(std::filesystem::exists(kept.path()));
}

TEST(PartialFile, IsOnTheDiskBeforeItHasItsNameAndTheNameBeforeThatIsTold) {
  const Scratch folder;
  PartialFile file(folder.path() / "a");
  system_calls().made.clear();
  file.publish();
  EXPECT_EQ(system_calls().made, (std::vector<std::string>{"fsync file", "rename", "fsync folder"}));
}

TEST(PartialFile, HasNoNameWhereItCouldNotBeFlushed) {
  const Scratch folder;
  {
    PartialFile file(folder.path() / "a");
    system_calls().fsync_fails_with = EIO;
    expect_data_error([&] { file.publish(); }, {"/a", "cannot be flushed"});
    system_calls().fsync_fails_with = 0;
  }
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
}

TEST(PartialFile, NamesAPlaceThatItCannotTake) {
  const Scratch folder;
  write_file(folder.path() / "a" / "in the way", "kept");
  {
    PartialFile file(folder.path() / "a");
    expect_data_error([&] { file.publish(); }, {"/a", "cannot be renamed into place"});
  }
  EXPECT_EQ(contents_of(folder.path() / "a" / "in the way"), "kept");
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder.path()), {}), 1);
}

TEST(PartialFile, IsMadeWithTheModeAskedForLessTheUmask) {
  const Scratch folder;
  const mode_t before = umask(027);
  struct stat info {};
  {
    PartialFile file(folder.path() / "a", 0664);
    ASSERT_EQ(fstat(file.descriptor(), &info), 0);
  }
  umask(before);
  EXPECT_EQ(info.st_mode & 07777, 0640U);
}

TEST(PartialFile, IsRemovedWhenASignalEndsTheProcess) {
  const Scratch folder;
  const PartialFile first(folder.path() / "a"), second(folder.path() / "b");
  PartialFile published(folder.path() / "c");
  published.publish();
  if (const pid_t child = fork(); child == 0) {  // whoever calls it can make no file any more
    remove_temporaries();
    _exit(0);
  } else {
    ASSERT_EQ(waitpid(child, nullptr, 0), child);
  }
  EXPECT_FALSE(std::filesystem::exists(first.path()));
  EXPECT_FALSE(std::filesystem::exists(second.path()));
  EXPECT_TRUE(std::filesystem::exists(folder.path() / "c"));
}

TEST(PartialFile, OfADeadProcessIsALeftoverOfALivingOneIsNot) {
  const Scratch folder;
  write_file(folder.path() / ".trainmark-host-1-0", "left by a killed run");
  write_file(folder.path() / "data.hdf5", "not ours to judge");
  const PartialFile living(folder.path() / "a");
  remove_leftovers(folder.path());
  EXPECT_FALSE(std::filesystem::exists(folder.path() / ".trainmark-host-1-0"));
  EXPECT_TRUE(std::filesystem::exists(living.path()));
  EXPECT_TRUE(std::filesystem::exists(folder.path() / "data.hdf5"));
}

TEST(PartialFile, NamesATargetThatCannotBeWritten) {
  const Scratch folder;
  write_file(folder.path() / "file", "x");
  expect_data_error([&] { const PartialFile file(folder.path() / "file" / "below"); },
                    {"file/below", "cannot be written", "a part of the path is a file"});
}

TEST(Copy, CopiesContentAndTimeAndReturnsTheHash) {
  const Scratch folder;
  for (const std::size_t bytes : {0UL, 1UL, (4UL << 20) + 5}) {
    std::string text(bytes, '\0');
    std::iota(text.begin(), text.end(), '\1');
    write_file(folder.path() / "from", text);
    const ManifestEntry entry = entry_of(folder.path(), "from");
    std::int64_t heard = 0;
    const std::string hash =
        copied(entry, folder.path() / "from", folder.path() / "to", true, [&](std::int64_t more) { heard += more; });
    EXPECT_EQ(contents_of(folder.path() / "to"), text);
    EXPECT_EQ(hash, hash_file(folder.path() / "to"));
    EXPECT_EQ(heard, static_cast<std::int64_t>(bytes));
    EXPECT_EQ(facts_of(folder.path() / "to")->modified_ns, entry.modified_ns);
    EXPECT_EQ(copied(entry, folder.path() / "from", folder.path() / "unhashed", false, {}), "");
    EXPECT_EQ(contents_of(folder.path() / "unhashed"), text);
  }
}

TEST(Copy, IsSeenByNobodyWhoMayNotSeeTheSource) {
  const Scratch folder;
  const auto mode_of = [&](const char* name) { return facts_of(folder.path() / name).value().mode; };
  const mode_t before = umask(022);
  for (const unsigned mode : {0600U, 0400U, 0640U, 0644U}) {
    write_file(folder.path() / "from", "text");
    ASSERT_EQ(chmod((folder.path() / "from").c_str(), mode), 0);
    (void)copied(entry_of(folder.path(), "from"), folder.path() / "from", folder.path() / "to", true, {});
    EXPECT_EQ(mode_of("to"), mode);
    std::filesystem::remove(folder.path() / "from");
  }
  write_file(folder.path() / "from", "text");
  ASSERT_EQ(chmod((folder.path() / "from").c_str(), 04066), 0);
  if (geteuid() == 0) {
    (void)copied(entry_of(folder.path(), "from"), folder.path() / "from", folder.path() / "to", true, {});
    EXPECT_EQ(mode_of("to"), 0444U) << "its owner must be able to read it; the umask and no special bits apply";
  }
  umask(before);
}

TEST(Folders, AreMadeForTheirOwnerAlone) {
  const Scratch folder;
  const mode_t before = umask(0);
  make_private_folders(folder.path() / "a" / "b" / "c", "node n");
  make_private_folders(folder.path() / "a" / "b" / "c" / "", "node n");
  umask(before);
  for (const char* made : {"a", "a/b", "a/b/c"})
    EXPECT_EQ(std::filesystem::status(folder.path() / made).permissions(), std::filesystem::perms::owner_all) << made;
  write_file(folder.path() / "file", "in the way");
  expect_data_error([&] { make_private_folders(folder.path() / "file" / "below", "node n"); },
                    {"node n: the folder cannot be made", "file"});
}

TEST(Folders, BelongToAnotherWhereNeitherThisUserNorRootOwnsThem) {
  const Scratch folder;
  EXPECT_FALSE(belongs_to_another(folder.path()));
  EXPECT_FALSE(belongs_to_another("/"));
  EXPECT_FALSE(belongs_to_another(folder.path() / "not there"));
  if (geteuid() != 0) GTEST_SKIP() << "giving files away needs more rights";
  ASSERT_EQ(chown(folder.path().c_str(), 12345, 12345), 0);
  EXPECT_TRUE(belongs_to_another(folder.path()));
}

TEST(Copy, HashesAsXxh128Does) {
  // XXH3-128 of no bytes with seed 0, from the algorithm's specification.
  const Scratch folder;
  write_file(folder.path() / "empty", "");
  EXPECT_EQ(hash_file(folder.path() / "empty"), "99aa06d3014798d86001c324468d497f");
}

TEST(Copy, NoticesThatTheSourceChanged) {
  const Scratch folder;
  write_file(folder.path() / "from", "first content");
  const ManifestEntry entry = entry_of(folder.path(), "from");
  write_file(folder.path() / "from", "longer second content");
  const auto copy = [&] { (void)copied(entry, folder.path() / "from", folder.path() / "to", true, {}); };
  expect_data_error(copy, {"from", "13 bytes then, 21 now"});
  write_file(folder.path() / "from", "other content");
  const timespec times[2] = {{1, 0}, {1, 0}};
  utimensat(AT_FDCWD, (folder.path() / "from").c_str(), times, 0);
  expect_data_error(copy, {"from", "modification time"});
  EXPECT_FALSE(std::filesystem::exists(folder.path() / "to"));
}

TEST(Copy, NoticesThatTheSourceChangesWhileItIsCopied) {
  const Scratch folder;
  write_file(folder.path() / "from", "content");
  const ManifestEntry entry = entry_of(folder.path(), "from");
  const auto touch = [&](std::int64_t) {
    const timespec times[2] = {{1, 0}, {1, 0}};
    utimensat(AT_FDCWD, (folder.path() / "from").c_str(), times, 0);
  };
  for (const bool hashed : {true, false}) {
    expect_data_error([&] { (void)copied(entry, folder.path() / "from", folder.path() / "to", hashed, touch); },
                      {"from", "changed since it was scanned"});
    EXPECT_FALSE(std::filesystem::exists(folder.path() / "to"));
    const timespec before = {entry.modified_ns / 1'000'000'000, entry.modified_ns % 1'000'000'000};
    const timespec times[2] = {before, before};
    utimensat(AT_FDCWD, (folder.path() / "from").c_str(), times, 0);
  }
}

TEST(Copy, OfOneFileOnTwoNodesMustHaveReadTheSameContent) {
  const std::string one(32, '1'), two(32, '2');
  Manifest manifest = manifest_of({1, 1, 1});
  merge_hashes(manifest, {"0 " + one + "\n2 " + two + "\n", "", "0 " + one + "\n"}, "/data");
  EXPECT_EQ(manifest.entries[0].xxh3, one);
  EXPECT_EQ(manifest.entries[1].xxh3, "");
  EXPECT_EQ(manifest.entries[2].xxh3, two);
  expect_data_error([&] { merge_hashes(manifest, {"0 " + one + "\n2 " + one + "\n"}, "/data"); },
                    {"/data/f1002", "nodes read different contents: XXH3 " + two + " and " + one});
}

TEST(Copy, NoticesThatTheContentIsNotTheManifests) {
  const Scratch folder;
  write_file(folder.path() / "from", "content");
  ManifestEntry entry = entry_of(folder.path(), "from");
  entry.xxh3 = "00000000000000000000000000000000";
  expect_data_error([&] { (void)copied(entry, folder.path() / "from", folder.path() / "to", true, {}); },
                    {"its manifest says 00000000"});
  EXPECT_FALSE(std::filesystem::exists(folder.path() / "to"));
}

TEST(Space, IsRefusedBeforeTheFirstByteWithTheNumbers) {
  const Scratch folder;
  const std::int64_t huge = std::int64_t{1} << 60;
  expect_data_error([&] { require_space(folder.path(), {.bytes = huge}, 1.0, "node n3"); },
                    {"node n3", "free, staging needs 1048576.00 TiB", "nothing was copied"});
  require_space(folder.path(), {.bytes = 4096}, 0.0, "node n3");
  require_space(folder.path(), {.bytes = huge, .reclaimed = huge}, 0.0, "node n3");
  expect_data_error([&] { require_space(folder.path(), {.bytes = 4096}, 100.0, "node n3"); }, {"in reserve"});
  expect_data_error(
      [&] { require_space(folder.path(), {.bytes = 4096, .reclaimed = 4096, .overlap = huge}, 0.0, "node n3"); },
      {"staging needs 1048576.00 TiB"});
  require_space(folder.path(), {.overlap = huge}, 100.0, "node n3");  // nothing to be written: nothing to refuse
}

TEST(Space, OfSetsTogetherIsTheirSumButOneFileIsReplacedAtATime) {
  SpaceNeed need{.bytes = 8, .reclaimed = 5, .overlap = 5, .files = 1};
  need.add({.bytes = 4, .reclaimed = 3, .overlap = 3, .files = 2});
  EXPECT_EQ(need.bytes, 12);
  EXPECT_EQ(need.reclaimed, 8);
  EXPECT_EQ(need.overlap, 5);
  EXPECT_EQ(need.files, 3);
}

TEST(Durable, IsFalseOfMemoryAndTrueOfDisks) {
  if (!std::filesystem::exists("/dev/shm")) GTEST_SKIP() << "no /dev/shm here";
  EXPECT_FALSE(durable("/dev/shm"));
  EXPECT_FALSE(durable("/dev/shm/not/there/yet"));
  EXPECT_TRUE(durable("/usr/bin"));
}

}  // namespace
}  // namespace trainmark

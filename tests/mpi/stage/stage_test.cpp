// Staging by several ranks of one node: what ends up where, what is kept, mended and refused.
#include <unistd.h>

#include <chrono>
#include <thread>

#include "mpi/stage/staging.hpp"

namespace trainmark {
namespace {

namespace fs = std::filesystem;
using testing::contents_of;
using testing::expect_data_error;
using testing::expect_error;
using testing::Staging;
using testing::write_file;

TEST_F(Staging, CopiesEverythingAndCountsIt) {
  context_.progress = [this](std::int64_t bytes) {
    heard_ += bytes;
    if (bytes > 0) std::this_thread::sleep_for(std::chrono::milliseconds(20));  // so that ranks' seconds add up to more
  };
  const Staged staged = run();
  expect_complete();
  EXPECT_EQ(staged.root, options_.target);
  ASSERT_EQ(staged.nodes.size(), 1U);
  EXPECT_EQ(staged.nodes[0].host, test_world().host());
  EXPECT_EQ(staged.nodes[0].files_copied, 7);
  EXPECT_EQ(staged.nodes[0].bytes_copied, 21007);
  EXPECT_EQ(staged.nodes[0].files_reused, 0);
  EXPECT_GT(staged.nodes[0].copy_seconds, 0.0);
  EXPECT_GE(staged.seconds, staged.nodes[0].copy_seconds);
  std::array<std::int64_t, 1> heard = {heard_};
  test_world().all().sum(heard);
  EXPECT_EQ(heard[0], 21007);
}

TEST_F(Staging, LetsRanksThatWaitHearThatOthersGoOn) {
  on_one_rank([&] { write_file(source_ / "large", std::string(9 << 20, 'x')); });
  manifest_.entries = {{"large", 9 << 20, 1, 0, "", 0}};  // the lowest rank's share
  const StagingPlan plan = plan_staging(manifest_, options_, test_world().nodes());
  const std::array<StagingSet, 1> sets = {{{manifest_, plan, source_, options_.target}}};
  int signs = 0;
  context_.progress = [&](std::int64_t bytes) { signs += bytes == 0 ? 1 : 0; };
  (void)stage(test_world(), sets, options_, context_);
  // One at the end of each of the two long phases; where others copied, at least one more.
  EXPECT_GE(signs, leads() ? 2 : 3);
}

TEST_F(Staging, SharesWorkByItsBytes) {
  on_one_rank([&] { write_file(source_ / "e", std::string(9 << 20, 'x')); });
  manifest_.entries.insert(manifest_.entries.begin(), {"e", 9 << 20, 1, 0, "", 0});
  (void)run();
  const std::int64_t large = 9 << 20, all = large + 21007;
  if (test_world().all().size() == 1) {
    EXPECT_EQ(heard_, all);
  } else if (leads()) {
    EXPECT_EQ(heard_, large) << "who has a large file leaves the small ones to others";
  }
}

TEST_F(Staging, PublishesTheHashes) {
  (void)run();
  const Manifest published = read_manifest(options_.target).value();
  ASSERT_EQ(published.entries.size(), 7U);
  for (std::size_t i = 0; i < 7; ++i) {
    EXPECT_EQ(published.entries[i].xxh3, hash_file(source_ / manifest_.entries[i].name));
    EXPECT_EQ(published.entries[i].name, manifest_.entries[i].name);
  }
}

TEST_F(Staging, ReusesWhatIsThereAndRight) {
  (void)run();
  for (const bool verify : {true, false}) {
    scan();  // without hashes: the target's own manifest knows them
    options_.verify = verify ? Verify::copy : Verify::none;
    const Staged again = run();
    EXPECT_EQ(again.nodes[0].files_reused, 7);
    EXPECT_EQ(again.nodes[0].bytes_reused, 21007);
    EXPECT_EQ(again.nodes[0].files_copied, 0);
    EXPECT_EQ(read_manifest(options_.target).value().entries[3].xxh3.size(), 32U);
  }
  expect_complete();
}

TEST_F(Staging, CopiesAllAgainWhereReuseIsOff) {
  (void)run();
  options_.reuse = false;
  EXPECT_EQ(run().nodes[0].files_copied, 7);
  expect_complete();
}

TEST_F(Staging, MendsAFileThatWasCorruptedInTheTarget) {
  (void)run();
  scan();
  on_one_rank([&] {
    const auto time = fs::last_write_time(target(3));
    std::string text = text_of(3);
    text[1500] = '!';
    write_file(target(3), text);  // the same size and time
    fs::last_write_time(target(3), time);
    fs::resize_file(target(4), 10);
    fs::remove(target(5));
  });
  const Staged mended = run();
  EXPECT_EQ(mended.nodes[0].files_copied, 3);
  EXPECT_EQ(mended.nodes[0].files_reused, 4);
  expect_complete();
}

TEST_F(Staging, CopiesAgainWhatLostTheSourcesTimeSinceReadersExpectIt) {
  (void)run();
  scan();
  on_one_rank([&] { fs::last_write_time(target(3), fs::last_write_time(target(3)) - std::chrono::seconds(100)); });
  EXPECT_EQ(run().nodes[0].files_copied, 1);
  expect_complete();
}

TEST_F(Staging, MendsWhatHasAnotherSizeWithoutHashing) {
  options_.verify = Verify::none;
  (void)run();
  on_one_rank([&] {
    fs::resize_file(target(4), 10);
    fs::remove(target(5));
  });
  EXPECT_EQ(run().nodes[0].files_copied, 2);
  expect_complete();
}

TEST_F(Staging, CopiesAFileAgainThatChangedAtTheSource) {
  (void)run();
  for (const bool verify : {true, false}) {
    options_.verify = verify ? Verify::copy : Verify::none;
    on_one_rank([&] { write_file(source_ / name_of(2), text_of(2)); });  // a later time, the same content
    scan();
    EXPECT_EQ(run().nodes[0].files_copied, 1);
  }
  expect_complete();
}

TEST_F(Staging, GoesOnWhereAKilledRunStopped) {
  (void)run();
  scan();
  // As a kill leaves it: no manifest yet, a journal of what was published, one partial file.
  on_one_rank([&] {
    const fs::path folder = options_.target;
    std::string text = contents_of(folder / manifest_name);
    write_file(folder / ".trainmark.journal.0", text.substr(0, text.find("end ")));
    fs::remove(folder / manifest_name);
    fs::remove(target(1));
    fs::remove(target(6));
    write_file(folder / ".trainmark-elsewhere-1-1", "half a file");
    write_file(folder / "sub" / ".trainmark-elsewhere-1-2", "half a file");
  });
  const Staged resumed = run();
  EXPECT_EQ(resumed.nodes[0].files_copied, 2);
  EXPECT_EQ(resumed.nodes[0].files_reused, 5);
  expect_complete();
}

TEST_F(Staging, LeavesFilesAloneThatAreNotInThePlan) {
  (void)run();
  on_one_rank([&] { write_file(fs::path(options_.target) / "mine.txt", "kept"); });
  scan();
  manifest_.entries.pop_back();
  (void)run();
  EXPECT_EQ(contents_of(fs::path(options_.target) / "mine.txt"), "kept");
  expect_complete();
  EXPECT_EQ(read_manifest(options_.target).value().entries.size(), 7U) << "what is known of other files stays known";
}

TEST_F(Staging, TakesHashesFromAManifestBesideTheSource) {
  Manifest known = manifest_;
  for (ManifestEntry& entry : known.entries)
    entry.xxh3 = hash_file(source_ / entry.name);
  on_one_rank([&] { write_manifest(source_, known); });
  (void)run();
  expect_complete();
  // A file whose content is not what that manifest says is refused, though size and time agree.
  on_one_rank([&] {
    const auto time = fs::last_write_time(source_ / name_of(3));
    std::string text = text_of(3);
    text[7] = '!';
    write_file(source_ / name_of(3), text);
    fs::last_write_time(source_ / name_of(3), time);
    fs::remove(target(3));
  });
  scan();
  expect_data_error([&] { (void)run(); }, {"f3", "its manifest says"});
}

TEST_F(Staging, StopsOnAllRanksWhereTheSourceChangedAfterTheScan) {
  on_one_rank([&] { write_file(source_ / name_of(6), "shorter"); });
  expect_data_error([&] { (void)run(); }, {"f6", "changed since it was scanned", "6001 bytes then, 7 now"});
  EXPECT_FALSE(fs::exists(target(6)));
}

TEST_F(Staging, StopsTheOthersWorkSoonAfterOneRankFailed) {
  if (test_world().all().size() == 1) GTEST_SKIP() << "there is nobody else";
  constexpr int files = 400;
  manifest_.entries.clear();
  for (int i = 0; i < files; ++i) {
    const std::string name = "g" + std::to_string(1000 + i);
    on_one_rank([&] { write_file(source_ / name, "text"); });
    manifest_.entries.push_back({name, 4, 1, 0, "", 0});
  }
  on_one_rank([&] { fs::remove(source_ / "g1001"); });  // the first file of rank 1
  int handled = 0;
  context_.progress = [&](std::int64_t bytes) {
    handled += bytes > 0 ? 1 : 0;
    std::this_thread::sleep_for(std::chrono::milliseconds(30));
  };
  expect_data_error([&] { (void)run(); }, {"rank 1 of", "g1001", "cannot be opened"});
  // In 30 ms a file, this would take rank 0 three seconds at least; it hears of the failure after one.
  EXPECT_LT(handled, files / test_world().all().size());
  for (const auto& entry : fs::recursive_directory_iterator(options_.target))
    EXPECT_FALSE(entry.path().filename().string().starts_with(".trainmark-")) << entry.path();
  test_world().all().barrier();
}

TEST_F(Staging, StopsOnAllRanksWhereTheTargetCannotBeWritten) {
  on_one_rank([&] { write_file(root_ / "file", "in the way"); });
  options_.target = (root_ / "file" / "target").string();
  expect_data_error([&] { (void)run(); }, {test_world().host(), "file/target"});
}

using SmallTarget = testing::OnSmallTarget<Staging>;

TEST_F(Staging, StopsBeforeTheFirstByteWhereAFolderHasASamplesName) {
  on_one_rank([&] { fs::create_directories(target(3) / "something"); });
  expect_data_error([&] { (void)run(); }, {target(3).string(), "is a folder, and a file of that name"});
  for (int i = 0; i < 7; ++i)
    EXPECT_FALSE(fs::is_regular_file(target(i))) << i;
  on_one_rank([&] {
    fs::remove_all(target(3));
    fs::remove_all(target(0).parent_path());
    write_file(target(0).parent_path(), "a file");
  });
  expect_data_error([&] { (void)run(); }, {target(0).parent_path().string(), "above it is a file"});
  on_one_rank([&] {
    fs::remove(target(0).parent_path());
    fs::create_directories(fs::path(options_.target) / manifest_name);
  });
  expect_data_error([&] { (void)run(); }, {std::string(manifest_name), "is a folder, and a file of that name"});
  on_one_rank([&] { fs::remove(fs::path(options_.target) / manifest_name); });
  (void)run();
  expect_complete();
}

TEST_F(SmallTarget, StopsStagingBeforeTheFirstByte) {
  if (!mount_small("size=16k")) GTEST_SKIP() << "mounting a file system needs more rights";
  expect_data_error([&] { (void)run(); }, {test_world().host(), "free, staging needs 36.0 KiB", "nothing was copied"});
  EXPECT_FALSE(fs::exists(small_ / "target" / name_of(1)));
  EXPECT_FALSE(durable(small_));
}

TEST_F(SmallTarget, StopsStagingWhereSetsFitOneByOneButNotTogether) {
  if (!mount_small("size=72k")) GTEST_SKIP() << "mounting a file system needs more rights";
  const StagingPlan plan = plan_staging(manifest_, options_, test_world().nodes());
  const fs::path train = small_ / "train", validation = small_ / "validation";
  expect_data_error(
      [&] {
        (void)run({{manifest_, plan, source_, train}, {manifest_, plan, source_, validation}});
      },
      {test_world().host(), "56.0 KiB free, staging needs 72.0 KiB", "nothing was copied"});
  EXPECT_FALSE(fs::exists(train / name_of(1)));
  test_world().all().barrier();
  EXPECT_EQ(run({{manifest_, plan, source_, train}}).front().nodes[0].files_copied, 7);
}

TEST_F(SmallTarget, CountsWhatIsReplacedButNotAllAtOnce) {
  if (!mount_small("size=88k")) GTEST_SKIP() << "mounting a file system needs more rights";
  (void)run();
  const auto change_all = [&] {
    on_one_rank([&] {
      for (int i = 0; i < 7; ++i)
        write_file(source_ / name_of(i), text_of(i));  // at a later time
    });
    scan();
  };
  change_all();
  on_one_rank([&] {
    const auto left = fs::space(small_).available - (8U << 10);  // less a page for the names in each of its two locks
    // A rank replaces one file at a time: one alone needs 8 KiB, four need 24, and some for their journals.
    if (test_world().all().size() == 1) write_file(small_ / "ballast", std::string(20 << 10, 'x'));
    ASSERT_LT(left, 44U << 10) << "36 KiB a second time and a file of 8 KiB beside its replacement must not fit";
  });
  EXPECT_EQ(run().nodes[0].files_copied, 7) << "the old ones make room";
  change_all();
  on_one_rank([&] { write_file(small_ / "more ballast", std::string(fs::space(small_).available - 12288, 'x')); });
  expect_data_error([&] { (void)run(); }, {"has 4.0 KiB free", "nothing was copied"});
}

TEST_F(SmallTarget, CountsFilesAsWellAsBytes) {
  if (!mount_small("size=1m,nr_inodes=10")) GTEST_SKIP() << "mounting a file system needs more rights";
  expect_data_error([&] { (void)run(); }, {"has room for 6 more files, staging needs 7", "nothing was copied"});
}

TEST_F(SmallTarget, CountsOnlyTheSetsThatLieOnIt) {
  if (!mount_small("size=72k")) GTEST_SKIP() << "mounting a file system needs more rights";
  const StagingPlan plan = plan_staging(manifest_, options_, test_world().nodes());
  const std::vector<Staged> staged =
      run({{manifest_, plan, source_, small_ / "train"}, {manifest_, plan, source_, root_ / "elsewhere"}});
  ASSERT_EQ(staged.size(), 2U);
  EXPECT_EQ(staged[0].root, small_ / "train");
  EXPECT_EQ(staged[1].root, root_ / "elsewhere");
  EXPECT_EQ(staged[1].nodes[0].files_copied, 7);
}

TEST_F(Staging, RefusesToStageOntoTheSource) {
  options_.target = (root_ / "source" / ".").string();
  expect_error(ExitCode::usage, [&] { (void)run(); }, {"is the source itself"});
  options_.target = "";
  expect_error(ExitCode::usage, [&] { (void)run(); }, {"stage.target: is empty"});
}

TEST_F(Staging, RefusesATargetThatIsAnotherSetsSourceBeforeAnythingIsTouched) {
  on_one_rank([&] {
    write_file(root_ / "other" / "f", "another set's sample");
    fs::create_directory_symlink(root_ / "other", root_ / "link");
  });
  const StagingPlan plan = plan_staging(manifest_, options_, test_world().nodes());
  const auto refuse = [&](const fs::path& first_target, const fs::path& second_source, const std::string& what) {
    SCOPED_TRACE(first_target);
    expect_error(
        ExitCode::usage,
        [&] {
          (void)run({{manifest_, plan, source_, first_target}, {manifest_, plan, second_source, root_ / "second"}});
        },
        {"stage.target: ", what});
    EXPECT_FALSE(fs::exists(root_ / "second"));
    test_world().all().barrier();
  };
  refuse(root_ / "link", root_ / "other", "/link is the source itself (");
  refuse(root_ / "link" / ".." / "other", root_ / "other", "is the source itself (");
  refuse(root_, root_ / "link", "lies within " + root_.string() + " (");
  refuse(root_ / "link" / "new" / "er", root_ / "other", "/link/new/er lies within the source ");
  EXPECT_EQ(contents_of(root_ / "other" / "f"), "another set's sample");
  EXPECT_FALSE(fs::exists(root_ / "other" / "new"));
  EXPECT_FALSE(fs::exists(root_ / "other" / name_of(1)));
}

TEST_F(Staging, RefusesNamesThatEscapeTheTarget) {
  manifest_.entries[0].name = "../escaped";
  expect_data_error([&] { (void)run(); }, {"'../escaped' is refused"});
  EXPECT_FALSE(fs::exists(root_ / "escaped"));
}

TEST_F(Staging, ReplacesASymbolicLinkInsteadOfWritingThroughIt) {
  on_one_rank([&] {
    fs::create_directories(target(1).parent_path());
    write_file(root_ / "elsewhere", text_of(1));
    fs::create_symlink(root_ / "elsewhere", target(1));
  });
  (void)run();
  expect_complete();
  EXPECT_FALSE(fs::is_symlink(target(1)));
  EXPECT_EQ(contents_of(root_ / "elsewhere"), text_of(1));
}

TEST_F(Staging, ReadsFromTheSourceWithStrategyNone) {
  options_ = {};
  const Staged staged = run();
  EXPECT_EQ(staged.root, source_);
  ASSERT_EQ(staged.nodes.size(), 1U);
  EXPECT_EQ(staged.nodes[0].host, test_world().host());
  EXPECT_EQ(staged.nodes[0].bytes_copied, 0);
}

TEST_F(Staging, CopiesWithoutHashingWhereVerifyIsOff) {
  options_.verify = Verify::none;
  EXPECT_EQ(run().nodes[0].files_copied, 7);
  expect_complete();
  EXPECT_EQ(read_manifest(options_.target).value().entries[0].xxh3, "");
}

}  // namespace
}  // namespace trainmark

// Staging beside other work: what comes of it is what stage() leaves, a rank's failure is everybody's, and what was
// stopped goes on in the next run.
#include <fcntl.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "mpi/stage/staging.hpp"
#include "unit/stage/system_calls.hpp"

namespace trainmark {
namespace {

namespace fs = std::filesystem;
using std::chrono::milliseconds;
using testing::contents_of;
using testing::Staging;
using testing::system_calls;
using testing::write_file;

class Background : public Staging {
 protected:
  ~Background() override { system_calls() = {}; }

  void begin(BackgroundStaging::Heard heard = {}) {
    plan_ = plan_staging(manifest_, options_, test_world().nodes());
    const std::vector<StagingSet> sets = {{manifest_, plan_, source_, options_.target}};
    background_ = std::make_unique<BackgroundStaging>(test_world(), sets, options_, context_, std::move(heard));
  }
  void settle_when_done() {
    while (!background_->settled()) {
      background_->look();
      background_->settle_if_done();
      std::this_thread::sleep_for(milliseconds(1));
    }
    test_world().all().barrier();
  }
  [[nodiscard]] const NodeStaging& node() const { return background_->outcome().sets.at(0).nodes.at(0); }
  [[nodiscard]] bool is_staged_here(int i) const {
    const ManifestEntry& entry =
        *std::ranges::find(manifest_.entries, name_of(i), [](const ManifestEntry& each) { return each.name; });
    return is_staged(target(i), entry.bytes, entry.modified_ns);
  }

  /// Holds the copying thread at its call number `at` until let_go().
  BackgroundStaging::Heard held_at(int at) {
    return {[this, at] {
              if (++calls_ != at) return;
              arrived_ = true;
              while (!let_go_)
                std::this_thread::sleep_for(milliseconds(1));
              std::this_thread::sleep_for(milliseconds(200));  // until who let it go has said why
            },
            [this] { ++ended_; }};
  }
  void await_held() const {
    while (!arrived_)
      std::this_thread::sleep_for(milliseconds(1));
  }

  StagingPlan plan_;
  std::unique_ptr<BackgroundStaging> background_;
  std::atomic<int> calls_{0}, ended_{0};
  std::atomic<bool> arrived_{false}, let_go_{false};
};

TEST_F(Background, LeavesWhatStagingLeaves) {
  for (const Strategy strategy : {Strategy::replicate, Strategy::shard, Strategy::group}) {
    options_.strategy = strategy;
    options_.target = (root_ / word(strategy)).string();
    begin({{}, [this] { ++ended_; }});
    settle_when_done();
    expect_complete();
    EXPECT_EQ(node().files_copied, 7);
    EXPECT_EQ(node().files_missing, 0);
    EXPECT_EQ(node().bytes_read, 21007);
    EXPECT_GT(node().done_seconds, 0.0);
    const Staged again = run();
    EXPECT_EQ(again.nodes.at(0).files_reused, 7) << "its manifest tells";
    EXPECT_EQ(again.nodes.at(0).done_seconds, 0.0);
    background_.reset();
  }
  EXPECT_EQ(ended_, 3);
}

TEST_F(Background, LetsOthersReadOnceAllIsThere) {
  begin();
  settle_when_done();
  EXPECT_EQ(run().nodes.at(0).files_reused, 7) << "beside the first, which still reads";
}

TEST_F(Background, IsSettledAtOnceWhereNothingIsMissing) {
  (void)run();
  begin({{}, [this] { ++ended_; }});
  EXPECT_TRUE(background_->settled());
  EXPECT_EQ(node().files_reused, 7);
  EXPECT_EQ(node().files_copied, 0);
  EXPECT_EQ(ended_, 0) << "no thread was needed";
  background_->settle();
  EXPECT_EQ(background_->outcome().sets.size(), 1U);
}

TEST_F(Background, RefusesBeforeItReturns) {
  on_one_rank([&] { write_file(root_ / "file", "in the way"); });
  options_.target = (root_ / "file" / "below").string();
  EXPECT_THROW(begin(), AgreedError);
}

TEST_F(Background, TellsARanksFailureToAll) {
  const bool fails = test_world().all().rank() == test_world().all().size() - 1;
  if (fails) {
    system_calls().pread_failures = 2;
    system_calls().pread_fails_with = EIO;
  }
  begin({{}, [this] { ++ended_; }});
  while (fails && ended_ == 0)
    std::this_thread::sleep_for(milliseconds(1));
  if (fails) {
    std::this_thread::sleep_for(milliseconds(50));
    EXPECT_THROW(background_->look(), Error) << "at once, where it was met";
  }
  try {
    background_->settle();
    ADD_FAILURE() << "nothing was raised";
  } catch (const AgreedError& error) {
    EXPECT_EQ(error.code(), ExitCode::data);
    EXPECT_NE(std::string(error.what()).find("cannot be read, twice: Input/output error"), std::string::npos);
  }
  background_.reset();
  test_world().all().barrier();
  system_calls() = {};
  for (int i = 0; i < 7; ++i)
    EXPECT_TRUE(!fs::exists(target(i)) || contents_of(target(i)) == text_of(i)) << "whole or not there";
  test_world().all().barrier();
  (void)run();
  expect_complete();
}

TEST_F(Background, RefusesASourceThatChangesMeanwhile) {
  begin(held_at(1));
  await_held();
  on_one_rank([&] { write_file(source_ / name_of(3), "another text"); });
  let_go_ = true;
  try {
    while (!background_->settled())
      background_->settle_if_done();
    ADD_FAILURE() << "nothing was raised";
  } catch (const AgreedError& error) {
    EXPECT_EQ(error.code(), ExitCode::data);
    EXPECT_NE(std::string(error.what()).find("changed since it was scanned"), std::string::npos);
  }
  EXPECT_FALSE(fs::exists(target(3)));
}

TEST_F(Background, GoesOnInTheNextRunWhereItWasStopped) {
  const bool alone = test_world().all().size() == 1;
  begin(held_at(alone ? 4 : 2));  // alone: two files have been copied and a third one is under way
  await_held();
  let_go_ = true;
  background_->settle();
  ASSERT_TRUE(background_->settled());
  const std::int64_t copied = node().files_copied, missing = node().files_missing;
  EXPECT_EQ(copied + missing, 7);
  EXPECT_GT(missing, 0);
  EXPECT_GE(copied, alone ? 2 : 0);
  background_.reset();
  EXPECT_FALSE(fs::exists(fs::path(options_.target) / manifest_name)) << "it is not whole";
  std::int64_t there = 0;
  for (int i = 0; i < 7; ++i) {
    if (!fs::exists(target(i))) continue;
    ++there;
    EXPECT_EQ(contents_of(target(i)), text_of(i));
  }
  EXPECT_EQ(there, copied);
  test_world().all().barrier();
  const Staged next = run();
  EXPECT_EQ(next.nodes.at(0).files_reused, copied) << "the journal tells";
  EXPECT_EQ(next.nodes.at(0).files_copied, missing);
  expect_complete();
}

TEST_F(Background, TakesWhatMustBeReplacedAwayFirst) {
  on_one_rank([&] {
    for (int i = 0; i < 7; ++i) {  // of the source's names, sizes and times
      write_file(target(i), std::string(text_of(i).size(), 'X'));
      fs::last_write_time(target(i), fs::last_write_time(source_ / name_of(i)));
    }
  });
  EXPECT_TRUE(is_staged_here(3)) << "nothing tells them apart by then";
  begin(held_at(1));
  await_held();
  test_world().all().barrier();
  for (int i = 0; i < 7; ++i)
    EXPECT_FALSE(is_staged_here(i)) << i;
  test_world().all().barrier();
  let_go_ = true;
  settle_when_done();
  for (int i = 0; i < 7; ++i)
    EXPECT_TRUE(is_staged_here(i)) << i;
  expect_complete();
}

TEST_F(Background, IsStagedIsAFileOfThatSizeAndTime) {
  on_one_rank([&] {
    const fs::path file = root_ / "file";
    write_file(file, "twelve bytes");
    struct stat info {};
    ASSERT_EQ(stat(file.c_str(), &info), 0);
    const std::int64_t modified_ns = std::int64_t{info.st_mtim.tv_sec} * 1'000'000'000 + info.st_mtim.tv_nsec;
    EXPECT_TRUE(is_staged(file, 12, modified_ns));
    EXPECT_FALSE(is_staged(file, 11, modified_ns));
    EXPECT_FALSE(is_staged(file, 12, modified_ns + 2'000'000'001));
    EXPECT_FALSE(is_staged(root_ / "none", 12, modified_ns));
    fs::create_symlink(file, root_ / "link");
    EXPECT_FALSE(is_staged(root_ / "link", 12, modified_ns)) << "staging writes no links";
  });
}

}  // namespace
}  // namespace trainmark

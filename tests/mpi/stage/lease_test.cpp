// Two runs and one target: who waits, who is refused, and what stays as it was.
#include <unistd.h>

#include <cerrno>
#include <ctime>
#include <utility>

#include "mpi/stage/staging.hpp"
#include "stage/lease.hpp"
#include "unit/stage/system_calls.hpp"

namespace trainmark {
namespace {

namespace fs = std::filesystem;
using testing::contents_of;
using testing::expect_data_error;
using testing::Staging;
using testing::write_file;

/// The other run is a lease of rank 0's: the kernel takes each opening of a lock's file for another holder.
class TwoRuns : public Staging {
 protected:
  void other_run_begins() {
    on_one_rank([&] {
      fs::create_directories(options_.target);
      other_ = std::make_unique<Lease>(options_.target, Holder{"other", "4711", test_world().host(), getpid(), 1});
    });
  }
  void other_run_stages() {
    other_run_begins();
    on_one_rank([&] { ASSERT_TRUE(other_->try_turn()); });
  }
  void other_run_reads() {
    other_run_begins();
    on_one_rank([&] {
      ASSERT_TRUE(other_->try_turn());
      ASSERT_TRUE(other_->try_read());
      other_->end_turn();
    });
  }
  void other_run_ends() {
    on_one_rank([&] { other_.reset(); });
  }
  void source_changes() {
    on_one_rank([&] { write_file(source_ / name_of(2), text_of(2) + "and more"); });
    scan();
  }
  [[nodiscard]] ino_t inode_of(int i) const {
    struct stat info {};
    EXPECT_EQ(stat(target(i).c_str(), &info), 0);
    return info.st_ino;
  }

  std::unique_ptr<Lease> other_;
};

TEST_F(TwoRuns, TheSecondIsRefusedByNameWhileTheFirstStages) {
  other_run_stages();
  expect_data_error([&] { (void)run(); },
                    {test_world().host(), options_.target, "is being staged to by job 4711 (pid ",
                     "since 1970-01-01 00:00:01 UTC", "name another stage.target", "stage.wait_seconds (0)"});
  EXPECT_FALSE(fs::exists(target(1)));
  other_run_ends();
  EXPECT_EQ(run().nodes[0].files_copied, 7);
  expect_complete();
}

TEST_F(TwoRuns, TheSecondIsRefusedWhereItWouldReplaceWhatTheFirstReads) {
  (void)run();
  other_run_reads();
  source_changes();
  const std::string manifest = contents_of(fs::path(options_.target) / manifest_name);
  expect_data_error([&] { (void)run(); }, {options_.target, "is read by job 4711 (pid ", "nothing was changed"});
  EXPECT_EQ(contents_of(target(2)), text_of(2));
  EXPECT_EQ(contents_of(fs::path(options_.target) / manifest_name), manifest);
  test_world().all().barrier();
  other_run_ends();
  EXPECT_EQ(run().nodes[0].files_copied, 1);
  EXPECT_EQ(contents_of(target(2)), text_of(2) + "and more");
}

TEST_F(TwoRuns, BothReadASetThatNeedsNoChange) {
  (void)run();
  other_run_reads();
  scan();
  const ino_t before = inode_of(3);
  const Staged staged = run();
  EXPECT_EQ(staged.nodes[0].files_reused, 7);
  EXPECT_EQ(inode_of(3), before);
  other_run_ends();
  expect_complete();
}

TEST_F(TwoRuns, TheFirstHoldsItsTargetForAsLongAsItReads) {
  auto staged = std::make_unique<Staged>(run());
  other_run_begins();
  on_one_rank([&] {
    EXPECT_TRUE(other_->try_turn()) << "staging is over";
    EXPECT_TRUE(Lease(options_.target, Holder{"third", "", "", 1, 1}).try_read()) << "it only reads now";
    EXPECT_FALSE(other_->try_replace());
    EXPECT_NE(other_->in_the_way_of_replacing().find("job job-of-this-test (pid " + std::to_string(getpid())),
              std::string::npos)
        << other_->in_the_way_of_replacing();
  });
  staged.reset();
  on_one_rank([&] { EXPECT_TRUE(other_->try_replace()); });
}

TEST_F(TwoRuns, TheSecondWaitsSaysSoAndGoesOn) {
  options_.wait_seconds = 100.0;
  int beats = 0;
  context_.progress = [&](std::int64_t bytes) {
    beats += bytes == 0 ? 1 : 0;
    if (bytes == 0 && beats == 2) other_.reset();  // the other one ends while this one waits
  };
  other_run_stages();
  EXPECT_EQ(run().nodes[0].files_copied, 7);
  EXPECT_GE(beats, 2);
  EXPECT_TRUE(!leads() || said_.find("waiting until that has ended or made no progress for 100 s: node " +
                                     test_world().host()) != std::string::npos)
      << said_;
  expect_complete();

  beats = 0;
  said_.clear();
  other_run_reads();
  source_changes();
  EXPECT_EQ(run().nodes[0].files_copied, 1);
  EXPECT_TRUE(!leads() || said_.find("waiting at most 100 s: node ") != std::string::npos) << said_;
  EXPECT_TRUE(!leads() || said_.find("is read by job 4711") != std::string::npos) << said_;
}

TEST_F(TwoRuns, AreNotKeptApartWhereTheFileSystemHasNoLocksWhichIsSaidOnce) {
  other_run_stages();
  testing::system_calls().flock_fails_with = ENOLCK;
  EXPECT_EQ(run().nodes[0].files_copied, 7);
  testing::system_calls().flock_fails_with = 0;
  const std::string warning = "warning: node " + test_world().host() + ": the file system of " + options_.target +
                              " has no locks (flock): two runs that stage to it are not kept apart\n";
  EXPECT_EQ(said_, leads() ? warning : "");
}

TEST_F(TwoRuns, TheSecondWaitsForAsLongAsTheFirstMakesProgress) {
  options_.wait_seconds = 0.05;  // less than the pause between two attempts
  int beats = 0;
  context_.progress = [&](std::int64_t bytes) {
    if (bytes != 0 || !other_) return;
    ++beats < 10 ? other_->beat() : other_.reset();
  };
  other_run_stages();
  EXPECT_EQ(run().nodes[0].files_copied, 7);
  EXPECT_TRUE(!leads() || beats == 10) << beats;
  EXPECT_GE(waited_, 1.0) << "ten pauses of a tenth of a second at least";
  expect_complete();
}

TEST_F(TwoRuns, TheFirstTellsThatItGoesOnWhileItStages) {
  other_run_begins();
  std::vector<std::int64_t> seen;
  context_.progress = [&](std::int64_t bytes) {
    if (!leads() || bytes == 0 || seen.size() > 1) return;
    usleep(600'000);  // longer than the pause between two signs of life
    seen.push_back(other_->last_beat_of_turn());
  };
  (void)run();
  if (leads()) {
    ASSERT_EQ(seen.size(), 2U) << "of four ranks this one copies two files";
    EXPECT_LT(seen.front(), seen.back());
  }
  EXPECT_EQ(waited_, 0.0);
}

TEST_F(TwoRuns, WaitingEndsWithoutProgress) {
  options_.wait_seconds = 0.3;
  other_run_stages();
  expect_data_error([&] { (void)run(); },
                    {"is being staged to by job 4711", "waited until that has ended or made no progress for 0.3 s",
                     "stage.wait_seconds (0.3)"});
}

TEST_F(TwoRuns, WaitingForAReaderEndsWhateverThatDoes) {
  (void)run();
  options_.wait_seconds = 0.3;
  other_run_reads();
  source_changes();
  context_.progress = [&](std::int64_t) {
    if (other_) other_->beat();
  };
  expect_data_error([&] { (void)run(); }, {"is read by job 4711", "waited at most 0.3 s"});
}

TEST_F(TwoRuns, TheFirstsTargetMayBeTheSecondsSource) {
  (void)run();
  source_ = options_.target;
  scan();
  const StageOptions into_another = [&] {
    StageOptions options = options_;
    options.target = (root_ / "another").string();
    return options;
  }();
  options_.strategy = Strategy::none;
  other_run_stages();
  on_one_rank([&] { ASSERT_TRUE(other_->try_replace()); });
  for (const StageOptions& options : {options_, into_another}) {
    const StageOptions kept = std::exchange(options_, options);
    expect_data_error([&] { (void)run(); }, {source_.string(), "is being staged to by job 4711"});
    options_ = kept;
  }
  other_run_ends();
  Staged staged = run();
  other_run_stages();
  on_one_rank([&] { EXPECT_FALSE(other_->try_replace()) << "it is read"; });
  staged = {};
  on_one_rank([&] { EXPECT_TRUE(other_->try_replace()); });
}

TEST_F(TwoRuns, SetsOfOneRunAreHeldTogetherOrNotAtAll) {
  other_run_stages();
  const StagingPlan plan = plan_staging(manifest_, options_, test_world().nodes());
  const fs::path free = root_ / "free";
  const std::vector<StagingSet> both = {{manifest_, plan, source_, free}, {manifest_, plan, source_, options_.target}};
  const auto expect_free = [&] {
    Lease third(free, Holder{"third", "", test_world().host(), getpid(), 1});
    EXPECT_TRUE(third.try_turn()) << "who waits or is refused holds nothing";
  };
  expect_data_error([&] { (void)run(both); }, {"is being staged to by job 4711"});
  EXPECT_FALSE(fs::exists(free / name_of(1)));
  on_one_rank(expect_free);

  options_.wait_seconds = 100.0;
  context_.progress = [&](std::int64_t bytes) {
    if (bytes != 0 || !leads() || !other_) return;
    expect_free();
    other_.reset();
  };
  EXPECT_EQ(run(both).size(), 2U);
}

}  // namespace
}  // namespace trainmark

// Locks that say by whom they are held.
#include "stage/lease.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

#include "unit/stage/scratch.hpp"
#include "unit/stage/system_calls.hpp"

namespace trainmark {
namespace {

using testing::AsNobody;
using testing::contents_of;
using testing::expect_data_error;
using testing::Scratch;
using testing::system_calls;
using testing::write_file;

Holder holder(const std::string& token, const std::string& job = "4711") {
  return {token, job, "node-a", 123, 1'796'000'000};
}

TEST(Holder, IsDescribedByJobProcessHostAndTime) {
  EXPECT_EQ(describe(holder("t")), "job 4711 (pid 123 on node-a, since 2026-11-30 00:53:20 UTC)");
  EXPECT_EQ(describe(holder("t", "")),
            "a run without a job's number (pid 123 on node-a, since 2026-11-30 00:53:20 UTC)");
}

TEST(Lease, OfTheTurnIsOneRunsAlone) {
  const Scratch folder;
  Lease first(folder.path(), holder("first")), second(folder.path(), holder("second", "4712"));
  EXPECT_TRUE(first.try_turn());
  EXPECT_FALSE(second.try_turn());
  EXPECT_EQ(second.in_the_way_of_turn(), describe(holder("first")));
  first.end_turn();
  EXPECT_TRUE(second.try_turn());
  EXPECT_FALSE(first.try_turn());
  EXPECT_EQ(first.in_the_way_of_turn(), describe(holder("second", "4712"))) << "a name that is left is overwritten";
}

TEST(Lease, OfTheFilesIsSharedByReadersAndNotByWhoReplacesThem) {
  const Scratch folder;
  auto first = std::make_unique<Lease>(folder.path(), holder("first"));
  auto second = std::make_unique<Lease>(folder.path(), Holder{"second", "a job", "node-b", 5, 0});
  Lease third(folder.path(), holder("third"));
  EXPECT_TRUE(first->try_read());
  EXPECT_TRUE(second->try_read());
  EXPECT_FALSE(third.try_replace());
  EXPECT_EQ(third.in_the_way_of_replacing(),
            describe(holder("first")) + ", job a_job (pid 5 on node-b, since 1970-01-01 00:00:00 UTC)");
  first.reset();
  EXPECT_FALSE(third.try_replace());
  second.reset();
  EXPECT_TRUE(third.try_replace());
  EXPECT_FALSE(Lease(folder.path(), holder("late")).try_read());
  EXPECT_TRUE(third.try_read()) << "who replaced them goes on to read";
  EXPECT_TRUE(Lease(folder.path(), holder("late")).try_read());
}

TEST(Lease, OfARunThatReplacedAndReadsNowNamesItOnce) {
  const Scratch folder;
  Lease first(folder.path(), holder("first")), second(folder.path(), holder("second"));
  EXPECT_TRUE(first.try_replace());
  EXPECT_TRUE(first.try_read());
  EXPECT_TRUE(first.try_read());
  EXPECT_FALSE(second.try_replace());
  EXPECT_EQ(second.in_the_way_of_replacing(), describe(holder("first")));
}

TEST(Lease, TakesItsNameAlongWhenItEnds) {
  const Scratch folder;
  const auto names = [&] {
    return contents_of(folder.path() / ".trainmark.lock") + contents_of(folder.path() / ".trainmark.turn");
  };
  auto first = std::make_unique<Lease>(folder.path(), holder("first"));
  auto second = std::make_unique<Lease>(folder.path(), Holder{"second", "", "node-b", 5, 0});
  ASSERT_TRUE(first->try_turn() && first->try_read() && second->try_read());
  EXPECT_NE(names().find("first"), std::string::npos);
  first.reset();
  EXPECT_EQ(names(), "second - node-b 5 0\n");
  second.reset();
  EXPECT_EQ(names(), "");
}

TEST(Lease, MayBeTakenByAllWhoMayUseTheFolderWhateverTheUmask) {
  for (const mode_t mode : {0700U, 0750U, 0775U, 01777U}) {
    const Scratch folder;
    ASSERT_EQ(chmod(folder.path().c_str(), mode), 0);
    const mode_t before = umask(077);
    Lease lease(folder.path(), holder("t"));
    EXPECT_TRUE(lease.try_turn());
    EXPECT_TRUE(lease.try_read());
    umask(before);
    for (const char* name : {".trainmark.turn", ".trainmark.lock"}) {
      struct stat info {};
      ASSERT_EQ(stat((folder.path() / name).c_str(), &info), 0);
      EXPECT_EQ(info.st_mode & 0777, (mode & 0666) | 0600) << name << " in a folder of mode " << std::oct << mode;
    }
  }
}

TEST(Lease, SaysWhatToDoAboutALockFileThatAnotherUserKeepsForItself) {
  const Scratch folder;
  ASSERT_EQ(chmod(folder.path().c_str(), 01777), 0);
  const std::filesystem::path path = folder.path() / ".trainmark.turn";
  write_file(path, "old - node-z 1 0\n");
  ASSERT_EQ(chmod(path.c_str(), 0644), 0);
  const AsNobody nobody;
  if (!nobody.able()) GTEST_SKIP() << "needs the right to become another user";
  {
    Lease first(folder.path(), holder("run-1")), second(folder.path(), holder("run-1"));
    EXPECT_TRUE(first.try_turn()) << "who may only read it can lock it";
    EXPECT_FALSE(second.try_turn());
    const std::string said = second.in_the_way_of_turn();
    EXPECT_NE(said.find(".trainmark.turn belongs to another user and may not be written"), std::string::npos) << said;
    EXPECT_NE(said.find("chmod a+rw"), std::string::npos) << said;
  }
  ASSERT_EQ(seteuid(0), 0);
  ASSERT_EQ(chmod(path.c_str(), 0600), 0);
  ASSERT_EQ(seteuid(65534), 0);
  Lease third(folder.path(), holder("run-2"));
  expect_data_error([&] { (void)third.try_turn(); },
                    {".trainmark.turn: belongs to another user and may not be opened by this one", "chmod a+rw"});
}

TEST(Lease, NeverWaitsForAPipeOfItsName) {
  const Scratch folder;
  ASSERT_EQ(mkfifo((folder.path() / ".trainmark.turn").c_str(), 0600), 0);
  Lease lease(folder.path(), holder("run-1"));
  expect_data_error([&] { (void)lease.try_turn(); }, {".trainmark.turn: is not a regular file"});
}

TEST(Lease, IsNotInTheWayOfItsOwnRunsOtherNodes) {
  const Scratch folder;
  Lease here(folder.path(), holder("run-1")), there(folder.path(), holder("run-1"));
  EXPECT_TRUE(here.try_turn());
  EXPECT_FALSE(there.try_turn());
  EXPECT_EQ(there.in_the_way_of_turn(), "") << "the two nodes share a target: one holds it for both";
}

TEST(Lease, TellsWhoWaitsThatItsHolderGoesOn) {
  const Scratch folder;
  Lease first(folder.path(), holder("first")), second(folder.path(), holder("second"));
  EXPECT_EQ(second.last_beat_of_turn(), 0);
  ASSERT_TRUE(first.try_turn() && first.try_replace());
  const std::int64_t turn = second.last_beat_of_turn(), files = second.last_beat_of_replacing();
  EXPECT_GT(turn, 0);
  for (int i = 0; i < 1000 && (second.last_beat_of_turn() == turn || second.last_beat_of_replacing() == files); ++i) {
    usleep(1000);   // a file's time has the grain of the kernel's clock
    second.beat();  // who does not hold it has nothing to tell
    EXPECT_EQ(second.last_beat_of_turn(), turn);
    first.beat();
  }
  EXPECT_GT(second.last_beat_of_turn(), turn);
  EXPECT_GT(second.last_beat_of_replacing(), files);
}

TEST(Lease, EndsWithTheProcessHoweverThatEnds) {
  const Scratch folder;
  const pid_t child = fork();
  if (child == 0) {
    std::array<char, 64> host{};
    gethostname(host.data(), host.size() - 1);
    Lease lease(folder.path(), {"child", "4711", host.data(), getpid(), 0});
    if (lease.try_turn() && lease.try_read()) write_file(folder.path() / "held", "");
    pause();
    _exit(0);
  }
  while (!std::filesystem::exists(folder.path() / "held"))
    usleep(1000);
  Lease mine(folder.path(), holder("mine"));
  EXPECT_FALSE(mine.try_turn());
  EXPECT_FALSE(mine.try_replace());
  EXPECT_NE(mine.in_the_way_of_turn().find("pid " + std::to_string(child)), std::string::npos);
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  EXPECT_TRUE(mine.try_turn());
  EXPECT_TRUE(mine.try_replace());
}

TEST(Lease, NamesNobodyWhoIsNotThereAnyMore) {
  const Scratch folder;
  Lease first(folder.path(), holder("first")), second(folder.path(), holder("second"));
  const pid_t child = fork();
  if (child == 0) _exit(0);
  waitpid(child, nullptr, 0);
  std::array<char, 64> host{};
  gethostname(host.data(), host.size() - 1);
  EXPECT_TRUE(first.try_turn());
  write_file(folder.path() / ".trainmark.turn",
             "dead - " + std::string(host.data()) + " " + std::to_string(child) + " 0\n");
  EXPECT_EQ(second.in_the_way_of_turn(), "a process that did not leave its name");
}

TEST(Lease, LetsEverybodyInWhereTheFileSystemHasNoLocks) {
  const Scratch folder;
  Lease first(folder.path(), holder("first")), second(folder.path(), holder("second"));
  for (const int refusal : {ENOLCK, EOPNOTSUPP, ENOSYS}) {
    system_calls().flock_fails_with = refusal;
    EXPECT_TRUE(first.try_turn());
    EXPECT_TRUE(second.try_turn());
    EXPECT_TRUE(second.try_replace());
    EXPECT_TRUE(first.try_read());
    EXPECT_FALSE(first.works());
    EXPECT_FALSE(second.works());
  }
  system_calls().flock_fails_with = 0;
  EXPECT_TRUE(Lease(folder.path(), holder("third")).works());
}

TEST(Lease, FollowsNoLinkAndNamesAFolderThatCannotBeLocked) {
  const Scratch folder;
  write_file(folder.path() / "precious", "kept");
  std::filesystem::create_symlink(folder.path() / "precious", folder.path() / ".trainmark.turn");
  Lease lease(folder.path(), holder("t"));
  expect_data_error([&] { (void)lease.try_turn(); }, {".trainmark.turn", "cannot be opened to lock the folder"});
  EXPECT_EQ(contents_of(folder.path() / "precious"), "kept");
}

}  // namespace
}  // namespace trainmark

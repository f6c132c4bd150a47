// Room on a file system whose numbers a test knows: to the last block and the last file.
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

#include "stage/files.hpp"
#include "unit/stage/scratch.hpp"
#include "unit/stage/system_calls.hpp"

namespace trainmark {
namespace {

using testing::expect_data_error;
using testing::Scratch;
using testing::system_calls;

constexpr std::int64_t block = 4096;

class Room : public ::testing::Test {
 protected:
  /// 1000 blocks, of which 100 may be used by everybody, and 3 files of 50.
  Room() {
    struct statvfs& info = system_calls().file_system.emplace();
    info.f_bsize = 1 << 20;  // of transfers: no unit of anything here
    info.f_frsize = block;
    info.f_blocks = 1000;
    info.f_bfree = 150;
    info.f_bavail = 100;
    info.f_files = 50;
    info.f_favail = 3;
  }
  ~Room() override { system_calls().file_system.reset(); }
  void take(const SpaceNeed& need, double reserve_percent) const {
    require_space(folder.path(), need, reserve_percent, "node n3");
  }
  Scratch folder;
};

TEST_F(Room, EndsWhereTheReserveBegins) {
  take({.bytes = 100 * block}, 0.0);
  expect_data_error([&] { take({.bytes = 101 * block}, 0.0); }, {"has 400.0 KiB free, staging needs 404.0 KiB"});
  take({.bytes = 90 * block}, 1.0);
  expect_data_error([&] { take({.bytes = 91 * block}, 1.0); },
                    {"has 400.0 KiB free, staging needs 364.0 KiB and leaves 40.0 KiB in reserve"});
}

TEST_F(Room, OfReplacedFilesIsFreeAgainAllButTheOneThatIsBeingReplaced) {
  take({.bytes = 150 * block, .reclaimed = 60 * block, .overlap = 10 * block}, 0.0);
  expect_data_error([&] { take({.bytes = 150 * block, .reclaimed = 60 * block, .overlap = 11 * block}, 0.0); },
                    {"staging needs 404.0 KiB"});
}

TEST_F(Room, IsCountedInFilesTooWhereTheFileSystemCountsThem) {
  take({.files = 3}, 0.0);
  expect_data_error([&] { take({.files = 4}, 0.0); }, {"has room for 3 more files, staging needs 4"});
  system_calls().file_system->f_files = system_calls().file_system->f_favail = 0;
  take({.bytes = block, .files = 4000}, 0.0);
}

TEST(Space, OfAFileIsWholeBlocksAndOneReplacedFileAtATime) {
  SpaceNeed need;
  need.add_file(1, 0);
  need.add_file(block, 3 * block);
  need.add_file(block + 1, block);
  EXPECT_EQ(need.bytes, 4 * block);
  EXPECT_EQ(need.files, 3);
  EXPECT_EQ(need.reclaimed, 4 * block);
  EXPECT_EQ(need.overlap, 3 * block) << "the largest of those that are replaced";
  need.add({.overlap = block, .buffers = 7});
  need.add({.overlap = 5 * block, .buffers = 5});
  EXPECT_EQ(need.overlap, 5 * block);
  EXPECT_EQ(need.buffers, 7) << "a rank stages one set at a time";
}

TEST(Space, IsToldInTheLargestUnitThatItFills) {
  constexpr std::int64_t kib = 1024;
  for (const auto& [bytes, text] : std::vector<std::pair<std::int64_t, std::string>>{{0, "0 bytes"},
                                                                                     {kib - 1, "1023 bytes"},
                                                                                     {kib, "1.0 KiB"},
                                                                                     {kib * kib - 1, "1024.0 KiB"},
                                                                                     {kib * kib, "1.0 MiB"},
                                                                                     {3 * kib * kib / 2, "1.5 MiB"},
                                                                                     {kib * kib * kib, "1.00 GiB"},
                                                                                     {kib << 30U, "1.00 TiB"}})
    EXPECT_EQ(readable_bytes(bytes), text);
}

TEST(FileErrors, HaveARemedyOfTheirOwn) {
  const auto said = [](int number) {
    try {
      file_error("/data/f", "cannot be written", number);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::data);
      return std::string(error.what());
    }
  };
  EXPECT_EQ(said(ENOSPC),
            "/data/f: cannot be written: No space left on device; free space there, choose another "
            "stage.target, or use strategy shard");
  EXPECT_NE(said(EDQUOT).find("; free space there"), std::string::npos);
  EXPECT_NE(said(EROFS).find("; choose a folder that this user may write to (stage.target)"), std::string::npos);
  EXPECT_NE(said(ENOENT).find("; check the path"), std::string::npos);
  EXPECT_NE(said(EBADF).find("; check the file system"), std::string::npos);
}

TEST(Space, InMemoryIsWhatTheJobMayUseOfIt) {
  const Scratch folder;
  const pid_t child = fork();  // its mounts are its own
  if (child == 0) {
    if (unshare(CLONE_NEWNS) != 0 || mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) _exit(77);
    if (mount("tmpfs", folder.path().c_str(), "tmpfs", 0, "size=64t") != 0) _exit(77);
    try {
      require_space(folder.path(), {.bytes = std::int64_t{32} << 40U}, 0.0, "node n3");
    } catch (const Error& error) {
      const std::string text = error.what();
      _exit(text.find("is in memory, of which") != std::string::npos &&
                    text.find("staging needs 32") != std::string::npos && text.find("--mem") != std::string::npos
                ? 0
                : 1);
    }
    _exit(2);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status));
  if (WEXITSTATUS(status) == 77) GTEST_SKIP() << "mounts are not allowed here";
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

}  // namespace
}  // namespace trainmark

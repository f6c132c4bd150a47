// Files that are whole or not there.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <thread>

#include "trainmark/core.hpp"

namespace trainmark {
namespace {

constexpr Unwritten unwritten{"work would be lost", "free space"};

class Files : public ::testing::Test {
 protected:
  Files() { std::filesystem::create_directories(folder_); }
  ~Files() override { std::filesystem::remove_all(folder_); }
  Files(const Files&) = delete;
  Files& operator=(const Files&) = delete;

  [[nodiscard]] std::string content(const char* name) const {
    std::ifstream file(folder_ / name);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  [[nodiscard]] std::ptrdiff_t files() const {
    return std::distance(std::filesystem::directory_iterator(folder_), std::filesystem::directory_iterator());
  }

  std::filesystem::path folder_ =
      std::filesystem::temp_directory_path() / ("trainmark-files-" + std::to_string(getpid()));
};

TEST_F(Files, AreReplacedAsAWhole) {
  write_atomically(folder_ / "a", "a long first text", unwritten);
  EXPECT_EQ(content("a"), "a long first text");
  std::ifstream opened_before(folder_ / "a");
  write_atomically(folder_ / "a", "short", unwritten, true);
  EXPECT_EQ(content("a"), "short");
  std::string old;
  std::getline(opened_before, old);
  EXPECT_EQ(old, "a long first text");
  EXPECT_EQ(files(), 1);
}

TEST_F(Files, KeepWhatWasThereWhenTheNewCannotTakeItsPlace) {
  std::filesystem::create_directories(folder_ / "a" / "in the way");
  try {
    write_atomically(folder_ / "a", "text", unwritten);
    FAIL() << "a folder was replaced by a file";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::environment);
    const std::string text = error.what();
    for (const char* part : {"/a", "cannot rename", "work would be lost", "free space"})
      EXPECT_NE(text.find(part), std::string::npos) << part << " in " << text;
  }
  EXPECT_EQ(files(), 1);
}

TEST_F(Files, NameAFolderThatIsNotThere) {
  try {
    write_atomically(folder_ / "none" / "a", "text", unwritten);
    FAIL() << "it was made";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("none/a: cannot create: No such file or directory"), std::string::npos)
        << error.what();
  }
}

TEST_F(Files, ThatDoNotFitLeaveWhatWasThere) {
  write_atomically(folder_ / "a", "old", unwritten);
  rlimit before{};
  getrlimit(RLIMIT_FSIZE, &before);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit full{1000, before.rlim_max};  // what a full disk looks like, without one
  setrlimit(RLIMIT_FSIZE, &full);
  std::string said;
  try {
    write_atomically(folder_ / "a", std::string(5000, 'x'), unwritten);
  } catch (const Error& error) {
    said = error.what();
  }
  setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, handler);
  EXPECT_NE(said.find("/a: cannot write: File too large"), std::string::npos) << said;
  EXPECT_EQ(content("a"), "old");
  EXPECT_EQ(files(), 1);
}

TEST_F(Files, OfNoFolderStandInTheOneOfTheProcess) {
  const std::filesystem::path before = std::filesystem::current_path();
  std::filesystem::current_path(folder_);
  write_atomically("bare", "text", unwritten);
  std::filesystem::current_path(before);
  EXPECT_EQ(content("bare"), "text");
  EXPECT_EQ(files(), 1);
}

TEST_F(Files, OfMoreNamesThanAreRememberedAreMadeAllTheSame) {
  std::vector<std::unique_ptr<TemporaryName>> names;
  for (int i = 0; i < 250; ++i) {  // a signal's thread knows of 192
    const int descriptor = names.emplace_back(std::make_unique<TemporaryName>())->create(folder_ / "same", 0644);
    ASSERT_GE(descriptor, 0);
    close(descriptor);
  }
  EXPECT_EQ(files(), 250);
  if (const pid_t child = fork(); child == 0) {
    remove_temporaries();
    _exit(0);
  } else {
    ASSERT_EQ(waitpid(child, nullptr, 0), child);
  }
  EXPECT_EQ(files(), 250 - 192);
}

TEST_F(Files, HaveTemporaryNamesOfTheirOwnWhichTheEndOfTheProcessRemoves) {
  TemporaryName first, second, done, abandoned;
  for (TemporaryName* name : {&first, &second, &done}) {
    const int descriptor = name->create(folder_ / "same", 0644);
    ASSERT_GE(descriptor, 0);
    EXPECT_TRUE(name->path().filename().string().starts_with(temporary_prefix));
    EXPECT_EQ(name->path().parent_path(), folder_);
    close(descriptor);
  }
  EXPECT_LT(abandoned.create(folder_ / "none" / "a", 0644), 0);
  EXPECT_EQ(errno, ENOENT);
  EXPECT_EQ(files(), 3);
  std::filesystem::rename(done.path(), folder_ / "same");
  done.forget();
  std::ofstream(done.path()) << "somebody else's by now";
  if (const pid_t child = fork(); child == 0) {  // whoever calls it can make no file any more
    remove_temporaries();
    _exit(0);
  } else {
    ASSERT_EQ(waitpid(child, nullptr, 0), child);
  }
  EXPECT_FALSE(std::filesystem::exists(first.path()));
  EXPECT_FALSE(std::filesystem::exists(second.path()));
  EXPECT_TRUE(std::filesystem::exists(done.path()));
  EXPECT_TRUE(std::filesystem::exists(folder_ / "same"));
}

TEST_F(Files, ThatCouldNotBeMadeAreNotRemembered) {
  std::vector<std::unique_ptr<TemporaryName>> kept;
  for (int i = 0; i < 250; ++i)  // a signal's thread knows of 192
    EXPECT_LT(kept.emplace_back(std::make_unique<TemporaryName>())->create(folder_ / "none" / "a", 0644), 0);
  TemporaryName name;
  close(name.create(folder_ / "a", 0644));
  EXPECT_EQ(files(), 1);
  if (const pid_t child = fork(); child == 0) {
    remove_temporaries();
    _exit(0);
  } else {
    ASSERT_EQ(waitpid(child, nullptr, 0), child);
  }
  EXPECT_EQ(files(), 0) << "there was room to remember it";
}

TEST_F(Files, AreNotMadeAnyMoreOnceAllWereRemoved) {
  if (const pid_t child = fork(); child == 0) {
    remove_temporaries();
    std::thread([this] { (void)TemporaryName().create(folder_ / "late", 0644); }).detach();
    for (int tries = 0; tries < 100 && files() == 0; ++tries)  // who comes late waits for the end of the process
      usleep(1000);
    _exit(files() == 0 ? 0 : 1);
  } else {
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0) << "nobody would remove it";
  }
}

TEST_F(Files, MayHaveTheNumberZeroWhereNothingIsReadFrom) {
  if (const pid_t child = fork(); child == 0) {
    close(0);  // as a service begins
    TemporaryName name;
    const int descriptor = name.create(folder_ / "a", 0644);
    write_atomically(folder_ / "b", "text", unwritten);
    close(descriptor);
    write_atomically(folder_ / "c", "text", unwritten);  // this one's is 0
    _exit(descriptor == 0 ? 0 : 1);
  } else {
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0);
  }
  EXPECT_EQ(content("b") + content("c"), "texttext");
  EXPECT_EQ(files(), 3);
}

TEST_F(Files, AreMadeWithinTheUmask) {
  const mode_t before = umask(0027);
  TemporaryName name;
  const int descriptor = name.create(folder_ / "a", 0664);
  umask(before);
  struct stat info {};
  ASSERT_EQ(fstat(descriptor, &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0640U);
  close(descriptor);
  std::filesystem::remove(name.path());
}

}  // namespace
}  // namespace trainmark

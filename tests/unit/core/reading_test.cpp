// Files that others made: whole, within a limit, never waited for in vain, and told as what they are.
#include "core/reading.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fcntl.h>
#include <fstream>
#include <thread>

namespace trainmark {
namespace {

namespace fs = std::filesystem;
using namespace std::string_literals;

class ReadingFiles : public ::testing::Test {
 protected:
  ReadingFiles() { fs::create_directories(folder_); }
  ~ReadingFiles() override { fs::remove_all(folder_); }
  ReadingFiles(const ReadingFiles&) = delete;
  ReadingFiles& operator=(const ReadingFiles&) = delete;

  [[nodiscard]] fs::path write(const std::string& text) const {
    std::ofstream(folder_ / "a", std::ios::binary) << text;
    return folder_ / "a";
  }
  [[nodiscard]] fs::path pipe() const {
    EXPECT_EQ(::mkfifo((folder_ / "pipe").c_str(), 0600), 0);
    return folder_ / "pipe";
  }
  /// What is said where the file cannot be read; else "read: " and its text.
  static std::string said(const fs::path& path, const Reading& reading = {}) {
    try {
      return "read: " + read_whole(path, reading);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), reading.code);
      return error.what();
    }
  }
  static void expect_said(const std::string& said, const std::string& part) {
    EXPECT_NE(said.find(part), std::string::npos) << said;
  }

  fs::path folder_ = fs::temp_directory_path() / ("trainmark-reading-" + std::to_string(::getpid()));
};

TEST_F(ReadingFiles, GivesAllBytesUpToTheLimitAndRefusesMore) {
  const std::string text(200'000, 'x');
  EXPECT_EQ(said(write(text + "\0end"s), {.most = 200'004}), "read: " + text + "\0end"s);
  expect_said(said(write(text), {.most = 199'999}), "has more than 199999 bytes");
  EXPECT_EQ(said(write(""), {.most = 0}), "read: ");
}

TEST_F(ReadingFiles, NamesWhatIsNoFileWithTheCallersCode) {
  const Reading manifest{.code = ExitCode::data, .wanted = "manifest", .why = "it is binding", .remedy = "remove it"};
  expect_said(said(folder_), "is a folder; name the file in it");
  expect_said(said(folder_, manifest), "is a folder (it is binding); remove it");
  expect_said(said("/dev/zero", {.most = 10}), "is a device");
  expect_said(said(folder_ / "none"), "cannot be opened: No such file or directory");
  expect_said(said(pipe()), "is a named pipe");
}

TEST_F(ReadingFiles, IsNothingWhereThereIsNoSuchNameAndAnErrorWhereALinkLeadsNowhere) {
  EXPECT_FALSE(read_if_there(folder_ / "none").has_value());
  EXPECT_FALSE(read_if_there(write("text") / "below a file").has_value());
  EXPECT_EQ(read_if_there(folder_ / "a"), "text");
  fs::create_symlink("gone", folder_ / "link");
  try {
    (void)read_if_there(folder_ / "link");
    ADD_FAILURE() << "it was taken for none";
  } catch (const Error& error) {
    expect_said(error.what(), "is a link that leads nowhere");
  }
  for (const char* name : {"link", "none", "."})
    EXPECT_FALSE(read_if_possible(folder_ / name).has_value()) << name;
}

TEST_F(ReadingFiles, WaitsForNoPipeThatNobodyWritesTo) {
  expect_said(said(pipe(), {.streams = true}), "is a pipe that nobody writes to");
}

TEST_F(ReadingFiles, WaitsForAWriterThatTakesItsTime) {
  const fs::path path = pipe();
  const std::string text(200'000, 'x');  // more than a pipe holds
  std::thread writer([&] {
    std::ofstream out(path);
    out << text << std::flush;
    std::this_thread::sleep_for(std::chrono::milliseconds(2500));  // longer than a writer is waited for
    out << "end";
  });
  EXPECT_EQ(said(path, {.streams = true}), "read: " + text + "end");
  writer.join();
}

TEST_F(ReadingFiles, TakesAnEmptyPipeForAnEmptyFile) {
  const fs::path path = pipe();
  const int keeps_open = ::open(path.c_str(), O_RDWR);
  std::string result;
  std::thread reader([&] { result = said(path, {.streams = true}); });
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  ::close(keeps_open);
  reader.join();
  EXPECT_EQ(result, "read: ");
}

TEST(KindsOfFiles, ShowInTheirFirstBytes) {
  const std::pair<std::string, std::string> kinds[] = {
      {"\x1f\x8b\x08"s, "compressed by gzip"},
      {"\x0e\x03\x13\x01"s, "an HDF4 file"},
      {"CDF\x01"s, "a netCDF file in its classic format"},
      {"CDF\x05"s, "a netCDF file in its CDF-5 format"},
      {"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "a pointer of Git LFS"},
      {"/annex/objects/SHA256E-s1--0.h5\n", "a pointer of git-annex"},
      {"\xef\xbb\xbf\r\n <!DOCTYPE HTML PUBLIC", "an HTML page"},
      {"<HTML><head>", "an HTML page"},
      {"<?xml version=\"1.0\"?><Error>", "an XML document"},
      {"\xff\xfe"
       "a\0"s,
       "UTF-16 text"}};
  for (const auto& [head, name] : kinds) {
    const FileKind* kind = kind_of(head);
    ASSERT_NE(kind, nullptr) << name;
    EXPECT_EQ(kind->name, name);
  }
  for (const char* head : {"", "CDF", "{\"seed\": 1}", ":::MLLOG <html", "<", "x<html>"})
    EXPECT_EQ(kind_of(head), nullptr) << head;
}

TEST(KindsOfFiles, SayHowToComeByWhatWasLookedFor) {
  EXPECT_EQ(remedy_for(*kind_of("\x1f\x8b"), "copy it"), "unpack it (zcat FILE > ITS_NEW_NAME)");
  EXPECT_NE(remedy_for(*kind_of("version https://git-lfs.github.com/spec/v1"), "copy it").find("git lfs pull"),
            std::string::npos);
  EXPECT_EQ(remedy_for(*kind_of("%PDF-1.7"), "copy it"), "copy it");
}

}  // namespace
}  // namespace trainmark

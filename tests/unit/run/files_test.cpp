// Result files are whole or absent.
#include "run/record/files.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>
#include <sstream>

#include "trainmark/core.hpp"

namespace trainmark {
namespace {

namespace fs = std::filesystem;

std::string content_of(const fs::path& path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

class FilesTest : public testing::Test {
 protected:
  fs::path folder = fs::path(testing::TempDir()) / ("trainmark-files-" + std::to_string(getpid()));
  void SetUp() override { fs::create_directories(folder); }
  void TearDown() override { fs::remove_all(folder); }
};

TEST_F(FilesTest, AnAtomicWriteReplacesTheWholeFileAndLeavesNothingElse) {
  write_result(folder / "run.json", "first, and longer");
  write_result(folder / "run.json", "second");
  EXPECT_EQ(content_of(folder / "run.json"), "second");
  EXPECT_EQ(std::distance(fs::directory_iterator(folder), fs::directory_iterator()), 1);
}

TEST_F(FilesTest, AFolderThatIsNotThereIsAnEnvironmentError) {
  try {
    write_result(folder / "missing" / "run.json", "x");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::environment);
    EXPECT_NE(std::string(error.what()).find("missing"), std::string::npos);
  }
}

TEST_F(FilesTest, ATableGrowsByWholeRows) {
  CsvFile table(folder / "steps.csv", "a,b");
  table.rows("1,2\n");
  table.rows("3,4\n5,6\n");
  EXPECT_EQ(content_of(folder / "steps.csv"), "a,b\n1,2\n3,4\n5,6\n");
  CsvFile nowhere;
  nowhere.rows("ignored\n");
}

TEST_F(FilesTest, ATableThatCannotBeClosedHasLostRows) {
  const int descriptor = ::open("/dev/null", O_RDONLY);  // the number that the table will have
  ::close(descriptor);
  CsvFile table(folder / "steps.csv", "a,b");
  ASSERT_EQ(::close(descriptor), 0);
  try {
    table.close();
    FAIL() << "nothing was raised";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::environment);
    EXPECT_NE(std::string(error.what()).find("steps.csv: cannot close: "), std::string::npos) << error.what();
  }
  EXPECT_NO_THROW(table.close()) << "it is told once";
}

}  // namespace
}  // namespace trainmark

// Diagnostics of a rank: whole lines, the levels asked for, bounded files, and no harm where they cannot be written.
#include "run/record/rank_log.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>
#include <regex>
#include <sstream>

namespace trainmark {
namespace {

namespace fs = std::filesystem;

class RankLogTest : public testing::Test {
 protected:
  fs::path folder = fs::path(testing::TempDir()) / ("trainmark-rank-log-" + std::to_string(getpid()));
  void SetUp() override { fs::create_directories(folder / "diagnostics"); }
  void TearDown() override { fs::remove_all(folder); }

  [[nodiscard]] std::vector<std::string> lines(const std::string& file = "rank-0003.log") const {
    std::ifstream text(folder / "diagnostics" / file);
    std::vector<std::string> all;
    for (std::string line; std::getline(text, line);)
      all.push_back(line);
    return all;
  }
};

TEST_F(RankLogTest, TellsTimeLevelRankHostAndPhaseOnEveryLine) {
  const auto log = std::make_shared<RankLog>(LogLevel::debug, 3, "node7");
  const RankLog::InUse in_use(log);
  diagnose_phase("staging");
  diagnose(LogLevel::info, [] { return std::string("before there is a folder"); });
  log->open(folder);
  diagnose_phase("training");
  diagnose(LogLevel::warn, [] { return std::string("two\nlines"); });
  const std::string head = R"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z )";
  const std::vector<std::string> wanted = {head + R"(info rank 3 on node7 \[staging\] before there is a folder)",
                                           head + R"(warning rank 3 on node7 \[training\] two)",
                                           head + R"(warning rank 3 on node7 \[training\] lines)"};
  const std::vector<std::string> found = lines();
  ASSERT_EQ(found.size(), wanted.size());
  for (std::size_t at = 0; at < wanted.size(); ++at)
    EXPECT_TRUE(std::regex_match(found[at], std::regex(wanted[at]))) << found[at];
}

TEST_F(RankLogTest, KeepsTheLevelsAskedForAndAsksForNoOtherText) {
  constexpr LogLevel all[] = {LogLevel::trace, LogLevel::debug, LogLevel::info, LogLevel::warn, LogLevel::error};
  for (const LogLevel least :
       {LogLevel::trace, LogLevel::debug, LogLevel::info, LogLevel::warn, LogLevel::error, LogLevel::off}) {
    SetUp();
    {
      const auto log = std::make_shared<RankLog>(least, 3, "node7");
      const RankLog::InUse in_use(log);
      log->open(folder);
      for (const LogLevel level : all) {
        diagnose(level, [&] {
          EXPECT_GE(level, least) << "text is made for nobody";
          return std::string("said");
        });
      }
    }
    EXPECT_EQ(lines().size(), std::size(all) - static_cast<std::size_t>(least)) << word(least);
    TearDown();
  }
}

TEST_F(RankLogTest, LeavesNoMoreThanTwoFilesOfTheirBoundAndTheLatestLines) {
  constexpr std::size_t bound = 2000;
  {
    RankLog log(LogLevel::info, 3, "node7", bound);
    log.open(folder);
    for (int number = 0; number < 500; ++number)
      log.write(LogLevel::info, "training", "line " + std::to_string(number));
  }
  std::uintmax_t bytes = 0;
  int files = 0;
  for (const auto& entry : fs::directory_iterator(folder / "diagnostics")) {
    bytes += entry.file_size();
    ++files;
  }
  EXPECT_EQ(files, 2);
  EXPECT_LE(bytes, 2 * bound);
  EXPECT_TRUE(lines().back().ends_with("line 499")) << lines().back();
}

TEST_F(RankLogTest, IsTextWhateverBytesAPathHas) {
  {
    RankLog log(LogLevel::info, 3, "node7");
    log.open(folder);
    log.write(LogLevel::info, "staging", "/data/caf\xE9: 3 files");
  }
  ASSERT_EQ(lines().size(), 1U);
  EXPECT_TRUE(lines().front().ends_with("[staging] /data/caf\uFFFD: 3 files")) << lines().front();
}

TEST_F(RankLogTest, IsGivenUpOnAFullDiskWithoutAnyHarm) {
  fs::create_symlink("/dev/full", folder / "diagnostics" / "rank-0003.log");
  RankLog log(LogLevel::info, 3, "node7");
  log.write(LogLevel::info, "initialisation", "early");
  log.open(folder);
  EXPECT_FALSE(log.keeps(LogLevel::error)) << "it goes on as if lines were kept";
  EXPECT_NO_THROW(log.write(LogLevel::info, "training", "late"));
}

TEST_F(RankLogTest, IsGivenUpWhereItsFolderIsNotThere) {
  RankLog log(LogLevel::info, 3, "node7");
  log.open(folder / "missing");
  EXPECT_FALSE(log.keeps(LogLevel::error));
  EXPECT_FALSE(fs::exists(folder / "missing"));
}

TEST(Diagnostics, AreNobodysWithoutAKeeper) {
  diagnose(LogLevel::error, [] {
    ADD_FAILURE() << "there is nobody to make it for";
    return std::string();
  });
}

}  // namespace
}  // namespace trainmark

// Reading what official parsers give up, telling attempts apart, and files that are no logs.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmath>
#include <fstream>
#include <thread>

#include "trainmark/mllog.hpp"

namespace trainmark {
namespace {

namespace fs = std::filesystem;
using namespace std::string_literals;

std::string record(const std::string& key, const std::string& more = {}, const std::string& value = "null") {
  return ":::MLLOG {\"time_ms\": 5, \"key\": \"" + key + "\", \"value\": " + value + ", \"metadata\": {" + more + "}}";
}

std::vector<std::string> keys_of(const LogText& log) {
  std::vector<std::string> keys;
  for (const LogRecord& each : log.records)
    keys.push_back(each.key);
  return keys;
}
using Keys = std::vector<std::string>;

TEST(ReadLog, TakesGluedRecordsApart) {
  const LogText log = read_log("x\n" + record("a") + record("b") + "[1,2]<stdout>:" + record("c") + "\n");
  EXPECT_EQ(keys_of(log), (Keys{"a", "b", "c"}));
  ASSERT_EQ(log.flaws.size(), 1U);
  EXPECT_EQ(log.flaws[0].line, 2);
  EXPECT_FALSE(log.flaws[0].lost);
  EXPECT_EQ(log.flaws[0].message, "holds 3 records glued together");
  EXPECT_EQ(log.records[2].line, 2);
}

TEST(ReadLog, ReadsARecordWithTextBehindItAndSaysSo) {
  const LogText log = read_log(record("a") + " loader: 12 batches\n" + record("b") + " \t\n");
  EXPECT_EQ(keys_of(log), (Keys{"a", "b"}));
  ASSERT_EQ(log.flaws.size(), 1U);
  EXPECT_EQ(log.flaws[0].line, 1);
  EXPECT_FALSE(log.flaws[0].lost);
}

TEST(ReadLog, TakesGluedRecordsApartHoweverDeepTheyNest) {
  const auto nested = [](std::size_t depth) { return std::string(depth, '[') + std::string(depth, ']'); };
  constexpr std::size_t most = 984;  // and the record itself
  for (const std::size_t depth : {std::size_t{1}, most, most + 1}) {
    const LogText log = read_log(record("a", "", nested(depth)) + record("b"));
    EXPECT_EQ(keys_of(log), depth > most ? (Keys{"b"}) : (Keys{"a", "b"})) << depth;
    ASSERT_EQ(log.flaws.size(), 1U);
    EXPECT_EQ(log.flaws[0].lost, depth > most) << depth;
  }
}

TEST(ReadLog, NamesWhatACutRecordStillShows) {
  const std::string whole = record("eval_stop");
  const LogText log =
      read_log(whole.substr(0, whole.size() - 3) + "\n" + whole.substr(0, 20) + record("b") + "\n:::MLLOG");
  EXPECT_EQ(keys_of(log), (Keys{"b"}));
  ASSERT_EQ(log.flaws.size(), 3U);
  EXPECT_TRUE(log.flaws[0].lost);
  EXPECT_EQ(log.flaws[0].key, "eval_stop");
  EXPECT_EQ(log.flaws[0].message, "is cut off");
  EXPECT_EQ(log.flaws[1].line, 2);
  EXPECT_TRUE(log.flaws[1].lost);
  EXPECT_EQ(log.flaws[1].key, "");
  EXPECT_EQ(log.flaws[2].line, 3);
}

TEST(ReadLog, LosesNothingOfProseThatNamesTheToken) {
  EXPECT_TRUE(read_log("grep \":::MLLOG\" a.log\nlines with :::MLLOG-tokens\n").flaws.empty());
  EXPECT_TRUE(read_log("a line\n\nanother\n").flaws.empty());
}

TEST(ReadLog, ReadsATokenWithinAText) {
  const LogText log = read_log(record("note", "", "\"say :::MLLOG {\\\"a\\\": 1}\""));
  EXPECT_EQ(keys_of(log), (Keys{"note"}));
  EXPECT_EQ(log.flaws.size(), 1U);
  const LogText at_the_end = read_log(record("note", "\"a\": \":::MLLOG {\""));
  EXPECT_EQ(keys_of(at_the_end), (Keys{"note"}));
  ASSERT_EQ(at_the_end.flaws.size(), 1U);
  EXPECT_FALSE(at_the_end.flaws[0].lost) << at_the_end.flaws[0].message;
}

TEST(ReadLog, KeepsTagsAndTheFieldsOfAValue) {
  const LogText log =
      read_log("[1,0]<stdout>: " + record("tracked_stats", "\"step\": 3", "{\"throughput\": 170.5, \"list\": [{}]}"));
  ASSERT_EQ(log.records.size(), 1U);
  EXPECT_EQ(log.records[0].tag, "[1,0]<stdout>: ");
  ASSERT_EQ(log.records[0].fields.size(), 1U);
  EXPECT_EQ(log.records[0].fields[0].first, "throughput");
  EXPECT_EQ(std::get<double>(log.records[0].fields[0].second), 170.5);
  EXPECT_EQ(std::get<std::int64_t>(log.records[0].metadata[0].second), 3);
}

TEST(ReadLog, GivesValuesTheirTypes) {
  const auto value = [](const std::string& text) { return read_log(record("a", "", text)).records.at(0).value; };
  EXPECT_TRUE(std::get<bool>(value("true")));
  EXPECT_EQ(std::get<std::vector<double>>(value("[1, 2.5]")), (std::vector<double>{1, 2.5}));
  EXPECT_TRUE(std::holds_alternative<std::monostate>(value("[1, \"x\"]")));
  EXPECT_TRUE(std::holds_alternative<std::monostate>(value("null")));
  EXPECT_EQ(std::get<std::int64_t>(value("9223372036854775807")), 9223372036854775807);
  EXPECT_EQ(std::get<double>(value("-Infinity")), -HUGE_VAL);
}

TEST(ReadLog, LosesRecordsWithoutATimeThatIsOne) {
  for (const char* time : {"1e16", "-1e16", "NaN", "Infinity"}) {
    const LogText log =
        read_log(":::MLLOG {\"time_ms\": "s + time + ", \"key\": \"run_stop\", \"value\": null, \"metadata\": {}}");
    EXPECT_TRUE(log.records.empty()) << time;
    ASSERT_EQ(log.flaws.size(), 1U);
    EXPECT_EQ(log.flaws[0].key, "run_stop");
    EXPECT_NE(log.flaws[0].message.find("no point in time"), std::string::npos);
  }
}

TEST(ReadLog, ReadsATimeInTextAsPythonDoes) {
  const std::pair<const char*, double> times[] = {{"1700000000012", 1700000000012.0},
                                                  {" 1_700.25 ", 1700.25},
                                                  {"+17e2", 1700.0},
                                                  {"-5", -5.0},
                                                  {"1e-400", 0.0},
                                                  {".5", 0.5}};
  for (const auto& [text, time] : times) {
    const LogText log =
        read_log(":::MLLOG {\"time_ms\": \""s + text + "\", \"key\": \"run_stop\", \"value\": null, \"metadata\": {}}");
    ASSERT_EQ(log.records.size(), 1U) << text;
    EXPECT_EQ(log.records[0].time_ms, time) << text;
  }
  for (const char* text : {"1__7", "_17", "17_", "0x17", "1e400", "17 s", "+-17", ""}) {
    EXPECT_TRUE(
        read_log(":::MLLOG {\"time_ms\": \""s + text + "\", \"key\": \"run_stop\", \"value\": null, \"metadata\": {}}")
            .records.empty())
        << text;
  }
}

TEST(ReadLog, TakesNoTextForANumber) {
  const LogText log = read_log(record("a", "", "\"\\u0001number:NaN\""));
  ASSERT_EQ(log.records.size(), 1U);
  EXPECT_EQ(std::get<std::string>(log.records[0].value), "\x02number:NaN");
}

TEST(ReadLog, EndsInTimeOnALineOfTokens) {
  std::string line;
  for (int i = 0; i < 200000; ++i)
    line += ":::MLLOG {\"a\": [";
  EXPECT_EQ(read_log(line).flaws.size(), 64U);
}

std::vector<std::size_t> starts_of(const Keys& keys) {
  std::vector<LogRecord> records(keys.size());
  for (std::size_t i = 0; i < keys.size(); ++i)
    records[i].key = keys[i];
  return attempt_starts(records);
}
using Starts = std::vector<std::size_t>;

TEST(AttemptStarts, AreWhereAHeaderOrAStartComesAgain) {
  EXPECT_EQ(starts_of({}), (Starts{0}));
  EXPECT_EQ(starts_of({"submission_org", "init_start", "init_stop", "run_start", "run_stop"}), (Starts{0}));
  EXPECT_EQ(starts_of({"submission_org", "run_start", "submission_org", "run_start"}), (Starts{0, 2}));
  EXPECT_EQ(starts_of({"submission_org", "init_start", "submission_org"}), (Starts{0, 2}));
  EXPECT_EQ(starts_of({"submission_org", "submission_org", "init_start", "run_start"}), (Starts{0}));
  EXPECT_EQ(starts_of({"init_start", "init_start", "init_stop", "run_start"}), (Starts{0}));
  EXPECT_EQ(starts_of({"init_start", "init_stop", "init_start", "run_start"}), (Starts{0, 2}));
  EXPECT_EQ(starts_of({"init_start", "run_start", "init_start"}), (Starts{0, 2}));
  EXPECT_EQ(starts_of({"run_start", "run_stop", "run_start"}), (Starts{0, 2}));
  EXPECT_EQ(starts_of({"run_start", "run_stop", "submission_org"}), (Starts{0}));
}

TEST(AttemptStarts, IncludeWhatPreparesTheNextRun) {
  EXPECT_EQ(starts_of({"run_start", "run_stop", "cache_clear", "init_start", "run_start"}), (Starts{0, 2}));
  EXPECT_EQ(starts_of({"run_start", "run_stop", "cache_clear", "run_start"}), (Starts{0, 2}));
  EXPECT_EQ(starts_of({"run_start", "run_stop", "staging_start", "staging_stop", "run_start"}), (Starts{0, 2}));
  EXPECT_EQ(starts_of({"seed", "run_start", "epoch_start", "seed", "run_start", "epoch_start"}), (Starts{0, 3}));
  EXPECT_EQ(starts_of({"seed", "run_start", "seed", "epoch_start", "run_start"}), (Starts{0, 4}));
}

std::vector<LogRecord> numbered(const std::vector<std::pair<std::string, int>>& keys) {
  std::vector<LogRecord> records(keys.size());
  for (std::size_t i = 0; i < keys.size(); ++i) {
    records[i].key = keys[i].first;
    if (keys[i].second > 0) records[i].metadata.emplace_back("epoch_num", std::int64_t{keys[i].second});
  }
  return records;
}

TEST(RunsAtOnce, AreToldFromAttempts) {
  EXPECT_EQ(runs_at_once(numbered({{"run_start", 0}, {"run_stop", 0}, {"run_start", 0}, {"run_stop", 0}})), 1);
  EXPECT_EQ(runs_at_once(numbered({{"run_start", 0}, {"run_start", 0}, {"run_stop", 0}, {"run_stop", 0}})), 2);
  EXPECT_EQ(runs_at_once(numbered(
                {{"run_start", 0}, {"run_start", 0}, {"run_start", 0}, {"epoch_start", 1}, {"epoch_start", 1}})),
            3);
  EXPECT_EQ(runs_at_once(numbered(
                {{"run_start", 0}, {"epoch_start", 1}, {"run_start", 0}, {"epoch_start", 1}, {"epoch_start", 2}})),
            1);
  EXPECT_EQ(
      runs_at_once(numbered({{"run_start", 0}, {"init_start", 0}, {"run_start", 0}, {"run_stop", 0}, {"run_stop", 0}})),
      1);
  EXPECT_EQ(runs_at_once(numbered({{"run_start", 0}, {"run_stop", 0}, {"run_stop", 0}, {"run_start", 0}})), 1);
  EXPECT_EQ(runs_at_once(numbered(
                {{"run_start", 0}, {"epoch_start", 1}, {"run_start", 0}, {"epoch_start", 1}, {"run_stop", 0}})),
            1)
      << "one was cut off, and the next one ended";
}

class NoLog : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::temp_directory_path() / ("trainmark-mllog-" + std::to_string(::getpid()));
    fs::create_directories(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }
  fs::path write(const std::string& bytes) {
    std::ofstream(folder_ / "a.log", std::ios::binary) << bytes;
    return folder_ / "a.log";
  }
  std::string refusal(const fs::path& path) {
    try {
      return "read: " + read_log_file(path);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::usage);
      return error.what();
    }
  }
  fs::path folder_;
};

TEST_F(NoLog, IsUnpackedForTheCommandThatWasAsked) {
  const fs::path packed = write("\x1f\x8b\x08\0"s);
  EXPECT_NE(refusal(packed).find("zcat FILE | trainmark report /dev/stdin"), std::string::npos) << refusal(packed);
  try {
    static_cast<void>(judge_file(packed));
    ADD_FAILURE() << "it was judged";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("zcat FILE | trainmark check /dev/stdin"), std::string::npos)
        << error.what();
  }
}

TEST_F(NoLog, IsNamedByItsFirstBytes) {
  const std::pair<std::string, std::string> kinds[] = {{"\x1f\x8b\x08\0"s, "gzip"},
                                                       {"\x1f\x9d\x90x"s, "compress"},
                                                       {"BZh91AY", "bzip2"},
                                                       {"\xfd"
                                                        "7zXZ\0"s,
                                                        "xz"},
                                                       {"\x28\xb5\x2f\xfd", "zstd"},
                                                       {"\x04\x22\x4d\x18", "lz4"},
                                                       {"PK\x03\x04", "zip archive"},
                                                       {"PK\x05\x06", "empty"},
                                                       {"7z\xbc\xaf\x27\x1c", "7z"},
                                                       {std::string(257, 'a') + "ustar", "tar archive"},
                                                       {"\xff\xfe:\0:\0"s, "UTF-16"},
                                                       {"\xfe\xff\0:"s, "UTF-16"},
                                                       {"\xff\xfe\0\0"s, "UTF-32"},
                                                       {"\x89HDF\r\n\x1a\n", "HDF5"},
                                                       {"\x7f"
                                                        "ELF",
                                                        "program"},
                                                       {"abc\0def"s, "binary"},
                                                       {":\0:\0:\0M\0L\0L\0O\0G\0 \0"s, "UTF-16LE"},
                                                       {"\0:\0:\0:\0M\0L\0L\0O\0G\0 "s, "UTF-16BE"}};
  for (const auto& [bytes, name] : kinds) {
    const std::string said = refusal(write(bytes));
    EXPECT_NE(said.find("a.log: is "), std::string::npos) << said;
    EXPECT_NE(said.find(name), std::string::npos) << said;
  }
  EXPECT_NE(refusal(write("\x1f\x8b")).find("zcat FILE | trainmark report /dev/stdin"), std::string::npos);
}

TEST_F(NoLog, IsNoTextWithAHoleOfZeroes) {
  EXPECT_EQ(refusal(write(":::MLLOG x\n\0\0"s)), "read: :::MLLOG x\n\0\0"s);
  EXPECT_EQ(refusal(write("caf\xe9")), "read: caf\xe9");
  EXPECT_EQ(refusal(write("")), "read: ");
}

TEST_F(NoLog, IsAFolderADeviceOrNothing) {
  EXPECT_NE(refusal(folder_).find("is a folder"), std::string::npos);
  EXPECT_NE(refusal("/dev/null").find("is a device"), std::string::npos);
  EXPECT_NE(refusal(folder_ / "none").find("No such file"), std::string::npos);
}

TEST_F(NoLog, IsAPipeThatNobodyWritesTo) {
  ASSERT_EQ(::mkfifo((folder_ / "pipe").c_str(), 0600), 0);
  EXPECT_NE(refusal(folder_ / "pipe").find("nobody writes to"), std::string::npos);
}

TEST_F(NoLog, IsNotAPipeWithAWriter) {
  ASSERT_EQ(::mkfifo((folder_ / "pipe").c_str(), 0600), 0);
  const std::string text(200000, 'x');  // more than a pipe holds
  std::thread writer([&] { std::ofstream(folder_ / "pipe") << text; });
  EXPECT_EQ(refusal(folder_ / "pipe"), "read: " + text);
  writer.join();
}

}  // namespace
}  // namespace trainmark

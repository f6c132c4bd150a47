// Judging logs: the samples pass, and each rule of ours speaks when it should, with the line.
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <regex>
#include <sstream>

#include "trainmark/mllog.hpp"

namespace trainmark {
namespace {

namespace fs = std::filesystem;

std::string text_of(const std::string& name) {
  std::ostringstream text;
  text << std::ifstream(fs::path(TRAINMARK_SOURCE_DIR) / "tests/golden/logs" / name).rdbuf();
  return text.str();
}
const std::string open_log = text_of("hpc_cosmoflow_open_v3.0.txt");
const std::string closed_log = text_of("hpc_cosmoflow_closed_v3.0.txt");

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  const std::size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return text.replace(at, from.size(), to);
}
/// Without the first line that holds `words`.
std::string without(const std::string& text, const std::string& words) {
  const std::size_t at = text.find(words);
  EXPECT_NE(at, std::string::npos) << words;
  const std::size_t begin = text.rfind('\n', at) + 1;
  return text.substr(0, begin) + text.substr(text.find('\n', at) + 1);
}

bool says(const std::vector<Finding>& findings, const std::string& rule, int line = -1) {
  return std::ranges::any_of(findings,
                             [&](const Finding& each) { return each.rule == rule && (line < 0 || each.line == line); });
}

TEST(JudgeLog, FindsNothingWrongWithTheSamples) {
  for (const auto& entry : fs::directory_iterator(fs::path(TRAINMARK_SOURCE_DIR) / "tests/golden/logs")) {
    const Verdict verdict = judge_file(entry.path());
    EXPECT_TRUE(verdict.compliant()) << entry.path() << ": " << verdict.official.front().message;
    EXPECT_TRUE(verdict.sound()) << entry.path() << ":" << verdict.semantic.front().line << ": "
                                 << verdict.semantic.front().message;
  }
}

TEST(JudgeLog, NamesTheLineOfAValueThatBreaksARule) {
  const Verdict verdict = judge_log(replaced(open_log, "\"onprem\"", "\"at home\""));
  EXPECT_TRUE(says(verdict.official, "check", 4));
}

TEST(JudgeLog, TakesTheStatusOfTheFirstRunStop) {
  const std::size_t at = open_log.rfind('\n', open_log.find("\"run_stop\"")) + 1;
  const std::string stop = open_log.substr(at, open_log.find('\n', at) + 1 - at);
  const Verdict verdict = judge_log(open_log + replaced(stop, "success", "aborted"));
  EXPECT_TRUE(says(verdict.semantic, "pairing"));
  EXPECT_FALSE(says(verdict.semantic, "status"));
}

TEST(JudgeLog, LetsOpenFoldsEpochsCountSamples) {
  // "epoch_num": 12 becomes "epoch_num": 1200.
  const auto in_hundreds = [](const std::string& log) {
    return std::regex_replace(log, std::regex("(epoch_num\": \\d+)"), "$&00");
  };
  EXPECT_FALSE(says(judge_log(in_hundreds(text_of("hpc_openfold_closed_v3.0.txt"))).semantic, "epoch_sequence"));
  EXPECT_TRUE(says(judge_log(in_hundreds(open_log)).semantic, "epoch_sequence"));
}

TEST(JudgeLog, WantsTheTargetReached) {
  EXPECT_TRUE(says(judge_log(replaced(open_log, "0.1235", "0.1240000001")).official, "target"));
  EXPECT_TRUE(judge_log(replaced(open_log, "0.1235", "0.124")).compliant());
}

TEST(JudgeLog, TakesATracebackOfTheOfficialCheckerForAFailure) {
  EXPECT_TRUE(says(judge_log(replaced(open_log, "0.1235", "null")).official, "traceback"));
  EXPECT_TRUE(says(judge_log(replaced(open_log, "\"cosmoflow\"", "\"mnist\"")).official, "traceback"));
  EXPECT_TRUE(says(judge_log(replaced(open_log, "\"value\": true, ", "")).official, "traceback"));
}

TEST(JudgeLog, ReadsLinesAsTheOfficialParserDoes) {
  EXPECT_TRUE(judge_log(replaced(open_log, ":::MLLOG ", "[1,0]<stdout>: :::MLLOG ")).compliant());
  EXPECT_TRUE(judge_log("some other output\n" + open_log).compliant());
  EXPECT_TRUE(says(judge_log(replaced(open_log, "}}\n", "}} trailing\n")).official, "parse", 1));
  EXPECT_TRUE(says(judge_log(replaced(open_log, "0.1235", "nan")).official, "parse"));
  EXPECT_FALSE(says(judge_log(replaced(open_log, "0.31", "NaN")).official, "parse"));
  EXPECT_TRUE(says(judge_log("").official, "empty"));
}

TEST(JudgeLog, ReadsNumbersAndTextsThatOnlyPythonTakes) {
  for (const char* text : {"1e400", "-1e400", "\"\\ud800\"", "\"caf\xe9\"", "-Infinity"})
    EXPECT_FALSE(says(judge_log(replaced(open_log, "0.31", text)).official, "parse")) << text;
  for (const char* text : {"1e", "01e400", "-NaN", "{NaN: 1}", "1."})
    EXPECT_TRUE(says(judge_log(replaced(open_log, "0.31", text)).official, "parse")) << text;
}

TEST(JudgeLog, RefusesARecordThatACrashLeftWithZeroBytes) {
  std::string text = open_log;
  text.insert(text.find('\n'), std::string(2, '\0'));
  EXPECT_TRUE(says(judge_log(text).official, "parse", 1));
}

TEST(JudgeLog, NoticesAMetricAfterTheEndOfTheRun) {
  const std::size_t metric = open_log.find(":::MLLOG ", open_log.rfind('\n', open_log.find("0.31")));
  const std::string line = open_log.substr(metric, open_log.find('\n', metric) + 1 - metric);
  EXPECT_FALSE(says(judge_log(open_log).semantic, "phase_order"));
  EXPECT_TRUE(says(judge_log(open_log + line).semantic, "phase_order", 33));
}

TEST(JudgeLog, EndsWhereARuleSetAsksForItself) {
  EXPECT_TRUE(says(judge_log(replaced(closed_log, "\"cosmoflow\"", "\"common\"")).official, "check", 1));
  EXPECT_FALSE(judge_log(replaced(open_log, "\"cosmoflow\"", "\"common\"")).compliant());
}

TEST(JudgeLog, SurvivesAnyNesting) {
  for (const std::size_t depth : {984, 985, 1'000'000}) {
    const std::string value = std::string(depth, '[') + std::string(depth, ']');
    const std::string free =
        ":::MLLOG {\"time_ms\": 1, \"key\": \"free\", \"value\": " + value + ", \"metadata\": {}}\n";
    EXPECT_EQ(says(judge_log(open_log + free).official, "traceback", 33), depth > 984) << depth;
  }
}

TEST(JudgeLog, CountsNoBracketsOfTexts) {
  const std::string text = "\"\\\"" + std::string(2000, '[') + "\"";
  EXPECT_TRUE(
      judge_log(replaced(open_log, "\"onprem\", \"metadata\": {", "\"onprem\", \"metadata\": {\"a\": " + text + ", "))
          .compliant());
}

TEST(JudgeLog, NamesTheValueAsTheLogHasIt) {
  const Verdict verdict = judge_log(replaced(closed_log, "\"value\": 0.024", "\"value\": NaN"));
  ASSERT_EQ(verdict.official.size(), 1U);
  EXPECT_EQ(verdict.official[0].message, "opt_base_learning_rate must be >= 0; found NaN");
}

TEST(JudgeLog, NoticesAnEpochThatEndsAfterTheRun) {
  const std::size_t at = open_log.find(":::MLLOG ", open_log.rfind('\n', open_log.rfind("epoch_stop")));
  const std::string line = open_log.substr(at, open_log.find('\n', at) + 1 - at);
  const Verdict verdict = judge_log(open_log.substr(0, at) + open_log.substr(at + line.size()) + line);
  EXPECT_TRUE(verdict.compliant()) << "the official checker does not mind";
  EXPECT_TRUE(says(verdict.semantic, "phase_order", 32));
}

TEST(JudgeLog, MissesRunStop) {
  const Verdict verdict = judge_log(without(open_log, "run_stop"));
  EXPECT_TRUE(says(verdict.semantic, "run_stop"));
  EXPECT_FALSE(verdict.compliant());
}

TEST(JudgeLog, WantsStatusAndMetricToTellOneStory) {
  EXPECT_TRUE(
      says(judge_log(replaced(open_log, "\"status\": \"success\"", "\"status\": \"aborted\"")).semantic, "status", 32));
  EXPECT_TRUE(says(judge_log(replaced(open_log, "0.1235", "0.2")).semantic, "status"));
  EXPECT_TRUE(
      says(judge_log(replaced(open_log, "\"status\": \"success\"", "\"status\": \"done\"")).semantic, "status"));
}

TEST(JudgeLog, FindsAnHonestAbortedRunShortOfItsTargetOnly) {
  const std::string missed = replaced(open_log, "0.1235", "0.2");
  const Verdict verdict = judge_log(replaced(missed, "\"status\": \"success\"", "\"status\": \"aborted\""));
  ASSERT_EQ(verdict.official.size(), 1U);
  EXPECT_EQ(verdict.official[0].rule, "target");
  EXPECT_TRUE(verdict.semantic.empty()) << verdict.semantic[0].message;
}

TEST(JudgeLog, SaysWhoseRulesItLacks) {
  const std::string resnet = text_of("training_resnet_open_v4.0.txt");
  EXPECT_TRUE(says(judge_log(replaced(resnet, "\"resnet\"", "\"bert\""), "training").official, "unsupported"));
}

TEST(JudgeLog, PairsStartsAndStops) {
  EXPECT_TRUE(says(judge_log(without(open_log, "eval_stop")).semantic, "pairing"));
  EXPECT_TRUE(says(judge_log(without(open_log, "eval_start")).semantic, "pairing"));
  EXPECT_TRUE(says(judge_log(without(open_log, "staging_stop")).semantic, "pairing"));
}

TEST(JudgeLog, CountsEpochsFromOne) {
  std::string text = replaced(open_log, "\"epoch_num\": 1}", "\"epoch_num\": 0}");
  EXPECT_TRUE(says(judge_log(text).semantic, "epoch_sequence", 17));
}

TEST(JudgeLog, NoticesTimeThatGoesBack) {
  EXPECT_TRUE(says(judge_log(replaced(open_log, "1700000000012", "1600000000000")).semantic, "time_order"));
}

TEST(JudgeLog, NoticesAStopMarkedAsAStart) {
  EXPECT_TRUE(says(judge_log(replaced(open_log, "\"INTERVAL_END\", \"key\": \"eval_stop\"",
                                      "\"INTERVAL_START\", \"key\": \"eval_stop\""))
                       .semantic,
                   "event_type"));
}

TEST(JudgeLog, NoticesATargetReachedOnlyAfterTheEnd) {
  const std::string late =
      ":::MLLOG {\"namespace\": \"\", \"time_ms\": 1900000000000, \"event_type\": \"POINT_IN_TIME\", \"key\": "
      "\"eval_error\", \"value\": 0.1, \"metadata\": {\"file\": \"x\", \"lineno\": 1, \"epoch_num\": 4}}\n";
  const Verdict verdict = judge_log(replaced(open_log, "0.1235", "0.2") + late);
  EXPECT_TRUE(says(verdict.semantic, "target_after_stop"));
  EXPECT_TRUE(verdict.compliant()) << "the official checker does not mind";
}

TEST(JudgeLog, RefusesRulesItDoesNotKnow) {
  EXPECT_THROW((void)judge_log(open_log, "hpc", "9.9.9"), Error);
  EXPECT_THROW((void)judge_file("/nonexistent.log"), Error);
}

TEST(ReadLog, GivesRecordsWithTheirLines) {
  const auto records = read_log("noise\n" + open_log).records;
  ASSERT_EQ(records.size(), 32U);
  EXPECT_EQ(records[0].line, 2);
  EXPECT_EQ(std::get<std::string>(records[0].value), "cosmoflow");
  EXPECT_EQ(records.back().metadata[2].first, "status");
}

TEST(ReadLog, KeepsTextAsItWasWritten) {
  const Event event{1,  EventType::point_in_time,       "submission_org", std::string("Zürich :::MLLOG \x01"),
                    {}, std::source_location::current()};
  const auto records = read_log(to_line(event)).records;
  ASSERT_EQ(records.size(), 1U);
  EXPECT_EQ(std::get<std::string>(records[0].value), "Zürich :::MLLOG \x01");
}

TEST(ReadLog, KeepsASeedOf64BitsPositive) {
  const auto records =
      read_log(R"(:::MLLOG {"time_ms": 1, "key": "seed", "value": 18446744073709551615, "metadata": {}})").records;
  ASSERT_EQ(records.size(), 1U);
  EXPECT_EQ(std::get<double>(records[0].value), 18446744073709551615.0);
}

}  // namespace
}  // namespace trainmark

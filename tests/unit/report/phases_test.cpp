// Where a log lacks a record, its own moment is undecided and nothing else moves; clocks that step are named.
#include <gtest/gtest.h>

#include <cmath>

#include "unit/report/report_support.hpp"

namespace trainmark::report_test {
namespace {

/// Three epochs of 2 s and evaluations of 0.5 s with the metric at their end: run_start at line 6, an epoch in each
/// five lines from 7 on, run_stop in line 22.
std::string plain() { return small_log({2000, 2000, 2000}); }

/// The log with another text for one line; without that line for none.
std::string with_line(const std::string& log, int line, const std::string& text) {
  std::istringstream lines(log);
  std::string result, each;
  for (int i = 1; std::getline(lines, each); ++i)
    result += i == line ? text : each + "\n";
  return result;
}

RunReport report_of(const std::string& log) {
  const Folder folder;
  return report_run(folder.write("a.log", log));
}

double at_most(const RunReport& run, const std::string& name) {
  const Figure* figure = run.find(name);
  return figure != nullptr && figure->at_most ? *figure->at_most : std::nan("");
}

void expect_terms(const RunReport& run, double staging, double training, double evaluation, double rest,
                  double undecided) {
  EXPECT_NEAR(run.terms.staging_s, staging, 1e-9);
  EXPECT_NEAR(run.terms.training_s + run.terms.cold_first_epoch_s, training, 1e-9);
  EXPECT_NEAR(run.terms.evaluation_s, evaluation, 1e-9);
  EXPECT_NEAR(run.terms.rest_s, rest, 1e-9);
  EXPECT_NEAR(run.terms.undecided_s, undecided, 1e-9);
  EXPECT_NEAR(run.terms.sum(), run.run_s, 1e-9);
}

TEST(Phases, BoundAnEvaluationWithoutItsStop) {
  const RunReport run =
      report_of(with_line(plain(), 10, ":::MLLOG {\"time_ms\": 4500, \"key\": \"eval_stop\", \"va[rank 5]\n"));
  expect_terms(run, 0, 6, 1.5, 0.25, 0);
  EXPECT_TRUE(notes_say(run, "in no figure: 1, in line 10 (eval_stop)"));
  EXPECT_TRUE(notes_say(run, "eval_start of epoch 1 (line 8) has no eval_stop"));
  EXPECT_FALSE(run.epochs[0].samples_per_s.has_value());
  EXPECT_EQ(run.epochs[1].samples_per_s, 50.0);
  const std::string no_stop = with_line(small_log({2000}), 10, "");
  const RunReport gap = report_of(with_line(no_stop, 10, record(4700, "epoch_stop", "null", "{\"epoch_num\": 1}")));
  expect_terms(gap, 0, 2, 0.5, 0.05, 0.2);
  EXPECT_NEAR(at_most(gap, "term evaluation"), 0.7, 1e-9);
  EXPECT_NEAR(at_most(gap, "term training"), 2.2, 1e-9);
  EXPECT_TRUE(std::isnan(at_most(gap, "term rest")));
  EXPECT_NEAR(value_of(gap, "term undecided"), 0.2, 1e-9);
}

TEST(Phases, BoundAnEvaluationWithoutItsStart) {
  const RunReport run = report_of(with_line(plain(), 13, ""));
  // From the epoch's start to the metric at the evaluation's end, either may be.
  expect_terms(run, 0, 4, 1, 0.25, 2.5);
  EXPECT_NEAR(at_most(run, "term training"), 6.5, 1e-9);
  EXPECT_NEAR(at_most(run, "term evaluation"), 3.5, 1e-9);
  EXPECT_TRUE(notes_say(run,
                        "eval_stop of epoch 2 (line 14) has no eval_start: it began between epoch_start of epoch 2 "
                        "(line 12) and eval_error of epoch 2 (line 13), so 2.500 s are not decided"));
  EXPECT_FALSE(run.epochs[1].samples_per_s.has_value());
  EXPECT_EQ(run.epochs[2].samples_per_s, 50.0);
  EXPECT_EQ(run.epochs[2].evaluation_s, 0.5);
}

TEST(Phases, BoundAnEpochWithoutItsStartOrItsStop) {
  const RunReport without_start = report_of(with_line(plain(), 12, ""));
  expect_terms(without_start, 0, 4, 1.5, 0.25, 2);
  EXPECT_EQ(without_start.epochs.size(), 3U);
  EXPECT_EQ(without_start.epochs[1].number, 2);
  EXPECT_NEAR(at_most(without_start, "term rest"), 2.25, 1e-9);
  const RunReport without_stop = report_of(with_line(plain(), 16, ""));
  expect_terms(without_stop, 0, 6, 1.5, 0.25, 0);
  EXPECT_FALSE(without_stop.epochs[1].whole);
  EXPECT_FALSE(without_stop.epochs[1].samples_per_s.has_value());
  EXPECT_TRUE(notes_say(without_stop, "epoch_start of epoch 2 (line 12) has no epoch_stop"));
}

TEST(Phases, LetAnEpochLastUntilRunStopWhereNothingElseEndsIt) {
  std::string log = plain();
  log = log.substr(0, log.rfind(":::MLLOG")) + record(9500, "epoch_start", "null", "{\"epoch_num\": 4}") +
        record(11500, "run_stop", "null", "{\"status\": \"success\"}");
  const RunReport run = report_of(log);
  expect_terms(run, 0, 8, 1.5, 0, 0);
  EXPECT_TRUE(notes_say(
      run, "epoch_start of epoch 4 (line 22) has no epoch_stop: it is taken to last until run_stop (line 23)"));
  EXPECT_FALSE(run.epochs[3].samples_per_s.has_value());
}

TEST(Phases, BoundStagingWithoutItsStop) {
  const std::string plain_log = small_log({2000});
  const std::size_t behind = plain_log.find(":::MLLOG", plain_log.find("run_start"));
  const std::string log = plain_log.substr(0, behind) + record(2000, "staging_start") + record(3500, "staging_stop") +
                          later(plain_log.substr(behind), 1500);
  const RunReport sound = report_of(log);
  EXPECT_EQ(sound.terms.staging_s, 1.5);
  EXPECT_EQ(value_of(sound, "time to train without staging"), 2.75);
  const RunReport run = report_of(with_line(log, 8, record(3400, "cache_clear")));
  expect_terms(run, 0, 2, 0.5, 0.25, 1.5);
  EXPECT_NEAR(at_most(run, "term staging inside the clock"), 1.5, 1e-9);
  EXPECT_NEAR(at_most(run, "term rest"), 1.75, 1e-9);
  EXPECT_EQ(run.find("time to train without staging"), nullptr);
}

TEST(Phases, BoundStagingBeforeTheClock) {
  const RunReport run = report_of(with_line(small_log({2000}), 5, record(1000, "init_start")));
  EXPECT_EQ(run.staging_outside_s, 0.0);
  EXPECT_NEAR(at_most(run, "staging outside the clock"), 2.0, 1e-9);
  EXPECT_NEAR(at_most(run, "time to train with staging"), run.run_s + 2.0, 1e-9);
}

TEST(Phases, SplitStagingThatRunStartDivides) {
  const std::string log =
      record(0, "staging_start") + record(3000, "run_start") + record(5000, "staging_stop") + record(6000, "run_stop");
  const RunReport run = report_of(log);
  EXPECT_EQ(run.staging_outside_s, 3.0);
  expect_terms(run, 2, 0, 0, 1, 0);
}

TEST(Phases, ReadRecordsGluedTogether) {
  std::string log = plain();
  log.erase(log.find('\n', log.find("eval_error")), 1);
  const RunReport run = report_of(log);
  expect_terms(run, 0, 6, 1.5, 0.25, 0);
  EXPECT_TRUE(notes_say(run, "line 9 holds 2 records glued together"));
  EXPECT_EQ(run.epochs[0].samples_per_s, 50.0);
}

TEST(Phases, CountNoTimeTwiceThatGoesBack) {
  const RunReport run =
      report_of(record(0, "run_start") + record(10000, "x") + record(5000, "y") + record(10000, "run_stop"));
  EXPECT_EQ(run.run_s, 10.0);
  EXPECT_EQ(at_most(run, "run"), 15.0);
  EXPECT_TRUE(notes_say(run, "y (line 3) is 5.000 s before the record above it"));
  EXPECT_TRUE(notes_say(run, "went back 1 times, by 5.000 s in all"));
}

TEST(Phases, BeginWithRunStartsOwnTimeWhateverAClockSaidBefore) {
  const std::string one_ahead = with_line(plain(), 2, record(3600000, "train_samples", "100"));
  const RunReport ahead = report_of(one_ahead);
  EXPECT_EQ(value_of(ahead, "time to train"), 7.75);
  expect_terms(ahead, 0, 6, 1.5, 0.25, 0);
  EXPECT_EQ(ahead.staging_outside_s, 1.0);
  EXPECT_TRUE(notes_say(ahead, "before the run number_of_ranks (line 3) is 3600.000 s before the record above it"));
  const RunReport set_back = report_of(with_line(plain(), 5, record(61000, "staging_stop")));
  EXPECT_EQ(value_of(set_back, "time to train"), 7.75);
  EXPECT_TRUE(notes_say(set_back, "before the run run_start (line 6) is 59.000 s before"));
}

TEST(Phases, EndAtTheFirstOfTwoEndsAndKeepTheWorseWord) {
  const RunReport same = report_of(plain() + record(9800, "run_stop", "null", "{\"status\": \"success\"}"));
  EXPECT_EQ(value_of(same, "time to train"), 7.75);
  EXPECT_TRUE(notes_say(same, "run_stop (line 23) is a second end of this run: the clock stops at the first"));
  const RunReport worse = report_of(plain() + record(10750, "run_stop", "null", "{\"status\": \"aborted\"}"));
  EXPECT_FALSE(worse.target_met);
  EXPECT_EQ(worse.find("time to train"), nullptr);
  EXPECT_EQ(worse.status, "aborted");
  EXPECT_TRUE(notes_say(worse, "(line 23) is a second end of this run, with status aborted"));
  const RunReport unsaid = report_of(plain() + record(9800, "run_stop"));
  EXPECT_EQ(unsaid.status, "success");
  EXPECT_EQ(value_of(unsaid, "time to train"), 7.75);
}

TEST(Phases, OfAnAttemptThatLogsNoStartOfItsOwnAreNoTimeToTrain) {
  for (const char* number : {"1", "2"}) {  // from the beginning, or with the epoch in which the first one was killed
    std::string log = with_line(plain(), 16, "");
    log = with_line(log, 14, "");
    for (int line : {13, 15})  // the second epoch has its start only; then, an hour later, the third
      log = with_line(log, line, "");
    const std::string epoch = fmt::format("\"epoch_num\": {}", number);
    for (std::size_t at; (at = log.find("\"epoch_num\": 3")) != std::string::npos;)
      log.replace(at, 14, epoch);
    const RunReport run = report_of(log);
    EXPECT_FALSE(run.target_met) << log;
    EXPECT_EQ(run.find("time to train"), nullptr);
    EXPECT_EQ(run.find("epochs to target"), nullptr);
    EXPECT_TRUE(notes_say(run, "comes behind epoch 2: an attempt that logs no run_start went on")) << log;
  }
}

TEST(Phases, CountNoEpochsWhereSomeHaveOneNumberAndKeepTheirTimes) {
  std::string log = plain();
  for (std::size_t at; (at = log.find("\"epoch_num\": 3")) != std::string::npos;)
    log.replace(at, 14, "\"epoch_num\": 2");
  const RunReport run = report_of(log);
  EXPECT_EQ(value_of(run, "time to train"), 7.75);
  EXPECT_EQ(run.find("epochs to target"), nullptr);
  EXPECT_EQ(run.epochs[2].metric, 0.1);
  EXPECT_TRUE(notes_say(run, "several alike"));
}

TEST(Phases, CountBlocksByTheirFirstEpochOrByTheirLast) {
  for (const int first : {1, 4}) {
    std::string log = record(0, "submission_benchmark", "\"resnet\"") + record(0, "run_start");
    for (int block = 0; block < 3; ++block) {
      const std::string of = fmt::format("{{\"epoch_num\": {}, \"epoch_count\": 4}}", first + 4 * block);
      log += record(1000 * block, "block_start", "null", of) + record(1000 * block + 900, "block_stop", "null", of) +
             record(1000 * block + 950, "eval_accuracy", block == 2 ? "0.76" : "0.5", of);
    }
    log += record(3000, "run_stop", "null", "{\"status\": \"success\"}");
    EXPECT_EQ(value_of(report_of(log), "epochs to target"), 12.0) << first;
  }
}

TEST(Phases, LetStepsOfAClockBeforeTheRunCancelOut) {
  std::string log = record(0, "submission_benchmark", "\"cosmoflow\"") + record(1000, "staging_start");
  for (int i = 0; i < 5; ++i)
    log += record(11000 + i, "seed", "1") + record(1001 + i, "seed", "1");
  log += record(4000, "staging_stop") + record(5000, "run_start") + record(6000, "run_stop");
  EXPECT_NEAR(report_of(log).staging_outside_s, 3.0, 1e-9);
}

TEST(Phases, CountEpochsThatAreAllNumberedAlikeAsTheyCome) {
  std::string log = plain();
  for (const char* number : {"2", "3"}) {
    const std::string epoch = fmt::format("\"epoch_num\": {}", number);
    for (std::size_t at; (at = log.find(epoch)) != std::string::npos;)
      log.replace(at, epoch.size(), "\"epoch_num\": 1");
  }
  const RunReport run = report_of(log);
  EXPECT_EQ(value_of(run, "epochs to target"), 3.0);
  EXPECT_EQ(value_of(run, "time to train"), 7.75);
  EXPECT_EQ(run.epochs[2].metric, 0.1);
  EXPECT_TRUE(notes_say(run, "all epochs are numbered 1"));
}

TEST(Phases, GiveEpochsNoRateWhileTheClockHasToCatchUp) {
  std::string log = plain();
  const std::size_t second = log.find(":::MLLOG", log.find("epoch_stop"));
  log = log.substr(0, second) + later(log.substr(second), -60000);
  const RunReport run = report_of(log);
  EXPECT_NEAR(run.run_s, 2.5, 1e-9);
  EXPECT_NEAR(at_most(run, "time to train"), 62.5, 1e-9);
  EXPECT_EQ(run.epochs[0].samples_per_s, 50.0);
  EXPECT_FALSE(run.epochs[1].samples_per_s.has_value());
  EXPECT_FALSE(run.epochs[2].samples_per_s.has_value());
  EXPECT_FALSE(run.epochs[0].slow);
}

TEST(Phases, KeepTheRateOfAnEpochWhoseRecordsAreAMillisecondOutOfOrder) {
  std::string log = plain();
  log.insert(log.find(":::MLLOG", log.find("run_start")), record(2001, "x"));
  EXPECT_EQ(report_of(log).epochs[0].samples_per_s.value(), 100.0 / 1.999);
}

TEST(Phases, GiveAnEpochNoRateThatAClockHidesTwoPercentOf) {
  std::string log = plain();
  log.insert(log.find(":::MLLOG", log.find("epoch_start")), record(2040, "x") + record(2000, "y"));
  const RunReport run = report_of(log);
  EXPECT_FALSE(run.epochs[0].samples_per_s.has_value());
  EXPECT_EQ(run.epochs[1].samples_per_s, 50.0);
}

TEST(Phases, NameAGapThatIsLikeNoOther) {
  const RunReport run = report_of(small_log({2000, 2000, 3600000, 2000}));
  EXPECT_TRUE(notes_say(run, "3600.000 s pass before eval_start of line 18, 2.000 s at most elsewhere"));
  EXPECT_FALSE(notes_say(report_of(small_log({2000, 2000, 19000, 2000})), "pass before"));
  EXPECT_FALSE(notes_say(report_of(small_log({60000, 60000, 500000, 60000})), "pass before"));
}

TEST(Phases, GiveTimeAndMetricToTheEpochThatIsNamed) {
  const auto of = [](int epoch) { return fmt::format("{{\"epoch_num\": {}}}", epoch); };
  const std::string log = record(0, "submission_benchmark", "\"cosmoflow\"") + record(0, "train_samples", "100") +
                          record(0, "run_start") + record(0, "epoch_start", "null", of(1)) +
                          record(1000, "epoch_stop", "null", of(1)) + record(1000, "epoch_start", "null", of(2)) +
                          record(1250, "eval_start", "null", of(1)) + record(1500, "eval_error", "0.2", of(1)) +
                          record(1750, "eval_stop", "null", of(1)) + record(2000, "epoch_stop", "null", of(2)) +
                          record(2000, "eval_start", "null", of(2)) + record(2500, "eval_error", "0.1", of(2)) +
                          record(2500, "eval_stop", "null", of(2)) +
                          record(2500, "run_stop", "null", "{\"status\": \"success\"}");
  const RunReport run = report_of(log);
  expect_terms(run, 0, 2, 0.5, 0, 0);
  EXPECT_EQ(value_of(run, "evaluation beside training"), 0.5);
  EXPECT_EQ(run.epochs[0].metric, 0.2);
  EXPECT_EQ(run.epochs[1].metric, 0.1);
  EXPECT_EQ(run.epochs[0].evaluation_s, 0.5);
  EXPECT_EQ(run.epochs[1].train_s, 1.0);
  EXPECT_EQ(value_of(run, "epochs to target"), 2.0);
  EXPECT_TRUE(notes_say(run, "beside training for 0.500 s"));
}

TEST(Phases, CountNoEpochsToTheTargetWhereAMetricNamesAnEpochThatIsNotEvaluatedThere) {
  const std::string reached = record(9500, "eval_error", "0.1", "{\"epoch_num\": 1}");
  const RunReport within = report_of(with_line(plain(), 19, reached));
  EXPECT_EQ(within.find("epochs to target"), nullptr);
  EXPECT_EQ(within.epochs[0].metric, 0.5);
  EXPECT_EQ(within.epochs[2].metric, 0.1);
  EXPECT_EQ(value_of(within, "time to train"), 7.75);
  EXPECT_TRUE(notes_say(within, "eval_error of epoch 1 (line 19) stands in the evaluation of eval_start of epoch 3"));
  // Without evaluations in the log: a second metric of an epoch that others have followed.
  std::string bare = with_line(plain(), 19, reached);
  for (const int line : {8, 10, 13, 15, 18, 20})
    bare = with_line(bare, line, "\n");
  const RunReport behind = report_of(bare);
  EXPECT_EQ(behind.find("epochs to target"), nullptr);
  EXPECT_EQ(behind.epochs[2].metric, 0.1);
  EXPECT_TRUE(notes_say(behind, "eval_error of epoch 1 (line 19) stands behind epoch_start of epoch 3"));
  EXPECT_EQ(value_of(report_of(plain()), "epochs to target"), 3.0);
}

TEST(Phases, PairByNumbersHoweverTheyAreWritten) {
  for (const char* number : {"\"2\"", "2.0"}) {
    const std::string stop =
        with_line(plain(), 16, record(7000, "epoch_stop", "null", fmt::format("{{\"epoch_num\": {}}}", number)));
    EXPECT_EQ(report_of(stop).epochs[1].samples_per_s, 50.0) << number;
  }
}

TEST(Phases, GiveEpochsThatOverlapNoRate) {
  const auto of = [](int epoch) { return fmt::format("{{\"epoch_num\": {}}}", epoch); };
  const RunReport run =
      report_of(record(0, "train_samples", "100") + record(0, "run_start") + record(0, "epoch_start", "null", of(1)) +
                record(1000, "epoch_start", "null", of(2)) + record(2000, "epoch_stop", "null", of(1)) +
                record(4000, "epoch_stop", "null", of(2)) + record(4000, "run_stop"));
  EXPECT_EQ(run.terms.training_s, 4.0);
  EXPECT_EQ(run.find("samples/s median epoch"), nullptr);
  EXPECT_TRUE(notes_say(run, "epochs overlap"));
}

TEST(Phases, LeaveOutTimesThatAreNone) {
  for (const char* time : {"1e308", "NaN", "Infinity", "-1e16"}) {
    std::string log = with_line(
        plain(), 9,
        ":::MLLOG {\"time_ms\": " + std::string(time) + ", \"key\": \"eval_error\", \"value\": 1, \"metadata\": {}}\n");
    const RunReport run = report_of(log);
    EXPECT_NEAR(run.run_s, 7.75, 1e-9) << time;
    EXPECT_TRUE(notes_say(run, "in no figure: 1, in line 9 (eval_error)")) << time;
    EXPECT_FALSE(run.epochs[0].metric.has_value());
    EXPECT_EQ(run.epochs[0].samples_per_s, 50.0) << "a metric bounds nothing";
  }
}

TEST(Phases, RefuseTimesInSeconds) {
  std::string log = plain();
  for (const auto& [from, to] : {std::pair{"\"time_ms\": ", "\"time_ms\": 1700000"}})
    for (std::size_t at = 0; (at = log.find(from, at)) != std::string::npos; at += 20)
      log.replace(at, std::strlen(from), to);
  // 0 s became 17,000,000 in the first record; of seven digits more it is a time of 2023 in seconds.
  log.replace(log.find("17000000"), 8, "1700000000");
  try {
    static_cast<void>(report_of(log));
    FAIL() << "a log in seconds was read";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::usage);
    EXPECT_NE(std::string(error.what()).find("time_ms is 1700000000 in its first record, which is in seconds"),
              std::string::npos);
  }
}

TEST(Phases, BearTimesBelowZero) { EXPECT_EQ(report_of(later(plain(), -1000000)).run_s, 7.75); }

TEST(Phases, SayOfAMetricBeforeAnyEpochThatItIsLeftOut) {
  EXPECT_TRUE(notes_say(report_of(record(0, "run_start") + record(0, "eval_error", "0.1") + record(1, "run_stop")),
                        "1 metrics stand before any epoch"));
}

TEST(Phases, CountNoMoreNotesThanAReaderReads) {
  std::string log = record(0, "run_start");
  for (int i = 0; i < 20; ++i)
    log += record(i, "eval_stop", "null", fmt::format("{{\"epoch_num\": {}}}", i)) + ":::MLLOG {cut\n" +
           record(i, "x") + " and more\n";
  const RunReport run = report_of(log);
  EXPECT_TRUE(notes_say(run, "and 14 more starts without stops"));
  EXPECT_TRUE(notes_say(run, "in no figure: 20, in line 3, 7, 11, 15, 19, 23, 27, 31 ...")) << run.notes[0];
}

TEST(Phases, EndInTimeOnALogThatClosesNothing) {
  std::string log = record(0, "run_start");
  for (int i = 0; i < 20000; ++i)
    log += record(i, "eval_start", "null", fmt::format("{{\"epoch_num\": {}}}", i)) +
           record(i, "epoch_stop", "null", "{\"epoch_num\": -1}");
  EXPECT_FALSE(report_of(log).notes.empty());
}

}  // namespace
}  // namespace trainmark::report_test

// Files that hold more than one run: attempts one after the other, instances, and what several processes print at once.
#include <gtest/gtest.h>

#include "unit/report/report_support.hpp"

namespace trainmark::report_test {
namespace {

constexpr int hour = 3600000;

/// The log without what follows the first line that holds `words`, that line included or not.
std::string cut_before(const std::string& log, const std::string& words) {
  return log.substr(0, log.rfind('\n', log.find(words)) + 1);
}

/// `logs` line by line in turn, each line behind its own tag.
std::string woven(const std::vector<std::string>& logs, const std::vector<std::string>& tags) {
  std::vector<std::istringstream> streams;
  for (const std::string& log : logs)
    streams.emplace_back(log);
  std::string text;
  for (bool more = true; more;) {
    more = false;
    for (std::size_t i = 0; i < streams.size(); ++i) {
      std::string line;
      if (!std::getline(streams[i], line)) continue;
      text += tags[i] + line + "\n";
      more = true;
    }
  }
  return text;
}

const std::vector<std::string> untagged(4);

std::string refusal_of(const std::filesystem::path& path) {
  try {
    static_cast<void>(report_runs(path));
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::usage);
    return error.what();
  }
  return "no refusal";
}

TEST(Attempts, OfARequeuedJobAreRunsOfTheirOwn) {
  const Folder folder;
  const std::string first = cut_before(small_log({2000, 2000, 2000}), "\"epoch_num\": 3");
  const auto runs = report_runs(folder.write("a.log", first + later(small_log({4000, 4000}), hour)));
  ASSERT_EQ(runs.size(), 2U);
  EXPECT_EQ(runs[0].part, "attempt 2 of 2");
  EXPECT_EQ(runs[0].attempt, 2);
  EXPECT_EQ(value_of(runs[0], "attempt"), 2.0);
  EXPECT_EQ(value_of(runs[0], "attempts in the file"), 2.0);
  EXPECT_EQ(value_of(runs[0], "time to train"), 9.25);
  EXPECT_EQ(value_of(runs[0], "term training"), 8.0);
  EXPECT_EQ(runs[0].epochs.size(), 2U);
  EXPECT_TRUE(notes_say(runs[0], "attempt 1 (lines 1 to 16, has no run_stop)"));
  EXPECT_EQ(runs[1].part, "attempt 1 of 2");
  EXPECT_EQ(runs[1].run_s, 5.0);
  EXPECT_EQ(runs[1].find("time to train"), nullptr);
  EXPECT_TRUE(notes_say(runs[1], "attempt 2 (lines 17 to 33, status success)"));
}

TEST(Attempts, ShowTheOneThatMetItsTargetFirst) {
  const Folder folder;
  const std::string text =
      small_log({2000}, false) + later(small_log({3000}), hour) + later(small_log({2000}, false), 2 * hour);
  const auto runs = report_runs(folder.write("a.log", text));
  ASSERT_EQ(runs.size(), 3U);
  EXPECT_EQ(runs[0].attempt, 2);
  EXPECT_EQ(runs[0].status, "success");
  EXPECT_EQ(runs[1].attempt, 1);
  EXPECT_EQ(runs[2].attempt, 3);
}

TEST(Attempts, WithoutAHeaderOfTheirOwnTakeTheFirstOnes) {
  const Folder folder;
  const std::string again = small_log({4000});
  const std::string first = cut_before(small_log({2000, 2000}), "\"eval_error\"");
  const auto runs = report_runs(
      folder.write("a.log", first + later(again.substr(again.find(":::MLLOG", again.find("staging_stop"))), hour)));
  ASSERT_EQ(runs.size(), 2U);
  EXPECT_EQ(runs[0].attempt, 2);
  EXPECT_EQ(runs[0].benchmark, "cosmoflow");
  EXPECT_EQ(value_of(runs[0], "samples/s median epoch"), 25.0);
  EXPECT_EQ(value_of(runs[0], "ranks"), 4.0);
  EXPECT_TRUE(notes_say(runs[0], "has no header"));
}

TEST(Attempts, BeginWhereSettingsComeAgain) {
  const Folder folder;
  std::string again = small_log({4000});
  again = again.substr(again.find('\n') + 1);  // without its submission_benchmark
  const auto runs =
      report_runs(folder.write("a.log", cut_before(small_log({2000, 2000}), "\"eval_error\"") + later(again, hour)));
  ASSERT_EQ(runs.size(), 2U);
  EXPECT_EQ(runs[1].run_s, 2.0) << "the hour between attempts is the first one's";
  EXPECT_EQ(runs[0].staging_outside_s, 1.0);
}

TEST(Attempts, ThatEndBeforeTheRunAreNamedAndNotReported) {
  const Folder folder;
  const std::string begun = record(0, "submission_benchmark", "\"cosmoflow\"") + record(1, "init_start");
  const auto runs = report_runs(folder.write("a.log", begun + later(small_log({4000}), hour)));
  ASSERT_EQ(runs.size(), 1U);
  EXPECT_EQ(runs[0].part, "attempt 2 of 2");
  EXPECT_TRUE(notes_say(runs[0], "attempt 1 (lines 1 to 2, ended before run_start)"));
}

TEST(Attempts, ThatGoOnFromACheckpointHaveNoTimeToTrain) {
  const Folder folder;
  std::string resumed = small_log({2000, 2000});
  for (std::size_t at; (at = resumed.find("\"epoch_num\": 2")) != std::string::npos;)
    resumed.replace(at, 14, "\"epoch_num\": 6");
  for (std::size_t at; (at = resumed.find("\"epoch_num\": 1")) != std::string::npos;)
    resumed.replace(at, 14, "\"epoch_num\": 5");
  const RunReport run = report_run(folder.write("a.log", resumed));
  EXPECT_EQ(run.find("time to train"), nullptr);
  EXPECT_FALSE(run.target_met);
  EXPECT_TRUE(notes_say(run, "training begins with epoch 5"));
}

TEST(Attempts, OfOneLogAreOneWhereItsHeaderStandsAtTheEnd) {
  const Folder folder;
  const std::string text = small_log({2000, 2000}) + record(9000, "submission_org", "\"Example\"");
  const RunReport run = report_run(folder.write("a.log", text));
  EXPECT_EQ(run.organisation, "Example");
  EXPECT_EQ(run.find("attempt"), nullptr);
}

TEST(Attempts, LendTheFilesBesideThemToTheLastOnly) {
  const Folder folder;
  static_cast<void>(folder.write("mlperf.log", small_log({2000}) + later(small_log({2000}), hour)));
  static_cast<void>(folder.write("epochs.csv", "epoch,samples_per_s\n1,7\n"));
  const auto runs = report_runs(folder.path() / "mlperf.log");
  ASSERT_EQ(runs.size(), 2U);
  EXPECT_EQ(value_of(runs[0], "samples/s median epoch"), 50.0);
  EXPECT_EQ(value_of(runs[1], "samples/s median epoch"), 7.0);
}

TEST(Attempts, AnswerForTheirOwnLinesOnly) {
  const Folder folder;
  const std::string cut = ":::MLLOG {\"time_ms\": 3\n";
  const auto runs =
      report_runs(folder.write("a.log", small_log({2000}, false) + cut + later(small_log({2000}), hour) + cut));
  ASSERT_EQ(runs.size(), 2U);
  EXPECT_TRUE(notes_say(runs[1], "in no figure: 1, in line 13;"));
  EXPECT_TRUE(notes_say(runs[0], "in no figure: 1, in line 26;"));
}

TEST(Processes, ThatPrintEachRecordAreReadOnce) {
  const Folder folder;
  const std::string log = small_log({2000, 3000});
  const RunReport run = report_run(folder.write("a.log", woven({log, log, log, log}, untagged)));
  EXPECT_EQ(run.epochs.size(), 2U);
  EXPECT_EQ(value_of(run, "time to train"), 6.25);
  EXPECT_EQ(value_of(run, "term evaluation"), 1.0);
  EXPECT_TRUE(notes_say(run, "each record stands here 4 times"));
}

TEST(Processes, WithTagsAreReadByTheFirst) {
  const Folder folder;
  const std::string log = small_log({2000, 3000});
  const RunReport run =
      report_run(folder.write("a.log", woven({log, later(log, 3)}, {"[1,0]<stdout>: ", "[1,1]<stdout>: "})));
  EXPECT_EQ(value_of(run, "time to train"), 6.25);
  EXPECT_EQ(run.part, "");
  EXPECT_TRUE(notes_say(run, "2 processes print each record of this run: those tagged \"[1,0]<stdout>: \" are read"));
}

TEST(Processes, TimesBeforeTheTokenAreNoTags) {
  const Folder folder;
  std::istringstream lines(small_log({2000, 3000}));
  std::string text;
  int second = 0;
  for (std::string line; std::getline(lines, line);)
    text += fmt::format("[12:00:{:02}] {}\n", second++, line);
  const RunReport run = report_run(folder.write("a.log", text));
  EXPECT_EQ(value_of(run, "time to train"), 6.25);
  EXPECT_TRUE(run.part.empty());
}

TEST(Instances, ThatNameThemselvesAreRunsOfTheirOwn) {
  const Folder folder;
  const auto named = [](std::string log, const std::string& name) {
    for (std::size_t at = 0; (at = log.find("\"metadata\": {", at)) != std::string::npos; at += 13)
      log.insert(at + 13, "\"instance\": " + name + (log[at + 13] == '}' ? "" : ", "));
    return log;
  };
  const std::string header = record(0, "number_of_nodes", "2") + record(0, "accelerators_per_node", "8");
  const auto runs = report_runs(folder.write(
      "a.log",
      woven({named(small_log({2000}, true, header), "7"), named(small_log({4000}, true, header), "8")}, untagged)));
  ASSERT_EQ(runs.size(), 2U);
  EXPECT_EQ(runs[0].part, "instance 7");
  EXPECT_EQ(value_of(runs[0], "time to train"), 2.75);
  EXPECT_EQ(runs[1].part, "instance 8");
  EXPECT_EQ(value_of(runs[1], "time to train"), 4.75);
  EXPECT_EQ(value_of(runs[1], "ranks"), 4.0);
  EXPECT_TRUE(notes_say(runs[1], "2 instances write into this file"));
  EXPECT_TRUE(notes_say(runs[1], "number_of_ranks says 4, nodes x accelerators 16"));
}

TEST(Instances, OfOneTimeHaveNoOlympicMean) {
  const Folder folder;
  std::vector<std::string> logs, tags;
  for (int i = 0; i < 3; ++i) {
    logs.push_back(small_log({2000}, true, record(0, "seed", fmt::format("{}", i))));
    tags.push_back(fmt::format("{}: ", i));
  }
  const auto runs = report_runs(folder.write("a.log", woven(logs, tags)));
  ASSERT_EQ(runs.size(), 3U);
  EXPECT_EQ(runs[2].part, "tagged \"2: \"");
  EXPECT_FALSE(olympic_score(runs).minutes.has_value());
  EXPECT_NE(olympic_score(runs).why_not.find("at the same time"), std::string::npos);
}

TEST(Instances, OneAfterTheOtherHaveOneInWhateverOrderTheyStand) {
  const Folder folder;
  std::vector<std::string> logs, tags;
  for (int i = 0; i < 3; ++i) {
    logs.push_back(later(small_log({2000}, true, record(0, "seed", fmt::format("{}", i))), (3 - i) * hour));
    tags.push_back(fmt::format("{}: ", i));
  }
  const auto runs = report_runs(folder.write("a.log", woven(logs, tags)));
  ASSERT_EQ(runs.size(), 3U);
  EXPECT_NEAR(olympic_score(runs).minutes.value(), 2.75 / 60, 1e-9);
}

/// Of one header and the same number of epochs, which take another time, begin later, or find out other things.
TEST(Processes, ThatTellOtherThingsAreNoCopies) {
  const std::string one = small_log({12000, 12000, 12000}), slower = later(small_log({24000, 24000, 24000}), 3000),
                    other = small_log({12000, 12000, 12000}, false);
  const Folder folder;
  for (const std::string& second : {slower, other}) {
    const auto tagged = report_runs(folder.write("a.log", woven({one, second}, {"0: ", "1: "})));
    ASSERT_EQ(tagged.size(), 2U);
    EXPECT_EQ(value_of(tagged[0], "time to train"), 37.75);
    EXPECT_TRUE(refusal_of(folder.write("b.log", woven({one, second}, untagged))).find("records of 2 runs are mixed") !=
                std::string::npos);
  }
  // Clocks of two nodes may be apart, as long as they stay so.
  const auto skewed = report_runs(folder.write("c.log", woven({one, later(one, 5000)}, {"0: ", "1: "})));
  ASSERT_EQ(skewed.size(), 1U);
  EXPECT_TRUE(notes_say(skewed[0], "2 processes print each record"));
}

/// Of four epochs that each rank logs, its own staging included, and a metric that rank 0 alone prints.
TEST(Processes, NeedNotAllPrintEverythingNorBeThereAtOnce) {
  const std::string whole = small_log({12000, 12000, 12000, 12000});
  std::string quiet, line;
  for (std::istringstream lines(whole); std::getline(lines, line);) {
    if (line.find("eval_error") != std::string::npos) continue;
    const bool staged = line.find("staging_stop") != std::string::npos || line.find("run_start") != std::string::npos;
    quiet += staged ? later(line + "\n", 40000) : line + "\n";
  }
  const Folder folder;
  const auto tagged = report_runs(folder.write("a.log", woven({whole, quiet}, {"0: ", "1: "})));
  ASSERT_EQ(tagged.size(), 1U);
  EXPECT_EQ(value_of(tagged[0], "epochs to target"), 4.0);
  EXPECT_TRUE(notes_say(tagged[0], "2 processes print each record"));
}

TEST(Processes, AreToldApartBySeedsThatNoDoubleHolds) {
  const Folder folder;
  const std::string one = small_log({2000}, true, record(0, "seed", "9007199254740992")),
                    other = small_log({2000}, true, record(0, "seed", "9007199254740993"));
  const auto runs = report_runs(folder.write("a.log", woven({one, other}, {"0: ", "1: "})));
  ASSERT_EQ(runs.size(), 2U);
  EXPECT_EQ(runs[0].facts.seed, "9007199254740992");
  EXPECT_EQ(runs[1].facts.seed, "9007199254740993");
}

TEST(Processes, OfOtherHoursAreNoCopies) {
  const Folder folder;
  const std::string log = small_log({2000});
  for (const int hours : {1, -1}) {
    const auto runs = report_runs(
        folder.write("a.log", woven({later(log, 5 * hour), later(log, (5 + hours) * hour)}, {"0: ", "1: "})));
    EXPECT_EQ(runs.size(), 2U) << hours;
  }
}

TEST(Instances, OnAnotherMachinesNodesHaveNoRateAnAccelerator) {
  const Folder folder;
  std::string log = small_log({2000});
  log.erase(log.find(":::MLLOG", log.find("train_samples")),
            log.find(":::MLLOG", log.find("number_of_ranks")) - log.find(":::MLLOG", log.find("train_samples")));
  const std::string header = record(0, "number_of_nodes", "2") + record(0, "accelerators_per_node", "8");
  EXPECT_EQ(value_of(report_run(folder.write("a.log", header + log)), "samples/s an accelerator"), 50.0 / 16);
  const std::string instance =
      record(0, "number_of_nodes", "2", "{\"instance\": 3}") + record(0, "accelerators_per_node", "8");
  EXPECT_EQ(report_run(folder.write("b.log", instance + log)).find("samples/s an accelerator"), nullptr);
}

TEST(Instances, ThatNothingTellsApartAreRefusedByLine) {
  const Folder folder;
  const std::string one = small_log({2000, 3000}, true, record(0, "seed", "1"));
  const std::string other = small_log({2000, 3000}, true, record(0, "seed", "2"));
  const std::string error = refusal_of(folder.write("a.log", woven({one, other}, untagged)));
  EXPECT_NE(error.find("a.log:14"), std::string::npos) << error;
  EXPECT_NE(error.find("that of line 13"), std::string::npos) << error;
  const std::string longer = small_log({2000, 3000, 1000, 1000}, true, record(0, "seed", "1"));
  EXPECT_NE(refusal_of(folder.write("b.log", woven({one, longer}, untagged))), "no refusal");
}

}  // namespace
}  // namespace trainmark::report_test

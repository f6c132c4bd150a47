// What lies beside a log: tables that are cut or cannot be, files of another run, and copies of whole runs.
#include <gtest/gtest.h>

#include "unit/report/report_support.hpp"

namespace trainmark::report_test {
namespace {

/// Two epochs of 1 s, metrics 0.5 and 0.1, on four ranks at batch 8 with seed 8.
std::string log_of_seed_8() {
  return small_log({1000, 1000}, true, record(0, "seed", "8") + record(0, "global_batch_size", "8"));
}
const std::string head = "epoch,train_s,samples_per_s,wait_for_input_s,eval_metric\n";
const std::string rows = "1,1,80,0.25,0.5\n2,1,90,0.125,0.1\n";

RunReport with(const Folder& folder, const std::string& run_json, const std::string& epochs_csv) {
  static int count = 0;
  const std::string name = fmt::format("r{}", ++count);
  const auto log = folder.write(name + "/mlperf.log", log_of_seed_8());
  (void)folder.write(name + "/run.json", run_json);
  (void)folder.write(name + "/epochs.csv", epochs_csv);
  return report_run(log);
}
const std::string own =
    R"({"status": "success", "figures": {"seed": 8, "ranks": 4, "global_batch_samples": 8, "steps": 8,
  "step_median_s": 0.25, "train_loss": -0.5}})";

TEST(Beside, IsTakenWhereItIsTheRuns) {
  const Folder folder;
  const RunReport run = with(folder, own, head + rows);
  EXPECT_EQ(value_of(run, "steps"), 8.0);
  EXPECT_EQ(run.epochs[0].samples_per_s, 80.0);
  EXPECT_EQ(run.epochs[1].samples_per_s, 90.0);
  EXPECT_FALSE(notes_say(run, "left out"));
}

TEST(Beside, IsLeftOutWhereItIsAnotherRuns) {
  const Folder folder;
  const auto foreign = [&](const std::string& what, const std::string& of, const std::string& by,
                           const std::string& table = head + rows) {
    std::string document = own;
    if (!of.empty()) document.replace(document.find(of), of.size(), by);
    const RunReport run = with(folder, document, table);
    EXPECT_EQ(run.find("steps"), nullptr) << what;
    EXPECT_EQ(run.epochs[0].samples_per_s, 100.0) << what << ": the log's own";
    EXPECT_TRUE(notes_say(run, "what lies beside the log is another run's, and is left out: " + what)) << what;
  };
  foreign("run.json is of seed 7, the log of 8", "\"seed\": 8", "\"seed\": 7");
  foreign("run.json is of ranks 2, the log of 4", "\"ranks\": 4", "\"ranks\": 2");
  foreign("run.json is of global_batch_samples 16, the log of 8", "samples\": 8", "samples\": 16");
  foreign("epochs.csv has the metric 0.4 in epoch 1, the log 0.5", "", "", head + "1,1,80,0.25,0.4\n");
}

TEST(Beside, TakesNoRowThatIsCutOrThereTwice) {
  const Folder folder;
  const RunReport cut = with(folder, own, head + "1,1,80,0.25,0.5\n2,1,9");
  EXPECT_EQ(cut.epochs[0].samples_per_s, 80.0);
  EXPECT_EQ(cut.epochs[1].samples_per_s, 100.0) << "the log's, not 9";
  EXPECT_TRUE(notes_say(cut, "epochs.csv: 1 rows are not whole and were left out"));
  const RunReport twice = with(folder, own, head + rows + "2,1,99.9,0.125,0.1\n");
  EXPECT_EQ(twice.epochs[1].samples_per_s, 100.0);
  EXPECT_TRUE(notes_say(twice, "epochs.csv has 2 rows of epoch 2"));
}

TEST(Beside, TakesNoNumberThatCannotBe) {
  const Folder folder;
  for (const char* rate : {"nan", "inf", "-23.8", "1e999", ""}) {
    const RunReport run = with(folder, own, head + fmt::format("1,1,{},0.25,0.5\n", rate));
    EXPECT_EQ(run.epochs[0].samples_per_s, 100.0) << rate << ": the log's";
  }
  std::string document = own;
  document.replace(document.find("\"steps\": 8"), 10, "\"steps\": -8");
  const RunReport run = with(folder, document, head + rows);
  EXPECT_EQ(run.find("steps"), nullptr);
  EXPECT_TRUE(notes_say(run, "run.json says steps = -8, which cannot be"));
  EXPECT_FALSE(notes_say(run, "train_loss")) << "a loss may be below 0";
}

TEST(Beside, TellsOfFilesThatWereStagedAlready) {
  const Folder folder;
  const auto staged = [&](int reused) {
    const std::string name = fmt::format("s{}", reused);
    (void)folder.write(name + "/run.json", own);
    (void)folder.write(name + "/staging.json",
                       fmt::format(R"({{"splits": {{"train": {{"total_s": 2, "nodes": [{{"copied_bytes": 4194304,
                       "reused_bytes": {}}}]}}}}}})",
                                   reused));
    return report_run(folder.write(name + "/mlperf.log", log_of_seed_8()));
  };
  EXPECT_EQ(value_of(staged(0), "staging rate"), 2.0);
  EXPECT_FALSE(staged(0).facts.found_staged);
  const RunReport run = staged(1048576);
  EXPECT_EQ(run.find("staging rate"), nullptr) << "its seconds hold the hashing of what was there";
  EXPECT_TRUE(notes_say(run, "1.0 MiB of the set were there already"));
}

TEST(OwnLogs, TellTheRateThatTheyMeasured) {
  const Folder folder;
  const auto rate = [&](const std::string& header) {
    std::string log = small_log({1000, 1000}, true, header);
    log.insert(log.rfind(":::MLLOG"), record(5000, "throughput", "80.5", "{\"epoch_num\": 2}"));
    return report_run(folder.write("t.log", log)).epochs[1].samples_per_s;
  };
  EXPECT_EQ(rate(""), 100.0) << "train_samples over the time, which is near it";
  EXPECT_EQ(rate(record(0, "trainmark_config", "\"{}\"")), 80.5) << "epochs of ours may leave samples out";
}

TEST(Counts, ThatAreQuotedAreRead) {
  const Folder folder;
  std::string log = small_log({1000, 1000});
  for (const std::string& value :
       {std::string("\"value\": 100,"), std::string("\"value\": 4,"), std::string("\"value\": 0.1,")}) {
    const std::size_t number = 9;
    log.replace(log.find(value), value.size(),
                "\"value\": \"" + value.substr(number, value.size() - number - 1) + "\",");
  }
  const RunReport run = report_run(folder.write("q.log", log));
  EXPECT_EQ(run.epochs[0].samples_per_s, 100.0);
  EXPECT_EQ(run.facts.processes, 4.0);
  EXPECT_TRUE(run.target_met);
}

TEST(Trees, LeaveOutNoLogWithoutAWord) {
  const Folder folder;
  for (const char* name :
       {"mlperf.log", "a/mlperf.log", "b/mlperf.log.gz", "c/mlperf.log", "c/mlperf.log.gz", "d/result_0.txt.gz"})
    (void)folder.write(name, small_log({1000}));
  std::vector<std::string> found;
  for (const auto& log : find_logs(folder.path()))
    found.push_back(log.lexically_relative(folder.path()).string());
  EXPECT_EQ(found, (std::vector<std::string>{"a/mlperf.log", "b/mlperf.log.gz", "c/mlperf.log", "d/result_0.txt.gz",
                                             "mlperf.log"}))
      << "those below a results folder, and packed ones, whose reading says what to do";
}

TEST(Copies, OfARunCountOnce) {
  const Folder folder;
  std::vector<RunReport> runs;
  for (const char* name : {"a", "b", "a_backup"})
    runs.push_back(report_run(folder.write(fmt::format("{}/mlperf.log", name),
                                           name[0] == 'a' ? log_of_seed_8() : later(log_of_seed_8(), 100'000))));
  runs.push_back(runs[1]);  // named twice
  const std::vector<std::string> said = leave_out_copies(runs);
  ASSERT_EQ(runs.size(), 2U);
  ASSERT_EQ(said.size(), 2U);
  EXPECT_NE(said[0].find("a_backup/mlperf.log is a copy of "), std::string::npos) << said[0];
  EXPECT_NE(said[1].find("b/mlperf.log is a copy of "), std::string::npos) << said[1];
}

TEST(Copies, AreTheOnesWithoutFilesOfTheirOwn) {
  const Folder folder;
  std::vector<RunReport> runs = {report_run(folder.write("package/result_0.txt", log_of_seed_8()))};
  (void)folder.write("runs/run.json", own);
  runs.push_back(report_run(folder.write("runs/mlperf.log", log_of_seed_8())));
  const std::vector<std::string> said = leave_out_copies(runs);
  ASSERT_EQ(runs.size(), 1U);
  EXPECT_EQ(value_of(runs[0], "steps"), 8.0);
  EXPECT_NE(said.at(0).find("result_0.txt is a copy of "), std::string::npos) << said[0];
}

TEST(Copies, AreNotRunsThatDifferInAnything) {
  const Folder folder;
  const RunReport run = report_run(folder.write("a/mlperf.log", log_of_seed_8()));
  std::vector<RunReport> runs(6, run);
  for (std::size_t i = 1; i < runs.size(); ++i)
    runs[i].path = std::to_string(i);
  runs[1].facts.seed = "9";
  runs[2].epochs[1].metric = 0.11;
  runs[3].stop_ms += 1;
  runs[4].configuration = "[]";
  runs[5].path = run.path;
  runs[5].part = "instance 2";
  EXPECT_TRUE(leave_out_copies(runs).empty());
  EXPECT_EQ(runs.size(), 6U);
}

}  // namespace
}  // namespace trainmark::report_test

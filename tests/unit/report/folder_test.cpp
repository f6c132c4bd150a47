// Results folders, runs with slow or cold epochs, broken and missing files, and scores of several runs.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "unit/report/report_support.hpp"

namespace trainmark::report_test {
namespace {

ExitCode code_of(const std::filesystem::path& path) {
  try {
    for (const auto& log : find_logs(path))
      static_cast<void>(report_run(log));
  } catch (const Error& error) {
    return error.code();
  }
  return ExitCode::success;
}

std::vector<RunReport> reports_of(const Folder& folder, std::initializer_list<std::string> logs) {
  std::vector<RunReport> runs;
  for (const std::string& log : logs)
    runs.push_back(report_run(folder.write(fmt::format("{}.log", runs.size()), log)));
  return runs;
}

TEST(Report, TellsTheColdFirstEpochFromTraining) {
  const Folder folder;
  const RunReport run = report_run(folder.write("a.log", small_log({5000, 2000, 2000, 2000})));
  EXPECT_NEAR(run.terms.cold_first_epoch_s, 3.0, 1e-9);
  EXPECT_NEAR(run.terms.training_s, 8.0, 1e-9);
  EXPECT_NEAR(run.terms.evaluation_s, 2.0, 1e-9);
  EXPECT_NEAR(run.terms.rest_s, 0.25, 1e-9);
  EXPECT_NEAR(run.terms.sum(), run.run_s, 1e-9);
}

TEST(Report, NamesOnlyEpochsBeyondOneAndAHalfTimesTheMedian) {
  const Folder folder;
  const RunReport run = report_run(folder.write("a.log", small_log({2000, 3000, 2000, 3001, 2000})));
  EXPECT_FALSE(run.epochs[1].slow);
  EXPECT_TRUE(run.epochs[3].slow);
}

TEST(Report, JudgesABlockByTheTimeOfOneOfItsEpochs) {
  std::string log = record(0, "run_start");
  int time = 0, first = 1;
  for (const auto& [epochs, taken] : {std::pair{4, 8000}, {4, 8000}, {4, 8000}, {1, 2000}, {4, 16000}}) {
    const std::string of = fmt::format("{{\"first_epoch_num\": {}, \"epoch_count\": {}}}", first, epochs);
    log += record(time, "block_start", "null", of) + record(time + taken, "block_stop", "null", of);
    time += taken;
    first += epochs;
  }
  const Folder folder;
  const RunReport run = report_run(folder.write("a.log", log + record(time, "run_stop")));
  ASSERT_EQ(run.epochs.size(), 5U);
  for (std::size_t i = 0; i < 5; ++i)
    EXPECT_EQ(run.epochs[i].slow, i == 4) << i;
}

TEST(Report, StopsReadingAtRunStop) {
  const Folder folder;
  std::string text = small_log({2000, 2000, 2000}, false);
  text += record(90000, "epoch_start") + record(95000, "eval_error", "0.01") + record(99000, "epoch_stop");
  const RunReport run = report_run(folder.write("a.log", text));
  EXPECT_EQ(run.epochs.size(), 3U);
  EXPECT_NEAR(run.run_s, 7.75, 1e-9);
  EXPECT_FALSE(run.target_met);
  EXPECT_EQ(run.find("time to train"), nullptr);
}

TEST(Report, GivesNoTimeToTrainToALogWithoutRunStop) {
  const Folder folder;
  const std::string text = small_log({2000, 2000, 2000});
  const RunReport run = report_run(folder.write("a.log", text.substr(0, text.rfind(":::MLLOG"))));
  EXPECT_FALSE(run.finished);
  EXPECT_EQ(run.find("time to train"), nullptr);
  EXPECT_FALSE(run.epochs.back().samples_per_s.has_value());
}

TEST(Report, WaitsForNoPipeBesideTheLogAndSaysThatItIsLeftOut) {
  const Folder folder;
  const auto log = folder.write("mlperf.log", small_log({2000}));
  ASSERT_EQ(mkfifo((folder.path() / "run.json").c_str(), 0600), 0);
  std::filesystem::create_directory(folder.path() / "epochs.csv");
  const RunReport run = report_run(log);
  EXPECT_TRUE(notes_say(run, "run.json is a named pipe, and was left out"));
  EXPECT_TRUE(notes_say(run, "epochs.csv is a folder, and was left out"));
}

TEST(Report, TakesRatesAndWaitsFromTheFilesBesideTheLog) {
  const Folder folder;
  static_cast<void>(folder.write("mlperf.log", small_log({2000, 2000, 4000})));
  static_cast<void>(folder.write("epochs.csv",
                                 "epoch,train_s,wait_for_input_s,samples_per_s,parameter_hash\n"
                                 "1,2,0.5,60,ab\n2,2,0.25,50,cd\n3,4,0.25,40,ef\n"));
  static_cast<void>(folder.write("run.json", R"({"status": "success", "labels": ["x"],
    "figures": {"steps": 10, "step_median_s": 0.5, "upload_s": 0.25, "upload_exposed_s": 0.125, "target_metric": 0.2}})"));
  static_cast<void>(folder.write("staging.json", R"({"splits": {"train": {"total_s": 2.0, "nodes": [
    {"copied_bytes": 1048576}, {"copied_bytes": 3145728}]}}})"));
  const RunReport run = report_run(find_logs(folder.path()).at(0));
  EXPECT_EQ(value_of(run, "samples/s median epoch"), 50);
  EXPECT_EQ(run.find("samples/s median epoch")->source, FigureSource::measured);
  EXPECT_EQ(value_of(run, "samples/s a rank"), 12.5);
  EXPECT_NEAR(value_of(run, "wait for input share of training"), 12.5, 1e-9);
  EXPECT_NEAR(value_of(run, "steps x median step"), 5.0, 1e-9);
  EXPECT_EQ(run.find("steps x median step")->source, FigureSource::modelled);
  EXPECT_NEAR(value_of(run, "upload a step"), 25.0, 1e-9);
  EXPECT_NEAR(value_of(run, "upload a step, exposed"), 12.5, 1e-9);
  EXPECT_EQ(run.find("upload a step, exposed")->source, FigureSource::measured);
  EXPECT_NEAR(value_of(run, "staging rate"), 2.0, 1e-9);
  EXPECT_EQ(run.target.value(), 0.2);
}

TEST(Report, KnowsStagingBesideTrainingByTheLogAlone) {
  const Folder folder;
  const std::string note =
      "\"staging goes on beside training, inside the clock: it has no interval of its own in the log\"";
  const RunReport run =
      report_run(folder.write("a.log", small_log({2000, 2000}, true, record(0, "trainmark_note", note))));
  EXPECT_TRUE(run.facts.staged_beside);
  EXPECT_EQ(run.find("time to train without staging"), nullptr);
}

TEST(Report, OfStagingBesideTrainingSaysWhatItsTimeIsPartOf) {
  for (const bool beside : {true, false}) {
    const Folder folder;
    static_cast<void>(folder.write("mlperf.log", small_log({2000, 2000, 4000})));
    static_cast<void>(folder.write("run.json", R"({"status": "success", "figures": {"target_metric": 0.2}})"));
    static_cast<void>(folder.write("staging.json", std::string(R"({"mode": ")") + (beside ? "overlap" : "before") +
                                                       R"(", "read_from_source": {"samples": 30},
      "read_from_target": {"samples": 10}, "splits": {"train": {"total_s": 2.0, "nodes": [{"copied_bytes": 1048576}]}}})"));
    const RunReport run = report_run(find_logs(folder.path()).at(0));
    ASSERT_TRUE(run.target_met);
    EXPECT_EQ(run.find("time to train without staging") == nullptr, beside);
    EXPECT_EQ(run.find("samples read from the source") != nullptr, beside);
    EXPECT_EQ(run.find("staging rate") == nullptr, beside) << "of copies that gave way to training";
    if (beside) {
      EXPECT_EQ(value_of(run, "samples read from the target"), 10);
    }
    const auto says = [](const std::string& note) { return note.starts_with("staging went on beside training"); };
    EXPECT_EQ(std::ranges::any_of(run.notes, says), beside);
  }
}

TEST(Report, TellsWhatOnlyTheRunKnows) {
  const Folder folder;
  static_cast<void>(folder.write("mlperf.log", small_log({2000, 2000})));
  static_cast<void>(folder.write("run.json", R"({"status": "success", "figures": {"steps": 10,
    "startup_mpi_s": 0.5, "startup_first_step_s": 1.5, "steps_s": 4.0, "compute_s": 3.0, "exposed_all_reduce_s": 1.0,
    "step_p99_s": 0.75, "energy_j": 2400, "energy_per_sample_j": 25, "last_rank": 3, "last_rank_steps": 7,
    "last_rank_cost_s": 0.5}, "texts": {"last_rank_host": "n7", "last_rank_by": "host", "energy_source": "RAPL packages"}})"));
  const RunReport run = report_run(find_logs(folder.path()).at(0));
  EXPECT_EQ(value_of(run, "start-up, MPI"), 0.5);
  EXPECT_EQ(value_of(run, "start-up, first step"), 1.5);
  EXPECT_EQ(run.find("start-up, backend"), nullptr) << "an older run does not tell";
  EXPECT_NEAR(value_of(run, "mean step"), 400.0, 1e-9);
  EXPECT_NEAR(value_of(run, "mean step, compute"), 300.0, 1e-9);
  EXPECT_NEAR(value_of(run, "mean step, exposed all-reduce"), 100.0, 1e-9);
  EXPECT_NEAR(value_of(run, "99 % of steps within"), 750.0, 1e-9);
  EXPECT_EQ(value_of(run, "energy of training"), 2400);
  EXPECT_EQ(value_of(run, "energy a sample"), 25);
  EXPECT_EQ(run.find("energy to target"), nullptr);
  EXPECT_EQ(run.find("energy of training")->source, FigureSource::measured);
  EXPECT_EQ(std::ranges::count(run.notes,
                               "rank 3 on n7 came last to the sums over ranks in 7 steps, by host: the "
                               "others waited 0.500 s"),
            1);
}

TEST(Report, TellsWhatOfStagingWasWaitingForAnotherRun) {
  const Folder folder;
  EXPECT_EQ(report_run(folder.write("a.log", small_log({2000}))).find("waiting for another run"), nullptr);
  std::string text = small_log({2000, 2000});
  text.insert(text.find(record(1000, "staging_stop")), record(1000, "trainmark_waiting_for_another_run_s", "0.75"));
  const RunReport run = report_run(folder.write("b.log", text));
  EXPECT_EQ(value_of(run, "waiting for another run"), 0.75);
  EXPECT_EQ(run.find("waiting for another run")->source, FigureSource::logged);
  EXPECT_EQ(run.staging_outside_s, 1.0) << "it is a part of staging";
}

TEST(Report, DerivesNoRateFromAnEpochThatFixedWorkEndedIn) {
  const Folder folder;
  static_cast<void>(folder.write("mlperf.log", small_log({2000, 2000, 400}, false)));
  static_cast<void>(folder.write("run.json", R"({"status": "fixed_work_done", "figures": {"samples_per_s": 50,
    "target_metric": 0.5}})"));
  const RunReport run = report_run(find_logs(folder.path()).at(0));
  EXPECT_EQ(run.epochs[0].samples_per_s.value(), 50.0);
  EXPECT_FALSE(run.epochs[2].samples_per_s.has_value());
  EXPECT_EQ(value_of(run, "samples/s over all steps"), 50.0);
  EXPECT_FALSE(run.target_met);
  EXPECT_FALSE(run.target.has_value());
}

TEST(Report, TellsFixedWorkFromARunThatBrokeOffByTheLogAlone) {
  const Folder folder;
  std::string text = small_log({2000, 2000}, false);
  EXPECT_EQ(report_run(folder.write("broken-off.log", text)).status, "aborted");
  const std::string status = "{\"status\": \"aborted\"";
  text.insert(text.rfind(status) + status.size(), ", \"outcome\": \"fixed_work_done\"");
  const RunReport run = report_run(folder.write("fixed.log", text));
  EXPECT_EQ(run.status, "fixed_work_done");
  EXPECT_FALSE(run.target.has_value()) << "nobody aimed at it";
  EXPECT_EQ(std::ranges::count(run.notes, "the run was aborted: there is no time to train"), 0);
  EXPECT_EQ(std::ranges::count(run.notes, "a run for fixed work: it has rates, but no time to train"), 1);
}

TEST(Report, SaysWhyARunEndedAsItsRecordDoes) {
  const Folder folder;
  static_cast<void>(folder.write("mlperf.log", small_log({2000, 2000}, false)));
  static_cast<void>(folder.write("run.json", R"({"status": "failed", "message": "rank 3 on n7: the disk is full"})"));
  const RunReport run = report_run(find_logs(folder.path()).at(0));
  EXPECT_EQ(std::ranges::count(run.notes, "run.json says why: rank 3 on n7: the disk is full"), 1);
  EXPECT_NE(render_text(std::span(&run, 1)).find("the disk is full"), std::string::npos);
}

TEST(Report, SurvivesBrokenFilesBesideTheLog) {
  const Folder folder;
  static_cast<void>(folder.write("mlperf.log", small_log({2000, 2000, 2000})));
  static_cast<void>(folder.write("epochs.csv", "\x01\xff,,\n,\n"));
  static_cast<void>(folder.write("run.json", "{\"figures\": "));
  static_cast<void>(folder.write("staging.json", R"({"splits": {"train": 7, "other": {"nodes": [1, null]}}})"));
  const RunReport run = report_run(find_logs(folder.path()).at(0));
  EXPECT_TRUE(run.target_met);
  EXPECT_FALSE(run.notes.empty());
}

TEST(Report, BearsNumbersThatCountNothing) {
  const Folder folder;
  std::string text = record(0, "submission_benchmark", "\"cosmoflow\"") + record(0, "train_samples", "NaN") +
                     record(0, "number_of_ranks", "-3") + record(0, "run_start") + record(5, "eval_stop");
  for (const char* number : {"1e300", "-7", "NaN", "null", "\"x\""})
    text +=
        record(10, "block_start", "null", fmt::format("{{\"first_epoch_num\": {0}, \"epoch_count\": {0}}}", number)) +
        record(10, "eval_error", number) + record(4, "block_stop");
  text += ":::MLLOG {\"time_ms\": 1e308, \"event_type\": \"POINT_IN_TIME\", \"key\": \"run_stop\", \"value\": null}\n";
  const std::vector runs{report_run(folder.write("a.log", text))};
  EXPECT_EQ(runs[0].epochs.size(), 5U);
  EXPECT_EQ(runs[0].epochs[0].number, 1);
  EXPECT_FALSE(render_text(runs).empty());
  EXPECT_FALSE(render_json(runs).empty());
  EXPECT_EQ(render_html(runs).find("\"nan"), std::string::npos);
}

TEST(Report, RefusesWhatIsNoLogWithTheCodeOfUsage) {
  const Folder folder;
  EXPECT_EQ(code_of(folder.path() / "missing"), ExitCode::usage);
  EXPECT_EQ(code_of(folder.path()), ExitCode::usage);
  EXPECT_EQ(code_of(folder.write("empty.log", "")), ExitCode::usage);
  EXPECT_EQ(code_of(folder.write("prose.log", "nothing\nhere\n")), ExitCode::usage);
  EXPECT_EQ(code_of(folder.write("init.log", record(1, "init_start"))), ExitCode::usage);
}

TEST(Report, TakesAllRunsOfAFolderOfRuns) {
  const Folder folder;
  static_cast<void>(folder.write("b/mlperf.log", small_log({2000})));
  static_cast<void>(folder.write("a/mlperf.log", small_log({2000})));
  const auto logs = find_logs(folder.path());
  ASSERT_EQ(logs.size(), 2U);
  EXPECT_EQ(logs[0], folder.path() / "a/mlperf.log");
}

TEST(Score, DropsTheFastestAndTheSlowest) {
  const Folder folder;
  // Run times: epoch + 0.5 s + 0.25 s.
  const auto runs =
      reports_of(folder, {small_log({29250}), small_log({59250}), small_log({119250}), small_log({9250})});
  EXPECT_NEAR(olympic_score(runs).minutes.value(), (30.0 + 60.0) / 2 / 60, 1e-9);
}

TEST(Score, LetsOneRunMissTheTargetAndNotTwo) {
  const Folder folder;
  const auto one = reports_of(folder, {small_log({59250}), small_log({9250}), small_log({100}, false)});
  EXPECT_NEAR(olympic_score(one).minutes.value(), 1.0, 1e-9);
  const auto two = reports_of(folder, {small_log({59250}), small_log({100}, false), small_log({100}, false)});
  EXPECT_FALSE(olympic_score(two).minutes.has_value());
}

TEST(Score, IsBoundedByClocksThatWentBack) {
  const Folder folder;
  std::string stepped = small_log({59250});
  stepped.insert(stepped.find(":::MLLOG", stepped.find("epoch_start") + 20), record(31000, "x") + record(25000, "y"));
  const auto runs = reports_of(folder, {small_log({29250}), stepped, small_log({119250})});
  const OlympicScore score = olympic_score(runs);
  EXPECT_NEAR(score.minutes.value(), 1.0, 1e-9);
  EXPECT_NEAR(score.at_most.value(), 1.1, 1e-9);
  EXPECT_NE(render_text(runs).find("1.0000, at most 1.1000, min of 3 runs"), std::string::npos);
  EXPECT_FALSE(olympic_score(reports_of(folder, {small_log({1}), small_log({2}), small_log({3})})).at_most.has_value());
}

TEST(Score, RefusesTwoRunsAndMixedConfigurations) {
  const Folder folder;
  const auto two = reports_of(folder, {small_log({100}), small_log({100})});
  EXPECT_FALSE(olympic_score(two).minutes.has_value());
  const auto mixed = reports_of(
      folder, {small_log({100}), small_log({100}), small_log({100}, true, record(0, "global_batch_size", "8"))});
  EXPECT_FALSE(olympic_score(mixed).minutes.has_value());
}

TEST(Score, AveragesRunsThatDifferInTheirSeedOnly) {
  const Folder folder;
  const auto with_seed = [](int seed) {
    return small_log({9250}, true, record(0, "trainmark_config", fmt::format("\"{{\\\"seed\\\": {}}}\"", seed)));
  };
  const auto runs = reports_of(folder, {with_seed(1), with_seed(2), with_seed(3)});
  EXPECT_TRUE(olympic_score(runs).minutes.has_value());
}

}  // namespace
}  // namespace trainmark::report_test

// What is made of a run when it has ended: figures, verdicts, codes and words, by their values.
#include <fmt/core.h>

#include <limits>

#include "concluding.hpp"
#include "run/record/staging_told.hpp"

namespace trainmark {
namespace {

using testing::Concluding;
using testing::Rig;
using testing::stats;
using testing::trained;

LossScale scale_of(float scale, std::int64_t skipped) {
  LossScale now;
  now.scale = scale;
  now.skipped = skipped;
  return now;
}

StagedDataset staged_in(double seconds, double waiting = 0.0) {
  StagedDataset staged;
  staged.seconds = seconds;
  staged.wait_seconds = waiting;
  staged.train.seconds = 0.75 * (seconds - waiting);
  staged.validation.seconds = 0.25 * (seconds - waiting);
  const auto node = [](const char* host, std::int64_t copied, std::int64_t reused) {
    NodeStaging one;
    one.host = host;
    one.bytes_copied = copied;
    one.bytes_reused = reused;
    return one;
  };
  staged.train.nodes = {node("a", 2 << 20, 1 << 20), node("b", 4 << 20, 0)};
  staged.validation.nodes = {node("a", 1 << 20, 0)};
  return staged;
}

TEST_F(Concluding, FixedWorkGivesEveryFigureItsValue) {
  build(Until::steps);
  run_clock(false);
  TrainOutcome outcome = trained();
  outcome.target_met = false;
  outcome.profiled_steps = 2;
  outcome.loss_scale = scale_of(4096.0F, 5);
  const RunOutcome result = rig.recorder->completed(outcome, stats);
  EXPECT_EQ(result.code, ExitCode::success);
  EXPECT_EQ(result.verdict, "not judged (fixed work)");
  EXPECT_EQ(result.results, rig.results->folder());
  EXPECT_EQ(result.epochs, 3);
  EXPECT_EQ(result.steps, 12);
  EXPECT_EQ(result.samples_per_s, 24.0);
  EXPECT_EQ(result.final_metric, 0.1);
  EXPECT_EQ(result.time_to_train_s, 0.0);
  EXPECT_EQ(result.staging_s, 0.0);
  EXPECT_EQ(result.divergence, "");
  if (!writes()) return;
  EXPECT_EQ(record()["status"], "fixed_work_done");
  EXPECT_EQ(record()["exit_code"], 0);
  EXPECT_FALSE(record().contains("message"));
  const nlohmann::json found = figures();
  const std::map<std::string, double> expected = {{"seed", 7},
                                                  {"ranks", world.all().size()},
                                                  {"nodes", 1},
                                                  {"global_batch_samples", 4},
                                                  {"epochs", 3},
                                                  {"steps", 12},
                                                  {"train_s", 4.0},
                                                  {"evaluation_s", 1.5},
                                                  {"first_step_s", 0.875},
                                                  {"step_median_s", 0.25},
                                                  {"wait_for_input_s", 0.25},
                                                  {"upload_s", 0.75},
                                                  {"upload_exposed_s", 0.5},
                                                  {"read_s", 2.5},
                                                  {"read_mib", 3.0},
                                                  {"samples_per_s", 24.0},
                                                  {"target_metric", 0.124},
                                                  {"final_metric", 0.1},
                                                  {"best_metric", 0.0625},
                                                  {"skipped_steps", 5},
                                                  {"loss_scale", 4096},
                                                  {"profiled_steps", 2},
                                                  {"mpi_init_s", world.init_seconds()}};
  for (const auto& [name, value] : expected)
    EXPECT_EQ(found.at(name).get<double>(), value) << name;
  EXPECT_GE(found.at("run_s").get<double>(), 0.004);
  EXPECT_LT(found.at("run_s").get<double>(), 600.0);
  EXPECT_GT(found.at("peak_memory_rank0_mib").get<double>(), 1.0);
  for (const char* absent : {"time_to_train_s", "staging_s", "device_power_mean_rank0_w", "losses_not_finite"})
    EXPECT_FALSE(found.contains(absent)) << absent;
  const nlohmann::json texts = record()["texts"];
  EXPECT_EQ(texts["precision"], "fp32");
  EXPECT_EQ(texts["until"], "steps");
  EXPECT_EQ(texts["metric"], "eval_error");
  EXPECT_EQ(texts["verdict"], "not judged (fixed work)");
}

TEST_F(Concluding, CountsStayWholeNumbers) {
  rig.options.seed = 9007199254740993;  // 2^53 + 1: no double is it
  build(Until::steps);
  run_clock(false);
  TrainOutcome outcome = trained();
  outcome.steps = 9007199254740995;
  outcome.loss_scale = scale_of(1.0F, 9007199254740997);
  static_cast<void>(rig.recorder->completed(outcome, stats));
  if (!writes()) return;
  const nlohmann::json found = figures();
  EXPECT_EQ(found["seed"].get<std::int64_t>(), 9007199254740993);
  EXPECT_EQ(found["steps"].get<std::int64_t>(), 9007199254740995);
  EXPECT_EQ(found["skipped_steps"].get<std::int64_t>(), 9007199254740997);
  for (const char* count : {"seed", "ranks", "nodes", "global_batch_samples", "epochs", "steps", "skipped_steps"})
    EXPECT_TRUE(found[count].is_number_integer()) << count << ": " << found[count];
  EXPECT_TRUE(found["train_s"].is_number_float());
}

TEST_F(Concluding, AMetTargetHasATimeOnEitherSideOfStaging) {
  for (const bool before : {true, false}) {
    Rig staged;
    staged.options.train.until = Until::target;
    staged.options.stage.strategy = Strategy::replicate;
    staged.build();
    staged.timeline->run_start();
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    staged.timeline->run_stop(true);
    staged.recorder->staged(staged_in(120.0, 20.0), before);
    const RunOutcome result = staged.recorder->completed(trained(), stats);
    EXPECT_EQ(result.staging_s, 120.0);
    EXPECT_GE(result.time_to_train_s, 0.004);
    EXPECT_EQ(result.time_to_train_s, staged.timeline->run_seconds());
    if (!staged.results->writes()) continue;
    const nlohmann::json found = staged.json("run.json")["figures"];
    const double time = found["time_to_train_s"].get<double>();
    EXPECT_EQ(time, result.time_to_train_s);
    EXPECT_DOUBLE_EQ(found["time_to_train_with_staging_s"].get<double>(), before ? time + 120.0 : time);
    EXPECT_DOUBLE_EQ(found["time_to_train_without_staging_s"].get<double>(), before ? time : time - 120.0);
    EXPECT_EQ(found["staging_s"], 120.0);
    EXPECT_EQ(found["waiting_for_another_run_s"], 20.0);
    EXPECT_EQ(found["staging_inside_clock"], before ? 0 : 1);
    EXPECT_EQ(found["staged_mib"], 7.0);
    const nlohmann::json files = staged.json("staging.json");
    EXPECT_EQ(files["inside_the_clock"], !before);
    EXPECT_EQ(files["mode"], "before");
    EXPECT_EQ(files["staging_s"], 120.0) << "as in run.json, and as the log's interval";
    EXPECT_EQ(files["waiting_for_another_run_s"], 20.0);
    EXPECT_EQ(files["splits"]["train"]["total_s"], 75.0);
    EXPECT_EQ(files["splits"]["validation"]["total_s"], 25.0);
    EXPECT_EQ(files["splits"]["train"]["nodes"][1]["copied_bytes"], 4 << 20);
    EXPECT_EQ(files["splits"]["train"]["nodes"][0]["reused_bytes"], 1 << 20);
    EXPECT_EQ(files["splits"]["train"]["nodes"][0]["host"], "a");
  }
}

TEST_F(Concluding, StagingBesideTrainingHasNoTimeThatCouldBeTakenAway) {
  for (const bool complete : {true, false}) {
    Rig beside;
    beside.aloud = true;
    beside.options.train.until = Until::target;
    beside.options.stage.strategy = Strategy::replicate;
    beside.options.stage.mode = StageMode::overlap;
    beside.options.stage.target = "/local";
    beside.build();
    beside.timeline->run_start();
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    beside.timeline->run_stop(true);
    StagedDataset staged = staged_in(5.0);
    staged.train.nodes[0].done_seconds = 30.0;
    staged.train.nodes[1].done_seconds = 90.0;
    staged.train.nodes[1].files_missing = complete ? 0 : 2;
    ::testing::internal::CaptureStderr();
    beside.recorder->stages_beside(false);
    beside.recorder->staged_beside(staged, {.at_source = 30, .at_target = 10, .sample_bytes = 100});
    const std::string told = ::testing::internal::GetCapturedStderr();
    static_cast<void>(beside.recorder->completed(trained(), stats));
    if (!beside.results->writes()) continue;
    const std::int64_t ranks = beside.world.all().size();
    EXPECT_NE(told.find("training begins from the source; what /local lacks is copied meanwhile\n"), std::string::npos);
    EXPECT_NE(told.find(complete ? "beside training: all was there after 1 min 30 s; "
                                 : "beside training: training ended before all was there: the next run goes on; "),
              std::string::npos)
        << told;
    EXPECT_NE(told.find(fmt::format("{} of {} samples came from the source\n", 30 * ranks, 40 * ranks)),
              std::string::npos)
        << told;
    const nlohmann::json record = beside.json("run.json"), found = record["figures"];
    EXPECT_EQ(record["texts"]["stage_mode"], "overlap");
    EXPECT_FALSE(found.contains("staging_s"));
    EXPECT_FALSE(found.contains("time_to_train_without_staging_s"));
    EXPECT_EQ(found["time_to_train_with_staging_s"], found["time_to_train_s"]);
    EXPECT_EQ(found["staging_preparation_s"], 5.0);
    EXPECT_EQ(found["staging_inside_clock"], 1);
    EXPECT_EQ(found["staging_complete"], complete ? 1 : 0);
    EXPECT_EQ(found.contains("staging_copy_s"), complete);
    EXPECT_EQ(found["samples_read_from_source"], 30 * ranks);
    EXPECT_EQ(found["samples_read_from_target"], 10 * ranks);
    const nlohmann::json files = beside.json("staging.json");
    EXPECT_EQ(files["mode"], "overlap");
    EXPECT_EQ(files["complete"], complete);
    EXPECT_EQ(files["preparation_s"], 5.0);
    EXPECT_FALSE(files.contains("staging_s"));
    EXPECT_EQ(files["read_from_source"]["bytes"], 3000 * ranks);
    EXPECT_EQ(files["read_from_target"]["samples"], 10 * ranks);
    EXPECT_EQ(files["splits"]["train"]["nodes"][0]["done_s"], 30.0);
    EXPECT_EQ(files["splits"]["train"]["nodes"][1]["done_s"].is_null(), !complete);
  }
}

TEST_F(Concluding, SaysWhatWasStaged) {
  rig.aloud = true;
  rig.options.stage.strategy = Strategy::replicate;
  rig.options.stage.target = "/local";
  build(Until::steps);
  ::testing::internal::CaptureStderr();
  rig.recorder->staged(staged_in(10.0), false);
  const std::string told = ::testing::internal::GetCapturedStderr();
  if (writes()) {
    EXPECT_EQ(told, "staged 7.0 MiB to /local in 10.0 s (inside the clock; 1.0 MiB were there already)\n");
  }
  ::testing::internal::CaptureStderr();
  rig.recorder->staged(staged_in(10.0, 4.0), false);
  const std::string of_waiting = ::testing::internal::GetCapturedStderr();
  if (writes()) {
    EXPECT_NE(
        of_waiting.find(" in 10.0 s (inside the clock; 1.0 MiB were there already; 4.0 s of it waiting for another "
                        "run)\n"),
        std::string::npos)
        << of_waiting;
  }
}

TEST_F(Concluding, SaysWhetherWhatIsReadFitsMemory) {
  rig.aloud = true;
  build(Until::steps);
  Dataset found;
  for (Split* split : {&found.train, &found.validation}) {
    split->manifest.entries = {{"a", 3 << 20, 1, 0, "", 0}, {"b", 5 << 20, 1, 0, "", 0}};
    split->plan = {Strategy::shard, {{1}}, 1};  // this node's part alone counts
  }
  run_clock(false);
  ::testing::internal::CaptureStderr();
  rig.recorder->reads(found);
  const std::string told = ::testing::internal::GetCapturedStderr();
  found.train.manifest.entries[1].bytes = std::int64_t{1} << 50;
  ::testing::internal::CaptureStderr();
  rig.recorder->reads(found);
  EXPECT_EQ(::testing::internal::GetCapturedStderr(), "");
  static_cast<void>(rig.recorder->completed(trained(), stats));
  if (!writes()) return;
  EXPECT_NE(told.find("what this node reads (10.0 MiB) fits its free memory"), std::string::npos) << told;
  EXPECT_EQ(figures()["node_dataset_fits_memory"], 0);
  EXPECT_EQ(figures()["node_dataset_mib"], static_cast<double>((std::int64_t{1} << 50) + (5 << 20)) / 1048576.0);
}

TEST_F(Concluding, WithoutStagingThereIsNothingToSayOfIt) {
  build(Until::target);
  run_clock(true);
  rig.recorder->staged({}, true);
  static_cast<void>(rig.recorder->completed(trained(), stats));
  EXPECT_FALSE(std::filesystem::exists(rig.results->folder() / "staging.json"));
  if (!writes()) return;
  EXPECT_FALSE(figures().contains("staging_s"));
  EXPECT_EQ(figures()["time_to_train_with_staging_s"], figures()["time_to_train_s"]);
}

TEST_F(Concluding, AMissedTargetIsCode6WhateverItsLogSays) {
  build(Until::target);
  run_clock(false);
  TrainOutcome outcome = trained();
  outcome.target_met = false;
  const RunOutcome result = rig.recorder->completed(outcome, stats);
  EXPECT_EQ(result.code, ExitCode::target_missed);
  EXPECT_EQ(result.time_to_train_s, 0.0);
  EXPECT_NE(result.verdict.find("not compliant ("), std::string::npos) << result.verdict;
  if (!writes()) return;
  EXPECT_EQ(record()["status"], "target_missed");
  EXPECT_EQ(record()["exit_code"], 6);
  EXPECT_FALSE(figures().contains("time_to_train_s"));
}

TEST_F(Concluding, ALogThatLacksRecordsIsCode7AndEveryRankSaysSo) {
  rig.aloud = true;
  build(Until::target);
  run_clock(true);
  ::testing::internal::CaptureStderr();
  const RunOutcome result = rig.recorder->completed(trained(), stats);
  const std::string told = ::testing::internal::GetCapturedStderr();
  EXPECT_EQ(result.code, ExitCode::compliance);
  EXPECT_NE(result.verdict.find("not compliant ("), std::string::npos) << result.verdict;
  if (!writes()) return;
  EXPECT_EQ(record()["exit_code"], 7);
  EXPECT_EQ(record()["status"], "success") << "the target was met";
  EXPECT_EQ(record()["texts"]["verdict"], result.verdict);
  EXPECT_NE(told.find("mlperf.log:"), std::string::npos) << told;
}

TEST_F(Concluding, AWholeRunThatMeetsItsTargetIsCompliant) {
  rig.options.train.until = Until::target;
  rig.metric = [](const testing::Seen&) { return 0.0625; };
  const TrainOutcome outcome = rig.train();
  const RunOutcome result = rig.recorder->completed(outcome, rig.input.train->stats());
  EXPECT_EQ(result.verdict, "compliant");
  EXPECT_EQ(result.code, ExitCode::success);
  EXPECT_EQ(result.epochs, 1);
  if (!writes()) return;
  EXPECT_EQ(record()["status"], "success");
  EXPECT_EQ(record()["texts"]["verdict"], "compliant");
  EXPECT_EQ(figures()["final_metric"], 0.0625);
}

TEST_F(Concluding, ADivergedRunThatWentOnSaysSoAndItsJsonIsValid) {
  rig.aloud = true;
  build(Until::epochs);
  run_clock(false);
  TrainOutcome outcome = trained();
  outcome.target_met = false;
  outcome.metric = std::numeric_limits<double>::quiet_NaN();
  outcome.best_metric = std::numeric_limits<double>::infinity();
  outcome.losses_not_finite = 10;
  outcome.first_loss_not_finite = 3;
  outcome.metrics_not_finite = 2;
  ::testing::internal::CaptureStderr();
  const RunOutcome result = rig.recorder->completed(outcome, stats);
  const std::string told = ::testing::internal::GetCapturedStderr();
  const std::string message =
      "the loss was not finite in 10 of 12 steps, first in step 3; eval_error was not finite in 2 of 3 evaluations";
  EXPECT_EQ(result.divergence, message);
  EXPECT_EQ(result.code, ExitCode::success) << "the config asked to go on";
  if (!writes()) return;
  EXPECT_NE(told.find("warning: the run diverged: " + message), std::string::npos) << told;
  EXPECT_EQ(record()["message"], message);
  EXPECT_TRUE(figures()["final_metric"].is_null());
  EXPECT_TRUE(figures()["best_metric"].is_null());
  EXPECT_EQ(figures()["losses_not_finite"], 10);
  EXPECT_EQ(figures()["metrics_not_finite"], 2);
}

TEST_F(Concluding, ADivergedMetricAloneIsNamedAlone) {
  build(Until::epochs);
  run_clock(false);
  TrainOutcome outcome = trained();
  outcome.metrics_not_finite = 1;
  EXPECT_EQ(rig.recorder->completed(outcome, stats).divergence, "eval_error was not finite in 1 of 3 evaluations");
}

TEST_F(Concluding, NoEpochLeavesNoMetric) {
  build(Until::steps);
  run_clock(false);
  TrainOutcome outcome = trained();
  outcome.target_met = false;
  outcome.epochs = 0;
  outcome.train_seconds = 0.0;
  outcome.step_seconds.clear();
  const RunOutcome result = rig.recorder->completed(outcome, stats);
  EXPECT_EQ(result.samples_per_s, 0.0);
  if (!writes()) return;
  EXPECT_FALSE(figures().contains("final_metric"));
  EXPECT_FALSE(figures().contains("best_metric"));
  EXPECT_EQ(figures()["step_median_s"], 0.0);
}

TEST_F(Concluding, EachRankHasItsRow) {
  build(Until::steps);
  run_clock(false);
  TrainOutcome outcome = trained();
  outcome.wait_seconds = world.all().rank() + 0.5;
  outcome.sensors.add({.watts = 400.25, .core_mhz = 1980, .memory_mhz = 2619, .throttled_by = "heat"});
  static_cast<void>(rig.recorder->completed(outcome, stats));
  if (!writes()) return;
  const auto rows = rig.table("ranks.csv");
  ASSERT_EQ(rows.size(), static_cast<std::size_t>(world.all().size()));
  for (std::size_t rank = 0; rank < rows.size(); ++rank) {
    EXPECT_EQ(rows[rank].at("rank"), std::to_string(rank));
    EXPECT_EQ(rows[rank].at("host"), world.host());
    EXPECT_EQ(rows[rank].at("first_step_s"), "0.875000");
    EXPECT_EQ(rows[rank].at("step_median_s"), "0.250000");
    EXPECT_EQ(rows[rank].at("wait_for_input_s"), std::to_string(rank + 0.5));
    EXPECT_EQ(rows[rank].at("read_s"), "2.500000");
    EXPECT_EQ(rows[rank].at("read_mib"), "3.000");
    EXPECT_EQ(rows[rank].at("device_power_mean_w"), "400.2");
    EXPECT_EQ(rows[rank].at("device_clock_min_mhz"), "1980");
    EXPECT_EQ(rows[rank].at("device_throttled_by"), "\"heat\"");
    EXPECT_GT(std::stod(rows[rank].at("peak_memory_mib")), 1.0);
  }
  const nlohmann::json found = figures();
  EXPECT_EQ(found["device_sensor_readings"], 1);
  EXPECT_EQ(found["device_power_mean_rank0_w"], 400.25);
  EXPECT_EQ(found["device_power_max_rank0_w"], 400.25);
  EXPECT_EQ(found["device_clock_mean_rank0_mhz"], 1980);
  EXPECT_EQ(found["device_clock_min_rank0_mhz"], 1980);
  EXPECT_EQ(found["device_memory_clock_rank0_mhz"], 2619);
  EXPECT_EQ(record()["texts"]["device_throttled_by_rank0"], "heat");
}

TEST_F(Concluding, TheStartIsToldByScope) {
  build(Until::steps);
  StartUp start_up(1.5);
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  start_up.was(Scope::backend);
  start_up.add(Scope::planning, 0.25);
  rig.recorder->started(start_up);
  run_clock(false);
  static_cast<void>(rig.recorder->completed(trained(), stats));
  if (!writes()) return;
  EXPECT_EQ(figures()["startup_mpi_s"], 1.5);
  EXPECT_GE(figures()["startup_backend_s"], 0.02);
  EXPECT_EQ(figures()["startup_planning_s"], 0.25);
  EXPECT_EQ(figures()["startup_warm_up_s"], 0.0);
  EXPECT_EQ(figures()["startup_first_step_s"], 0.875);
}

TEST_F(Concluding, TheLabelsSayWhatAResultIsNot) {
  rig.options.submission.generated_data = false;
  build(Until::steps);
  run_clock(false);
  static_cast<void>(rig.recorder->completed(trained(), stats));
  Rig generated;
  generated.build();
  generated.recorder->failed(Error(ExitCode::data, "broken"));
  if (writes()) {
    EXPECT_EQ(record()["labels"], (std::vector<std::string>{"open", "Result not verified by MLCommons Association"}));
  }
  generated.world.all().barrier();
  if (generated.results->writes()) {
    EXPECT_EQ(generated.json("run.json")["labels"][0], "generated data: not an MLPerf result");
  }
}

TEST_F(Concluding, InitialisationSaysWhatWasPlanned) {
  rig.aloud = true;
  build(Until::steps);
  rig.compiled.planning_seconds = 1.5;
  rig.compiled.warm_up_seconds = 2.5;
  const auto node = [](const char* name, const char* op, double seconds, std::int64_t flops, std::int64_t bytes) {
    NodeTime one;
    one.node = name;
    one.op = op;
    one.seconds = seconds;
    one.cost.flops = flops;
    one.cost.bytes = bytes;
    return one;
  };
  rig.compiled.nodes = {node("conv1", "Conv", 0.004, 10, 20), node("reduce0", "AllReduce", 0.003, 0, 5),
                        node("update0", "Update", 0.001, 1, 2)};
  ::testing::internal::CaptureStderr();
  rig.recorder->initialised(rig.compiled, rig.backend);
  const std::string told = ::testing::internal::GetCapturedStderr();
  run_clock(false);
  static_cast<void>(rig.recorder->completed(trained(), stats));
  if (!writes()) return;
  const nlohmann::json found = figures();
  EXPECT_EQ(found["planning_s"], 1.5);
  EXPECT_EQ(found["warm_up_s"], 2.5);
  EXPECT_EQ(found["parameters"], 3) << "two weights and a bias";
  EXPECT_TRUE(found["parameters"].is_number_integer());
  EXPECT_EQ(found["activation_pool_mib"].get<double>() * 1048576.0,
            static_cast<double>(rig.compiled.train->memory().pool_bytes));
  EXPECT_DOUBLE_EQ(found["training_step_gflop_per_rank"].get<double>(),
                   static_cast<double>(cost(rig.compiled.train->graph()).flops) * 1e-9);
  EXPECT_DOUBLE_EQ(found["nodes_s"].get<double>(), 0.008);
  EXPECT_DOUBLE_EQ(found["nodes_update_share"].get<double>(), 0.125);
  EXPECT_DOUBLE_EQ(found["nodes_all_reduce_share"].get<double>(), 0.375);
  const auto rows = rig.table("nodes.csv");
  ASSERT_EQ(rows.size(), 3U);
  EXPECT_EQ(rows[0].at("node"), "conv1");
  EXPECT_EQ(rows[0].at("op"), "Conv");
  EXPECT_EQ(rows[0].at("seconds"), "0.004000000");
  EXPECT_EQ(rows[0].at("share"), "0.500000");
  EXPECT_EQ(rows[0].at("flops"), "10");
  EXPECT_EQ(rows[0].at("bytes"), "20");
  EXPECT_NE(told.find("a step takes 8.000 ms: optimizer 12.5 %, all-reduce 37.5 %, the longest, conv1, 50.0 %"),
            std::string::npos)
      << told;
  EXPECT_NE(told.find("the backend is now spy"), std::string::npos) << "launch() was told of none";
}

}  // namespace
}  // namespace trainmark

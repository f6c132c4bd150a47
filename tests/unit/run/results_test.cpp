// run.json as a run writes it again and again: what is known stays, the first ending is the last word, and only ranks
// that fail alone leave a word of their own.
#include "rig.hpp"

namespace trainmark {
namespace {

using testing::Rig;

RunRecord record(Ending status, ExitCode code = ExitCode::success) {
  RunRecord one;
  one.status = status;
  one.code = code;
  one.labels = {"a label"};
  one.texts["backend"] = "spy";
  one.figures["seed"] = std::int64_t{7};
  return one;
}

TEST(ResultsOfARun, SayRunningUntilTheFirstEndingWhichIsTheLastWord) {
  Rig rig;
  rig.build();
  for (int times = 0; times < 2; ++times) {
    rig.results->conclude(record(Ending::running));
    if (rig.results->writes()) {
      EXPECT_EQ(rig.json("run.json")["status"], "running");
    }
  }
  rig.results->conclude(record(Ending::target_missed, ExitCode::target_missed));
  rig.results->conclude(record(Ending::failed, ExitCode::data));
  if (!rig.results->writes()) return;
  EXPECT_EQ(rig.json("run.json")["status"], "target_missed");
  EXPECT_EQ(rig.json("run.json")["exit_code"], 6);
}

TEST(ResultsOfARun, KeepWhatIsKnownWhereItIsEndedFromOutside) {
  Rig rig;
  rig.build();
  rig.results->conclude(record(Ending::running));
  conclude_on_signal(143, *rig.timeline, *rig.results);
  if (!rig.results->writes()) return;
  const nlohmann::json kept = rig.json("run.json");
  EXPECT_EQ(kept["exit_code"], 143);
  EXPECT_EQ(kept["labels"], nlohmann::json({"a label"}));
  EXPECT_EQ(kept["texts"]["backend"], "spy");
  EXPECT_EQ(kept["figures"]["seed"], 7);
}

TEST(ResultsOfARun, HoldNoWordOfRank0WhichHasRunJsonForIt) {
  Rig rig;
  rig.build();
  rig.world.all().barrier();
  if (rig.results->writes()) {
    rig.recorder->failed(Error(ExitCode::data, "its file is broken"));
    EXPECT_FALSE(rig.results->word_of_a_failed_rank().has_value());
    EXPECT_EQ(rig.json("run.json")["message"], "its file is broken");
  }
  rig.world.all().barrier();
}

TEST(ResultsOfARun, TellWhatEachNodeCopiedAndHowLongThatTook) {
  Rig rig;
  rig.build();
  StagedDataset staged;
  staged.train.nodes = {{.host = "node7",
                         .files_copied = 1,
                         .files_reused = 2,
                         .files_missing = 5,
                         .files_packed = 8,
                         .bytes_copied = 3,
                         .bytes_reused = 4,
                         .bytes_read = 6,
                         .retries = 7,
                         .copy_seconds = 0.5,
                         .verify_seconds = 0.25,
                         .exchange_wait_seconds = 0.125}};
  StageOptions options;
  options.target = "/local";
  rig.results->staging(staged, options, true);
  if (!rig.results->writes()) return;
  nlohmann::json nodes = nlohmann::json::parse(
      R"([{"host": "node7", "files_copied": 1, "files_reused": 2, "files_missing": 5, "files_packed": 8, "copied_bytes": 3,
           "reused_bytes": 4, "source_read_bytes": 6, "source_read_retries": 7, "copy_s": 0.5,
           "exchange_wait_s": 0.125, "verify_s": 0.25}])");
  const nlohmann::json plain = rig.json("staging.json");
  EXPECT_EQ(plain["splits"]["train"]["nodes"], nodes);
  EXPECT_EQ(plain["target"], "/local");
  EXPECT_FALSE(plain.contains("target_why"));
  EXPECT_EQ(plain["verify"], "copy");

  options.verify = Verify::readback;
  options.target_why = "it fits";
  staged.train.nodes[0].bytes_read_back = 3;
  staged.train.nodes[0].bytes_read_back_from_storage = 8;
  staged.train.nodes[0].read_back_seconds = 0.0625;
  rig.results->staging(staged, options, true);
  nodes[0].update({{"read_back_bytes", 3}, {"read_back_from_storage_bytes", 8}, {"read_back_s", 0.0625}});
  EXPECT_EQ(rig.json("staging.json")["splits"]["train"]["nodes"], nodes);
  EXPECT_EQ(rig.json("staging.json")["target_why"], "it fits");
}

TEST(ResultsOfARun, TellHowFastAReaderReads) {
  for (const double seconds : {2.5, 0.0}) {
    Rig rig;
    rig.build();
    rig.timeline->run_start();
    rig.timeline->run_stop(false);
    TrainOutcome outcome;
    outcome.train_seconds = 4.0;
    LoaderStats stats;
    stats.samples = 96;
    stats.read_seconds = seconds;
    static_cast<void>(rig.recorder->completed(outcome, stats));
    if (!rig.results->writes()) continue;
    const nlohmann::json figures = rig.json("run.json")["figures"];
    EXPECT_EQ(figures.contains("samples_per_s_a_reader"), seconds > 0.0);
    if (seconds > 0.0) {
      EXPECT_EQ(figures["samples_per_s_a_reader"], 38.4);
    }
  }
}

TEST(ResultsOfARun, TellWhatWasKeptWhereThatWasAskedFor) {
  for (const std::int64_t asked : {0, 8}) {
    Rig rig;
    rig.build();
    if (asked > 0) rig.recorder->keeps({asked, "enough"});
    rig.timeline->run_start();
    rig.timeline->run_stop(false);
    const LoaderStats stats{.read_seconds = 2.5,
                            .bytes = 60 << 20,
                            .samples = 60,
                            .samples_from_memory = 40,
                            .seconds_from_memory = 0.5,
                            .kept = {.bytes = 3 << 20, .samples = 17}};
    static_cast<void>(rig.recorder->completed(TrainOutcome{}, stats));
    for (const auto& row : rig.table("ranks.csv"))
      EXPECT_EQ(row.at("read_from_memory_mib"), "40.000");
    if (!rig.results->writes()) continue;
    const nlohmann::json figures = rig.json("run.json")["figures"];
    EXPECT_EQ(figures["samples_per_s_a_reader"], 10.0) << "of what it read: copies say nothing of files";
    EXPECT_EQ(figures.contains("kept_mib"), asked > 0);
    if (asked == 0) continue;
    EXPECT_EQ(figures["load_memory_mib"], 8);
    EXPECT_EQ(rig.json("run.json")["texts"]["load_memory_why"], "enough");
    EXPECT_EQ(figures["kept_mib"], 3.0);
    EXPECT_EQ(figures["kept_samples"], 17);
    EXPECT_EQ(figures["read_from_memory_mib"], 40.0);
  }
}

TEST(ResultsOfARun, TellWhereEachRankRan) {
  Placement placement;
  placement.host = "node7";
  placement.rank = 5;
  placement.node_rank = 2;
  placement.cores = {8, 9};
  placement.numa_nodes = {1};
  placement.share.quota = 1.5;
  placement.node_cpus = 64;
  EXPECT_EQ(nlohmann::json::parse(to_json_text(placement)),
            nlohmann::json::parse(R"({"rank": 5, "host": "node7", "rank_on_node": 2, "cpus": [8, 9], "node_cpus": 64,
                                      "cpu_quota": null, "cpu_quota_of": "", "numa_nodes": [1]})"));
  placement.share.quota_source = "1.5 CPUs (cpu.max)";
  EXPECT_EQ(nlohmann::json::parse(to_json_text(placement))["cpu_quota"], 1.5);
}

}  // namespace
}  // namespace trainmark

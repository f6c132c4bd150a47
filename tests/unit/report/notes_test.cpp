// What a report says of one run beside its rates: each figure of run.json under its name, notes of what is not as it
// might seem, and why published results do not stand beside it.
#include <gtest/gtest.h>

#include <map>
#include <nlohmann/json.hpp>

#include "unit/report/report_support.hpp"

namespace trainmark::report_test {
namespace {

/// Of a results folder whose run.json has these figures.
RunReport recorded(const std::string& figures) {
  const Folder folder;
  static_cast<void>(folder.write("run.json", R"({"status": "success", "figures": {)" + figures + "}}"));
  return report_run(folder.write("mlperf.log", small_log({2000, 2000, 2000})));
}

TEST(RecordedFigures, HaveTheNameAndTheUnitOfWhatTheyAre) {
  const struct {
    const char *key, *name, *unit;
    double scale;
  } all[] = {{"startup_mpi_s", "start-up, MPI", "s", 1.0},
             {"startup_dataset_s", "start-up, finding the dataset", "s", 1.0},
             {"startup_backend_s", "start-up, backend", "s", 1.0},
             {"startup_planning_s", "start-up, planning", "s", 1.0},
             {"startup_warm_up_s", "start-up, warm-up", "s", 1.0},
             {"startup_staging_s", "start-up, staging", "s", 1.0},
             {"startup_first_step_s", "start-up, first step", "s", 1.0},
             {"startup_rest_s", "start-up, rest", "s", 1.0},
             {"steps_s", "mean step", "ms", 1e3 / 8},
             {"exposed_input_s", "mean step, exposed input", "ms", 1e3 / 8},
             {"exposed_upload_s", "mean step, exposed upload", "ms", 1e3 / 8},
             {"compute_s", "mean step, compute", "ms", 1e3 / 8},
             {"exposed_all_reduce_s", "mean step, exposed all-reduce", "ms", 1e3 / 8},
             {"host_s", "mean step, host", "ms", 1e3 / 8},
             {"step_p99_s", "99 % of steps within", "ms", 1e3},
             {"step_max_s", "longest step", "ms", 1e3},
             {"energy_j", "energy of training", "J", 1.0},
             {"energy_per_sample_j", "energy a sample", "J", 1.0},
             {"energy_to_target_j", "energy to target", "J", 1.0},
             {"samples_per_s", "samples/s over all steps", "1/s", 1.0}};
  for (const auto& each : all) {
    const RunReport run = recorded(fmt::format("\"steps\": 8, \"{}\": 2.5", each.key));
    const Figure* found = run.find(each.name);
    ASSERT_NE(found, nullptr) << each.name;
    EXPECT_NEAR(found->value, 2.5 * each.scale, 1e-9) << each.name;
    EXPECT_EQ(found->unit, each.unit) << each.name;
    EXPECT_EQ(found->source, FigureSource::measured) << each.name;
    EXPECT_EQ(recorded("\"steps\": 8").find(each.name), nullptr) << "of what was not recorded nothing is told";
  }
  EXPECT_EQ(recorded("\"steps\": 0, \"steps_s\": 2.5").find("mean step"), nullptr) << "no steps have no mean";
}

TEST(RecordedFigures, OfTheLastRankNeedAllThree) {
  const RunReport run = recorded(R"("last_rank": 3, "last_rank_steps": 7, "last_rank_cost_s": 0.5)");
  EXPECT_EQ(value_of(run, "waiting for the last rank"), 0.5);
  for (const char* lacking : {R"("last_rank": 3, "last_rank_steps": 7)", R"("last_rank": 3, "last_rank_cost_s": 1)",
                              R"("last_rank_steps": 7, "last_rank_cost_s": 1)"})
    EXPECT_FALSE(notes_say(recorded(lacking), "came last")) << lacking;
}

TEST(RecordedFigures, HaveStepsAndUploadsWhereBothOfTheirNumbersAreThere) {
  const RunReport run = recorded(R"("steps": 8, "step_median_s": 0.25)");
  EXPECT_EQ(value_of(run, "steps"), 8.0);
  EXPECT_EQ(value_of(run, "median step"), 250.0);
  EXPECT_EQ(run.find("median step")->unit, "ms");
  EXPECT_EQ(recorded(R"("steps": 8)").find("steps"), nullptr);
  EXPECT_EQ(recorded(R"("step_median_s": 0.25)").find("median step"), nullptr);
  EXPECT_EQ(recorded(R"("steps": 8, "upload_s": 0.25)").find("upload a step"), nullptr);
  EXPECT_EQ(recorded(R"("steps": 0, "upload_s": 0.25, "upload_exposed_s": 0)").find("upload a step"), nullptr);
}

RunReport logged(const std::string& log) {
  const Folder folder;
  return report_run(folder.write("a.log", log));
}

TEST(ColdEpoch, IsWhatTheFirstTakesBeyondTheMedianOfTheOthersAndNeverLessThanNothing) {
  EXPECT_EQ(value_of(logged(small_log({5000, 2000, 3000, 9000})), "term cold first epoch"), 2.0);
  EXPECT_EQ(value_of(logged(small_log({1000, 2000, 3000})), "term cold first epoch"), 0.0);
  EXPECT_EQ(value_of(logged(small_log({5000, 2000})), "term cold first epoch"), 0.0) << "one other is no median";
}

TEST(Notes, SayWhereNoColdEpochCanBeTold) {
  const char* few = "fewer than three whole epochs";
  EXPECT_TRUE(notes_say(logged(small_log({2000, 2000})), few));
  EXPECT_FALSE(notes_say(logged(small_log({2000, 2000, 2000})), few));
}

TEST(Notes, NameSlowEpochs) {
  const RunReport run = logged(small_log({2000, 3001, 2000, 2000}));
  EXPECT_TRUE(notes_say(run, "epoch 2 is slow: more than 1.5 x the median"));
  EXPECT_FALSE(notes_say(run, "epoch 1 is slow"));
}

TEST(Notes, CountLostRecordsAndNameTheFirstEight) {
  std::string log = small_log({2000, 2000});
  for (int i = 0; i < 9; ++i) {
    const std::string whole = record(10, "note");
    log += whole.substr(0, whole.size() - 4) + "\n";
    if (i == 7) {
      // 6 records, 5 of each epoch, run_stop: the first that is lost is line 18.
      EXPECT_TRUE(notes_say(logged(log), "are in no figure: 8, in line 18 (note), 19 (note)"));
      EXPECT_TRUE(notes_say(logged(log), "25 (note); what"));
    }
  }
  EXPECT_TRUE(notes_say(logged(log), "are in no figure: 9, in line 18 (note)"));
  EXPECT_TRUE(notes_say(logged(log), "25 (note) ...; what"));
}

TEST(Notes, NameTheFirstEightMendedLinesAndCountTheRest) {
  const auto with_mended = [](int lines) {
    std::string log = small_log({2000, 2000});
    for (int i = 0; i < lines; ++i) {
      std::string whole = record(10, "note");
      whole.insert(whole.size() - 1, " and text");
      log.insert(0, whole);
    }
    return logged(log);
  };
  EXPECT_TRUE(notes_say(with_mended(8), "line 8 holds a record and other text"));
  EXPECT_FALSE(notes_say(with_mended(8), "more such lines"));
  EXPECT_FALSE(notes_say(with_mended(10), "line 9 holds"));
  EXPECT_TRUE(notes_say(with_mended(10), "and 2 more such lines"));
}

TEST(Notes, HoldLogAndRecordAgainstEachOther) {
  const auto status_of = [](const char* beside, bool meets) {
    const Folder folder;
    static_cast<void>(folder.write("run.json", fmt::format("{{\"status\": \"{}\"}}", beside)));
    return report_run(folder.write("mlperf.log", small_log({2000, 2000}, meets)));
  };
  EXPECT_TRUE(notes_say(status_of("success", false), "run.json says success, the log aborted: the log decides"));
  EXPECT_EQ(status_of("success", false).status, "aborted");
  EXPECT_TRUE(notes_say(status_of("failed", true), "run.json says failed, the log success: the log decides"));
  EXPECT_EQ(status_of("failed", false).status, "failed") << "which tells more than the log, and is no contradiction";
  EXPECT_FALSE(notes_say(status_of("failed", false), "the log decides"));
  EXPECT_FALSE(notes_say(status_of("success", true), "the log decides"));
}

TEST(Device, IsTheBackendOfEnvJsonOrElseThePlatform) {
  const auto device = [](const std::string& environment) {
    const Folder folder;
    static_cast<void>(folder.write("env.json", environment));
    return report_run(
               folder.write("mlperf.log", small_log({2000}, true, record(0, "submission_platform", "\"a machine\""))))
        .facts.device;
  };
  EXPECT_EQ(device(R"({"backend": "cpu, tested"
})"),
            "cpu, tested");
  for (const char* none : {"{}", R"({"backend": 7})", R"({"backend": null})", R"({"backend": ["cpu"]})"})
    EXPECT_EQ(device(none), "a machine") << none;
}

/// Every value of a file, one after the other, becomes something else: that costs its figure and nothing more.
TEST(FilesBesideALog, MayHoldAnyValueAnywhere) {
  using Json = nlohmann::json;
  const std::map<std::string, Json> files = {
      {"run.json", Json::parse(R"({"status": "success", "message": "m", "figures": {"steps": 8, "steps_s": 2.5},
        "texts": {"last_rank_host": "n1"}, "labels": ["x"]})")},
      {"staging.json", Json::parse(R"({"mode": "before", "read_from_source": {"samples": 3},
        "read_from_target": {"samples": 5}, "splits": {"train": {"total_s": 2.0, "nodes": [{"copied_bytes": 1048576}]},
        "validation": {"total_s": 1.0, "nodes": [{"copied_bytes": 524288}]}}})")},
      {"env.json", Json::parse(R"({"backend": "cpu", "machine": {"memory": "16 kB"},
        "ranks": [{"host": "a", "cpus": [0, 1], "cpu_quota": 1.5, "node_cpus": 4}]})")}};
  const auto reported = [&](const std::string& changed, const Json& document) {
    const Folder folder;
    for (const auto& [name, whole] : files)
      static_cast<void>(folder.write(name, name == changed ? document.dump() : whole.dump()));
    return report_run(folder.write("mlperf.log", small_log({2000, 2000, 2000})));
  };
  const RunReport whole = reported("", {});
  EXPECT_EQ(value_of(whole, "mean step"), 312.5);
  EXPECT_EQ(value_of(whole, "staged"), 1.5);
  EXPECT_EQ(value_of(whole, "staging rate"), 0.5) << "1.5 MiB in 3 s";
  EXPECT_EQ(whole.facts.node_cpus, 1.5);
  for (const auto& [name, document] : files) {
    const Json flat = document.flatten();
    for (const auto& [pointer, value] : flat.items()) {
      for (Json::json_pointer at(pointer); !at.empty(); at.pop_back()) {  // and all that it lies in
        for (const Json& other :
             {Json("text"), Json(nullptr), Json(-1.0), Json::array({1}), Json::object(), Json(true)}) {
          Json spoilt = document;
          spoilt[at] = other;
          const RunReport run = reported(name, spoilt);
          EXPECT_EQ(value_of(run, "samples/s median epoch"), 50.0) << name << at << " is " << other;
        }
      }
    }
  }
}

TEST(MemoryOfANode, IsTheOneOfEnvJson) {
  const auto memory = [](const std::string& machine) {
    const Folder folder;
    static_cast<void>(folder.write("env.json", "{\"machine\": " + machine + "}"));
    return report_run(folder.write("mlperf.log", small_log({2000, 2000}))).facts.memory_bytes;
  };
  EXPECT_EQ(memory(R"({"memory": "24684084 kB"})"), 24684084.0 * 1024.0);
  for (const char* none : {"7", "{}", R"({"memory": 7})", R"({"memory": "24684084"})", R"({"memory": "0 kB"})",
                           R"({"memory": "-5 kB"})", R"({"memory": "x kB"})", R"({"memory": "7 kB more"})"})
    EXPECT_EQ(memory(none), std::nullopt) << none;
}

TEST(Comparable, AreRunsOfTheBenchmarksOwnNetworkSetAndDivision) {
  const auto why = [](const std::string& workload, int samples, const std::string& division, const std::string& model) {
    std::string log = small_log({2000, 2000}, true,
                                (division.empty() ? "" : record(0, "submission_division", '"' + division + '"')) +
                                    record(0, "trainmark_config", R"("{\"model\": {)" + model + R"(}}")"));
    log.replace(log.find("cosmoflow"), 9, workload);
    log.replace(log.find("\"value\": 100,"), 12, fmt::format("\"value\": {}", samples));
    return logged(log).incomparable;
  };
  using Reasons = std::vector<std::string>;
  EXPECT_EQ(why("cosmoflow", 524288, "closed", R"(\"extent\": 128, \"width\": 1)"), Reasons{});
  EXPECT_EQ(why("cosmoflow", 262144, "open", ""), Reasons{}) << "0.7 had half of them";
  EXPECT_EQ(why("cosmoflow", 262143, "closed", ""), Reasons{"262143 training samples, not 524288"});
  EXPECT_EQ(why("cosmoflow", 524288, "closed", R"(\"extent\": 64, \"width\": 0.5)"),
            (Reasons{"another network: extent 64, not 128", "another network: width 0.5, not 1"}));
  EXPECT_EQ(why("cosmoflow", 524288, "", ""), Reasons{"of no named division"});
  EXPECT_EQ(why("deepcam", 121266, "closed", R"(\"rows\": 768, \"columns\": 1152)"), Reasons{});
  EXPECT_EQ(why("deepcam", 121265, "closed", R"(\"rows\": 32)"),
            (Reasons{"another network: rows 32, not 768", "121265 training samples, not 121266"}));
  EXPECT_EQ(why("resnet", 1281167, "closed", R"(\"classes\": 10)"), Reasons{"another network: classes 10, not 1000"});
  EXPECT_EQ(why("oc20", 524288, "closed", ""),
            Reasons{"the published results kept here are of cosmoflow, deepcam and resnet, this is oc20"});
}

TEST(SamplesOfARun, HaveTheirSizeRaw) {
  const auto bytes = [](const std::string& workload, const std::string& model) {
    std::string log =
        small_log({2000, 2000}, true, record(0, "trainmark_config", R"("{\"model\": {)" + model + R"(}}")"));
    log.replace(log.find("cosmoflow"), 9, workload);
    return logged(log).facts.sample_bytes;
  };
  EXPECT_EQ(bytes("cosmoflow", ""), 128.0 * 128 * 128 * 4 * 2 + 16);
  EXPECT_EQ(bytes("cosmoflow", R"(\"extent\": 32)"), 32.0 * 32 * 32 * 4 * 2 + 16);
  EXPECT_EQ(bytes("deepcam", ""), 768.0 * 1152 * (16 * 4 + 1));
  EXPECT_EQ(bytes("deepcam", R"(\"rows\": 8, \"columns\": 4)"), 8.0 * 4 * 65);
  EXPECT_EQ(bytes("resnet", ""), std::nullopt);
}

}  // namespace
}  // namespace trainmark::report_test

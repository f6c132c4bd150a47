// What a rate rests on, and when there is none; targets and what is called logged.
#include <gtest/gtest.h>

#include "unit/report/report_support.hpp"

namespace trainmark::report_test {
namespace {

/// Four epochs of 60 s whose numbers grow by `step`, with a throughput in tracked_stats if it is above 0.
std::string numbered(double step, double throughput, int batch = 256, const std::string& benchmark = "openfold",
                     double first = 1.0) {
  std::string log = record(0, "submission_benchmark", '"' + benchmark + '"') + record(0, "train_samples", "594595") +
                    record(0, "global_batch_size", std::to_string(batch)) + record(0, "run_start");
  for (int i = 1; i <= 4; ++i) {
    const std::string of = fmt::format("{{\"epoch_num\": {}}}", step * (i - 1 + first));
    const int start = 61000 * (i - 1);
    log += record(start, "epoch_start", "null", of) + record(start + 60000, "epoch_stop", "null", of);
    if (throughput > 0)
      log += record(start + 60000, "tracked_stats", fmt::format("{{\"throughput\": {}}}", throughput), "{\"step\": 3}");
    log += record(start + 60500, "eval_accuracy", i == 4 ? "0.81" : "0.5", of);
  }
  return log + record(244000, "run_stop", "null", "{\"status\": \"success\"}");
}

RunReport report_of(const std::string& log) {
  const Folder folder;
  return report_run(folder.write("a.log", log));
}

TEST(Rates, OfEpochsThatCountSamplesAreTheSamplesBetweenThem) {
  const RunReport run = report_of(numbered(10240, 0));
  EXPECT_NEAR(value_of(run, "samples/s median epoch"), 10240 / 60.0, 1e-9);
  EXPECT_EQ(run.find("samples/s median epoch")->source, FigureSource::modelled);
  EXPECT_NEAR(run.epochs[0].samples_per_s.value(), 10240 / 60.0, 1e-9);
  EXPECT_EQ(value_of(run, "samples to target"), 40960.0);
  EXPECT_EQ(run.find("epochs to target"), nullptr);
  EXPECT_EQ(value_of(run, "time to train"), 244.0);
  EXPECT_TRUE(notes_say(run, "numbered by samples, 10240 each"));
}

TEST(Rates, OfEpochsThatMayCountSamplesOrIterationsAreNone) {
  const RunReport run = report_of(numbered(10240, 0, 256, "oc20"));
  EXPECT_EQ(run.find("samples/s median epoch"), nullptr);
  EXPECT_EQ(run.find("samples to target"), nullptr);
  EXPECT_EQ(run.find("epochs to target"), nullptr);
  EXPECT_TRUE(notes_say(run, "in steps of 10240, of samples or of iterations"));
  EXPECT_EQ(value_of(report_of(numbered(10240, 170.5, 256, "oc20")), "samples/s median epoch"), 170.5);
}

TEST(Rates, OfEpochsThatAreFractionsAreNone) {
  const RunReport run = report_of(numbered(0.5, 0));
  EXPECT_EQ(run.find("samples/s median epoch"), nullptr);
  EXPECT_EQ(run.find("epochs to target"), nullptr);
  EXPECT_EQ(value_of(run, "time to train"), 244.0);
  EXPECT_TRUE(notes_say(run, "numbered in fractions"));
}

TEST(Rates, OfEpochsNumberedFromZeroCountThemAll) {
  const RunReport run = report_of(numbered(1, 0, 256, "openfold", 0.0));
  EXPECT_EQ(value_of(run, "epochs to target"), 4.0);
  EXPECT_EQ(value_of(report_of(numbered(1, 0)), "epochs to target"), 4.0);
  EXPECT_TRUE(notes_say(run, "numbered from 0"));
  EXPECT_EQ(value_of(report_of(numbered(10240, 0, 256, "openfold", 0.0)), "samples to target"), 40960.0);
}

TEST(Rates, RestOnNoCountThatIsNone) {
  for (const char* samples : {"-5", "0", "0.5", "100.5", "inf"}) {
    std::string log = small_log({2000, 2000, 2000});
    log.replace(log.find("100"), 3, samples == std::string("inf") ? "1e999" : samples);
    const RunReport run = report_of(log);
    EXPECT_EQ(run.find("samples/s median epoch"), nullptr) << samples;
    EXPECT_TRUE(notes_say(run, fmt::format("train_samples is {}, which counts nothing", samples)));
  }
  std::string log = small_log({2000, 2000, 2000});
  log.replace(log.find("\"value\": 4"), 10, "\"value\": 0.5");
  const RunReport run = report_of(log);
  EXPECT_EQ(value_of(run, "samples/s median epoch"), 50.0);
  EXPECT_EQ(run.find("samples/s a rank"), nullptr);
}

TEST(Rates, OfEpochsThatCountSamplesAreTheLogsOwnWhereItHasThem) {
  const RunReport run = report_of(numbered(10240, 170.5));
  EXPECT_EQ(value_of(run, "samples/s median epoch"), 170.5);
  EXPECT_EQ(value_of(run, "samples/s slowest epoch"), 170.5);
  EXPECT_EQ(run.find("samples/s median epoch")->source, FigureSource::logged);
}

TEST(Rates, OfNothingAreNone) {
  std::string log = numbered(10240, 170.5);
  log.replace(log.find("170.5"), 5, "0");
  const RunReport run = report_of(log);
  EXPECT_EQ(value_of(run, "samples/s slowest epoch"), 170.5);
  EXPECT_FALSE(run.epochs[0].samples_per_s.has_value());
}

TEST(Rates, OfEpochsNumberedByAnythingElseAreNotGiven) {
  const RunReport run = report_of(numbered(40, 0));
  EXPECT_EQ(run.find("samples/s median epoch"), nullptr);
  EXPECT_TRUE(notes_say(run, "numbered in steps of 40"));
  EXPECT_TRUE(run.target_met);
  EXPECT_EQ(report_of(numbered(10240, 0, 1)).find("samples/s median epoch"), nullptr)
      << "any number is of batches of 1";
}

TEST(Rates, AreTheLogsOwnWhereItsEpochsAreNoWholePasses) {
  const RunReport run = report_of(numbered(1, 170.5));
  EXPECT_EQ(value_of(run, "samples/s median epoch"), 170.5);
  EXPECT_TRUE(notes_say(run, "factor of 2"));
  EXPECT_NEAR(value_of(report_of(numbered(1, 9000)), "samples/s median epoch"), 594595 / 60.0, 1e-9);
  EXPECT_EQ(value_of(report_of(numbered(1, 30000)), "samples/s median epoch"), 30000.0);
  EXPECT_EQ(value_of(report_of(numbered(1, 4900)), "samples/s median epoch"), 4900);
  EXPECT_EQ(value_of(report_of(numbered(1, 20000)), "samples/s median epoch"), 20000);
}

TEST(Rates, OfThroughputRecordsGoToTheEpochThatTheyName) {
  std::string log = numbered(10240, 0);
  log.insert(log.rfind(":::MLLOG"), record(200000, "throughput", "100", "{\"epoch_num\": 10240}") +
                                        record(200000, "throughput", "120", "{\"epoch_num\": 10240}") +
                                        record(200000, "throughput", "50", "{\"epoch_num\": 20480}") +
                                        record(200000, "throughput", "-5", "{\"epoch_num\": 30720}"));
  const RunReport run = report_of(log);
  EXPECT_EQ(run.epochs[0].samples_per_s, 110.0);
  EXPECT_EQ(run.epochs[1].samples_per_s, 50.0);
  EXPECT_FALSE(run.epochs[2].samples_per_s.has_value());
}

TEST(Rates, OfMoreRanksThanSamplesAreExplained) {
  const RunReport run = report_of(record(0, "number_of_ranks", "2080") + numbered(1, 0));
  EXPECT_NEAR(value_of(run, "samples/s a rank"), 594595 / 60.0 / 2080, 1e-9);
  EXPECT_TRUE(notes_say(run, "a batch of 256 samples on 2080 ranks"));
  EXPECT_FALSE(notes_say(report_of(record(0, "number_of_ranks", "256") + numbered(1, 0)), "a batch of"));
}

TEST(Rates, HaveTheMedianTheSlowestAndTheFastestEpoch) {
  const RunReport run = report_of(small_log({1000, 2000, 4000, 5000}));
  EXPECT_EQ(value_of(run, "samples/s median epoch"), 37.5) << "between 50 and 25";
  EXPECT_EQ(value_of(run, "samples/s slowest epoch"), 20.0);
  EXPECT_EQ(value_of(run, "samples/s fastest epoch"), 100.0);
  EXPECT_EQ(value_of(run, "samples/s a rank"), 37.5 / 4.0);
}

TEST(Rates, SayWhereRanksAreNotTheMachinesAccelerators) {
  const auto noted = [](const char* nodes, const char* each) {
    const std::string machine = record(0, "number_of_nodes", nodes) + record(0, "accelerators_per_node", each);
    return notes_say(report_of(small_log({2000}, true, machine)), "number_of_ranks says 4, nodes x accelerators");
  };
  EXPECT_TRUE(noted("2", "4"));
  EXPECT_TRUE(notes_say(
      report_of(small_log({2000}, true, record(0, "number_of_nodes", "2") + record(0, "accelerators_per_node", "4"))),
      "nodes x accelerators 8: an instance"));
  EXPECT_FALSE(noted("1", "4")) << "they are";
  EXPECT_FALSE(noted("2", "0")) << "of CPUs";
}

TEST(Rates, OfALogWithoutRanksAreOverItsAccelerators) {
  std::string log =
      small_log({2000}, true, record(0, "number_of_nodes", "2") + record(0, "accelerators_per_node", "5"));
  const std::size_t ranks = log.find(":::MLLOG", log.find("train_samples"));
  log.erase(ranks, log.find(":::MLLOG", ranks + 1) - ranks);
  const RunReport run = report_of(log);
  EXPECT_EQ(value_of(run, "accelerators"), 10.0);
  EXPECT_EQ(run.find("accelerators")->source, FigureSource::logged);
  EXPECT_EQ(value_of(run, "samples/s an accelerator"), 5.0);
  EXPECT_EQ(run.find("samples/s a rank"), nullptr);
}

TEST(Rates, HoldWhatRunJsonAndTheTableMeasured) {
  const Folder folder;
  static_cast<void>(folder.write("run.json", R"({"status": "success", "figures": {"samples_per_s": 33.5}})"));
  static_cast<void>(
      folder.write("epochs.csv", "epoch,wait_for_input_s,samples_per_s\n1,0.5,60\n2,0.25,70\n3,,\n9,7,7\n"));
  const RunReport run = report_run(folder.write("mlperf.log", small_log({2000, 4000, 2000})));
  EXPECT_EQ(value_of(run, "samples/s over all steps"), 33.5);
  EXPECT_EQ(run.epochs[0].samples_per_s, 60.0);
  EXPECT_EQ(run.epochs[0].rate_source, FigureSource::measured);
  EXPECT_EQ(run.epochs[1].wait_for_input_s, 0.25);
  EXPECT_EQ(run.epochs[2].samples_per_s, 50.0) << "an empty cell measured nothing";
  EXPECT_EQ(run.epochs[2].rate_source, FigureSource::logged);
  EXPECT_EQ(value_of(run, "samples/s median epoch"), 60.0);
  EXPECT_EQ(run.find("samples/s median epoch")->source, FigureSource::logged) << "not all of them are measured";
  EXPECT_NEAR(value_of(run, "wait for input share of training"), 100.0 * 0.75 / 6.0, 1e-9)
      << "of the epochs whose waiting is known";
}

TEST(Rates, CallAnEpochSlowThatTakesHalfAsMuchAgainAsTheMedianOfThree) {
  const auto slow = [](std::initializer_list<int> epochs) {
    std::vector<bool> found;
    for (const EpochReport& epoch : report_of(small_log(epochs)).epochs)
      found.push_back(epoch.slow);
    return found;
  };
  EXPECT_EQ(slow({2000, 2000, 3001}), (std::vector<bool>{false, false, true}));
  EXPECT_EQ(slow({2000, 2000, 3000}), (std::vector<bool>{false, false, false}));
  EXPECT_EQ(slow({2000, 9000}), (std::vector<bool>{false, false})) << "two have no median worth the name";
}

TEST(Rates, CountRanksOfRunJsonAsMeasured) {
  const Folder folder;
  std::string log = small_log({2000});
  const std::size_t ranks = log.find(":::MLLOG", log.find("train_samples"));
  log.erase(ranks, log.find(":::MLLOG", ranks + 1) - ranks);
  static_cast<void>(folder.write("run.json", R"({"status": "success", "figures": {"ranks": 5}})"));
  const RunReport run = report_run(folder.write("mlperf.log", log));
  EXPECT_EQ(value_of(run, "ranks"), 5.0);
  EXPECT_EQ(run.find("ranks")->source, FigureSource::measured);
  EXPECT_EQ(value_of(run, "samples/s a rank"), 10.0);
}

TEST(Sources, SayThatATargetIsGivenAndAMetricOfTheTableMeasured) {
  const Folder folder;
  std::string log = small_log({2000, 2000}, true);
  const std::size_t metric = log.find(":::MLLOG", log.rfind('\n', log.find("eval_error")));
  log.erase(metric, log.find(":::MLLOG", metric + 1) - metric);
  static_cast<void>(folder.write("epochs.csv", "epoch,eval_metric\n1,0.3\n"));
  const RunReport run = report_run(folder.write("mlperf.log", log));
  EXPECT_EQ(run.find("target metric")->source, FigureSource::given);
  EXPECT_EQ(run.epochs[0].metric, 0.3);
  EXPECT_EQ(run.epochs[0].metric_source, FigureSource::measured);
  EXPECT_EQ(run.find("last metric")->source, FigureSource::logged);
  EXPECT_EQ(value_of(run, "last metric"), 0.1);
  EXPECT_EQ(run.find("epochs to target")->source, FigureSource::logged);
  EXPECT_EQ(name_of(FigureSource::given), "given");
}

TEST(Sources, LetTheLogDecideOnItsStatus) {
  const Folder folder;
  static_cast<void>(folder.write("run.json", R"({"status": "success"})"));
  std::string log = small_log({2000}, true);
  log.replace(log.find("\"success\""), 9, "\"aborted\"");
  const RunReport run = report_run(folder.write("mlperf.log", log));
  EXPECT_EQ(run.status, "aborted");
  EXPECT_EQ(run.find("time to train"), nullptr);
  EXPECT_TRUE(notes_say(run, "run.json says success, the log aborted"));
}

TEST(Targets, AreMetOnTheirOwnSideOnly) {
  const auto met = [](const std::string& benchmark, const std::string& key, const std::string& value) {
    std::string log = small_log({2000});
    log.replace(log.find("cosmoflow"), 9, benchmark);
    log.replace(log.find("eval_error"), 10, key);
    log.replace(log.find("\"value\": 0.1"), 12, "\"value\": " + value);
    return report_of(log).target_met;
  };
  EXPECT_TRUE(met("cosmoflow", "eval_error", "0.124"));
  EXPECT_FALSE(met("cosmoflow", "eval_error", "0.1241"));
  EXPECT_FALSE(met("cosmoflow", "eval_error", "0"));
  EXPECT_FALSE(met("cosmoflow", "eval_error", "-4"));
  EXPECT_FALSE(met("cosmoflow", "eval_error", "NaN"));
  EXPECT_TRUE(met("oc20", "eval_error", "0.036"));
  EXPECT_FALSE(met("oc20", "eval_error", "0.0361"));
  EXPECT_TRUE(met("deepcam", "eval_accuracy", "0.82"));
  EXPECT_FALSE(met("deepcam", "eval_accuracy", "0.8199"));
  EXPECT_TRUE(met("resnet", "eval_accuracy", "0.759"));
  EXPECT_FALSE(met("resnet", "eval_accuracy", "0.7589"));
  EXPECT_TRUE(met("openfold", "eval_accuracy", "1"));
  EXPECT_FALSE(met("openfold", "eval_accuracy", "82"));
  EXPECT_FALSE(met("openfold", "eval_accuracy", "0.7999"));
}

TEST(Targets, ThatNoMetricReachesAreSaidOfASuccess) {
  std::string log = small_log({2000}, false);
  log.replace(log.find("\"aborted\""), 9, "\"success\"");
  const RunReport run = report_of(log);
  EXPECT_FALSE(run.target_met);
  EXPECT_TRUE(notes_say(run, "no metric reaches the target"));
}

}  // namespace
}  // namespace trainmark::report_test

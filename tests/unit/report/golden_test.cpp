// Logs of others: the figures expected here were computed by hand from the times in the logs.
#include <gtest/gtest.h>

#include "unit/report/report_support.hpp"

namespace trainmark::report_test {
namespace {

constexpr double tolerance = 1e-6;  // times are whole milliseconds near 1.7e12

TEST(ReportOfGoldenLogs, SplitsTheClockOfACosmoflowRun) {
  const RunReport run = report_run(golden("hpc_cosmoflow_closed_v3.0.txt"));
  EXPECT_EQ(run.benchmark, "cosmoflow");
  EXPECT_NEAR(run.terms.staging_s, 15.0, tolerance);
  EXPECT_NEAR(run.terms.evaluation_s, 3 * 2.001, tolerance);
  EXPECT_NEAR(run.terms.training_s + run.terms.cold_first_epoch_s, 3 * 60.001, tolerance);
  EXPECT_NEAR(run.staging_outside_s, 0.0, tolerance);
  ASSERT_EQ(run.epochs.size(), 3U);
  EXPECT_NEAR(run.epochs[0].samples_per_s.value(), 524288 / 60.001, 1e-3);
  EXPECT_EQ(value_of(run, "epochs to target"), 3);
  EXPECT_NEAR(value_of(run, "time to train"), run.run_s, tolerance);
  EXPECT_NEAR(value_of(run, "time to train without staging"), run.run_s - 15.0, tolerance);
  EXPECT_NEAR(value_of(run, "samples/s an accelerator"), 524288 / 60.001 / 512, 1e-3);
  EXPECT_TRUE(run.incomparable.empty());
}

TEST(ReportOfGoldenLogs, AddsStagingBeforeTheClockToTheScore) {
  const RunReport run = report_run(golden("hpc_cosmoflow_closed_v3.0_staging_before_run.txt"));
  EXPECT_NEAR(run.staging_outside_s, 15.0, tolerance);
  EXPECT_NEAR(run.terms.staging_s, 0.0, tolerance);
  EXPECT_NEAR(value_of(run, "time to train with staging"), 186.010 + 15.0, tolerance);
  EXPECT_NEAR(value_of(run, "time to train without staging"), 186.010, tolerance);
}

TEST(ReportOfGoldenLogs, CountsBlocksOfResnetAsSeveralEpochs) {
  const RunReport run = report_run(golden("training_resnet_closed_sgd_v4.0.txt"));
  ASSERT_EQ(run.epochs.size(), 3U);
  EXPECT_EQ(run.epochs[0].epochs, 4);
  EXPECT_EQ(run.epochs[0].number, 4);
  EXPECT_NEAR(run.epochs[0].samples_per_s.value(), 4 * 1281167 / 60.001, 1e-2);
  EXPECT_FALSE(run.lower_is_better);
  EXPECT_TRUE(run.target_met);
  EXPECT_NEAR(run.run_s, 186.010, tolerance);
}

TEST(ReportOfGoldenLogs, TakesADeepcamRunForOneThatPublishedResultsMayStandBeside) {
  const RunReport run = report_run(golden("hpc_deepcam_closed_lamb_multistep_v3.0.txt"));
  EXPECT_TRUE(run.target_met);
  EXPECT_NEAR(run.run_s, 201.011, tolerance);
  EXPECT_TRUE(run.incomparable.empty());
}

TEST(ReportOfGoldenLogs, TellsTheExampleOfTheGuideAsItStandsThere) {
  const std::filesystem::path folder = golden("").parent_path().parent_path() / "scaling";
  std::vector<RunReport> runs;
  for (const auto& log : find_logs(folder))
    runs.push_back(report_run(log));
  ASSERT_EQ(runs.size(), 2U);
  const std::string both = render_text(runs);
  EXPECT_NE(
      both.find("128 nodes, 1024 ranks, batch 1024   1024         0.125             1.066            1.066     1.889 "
                "              1.107      0.278           0.278\n"),
      std::string::npos)
      << both;
  const std::vector small{report_run(folder / "n16/result_0.txt")};
  Questions questions;
  questions.what_if = parse_what_if("nodes=128,staging=shard");
  questions.tiers = parse_tiers("hbm=640GiB,dram=2TiB,nvme=28TB");
  const std::string next = render_text(small, questions);
  for (const char* words :
       {"step                        ms           14.850     16.042     13.323     18.761  modelled",
        "epochs                      -            18.000     40.304     36.224     43.267  assumed",
        "time to train with staging  min          25.286      6.559      5.454      7.587  modelled",
        "hbm now, hbm then"})
    EXPECT_NE(next.find(words), std::string::npos) << words << "\n" << next;
}

TEST(ReportOfGoldenLogs, HasTermsThatAddUpInEveryLog) {
  int logs = 0;
  for (const auto& entry : std::filesystem::directory_iterator(golden(""))) {
    const RunReport run = report_run(entry.path());
    EXPECT_NEAR(run.terms.sum(), run.run_s, tolerance) << entry.path();
    EXPECT_GT(run.run_s, 0.0) << entry.path();
    EXPECT_GE(run.terms.rest_s, 0.0) << entry.path();
    ++logs;
  }
  EXPECT_GE(logs, 10);
}

}  // namespace
}  // namespace trainmark::report_test

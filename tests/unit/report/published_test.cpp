// What is published stands in the program as data, and only what compares stands beside a run.
#include <gtest/gtest.h>

#include <set>

#include "report/analyse/published.hpp"
#include "report/analyse/references.hpp"
#include "report/show/tables.hpp"
#include "unit/report/report_support.hpp"

namespace trainmark::report_test {
namespace {

using report::Published;

RunReport full_run(double batch, double ranks, const std::string& device = "NVIDIA H100 80GB HBM3") {
  RunReport run;
  run.benchmark = "cosmoflow";
  run.division = "closed";
  run.facts.batch_samples = batch;
  run.facts.processes = ranks;
  run.facts.train_samples = 524288;
  run.facts.device = device;
  return run;
}

const Published& entry(std::string_view round, std::string_view system, std::string_view workload = "cosmoflow",
                       std::string_view metric = "time") {
  for (const Published& each : report::published_results())
    if (each.round == round && each.system == system && each.workload == workload && each.metric == metric) return each;
  throw std::runtime_error("no such entry");
}

std::size_t count_of(std::string_view metric, bool hpc) {
  const auto all = report::published_results();
  return static_cast<std::size_t>(std::ranges::count_if(
      all, [&](const Published& each) { return each.metric == metric && hpc == (each.workload != "resnet"); }));
}

TEST(Published, HoldsEachEntryOfTheHpcRoundsOnce) {
  std::set<std::tuple<std::string_view, std::string_view, std::string_view, std::string_view, std::string_view>> names;
  std::set<std::tuple<std::string_view, double>> scores;
  for (const Published& each : report::published_results()) {
    EXPECT_TRUE(names.insert({each.round, each.system, each.workload, each.metric, each.submitter}).second)
        << each.system;
    if (each.score_s) {
      EXPECT_TRUE(scores.insert({each.workload, *each.score_s}).second) << each.system;
    }
  }
  EXPECT_EQ(count_of("time", true) + count_of("throughput", true), 59U);
  EXPECT_EQ(count_of("time", false), 14U);
  const auto of_round = [](std::string_view round) {
    return std::ranges::count(report::published_results(), round, &Published::round);
  };
  EXPECT_EQ(of_round("0.6"), 6);
  EXPECT_EQ(of_round("4.0"), 8);
  EXPECT_EQ(entry("1.0", "longhorn-tf").also_in, "2.0");
}

TEST(Published, HoldsTheScoresThatTheRoundsPublished) {
  const auto minutes = [](const Published& each) { return *each.score_s / 60.0; };
  EXPECT_NEAR(minutes(entry("1.0", "dgxa100_n128_ngc21.09_mxnet")), 7.1151, 5e-5);
  EXPECT_NEAR(minutes(entry("1.0", "dgxa100_n16_ngc21.09_mxnet")), 25.7810, 5e-5);
  EXPECT_NEAR(minutes(entry("1.0", "dgxa100_n256_ngc21.09_pytorch", "deepcam")), 1.6677, 5e-5);
  EXPECT_NEAR(minutes(entry("1.0", "dgxa100_n64_ngc21.09_pytorch", "deepcam")), 2.6454, 5e-5);
  EXPECT_NEAR(minutes(entry("1.0", "dgxa100_n512_ngc21.09_mxnet", "cosmoflow", "throughput")), 43.8934, 2e-4);
  EXPECT_NEAR(minutes(entry("1.0", "dgxa100_n512_ngc21.09_pytorch", "deepcam", "throughput")), 48.5917, 5e-5);
}

// From run_start to run_stop of the five logs, ms. The fastest is left out, and the slowest or what missed the target.
TEST(Published, HasOlympicMeansOfTheFiveRunsOfTraining) {
  const Published& h200 = entry("4.0", "h200_ngc24.04_mxnet", "resnet");  // 721149, 721345, 721437, 722035, 722400
  EXPECT_NEAR(*h200.score_s, (721.345 + 721.437 + 722.035) / 3, 1e-3);
  EXPECT_EQ(*h200.local_batch_samples, 400);
  EXPECT_NEAR(*h200.samples_per_s_device, 7963, 1) << "the median epoch: 63,703 images/s on 8";
  EXPECT_NEAR(*h200.train_samples * *h200.epochs_to_target / *h200.score_s / *h200.devices, 7768, 1) << "over the run";
  const Published& eight = entry("4.0", "eos_n8_ngc24.04_mxnet", "resnet");  // 150214, 150316, 150326, 150356, none
  EXPECT_NEAR(*eight.score_s, (150.316 + 150.326 + 150.356) / 3, 1e-3);
  EXPECT_EQ(*eight.epochs_most, 35) << "the run that missed the target trained 37";
  const Published& most = entry("4.0", "coreweave_hgxh100_n448_ngc23.04_mxnet", "resnet");
  EXPECT_EQ(*most.devices, 3584);
  EXPECT_NEAR(*most.score_s, 10.98, 5e-3);
  EXPECT_EQ(most.name(), "3584 H100-80, NVIDIA 4.0");
}

// Start-up and the first, cold evaluation are in the score alone: 0.3 % of it on one node, 6 % in eleven seconds.
TEST(Published, HasEpochsThatAddUpToTheScoresOfTraining) {
  for (const Published& each : report::published_results()) {
    if (each.round != "4.0") continue;
    const double epochs = *each.epochs_to_target, batches = *each.train_samples / *each.batch_samples;
    EXPECT_EQ(*each.batch_samples, *each.local_batch_samples * *each.devices) << each.system;
    const double sum =
        *each.first_epoch_s + (epochs - 1) * *each.step_ms / 1e3 * batches + epochs / 4 * *each.evaluation_s;
    EXPECT_LT(sum, *each.score_s) << each.system;
    EXPECT_GT(sum, (*each.score_s < 60 ? 0.93 : 0.99) * *each.score_s) << each.system;
  }
}

TEST(Published, TakesAboutTheEpochsOfTheReferenceInTraining) {
  for (const Published& each : report::published_results()) {
    if (each.round != "4.0") continue;
    const auto reference = report::reference_epochs("resnet", *each.batch_samples).point;
    ASSERT_TRUE(reference) << each.system;
    EXPECT_NEAR(*each.epochs_to_target / reference->epochs, 1.05, 0.1) << each.system;
  }
}

TEST(Published, AddsStagingThatStoodBeforeTheClock) {
  const Published& before = entry("3.0", "eos_n64_ngc23.09_pytorch");
  EXPECT_EQ(before.clock, "before");
  EXPECT_NEAR(*before.score_with_staging_s - *before.score_s, *before.staging_s, 1e-3);
  EXPECT_NEAR(*before.score_with_staging_s / 60.0, 2.32, 0.005);
  for (const Published& each : report::published_results())
    if (each.clock != "before") {
      EXPECT_EQ(each.score_with_staging_s, each.score_s) << each.system;
    }
}

TEST(Published, HasRatesThatAreTheStepsOfTheLocalBatch) {
  for (const Published& each : report::published_results()) {
    if (!each.step_ms) continue;
    EXPECT_NEAR(*each.samples_per_s_device, *each.local_batch_samples / *each.step_ms * 1e3,
                0.01 * *each.samples_per_s_device)
        << each.system;
  }
}

TEST(Published, HasColumnsThatItsReadmeExplains) {
  const std::filesystem::path folder = std::filesystem::path(TRAINMARK_SOURCE_DIR) / "share/published";
  std::ifstream table(folder / "results.csv"), readme(folder / "README.md");
  std::string header, column;
  std::getline(table, header);
  std::stringstream text, columns(header);
  text << readme.rdbuf();
  int count = 0;
  for (; std::getline(columns, column, ','); ++count)
    EXPECT_NE(text.str().find("`" + column + "`"), std::string::npos) << column;
  EXPECT_EQ(count, 33);
}

TEST(NearestPublished, ComesByLocalBatchThenDevice) {
  const auto nearest = report::nearest_published(full_run(8, 8));
  ASSERT_GE(nearest.entries.size(), 3U);
  EXPECT_EQ(nearest.entries[0]->system, "eos_n64_ngc23.09_pytorch") << "local batch 1, H100";
  const auto split = report::nearest_published(full_run(32, 512, "A64FX"));
  EXPECT_EQ(split.entries[0]->system, "fugaku_8192xA64FX_tensorflow_closed") << "1/16 of a sample each";
  const auto two = report::nearest_published(full_run(256, 128, "P100"));
  EXPECT_EQ(two.entries[0]->system, "daint_gpu_n128_tf2.2.0");
  EXPECT_EQ(two.entries[1]->system, "daint_gpu_n256_tf2.2.0");
}

// Devices of one kind come first among equal local batches; what computes in fp16 stands beside no run in fp32.
TEST(NearestPublished, SetsAResNetBesideTheRoundsOfTraining) {
  RunReport run = full_run(3200, 8, "NVIDIA H200");
  run.benchmark = "resnet";
  run.facts.train_samples = 1281167;
  const auto nearest = report::nearest_published(run);
  ASSERT_GE(nearest.entries.size(), 3U);
  EXPECT_EQ(nearest.entries[0]->system, "h200_ngc24.04_mxnet");
  EXPECT_EQ(nearest.entries[1]->local_batch_samples, 400);
  EXPECT_TRUE(std::ranges::all_of(nearest.entries, [](const Published* each) { return each->workload == "resnet"; }));
  run.facts.precision = "fp32";
  for (const Published* each : report::nearest_published(run, 1000).entries)
    EXPECT_NE(each->round, "4.0") << each->system;
  run.incomparable.push_back("another network");
  EXPECT_TRUE(report::nearest_published(run).entries.empty());
}

TEST(NearestPublished, KeepsDivisionsMetricsAndPrecisionsApart) {
  RunReport run = full_run(512, 512, "A64FX");
  const auto all = [&run] { return report::nearest_published(run, 1000).entries; };
  const auto none_has = [&](auto what) { return std::ranges::none_of(all(), what); };
  EXPECT_TRUE(none_has([](const Published* each) { return each->division != "closed"; }));
  EXPECT_TRUE(none_has([](const Published* each) { return each->metric != "time"; }));
  EXPECT_FALSE(none_has([](const Published* each) { return each->precision == "fp16"; }));
  run.facts.precision = "fp32";
  EXPECT_TRUE(none_has([](const Published* each) { return each->precision == "fp16"; }));
  EXPECT_FALSE(none_has([](const Published* each) { return each->precision == "fp32"; }));
  run.facts.precision = "bf16";
  EXPECT_TRUE(none_has([](const Published* each) { return each->precision == "fp32"; }));
  run.division = "open";
  run.facts.precision.clear();
  EXPECT_TRUE(none_has([](const Published* each) { return each->division != "open"; }));
  run.division = "closed";
  run.facts.instance = true;
  EXPECT_TRUE(none_has([](const Published* each) { return each->metric != "throughput"; }));
  EXPECT_FALSE(all().empty());
}

TEST(NearestPublished, RefusesAnotherNetwork) {
  const Folder folder;
  const auto with_model = [&folder](const char* model) {
    return report_run(folder.write(
        "a.log", small_log({2000}, true,
                           record(0, "submission_division", "\"closed\"") +
                               record(0, "trainmark_config", fmt::format("\"{{\\\"model\\\": {}}}\"", model)))));
  };
  const RunReport run = with_model(R"({\"extent\": 128, \"width\": 0.25})");
  EXPECT_EQ(std::ranges::count(run.incomparable, "another network: width 0.25, not 1"), 1);
  EXPECT_EQ(std::ranges::count(run.incomparable, "100 training samples, not 524288"), 1);
  EXPECT_TRUE(report::nearest_published(run).entries.empty());
}

TEST(PublishedTable, LeavesOutTimesOfAnotherTrainingSet) {
  RunReport run = full_run(256, 128, "P100");
  run.figures.push_back({"samples/s a rank", 2.94, "1/s", FigureSource::logged});
  const report::Grid grid = report::published_table(run);
  ASSERT_FALSE(grid.rows.empty());
  EXPECT_EQ(std::get<std::string>(grid.rows[0][0]), "128 P100, CSCS 0.7");
  EXPECT_NEAR(std::get<double>(grid.rows[0][2]), 5.88, 0.005);
  EXPECT_NEAR(std::get<double>(grid.rows[0][3]), 50.0, 0.1) << "a share of the published rate";
  EXPECT_TRUE(std::holds_alternative<std::monostate>(grid.rows[0][5])) << "0.7 trained on half of the samples";
  run.facts.train_samples = 262144;
  EXPECT_NEAR(std::get<double>(report::published_table(run).rows[0][5]), 461.0, 0.05);
}

}  // namespace
}  // namespace trainmark::report_test

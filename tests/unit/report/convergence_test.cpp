// Epochs against the rules' reference points (expected values: printed by mlperf_logging 4.1.68's rcp_checker), fits,
// spreads and tests of difference on sets whose answers are known.
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "report/analyse/convergence.hpp"
#include "report/show/charts.hpp"
#include "report/show/tables.hpp"
#include "unit/report/report_support.hpp"

namespace trainmark::report_test {
namespace {

using namespace report;

struct Trained {
  double minutes;
  double epochs;
};

/// Closed runs of one configuration, each with its own seed.
std::vector<RunReport> runs_of(double batch, const std::vector<Trained>& all,
                               const std::string& workload = "cosmoflow") {
  std::vector<RunReport> runs;
  for (const auto& [minutes, epochs] : all) {
    RunReport run;
    run.path = fmt::format("batch{}/run{}/mlperf.log", batch, runs.size());
    run.benchmark = workload;
    run.division = "closed";
    run.configuration = fmt::format("[{}]", batch);
    run.facts.batch_samples = batch;
    run.facts.train_samples = reference_samples(workload);
    run.facts.seed = std::to_string(runs.size());
    run.target_met = true;
    run.figures = {{"time to train", minutes * 60.0, "s", FigureSource::logged},
                   {"epochs to target", epochs, "", FigureSource::logged},
                   {"last metric", 0.123, "", FigureSource::logged}};
    runs.push_back(run);
  }
  return runs;
}

std::vector<RunReport> joined(std::initializer_list<std::vector<RunReport>> sets) {
  std::vector<RunReport> runs;
  for (const auto& set : sets)
    runs.insert(runs.end(), set.begin(), set.end());
  return runs;
}

const ReferencePoint& point(std::string_view workload, double batch) {
  for (const ReferencePoint& each : reference_points(workload))
    if (each.batch_samples == batch) return each;
  throw std::runtime_error("no such point");
}

TEST(ReferencePoints, HaveTheOfficialCheckersMeansAndLimits) {
  const struct {
    const char* workload;
    double batch, mean, least;
  } expected[] = {
      {"cosmoflow", 32, 7.871, 7.322},    {"cosmoflow", 64, 18.278, 17.759},   {"cosmoflow", 128, 17.889, 17.473},
      {"cosmoflow", 512, 22.833, 22.200}, {"cosmoflow", 1024, 40.056, 38.463}, {"deepcam", 128, 6.944, 6.309},
      {"deepcam", 256, 9.0, 9.0},         {"deepcam", 512, 11.053, 9.911},     {"deepcam", 1024, 13.0, 12.445},
      {"deepcam", 2048, 22.625, 21.110},  {"resnet", 1632, 35.0, 33.80},       {"resnet", 4096, 39.88, 38.63},
      {"resnet", 32768, 56.0, 55.45},     {"resnet", 67840, 85.85, 85.18}};
  for (const auto& each : expected) {
    EXPECT_NEAR(point(each.workload, each.batch).epochs, each.mean, 0.006) << each.workload << each.batch;
    EXPECT_NEAR(point(each.workload, each.batch).least_epochs, each.least, 0.006) << each.workload << each.batch;
  }
}

TEST(ReferencePoints, ThatOthersUndercutCountForNobody) {
  EXPECT_EQ(checked_epochs("cosmoflow", 512).how, "reference");
  const ExpectedEpochs pruned = checked_epochs("cosmoflow", 128);
  EXPECT_EQ(pruned.how, "interpolated") << "128 is undercut by the line from 32 to 512";
  EXPECT_NEAR(pruned.point->epochs, 7.871 + 96.0 / 480.0 * (22.833 - 7.871), 0.002);
  EXPECT_NEAR(checked_epochs("deepcam", 512).point->epochs, 6.944 + 384.0 / 896.0 * (13.0 - 6.944), 0.002);
  EXPECT_NEAR(checked_epochs("resnet", 65536).point->epochs, 68.0 + 16384.0 / 18688.0 * (85.85 - 68.0), 0.01);
}

TEST(ReferencePoints, SayThemselvesWhatTheReferenceTakes) {
  EXPECT_NEAR(reference_epochs("cosmoflow", 128).point->epochs, 17.889, 0.001);
  EXPECT_NEAR(reference_epochs("cosmoflow", 320).point->epochs, (17.889 + 22.833) / 2.0, 0.001);
  EXPECT_FALSE(reference_epochs("cosmoflow", 8).point.has_value());
  EXPECT_FALSE(reference_epochs("cosmoflow", 2048).point.has_value());
  const std::vector<RunReport> runs = runs_of(128, std::vector<Trained>(10, {26, 18.25}));
  const std::vector<Group> groups = group_runs(runs);
  EXPECT_NEAR(convergence_of(groups).at(0).factor.value(), 18.25 / 17.889, 1e-4);
  EXPECT_EQ(convergence_of(groups).at(0).normalised_by.value(), 1.0);
}

TEST(ReferencePoints, EndAtTheLargestBatchAndNotAtTheSmallest) {
  EXPECT_EQ(checked_epochs("cosmoflow", 8).how, "the smallest batch's");
  EXPECT_FALSE(checked_epochs("cosmoflow", 2048).point.has_value());
  EXPECT_NE(checked_epochs("cosmoflow", 2048).how.find("1024"), std::string::npos);
  EXPECT_FALSE(checked_epochs("openfold", 128).point.has_value());
}

TEST(Convergence, NormalisesAScoreThatConvergesFasterThanTheReference) {
  // NVIDIA's CosmoFlow of 3.0: 2.098 min of 22.625 epochs were published as 2.118.
  std::vector<Trained> all(10, {2.0984, 22.625});
  const std::vector<RunReport> runs = runs_of(512, all);
  const std::vector<Group> groups = group_runs(runs);
  const GroupConvergence row = convergence_of(groups).at(0);
  EXPECT_NEAR(row.score.minutes.value(), 2.0984, 1e-9);
  EXPECT_NEAR(*row.score.minutes * row.normalised_by.value(), 2.118, 0.001);
  EXPECT_FALSE(row.too_fast);
  EXPECT_EQ(row.seeds, 10U);
}

TEST(Convergence, RefusesWhatTheCheckerRefusesAndLeavesSlowerScoresAlone) {
  const auto row = [](double epochs) {
    const std::vector<RunReport> runs = runs_of(512, std::vector<Trained>(10, {3.0, epochs}));
    const std::vector<Group> groups = group_runs(runs);
    GroupConvergence found = convergence_of(groups).at(0);
    found.group = nullptr;
    return found;
  };
  EXPECT_TRUE(row(22.1).too_fast);
  EXPECT_FALSE(row(22.3).too_fast);
  EXPECT_GT(row(22.3).normalised_by.value(), 1.0);
  EXPECT_EQ(row(24.0).normalised_by.value(), 1.0);
  EXPECT_NEAR(row(24.0).factor.value(), 24.0 / 22.8333, 1e-4);
}

TEST(Convergence, HoldsNoReferenceAgainstAnotherSetOrGeneratedData) {
  std::vector<RunReport> runs = runs_of(512, {{3, 23}, {3, 23}, {3, 23}});
  const auto how = [&runs] {
    const std::vector<Group> groups = group_runs(runs);
    return convergence_of(groups).at(0).how;
  };
  for (RunReport& run : runs)
    run.facts.train_samples = 262144;
  EXPECT_EQ(how(), "the rules' convergence points are of 524288 training samples");
  for (RunReport& run : runs) {
    run.facts.train_samples = 524288;
    run.generated_data = true;
  }
  EXPECT_NE(how().find("generated data"), std::string::npos);
  for (RunReport& run : runs)
    run.facts.batch_samples.reset();
  EXPECT_EQ(how(), "the log has no global_batch_size");
  for (RunReport& run : runs)
    run.incomparable = {"another network: width 2, not 1"};
  EXPECT_EQ(how(), "not the benchmark's: another network: width 2, not 1");
  for (RunReport& run : runs)
    run.benchmark = "openfold";
  EXPECT_EQ(how(), "the rules have no convergence points for this workload");
}

TEST(Convergence, SplitsTheSpreadOfAScoreIntoEpochsAndPace) {
  const auto share = [](const std::vector<Trained>& all) {
    const std::vector<RunReport> runs = runs_of(512, all);
    const std::vector<Group> groups = group_runs(runs);
    return convergence_of(groups).at(0).spread.value().epochs_share_percent;
  };
  EXPECT_NEAR(share({{20, 20}, {22, 22}, {24, 24}, {26, 26}}), 100.0, 1e-6) << "one minute an epoch";
  EXPECT_NEAR(share({{20, 20}, {22, 20}, {24, 20}, {26, 20}}), 0.0, 1e-6);
  // Epochs 10 and 20, pace 1 and 2, each with each: equal variances of the logarithms, no covariance.
  EXPECT_NEAR(share({{10, 10}, {20, 10}, {20, 20}, {40, 20}}), 50.0, 1e-6);
  const std::vector<RunReport> two = runs_of(512, {{20, 20}, {22, 22}});
  const std::vector<Group> groups = group_runs(two);
  EXPECT_FALSE(convergence_of(groups).at(0).spread.has_value());
}

TEST(Convergence, GivesAScoreAnIntervalThatHoldsItAndIsTheSameEachTime) {
  const std::vector<RunReport> runs = runs_of(512, {{10, 20}, {11, 21}, {12, 22}, {13, 23}, {19, 24}});
  const std::vector<Group> groups = group_runs(runs);
  const GroupConvergence row = convergence_of(groups).at(0);
  EXPECT_NEAR(row.score.minutes.value(), 12.0, 1e-9);
  ASSERT_TRUE(row.score_min.has_value());
  EXPECT_LT(row.score_min->low, 12.0);
  EXPECT_GT(row.score_min->low, 10.0);
  EXPECT_GT(row.score_min->high, 12.0);
  EXPECT_LT(row.score_min->high, 17.1);
  EXPECT_EQ(row.score_min->low, convergence_of(groups).at(0).score_min->low);
}

TEST(ScoreTable, SaysWhatItsScoresAreAndWhyThereIsNone) {
  const auto table = [](const std::vector<Trained>& all, double batch = 512) {
    const std::vector<RunReport> runs = runs_of(batch, all);
    const std::vector<Group> groups = group_runs(runs);
    return grid_text(score_table(convergence_of(groups)));
  };
  const auto says = [](const std::string& text, const char* words) { return text.find(words) != std::string::npos; };
  const char *normalised = "normalised: the olympic mean times", *official = "an official score is of ten runs";
  const std::string faster = table(std::vector<Trained>(10, {3.0, 22.3})), slower = table({{3, 24}, {3, 24}, {3, 24}});
  EXPECT_TRUE(says(faster, normalised));
  EXPECT_FALSE(says(faster, official)) << "these are ten";
  EXPECT_FALSE(says(slower, normalised)) << "what converges slower than the reference is left alone";
  EXPECT_TRUE(says(slower, official));
  EXPECT_FALSE(says(table({{3, 24}, {3, 24}}), official)) << "two have no score";
  EXPECT_TRUE(says(table({{3, 24}, {3, 24}}), "no olympic mean: "));
  EXPECT_FALSE(says(slower, "no olympic mean"));
  EXPECT_FALSE(says(table({{3, 20}, {3, 20}, {3, 20}}), normalised)) << "too fast to count at all";
}

TEST(ConvergenceCharts, ShowRunsBesideTheReferencesPointsNearThem) {
  const std::vector<RunReport> runs =
      joined({runs_of(512, {{10, 20}, {11, 21}, {12, 22}, {13, 23}, {19, 24}}), runs_of(128, {{30, 18}})});
  const std::vector<Group> groups = group_runs(runs);
  const std::vector<GroupConvergence> rows = convergence_of(groups);
  const Chart epochs = convergence_chart(rows).value();
  ASSERT_EQ(epochs.series.size(), 2U);
  const auto& own = epochs.series[0].marks;
  ASSERT_EQ(own.size(), 2U);
  EXPECT_EQ(own[0].x, 128.0) << "by batch";
  EXPECT_EQ(own[1].y, 22.0) << "the olympic mean";
  EXPECT_EQ(own[1].low, 20.0);
  EXPECT_EQ(own[1].high, 24.0);
  std::vector<double> batches;
  for (const Mark& each : epochs.series[1].marks)
    batches.push_back(each.x);
  EXPECT_EQ(batches, (std::vector<double>{32, 64, 128, 512, 1024}));
  const std::vector<RunReport> small = runs_of(64, {{10, 20}, {11, 21}});
  const std::vector<Group> of_small = group_runs(small);
  EXPECT_EQ(convergence_chart(convergence_of(of_small))->series[1].marks.back().x, 128.0)
      << "512 is more than 4.5 times as large";

  const Chart repeats = repeats_chart(rows).value();
  EXPECT_EQ(repeats.x_labels, (std::vector<std::string>{"1", "2"}));
  ASSERT_EQ(repeats.series.at(0).marks.size(), 6U);
  EXPECT_EQ(repeats.series[0].marks[0].x, -0.12) << "runs to the left of their score";
  EXPECT_EQ(repeats.series[0].marks[0].y, 30.0) << "minutes";
  EXPECT_EQ(repeats.series[0].marks[5].x, 0.88);
  ASSERT_EQ(repeats.series.at(1).marks.size(), 1U) << "one run has no score";
  EXPECT_EQ(repeats.series[1].marks[0].x, 1.12);
  EXPECT_EQ(repeats.series[1].marks[0].y, 12.0);
  EXPECT_EQ(repeats.series[1].marks[0].low, rows[1].score_min->low);
  EXPECT_EQ(repeats.series[1].marks[0].high, rows[1].score_min->high);
}

TEST(CriticalBatch, IsFoundFromThreeBatchesAndNotFromTwo) {
  const auto at = [](double batch) { return std::vector<Trained>(3, {1.0, 15.0 * (1.0 + batch / 700.0)}); };
  const std::vector<RunReport> three = joined({runs_of(128, at(128)), runs_of(512, at(512)), runs_of(1024, at(1024))});
  const std::vector<Group> groups = group_runs(three);
  const auto answers = critical_batches(convergence_of(groups));
  ASSERT_EQ(answers.size(), 1U);
  ASSERT_TRUE(answers[0].fit.has_value());
  EXPECT_NEAR(answers[0].fit->least_epochs, 15.0, 1e-6);
  EXPECT_NEAR(answers[0].fit->critical_batch, 700.0, 1e-6);
  EXPECT_NEAR(answers[0].fit->largest_residual_percent, 0.0, 1e-6);
  const std::vector<RunReport> two = joined({runs_of(128, at(128)), runs_of(512, at(512))});
  const std::vector<Group> fewer = group_runs(two);
  EXPECT_FALSE(critical_batches(convergence_of(fewer)).at(0).fit.has_value());
  EXPECT_NE(critical_batches(convergence_of(fewer)).at(0).why_not.find("three batches"), std::string::npos);
}

TEST(CriticalBatch, IsNotInventedWhereEpochsFallWithTheBatch) {
  const std::vector<RunReport> runs =
      joined({runs_of(128, {{1, 30}}), runs_of(512, {{1, 20}}), runs_of(1024, {{1, 10}})});
  const std::vector<Group> groups = group_runs(runs);
  EXPECT_FALSE(critical_batches(convergence_of(groups)).at(0).fit.has_value());
}

TEST(Difference, IsToldFromTheSpreadOfTheRuns) {
  const std::vector<RunReport> apart =
      joined({runs_of(128, {{10, 20}, {10.1, 20}, {9.9, 20}}), runs_of(512, {{12, 20}, {12.1, 20}, {11.9, 20}})});
  const std::vector<Group> groups = group_runs(apart);
  ASSERT_EQ(differences_of(groups).size(), 1U);
  EXPECT_TRUE(differences_of(groups)[0].differ());
  EXPECT_NEAR(differences_of(groups)[0].percent, 20.0, 1e-9);
  const std::vector<RunReport> alike =
      joined({runs_of(128, {{10, 20}, {12, 20}, {8, 20}}), runs_of(512, {{11, 20}, {9, 20}, {12, 20}})});
  const std::vector<Group> close = group_runs(alike);
  ASSERT_EQ(differences_of(close).size(), 1U);
  EXPECT_FALSE(differences_of(close)[0].differ());
  EXPECT_NE(grid_text(difference_table(close)).find("they do not differ"), std::string::npos);
  const std::vector<RunReport> few = joined({runs_of(128, {{10, 20}, {12, 20}}), runs_of(512, {{11, 20}, {9, 20}})});
  const std::vector<Group> small = group_runs(few);
  EXPECT_TRUE(differences_of(small).empty());
}

TEST(Difference, HasTheValueOfWelchsTest) {
  // scipy.stats.ttest_ind(a, b, equal_var=False).pvalue
  EXPECT_NEAR(
      welch_p(std::vector{27.5, 21.0, 19.0, 23.6, 17.0}, std::vector{27.1, 22.0, 20.8, 23.4, 23.4, 23.5}).value(),
      0.42293002538, 1e-9);
}

TEST(Statistics, AreThoseOfTheTextbooks) {
  EXPECT_NEAR(student_quantile(0.95, 10), 1.812461, 1e-5);
  EXPECT_NEAR(quantile_of({1, 2, 3, 4}, 0.25), 1.75, 1e-12);
  EXPECT_EQ(olympic_of({5, 1, 3, 100}), 4.0);
  EXPECT_NEAR(deviation_of(std::vector{2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0}), std::sqrt(32.0 / 7.0), 1e-12);
  const Line line = fit_line(std::vector<WeightedPoint>{{1, 3, 1}, {2, 5, 1}, {3, 7, 2}}).value();
  EXPECT_NEAR(line.slope, 2.0, 1e-12);
  EXPECT_NEAR(line.intercept, 1.0, 1e-12);
  EXPECT_NEAR(line.slope_error, 0.0, 1e-12);
  EXPECT_FALSE(fit_line(std::vector<WeightedPoint>{{1, 3, 1}, {1, 5, 1}}).has_value());
}

TEST(Groups, AreNamedByWhatDiffersBetweenThem) {
  std::vector<RunReport> runs = joined({runs_of(128, {{1, 20}, {2, 20}}), runs_of(512, {{3, 20}})});
  const std::vector<Group> groups = group_runs(runs);
  ASSERT_EQ(groups.size(), 2U);
  EXPECT_EQ(groups[0].name, "batch 128");
  EXPECT_EQ(groups[0].runs.size(), 2U);
  EXPECT_EQ(groups[1].name, "batch 512");
}

TEST(Groups, OfTheSameFactsAreNamedByTheirConfigs) {
  std::vector<RunReport> runs = runs_of(128, {{1, 20}, {2, 20}});
  runs[0].configuration = R"(["x", {"staging": {"mode": "shard"}, "train": {"epochs": 3}}])";
  runs[1].configuration = R"(["x", {"staging": {"mode": "direct"}, "train": {"epochs": 3}}])";
  const std::vector<Group> groups = group_runs(runs);
  ASSERT_EQ(groups.size(), 2U);
  EXPECT_EQ(groups[0].name, "/staging/mode shard");
  EXPECT_EQ(groups[1].name, "/staging/mode direct");
}

TEST(RunNames, LeaveOutTheFoldersAndTheFileThatAllShare) {
  std::vector<RunReport> runs(3);
  runs[0].path = "results/array/n1/a/mlperf.log";
  runs[1].path = "results/array/n1/b/mlperf.log";
  runs[2].path = "results/array/n2/a/mlperf.log";
  runs[2].part = "attempt 1 of 2";
  EXPECT_EQ(short_names(runs), (std::vector<std::string>{"n1/a", "n1/b", "n2/a (attempt 1 of 2)"}));
  EXPECT_EQ(short_names(std::span(runs).first(1)), std::vector<std::string>{"results/array/n1/a/mlperf.log"});
}

TEST(JointTables, HoldTheUnitOfEachFigureInItsName) {
  const std::vector<RunReport> runs =
      joined({runs_of(128, {{10, 18}, {11, 18}, {12, 18}}), runs_of(512, {{5, 23}, {6, 23}, {7, 23}})});
  const auto document = nlohmann::json::parse(render_json(runs));
  const auto& table = document.at("tables").at(0);
  EXPECT_EQ(table.at("title"), "scores by configuration");
  EXPECT_NEAR(table.at("rows").at(0).at("olympic_mean_min").get<double>(), 11.0, 1e-9);
  EXPECT_EQ(table.at("sources").at("olympic_mean_min"), "logged");
  EXPECT_EQ(table.at("sources").at("normalised_min"), "modelled");
  EXPECT_EQ(table.at("rows").at(1).at("runs"), 3.0);
  const std::string text = render_text(runs);
  EXPECT_NE(text.find("convergence against the reference convergence points"), std::string::npos);
  EXPECT_NE(text.find("cosmoflow: a critical batch is fitted from three batches on; runs on target are of 2"),
            std::string::npos);
}

}  // namespace
}  // namespace trainmark::report_test

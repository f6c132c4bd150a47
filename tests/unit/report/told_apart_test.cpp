// What must not be mixed: runs that missed the target with those that met it, other tasks, other networks, other parts
// of a node, instances of one job.
#include <gtest/gtest.h>

#include <cmath>

#include "report/analyse/compare.hpp"
#include "report/analyse/convergence.hpp"
#include "report/analyse/throughput.hpp"
#include "report/show/charts.hpp"
#include "report/show/headline.hpp"
#include "report/show/tables.hpp"
#include "unit/report/report_support.hpp"
#include "unit/report/scaled_runs.hpp"

namespace trainmark::report_test {
namespace {

using namespace report;

/// CosmoFlow at batch 256 on eight ranks of two nodes: a minute an epoch; 0 epochs: missed the target.
std::vector<RunReport> of_epochs(std::initializer_list<double> epochs, double batch = 256) {
  std::vector<RunReport> runs;
  for (const double each : epochs) {
    runs.push_back(run_of({2, 8, batch, 1000, each, 0, 1, 60 * each}, static_cast<int>(runs.size())));
    RunReport& run = runs.back();
    run.target = 0.124;
    run.facts.seed = std::to_string(runs.size());
    if (each > 0.0) continue;
    run.target_met = false;
    std::erase_if(run.figures, [](const Figure& figure) { return figure.name != "samples/s median epoch"; });
  }
  return runs;
}

std::vector<RunReport> both(std::vector<RunReport> one, const std::vector<RunReport>& other) {
  one.insert(one.end(), other.begin(), other.end());
  return one;
}

TEST(Missed, CountsAsTheSlowestInEveryMean) {
  // mlperf_logging's rcp_checker: "Submission mean epochs: 16.0000" for nine such runs and one that missed.
  const std::vector<RunReport> runs = of_epochs({12, 13, 14, 14, 14, 14, 14, 15, 30, 0});
  const std::vector<Group> groups = group_runs(runs);
  const GroupConvergence row = convergence_of(groups).at(0);
  EXPECT_NEAR(row.mean_epochs.value(), (13 + 5 * 14 + 15 + 30) / 8.0, 1e-9);
  EXPECT_EQ(row.missed, 1U);
  EXPECT_EQ(row.epochs.size(), 9U);
  EXPECT_FALSE(row.too_fast);
  const ScaleRow scale = scale_rows(groups, {}).at(0);
  EXPECT_EQ(scale.epochs, row.mean_epochs);
  EXPECT_NEAR(scale.time_s.value(), 60.0 * *row.score.minutes, 1e-9) << "the score's time";
  EXPECT_NE(grid_text(convergence_table(convergence_of(groups))).find("1 of 10 runs missed the target"),
            std::string::npos);
}

TEST(Missed, LeavesNoMeanWhereItIsNotTheOnlyOne) {
  const std::vector<RunReport> runs = of_epochs({12, 13, 14, 0, 0});
  const std::vector<Group> groups = group_runs(runs);
  EXPECT_FALSE(convergence_of(groups).at(0).mean_epochs.has_value());
  EXPECT_FALSE(scale_rows(groups, {}).at(0).time_s.has_value());
  EXPECT_FALSE(convergence_of(groups).at(0).score.minutes.has_value());
  const std::vector<RunReport> two = of_epochs({12, 0});
  EXPECT_FALSE(convergence_of(group_runs(two)).at(0).mean_epochs.has_value()) << "the lucky one of two";
  std::vector<RunReport> fixed = of_epochs({12, 13, 14, 0});
  fixed.back().status = "fixed_work_done";
  const std::vector<Group> with_fixed = group_runs(fixed);
  EXPECT_EQ(convergence_of(with_fixed).at(0).mean_epochs, 13.0) << "fixed work aims at no target";
}

TEST(Missed, IsNotARunOfNoEpochs) {
  std::vector<RunReport> runs = of_epochs({12});
  for (Figure& figure : runs[0].figures)
    if (figure.name == "epochs to target") figure.value = 0.0;
  const std::vector<Group> groups = group_runs(runs);
  EXPECT_FALSE(convergence_of(groups).at(0).mean_epochs.has_value());
  EXPECT_FALSE(convergence_chart(convergence_of(groups)).has_value());
}

TEST(Missed, IsNoPointOfACriticalBatch) {
  const auto at = [](double batch) { return 15.0 * (1.0 + batch / 700.0); };
  std::vector<RunReport> runs;
  for (const double batch : {128.0, 512.0, 1024.0})
    runs = both(std::move(runs), of_epochs({at(batch), at(batch), at(batch)}, batch));
  runs = both(std::move(runs), of_epochs({5, 0, 0}, 64));
  const auto answers = critical_batches(convergence_of(group_runs(runs)));
  ASSERT_EQ(answers.size(), 1U);
  EXPECT_NEAR(answers[0].fit.value().critical_batch, 700.0, 1e-6);
  EXPECT_EQ(answers[0].fit->batches, 3U);
}

TEST(Missed, IsWorseInAComparison) {
  const std::vector<RunReport> base = of_epochs({10, 11, 12, 13, 14}), now = of_epochs({10, 0, 0, 0, 0});
  const Comparison found = compare_runs(base, now, {{"time_to_train_s", 5.0}});
  EXPECT_EQ(found.failures, 1) << found.text;
  EXPECT_NE(
      found.text.find("fom: time_to_train_s = - s (base 720, tolerance 5 %, n 5 and 5, of which 0 and 4 missed the "
                      "target) missing"),
      std::string::npos)
      << found.text;
  // One in five moves the median by no more than a slow run would, and is told.
  const Comparison one = compare_runs(base, of_epochs({10, 11, 12, 13, 0}), {{"time_to_train_s", 5.0}});
  EXPECT_EQ(one.failures, 0);
  EXPECT_NE(one.text.find("of which 0 and 1 missed the target"), std::string::npos);
}

std::string how_fast(const std::vector<RunReport>& runs) { return headlines_of(runs).at(0).answer; }

TEST(Missed, LeavesAConfigurationThatMostlyFailsOutOfTheHeadline) {
  const std::vector<RunReport> slow = of_epochs({12, 12, 12}), lucky = of_epochs({7, 0, 0, 0, 0}, 1024);
  EXPECT_NE(how_fast(both(slow, lucky)).find("batch 256: 12.000 min, olympic mean of 3 runs"), std::string::npos)
      << how_fast(both(slow, lucky));
  EXPECT_EQ(how_fast(lucky), "more than one run of each configuration missed the target: no time to train can be told");
  EXPECT_NE(
      how_fast(of_epochs({7})).find("7.000 min to train (mean of 1; no score: a score needs at least three runs)"),
      std::string::npos);
}

TEST(BrokeOff, CountsInNoMean) {
  std::vector<RunReport> runs = of_epochs({12, 13, 14, 20, 0});
  runs.back().broke_off = true;  // the first life of a requeued job
  const std::vector<Group> groups = group_runs(runs);
  const GroupConvergence row = convergence_of(groups).at(0);
  EXPECT_NEAR(row.score.minutes.value(), 13.5, 1e-9);
  EXPECT_TRUE(row.score_min.has_value());
  EXPECT_EQ(row.mean_epochs, 13.5);
  EXPECT_EQ(row.missed, 0U);
  EXPECT_NE(grid_text(score_table(convergence_of(groups))).find("1 of 5 runs broke off or have no end yet"),
            std::string::npos);
  runs[0].broke_off = runs[1].broke_off = true;
  runs[0].target_met = runs[1].target_met = false;
  EXPECT_NE(olympic_score(runs).why_not.find("that came to an end; the others broke off"), std::string::npos);
}

TEST(BrokeOff, IsToldByRunJsonAndByAMissingEnd) {
  const Folder folder;
  const std::string log = small_log({1000}, false);
  int count = 0;
  const auto broke_off = [&](const std::string& text, const std::string& status) {
    const std::string name = fmt::format("r{}", ++count);
    if (!status.empty()) (void)folder.write(name + "/run.json", "{\"status\": \"" + status + "\"}");
    return report_run(folder.write(name + "/mlperf.log", text)).broke_off;
  };
  EXPECT_FALSE(broke_off(log, "")) << "others' logs say aborted of what missed its target";
  EXPECT_FALSE(broke_off(log, "target_missed"));
  EXPECT_FALSE(broke_off(log, "diverged"));
  EXPECT_TRUE(broke_off(log, "aborted"));
  EXPECT_TRUE(broke_off(log, "failed"));
  const std::string open = log.substr(0, log.rfind(":::MLLOG"));
  EXPECT_TRUE(broke_off(open, "running"));
  EXPECT_TRUE(broke_off(open, ""));
}

TEST(FixedWork, MissedNoTarget) {
  std::vector<RunReport> runs = of_epochs({0, 0, 0});
  for (RunReport& run : runs)
    run.status = "fixed_work_done";
  EXPECT_EQ(olympic_score(runs).why_not, "the runs are for fixed work and have no time to train");
}

TEST(Devices, ThatDifferAreNamed) {
  std::vector<RunReport> runs = of_epochs({12, 13, 14});
  for (RunReport& run : runs)
    run.facts.device = "cpu (A)";
  const auto text = [&runs] { return grid_text(score_table(convergence_of(group_runs(runs)))); };
  EXPECT_EQ(text().find("different devices"), std::string::npos);
  runs[1].facts.device = "cuda (B)";
  EXPECT_NE(text().find("its runs are of different devices or builds (cpu (A); cuda (B))"), std::string::npos);
}

TEST(Missed, LeavesTheMedianOfAnOddNumberOfRuns) {
  const auto failures = [](std::initializer_list<double> before, std::initializer_list<double> after) {
    return compare_runs(of_epochs(before), of_epochs(after), {{"time_to_train_s", 5.0}}).failures;
  };
  EXPECT_EQ(failures({10, 11, 0}, {20, 20, 20}), 1) << "11, then 20";
  EXPECT_EQ(failures({11, 11, 11}, {10, 11, 0}), 0) << "11, then 11";
}

TEST(BrokeOff, CannotBeWhatTheLogSaysSucceeded) {
  const Folder folder;
  (void)folder.write("r/run.json", "{\"status\": \"failed\"}");
  const RunReport run = report_run(folder.write("r/mlperf.log", small_log({1000})));
  EXPECT_TRUE(run.target_met);
  EXPECT_FALSE(run.broke_off) << "the log decides";
}

TEST(BrokeOff, BesideFixedWorkMissesNothing) {
  std::vector<RunReport> runs = of_epochs({0, 0, 0, 0});
  for (RunReport& run : runs)
    run.status = "fixed_work_done";
  runs[3].status = "aborted";
  runs[3].broke_off = true;
  EXPECT_EQ(olympic_score(runs).why_not, "the runs are for fixed work and have no time to train");
}

TEST(BrokeOff, IsNoneOfTheRunsOfAScore) {
  std::vector<RunReport> runs = of_epochs({12, 13, 14, 0});
  runs.back().broke_off = true;
  EXPECT_EQ(olympic_score(runs).runs, 3U);
  EXPECT_NE(how_fast(runs).find("13.000 min, olympic mean of 3 runs"), std::string::npos);
  EXPECT_NE(render_text(runs).find("min of 3 runs [logged]"), std::string::npos);
}

TEST(Headline, SetsNoTaskAgainstAnother) {
  std::vector<RunReport> strict = of_epochs({12, 13, 14}), loose = of_epochs({2, 3, 4});
  for (RunReport& run : loose) {
    run.target = 0.3;
    run.configuration += "[loose]";
  }
  EXPECT_EQ(how_fast(both(strict, loose)), "2 networks, training sets or targets: see their rows below");
  EXPECT_TRUE(differences_of(group_runs(both(strict, loose))).empty());
  EXPECT_NE(compare_runs(strict, loose, {}).text.find("targets of both sides differ"), std::string::npos);
}

TEST(Missed, TakesNoPartInATestOfTimes) {
  const std::vector<RunReport> runs = both(of_epochs({10, 11, 12, 0}), of_epochs({20, 21, 22, 23}, 512));
  EXPECT_TRUE(differences_of(group_runs(runs)).empty());
}

TEST(Compare, NamesConfigurationsThatStandOnOneSideAlone) {
  const std::vector<RunReport> small = of_epochs({10}), large = of_epochs({20}, 512);
  const Comparison gone = compare_runs(both(small, large), small, {{"time_to_train_s", 5.0}});
  EXPECT_EQ(gone.failures, 1) << "the base has it and the new runs lack it";
  EXPECT_NE(gone.text.find("batch 512: time_to_train_s = - s (base 1200"), std::string::npos) << gone.text;
  const Comparison fresh = compare_runs(small, both(small, large), {{"time_to_train_s", 5.0}});
  EXPECT_EQ(fresh.failures, 0);
  EXPECT_NE(
      fresh.text.find("batch 512: time_to_train_s = 1200 s (base -, tolerance 5 %, n 0 and 1) nothing to compare"),
      std::string::npos)
      << fresh.text;
}

TEST(Tasks, OfOtherSamplesTargetsOrNetworksHaveNoFactorsAndNoCommonFit) {
  std::vector<RunReport> runs = both(of_epochs({20}, 64), both(of_epochs({22}, 128), of_epochs({26}, 256)));
  const auto count = [&runs] { return critical_batches(convergence_of(group_runs(runs))).size(); };
  const auto factor = [&runs] {
    for (const std::vector<Group> groups = group_runs(runs); const ScaleRow& row : scale_rows(groups, {}))
      if (row.group->first().facts.batch_samples == 256.0) return row.factors.value();
    throw std::runtime_error("no row of batch 256");
  };
  EXPECT_EQ(count(), 1U);
  EXPECT_NEAR(factor().product(), factor().time, 1e-9);
  EXPECT_NEAR(factor().time, 1.3, 1e-9);
  runs[2].facts.train_samples = 131072;
  EXPECT_EQ(count(), 2U) << "another training set";
  EXPECT_EQ(factor().time, 1.0) << "against itself";
  runs[2].facts.train_samples = 524288;
  runs[2].target = 0.3;
  EXPECT_EQ(count(), 2U) << "another target";
  EXPECT_EQ(factor().time, 1.0);
  runs[2].target = 0.124;
  runs[2].facts.network = "{\"width\":0.25}";
  EXPECT_EQ(count(), 2U) << "another network";
  EXPECT_EQ(factor().time, 1.0);
  runs[0].facts.network = runs[1].facts.network = "{\"width\":1,\"extent\":128}";
  runs[2].facts.network = "{\"width\":0.25,\"extent\":128}";
  const auto answers = critical_batches(convergence_of(group_runs(runs)));
  ASSERT_EQ(answers.size(), 2U);
  EXPECT_TRUE(std::ranges::all_of(answers,
                                  [](const CriticalBatchAnswer& each) {
                                    return each.why_not.starts_with("cosmoflow, model/width 1: a") ||
                                           each.why_not.starts_with("cosmoflow, model/width 0.25: a");
                                  }))
      << answers[0].why_not << "; " << answers[1].why_not;
}

TEST(Tasks, OfTwoNetworksOrThreadCountsAreNoSeriesOfSteps) {
  std::vector<RunReport> runs = {run_of({1, 4, 16, 400, 20, 0, 1, 3600}), run_of({2, 8, 32, 800, 20, 0, 1, 1800})};
  EXPECT_NEAR(value_in(ask(runs, "nodes=4"), "step", &Predicted::then), 40.0, 2.0);
  runs[1].facts.network = "{\"width\":0.25}";
  EXPECT_NE(
      refusal([&] { static_cast<void>(ask(runs, "nodes=4")); }).find("the runs differ in model/width (0.25; not told)"),
      std::string::npos);
  runs[1].facts.network.clear();
  runs[1].facts.threads = 8;
  runs[0].facts.threads = 4;
  EXPECT_NE(refusal([&] { static_cast<void>(ask(runs, "nodes=4")); }).find("the runs differ in threads (4; 8)"),
            std::string::npos);
}

TEST(PartOfANode, IsTheWholeSetWhereItIsReplicated) {
  std::vector<RunReport> runs = {run_of({8, 32, 256, 1000, 20, 0, 1, 3600})};
  const std::vector<Tier> tiers = parse_tiers("dram=2TiB,nvme=28TB");
  const auto row = [&] { return scale_rows(group_runs(runs), tiers).at(0); };
  const double set = 16777232.0 * (524288 + 65536);
  EXPECT_NEAR(row().bytes_per_node.value(), set / 8, 1.0);
  EXPECT_EQ(row().tier, "dram");
  runs[0].facts.stage_strategy = "replicate";
  EXPECT_NEAR(row().bytes_per_node.value(), set, 1.0);
  EXPECT_EQ(row().share_of_node, 1.0);
  EXPECT_EQ(row().tier, "nvme");
  runs[0].facts.stage_strategy = "group";
  runs[0].facts.stage_group = 4.0;
  EXPECT_NEAR(row().bytes_per_node.value(), set / 2, 1.0);
  EXPECT_EQ(row().share_of_node, 0.5);
}

TEST(Target, OfOnesOwnIsHeldAgainstNoReference) {
  const Folder folder;
  const auto of_target = [&](const std::string& target) {
    const std::string header = record(0, "global_batch_size", "64") + record(0, "submission_division", "\"open\"") +
                               record(0, "trainmark_config", "\"{\\\"train\\\": {\\\"target\\\": " + target + "}}\"");
    std::string log = small_log({1000, 1000, 1000}, true, header);
    log.replace(log.find("\"value\": 100,"), 13, "\"value\": 524288,");
    return report_run(folder.write(target + ".log", log));
  };
  const RunReport own = of_target("0.3");
  EXPECT_EQ(own.target, 0.3) << "of the config in the log, without a run.json";
  EXPECT_EQ(own.incomparable, (std::vector<std::string>{"another target: 0.3, not 0.124"}));
  const std::vector one{own};
  EXPECT_FALSE(convergence_of(group_runs(one)).at(0).factor.has_value());
  EXPECT_TRUE(of_target("0.124").incomparable.empty());
  EXPECT_EQ(of_target("0.05").find("time to train"), nullptr) << "0.1 is not below 0.05";
}

RunReport weak(int number, double start_s, double stop_s, double batch = 64) {
  RunReport run = of_epochs({10}, batch).at(0);
  run.path = fmt::format("weak/cosmoflow/result_{}.txt", number);
  run.finished = true;
  run.start_ms = 1.6e12 + 1e3 * start_s;
  run.stop_ms = 1.6e12 + 1e3 * stop_s;
  run.facts.seed = std::to_string(number);
  return run;
}

TEST(Instances, BelowWeakOrByOptionHaveNoOlympicMean) {
  std::vector<RunReport> runs = {weak(0, 0, 600), weak(1, 1, 601), weak(2, 2, 640), weak(3, 3, 600)};
  EXPECT_NE(olympic_score(runs).why_not.find("instances went on at the same time"), std::string::npos);
  EXPECT_FALSE(convergence_of(group_runs(runs)).at(0).score.minutes.has_value());
  for (std::size_t i = 0; i < runs.size(); ++i)
    runs[i].path = fmt::format("job/result_{}.txt", i);
  EXPECT_TRUE(olympic_score(runs).minutes.has_value()) << "several machines may work at the same time";
  EXPECT_FALSE(olympic_score(runs, true).minutes.has_value());
  EXPECT_FALSE(convergence_of(group_runs(runs), true).at(0).score.minutes.has_value());
}

TEST(Instances, OfAnotherJobAreNoneOfThisOne) {
  std::vector<RunReport> runs = {weak(0, 0, 600), weak(1, 1, 601), weak(2, 0, 2600, 128)};
  runs[2].organisation = "another";
  const std::vector<Group> groups = group_runs(runs);
  EXPECT_TRUE(throughput_of(groups, false).at(0).models_per_min.has_value());
}

TEST(Instances, OfAnotherConfigurationBesideThemAreNotForgotten) {
  std::vector<RunReport> runs = {weak(0, 0, 600), weak(1, 1, 601), weak(2, 0, 2600, 128)};
  const auto score = [&runs] {
    const std::vector<Group> groups = group_runs(runs);
    return throughput_of(groups, false).at(0);
  };
  EXPECT_FALSE(score().models_per_min.has_value());
  EXPECT_NE(score().why_not.find("instances of another configuration (batch 128) went on at the same time"),
            std::string::npos)
      << score().why_not;
  runs[2] = weak(2, 5000, 5600, 128);
  EXPECT_TRUE(score().models_per_min.has_value()) << "another job, later";
}

TEST(WhatIf, IsOfWholeNodesRanksAndBatches) {
  for (const char* question : {"nodes=0.5", "nodes=2.5", "ranks=3.7", "nodes=2,batch=0.5"})
    EXPECT_NE(refusal([&] { static_cast<void>(parse_what_if(question)); }).find("is no whole number"),
              std::string::npos)
        << question;
  EXPECT_EQ(parse_what_if("nodes=2,ranks=16,batch=1024").batch_samples, 1024.0);
}

}  // namespace
}  // namespace trainmark::report_test

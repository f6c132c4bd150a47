// The throughput of several instances: their number over the time from the first start to the last stop, and what makes
// it none.
#include "report/analyse/throughput.hpp"

#include <gtest/gtest.h>

#include "report/show/tables.hpp"
#include "unit/report/report_support.hpp"

namespace trainmark::report_test {
namespace {

using namespace report;

/// Instance `number`, from its start to its stop in seconds of the job.
RunReport instance(int number, double start_s, double stop_s, const std::string& benchmark = "cosmoflow") {
  RunReport run;
  run.path = fmt::format("weak/{}/result_{}.txt", benchmark, number);
  run.benchmark = benchmark;
  run.division = "closed";
  run.configuration = "[]";
  run.finished = run.target_met = true;
  run.start_ms = 1.6e12 + 1e3 * start_s;
  run.stop_ms = 1.6e12 + 1e3 * stop_s;
  run.run_s = stop_s - start_s;
  run.facts.seed = std::to_string(number);
  run.facts.processes = 128;
  run.figures = {{"time to train", run.run_s, "s", FigureSource::logged}};
  return run;
}

/// `count` of them; the first begins at 0, the last to stop does so at `all_s`.
std::vector<RunReport> job(int count, double all_s, const std::string& benchmark = "cosmoflow") {
  std::vector<RunReport> runs;
  for (int i = 0; i < count; ++i)
    runs.push_back(instance(i, 0.5 * i, i == count / 2 ? all_s : 0.9 * all_s, benchmark));
  return runs;
}

Throughput score_of_job(const std::vector<RunReport>& runs, bool all_are = false) {
  const std::vector<Group> groups = group_runs(runs);
  std::vector<Throughput> scores = throughput_of(groups, all_are);
  EXPECT_EQ(scores.size(), 1U);
  Throughput score = scores.at(0);
  score.group = nullptr;  // which is gone
  return score;
}

TEST(Throughput, GivesNvidiasPublishedFiguresForTheirTimes) {
  // HPC 1.0, mlperf_logging's result_summarizer: 32 CosmoFlow instances 43.8934 min, 256 of DeepCAM 48.5917 min, here
  // as the seconds from the first start to the last stop. Models a minute are those of share/published.
  const Throughput cosmoflow = score_of_job(job(32, 2633.604));
  EXPECT_NEAR(cosmoflow.time_to_train_all_min.value(), 43.8934, 5e-5);
  EXPECT_NEAR(cosmoflow.models_per_min.value(), 0.729038, 5e-6);
  EXPECT_TRUE(cosmoflow.remarks.empty());
  const Throughput deepcam = score_of_job(job(256, 2915.502, "deepcam"));
  EXPECT_NEAR(deepcam.time_to_train_all_min.value(), 48.5917, 5e-5);
  EXPECT_NEAR(deepcam.models_per_min.value(), 5.26839, 5e-5);
}

TEST(Throughput, TellsWhatTheSlowestCosts) {
  const Throughput score = score_of_job({instance(0, 0, 60), instance(1, 30, 90), instance(2, 0, 120)});
  EXPECT_EQ(score.instances, 3U);
  EXPECT_DOUBLE_EQ(score.time_to_train_all_min.value(), 2.0);
  EXPECT_DOUBLE_EQ(score.models_per_min.value(), 1.5);
  EXPECT_DOUBLE_EQ(score.starts_apart_s, 30.0);
  EXPECT_NEAR(score.mean_run_min, 80.0 / 60.0, 1e-12);
  EXPECT_NEAR(score.lost_percent, 100.0 / 3.0, 1e-9);
  ASSERT_EQ(score.remarks.size(), 1U);
  EXPECT_NE(score.remarks[0].find("3 instances: the rules ask for 10 or more"), std::string::npos);
}

TEST(Throughput, HasNoPauseWhereOneBeginsAsAnotherEndsOrBehindOneThatEndedFirst) {
  const Throughput touching = score_of_job({instance(0, 0, 60), instance(1, 60, 120)});
  EXPECT_DOUBLE_EQ(touching.time_to_train_all_min.value_or(0.0), 2.0) << touching.why_not;
  const Throughput within = score_of_job({instance(0, 0, 100), instance(1, 10, 20), instance(2, 50, 150)});
  EXPECT_DOUBLE_EQ(within.time_to_train_all_min.value_or(0.0), 2.5) << within.why_not;
}

TEST(Throughput, SaysWhereSeedsAreNotLogged) {
  std::vector<RunReport> runs = job(10, 600);
  EXPECT_TRUE(score_of_job(runs).remarks.empty()) << "ten of CosmoFlow are enough";
  runs[3].facts.seed.clear();
  runs[4].facts.seed.clear();
  const Throughput score = score_of_job(runs);
  EXPECT_TRUE(score.models_per_min.has_value()) << "two that are not known are not the same";
  ASSERT_EQ(score.remarks.size(), 1U);
  EXPECT_NE(score.remarks[0].find("not all log their seed"), std::string::npos);
}

TEST(Throughput, CountsNoneThatWerePruned) {
  std::vector<RunReport> runs = job(11, 600);
  runs.push_back(instance(99, 0, 5000));
  runs.back().path = "weak/cosmoflow/pruned_results/result_99.txt";
  runs.back().target_met = false;
  const Throughput score = score_of_job(runs);
  EXPECT_EQ(score.instances, 11U);
  EXPECT_EQ(score.pruned, 1U);
  EXPECT_DOUBLE_EQ(score.time_to_train_all_min.value(), 10.0);
}

TEST(Throughput, IsRefusedWhereItWouldBeANumberOfSomethingElse) {
  const auto refused = [](const std::function<void(std::vector<RunReport>&)>& spoil) {
    std::vector<RunReport> runs = job(10, 600);
    spoil(runs);
    const Throughput score = score_of_job(runs);
    EXPECT_FALSE(score.time_to_train_all_min || score.models_per_min);
    return score.why_not;
  };
  EXPECT_NE(refused([](auto& runs) { runs[3].target_met = false; }).find("result_3.txt missed its target"),
            std::string::npos);
  EXPECT_NE(refused([](auto& runs) { runs[3].finished = false; }).find("result_3.txt has no run_stop"),
            std::string::npos);
  EXPECT_NE(refused([](auto& runs) { runs[3].attempts = 2; }).find("several attempts"), std::string::npos);
  EXPECT_NE(refused([](auto& runs) { runs[3].figures[0].at_most = 700; }).find("clock that goes back"),
            std::string::npos);
  EXPECT_NE(refused([](auto& runs) { runs[3].facts.seed = "7"; }).find("the same seed 7"), std::string::npos);
  const std::string pause = refused([](auto& runs) {
    runs[3].start_ms += 700e3;
    runs[3].stop_ms += 700e3;
  });
  EXPECT_NE(pause.find("none trained for 101.5 s between the end of weak/cosmoflow/result_5.txt"), std::string::npos)
      << pause;
  const std::vector<RunReport> runs = job(2, 60);
  const Throughput alone = score_of_job({runs[0], [&] {
                                           RunReport pruned = runs[1];
                                           pruned.path = "weak/pruned_results/result_1.txt";
                                           return pruned;
                                         }()});
  EXPECT_NE(alone.why_not.find("two instances or more"), std::string::npos);
}

TEST(Throughput, IsOfInstancesAloneUnlessAskedForAll) {
  std::vector<RunReport> runs = job(10, 600);
  for (RunReport& run : runs)
    run.path = "strong/" + run.facts.seed + "/mlperf.log";
  const std::vector<Group> groups = group_runs(runs);
  EXPECT_TRUE(throughput_of(groups, false).empty());
  EXPECT_TRUE(score_of_job(runs, true).models_per_min.has_value());
  for (RunReport& run : runs)
    run.facts.instance = true;
  EXPECT_TRUE(score_of_job(runs).models_per_min.has_value());
  EXPECT_NE(olympic_score(runs).why_not.find("instances went on at the same time"), std::string::npos)
      << "their score is not the mean of their times";
}

TEST(Throughput, StandsInEveryFormAndComesFromLogs) {
  const Folder folder;
  for (int i = 0; i < 3; ++i)
    static_cast<void>(
        folder.write(fmt::format("weak/cosmoflow/result_{}.txt", i),
                     later(small_log({1000, 1000 + 500 * i}, true, record(0, "seed", std::to_string(i))), 1000 * i)));
  std::vector<RunReport> runs;
  for (const auto& log : find_logs(folder.path()))
    runs.push_back(report_run(log));
  // From 2 s to 2 + (1 + 0.5 + 2 + 0.5 + 0.25) + 2 s of delay: 6.25 s.
  const Throughput score = score_of_job(runs);
  EXPECT_NEAR(score.time_to_train_all_min.value_or(0.0), 6.25 / 60.0, 1e-9) << score.why_not;
  for (const std::string& text : {render_text(runs), render_json(runs), render_html(runs)})
    EXPECT_NE(text.find("throughput: instances of one job"), std::string::npos);
}

}  // namespace
}  // namespace trainmark::report_test

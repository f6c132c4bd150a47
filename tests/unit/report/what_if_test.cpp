// What a question about another scale is answered with: times whose parts are worked out by hand, their bands, the
// curve on the way, and what is said of where they come from.
#include "report/analyse/what_if.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "unit/report/report_support.hpp"
#include "unit/report/scaled_runs.hpp"

namespace trainmark::report_test {
namespace {

using namespace report;

/// 18 epochs of 409.6 s on 8 ranks, 6 s of evaluation each, 40 s of staging, and 30 s besides.
constexpr Scaled base{2, 8, 128, 1280, 18, 40, 6, 7550.8};

/// What the rules' points say of 18 epochs at batch 128 when it becomes 64.
constexpr double epochs_at_64 = 18.0 / 17.889 * 18.278;

TEST(WhatIfTime, IsTheSumOfItsPartsAtTheOtherScale) {
  const Experience experience = published_experience();
  const WhatIfAnswer half = ask({run_of(base)}, "nodes=1");
  const double step_s = 0.1 / (1.0 + experience.growth);  // one doubling less
  EXPECT_NEAR(value_in(half, "step", &Predicted::now), 100.0, 1e-9);
  EXPECT_NEAR(value_in(half, "step", &Predicted::then), 1e3 * step_s, 1e-9);
  EXPECT_NEAR(value_in(half, "rate", &Predicted::then), 64.0 / step_s, 1e-6);
  EXPECT_EQ(value_in(half, "ranks", &Predicted::then), 4.0) << "as many a node";
  EXPECT_EQ(value_in(half, "batch", &Predicted::then), 64.0) << "as many samples a rank";
  const double epochs = value_in(half, "epochs", &Predicted::then);
  EXPECT_NEAR(epochs, epochs_at_64, 0.002);
  EXPECT_NEAR(value_in(half, "staging", &Predicted::then), 80.0, 1e-9) << "a node stages twice as much";
  EXPECT_NEAR(value_in(half, "evaluation an epoch", &Predicted::then), 12.0, 1e-9);
  const double then_s = 80.0 + epochs * (524288.0 / 64.0 * step_s + 12.0) + 2.0 * 30.0;
  EXPECT_NEAR(value_in(half, "time to train with staging", &Predicted::then), then_s / 60.0, 1e-6);
  EXPECT_NEAR(value_in(half, "time to train with staging", &Predicted::now), 7550.8 / 60.0, 1e-9);
  EXPECT_NEAR(value_in(half, "node-hours", &Predicted::now), 2.0 * 7550.8 / 3600.0, 1e-9);
  EXPECT_NEAR(value_in(half, "node-hours", &Predicted::then), then_s / 3600.0, 1e-6);
  EXPECT_EQ(half.base, run_of(base).benchmark + ", closed, 2 nodes, 8 ranks, batch 128, 524288 samples");
}

TEST(WhatIfTime, HasABandOfStepsAndEpochsTogether) {
  const WhatIfAnswer half = ask({run_of(base)}, "nodes=1");
  const Predicted &step = figure_in(half, "step"), &epochs = figure_in(half, "epochs"),
                  &time = figure_in(half, "time to train with staging");
  const double error = published_experience().error_a_root_doubling;
  EXPECT_NEAR(step.low.value(), *step.then * (1.0 - error), 1e-9);
  EXPECT_NEAR(step.high.value(), *step.then * (1.0 + error), 1e-9);
  const Predicted& rate = figure_in(half, "rate");
  EXPECT_NEAR(rate.low.value(), 64e3 / *step.high, 1e-6) << "the slowest step has the lowest rate";
  EXPECT_NEAR(rate.high.value(), 64e3 / *step.low, 1e-6);
  EXPECT_LT(epochs.low.value(), *epochs.then);
  EXPECT_GT(epochs.high.value(), *epochs.then);
  const double steps = 524288.0 / 64.0 * 1e-3;  // of an epoch, in seconds a millisecond
  for (const auto& [bound, of_step, of_epochs] :
       {std::tuple(time.low, step.low, epochs.low), std::tuple(time.high, step.high, epochs.high)}) {
    const double by_step = *epochs.then * steps * (*of_step - *step.then);
    const double by_epochs = (*of_epochs - *epochs.then) * (steps * *step.then + 12.0);
    EXPECT_NEAR(std::abs(*bound - *time.then), std::hypot(by_step, by_epochs) / 60.0, 1e-6);
  }
  EXPECT_NEAR(figure_in(half, "node-hours").high.value(), *time.high / 60.0, 1e-9);
}

TEST(WhatIfTime, HoldsStagingOnBothSidesOfTheClock) {
  RunReport run = run_of({2, 8, 128, 1280, 18, 15, 6, 7525.8});
  run.staging_outside_s = 25;
  const WhatIfAnswer half = ask({run}, "nodes=1");
  EXPECT_NEAR(value_in(half, "staging", &Predicted::now), 40.0, 1e-9);
  EXPECT_NEAR(value_in(half, "staging", &Predicted::then), 80.0, 1e-9);
  EXPECT_NEAR(value_in(half, "time to train with staging", &Predicted::now), 7550.8 / 60.0, 1e-9);
  EXPECT_NEAR(value_in(half, "time to train with staging", &Predicted::then),
              value_in(ask({run_of(base)}, "nodes=1"), "time to train with staging", &Predicted::then), 1e-9)
      << "where it stands changes nothing of what it takes";
}

TEST(WhatIfTime, IsWithoutStagingWhereThatIsAskedOrWentOnBeside) {
  const auto then = [](const WhatIfAnswer& answer) {
    return 60.0 * value_in(answer, "time to train with staging", &Predicted::then);
  };
  const double staged = then(ask({run_of(base)}, "nodes=1"));
  const WhatIfAnswer none = ask({run_of(base)}, "nodes=1,staging=none");
  EXPECT_EQ(value_in(none, "staging", &Predicted::then), 0.0);
  EXPECT_EQ(value_in(none, "staging", &Predicted::now), 40.0);
  EXPECT_NEAR(then(none), staged - 80.0, 1e-6);
  RunReport beside = run_of(base);
  beside.facts.staged_beside = true;
  const WhatIfAnswer left_out = ask({beside}, "nodes=1");
  EXPECT_NEAR(then(left_out), staged - 80.0, 1e-6);
  EXPECT_TRUE(remarks_say(left_out, "staging went on beside training"));
  RunReport never = run_of({2, 8, 128, 1280, 18, 0, 6, 7510.8});
  EXPECT_NEAR(then(ask({never}, "nodes=1")), staged - 80.0, 1e-6);
  EXPECT_FALSE(remarks_say(ask({never}, "nodes=1"), "no staging in the logs"));
  EXPECT_TRUE(remarks_say(ask({never}, "nodes=1,staging=shard"), "no staging in the logs"));
}

TEST(WhatIfTime, IsTheSameWhereTheSameIsAsked) {
  const WhatIfAnswer same = ask({run_of(base)}, "nodes=2");
  for (const char* name : {"nodes", "ranks", "batch", "local batch", "step", "rate", "data set's part of a node",
                           "epochs", "staging", "evaluation an epoch", "time to train with staging", "node-hours"})
    EXPECT_NEAR(value_in(same, name, &Predicted::then), value_in(same, name, &Predicted::now), 1e-9) << name;
  EXPECT_EQ(same.curve.size(), 1U);
}

/// 36 epochs of 10 s on 4 ranks, evaluated after each fourth for 5 s: nine evaluations, 45 s.
RunReport seldom_evaluated() {
  RunReport run = run_of({2, 4, 16, 52428.8, 36, 0, 0, 405});
  run.terms.evaluation_s = 45;
  run.epochs.clear();
  for (int number = 1; number <= 36; ++number) {
    EpochReport& epoch = run.epochs.emplace_back();
    epoch.number = number;
    epoch.whole = true;
    epoch.evaluation_s = number % 4 == 0 ? 5.0 : 0.0;
  }
  return run;
}

TEST(WhatIfTime, CountsEvaluationsAsOftenAsTheyWere) {
  const WhatIfAnswer same = ask({seldom_evaluated()}, "nodes=2");
  EXPECT_NEAR(value_in(same, "evaluation an epoch", &Predicted::now), 1.25, 1e-9);
  EXPECT_NEAR(value_in(same, "time to train with staging", &Predicted::then), 405.0 / 60.0, 1e-9);
}

TEST(WhatIfTime, IsTheSameWhereMostEpochsAreSlowerThanTheMean) {
  const WhatIfAnswer same = ask({run_of({2, 8, 128, 1280, 18, 40, 6, 7000})}, "nodes=2");  // less than 18 x 409.6 + ...
  EXPECT_NEAR(value_in(same, "time to train with staging", &Predicted::then), 7000.0 / 60.0, 1e-9);
}

TEST(WhatIfTime, HasNoUpperBoundWhereARunMissedTheTarget) {
  std::vector<RunReport> runs;
  for (const double epochs : {10.0, 12.0, 14.0})
    runs.push_back(run_of({2, 8, 128, 1280, epochs, 0, 0, 409.6 * epochs}, static_cast<int>(runs.size())));
  EXPECT_NEAR(figure_in(ask(runs, "nodes=2"), "epochs").high.value(), 13.6, 1e-9);
  runs[2].target_met = false;
  const WhatIfAnswer same = ask(runs, "nodes=2");
  const Predicted &epochs = figure_in(same, "epochs"), &time = figure_in(same, "time to train with staging");
  EXPECT_EQ(epochs.then, 12.0) << "the miss counts as the slowest";
  EXPECT_NEAR(epochs.low.value(), 10.4, 1e-9);
  EXPECT_FALSE(epochs.high.has_value()) << "nobody knows how long it would have taken";
  EXPECT_FALSE(time.high.has_value());
  EXPECT_FALSE(figure_in(same, "node-hours").high.has_value());
  EXPECT_NE(epochs.basis.find("3 runs at this batch, of which one missed"), std::string::npos) << epochs.basis;
}

TEST(WhatIfData, IsOneSetOnEachNodeThatReplicates) {
  const double set_gib = 16777232.0 * (524288 + 65536) / 0x1p30;
  const auto part = [](const WhatIfAnswer& answer, std::optional<double> Predicted::*when) {
    return value_in(answer, "data set's part of a node", when);
  };
  RunReport run = run_of({4, 16, 256, 2560, 18, 40, 6, 4000});
  run.facts.stage_strategy = "replicate";
  const WhatIfAnswer more = ask({run}, "nodes=8");
  EXPECT_NEAR(part(more, &Predicted::now), set_gib, 1e-6);
  EXPECT_NEAR(part(more, &Predicted::then), set_gib, 1e-6);
  EXPECT_NEAR(more.curve.back().bytes_per_node.value() / 0x1p30, set_gib, 1e-6);
  EXPECT_NEAR(part(ask({run}, "nodes=8,staging=shard"), &Predicted::then), set_gib / 8, 1e-6);
  run.facts.stage_strategy = "group";
  run.facts.stage_group = 2;
  EXPECT_NEAR(part(ask({run}, "nodes=8"), &Predicted::now), set_gib / 2, 1e-6);
  EXPECT_NEAR(part(ask({run}, "nodes=8"), &Predicted::then), set_gib / 4, 1e-6);
}

TEST(WhatIf, SaysOfFixedWorkThatItAimedAtNoTarget) {
  RunReport run = run_of({2, 8, 128, 1280, 18, 40, 6, 7550});
  run.target_met = false;
  EXPECT_TRUE(remarks_say(ask({run}, "nodes=2"), "all runs at the largest scale missed the target"));
  run.status = "fixed_work_done";
  EXPECT_TRUE(remarks_say(ask({run}, "nodes=2"), "no run at the largest scale aimed at a target"));
}

TEST(WhatIf, LeavesNoRankWithoutASample) {
  const std::vector<RunReport> runs{run_of({2, 8, 128, 1280, 18, 40, 6, 7550}),
                                    run_of({1, 8, 64, 1000, 18, 40, 6, 7550})};
  EXPECT_NE(refusal([&] { static_cast<void>(ask(runs, "nodes=8,batch=16")); }).find("leaves some of 64 ranks"),
            std::string::npos);
}

TEST(WhatIf, StartsFromTheLargestScaleThatTellsItsStep) {
  RunReport silent = run_of({8, 32, 512, 4000, 20, 40, 6, 3000});
  silent.figures.erase(silent.figures.begin() + 1);  // its rate
  const std::vector<RunReport> runs{run_of(base), silent, run_of({1, 4, 64, 700, 18, 40, 6, 14000})};
  EXPECT_NEAR(value_in(ask(runs, "nodes=8"), "step", &Predicted::now), 100.0, 1e-9);
  EXPECT_EQ(value_in(ask(runs, "nodes=8"), "ranks", &Predicted::now), 8.0);
}

TEST(WhatIfCurve, HalvesOrDoublesRanksUntilWhatIsAsked) {
  const auto places = [](const WhatIfAnswer& answer) {
    std::vector<std::pair<double, double>> found;  // ranks, nodes
    for (const ScalePoint& each : answer.curve)
      found.emplace_back(each.processes, each.nodes);
    return found;
  };
  using Places = std::vector<std::pair<double, double>>;
  const Scaled four{4, 16, 256, 2560, 18, 40, 6, 4000};
  EXPECT_EQ(places(ask({run_of(four)}, "nodes=1")), (Places{{16, 4}, {8, 2}, {4, 1}}));
  EXPECT_EQ(places(ask({run_of(base)}, "nodes=5")), (Places{{8, 2}, {16, 4}, {20, 5}})) << "and no further";
  EXPECT_EQ(places(ask({run_of(base)}, "ranks=11")), (Places{{8, 2}, {11, 3}})) << "no part of a node";
}

TEST(WhatIfCurve, HasThePartOfTheDataAndItsTierAtEachPoint) {
  const std::vector<RunReport> runs{run_of(base)};
  const std::vector<Group> groups = group_runs(runs);
  constexpr double set = 589824.0 * 16777232.0;  // of both splits
  const std::vector<Tier> tiers{{"nvme", 0.51 * set}, {"dram", 0.26 * set}};
  const auto asked = [&](const char* question) {
    return answer(parse_what_if(question), scale_rows(groups, tiers), tiers);
  };
  const WhatIfAnswer next = asked("nodes=8");
  ASSERT_EQ(next.curve.size(), 3U);
  const char* const names[] = {"nvme", "dram", "dram"};
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_NEAR(next.curve[i].bytes_per_node.value(), set / next.curve[i].nodes, 1.0);
    EXPECT_EQ(next.curve[i].tier, names[i]);
  }
  EXPECT_TRUE(remarks_say(next, "fastest tier that holds a node's part: nvme now, dram then"));
  EXPECT_TRUE(remarks_say(next, "the tier changes on the way"));
  const WhatIfAnswer whole = asked("nodes=8,staging=replicate");
  EXPECT_NEAR(whole.curve[2].bytes_per_node.value(), set, 1.0) << "all of it on each node";
  EXPECT_TRUE(remarks_say(whole, "holds a node's part: none now, none then")) << "taken to be so now, too";
  EXPECT_FALSE(remarks_say(whole, "the tier changes on the way"));
  EXPECT_NE(figure_in(whole, "data set's part of a node").basis.find("2 of them hold the same now, 8 then"),
            std::string::npos);
}

TEST(WhatIfRemarks, SayHowFarAwayTheRunsAreAndWhatTheBandRestsOn) {
  const Experience experience = published_experience();
  const WhatIfAnswer far = ask({run_of(base)}, "nodes=32"), near = ask({run_of(base)}, "nodes=16");
  EXPECT_TRUE(remarks_say(far, "extrapolated: 16 times away from the nearest run"));
  EXPECT_FALSE(remarks_say(near, "extrapolated"));
  const std::string band = fmt::format("80 % of {} published entries", experience.errors);
  EXPECT_TRUE(remarks_say(near, band));
  EXPECT_TRUE(remarks_say(near, fmt::format("within {:.0f} % a root", 100.0 * experience.error_a_root_doubling)));
  EXPECT_FALSE(remarks_say(ask({run_of(base)}, "nodes=2"), band)) << "nothing lies between";
  EXPECT_TRUE(remarks_say(near, "fewer than three runs of each configuration"));
  std::vector<RunReport> three;
  for (const double rate : {1270.0, 1280.0, 1290.0})
    three.push_back(run_of({2, 8, 128, rate, 18, 40, 6, 7550.8}, static_cast<int>(rate)));
  EXPECT_FALSE(remarks_say(ask(three, "nodes=16"), "fewer than three runs"));
  EXPECT_NEAR(value_in(ask(three, "nodes=2"), "step", &Predicted::high), 100.0 * (1.0 + 1.2816 * 10.0 / 1280.0), 1e-6)
      << "how runs differ is all of the band";
}

TEST(WhatIfRemarks, TellOfRanksThatSumOverNoNetwork) {
  const RunReport alone = run_of({1, 1, 16, 160, 18, 40, 6, 60000}),
                  one_node = run_of({1, 2, 32, 320, 18, 40, 6, 30000});
  const char *no_sums = "all runs were on one rank", *no_network = "all runs were on one node";
  EXPECT_TRUE(remarks_say(ask({alone}, "nodes=2"), no_sums));
  EXPECT_FALSE(remarks_say(ask({alone}, "nodes=1"), no_sums)) << "nor does what is asked";
  EXPECT_TRUE(remarks_say(ask({one_node}, "nodes=2"), no_network));
  EXPECT_FALSE(remarks_say(ask({one_node}, "nodes=1"), no_network));
  EXPECT_FALSE(remarks_say(ask({run_of(base)}, "nodes=4"), no_network));
  for (const RunReport& run : {alone, one_node}) {
    const WhatIfAnswer stated = ask({run}, "nodes=2,network=25GB");
    EXPECT_FALSE(remarks_say(stated, no_sums) || remarks_say(stated, no_network)) << "it is stated";
  }
}

TEST(StepModel, NamesTheBatchThatRunsOfOneLocalBatchCanTell) {
  const std::vector<StepObservation> one{{128, 8, 0.2, 0}};
  EXPECT_EQ(predict_step(one, 1024, 1, published_experience()).why_not,
            "all runs have a local batch of 8: what a step takes at 1 is not in them; report on runs at two local "
            "batches, or ask for batch=8192");
}

TEST(StepModel, GrowsALineOverLocalBatchesBeyondTheDevicesOfTheRuns) {
  const Experience experience{0.03, 9, 0.1, 29};
  const std::vector<StepObservation> two{{8, 2, 0.08, 0.01}, {16, 8, 0.20, 0.02}};  // 0.04 + 0.02 a sample
  const auto at = [&](double processes, double batch) {
    return *predict_step(two, processes, batch, experience).prediction;
  };
  for (const double inside : {8.0, 12.0, 16.0}) {
    EXPECT_NEAR(at(inside, 4).step_s, 0.12, 1e-12) << inside;
    EXPECT_NEAR(at(inside, 4).doublings, 1.0, 1e-12) << "of the local batch";
  }
  EXPECT_NEAR(at(64, 4).step_s, 0.12 * 1.06, 1e-12);
  EXPECT_NEAR(at(64, 4).doublings, 3.0, 1e-12);
  EXPECT_NEAR(at(2, 4).step_s, 0.12 / 1.06, 1e-12);
  EXPECT_NEAR(at(16, 1).doublings, 1.0, 1e-12) << "to the nearest, which is 2";
  EXPECT_NEAR(at(16, 4).high_s / 0.12 - 1.0, std::hypot(0.1, 1.2816 * 0.02), 1e-12) << "the larger deviation";
  EXPECT_EQ(at(16, 4).basis, "a line over 2 local batches");
  EXPECT_EQ(at(32, 4).basis,
            "a line over 2 local batches and 3.0 % a doubling of devices (median of 9 published pairs)");
}

TEST(StepModel, TellsNoStepOfNoTime) {
  const std::vector<StepObservation> falling{{8, 2, 0.2, 0}, {8, 4, 0.1, 0}};
  EXPECT_EQ(predict_step(falling, 8, 8, published_experience()).why_not, "the runs lead to a step of no time there");
  EXPECT_EQ(predict_step({}, 8, 6, published_experience()).why_not,
            "no run tells its step: batch, rate and number of devices are needed");
}

TEST(StepModel, ExposesOfAStatedNetworkWhatIsMoreThanWhatTheRunsHad) {
  const Experience experience{0.03, 9, 0.0, 29};
  const StatedNetwork network{1e9, 1e-3, 50e6, 0.0};  // 50 ms a gradient
  const std::vector<StepObservation> four{{4, 1, 0.200, 0}};
  // 1.5 and 1.75 gradients, 4 and 6 latencies.
  EXPECT_NEAR(predict_step(four, 8, 1, experience, network).prediction->step_s, 0.200 + 0.0125 + 0.002, 1e-12);
  EXPECT_NEAR(predict_step(four, 2, 1, experience, network).prediction->step_s, 0.200 - 0.025 - 0.002, 1e-12);
  const StatedNetwork hidden{1e9, 0.0, 50e6, 0.080};
  EXPECT_NEAR(predict_step(four, 8, 1, experience, hidden).prediction->step_s, 0.200 + 0.0075, 1e-12)
      << "80 ms hide all of 75, and all but 7.5 of 87.5";
}

TEST(ScaleRows, HoldMediansOfTheirRuns) {
  std::vector<RunReport> runs;
  for (int i = 0; i < 3; ++i) {
    runs.push_back(run_of({2, 8, 128, 1000.0 + 100 * i * i, 18.0 + i, 10.0 * i, 6.0 + i, 7000.0 + 100 * i}, i));
    runs.back().staging_outside_s = 5;
  }
  EpochReport more;
  more.whole = true;
  runs[1].epochs.push_back(more);  // without an evaluation
  runs[2].target_met = false;
  const std::vector<Group> groups = group_runs(runs);
  const ScaleRow row = scale_rows(groups, {}).at(0);
  EXPECT_EQ(row.runs, 3U);
  EXPECT_EQ(row.rate, 1100.0);
  EXPECT_EQ(row.rate_least, 1000.0);
  EXPECT_EQ(row.rate_most, 1400.0);
  EXPECT_NEAR(row.step_s.value(), 128.0 / 1100.0, 1e-12);
  EXPECT_EQ(row.staging_s, 15.0) << "on both sides of the clock";
  EXPECT_NEAR(row.evaluation_s.value(), 7.0 * 19.0 / 20.0, 1e-12) << "over all epochs";
  EXPECT_EQ(row.epochs, 19.0) << "one that missed the target is the slowest, and left out as the fastest is";
  EXPECT_EQ(row.time_s, 7100.0);
  EXPECT_NEAR(row.bytes_per_node.value(), 589824.0 * 16777232.0 / 2.0, 1.0);
  EXPECT_EQ(row.tier, "");
}

TEST(ScaleRows, HaveFactorsFromTheFirstThatIsComplete) {
  std::vector<RunReport> runs{run_of({1, 4, 64, 700, 18, 40, 6, 14000}), run_of(base),
                              run_of({4, 16, 256, 2000, 20, 30, 3, 5500})};
  runs[0].target_met = false;
  const std::vector<Group> groups = group_runs(runs);
  const std::vector<ScaleRow> rows = scale_rows(groups, {});
  EXPECT_FALSE(rows[0].factors.has_value());
  EXPECT_EQ(rows[1].factors->product(), 1.0);
  const ScaleFactors& factors = rows[2].factors.value();
  EXPECT_EQ(factors.processes, 0.5);
  EXPECT_NEAR(factors.rate, (1280.0 / 8) / (2000.0 / 16), 1e-12);
  EXPECT_NEAR(factors.epochs, 20.0 / 18.0, 1e-12);
  EXPECT_NEAR(factors.besides, (5500.0 / (20 * 524288.0 / 2000)) / (7550.8 / (18 * 524288.0 / 1280)), 1e-12);
  EXPECT_NEAR(factors.time, 5500.0 / 7550.8, 1e-12);
  EXPECT_NEAR(factors.product(), factors.time, 1e-12);
}

}  // namespace
}  // namespace trainmark::report_test

// More ranks on a node than it has CPUs: what files tell of them, and that no step is promised there.
#include <gtest/gtest.h>

#include "report/show/tables.hpp"
#include "unit/report/report_support.hpp"
#include "unit/report/scaled_runs.hpp"

namespace trainmark::report_test {
namespace {

using namespace report;

/// A run on one node of `cpus` CPUs: its ranks compute for 80 ms of a step, and several exchange for 10 of 100 ms.
RunReport on_one_node(double ranks, std::optional<double> cpus, const char* device = "cpu (oneDNN)") {
  const double exposed = ranks > 1 ? 10 : 0, step = 90 + exposed;
  RunReport run = run_of({1, ranks, 4 * ranks, 4 * ranks / (1e-3 * step), 9, 0, 1, 2000});
  run.facts.node_cpus = cpus;
  run.facts.device = device;
  run.figures.push_back({"mean step", 1.1 * step, "ms", FigureSource::measured});  // with the first
  run.figures.push_back({"mean step, compute", 88, "ms", FigureSource::measured});
  run.figures.push_back({"mean step, exposed all-reduce", 1.1 * exposed, "ms", FigureSource::measured});
  return run;
}

TEST(Oversubscribed, ANodeIsPromisedNoStepButTheLeastThatItsCpusTake) {
  const WhatIfAnswer crowded = ask({on_one_node(1, 2), on_one_node(2, 2)}, "ranks=4");
  const Predicted& step = figure_in(crowded, "step");
  EXPECT_NEAR(step.now.value(), 100, 1e-9);
  EXPECT_FALSE(step.then.has_value());
  EXPECT_FALSE(step.high.has_value());
  EXPECT_NEAR(step.low.value(), 4.0 / 2.0 * 80.0, 1e-9) << "four ranks compute for 80 ms each, two at a time";
  EXPECT_NE(step.basis.find("oversubscribed: 4 ranks on the 2 CPUs of a node"), std::string::npos) << step.basis;
  EXPECT_NEAR(value_in(crowded, "rate", &Predicted::high), 16.0 / 0.16, 1e-9);
  EXPECT_EQ(value_in(crowded, "nodes", &Predicted::then), 1.0) << "as the runs, which grew within a node";
  EXPECT_TRUE(remarks_say(crowded, "no step, epochs or time to train can be told, but the least"));
  EXPECT_TRUE(crowded.curve.empty());
  EXPECT_THROW(static_cast<void>(figure_in(crowded, "epochs")), std::runtime_error);
  EXPECT_THROW(static_cast<void>(figure_in(crowded, "time to train with staging")), std::runtime_error);
  for (const Grid& grid : {what_if_table(crowded), curve_table(crowded)})
    EXPECT_EQ(grid_text(grid).find("nan"), std::string::npos);
}

TEST(Oversubscribed, OnlyWhereTheCpusAreKnownToBeFewer) {
  constexpr double predicted_ms = 90.0 + 1.5 * 10.0;  // without what is exchanged, and that as a ring
  for (const std::optional<double> cpus : {std::optional<double>(), std::optional(4.0)})
    EXPECT_NEAR(value_in(ask({on_one_node(1, cpus), on_one_node(2, cpus)}, "ranks=4"), "step", &Predicted::then),
                predicted_ms, 1e-9);
  const WhatIfAnswer two_nodes = ask({on_one_node(1, 2), on_one_node(2, 2)}, "ranks=4,nodes=2");
  EXPECT_NEAR(value_in(two_nodes, "step", &Predicted::then), predicted_ms, 1e-9) << "two on each";
  EXPECT_TRUE(remarks_say(two_nodes, "all runs were on one node"));
  EXPECT_TRUE(remarks_say(ask({on_one_node(1, 2)}, "ranks=2"), "all runs were on one rank, which sums over no others"));
  EXPECT_EQ(value_in(ask({on_one_node(2, 2)}, "ranks=4"), "nodes", &Predicted::then), 2.0) << "as many a node";
  EXPECT_EQ(value_in(ask({on_one_node(2, 2)}, "ranks=5"), "nodes", &Predicted::then), 3.0) << "no half nodes";
}

TEST(Oversubscribed, DevicesComputeWithoutCpusSoNothingBoundsThem) {
  const Predicted step =
      figure_in(ask({on_one_node(1, 2, "cuda (H200)"), on_one_node(2, 2, "cuda (H200)")}, "ranks=4"), "step");
  EXPECT_FALSE(step.then.has_value());
  EXPECT_FALSE(step.low.has_value());
}

TEST(Oversubscribed, RunsHoldWhatItCostsAndAreSaidTo) {
  const std::vector<RunReport> runs{on_one_node(4, 2)};
  const WhatIfAnswer same = ask(runs, "nodes=2");
  EXPECT_GT(value_in(same, "step", &Predicted::then), 100.0) << "as many ranks a CPU as the runs had";
  const WhatIfAnswer more = ask(runs, "ranks=8,nodes=1");
  EXPECT_FALSE(figure_in(more, "step").low.has_value()) << "what a rank computes is not known of ranks that took turns";
  const std::vector<Group> groups = group_runs(runs);
  EXPECT_NE(grid_text(scale_table(scale_rows(groups, {}))).find("its ranks take turns on the 2 CPUs of a node"),
            std::string::npos);
}

TEST(Oversubscribed, IsAskedForWithRanksOnNodes) {
  const WhatIf question = parse_what_if("ranks=8,nodes=2");
  EXPECT_EQ(question.ranks, 8.0);
  EXPECT_EQ(question.nodes, 2.0);
  EXPECT_NE(refusal([] { static_cast<void>(parse_what_if("ranks=2,nodes=3")); }).find("fewer than 3 nodes"),
            std::string::npos);
}

/// Of a run on four ranks whose env.json has these.
std::optional<double> cpus_of(const std::string& ranks) {
  const Folder folder;
  static_cast<void>(folder.write("mlperf.log", small_log({2000, 2000}, true, record(0, "number_of_nodes", "1"))));
  static_cast<void>(folder.write("env.json", R"({"ranks": )" + ranks + "}"));
  const RunReport run = report_run(find_logs(folder.path()).at(0));
  EXPECT_EQ(notes_say(run, "oversubscribed: 4 ranks on 1 node(s)"), run.facts.ranks_a_cpu() > 1.0);
  return run.facts.node_cpus;
}

TEST(CpusOfANode, AreThoseOfTheJobAndOfItsQuota) {
  EXPECT_EQ(cpus_of(R"([{"host": "a", "cpus": [0, 1]}, {"host": "a", "cpus": [0, 1]}])"), 2.0);
  EXPECT_EQ(cpus_of(R"([{"host": "a", "cpus": [0]}, {"host": "a", "cpus": [1]}])"), std::nullopt)
      << "bound: others may be free";
  EXPECT_EQ(cpus_of(R"([{"host": "a", "cpus": [0], "node_cpus": 8}, {"host": "a", "cpus": [1], "node_cpus": 8}])"),
            8.0);
  EXPECT_EQ(cpus_of(R"([{"host": "a", "cpus": [0], "node_cpus": 8}, {"host": "b", "cpus": [0], "node_cpus": 4}])"), 4.0)
      << "the fewest";
  EXPECT_EQ(
      cpus_of(R"([{"host": "a", "cpus": [0, 1], "cpu_quota": 0.5}, {"host": "a", "cpus": [0, 1], "cpu_quota": 0.5}])"),
      1.0)
      << "each has its part of the quota";
  for (const char* broken : {"3", "[3]", "[]", R"([{"host": "a"}])", R"([{"host": 3, "cpus": [0]}])",
                             R"([{"host": "a", "cpus": []}])", R"([{"host": "a", "cpus": 2}])"})
    EXPECT_EQ(cpus_of(broken), std::nullopt) << broken;
}

}  // namespace
}  // namespace trainmark::report_test

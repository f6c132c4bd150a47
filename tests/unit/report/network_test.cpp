// What a stated network makes of the gradients that a run sends: in the form in which they travel, as far as the run
// tells it.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "unit/report/report_support.hpp"
#include "unit/report/scaled_runs.hpp"

namespace trainmark::report_test {
namespace {

using namespace report;

constexpr Scaled on_16_nodes{16, 128, 128, 8620, 18.25, 348.167, 3.4795, 1546.86};

/// What `question` says of a run whose network and wire are these.
WhatIfAnswer of_run(std::optional<double> parameters, std::string wire, const char* question) {
  RunReport run = run_of(on_16_nodes);
  run.facts.parameters = parameters;
  run.facts.wire = std::move(wire);
  return ask({run}, question);
}

TEST(StatedNetworkOfARun, SendsGradientsInTheFormOfTheWire) {
  // 100 million parameters over 1 GB/s: 0.4 s a gradient in 32 bits; all but 1/128 and 1/1024 of it twice.
  constexpr const char* question = "nodes=128,network=1GB";
  const double base = value_in(of_run(1e8, "fp32", question), "step", &Predicted::now);
  const auto grown = [&](const char* wire) {
    return value_in(of_run(1e8, wire, question), "step", &Predicted::then) - base;
  };
  const double volume = 2.0 * (1.0 / 128.0 - 1.0 / 1024.0);
  EXPECT_NEAR(grown("fp32"), 400.0 * volume, 1e-9);
  EXPECT_NEAR(grown("bf16"), 200.0 * volume, 1e-9);
  EXPECT_NEAR(grown("fp16"), 200.0 * volume, 1e-9);
  const WhatIfAnswer half = of_run(1e8, "bf16", question);
  EXPECT_NEAR(value_in(half, "gradients on the wire", &Predicted::then), 200.0, 1e-9);
  EXPECT_EQ(figure_in(half, "gradients on the wire").source, FigureSource::measured);
}

TEST(StatedNetworkOfARun, AssumesWhatTheRunDoesNotTell) {
  const auto gradients = [](std::optional<double> parameters, const char* wire) {
    return figure_in(of_run(parameters, wire, "nodes=128,network=25GB"), "gradients on the wire");
  };
  const Predicted others = gradients({}, "");
  EXPECT_NEAR(others.then.value(), 4.0 * 8.91, 1e-9);
  EXPECT_EQ(others.source, FigureSource::assumed);
  EXPECT_NE(others.basis.find("the reference network's"), std::string::npos);
  EXPECT_NE(others.basis.find("fp32: the runs do not tell"), std::string::npos);
  EXPECT_EQ(gradients(5e6, "").source, FigureSource::assumed);
  EXPECT_EQ(gradients({}, "fp16").source, FigureSource::assumed);
  EXPECT_NEAR(gradients({}, "fp16").then.value(), 2.0 * 8.91, 1e-9);
  EXPECT_NEAR(gradients(5e6, "a new word").then.value(), 20.0, 1e-9);
  EXPECT_EQ(gradients(5e6, "a new word").source, FigureSource::assumed);
}

TEST(StatedNetworkOfARun, NeedsTheParametersOfANetworkThatIsNotTheReferences) {
  RunReport run = run_of(on_16_nodes);
  run.incomparable = {"another network"};
  EXPECT_NE(refusal([&] { static_cast<void>(ask({run}, "nodes=128,network=25GB")); }).find("how many parameters"),
            std::string::npos);
  run.facts.parameters = 1e6;
  run.facts.wire = "fp32";
  EXPECT_NEAR(value_in(ask({run}, "nodes=128,network=25GB"), "gradients on the wire", &Predicted::now), 4.0, 1e-9);
}

TEST(StatedNetworkOfARun, IsSaidToBeLeftOutWhereRunsTellTheGrowth) {
  const std::vector<RunReport> runs{run_of(on_16_nodes), run_of({32, 256, 256, 17000, 18.25, 300, 3, 800})};
  const WhatIfAnswer next = ask(runs, "nodes=128,network=25GB");
  EXPECT_TRUE(remarks_say(next, "the stated network is not in the step"));
  EXPECT_FALSE(remarks_say(ask({runs[0]}, "nodes=128,network=25GB"), "the stated network is not in the step"));
}

TEST(Wire, IsTheLogsOrTheConfigsAndKeepsSeriesApart) {
  const auto logged = [](const std::string& header) {
    const Folder folder;
    return report_run(folder.write("a.log", small_log({2000, 2000}, true, header))).facts.wire;
  };
  EXPECT_EQ(logged(""), "");
  EXPECT_EQ(logged(record(0, "trainmark_wire", "\"bf16\"")), "bf16");
  EXPECT_EQ(logged(record(0, "trainmark_config", R"("{\"train\": {\"wire\": \"fp16\"}}")")), "fp16");
  EXPECT_EQ(logged(record(0, "trainmark_config", R"("{\"train\": {\"wire\": 3}}")")), "");
  std::vector<RunReport> runs{run_of(on_16_nodes), run_of({32, 256, 256, 17000, 18.25, 300, 3, 800})};
  EXPECT_EQ(series_of(runs[0]), series_of(runs[1]));
  runs[0].facts.wire = "fp32";
  EXPECT_EQ(series_of(runs[0]), series_of(runs[1])) << "what is not told is taken for fp32";
  runs[1].facts.wire = "bf16";
  EXPECT_NE(refusal([&] { static_cast<void>(ask(runs, "nodes=256")); }).find("the runs differ in wire (bf16; fp32)"),
            std::string::npos);
}

TEST(Parameters, AreThoseThatTheRunCounted) {
  const Folder folder;
  static_cast<void>(folder.write("mlperf.log", small_log({2000, 2000})));
  static_cast<void>(folder.write("run.json", R"({"status": "success", "figures": {"parameters": 319900}})"));
  EXPECT_EQ(report_run(find_logs(folder.path()).at(0)).facts.parameters, 319900);
}

}  // namespace
}  // namespace trainmark::report_test

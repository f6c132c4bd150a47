// Staging at another scale: what nodes read and hold by strategy and transport, and how --what-if tells it.
#include "report/analyse/staging_model.hpp"

#include <gtest/gtest.h>

#include "unit/report/report_support.hpp"
#include "unit/report/scaled_runs.hpp"

namespace trainmark::report_test {
namespace {

using namespace report;

/// A CosmoFlow run on 16 nodes that staged for 320 s, as its config says.
RunReport staged(const std::string& strategy, const std::string& transport, std::optional<double> group = {}) {
  RunReport run;
  run.path = "n16/mlperf.log";
  run.benchmark = "cosmoflow";
  run.division = "closed";
  run.configuration = "[]";
  run.facts.nodes = 16;
  run.facts.processes = run.facts.batch_samples = 128;
  run.facts.train_samples = 524288;
  run.facts.sample_bytes = 16777232;
  run.facts.stage_strategy = strategy;
  run.facts.stage_transport = transport;
  run.facts.stage_group = group;
  run.target_met = true;
  run.terms.staging_s = 320;
  run.figures = {{"time to train", 1546.86, "s", FigureSource::logged},
                 {"samples/s median epoch", 8620, "1/s", FigureSource::logged},
                 {"epochs to target", 18.25, "", FigureSource::logged}};
  return run;
}

TEST(StagingModel, HasSharesByGroupAndTransport) {
  EXPECT_EQ(shares_of(1, 16, false).read, 1.0 / 16);
  EXPECT_EQ(shares_of(4, 16, false).read, 0.25);
  EXPECT_EQ(shares_of(4, 16, true).read, 1.0 / 16) << "each part once for its four nodes";
  EXPECT_EQ(shares_of(4, 16, true).held, 0.25);
  EXPECT_EQ(shares_of(16, 16, true).held, 1.0);
  const StagingTime time = predict_staging(10, {0.5, 1.0}, {0.25, 1.0});
  EXPECT_EQ(time.reading_s, 5.0);
  EXPECT_EQ(time.landing_s, 10.0);
}

TEST(StagingModel, KnowsWhatTheRunsDid) {
  EXPECT_EQ(group_of(staged("shard", "auto", 1).facts), 1.0);
  EXPECT_EQ(group_of(staged("replicate", "auto", 1).facts), 16.0);
  EXPECT_EQ(group_of(staged("group", "auto", 4).facts), 4.0);
  EXPECT_FALSE(group_of(staged("group", "auto", 3).facts)) << "3 do not divide 16";
  EXPECT_FALSE(group_of(staged("", "").facts));
  EXPECT_FALSE(exchanges(staged("", "").facts).has_value());
  EXPECT_EQ(exchanges(staged("shard", "copy").facts), false);
  EXPECT_EQ(exchanges(staged("shard", "auto").facts), true);
}

TEST(WhatIfStaging, ReadsEachPartOnceOrByEachNodeAsTheTransportSays) {
  // Shards of 16 nodes took 320 s: a node's 1/16. In groups of 4 of 64 a node holds 1/16 as well.
  const Predicted copied = figure_in(ask({staged("shard", "copy")}, "nodes=64,batch=512,staging=group:4"), "staging");
  EXPECT_NEAR(copied.then.value(), 320.0, 1e-9);
  EXPECT_FALSE(copied.low || copied.high);
  const Predicted once = figure_in(ask({staged("shard", "exchange")}, "nodes=64,batch=512,staging=group:4"), "staging");
  EXPECT_NEAR(once.then.value(), 80.0, 1e-9) << "a quarter of its part off the source";
  EXPECT_NEAR(once.low.value(), 80.0, 1e-9);
  EXPECT_NEAR(once.high.value(), 320.0, 1e-9) << "it lands no less";
  // From the whole set on each of 16 nodes, read once for all: 1/16 off the source each.
  const Predicted from = figure_in(ask({staged("replicate", "auto")}, "nodes=64,batch=512,staging=shard"), "staging");
  EXPECT_NEAR(from.then.value(), 80.0, 1e-9);
  EXPECT_NEAR(from.low.value(), 5.0, 1e-9);
  EXPECT_NEAR(from.high.value(), 80.0, 1e-9);
  // The same copied by each node: a 64th of it.
  EXPECT_NEAR(figure_in(ask({staged("replicate", "copy")}, "nodes=64,batch=512,staging=shard"), "staging").then.value(),
              5.0, 1e-9);
}

TEST(WhatIfStaging, HoldsAGroupsPart) {
  const WhatIfAnswer four = ask({staged("shard", "copy")}, "nodes=64,batch=512,staging=group:4");
  const WhatIfAnswer shard = ask({staged("shard", "copy")}, "nodes=64,batch=512,staging=shard");
  const Predicted part = figure_in(four, "data set's part of a node");
  EXPECT_NEAR(part.then.value(), 4.0 * figure_in(shard, "data set's part of a node").then.value(), 1e-9);
  EXPECT_NEAR(part.then.value(), part.now.value(), 1e-9);
  EXPECT_NEAR(four.curve.back().bytes_per_node.value() / 0x1p30, part.then.value(), 1e-9);
  const Predicted all =
      figure_in(ask({staged("shard", "copy")}, "nodes=64,batch=512,staging=replicate"), "data set's part of a node");
  EXPECT_NEAR(all.then.value(), 16.0 * all.now.value(), 1e-6);
}

TEST(WhatIfStaging, WidensTheTimesBand) {
  const Predicted copied =
      figure_in(ask({staged("shard", "copy")}, "nodes=64,batch=512,staging=group:4"), "time to train with staging");
  const Predicted once =
      figure_in(ask({staged("shard", "exchange")}, "nodes=64,batch=512,staging=group:4"), "time to train with staging");
  EXPECT_NEAR(copied.then.value() - once.then.value(), 4.0, 1e-9) << "240 s";
  EXPECT_GT(once.high.value() - once.then.value(), 4.0);
}

TEST(WhatIfStaging, KeepsWhatTheRunsDidWhereNothingIsAsked) {
  EXPECT_NEAR(figure_in(ask({staged("group", "copy", 4)}, "nodes=64,batch=512"), "staging").then.value(), 80.0, 1e-9);
  const WhatIfAnswer whole = ask({staged("replicate", "copy")}, "nodes=64,batch=512");
  EXPECT_NEAR(figure_in(whole, "staging").then.value(), 320.0, 1e-9);
  EXPECT_FALSE(remarks_say(whole, "taken to be"));
  const WhatIfAnswer unknown = ask({staged("", "")}, "nodes=64,batch=512");
  EXPECT_NEAR(figure_in(unknown, "staging").then.value(), 80.0, 1e-9);
  EXPECT_TRUE(remarks_say(unknown, "taken to be its part each (staging=shard)"));
  EXPECT_TRUE(remarks_say(ask({staged("", "")}, "nodes=64,batch=512,staging=group:4"), "do not tell their transport"));
  EXPECT_NEAR(figure_in(ask({staged("", "")}, "nodes=64,batch=512,staging=replicate"), "staging").then.value(), 320.0,
              1e-9);
}

TEST(WhatIfStaging, RefusesGroupsThatCannotBe) {
  const auto refused = [](const RunReport& run, const char* question) {
    return refusal([&] { static_cast<void>(ask({run}, question)); });
  };
  EXPECT_NE(refused(staged("shard", "copy"), "nodes=64,batch=512,staging=group:5").find("groups of 5 nodes"),
            std::string::npos);
  EXPECT_NE(refused(staged("shard", "copy"), "nodes=2,batch=16,staging=group:4").find("do not divide 2"),
            std::string::npos);
  RunReport nameless = staged("shard", "copy");
  nameless.facts.nodes.reset();
  EXPECT_NE(refused(nameless, "ranks=512,batch=512,staging=group:4").find("number of nodes"), std::string::npos);
  EXPECT_NE(refusal([] { static_cast<void>(parse_what_if("nodes=2,staging=group:1.5")); }).find("no whole number"),
            std::string::npos);
  EXPECT_NE(refusal([] { static_cast<void>(parse_what_if("nodes=2,staging=group:")); }).find("not a number above 0"),
            std::string::npos);
  EXPECT_NE(refusal([] { static_cast<void>(parse_what_if("nodes=2,staging=group")); }).find("write shard, group:"),
            std::string::npos);
}

}  // namespace
}  // namespace trainmark::report_test

// Who is slow among many at the same work, and how it is told.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "run/screen/screening.hpp"

namespace trainmark {
namespace {

std::vector<bool> slow(const std::vector<double>& seconds) {
  std::vector<bool> found;
  for (const Judged& each : judge(seconds))
    found.push_back(each.slow);
  return found;
}

TEST(Judge, FindsWhoIsFarAboveTheMedian) {
  EXPECT_EQ(slow({1.00, 1.01, 0.99, 1.00, 1.20}), (std::vector<bool>{false, false, false, false, true}));
  EXPECT_EQ(slow({1.00, 1.01, 0.99, 1.00, 0.80}), std::vector<bool>(5, false)) << "fast is no fault";
  EXPECT_EQ(slow({1.0, 1.1, 0.9, 1.2, 0.8, 1.25}), std::vector<bool>(6, false)) << "all are far apart";
}

TEST(Judge, HoldsWhatIsWithinTwoPercentForAlike) {
  EXPECT_EQ(slow({1.0, 1.0, 1.0, 1.0, 1.019}), std::vector<bool>(5, false));
  EXPECT_EQ(slow({1.0, 1.0, 1.0, 1.0, 1.021}), (std::vector<bool>{false, false, false, false, true}));
}

TEST(Judge, SaysNothingOfTwo) {
  EXPECT_EQ(slow({1.0, 9.0}), std::vector<bool>(2, false));
  EXPECT_EQ(slow({9.0}), std::vector<bool>(1, false));
  EXPECT_EQ(slow({1.0, 1.0, 9.0}), (std::vector<bool>{false, false, true}));
  EXPECT_TRUE(judge({}).empty());
}

TEST(Judge, TellsByHowMuch) {
  // Median 2, median absolute deviation 0.1.
  const std::vector<Judged> judged = judge(std::vector{1.9, 2.0, 2.1, 1.8, 3.0});
  EXPECT_NEAR(judged[4].excess, 0.5, 1e-12);
  EXPECT_NEAR(judged[4].deviations, 1.0 / (1.4826 * 0.1), 1e-9);
  EXPECT_NEAR(judged[3].excess, -0.1, 1e-12);
}

ScreenedNode node_of(int node, double step_s, std::vector<double> ranks) {
  ScreenedNode made{.node = node, .host = "n" + std::to_string(node), .step_s = step_s, .judged = {}, .ranks = {}};
  for (const double alone : ranks)
    made.ranks.push_back({2 * node + static_cast<int>(made.ranks.size()), alone, 0.0, 0, {}, {}});
  return made;
}
const ScreenedWork work{"w", "cosmoflow", "bf16", "cpu", 4, {}};

TEST(Screening, SortsNodesAndJudgesRanksAmongAll) {
  const ScreenResult result =
      judged({node_of(0, 1.0, {0.9, 0.9}), node_of(1, 1.3, {0.9, 1.2}), node_of(2, 1.01, {0.9, 0.91})});
  EXPECT_EQ(result.nodes.front().host, "n1");
  EXPECT_TRUE(result.nodes.front().judged.slow);
  EXPECT_FALSE(result.nodes.front().ranks[0].judged.slow);
  EXPECT_TRUE(result.nodes.front().ranks[1].judged.slow);
  EXPECT_FALSE(result.all_alike());
  EXPECT_EQ(result.node_median_s, 1.01);
  EXPECT_EQ(result.rank_median_s, 0.9);
  const std::string text = to_text(result, work);
  EXPECT_NE(text.find("slow node: n1 (node 1), 28.7 % above the median of 3 nodes"), std::string::npos) << text;
  EXPECT_NE(text.find("slow rank: 3 on n1, 33.3 % above the median of 6 ranks"), std::string::npos) << text;
  EXPECT_EQ(text.find("nobody is out of line"), std::string::npos);
  const auto document = nlohmann::json::parse(to_json(result, work));
  EXPECT_EQ(document["nodes"][0]["ranks"][1]["slow"], true);
  EXPECT_EQ(document["nodes"][0]["ranks"][1]["rank"], 3);
  EXPECT_FALSE(document["nodes"][0]["ranks"][1].contains("core_mhz")) << "there are no sensors";
  EXPECT_EQ(document["all_alike"], false);
}

TEST(Screening, SaysWhereTooFewAreCompared) {
  const ScreenResult two = judged({node_of(0, 1.0, {1.0}), node_of(1, 5.0, {5.0})});
  EXPECT_TRUE(two.all_alike());
  EXPECT_NE(to_text(two, work).find("fewer than 3 ranks say nothing of each other"), std::string::npos);
  const ScreenResult four = judged({node_of(0, 1.0, {1.0, 1.0}), node_of(1, 5.0, {1.0, 5.0})});
  EXPECT_FALSE(four.all_alike()) << "ranks are four";
  EXPECT_NE(to_text(four, work).find("fewer than 3 nodes"), std::string::npos);
}

}  // namespace
}  // namespace trainmark

// The page's first screen and its charts: they say what the figures say, and place every mark.
#include <gtest/gtest.h>

#include <cmath>

#include "report/show/charts.hpp"
#include "report/show/headline.hpp"
#include "unit/report/report_support.hpp"

namespace trainmark::report_test {
namespace {

using namespace report;

std::size_t count_of(const std::string& text, const std::string& part) {
  std::size_t count = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1))
    ++count;
  return count;
}

Chart chart_of(std::vector<Mark> marks) { return {"title", "x", "y", true, true, {{"one", std::move(marks)}}}; }

TEST(Chart, PlacesEachMarkWithItsWhiskerAndItsWords) {
  const std::string svg = chart_svg(chart_of({{32, 10, 8.0, 12.0}, {512, 40}}));
  EXPECT_EQ(count_of(svg, "<circle"), 3U) << "two marks and the legend's";
  EXPECT_EQ(count_of(svg, "whisker"), 1U);
  EXPECT_NE(svg.find("<title>one: 40 at 512</title>"), std::string::npos);
  EXPECT_NE(svg.find(">512</text>"), std::string::npos) << "marks name their places";
}

TEST(Chart, GoesUpWhereValuesDo) {
  const std::string svg = chart_svg(chart_of({{32, 10}, {64, 20}, {128, 5}}));
  std::vector<double> heights;
  for (std::size_t at = svg.find("cy=\""); at != std::string::npos; at = svg.find("cy=\"", at + 1))
    heights.push_back(std::stod(svg.substr(at + 4)));
  ASSERT_EQ(heights.size(), 4U);
  EXPECT_LT(heights[2], heights[1]) << "20 stands above 10";
  EXPECT_GT(heights[3], heights[1]) << "5 stands below 10";
}

TEST(Chart, HasRoundNumbersOnAnAxisOfLessThanADecade) {
  const std::string svg = chart_svg(chart_of({{32, 6}, {64, 15.1669}}));  // 5.217 to 17.442 with room
  EXPECT_NE(svg.find(">10</text>"), std::string::npos);
  EXPECT_NE(svg.find(">15</text>"), std::string::npos);
  EXPECT_EQ(svg.find("17.4"), std::string::npos);
}

TEST(Chart, LeavesOutWhatHasNoPlace) {
  const std::string svg = chart_svg(chart_of({{0, 10}, {32, std::nan("")}, {64, HUGE_VAL}, {128, -3}, {256, 7}}));
  EXPECT_EQ(count_of(svg, "<circle"), 2U);
  EXPECT_EQ(svg.find("nan"), std::string::npos);
  EXPECT_EQ(svg.find("inf"), std::string::npos);
  EXPECT_TRUE(chart_svg(chart_of({{0, 10}})).empty());
  for (const Mark& alone : {Mark{1, 1}, Mark{1e90, 1e-90}, Mark{1e-99, 1e99}})
    for (const bool logarithmic : {true, false}) {
      Chart chart = chart_of({alone});
      chart.log_x = chart.log_y = logarithmic;
      EXPECT_EQ(chart_svg(chart).find("nan"), std::string::npos);
      EXPECT_LT(chart_svg(chart).size(), 20000U);
    }
}

TEST(Chart, TellsSeriesApartWithoutColour) {
  Chart chart = chart_of({{32, 1}, {64, 2}});
  chart.series.push_back({"two", {{32, 3}, {64, 4}}});
  chart.series.push_back({"three", {{32, 5}, {64, 6}}});
  const std::string svg = chart_svg(chart);
  for (const char* shape : {"class=\"s0 full\"", "class=\"s1 hollow\"", "class=\"s2 full\"", "dash0", "dash1", "dash2"})
    EXPECT_NE(svg.find(shape), std::string::npos) << shape;
}

TEST(Chart, EscapesItsWords) {
  Chart chart = chart_of({{32, 1}});
  chart.series[0].name = chart.title = "<script>";
  chart.levels.push_back({1, "<b>"});
  EXPECT_EQ(chart_svg(chart).find("<script>"), std::string::npos);
  EXPECT_EQ(chart_svg(chart).find("<b>"), std::string::npos);
}

std::string answer_to(const std::vector<RunReport>& runs, std::string_view question) {
  for (const Headline& each : headlines_of(runs))
    if (each.question == question) return each.answer;
  return "not asked";
}

TEST(Headline, AnswersWhatAReaderAsksFirst) {
  const Folder folder;
  std::vector<RunReport> runs;
  for (const int milliseconds : {29250, 59250, 119250})
    runs.push_back(report_run(folder.write(fmt::format("{}.log", milliseconds), small_log({milliseconds}))));
  EXPECT_NE(answer_to(runs, "How fast?").find("1.000 min, olympic mean of 3 runs [logged]"), std::string::npos);
  EXPECT_NE(answer_to(runs, "By the rules?").find("0 of 3 logs pass the official checks"), std::string::npos);
  EXPECT_EQ(answer_to(runs, "What binds?"), "of the clock training 99 % [logged]");
  EXPECT_NE(answer_to(runs, "What next?").find("nothing besides training takes 5 %"), std::string::npos);
  const std::vector golden_run{report_run(golden("hpc_cosmoflow_closed_v3.0.txt"))};
  EXPECT_NE(answer_to(golden_run, "By the rules?").find("1 of 1 logs pass"), std::string::npos);
  EXPECT_NE(answer_to(golden_run, "What next?").find("staging is 7 % of the clock, 15.0 s"), std::string::npos);
}

TEST(Headline, GivesInstancesOfOneJobNoOlympicMean) {
  const Folder folder;
  std::vector<RunReport> runs;
  for (const int milliseconds : {29250, 59250, 119250})
    runs.push_back(report_run(folder.write(fmt::format("{}.log", milliseconds), small_log({milliseconds}))));
  const std::string page = render_html(runs, {.instances = true, .tiers = {}, .what_if = {}});
  EXPECT_EQ(page.find("olympic mean of 3 runs"), std::string::npos);
  EXPECT_NE(page.find("no score: instances went on at the same time"), std::string::npos);
}

TEST(Headline, SaysThatNobodyMetTheTarget) {
  const Folder folder;
  const std::vector runs{report_run(folder.write("a.log", small_log({2000}, false)))};
  EXPECT_NE(answer_to(runs, "How fast?").find("no run met its target"), std::string::npos);
  EXPECT_TRUE(headlines_of({}).empty());
}

TEST(Headline, NamesInputWhereTrainingWaitsForIt) {
  const Folder folder;
  static_cast<void>(folder.write("mlperf.log", small_log({2000, 2000, 2000})));
  static_cast<void>(folder.write("epochs.csv", "epoch,wait_for_input_s,samples_per_s\n1,1,50\n2,1,50\n3,1,50\n"));
  const std::vector runs{report_run(folder.path() / "mlperf.log")};
  EXPECT_NE(answer_to(runs, "What binds?").find("of training 50 % waits for input [measured]"), std::string::npos);
  EXPECT_NE(answer_to(runs, "What next?").find("50 % of training waits for input"), std::string::npos);
}

TEST(Headline, NamesSumsWhereStepsWaitForThem) {
  const Folder folder;
  static_cast<void>(folder.write("mlperf.log", small_log({2000, 2000, 2000})));
  const auto runs = [&](double sums) {
    static_cast<void>(folder.write(
        "run.json",
        fmt::format(
            R"({{"status": "success", "figures": {{"steps": 10, "steps_s": 4.0, "compute_s": 2.0, "host_s": 0.02,
                                     "exposed_upload_s": 0.01, "exposed_all_reduce_s": {}}}}})",
            sums)));
    return std::vector{report_run(folder.path() / "mlperf.log")};
  };
  EXPECT_NE(answer_to(runs(1.6), "What binds?").find("; of a step 40 % waits for sums over ranks [measured]"),
            std::string::npos)
      << answer_to(runs(1.6), "What binds?");
  EXPECT_EQ(answer_to(runs(1.6), "What next?").find("40 % of a step waits for sums over ranks: give each rank"), 0U);
  EXPECT_EQ(answer_to(runs(0.2), "What next?").find("5 % of a step"), std::string::npos) << "that is little";
  EXPECT_EQ(answer_to(runs(0.02), "What binds?").find("of a step"), std::string::npos);
}

TEST(Page, HasChartsAboveTheTablesThatHoldTheirNumbers) {
  const Folder folder;
  std::vector<RunReport> runs;
  for (const int ranks : {8, 16, 32})
    for (const int copy : {0, 1, 2}) {
      std::string log = small_log({96000 / ranks + copy, 96000 / ranks}, true,
                                  record(0, "global_batch_size", std::to_string(ranks)) +
                                      record(0, "number_of_nodes", std::to_string(ranks / 8)));
      const std::string key = "\"number_of_ranks\", \"value\": ";
      log.replace(log.find(key) + key.size(), 1, std::to_string(ranks));
      runs.push_back(report_run(folder.write(fmt::format("{}/{}/mlperf.log", ranks, copy), log)));
    }
  Questions questions;
  questions.what_if = parse_what_if("ranks=64");
  questions.tiers = parse_tiers("dram=10MB");
  const std::string html = render_html(runs, questions);
  for (const char* title :
       {"Epochs to the target by batch", "Time to train of each run", "Rate and epochs against the fewest ranks",
        "Where a node&#39;s part of the data fits", "Step by number of ranks, with its 80 % band"})
    EXPECT_EQ(count_of(html, fmt::format(">{}</text>", title)), 1U) << title;
  EXPECT_EQ(html.find("<script"), std::string::npos);
  EXPECT_EQ(html.find("http"), std::string::npos);
  EXPECT_NE(html.find("class=\"band\""), std::string::npos);
  EXPECT_LT(html.find("How fast?"), html.find("scores by configuration"));
}

}  // namespace
}  // namespace trainmark::report_test

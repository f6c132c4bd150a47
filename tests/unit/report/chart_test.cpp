// Where pictures place what they show: marks, whiskers, roofs and ticks at coordinates that are worked out by hand from
// the frames (charts: x from 70 to 544, y from 274 up to 70; plots: x from 64 to 624, y from 200 up to 34).
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "report/show/chart.hpp"
#include "report/show/plot.hpp"

namespace trainmark::report {
namespace {

/// What stands between `before` and `behind`, each time that both do.
std::vector<std::string> all_between(const std::string& text, const std::string& before, const std::string& behind) {
  std::vector<std::string> found;
  for (std::size_t at = text.find(before); at != std::string::npos; at = text.find(before, at)) {
    at += before.size();
    found.push_back(text.substr(at, text.find(behind, at) - at));
  }
  return found;
}
using Texts = std::vector<std::string>;

/// Texts that end, begin or are centred somewhere.
Texts texts_at(const std::string& svg, const std::string& anchor) {
  Texts words;
  for (const std::string& each : all_between(svg, "text-anchor=\"" + anchor + "\"", "</text>"))
    words.push_back(each.substr(each.find('>') + 1));
  return words;
}

Chart chart_of(bool logarithmic, std::vector<Mark> marks) {
  return {"title", "across", "up", logarithmic, logarithmic, {{"one", std::move(marks)}}};
}

TEST(LinearChart, BeginsAtZeroAndLeavesATwentiethAboveItsLargest) {
  const std::string svg = chart_svg(chart_of(false, {{0, 0}, {10, 100}}));
  EXPECT_EQ(all_between(svg, "<polyline class=\"s0 line dash0\" points=\"", "\""), Texts{"70.0,274.0 521.4,79.7 "});
  EXPECT_NE(svg.find("<circle class=\"s0 full\" cx=\"521.4\" cy=\"79.7\" r=\"4\"><title>one: 100 at 10</title>"),
            std::string::npos)
      << svg;
  EXPECT_EQ(texts_at(svg, "end"), (Texts{"0", "20", "40", "60", "80", "100"}));
  EXPECT_EQ(texts_at(svg, "middle"), (Texts{"0", "2", "4", "6", "8", "10", "across"}));
  EXPECT_EQ(texts_at(svg, "start"), (Texts{"up", "one"}));
  EXPECT_EQ(all_between(svg, "<line class=\"grid\" x1=\"70\" x2=\"544\" y1=\"", "\"").front(), "274.0");
}

TEST(LinearChart, HasRoomOnBothSidesOfWhatDoesNotBeginAtZero) {
  const std::string svg = chart_svg(chart_of(false, {{10, -1}, {20, 1}}));
  // x from 9.5 to 20.5, y from -1.1 to 1.1.
  EXPECT_EQ(all_between(svg, "points=\"", "\""), Texts{"91.5,264.7 522.5,79.3 "});
  EXPECT_EQ(texts_at(svg, "end"), (Texts{"-1", "-0.5", "0", "0.5", "1"}));
}

TEST(LinearChart, NamesPlacesWhereTheyHaveNames) {
  Chart chart = chart_of(false, {{0, 1}, {1, 1}});
  chart.x_labels = {"first", "second"};
  const std::string svg = chart_svg(chart);
  // x from -0.5 to 1.5, and a twentieth of that more on either side.
  EXPECT_EQ(all_between(svg, "text-anchor=\"middle\" x=\"", "\""), (Texts{"199.3", "414.7", "307.0"}));
  EXPECT_EQ(texts_at(svg, "middle"), (Texts{"first", "second", "across"}));
}

TEST(LogarithmicChart, HasEqualRatiosAtEqualDistances) {
  const std::string svg = chart_svg(chart_of(true, {{10, 1}, {100, 10}, {1000, 100}}));
  const Texts points = all_between(svg, "points=\"", "\"");
  ASSERT_EQ(points.size(), 1U);
  EXPECT_EQ(points[0], "83.6,268.2 307.0,172.0 530.4,75.8 ") << "a ratio of 1.15 is left free on either side";
  EXPECT_EQ(texts_at(svg, "end"), (Texts{"1", "5", "20", "50"})) << "ticks with 34 pixels between them";
  EXPECT_EQ(texts_at(svg, "middle"), (Texts{"10", "100", "1000", "across"})) << "where marks are";
}

TEST(LogarithmicChart, LeavesOutNumbersThatWouldMeet) {
  const std::string svg = chart_svg(chart_of(true, {{1, 1}, {1.05, 2}, {2, 3}}));
  EXPECT_EQ(texts_at(svg, "middle"), (Texts{"1", "2", "across"}));
}

TEST(Chart, DrawsWhiskersBandsAndLevelsWhereTheirValuesAre) {
  Chart chart = chart_of(false, {{0, 50, 0.0, 100.0}, {10, 50}});
  chart.band = {{0, 50, 25.0, 75.0}, {10, 50, 0.0, 100.0}};
  chart.levels = {{50, "half"}};
  const std::string svg = chart_svg(chart);
  EXPECT_NE(svg.find("<line class=\"s0 whisker\" x1=\"70.0\" x2=\"70.0\" y1=\"274.0\" y2=\"79.7\"/>"),
            std::string::npos)
      << svg;
  EXPECT_EQ(all_between(svg, "<polygon class=\"band\" points=\"", "\""),
            Texts{"70.0,128.3 521.4,79.7 521.4,274.0 70.0,225.4 "})
      << "its upper edge there, its lower edge back";
  EXPECT_NE(svg.find("<line class=\"target\" x1=\"70\" x2=\"544\" y1=\"176.9\" y2=\"176.9\"/>"), std::string::npos);
  EXPECT_NE(svg.find("text-anchor=\"start\" x=\"550.0\" y=\"180.9\">half<"), std::string::npos);
}

TEST(Chart, MakesRoomForLevelsAboveItsMarks) {
  Chart chart = chart_of(false, {{0, 50}, {10, 50}});
  chart.levels = {{100, "more"}};
  EXPECT_NE(chart_svg(chart).find("y1=\"79.7\" y2=\"79.7\"/>"), std::string::npos);
}

TEST(Chart, NamesItsSeriesTwoARow) {
  Chart chart = chart_of(false, {{0, 0}, {10, 100}});
  chart.series.push_back({"two", {{0, 1}}, false});
  chart.series.push_back({"three", {{5, 50}}, false});
  chart.series.push_back({"four", {{5, 60}}, false});
  const std::string svg = chart_svg(chart);
  const auto place = [&](const std::string& name) {
    const std::size_t at = svg.find(">" + name + "</text>");
    const std::size_t from = svg.rfind("x=\"", at);
    return svg.substr(from, at - from);
  };
  EXPECT_EQ(place("one"), "x=\"88.0\" y=\"34.0\"");
  EXPECT_EQ(place("two"), "x=\"348.0\" y=\"34.0\"");
  EXPECT_EQ(place("three"), "x=\"88.0\" y=\"52.0\"");
  EXPECT_EQ(place("four"), "x=\"348.0\" y=\"52.0\"");
  // The plot begins a row lower, at 88: (5, 50) of 10.5 and 105 from 274 up.
  EXPECT_NE(svg.find("<path class=\"s2 full\" d=\"M295.7 180.4 l5 9 h-10 z\">"), std::string::npos) << svg;
  EXPECT_NE(svg.find("<rect class=\"s1 hollow\" x=\"66.0\" y=\"268.2\" width=\"8\" height=\"8\">"), std::string::npos);
  EXPECT_EQ(all_between(svg, "<polyline", ">").size(), 1U) << "the others are not joined";
}

TEST(Roofs, RiseWithTheirSlopeAndEndAtTheirMost) {
  Chart chart = chart_of(true, {{1, 1}, {100, 100}});
  chart.roofs = {{"memory", 1.0, std::nullopt}, {"compute", std::nullopt, 10.0}, {"link", 1.0, 10.0}};
  const std::string svg = chart_svg(chart);
  const auto line = [&](int dash) {
    return all_between(svg, "<line class=\"roof dash" + std::to_string(dash) + "\" ", "/>").at(0);
  };
  EXPECT_EQ(line(0), "x1=\"70.0\" x2=\"544.0\" y1=\"274.0\" y2=\"70.0\"");
  EXPECT_EQ(line(1), "x1=\"70.0\" x2=\"544.0\" y1=\"172.0\" y2=\"172.0\"");
  EXPECT_EQ(line(2), "x1=\"70.0\" x2=\"307.0\" y1=\"274.0\" y2=\"172.0\"");
  EXPECT_NE(svg.find("text-anchor=\"start\" x=\"550.0\" y=\"74.0\">memory<"), std::string::npos) << svg;
  EXPECT_NE(svg.find("text-anchor=\"start\" x=\"550.0\" y=\"176.0\">compute<"), std::string::npos);
  EXPECT_NE(svg.find("text-anchor=\"middle\" x=\"307.0\" y=\"166.0\">link<"), std::string::npos)
      << "where it meets its flat part";
}

TEST(Roofs, HaveTheirNamesOneBesideTheOther) {
  Chart chart = chart_of(true, {{1, 1}, {100, 100}});
  chart.roofs = {{"one", std::nullopt, 10.0},
                 {"two", std::nullopt, 10.0},
                 {"a name that is too long for the margin", std::nullopt, 10.0}};
  const std::string svg = chart_svg(chart);
  EXPECT_NE(svg.find("x=\"638.0\" y=\"176.0\">a name that is too long"), std::string::npos) << svg;
  EXPECT_NE(svg.find("x=\"550.0\" y=\"190.0\">one<"), std::string::npos);
  EXPECT_NE(svg.find("x=\"550.0\" y=\"204.0\">two<"), std::string::npos);
}

TEST(LinePlot, PlacesPointsAndTheTargetOnOneScale) {
  const std::vector<Point> points = {{1, 0.5}, {2, 0.25}, {3, 0.125}};
  const std::string svg = line_plot("metric", points, Reference{0.1, "target 0.1"});
  EXPECT_EQ(all_between(svg, "<polyline class=\"curve\" points=\"", "\""), Texts{"64.0,34.0 344.0,117.0 624.0,158.5 "});
  EXPECT_NE(svg.find("<line class=\"target\" x1=\"64\" x2=\"624\" y1=\"166.8\" y2=\"166.8\"/>"), std::string::npos)
      << svg;
  EXPECT_EQ(texts_at(svg, "end"), (Texts{"0", "0.1", "0.2", "0.3", "0.4", "0.5"}));
  EXPECT_EQ(texts_at(svg, "middle"), (Texts{"1", "2", "3", "epoch"}));
  EXPECT_NE(svg.find("cx=\"344.0\" cy=\"117.0\" r=\"3.5\"><title>epoch 2: 0.25</title>"), std::string::npos);
}

TEST(LinePlot, HoldsATargetAboveItsPointsAndValuesBelowZero) {
  const std::string above = line_plot("metric", std::vector<Point>{{1, 0.2}, {11, 0.4}}, Reference{1.0, "target"});
  EXPECT_EQ(all_between(above, "points=\"", "\""), Texts{"64.0,166.8 624.0,133.6 "});
  EXPECT_EQ(texts_at(above, "middle").size(), 12U) << "an epoch each, and the axis' name";
  const std::string below = line_plot("metric", std::vector<Point>{{1, -1.0}, {2, 1.0}}, std::nullopt);
  EXPECT_EQ(all_between(below, "points=\"", "\""), Texts{"64.0,200.0 624.0,34.0 "});
  EXPECT_EQ(texts_at(below, "end"), (Texts{"-1", "-0.5", "0", "0.5", "1"}));
  const std::string alone = line_plot("metric", std::vector<Point>{{7, 3.0}}, std::nullopt);
  EXPECT_EQ(texts_at(alone, "middle"), (Texts{"7", "8", "epoch"})) << "of one epoch, too";
}

TEST(StackedBars, ShareTheWidthOfTheLongest) {
  const std::vector<Bar> bars = {{"first", {{"a", 3.0}, {"b", 1.0}}}, {"second", {{"a", 1.0}, {"b", 1.0}}}};
  const std::string svg = stacked_bars("time", bars, "s");
  for (const char* part :
       {"<rect class=\"part0\" x=\"0.00\" y=\"72\" width=\"480.00\" height=\"20\"><title>a: 3.000 s</title>",
        "<rect class=\"part1\" x=\"480.00\" y=\"72\" width=\"160.00\" height=\"20\"><title>b: 1.000 s</title>",
        "<rect class=\"part0\" x=\"0.00\" y=\"118\" width=\"160.00\" height=\"20\">",
        "<rect class=\"part1\" x=\"160.00\" y=\"118\" width=\"160.00\" height=\"20\">",
        "y=\"67\">first (4.00 s)</text>", "y=\"113\">second (2.00 s)</text>", "<rect class=\"part0\" x=\"0\" y=\"26\"",
        "<rect class=\"part1\" x=\"38.8\" y=\"26\"", "viewBox=\"0 0 640 150\""})
    EXPECT_NE(svg.find(part), std::string::npos) << part << "\n" << svg;
  EXPECT_TRUE(stacked_bars("time", {}, "s").empty());
  EXPECT_TRUE(stacked_bars("time", std::vector<Bar>{{"none", {{"a", 0.0}}}}, "s").empty());
}

}  // namespace
}  // namespace trainmark::report

// What is written can be read again by others, and nothing from a log becomes markup.
#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <sstream>

#include "report/plot.hpp"
#include "unit/report/report_support.hpp"

namespace trainmark::report_test {
namespace {

RunReport hostile_run(const Folder& folder) {
  const std::string header = record(0, "submission_org", R"("<script>alert(1)</script>\u001b[31m")") +
                             record(0, "submission_platform", R"("\" onload=\"x")") +
                             record(0, "trainmark_note", "\"generated data: this is not an MLPerf result\"");
  return report_run(folder.write("a,\"b\"<img src=x>.log", small_log({2000, 2000, 2000}, true, header)));
}

TEST(ReportPage, EscapesWhatComesFromTheLogAndItsName) {
  const Folder folder;
  const std::string html = render_html(std::vector{hostile_run(folder)});
  EXPECT_EQ(html.find("<script"), std::string::npos);
  EXPECT_EQ(html.find("<img"), std::string::npos);
  EXPECT_NE(html.find("&lt;script&gt;alert(1)"), std::string::npos);
  EXPECT_EQ(html.find('\x1b'), std::string::npos);
  EXPECT_EQ(report::escaped("<a href='b'>\"&"), "&lt;a href=&#39;b&#39;&gt;&quot;&amp;");
}

TEST(ReportPage, TakesNothingFromElsewhereAndHasItsPlots) {
  const Folder folder;
  const std::string html = render_html(std::vector{hostile_run(folder)});
  EXPECT_EQ(html.find("http"), std::string::npos);
  EXPECT_EQ(html.find("src="), html.find("src=x&gt;"));
  std::size_t plots = 0;
  for (std::size_t at = html.find("<svg"); at != std::string::npos; at = html.find("<svg", at + 1))
    ++plots;
  EXPECT_EQ(plots, 3U);
  EXPECT_NE(html.find("target 0.124"), std::string::npos);
}

TEST(ReportPage, LeavesOutPointsThatAreNotFinite) {
  const std::vector<report::Point> points{{1, std::nan("")}, {2, 1.0}, {3, HUGE_VAL}, {4, 2.0}};
  const std::string svg = report::line_plot("x", points, std::nullopt);
  EXPECT_EQ(svg.find("nan"), std::string::npos);
  EXPECT_EQ(svg.find("inf"), std::string::npos);
  EXPECT_NE(svg.find("epoch 4"), std::string::npos);
  EXPECT_TRUE(report::line_plot("x", std::vector<report::Point>{{1, std::nan("")}}, std::nullopt).empty());
}

TEST(ReportPage, PlacesValuesThatAreHugeOrHardToTellApart) {
  for (const std::vector<report::Point>& points :
       {std::vector<report::Point>{{1, 1e308}, {2, -1e308}, {3, 0.5}}, {{1, -1e17}, {2, -1e17 - 16}}}) {
    const std::string svg = report::line_plot("t", points, report::Reference{0.25, "r"});
    EXPECT_EQ(svg.find("nan"), std::string::npos) << svg;
    EXPECT_NE(svg.find("class=\"mark\""), std::string::npos);
    EXPECT_LT(report::line_plot("t", points, std::nullopt).size(), 20000U);
  }
}

TEST(ReportLabels, StandInEveryForm) {
  const Folder folder;
  const std::vector runs{hostile_run(folder)};
  for (const std::string& text : {render_text(runs), render_json(runs), render_csv(runs), render_html(runs)}) {
    EXPECT_NE(text.find("generated data: not an MLPerf result"), std::string::npos);
    EXPECT_NE(text.find("Result not verified by MLCommons Association"), std::string::npos);
  }
}

TEST(ReportText, HasNoControlCharactersOfTheLog) {
  const Folder folder;
  EXPECT_EQ(render_text(std::vector{hostile_run(folder)}).find('\x1b'), std::string::npos);
}

TEST(ReportText, ShowsPublishedResultsOnlyBesideComparableRuns) {
  const Folder folder;
  const std::vector small{hostile_run(folder)};
  EXPECT_NE(render_text(small).find("not comparable with published results"), std::string::npos);
  EXPECT_EQ(render_text(small).find("H100"), std::string::npos);
  const std::vector full{report_run(golden("hpc_cosmoflow_closed_v3.0.txt"))};
  EXPECT_NE(render_text(full).find("H100"), std::string::npos);
}

TEST(ReportJson, CanBeParsedAndHoldsTheTerms) {
  const Folder folder;
  const auto document = nlohmann::json::parse(render_json(std::vector{hostile_run(folder)}));
  const auto& run = document.at("runs").at(0);
  double sum = 0.0;
  for (const auto& [name, figure] : run.at("figures").items())
    if (name.starts_with("term ")) sum += figure.at("value").get<double>();
  EXPECT_NEAR(sum, run.at("figures").at("run").at("value").get<double>(), 1e-9);
  EXPECT_EQ(run.at("epochs").size(), 3U);
  EXPECT_TRUE(document.at("olympic_mean_min").is_null());
}

TEST(ReportCsv, HasSixColumnsInEveryRow) {
  const Folder folder;
  std::istringstream table(render_csv(std::vector{hostile_run(folder)}));
  int rows = 0;
  for (std::string line; std::getline(table, line); ++rows) {
    bool quoted = false;
    int commas = 0;
    for (const char c : line) {
      if (c == '"') quoted = !quoted;
      if (c == ',' && !quoted) ++commas;
    }
    EXPECT_EQ(commas, 5) << line;
    EXPECT_FALSE(quoted) << line;
  }
  EXPECT_GT(rows, 15);
}

TEST(ReportFile, ReplacesTheOldOneAndLeavesNothingElse) {
  const Folder folder;
  const auto path = folder.write("report.html", "old");
  write_atomically(path, "new");
  std::ifstream file(path);
  std::string text;
  std::getline(file, text);
  EXPECT_EQ(text, "new");
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder.path()), {}), 1);
}

TEST(ReportFile, SaysWhereItCannotBeWritten) {
  const Folder folder;
  try {
    write_atomically(folder.path() / "missing/report.html", "x");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::environment);
    EXPECT_NE(std::string(error.what()).find("No such file"), std::string::npos);
  }
}

}  // namespace
}  // namespace trainmark::report_test

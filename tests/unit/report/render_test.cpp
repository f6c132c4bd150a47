// What is written can be read again by others, and nothing from a log becomes markup.
#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <sstream>

#include "report/show/grid.hpp"
#include "report/show/plot.hpp"
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

TEST(ReportText, KeepsLabelsOfALogFromSteeringATerminal) {
  const Folder folder;
  const std::string header = record(0, "trainmark_note", R"("a\u001b[31m note")");
  EXPECT_EQ(render_text(std::vector{report_run(folder.write("a.log", small_log({2000}, true, header)))}).find('\x1b'),
            std::string::npos);
}

TEST(ReportText, HasNoControlCharactersOfEitherSet) {
  EXPECT_EQ(report::printable("a\x1b[1m\x7f\xc2\x9b"
                              "31m \xc2\xa0 \xc3\xa9"),
            "a?[1m??31m \xc2\xa0 \xc3\xa9");
}

TEST(ReportText, ShowsCountsWholeAndNothingTrueAsZero) {
  EXPECT_EQ(report::value_of({"ranks", 131073, "", FigureSource::logged}), "131073");
  EXPECT_EQ(report::value_of({"samples", 1281167, "", FigureSource::logged}), "1281167");
  EXPECT_EQ(report::value_of({"target", 0.124, "", FigureSource::given}), "0.124");
  EXPECT_EQ(report::value_of({"huge", 1e300, "", FigureSource::logged}), "1e+300");
  EXPECT_EQ(report::value_of({"energy a sample", 0.000123, "J", FigureSource::measured}), "0.00012");
  EXPECT_EQ(report::value_of({"wait", 0.0, "s", FigureSource::measured}), "0.000");
  EXPECT_EQ(report::value_of({"run", 12.3456, "s", FigureSource::measured}), "12.346");
  EXPECT_EQ(report::fixed(-1e-9, 4), "-1e-09");
  EXPECT_EQ(report::fixed(0.0, 4), "0.0000");
}

TEST(ReportPage, TakesNothingFromElsewhereAndHasItsPlots) {
  const Folder folder;
  const std::string html = render_html(std::vector{hostile_run(folder)});
  EXPECT_EQ(html.find("http"), std::string::npos);
  EXPECT_EQ(html.find("src="), html.find("src=x&gt;"));
  std::size_t plots = 0;
  for (std::size_t at = html.find("<svg"); at != std::string::npos; at = html.find("<svg", at + 1))
    ++plots;
  EXPECT_EQ(plots, 4U);
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

TEST(ReportNotes, StandInEveryFormWithAttemptsAndBounds) {
  const Folder folder;
  const std::string log = small_log({2000, 2000});
  std::string cut = log.substr(0, log.find("eval_stop"));
  std::string lost = later(log, 3600000);
  lost.erase(lost.find(":::MLLOG", lost.find("eval_error")),
             lost.find(":::MLLOG", lost.find("eval_stop")) - lost.find(":::MLLOG", lost.find("eval_error")));
  lost.replace(lost.find("3604500, \"event_type\": \"POINT_IN_TIME\", \"key\": \"epoch_stop\""), 7, "3604900");
  lost.replace(lost.find("3604500, \"event_type\": \"POINT_IN_TIME\", \"key\": \"epoch_start\""), 7, "3604900");
  const std::vector runs = report_runs(folder.write("a.log", cut + "\n" + lost));
  ASSERT_EQ(runs.size(), 2U);
  EXPECT_NE(render_text(runs).find("  1.000 s   logged, at most 1.400 s"), std::string::npos);
  EXPECT_NE(render_html(runs).find("<td class=\"n\">1.000</td><td>s, at most 1.400</td>"), std::string::npos);
  EXPECT_NE(render_html(runs).find("<title>undecided: 0.400 s</title>"), std::string::npos);
  EXPECT_NE(render_csv(runs).find("a.log (attempt 2 of 2),,\"term evaluation, at most\",1.4,s,logged\n"),
            std::string::npos);
  const auto document = nlohmann::json::parse(render_json(runs));
  const auto& run = document.at("runs").at(0);
  EXPECT_NEAR(run.at("figures").at("term evaluation").at("at_most").get<double>(), 1.4, 1e-9);
  EXPECT_EQ(run.at("figures").at("term evaluation").at("value"), 1.0);
  EXPECT_FALSE(run.at("figures").at("term staging inside the clock").contains("at_most"));
  EXPECT_EQ(run.at("attempt"), 2);
  EXPECT_EQ(run.at("attempts"), 2);
  EXPECT_EQ(run.at("part"), "attempt 2 of 2");
  EXPECT_EQ(run.at("figures").at("attempts in the file").at("value"), 2);
  for (const std::string& text : {render_text(runs), render_json(runs), render_csv(runs), render_html(runs)}) {
    EXPECT_NE(text.find("attempt 1 of 2"), std::string::npos);
    EXPECT_NE(text.find("this file also holds attempt 1 (lines 1 to 9, has no run_stop)"), std::string::npos);
    EXPECT_NE(text.find("eval_start of epoch 1"), std::string::npos);
    EXPECT_NE(text.find("in no figure: 1, in line 10;"), std::string::npos);
  }
}

TEST(ReportJson, HoldsEachEpochsValuesUnderItsName) {
  const Folder folder;
  static_cast<void>(folder.write("mlperf.log", small_log({2000, 4000, 2000, 2000})));
  static_cast<void>(folder.write("epochs.csv", "epoch,wait_for_input_s,samples_per_s\n1,0.5,60\n"));
  const std::vector runs{report_run(folder.path() / "mlperf.log")};
  const auto document = nlohmann::json::parse(render_json(runs));
  const auto& epochs = document.at("runs").at(0).at("epochs");
  EXPECT_EQ(epochs.at(0), nlohmann::json::parse(R"({"epoch": 1, "epochs": 1, "train_s": 2.0, "evaluation_s": 0.5,
    "metric": 0.5, "metric_source": "logged", "wait_for_input_s": 0.5, "samples_per_s": 60.0, "rate_source": "measured",
    "slow": false})"));
  EXPECT_EQ(epochs.at(1), nlohmann::json::parse(R"({"epoch": 2, "epochs": 1, "train_s": 4.0, "evaluation_s": 0.5,
    "metric": 0.5, "metric_source": "logged", "wait_for_input_s": null, "samples_per_s": 25.0, "rate_source": "logged",
    "slow": true})"));
  EXPECT_EQ(epochs.at(3).at("metric"), 0.1);
  const std::string text = render_text(runs);
  EXPECT_NE(text.find("      1     2.000     0.500        60.0    0.500    0.50000\n"), std::string::npos) << text;
  EXPECT_NE(text.find("      2     4.000     0.500        25.0        -    0.50000  slow\n"), std::string::npos);
  const std::string csv = render_csv(runs);
  for (const std::string row : {",1,train,2,s,logged\n", ",2,evaluation,0.5,s,logged\n", ",4,metric,0.1,,logged\n",
                                ",1,samples/s,60,1/s,measured\n", ",2,samples/s,25,1/s,logged\n",
                                ",1,wait for input,0.5,s,measured\n", ",,ranks,4,,logged\n"})
    EXPECT_NE(csv.find(row), std::string::npos) << row;
  EXPECT_NE(render_html(runs).find("<tr class=\"slow\"><td class=\"n\">2</td><td class=\"n\">4.000</td>"),
            std::string::npos);
  EXPECT_NE(
      render_html(runs).find("<tr><td class=\"n\">1</td><td class=\"n\">2.000</td><td class=\"n\">0.500</td>"
                             "<td class=\"n\">60.0</td><td class=\"n\">0.500</td><td class=\"n\">0.50000</td></tr>"),
      std::string::npos);
  EXPECT_NE(render_html(runs).find("<td>ranks</td><td class=\"n\">4</td><td></td><td class=\"soft\">logged</td>"),
            std::string::npos);
}

TEST(ReportJson, HoldsPublishedRatesBesideComparableRunsOnly) {
  const auto run = [](const char* name) {
    return nlohmann::json::parse(render_json(std::vector{report_run(golden(name))})).at("runs").at(0);
  };
  const auto closed = run("hpc_cosmoflow_closed_v3.0.txt").at("published").at("rows");
  EXPECT_EQ(closed.size(), 9U) << "the six nearest and three emulated";
  EXPECT_EQ(closed.at(0).at("local_batch_samples"), 1.0);
  EXPECT_EQ(closed.back().at("entry"), "1 H100, DLIO emulation (compute only)");
  EXPECT_EQ(closed.back().at("samples_s_a_device_1_s"), 285.714);
  EXPECT_TRUE(closed.back().at("score_min").is_null());
  const auto open = run("hpc_cosmoflow_open_v3.0.txt").at("published").at("rows");
  EXPECT_EQ(open.at(0).at("entry"), "512 A64FX, Fujitsu+RIKEN 1.0");
  EXPECT_TRUE(run("hpc_oc20_closed_v3.0.txt").at("published").at("rows").empty());
}

TEST(ReportText, SetsRunsSideBySideWithTheirScore) {
  const Folder folder;
  std::vector<RunReport> runs;
  for (const int milliseconds : {29250, 59250, 119250})
    runs.push_back(report_run(folder.write(fmt::format("{}.log", milliseconds), small_log({milliseconds}))));
  EXPECT_NE(render_text(runs).find("60.00               60.00           61.00       1        1.7       -  "),
            std::string::npos)
      << render_text(runs);
  EXPECT_NE(render_text(runs).find("1.0000 min of 3 runs [logged]"), std::string::npos);
  EXPECT_NE(render_html(runs).find("<b>1.0000 min</b> [logged]"), std::string::npos);
  EXPECT_EQ(nlohmann::json::parse(render_json(runs)).at("olympic_mean_min"), 1.0);
  EXPECT_NE(render_text(std::vector{runs[0], runs[1]}).find("no olympic mean: a score needs at least three runs"),
            std::string::npos);
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
  write_report(path, "new");
  std::ifstream file(path);
  std::string text;
  std::getline(file, text);
  EXPECT_EQ(text, "new");
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder.path()), {}), 1);
}

TEST(ReportFile, SaysWhereItCannotBeWritten) {
  const Folder folder;
  try {
    write_report(folder.path() / "missing/report.html", "x");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::environment);
    EXPECT_NE(std::string(error.what()).find("No such file"), std::string::npos);
  }
}

}  // namespace
}  // namespace trainmark::report_test

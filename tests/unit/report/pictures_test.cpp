// A run's own pictures: its time line, a step term by term, and how ranks differ, from the log and from ranks.csv.
#include <gtest/gtest.h>

#include <cmath>

#include "report/parse/ranks.hpp"
#include "report/show/pictures.hpp"
#include "report/show/rows.hpp"
#include "report/show/tables.hpp"
#include "unit/report/report_support.hpp"

namespace trainmark::report_test {
namespace {

using namespace report;

/// Numbers behind each `attribute="` of rectangles of a class, in their order.
std::vector<double> numbers(const std::string& svg, std::string_view of_class, const std::string& attribute) {
  std::vector<double> found;
  const std::string rectangle = fmt::format("<rect class=\"{}\"", of_class);
  for (std::size_t at = svg.find(rectangle); at != std::string::npos; at = svg.find(rectangle, at + 1))
    found.push_back(std::stod(svg.substr(svg.find(" " + attribute + "=\"", at) + attribute.size() + 3)));
  return found;
}

std::string shown(const std::vector<TimeStretch>& stretches) {
  std::string text;
  for (const TimeStretch& each : stretches)
    text += fmt::format("{} {:g} to {:g}; ", each.term, each.begin_s, each.end_s);
  return text;
}

TEST(TimeLine, FollowsTheLogFromStagingToTheRest) {
  const Folder folder;
  const RunReport run = report_run(folder.write("a.log", small_log({1000, 2000})));
  EXPECT_EQ(shown(run.stretches),
            "staging -2 to -1; training 0 to 1; evaluation 1 to 1.5; training 1.5 to 3.5; evaluation 3.5 to 4; "
            "rest 4 to 4.25; ");
  const std::string svg = time_line(run);
  const std::vector<double> x = numbers(svg, "stretch", "x"), wide = numbers(svg, "stretch", "width"),
                            y = numbers(svg, "stretch", "y");
  ASSERT_EQ(x.size(), 6U);  // by rows: staging, training twice, evaluation twice, rest
  EXPECT_NEAR(wide[2], 2.0 * wide[1], 0.02) << "an epoch of twice the time is twice as long";
  EXPECT_NEAR(x[3], x[1] + wide[1], 0.02) << "an evaluation begins where its epoch ends";
  EXPECT_LT(x[0] + wide[0], x[1]) << "staging ends a second before run_start";
  EXPECT_LT(y[0], y[1]);
  EXPECT_EQ(y[1], y[2]);
  EXPECT_LT(y[2], y[3]);
  EXPECT_NE(svg.find(">3.00 s</text>"), std::string::npos) << "of all training";
  EXPECT_NE(svg.find("seconds from run_start on"), std::string::npos);
}

TEST(TimeLine, CutsStagingThatGoesOnOverTheStart) {
  const Folder folder;
  const std::string log = record(0, "submission_benchmark", "\"cosmoflow\"") + record(0, "staging_start") +
                          record(1000, "run_start") + record(3000, "staging_stop") +
                          record(4000, "run_stop", "null", "{\"status\": \"success\"}");
  EXPECT_EQ(shown(report_run(folder.write("a.log", log)).stretches), "staging -1 to 0; staging 0 to 2; rest 2 to 3; ");
}

TEST(TimeLine, CountsLongRunsInMinutesAndHours) {
  RunReport run;
  run.stretches = {{"training", 0.0, 1200.0}};
  EXPECT_NE(time_line(run).find("minutes from run_start on"), std::string::npos);
  EXPECT_NE(time_line(run).find("<title>training: 0 to 20</title>"), std::string::npos);
  run.stretches = {{"training", 0.0, 5 * 3600.0}};
  EXPECT_NE(time_line(run).find("<title>training: 0 to 5</title>"), std::string::npos);
  run.stretches.clear();
  EXPECT_EQ(time_line(run), "");
}

TEST(TimeLine, GivesWhatIsNotDecidedARowOfItsOwn) {
  const Folder folder;
  const std::string log = record(0, "submission_benchmark", "\"cosmoflow\"") + record(0, "run_start") +
                          record(0, "epoch_start", "null", "{\"epoch_num\": 1}") +
                          record(1000, "eval_stop", "null", "{\"epoch_num\": 1}") +
                          record(1500, "epoch_stop", "null", "{\"epoch_num\": 1}") +
                          record(2000, "run_stop", "null", "{\"status\": \"success\"}");
  EXPECT_EQ(shown(report_run(folder.write("a.log", log)).stretches),
            "undecided 0 to 1; training 1 to 1.5; rest 1.5 to 2; ");
}

TEST(TimeLine, EndsWithTheClockOfEveryLog) {
  for (const auto& log : std::filesystem::directory_iterator(golden(""))) {
    for (const RunReport& run : report_runs(log.path())) {
      double reached = 0.0, training = 0.0;
      for (const TimeStretch& each : run.stretches) {
        if (each.begin_s < 0.0) continue;
        EXPECT_EQ(each.begin_s, reached) << run.name();
        reached = each.end_s;
        if (each.term == "training") training += each.end_s - each.begin_s;
      }
      EXPECT_NEAR(reached, run.run_s, 1e-6 * run.run_s) << run.name();
      EXPECT_NEAR(training, run.terms.training_s + run.terms.cold_first_epoch_s, 1e-6 * run.run_s) << run.name();
    }
  }
}

TEST(StepWaterfall, SetsEachTermBehindTheOneBefore) {
  RunReport run;
  using enum FigureSource;
  run.figures = {{"mean step", 20.0, "ms", measured},
                 {"mean step, exposed input", 2.0, "ms", measured},
                 {"mean step, compute", 15.0, "ms", measured},
                 {"mean step, host", 3.0, "ms", measured},
                 {"step at its bound", 10.0, "ms", modelled}};
  const std::string svg = step_waterfall(run);
  const std::vector<double> x = numbers(svg, "stretch", "x"), wide = numbers(svg, "stretch", "width");
  ASSERT_EQ(x.size(), 5U);
  EXPECT_NEAR(x[1], x[0] + wide[0], 0.02);
  EXPECT_NEAR(x[2], x[1] + wide[1], 0.02);
  EXPECT_NEAR(wide[1], 7.5 * wide[0], 0.05);
  EXPECT_EQ(x[3], x[0]) << "the whole step begins with its first term";
  EXPECT_NEAR(x[3] + wide[3], x[2] + wide[2], 0.02) << "and ends with its last";
  EXPECT_NEAR(wide[4], wide[3] / 2.0, 0.02) << "the bound is half of it";
  EXPECT_NE(svg.find(">15.000 ms, 75.0 %</text>"), std::string::npos);
  run.figures.erase(run.figures.begin());
  EXPECT_EQ(step_waterfall(run), "");
}

/// Ranks of eight a node, of which `slow` computes 2 ms longer, so that the others wait for it.
RunReport run_of(std::size_t ranks, std::size_t slow) {
  RunReport run;
  run.ranks.terms = {{"compute", {}, {}}, {"exposed all-reduce", {}, {}}};
  for (std::size_t rank = 0; rank < ranks; ++rank) {
    run.ranks.hosts.push_back(fmt::format("n{}", rank / 8));
    run.ranks.step_s.push_back(0.020);
    run.ranks.terms[0].median_s.push_back(rank == slow ? 0.019 : 0.017);
    run.ranks.terms[0].p99_s.push_back(rank == 2 ? 0.030 : 0.021);
    run.ranks.terms[1].median_s.push_back(rank == slow ? 0.001 : 0.003);
    run.ranks.terms[1].p99_s.push_back(0.004);
  }
  return run;
}

TEST(RankMap, ShadesWhoTakesLongerDarkest) {
  const std::string svg = rank_map(run_of(16, 11));
  const std::vector<double> shades = numbers(svg, "shade", "fill-opacity");
  ASSERT_EQ(shades.size(), 3U * 16U + 5U) << "compute, all-reduce, step, and the key";
  for (std::size_t rank = 0; rank < 16; ++rank) {
    EXPECT_DOUBLE_EQ(shades[rank], rank == 11 ? 1.0 : 0.53) << rank;
    EXPECT_DOUBLE_EQ(shades[16 + rank], rank == 11 ? 0.06 : 0.53) << rank << ", which waits";
    EXPECT_DOUBLE_EQ(shades[32 + rank], 0.53) << rank;
  }
  EXPECT_NE(svg.find("rank 11 on n1, compute: +10.00 % of a step"), std::string::npos);
  EXPECT_NE(svg.find("10.0 % of a step less"), std::string::npos);
}

TEST(RankMap, ShowsOneAmongThousands) {
  const std::string svg = rank_map(run_of(1000, 777));
  const std::vector<double> shades = numbers(svg, "shade", "fill-opacity");
  ASSERT_EQ(shades.size(), 3U * 125U + 5U);
  for (std::size_t column = 0; column < 125; ++column)
    EXPECT_DOUBLE_EQ(shades[column], column == 777 / 8 ? 1.0 : 0.53) << column;
  EXPECT_NE(svg.find("rank 777 on n97"), std::string::npos);
  EXPECT_NE(svg.find("8 a column"), std::string::npos);
}

TEST(RankMap, DoesNotShoutWhereRanksAreAlike) {
  RunReport run = run_of(4, 99);
  run.ranks.terms[0].median_s[3] += 0.0001;  // half a percent of a step
  const std::vector<double> shades = numbers(rank_map(run), "shade", "fill-opacity");
  EXPECT_NEAR(shades[3], 0.06 + 0.94 * 0.625, 0.006) << "a quarter of the way to 2 %";
  run.ranks.step_s.assign(4, 0.0);
  EXPECT_EQ(rank_map(run), "") << "no step was taken";
  EXPECT_EQ(rank_map(run_of(1, 0)), "");
  EXPECT_EQ(rank_map(RunReport()), "");
}

TEST(RankTable, NamesWhoTakesLeastAndMost) {
  const Grid grid = rank_table(run_of(16, 11));
  ASSERT_EQ(grid.rows.size(), 3U);
  const std::vector<Cell> compute = {"compute",       17.0, 17.0,          "rank 0 on n0", 19.0,
                                     "rank 11 on n1", 30.0, "rank 2 on n0"};
  for (std::size_t i = 0; i < compute.size(); ++i) {
    if (const auto* number = std::get_if<double>(&compute[i]))
      EXPECT_NEAR(std::get<double>(grid.rows[0][i]), *number, 1e-9) << i;
    else
      EXPECT_EQ(grid.rows[0][i], compute[i]) << i;
  }
  EXPECT_EQ(grid.rows[1][3], Cell("rank 11 on n1")) << "it waits least";
  EXPECT_TRUE(rank_table(run_of(1, 0)).rows.empty());
}

const std::string head =
    "rank,host,device_throttled_by,step_median_s,exposed_input_p50_s,exposed_input_p99_s,exposed_upload_p50_s,"
    "exposed_upload_p99_s,compute_p50_s,compute_p99_s,exposed_all_reduce_p50_s,exposed_all_reduce_p99_s,host_p50_s,"
    "host_p99_s\n";

TEST(RanksCsv, IsReadByTheNamesOfItsColumns) {
  std::vector<std::string> notes;
  const RankSpread ranks =
      ranks_in(head + "0,a,\"heat, power\",0.5,1,2,3,4,5,6,7,8,9,10\n1,b,,0.25,11,12,13,14,15,16,17,18,19,20\n", notes);
  EXPECT_EQ(ranks.hosts, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(ranks.step_s, (std::vector<double>{0.5, 0.25}));
  ASSERT_EQ(ranks.terms.size(), 5U);
  for (std::size_t i = 0; i < 5; ++i) {
    const auto first = static_cast<double>(2 * i + 1);
    EXPECT_EQ(ranks.terms[i].median_s, (std::vector<double>{first, first + 10})) << ranks.terms[i].name;
    EXPECT_EQ(ranks.terms[i].p99_s, (std::vector<double>{first + 1, first + 11})) << ranks.terms[i].name;
  }
  EXPECT_EQ(ranks.terms[3].name, "exposed all-reduce");
  EXPECT_TRUE(notes.empty());
}

TEST(RanksCsv, IsNotComparedWhereARankIsMissing) {
  const std::string first = "0,a,,0.5,1,2,3,4,5,6,7,8,9,10\n";
  for (const char* second : {"2,b,,0.5,1,2,3,4,5,6,7,8,9,10\n", "1,b,,0.5,1,2,3,4,5,6,7,8,9\n",
                             "1,b,,0.5,1,2,3,4,-5,6,7,8,9,10\n", "1,b,,nan,1,2,3,4,5,6,7,8,9,10\n"}) {
    std::vector<std::string> notes;
    EXPECT_TRUE(ranks_in(head + first + second, notes).hosts.empty()) << second;
    ASSERT_EQ(notes.size(), 1U);
    EXPECT_EQ(notes[0], "ranks.csv: line 3 is not rank 1's, or lacks its times: ranks are not compared");
  }
  std::vector<std::string> notes;
  EXPECT_TRUE(ranks_in("rank,host\n0,a\n", notes).hosts.empty());
  EXPECT_TRUE(notes.empty()) << "an older version wrote no terms";
}

TEST(Rows, LeaveOutWhatHasNoPlace) {
  const std::vector<StretchRow> rows = {{"<b>", {{0, 1}, {0, HUGE_VAL}, {std::nan(""), 1}, {2, 1}}, "<i>"}};
  const std::string svg = stretches_svg("<script>", "x", rows);
  EXPECT_EQ(numbers(svg, "stretch", "x").size(), 1U);
  for (const char* word : {"nan", "inf", "<script>", "<b>", "<i>"})
    EXPECT_EQ(svg.find(word), std::string::npos) << word;
  EXPECT_EQ(stretches_svg("t", "x", std::span(rows).first(0)), "");
}

}  // namespace
}  // namespace trainmark::report_test

// Before and after: each figure of merit is found worse, better or missing, in every form, and trees of runs are read.
#include <gtest/gtest.h>

#include <functional>
#include <nlohmann/json.hpp>

#include "report/analyse/compare.hpp"
#include "unit/report/report_support.hpp"

namespace trainmark::report_test {
namespace {

/// One run's epoch takes `milliseconds`, half a second of them evaluation.
std::vector<RunReport> runs_of(const Folder& folder, const std::string& name, std::initializer_list<int> milliseconds,
                               bool meets = true, const std::string& header = {}) {
  std::vector<RunReport> runs;
  for (const int each : milliseconds)
    runs.push_back(
        report_run(folder.write(fmt::format("{}/{}/mlperf.log", name, runs.size()), small_log({each}, meets, header))));
  return runs;
}

const report::Compared& figure(const std::vector<report::Compared>& all, std::string_view name) {
  for (const report::Compared& each : all)
    if (each.merit->name == name) return each;
  throw std::runtime_error("no figure " + std::string(name));
}

TEST(Compare, FailsWhatIsWorseThanItsToleranceAndNothingElse) {
  const Folder folder;
  const auto base = runs_of(folder, "base", {9250}), slower = runs_of(folder, "new", {10250});
  const auto all = report::compare(base, slower, {{"time_to_train_s", 9.0}, {"samples_per_s_median_epoch", 11.0}});
  EXPECT_NEAR(figure(all, "time_to_train_s").worse_percent.value(), 10.0, 1e-9) << "10 s, then 11 s";
  EXPECT_TRUE(figure(all, "time_to_train_s").failed());
  EXPECT_NEAR(figure(all, "samples_per_s_median_epoch").worse_percent.value(), 100.0 * (1.0 - 9250.0 / 10250.0), 1e-6);
  EXPECT_FALSE(figure(all, "samples_per_s_median_epoch").failed());
  EXPECT_FALSE(figure(all, "samples_per_s_a_rank").failed()) << "nobody judges it";
  const auto back = report::compare(slower, base, {{"time_to_train_s", 0.0}});
  EXPECT_NEAR(figure(back, "time_to_train_s").worse_percent.value(), -100.0 / 11.0, 1e-9);
  EXPECT_FALSE(figure(back, "time_to_train_s").failed());
}

TEST(Compare, FailsAFigureThatTheNewRunsLack) {
  const Folder folder;
  const auto base = runs_of(folder, "base", {9250}), missed = runs_of(folder, "new", {9250}, false);
  const auto all = report::compare(base, missed, {{"time_to_train_s", 50.0}, {"median_step_ms", 5.0}});
  EXPECT_TRUE(figure(all, "time_to_train_s").failed());
  EXPECT_FALSE(figure(all, "median_step_ms").failed()) << "neither has it";
  EXPECT_EQ(compare_runs(base, missed, {{"time_to_train_s", 50.0}}).failures, 1);
}

TEST(Compare, TakesMediansOverRunsAndTestsThem) {
  const Folder folder;
  const auto base = runs_of(folder, "base", {9150, 9250, 59250}), now = runs_of(folder, "new", {9250, 9350, 9450});
  const auto all = report::compare(base, now, {});
  EXPECT_NEAR(figure(all, "time_to_train_s").base.value(), 10.0, 1e-9);
  EXPECT_NEAR(figure(all, "time_to_train_s").now.value(), 10.1, 1e-9);
  EXPECT_GT(figure(all, "time_to_train_s").p.value(), 0.05);
  EXPECT_FALSE(figure(report::compare(std::vector{base[0]}, now, {}), "time_to_train_s").p.has_value());
}

TEST(Compare, WritesLinesDocumentsAndJunitThatSayTheSame) {
  const Folder folder;
  const auto base = runs_of(folder, "base", {9250}), slower = runs_of(folder, "new", {10250});
  const Comparison found = compare_runs(base, slower, {{"time_to_train_s", 9.0}, {"evaluation_s", 1.0}});
  EXPECT_EQ(found.failures, 1);
  EXPECT_NE(found.text.find("fom: time_to_train_s = 11 s (base 10, 10.00 % worse, tolerance 9 %, n 1 and 1) worse\n"),
            std::string::npos)
      << found.text;
  EXPECT_NE(found.text.find("fom: evaluation_s = 0.5 s (base 0.5, 0.00 % different, tolerance 1 %, n 1 and 1) ok\n"),
            std::string::npos);
  EXPECT_NE(found.text.find("1 of 2 judged figures are worse"), std::string::npos);
  const auto document = nlohmann::json::parse(found.json);
  EXPECT_EQ(document.at("failures"), 1);
  EXPECT_EQ(document.at("compared").at("rows").at(0).at("figure"), "time_to_train_s");
  EXPECT_EQ(document.at("compared").at("rows").at(0).at("verdict"), "worse");
  EXPECT_NE(found.junit.find("<testcase classname=\"run\" name=\"time_to_train_s\"><failure message=\"worse: base 10,"),
            std::string::npos)
      << found.junit;
  EXPECT_NE(found.junit.find("failures=\"1\""), std::string::npos);
  EXPECT_NE(found.junit.find("<skipped message=\"not judged\"/>"), std::string::npos);
}

TEST(Compare, PairsConfigurationsWithTheirLike) {
  const Folder folder;
  const auto with = [&](const std::string& name, const char* batch, int time) {
    return runs_of(folder, name, {time}, true, record(0, "global_batch_size", batch)).at(0);
  };
  const std::vector base{with("a", "4", 9250), with("b", "8", 19250)};
  const std::vector now{with("c", "8", 20250), with("d", "4", 9250)};
  const auto all = report::compare(base, now, {});
  for (const report::Compared& each : all) {
    if (each.merit->name != "time_to_train_s") continue;
    EXPECT_NEAR(each.worse_percent.value(), each.group == "batch 8" ? 5.0 : 0.0, 1e-9) << each.group;
  }
  EXPECT_NE(refusal([&] {
              static_cast<void>(report::compare(base, std::vector{with("e", "16", 9250), with("f", "32", 9250)}, {}));
            }).find("none of which is the same"),
            std::string::npos);
}

TEST(Compare, RefusesRunsOfDifferentWorkloads) {
  const Folder folder;
  const auto base = runs_of(folder, "base", {9250});
  auto other = base;
  other[0].benchmark = "deepcam";
  EXPECT_NE(refusal([&] { static_cast<void>(report::compare(base, other, {})); }).find("cosmoflow and deepcam"),
            std::string::npos);
}

TEST(Tolerances, AreRefusedWithWhatIsWrongInThem) {
  const auto tolerances = [](const char* text) { return parse_tolerances(text, "t.json"); };
  EXPECT_EQ(tolerances("{\"time_to_train_s\": 5}").at("time_to_train_s"), 5.0);
  EXPECT_NE(refusal([&] { tolerances("[5]"); }).find("t.json"), std::string::npos);
  EXPECT_NE(refusal([&] { tolerances("{\"speed\": 5}"); }).find("samples_per_s_median_epoch"), std::string::npos);
  EXPECT_NE(refusal([&] { tolerances("{\"time_to_train_s\": -1}"); }).find("percent"), std::string::npos);
  EXPECT_NE(refusal([&] { tolerances("{\"time_to_train_s\": \"5\"}"); }).find("percent"), std::string::npos);
  EXPECT_EQ(refusal([&] { tolerances("{\"time_to_train_s\": 5, \"time_to_train_s\": 50}"); }),
            "t.json: the key \"time_to_train_s\" stands twice (one of the two would be ignored); remove one");
}

TEST(RunTree, IsReadToItsLeavesInTheOrderOfPaths) {
  const Folder folder;
  static_cast<void>(folder.write("n2/job/mlperf.log", small_log({2000})));
  static_cast<void>(folder.write("n1/results/system/cosmoflow/result_1.txt", small_log({2000})));
  static_cast<void>(folder.write("n1/results/system/cosmoflow/result_0.txt", small_log({2000})));
  static_cast<void>(folder.write("n1/notes.txt", "no log"));
  std::filesystem::create_directory_symlink(folder.path() / "n2", folder.path() / "latest");
  const auto logs = find_logs(folder.path());
  ASSERT_EQ(logs.size(), 3U) << "the link is not a run of its own";
  EXPECT_EQ(logs[0].filename(), "result_0.txt");
  EXPECT_EQ(logs[2], folder.path() / "n2/job/mlperf.log");
}

TEST(ManyRuns, AreOneTableWithDetailsBehind) {
  const Folder folder;
  std::vector<RunReport> runs;
  for (int i = 0; i < 9; ++i)
    runs.push_back(report_run(folder.write(fmt::format("tree/r{}/mlperf.log", i), small_log({9250 + i}))));
  const std::string text = render_text(runs);
  EXPECT_EQ(text.find("term training"), std::string::npos);
  EXPECT_NE(text.find("9 runs; --details shows each"), std::string::npos);
  EXPECT_NE(text.find("  r3\n"), std::string::npos) << "named by what differs";
  Questions questions;
  questions.details = true;
  EXPECT_NE(render_text(runs, questions).find("term training"), std::string::npos);
  const std::string html = render_html(runs);
  EXPECT_NE(html.find("<details><summary><h2>r3</h2></summary>"), std::string::npos);
  EXPECT_NE(render_html(std::span(runs).first(2)).find("<details open>"), std::string::npos);
}

}  // namespace
}  // namespace trainmark::report_test

// A step against probed ceilings: bounds, binding resource and gap by hand, and files that are missing or damaged.
#include "report/analyse/roofline.hpp"

#include <nlohmann/json.hpp>

#include "report/show/charts.hpp"
#include "unit/report/report_support.hpp"

namespace trainmark {
namespace {

using report_test::Folder;
using Json = nlohmann::json;

Json spread(double median, double n = 3) {
  return {{"median", median}, {"n", n}, {"min", 0.5 * median}, {"max", 2.0 * median}};
}
Json figure(const char* name, double median) {
  return {{"name", name}, {"source", "measured"}, {"rank", spread(median)}, {"node", spread(4 * median)}};
}

/// A rank computes 100 GFLOP/s, moves 10 GB/s of memory and reads 1 GB/s; a step computes 10 ms and moves 5 ms of
/// bytes.
Json probe() {
  Json document = {{"kind", "trainmark probe"},
                   {"format", 1},
                   {"workload", "cosmoflow"},
                   {"precision", "fp32"},
                   {"backend", "cpu (tested)"},
                   {"ranks", 4},
                   {"figures",
                    {figure("compute_fp32_flops_per_s", 100e9), figure("memory_copy_bytes_per_s", 10e9),
                     figure("read_source_bytes_per_s", 1e9)}},
                   {"all_reduce",
                    {{{"name", "bucket0"},
                      {"ranks", 4},
                      {"bytes", 1000000},
                      {"seconds", spread(0.002)},
                      {"bus_bytes_per_s", spread(0.75e9)}}}},
                   {"step",
                    {{"samples", 8},
                     {"flops", 1e9},
                     {"memory_bytes", 50e6},
                     {"host_to_device_bytes", 0},
                     {"network_bytes", 1.5e6},
                     {"storage_bytes", 4e6},
                     {"storage", "source"}}}};
  document["figures"][2]["cache"] = "cold";
  return document;
}
constexpr const char* nodes =
    "node,op,seconds,share,flops,bytes\n"
    "conv1,Conv,0.012,0.6,800000000,20000000\n"
    "pool1,Pool,0.004,0.2,1000000,30000000\n"
    "bucket0,AllReduce,0.004,0.2,0,1000000\n";
constexpr const char* outcome =
    R"({"status": "success", "figures": {"step_median_s": 0.02, "steps": 10, "wait_for_input_s": 0.01}})";

/// Of files with these contents; an empty one is not there.
RunReport report_of(const std::string& probed, const std::string& timed, const std::string& record) {
  const Folder folder;
  if (!probed.empty()) (void)folder.write("probe.json", probed);
  if (!timed.empty()) (void)folder.write("nodes.csv", timed);
  if (!record.empty()) (void)folder.write("run.json", record);
  return report_test::report_run(folder.write("mlperf.log", report_test::small_log({4000, 2000, 2000})));
}
RunReport report_on(const Json& document) { return report_of(document.dump(), nodes, outcome); }

bool says(const std::vector<std::string>& lines, const std::string& words) {
  return std::ranges::any_of(lines, [&](const auto& line) { return line.find(words) != std::string::npos; });
}
const RoofTier& tier(const RunReport& run, const std::string& name) {
  const auto found = std::ranges::find(run.roofline.tiers, name, &RoofTier::name);
  if (found == run.roofline.tiers.end()) throw std::runtime_error("no tier " + name);
  return *found;
}

TEST(Roofline, BoundsAStepByItsSlowestResource) {
  const RunReport run = report_on(probe());
  EXPECT_DOUBLE_EQ(*tier(run, "compute").bound_s(), 0.010);
  EXPECT_DOUBLE_EQ(*tier(run, "memory").bound_s(), 0.005);
  EXPECT_DOUBLE_EQ(*tier(run, "network").bound_s(), 0.002) << "what the step's sums took one after the other";
  EXPECT_DOUBLE_EQ(*tier(run, "shared file system").bound_s(), 0.004);
  EXPECT_EQ(run.roofline.tiers.size(), 4U) << "nothing goes to a device";
  EXPECT_EQ(run.roofline.binding, "compute");
  EXPECT_DOUBLE_EQ(run.roofline.bound_s, 0.010);
  EXPECT_DOUBLE_EQ(*run.roofline.gap(), 2.0);
  EXPECT_DOUBLE_EQ(report_test::value_of(run, "step at its bound"), 10.0);
  EXPECT_DOUBLE_EQ(report_test::value_of(run, "step over its bound"), 2.0);
  // conv1 multiplies for 8 ms and takes 12; pool1 moves for 3 ms and takes 4; the bucket was probed at 2 ms.
  const std::vector<RoofNode>& layers = run.roofline.nodes;
  ASSERT_EQ(layers.size(), 3U);
  EXPECT_EQ(layers[0].bound_by, "compute");
  EXPECT_DOUBLE_EQ(*layers[0].bound_s, 0.008);
  EXPECT_EQ(layers[1].bound_by, "memory");
  EXPECT_DOUBLE_EQ(*layers[1].bound_s, 0.003);
  EXPECT_EQ(layers[2].bound_by, "network");
  EXPECT_DOUBLE_EQ(*layers[2].bound_s, 0.002);
  EXPECT_EQ(run.roofline.largest, "conv1: 12.000 ms, 8.000 ms at its bound");
  EXPECT_NE(run.roofline.remedy.find("local batch"), std::string::npos) << run.roofline.remedy;
  EXPECT_TRUE(says(run.roofline.remarks, "cold page cache"));
}

TEST(Roofline, BlamesInputWhereThatIsMostOfTheExcess) {
  const RunReport run =
      report_of(probe().dump(), nodes, R"({"figures": {"step_median_s": 0.2, "steps": 10, "wait_for_input_s": 1.5}})");
  EXPECT_TRUE(run.roofline.largest.starts_with("waiting for input: 150.000 ms")) << run.roofline.largest;
  EXPECT_NE(run.roofline.remedy.find("load.threads"), std::string::npos);
}

TEST(Roofline, NamesTheResourceWhereAStepIsNearItsBound) {
  const RunReport run = report_of(probe().dump(), nodes, R"({"figures": {"step_median_s": 0.011, "steps": 10}})");
  EXPECT_NE(run.roofline.remedy.find("fewer bits"), std::string::npos) << run.roofline.remedy;
  const RunReport faster = report_of(probe().dump(), nodes, R"({"figures": {"step_median_s": 0.005, "steps": 10}})");
  EXPECT_TRUE(says(faster.roofline.remarks, "faster than its bound"));
}

TEST(Roofline, TakesTheSumOfNodesWhereNoStepWasTimed) {
  const RunReport run = report_of(probe().dump(), nodes, R"({"figures": {}})");
  EXPECT_DOUBLE_EQ(run.roofline.step_s, 0.020);
  EXPECT_NE(run.roofline.step_of.find("nodes.csv"), std::string::npos);
  const RunReport neither = report_of(probe().dump(), "", R"({"figures": {}})");
  EXPECT_FALSE(neither.roofline.gap());
  EXPECT_EQ(neither.roofline.binding, "compute");
}

TEST(Roofline, IsNotBoundByFilesThatComeFromMemory) {
  Json document = probe();
  document["step"]["storage_bytes"] = 40e6;
  const RunReport outside = report_on(document);
  EXPECT_EQ(outside.roofline.binding, "shared file system");
  EXPECT_DOUBLE_EQ(outside.roofline.bound_s, 0.040);
  const char* fits = R"({"figures": {"step_median_s": 0.02, "node_dataset_fits_memory": 1}})";
  const RunReport inside = report_of(document.dump(), nodes, fits);
  EXPECT_EQ(inside.roofline.binding, "compute");
  EXPECT_DOUBLE_EQ(inside.roofline.bound_s, 0.010);
  EXPECT_TRUE(says(inside.roofline.remarks, "come from there after the first epoch"));
  document["figures"][2]["cache"] = "warm";
  EXPECT_EQ(report_of(document.dump(), nodes, fits).roofline.binding, "shared file system")
      << "that is what memory gives";
}

TEST(Roofline, NamesAllThatBindAlike) {
  Json document = probe();
  document["step"]["memory_bytes"] = 100e6;
  EXPECT_EQ(report_on(document).roofline.binding, "compute and memory");
  document["step"]["storage_bytes"] = 10e6;
  EXPECT_EQ(report_on(document).roofline.binding, "compute and memory and shared file system");
  EXPECT_EQ(report::binding_of({}), "");
}

TEST(Roofline, IsNotBoundByWhatWasNotMeasured) {
  Json document = probe();
  document["figures"][0]["rank"]["median"] = 0.0;
  const RunReport run = report_on(document);
  EXPECT_FALSE(tier(run, "compute").ceiling);
  EXPECT_FALSE(tier(run, "compute").bound_s());
  EXPECT_EQ(run.roofline.binding, "memory");
  EXPECT_TRUE(says(run.roofline.remarks, "compute has no ceiling"));
  EXPECT_TRUE(report_test::notes_say(run, "1 figures have no value above 0"));
  EXPECT_EQ(run.roofline.nodes[0].bound_by, "memory");
  document["figures"] = Json::array();
  document["all_reduce"] = Json::array();
  const RunReport none = report_on(document);
  EXPECT_EQ(none.roofline.binding, "");
  EXPECT_FALSE(none.roofline.gap());
  EXPECT_FALSE(none.roofline.nodes[0].bound_s);
  EXPECT_NE(render_text(std::span(&none, 1)).find("no ceiling"), std::string::npos);
}

TEST(Roofline, SaysWhichCommandMakesWhatIsMissing) {
  const RunReport bare = report_of("", nodes, outcome);
  EXPECT_TRUE(says(bare.roofline.remarks, "`trainmark run --probe` leaves one"));
  EXPECT_TRUE(bare.roofline.tiers.empty());
  const RunReport layerless = report_of(probe().dump(), "", outcome);
  EXPECT_TRUE(says(layerless.roofline.remarks, "`trainmark run --measure-nodes` leaves one"));
  EXPECT_EQ(layerless.roofline.binding, "compute");
  const RunReport others = report_of("", "", "");
  EXPECT_TRUE(others.roofline.remarks.empty()) << "of a log of another program nothing is expected";
  EXPECT_EQ(render_text(std::span(&others, 1)).find("ceiling"), std::string::npos);
}

TEST(Roofline, SurvivesDamagedFiles) {
  for (const char* damaged : {"{", "[]", "{}", "null", R"({"kind": "trainmark probe", "format": 2})"}) {
    const RunReport run = report_of(damaged, nodes, outcome);
    EXPECT_TRUE(run.roofline.tiers.empty()) << damaged;
    EXPECT_TRUE(report_test::notes_say(run, "probe.json is not")) << damaged;
    EXPECT_NO_THROW((void)render_model(std::span(&run, 1)));
  }
  // Every value of the document, one after the other, becomes something else.
  const Json whole = probe();
  const Json flat = whole.flatten();
  for (const auto& [pointer, value] : flat.items()) {
    for (const Json& other : {Json("text"), Json(nullptr), Json(-1.0), Json::array({1}), Json::object(), Json(1e300)}) {
      Json document = whole;
      document[Json::json_pointer(pointer)] = other;
      const RunReport run = report_on(document);
      const std::string page = render_html(std::span(&run, 1)) + render_text(std::span(&run, 1));
      EXPECT_EQ(page.find("nan"), std::string::npos) << pointer << " is " << other;
      for (const RoofTier& each : run.roofline.tiers) {
        EXPECT_GT(each.work, 0.0);
        if (each.ceiling) {
          EXPECT_GT(each.ceiling->median, 0.0) << pointer << " is " << other;
        }
      }
    }
  }
}

TEST(Roofline, IsOfTheRunsOwnLaunch) {
  Json document = probe();
  document["ranks"] = 2;
  const RunReport run = report_on(document);
  EXPECT_TRUE(run.roofline.tiers.empty());
  EXPECT_TRUE(says(run.roofline.remarks, "probe.json is of 2 ranks, the run of 4"));
}

TEST(Roofline, ReadsRowsThatAreWhole) {
  const RunReport run = report_of(probe().dump(), std::string(nodes) + "conv2,Conv,x,0,1,1\nconv3,Conv,0.1\n", outcome);
  EXPECT_EQ(run.roofline.nodes.size(), 3U);
  EXPECT_TRUE(report_test::notes_say(run, "nodes.csv: 2 rows cannot be read"));
  EXPECT_TRUE(report_of(probe().dump(), "some,thing\n1,2\n", outcome).roofline.nodes.empty());
}

TEST(Roofline, StandsInTextPageAndJson) {
  const RunReport run = report_on(probe());
  const std::string text = render_text(std::span(&run, 1)), page = render_html(std::span(&run, 1));
  for (const char* words :
       {"A step on a rank against its ceilings", "Layers of a step", "bound by compute: at least 10.000 ms",
        "2.00 times the bound", "most beyond its bound: conv1", "next: "}) {
    EXPECT_NE(text.find(words), std::string::npos) << words << "\n" << text;
    EXPECT_NE(page.find(words), std::string::npos) << words;
  }
  EXPECT_NE(page.find("Roofs of a rank"), std::string::npos);
  EXPECT_NE(page.find("class=\"roof dash0\""), std::string::npos);
  EXPECT_NE(page.find("class=\"roof dash1\""), std::string::npos);
  const Json document = Json::parse(render_json(std::span(&run, 1)));
  const Json& rows = document["runs"][0]["roofline"][0]["rows"];
  EXPECT_EQ(rows[0]["resource"], "compute");
  EXPECT_DOUBLE_EQ(rows[0]["at_least_ms"].get<double>(), 10.0);
  EXPECT_EQ(document["runs"][0]["roofline"][0]["sources"]["at_least_ms"], "modelled");
  EXPECT_EQ(document["runs"][0]["roofline"][0]["sources"]["ceiling_1e9_s"], "measured");
}

TEST(RooflineChart, HasARoofForEachResourceAndNeedsOneForComputing) {
  const RunReport run = report_on(probe());
  const auto chart = report::roofline_chart(run.roofline);
  ASSERT_TRUE(chart);
  ASSERT_EQ(chart->roofs.size(), 4U);
  EXPECT_EQ(chart->roofs[0].name, "compute");
  EXPECT_DOUBLE_EQ(*chart->roofs[0].most, 100.0);
  EXPECT_EQ(chart->roofs[1].name, "memory");
  EXPECT_DOUBLE_EQ(*chart->roofs[1].slope, 10.0);
  ASSERT_EQ(chart->series.size(), 2U);
  EXPECT_DOUBLE_EQ(chart->series[0].marks[0].x, 40.0) << "FLOP a byte of conv1";
  EXPECT_DOUBLE_EQ(chart->series[0].marks[0].y, 800.0 / 12.0);
  EXPECT_DOUBLE_EQ(chart->series[1].marks[0].x, 20.0) << "of the step, by bytes of memory";
  EXPECT_DOUBLE_EQ(chart->series[1].marks[0].y, 50.0);
  EXPECT_FALSE(report::roofline_chart(Roofline{}));
}

TEST(Model, HasEachNumberWithItsSource) {
  const std::vector<RunReport> runs = {report_on(probe()), report_of("", "", outcome)};
  const Json document = Json::parse(render_model(runs));
  EXPECT_EQ(document["kind"], "trainmark model");
  const Json& run = document["runs"][0];
  EXPECT_EQ(run["step"]["flops"], (Json{{"value", 1e9}, {"source", "modelled"}}));
  EXPECT_EQ(run["step"]["memory_bytes"]["value"], 50e6);
  EXPECT_EQ(run["step"]["network_bytes"]["value"], 1.5e6);
  EXPECT_EQ(run["step"]["shared_file_system_bytes"]["value"], 4e6);
  EXPECT_FALSE(run["step"].contains("host_link_bytes"));
  EXPECT_EQ(run["step"]["seconds"], (Json{{"value", 0.02}, {"source", "measured"}}));
  EXPECT_EQ(run["step"]["bound_by"], "compute");
  EXPECT_EQ(run["messages"][0]["bytes"]["value"], 1e6);
  EXPECT_EQ(run["messages"][0]["seconds"]["source"], "measured");
  EXPECT_EQ(run["messages"][0]["seconds"]["n"], 3);
  EXPECT_EQ(run["ceilings_a_rank"]["memory_copy_bytes_per_s"]["value"], 10e9);
  EXPECT_EQ(run["ceilings_a_rank"]["read_source_bytes_per_s"]["cache"], "cold");
  EXPECT_EQ(run["layers"][0]["seconds"], (Json{{"value", 0.012}, {"source", "measured"}}));
  EXPECT_EQ(run["layers"][0]["bound_by"], "compute");
  EXPECT_FALSE(document["runs"][1].contains("step"));
  EXPECT_TRUE(document["runs"][1]["remarks"][0].get<std::string>().find("--probe") != std::string::npos);
}

}  // namespace
}  // namespace trainmark

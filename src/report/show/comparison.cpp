// A comparison for people, for programs that look for figures of merit (ReFrame, Ramble), and as JUnit XML.
#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

#include "mllog/utf8.hpp"
#include "report/analyse/compare.hpp"
#include "report/analyse/groups.hpp"
#include "report/show/grid.hpp"
#include "report/show/plot.hpp"

namespace trainmark {
namespace {

using report::Compared;

std::string_view verdict_of(const Compared& each) {
  if (each.failed()) return each.now ? "worse" : "missing";
  if (!each.tolerance_percent) return "not judged";
  return each.base ? "ok" : "nothing to compare with";
}

std::string number(const std::optional<double>& value) { return value ? fmt::format("{:.6g}", *value) : "-"; }

std::string told(const Compared& each) {
  std::string text = fmt::format("base {}", number(each.base));
  if (each.worse_percent && std::isfinite(*each.worse_percent))
    text += fmt::format(", {:.2f} % {}", std::abs(*each.worse_percent),
                        *each.worse_percent > 0.0   ? "worse"
                        : *each.worse_percent < 0.0 ? "better"
                                                    : "different");
  if (each.tolerance_percent) text += fmt::format(", tolerance {:g} %", *each.tolerance_percent);
  if (each.p) text += fmt::format(", p {:.3g}", *each.p);
  text += fmt::format(", n {} and {}", each.base_runs, each.now_runs);
  if (each.base_missed + each.now_missed > 0)
    text += fmt::format(", of which {} and {} missed the target", each.base_missed, each.now_missed);
  return text;
}

std::set<std::string> tasks_of(std::span<const RunReport> runs) {
  std::set<std::string> tasks;
  for (const RunReport& run : runs)
    tasks.insert(report::task_of(run));
  return tasks;
}

}  // namespace

Comparison compare_runs(std::span<const RunReport> base, std::span<const RunReport> now,
                        const std::map<std::string, double>& tolerances) {
  const std::vector<Compared> all = report::compare(base, now, tolerances);
  Comparison comparison;
  report::Grid grid{"new against base",
                    {{"configuration"},
                     {"figure"},
                     {"unit"},
                     {"base", "", std::nullopt, 4},
                     {"new", "", std::nullopt, 4},
                     {"n of base", "", std::nullopt, 0},
                     {"n of new", "", std::nullopt, 0},
                     {"worse by", "%", FigureSource::modelled, 2},
                     {"tolerance", "%", FigureSource::given, 2},
                     {"p", "", FigureSource::modelled, 4},
                     {"verdict"}},
                    {},
                    {"medians over the runs, those that missed the target as the longest; p: Welch's test, from three "
                     "runs each, all on target"}};
  std::string cases;
  std::size_t failures = 0, skipped = 0;
  for (const Compared& each : all) {
    const std::string group = report::printable(each.group.empty() ? std::string("run") : each.group);
    comparison.text += fmt::format("fom: {}{} = {}{}{} ({}) {}\n", each.group.empty() ? "" : group + ": ",
                                   each.merit->name, number(each.now), each.merit->unit.empty() ? "" : " ",
                                   each.merit->unit, told(each), verdict_of(each));
    grid.rows.push_back({group, std::string(each.merit->name), std::string(each.merit->unit), report::cell(each.base),
                         report::cell(each.now), report::count_of(each.base_runs), report::count_of(each.now_runs),
                         report::cell(each.worse_percent), report::cell(each.tolerance_percent), report::cell(each.p),
                         std::string(verdict_of(each))});
    failures += each.failed();
    const bool skip = !each.tolerance_percent || !each.base;
    skipped += skip;
    cases += fmt::format("  <testcase classname=\"{}\" name=\"{}\">", report::escaped(group), each.merit->name);
    if (each.failed())
      cases += fmt::format("<failure message=\"{}: {}\"/>", verdict_of(each), report::escaped(told(each)));
    else if (skip)
      cases += fmt::format("<skipped message=\"{}\"/>", verdict_of(each));
    cases += "</testcase>\n";
  }
  if (tasks_of(base) != tasks_of(now)) {
    const std::string note = "networks, training sets or targets of both sides differ: so may times for that alone";
    comparison.text += "note: " + note + "\n";
    grid.remarks.push_back(note);
  }
  comparison.failures = static_cast<int>(failures);
  comparison.text +=
      fmt::format("{} of {} judged figures are worse than their tolerance\n", failures, all.size() - skipped);
  comparison.json =
      json_text(nlohmann::ordered_json{{"failures", failures}, {"compared", report::grid_json(grid)}}, 2) + "\n";
  comparison.junit = fmt::format(
      "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuite name=\"trainmark report --compare\" tests=\"{}\" "
      "failures=\"{}\" skipped=\"{}\" errors=\"0\">\n{}</testsuite>\n",
      all.size(), failures, skipped, cases);
  return comparison;
}

}  // namespace trainmark

// What is asked of finished reports: a figure by its name, and the score of several runs.
#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include "report/analyse/throughput.hpp"
#include "trainmark/mllog.hpp"

namespace trainmark {

std::string_view name_of(FigureSource source) noexcept {
  switch (source) {
    case FigureSource::measured:
      return "measured";
    case FigureSource::logged:
      return "logged";
    case FigureSource::modelled:
      return "modelled";
    case FigureSource::assumed:
      return "assumed";
    case FigureSource::given:
      return "given";
  }
  return "";
}

const Figure* RunReport::find(std::string_view name) const noexcept {
  const auto found =
      std::find_if(figures.begin(), figures.end(), [name](const auto& each) { return each.name == name; });
  return found == figures.end() ? nullptr : &*found;
}

namespace {

std::optional<double> mean_of_the_middle(std::vector<double> times) {
  std::sort(times.begin(), times.end());
  double sum = 0.0;
  for (std::size_t i = 1; i + 1 < times.size(); ++i)
    sum += times[i];
  if (std::isinf(sum)) return std::nullopt;
  return sum / static_cast<double>(times.size() - 2) / 60.0;
}

/// Instances of one job: their score is the time to train all (throughput_of).
bool at_once(const RunReport& one, const RunReport& other) {
  return one.start_ms < other.stop_ms && other.start_ms < one.stop_ms;
}

}  // namespace

OlympicScore olympic_score(std::span<const RunReport> runs, bool instances) {
  std::vector<report::Group> groups = report::group_runs(runs);
  if (runs.size() >= 3 && groups.size() > 1) return {.why_not = "the runs are of different configurations"};
  return groups.empty() || runs.size() < 3 ? OlympicScore{.why_not = "a score needs at least three runs"}
                                           : report::score_of(groups.front(), instances);
}

}  // namespace trainmark

namespace trainmark::report {

OlympicScore score_of(const Group& group, bool instances) {
  const bool of_one_job = instances || are_instances(group);
  const auto aims = [](const RunReport* run) { return run->status != word(Ending::fixed_work_done); };
  if (group.runs.size() < 3) return {.why_not = "a score needs at least three runs"};
  std::vector<double> times, longest;
  std::map<std::string_view, std::vector<const RunReport*>> files;
  for (const RunReport* run : group.runs) {
    if (run->broke_off || !aims(run)) continue;
    std::vector<const RunReport*>& beside = files[of_one_job ? std::string_view() : run->path];
    if (std::ranges::any_of(beside, [run](const RunReport* each) { return at_once(*run, *each); }))
      return {.why_not = "instances went on at the same time: their score is the time to train all"};
    beside.push_back(run);
    const Figure* time = run->find("time to train");
    const bool counts = run->target_met && time != nullptr;
    times.push_back(counts ? time->value : std::numeric_limits<double>::infinity());
    longest.push_back(counts ? time->at_most.value_or(time->value) : times.back());
  }
  if (times.empty() && !std::ranges::all_of(group.runs, aims))
    return {.why_not = "the runs are for fixed work and have no time to train"};
  if (times.size() < 3)
    return {.why_not = "a score needs at least three runs that came to an end; the others broke off"};
  const auto mean = mean_of_the_middle(times);
  if (!mean) return {.why_not = "more than one run missed the target"};
  const auto most = mean_of_the_middle(longest);
  return {mean, most == mean ? std::nullopt : most, {}, times.size()};
}

}  // namespace trainmark::report

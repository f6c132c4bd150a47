// What is asked of finished reports: a figure by its name, and the score of several runs.
#include <algorithm>
#include <cmath>
#include <limits>

#include "trainmark/report.hpp"

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

/// Instances of one job: their score is the time to train all.
bool at_once(const RunReport& one, const RunReport& other) {
  return one.path == other.path && one.start_ms < other.stop_ms && other.start_ms < one.stop_ms;
}

}  // namespace

OlympicScore olympic_score(std::span<const RunReport> runs) {
  if (runs.size() < 3) return {std::nullopt, std::nullopt, "a score needs at least three runs"};
  std::vector<double> times, longest;
  for (const RunReport& run : runs) {
    if (run.configuration != runs.front().configuration)
      return {std::nullopt, std::nullopt, "the runs are of different configurations"};
    const auto beside = [&run](const RunReport& each) { return &each != &run && at_once(run, each); };
    if (std::any_of(runs.begin(), runs.end(), beside))
      return {std::nullopt, std::nullopt, "runs of one file went on at the same time"};
    const Figure* time = run.find("time to train");
    const bool counts = run.target_met && time != nullptr;
    times.push_back(counts ? time->value : std::numeric_limits<double>::infinity());
    longest.push_back(counts ? time->at_most.value_or(time->value) : times.back());
  }
  const auto mean = mean_of_the_middle(times);
  if (!mean) return {std::nullopt, std::nullopt, "more than one run missed the target"};
  const auto most = mean_of_the_middle(longest);
  return {mean, most == mean ? std::nullopt : most, {}};
}

}  // namespace trainmark

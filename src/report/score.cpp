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
  }
  return "";
}

const Figure* RunReport::find(std::string_view name) const noexcept {
  const auto found =
      std::find_if(figures.begin(), figures.end(), [name](const auto& each) { return each.name == name; });
  return found == figures.end() ? nullptr : &*found;
}

Score olympic_score(std::span<const RunReport> runs) {
  if (runs.size() < 3) return {std::nullopt, "a score needs at least three runs"};
  std::vector<double> times;
  for (const RunReport& run : runs) {
    if (run.configuration != runs.front().configuration)
      return {std::nullopt, "the runs are of different configurations"};
    times.push_back(run.target_met ? run.run_s : std::numeric_limits<double>::infinity());
  }
  std::sort(times.begin(), times.end());
  double sum = 0.0;
  for (std::size_t i = 1; i + 1 < times.size(); ++i)
    sum += times[i];
  if (std::isinf(sum)) return {std::nullopt, "more than one run missed the target"};
  return {sum / static_cast<double>(times.size() - 2) / 60.0, {}};
}

}  // namespace trainmark

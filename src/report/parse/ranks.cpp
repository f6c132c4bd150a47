#include "report/parse/ranks.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <sstream>

#include "report/parse/ceilings.hpp"

namespace trainmark::report {
namespace {

/// A line's cells by the names of the first.
class Table {
 public:
  explicit Table(const std::string& head) : names_(cells_of(head)) {}
  [[nodiscard]] bool has(std::string_view name) const { return std::ranges::find(names_, name) != names_.end(); }
  void take(const std::string& line) { cells_ = cells_of(line); }
  [[nodiscard]] std::string text(std::string_view name) const {
    const auto at = static_cast<std::size_t>(std::ranges::find(names_, name) - names_.begin());
    return at < cells_.size() ? cells_[at] : std::string();
  }
  [[nodiscard]] std::optional<double> number(std::string_view name) const { return number_in_cell(text(name)); }

 private:
  std::vector<std::string> names_, cells_;
};

}  // namespace

RankSpread ranks_in(const std::string& text, std::vector<std::string>& notes) {
  std::istringstream stream(text);
  std::string line;
  std::getline(stream, line);
  Table table(line);
  RankSpread ranks;
  for (const auto& [column, name] : step_terms) {
    if (!table.has(fmt::format("{}_p50_s", column))) return {};
    ranks.terms.push_back({std::string(name), {}, {}});
  }
  while (std::getline(stream, line)) {
    table.take(line);
    bool whole = table.number("rank") == static_cast<double>(ranks.hosts.size()) && table.number("step_median_s");
    ranks.hosts.push_back(table.text("host"));
    ranks.step_s.push_back(table.number("step_median_s").value_or(0.0));
    for (std::size_t i = 0; i < step_terms.size(); ++i) {
      const auto median = table.number(fmt::format("{}_p50_s", step_terms[i].key));
      const auto p99 = table.number(fmt::format("{}_p99_s", step_terms[i].key));
      whole = whole && median && p99;
      ranks.terms[i].median_s.push_back(median.value_or(0.0));
      ranks.terms[i].p99_s.push_back(p99.value_or(0.0));
    }
    if (whole) continue;
    notes.push_back(fmt::format("ranks.csv: line {} is not rank {}'s, or lacks its times: ranks are not compared",
                                ranks.hosts.size() + 1, ranks.hosts.size() - 1));
    return {};
  }
  return ranks;
}

}  // namespace trainmark::report

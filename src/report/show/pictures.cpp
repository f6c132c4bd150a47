#include "report/show/pictures.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>

#include "report/show/rows.hpp"
#include "report/show/tables.hpp"

namespace trainmark::report {
namespace {

/// Seconds, or what people count long times in.
struct TimeUnit {
  std::string_view name;
  double seconds;
};
TimeUnit unit_for(double seconds) {
  if (seconds > 3 * 3600.0) return {"hours", 3600.0};
  if (seconds > 10 * 60.0) return {"minutes", 60.0};
  return {"seconds", 1.0};
}

/// "rank 7 on node3".
std::string shown(const RankSpread& ranks, std::size_t rank) {
  return fmt::format("rank {} on {}", rank, ranks.hosts[rank]);
}

}  // namespace

std::string time_line(const RunReport& run) {
  if (run.stretches.empty()) return {};
  const TimeUnit unit = unit_for(run.stretches.back().end_s - std::min(0.0, run.stretches.front().begin_s));
  std::vector<StretchRow> rows;
  for (const std::string_view term : {"staging", "training", "evaluation", "rest", "undecided"}) {
    StretchRow row{std::string(term), {}, {}};
    double sum = 0.0;
    for (const TimeStretch& each : run.stretches) {
      if (each.term != term) continue;
      row.stretches.push_back({each.begin_s / unit.seconds, each.end_s / unit.seconds});
      sum += each.end_s - each.begin_s;
    }
    if (row.stretches.empty()) continue;
    row.value = fmt::format("{:.2f} s", sum);
    rows.push_back(std::move(row));
  }
  return stretches_svg("What the run did when [logged]", fmt::format("{} from run_start on", unit.name), rows);
}

std::string step_waterfall(const RunReport& run) {
  const Figure* step = run.find("mean step");
  if (step == nullptr || !(step->value > 0.0)) return {};
  std::vector<StretchRow> rows;
  double reached = 0.0;
  const auto add = [&](std::string name, double from, double to, std::string_view source) {
    rows.push_back({std::move(name),
                    {{from, to}},
                    fmt::format("{:.3f} ms, {:.1f} %{}", to - from, 100.0 * (to - from) / step->value, source)});
  };
  for (const StepTermName& term : step_terms) {
    const Figure* figure = run.find(fmt::format("mean step, {}", term.name));
    if (figure == nullptr) continue;
    add(std::string(term.name), reached, reached + figure->value, "");
    reached += figure->value;
  }
  if (rows.empty()) return {};
  add("mean step", 0.0, step->value, "");
  if (const Figure* bound = run.find("step at its bound")) add("at its bound", 0.0, bound->value, "");
  return stretches_svg("A step of rank 0, term by term [measured; its bound is modelled]", "ms", rows);
}

std::string rank_map(const RunReport& run) {
  constexpr std::size_t most_columns = 128;
  constexpr double least_scale = 0.02;  // of a step: below it ranks are alike, and shades must not shout
  const RankSpread& ranks = run.ranks;
  const std::size_t count = ranks.hosts.size();
  if (count < 2 || !(median_of(ranks.step_s) > 0.0)) return {};
  const double step_s = median_of(ranks.step_s);
  const std::size_t together = (count + most_columns - 1) / most_columns;

  double scale = least_scale;
  std::vector<std::pair<std::string, std::vector<double>>> rows;  // deviations, by rank, in steps
  const auto deviations = [&](const std::string& name, const std::vector<double>& seconds) {
    const double median = median_of(seconds);
    std::vector<double> all;
    for (const double each : seconds) {
      all.push_back((each - median) / step_s);
      scale = std::max(scale, std::abs(all.back()));
    }
    rows.emplace_back(name, std::move(all));
  };
  for (const RankTerm& term : ranks.terms)
    deviations(term.name, term.median_s);
  deviations("step", ranks.step_s);

  ShadeMap map{.title = "Median terms of each rank's steps against the median rank's [measured]",
               .axis = together > 1 ? fmt::format("ranks, {} a column: the one that differs most", together) : "ranks",
               .left = "0",
               .right = fmt::format("{}", count - 1),
               .light = fmt::format("{:.1f} % of a step less", 100.0 * scale),
               .dark = fmt::format("{:.1f} % more", 100.0 * scale),
               .rows = {}};
  for (const auto& [name, values] : rows) {
    ShadeRow row{name, {}};
    for (std::size_t first = 0; first < count; first += together) {
      std::size_t rank = first;
      for (std::size_t other = first; other < std::min(count, first + together); ++other)
        if (std::abs(values[other]) > std::abs(values[rank])) rank = other;
      row.cells.push_back({0.5 + 0.5 * values[rank] / scale,
                           fmt::format("{}, {}: {:+.2f} % of a step", shown(ranks, rank), name, 100.0 * values[rank])});
    }
    map.rows.push_back(std::move(row));
  }
  return shades_svg(map);
}

Grid rank_table(const RunReport& run) {
  using enum FigureSource;
  const RankSpread& ranks = run.ranks;
  Grid grid{.title = "How ranks differ in a step",
            .columns = {{"term"},
                        {"median rank", "ms", measured, 3},
                        {"least", "ms", measured, 3},
                        {"least on"},
                        {"most", "ms", measured, 3},
                        {"most on"},
                        {"longest p99", "ms", measured, 3},
                        {"p99 on"}},
            .rows = {}};
  if (ranks.hosts.size() < 2) return grid;
  const auto add = [&](const std::string& name, const std::vector<double>& seconds, const std::vector<double>& p99) {
    const auto rank_of = [](const std::vector<double>& values, auto place) {
      return static_cast<std::size_t>(place - values.begin());
    };
    const std::size_t least = rank_of(seconds, std::ranges::min_element(seconds));
    const std::size_t most = rank_of(seconds, std::ranges::max_element(seconds));
    std::vector<Cell> row = {name,
                             1e3 * median_of(seconds),
                             1e3 * seconds[least],
                             shown(ranks, least),
                             1e3 * seconds[most],
                             shown(ranks, most),
                             Cell(),
                             Cell()};
    if (!p99.empty()) {
      const std::size_t longest = rank_of(p99, std::ranges::max_element(p99));
      row[6] = 1e3 * p99[longest];
      row[7] = shown(ranks, longest);
    }
    grid.rows.push_back(std::move(row));
  };
  for (const RankTerm& term : ranks.terms)
    add(term.name, term.median_s, term.p99_s);
  add("step", ranks.step_s, {});
  grid.remarks.push_back(fmt::format(
      "of {} ranks, each by the median of its steps; who waits for whom shows in exposed all-reduce: the rank "
      "that waits least is the one that is waited for",
      ranks.hosts.size()));
  return grid;
}

}  // namespace trainmark::report

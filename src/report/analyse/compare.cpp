// Configurations pair with their like; medians are compared, and what is worse by more than its tolerance fails.
#include "report/analyse/compare.hpp"

#include <fmt/core.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

#include "report/analyse/groups.hpp"
#include "report/analyse/statistics.hpp"

namespace trainmark::report {
namespace {

constexpr std::array<Merit, 13> all_merits = {{
    {"time_to_train_s", "time to train", "s", false},
    {"time_to_train_with_staging_s", "time to train with staging", "s", false},
    {"epochs_to_target", "epochs to target", "", false},
    {"samples_per_s_median_epoch", "samples/s median epoch", "1/s", true},
    {"samples_per_s_slowest_epoch", "samples/s slowest epoch", "1/s", true},
    {"samples_per_s_a_rank", "samples/s a rank", "1/s", true},
    {"samples_per_s_an_accelerator", "samples/s an accelerator", "1/s", true},
    {"median_step_ms", "median step", "ms", false},
    {"staging_inside_clock_s", "term staging inside the clock", "s", false},
    {"staging_rate_mib_per_s", "staging rate", "MiB/s", true},
    {"evaluation_s", "term evaluation", "s", false},
    {"cold_first_epoch_s", "term cold first epoch", "s", false},
    {"wait_for_input_percent", "wait for input share of training", "%", false},
}};

[[noreturn]] void refuse(std::string what, std::string remedy) {
  throw Error(ExitCode::usage, Complaint{"--compare", std::move(what), {}, std::move(remedy)});
}

Compared compared(const Group& base, const Group& now, const Merit& merit) {
  const std::vector<double> before = figures_of(base, merit.figure), after = figures_of(now, merit.figure);
  Compared result{{}, &merit, {}, {}, before.size(), after.size(), {}, welch_p(before, after), {}};
  if (!before.empty()) result.base = quantile_of(before, 0.5);
  if (!after.empty()) result.now = quantile_of(after, 0.5);
  if (!result.base || !result.now || !std::isfinite(*result.base) || !std::isfinite(*result.now)) return result;
  const double more = *result.now - *result.base;
  const double worse = merit.higher_is_better ? -more : more;
  if (*result.base != 0.0)
    result.worse_percent = 100.0 * worse / std::abs(*result.base);
  else
    result.worse_percent = worse > 0.0 ? HUGE_VAL : 0.0;
  return result;
}

std::vector<std::pair<const Group*, const Group*>> paired(std::span<const Group> base, std::span<const Group> now) {
  if (base.size() == 1 && now.size() == 1) return {{&base.front(), &now.front()}};
  std::vector<std::pair<const Group*, const Group*>> pairs;
  for (const Group& each : base)
    for (const Group& other : now)
      if (each.first().configuration == other.first().configuration) pairs.emplace_back(&each, &other);
  if (pairs.empty())
    refuse(fmt::format("{} configurations against {}, none of which is the same", base.size(), now.size()),
           "name runs of the same configurations, or of one each");
  return pairs;
}

}  // namespace

std::span<const Merit> merits() noexcept { return all_merits; }

std::vector<Compared> compare(std::span<const RunReport> base, std::span<const RunReport> now,
                              const std::map<std::string, double>& tolerances) {
  std::set<std::string> workloads;
  for (const auto& runs : {base, now})
    for (const RunReport& run : runs)
      workloads.insert(run.benchmark);
  if (workloads.size() != 1)
    refuse(fmt::format("runs of {}", fmt::join(workloads, " and ")), "name runs of one workload");
  const std::vector<Group> before = group_runs(base), after = group_runs(now);
  const auto pairs = paired(before, after);
  std::vector<Compared> results;
  for (const auto& [one, other] : pairs) {
    for (const Merit& merit : merits()) {
      Compared result = compared(*one, *other, merit);
      if (pairs.size() > 1) result.group = one->name;
      const auto tolerance = tolerances.find(std::string(merit.name));
      if (tolerance != tolerances.end()) result.tolerance_percent = tolerance->second;
      if (result.base || result.now || result.tolerance_percent) results.push_back(std::move(result));
    }
  }
  return results;
}

}  // namespace trainmark::report

namespace trainmark {

std::map<std::string, double> parse_tolerances(std::string_view text, std::string_view where) {
  const auto refuse = [where](std::string what, std::string remedy) {
    throw Error(ExitCode::usage, Complaint{std::string(where), std::move(what), {}, std::move(remedy)});
  };
  const nlohmann::json document = nlohmann::json::parse(text, nullptr, false, true);
  if (!document.is_object())
    refuse("is not a JSON object", R"(write e.g. {"samples_per_s_median_epoch": 5}, in percent)");
  std::map<std::string, double> tolerances;
  for (const auto& [name, value] : document.items()) {
    std::vector<std::string_view> names;
    for (const report::Merit& each : report::merits())
      names.push_back(each.name);
    if (std::ranges::find(names, name) == names.end())
      refuse(fmt::format("\"{}\" is no figure that is compared", name),
             fmt::format("take of {}", fmt::join(names, ", ")));
    if (!value.is_number() || !(value.get<double>() >= 0.0))
      refuse(fmt::format("\"{}\" is not a number of percent from 0 on", name),
             "write how much worse it may be, in percent");
    tolerances[name] = value.get<double>();
  }
  return tolerances;
}

}  // namespace trainmark

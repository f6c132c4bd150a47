// Configurations pair with their like; medians are compared, and what is worse by more than its tolerance fails.
#include "report/analyse/compare.hpp"

#include <fmt/core.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

#include "mllog/each_key_once.hpp"
#include "report/analyse/groups.hpp"
#include "report/analyse/statistics.hpp"

namespace trainmark::report {
namespace {

constexpr std::array<Merit, 13> all_merits = {{
    {"time_to_train_s", "time to train", "s", false, true},
    {"time_to_train_with_staging_s", "time to train with staging", "s", false, true},
    {"epochs_to_target", "epochs to target", "", false, true},
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

/// A side's values, none where it has no such configuration.
std::vector<double> values_of(const Group* group, const Merit& merit) {
  if (group == nullptr) return {};
  return merit.needs_target ? outcomes_of(*group, merit.figure) : figures_of(*group, merit.figure);
}

std::size_t missed_in(std::span<const double> values) {
  return static_cast<std::size_t>(std::ranges::count_if(values, [](double each) { return std::isinf(each); }));
}

std::optional<double> median_in(const std::vector<double>& values) {
  const double median = quantile_of(values, 0.5);
  return values.empty() || !std::isfinite(median) ? std::nullopt : std::optional(median);
}

Compared compared(const Group* base, const Group* now, const Merit& merit) {
  const std::vector<double> before = values_of(base, merit), after = values_of(now, merit);
  Compared result;
  result.merit = &merit;
  result.base = median_in(before);
  result.now = median_in(after);
  result.base_runs = before.size();
  result.now_runs = after.size();
  result.base_missed = missed_in(before);
  result.now_missed = missed_in(after);
  if (result.base_missed + result.now_missed == 0) result.p = welch_p(before, after);
  if (!result.base || !result.now) return result;
  const double more = *result.now - *result.base;
  const double worse = merit.higher_is_better ? -more : more;
  if (*result.base != 0.0)
    result.worse_percent = 100.0 * worse / std::abs(*result.base);
  else
    result.worse_percent = worse > 0.0 ? HUGE_VAL : 0.0;
  return result;
}

/// With what stands on one side alone.
std::vector<std::pair<const Group*, const Group*>> paired(std::span<const Group> base, std::span<const Group> now) {
  if (base.size() == 1 && now.size() == 1) return {{&base.front(), &now.front()}};
  std::vector<std::pair<const Group*, const Group*>> pairs;
  const auto same_as = [](const Group& one) {
    return [&one](const Group& other) { return one.first().configuration == other.first().configuration; };
  };
  bool any = false;
  for (const Group& each : base) {
    const auto other = std::ranges::find_if(now, same_as(each));
    pairs.emplace_back(&each, other == now.end() ? nullptr : &*other);
    any = any || other != now.end();
  }
  for (const Group& each : now)
    if (std::ranges::none_of(base, same_as(each))) pairs.emplace_back(nullptr, &each);
  if (!any)
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
      Compared result = compared(one, other, merit);
      if (pairs.size() > 1) result.group = (one != nullptr ? one : other)->name;
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
  const nlohmann::json document = nlohmann::json::parse(text, EachKeyOnce(std::string(where)), false, true);
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

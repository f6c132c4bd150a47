// TTTa = max(run_stop) - min(run_start) over the instances that count, on one wall clock; the score is their number
// over it. What would make that a number of something else is refused, by name.
#include "report/analyse/throughput.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <ranges>

#include "report/analyse/references.hpp"

namespace trainmark::report {
namespace {

using Instances = std::vector<const RunReport*>;

bool lies_below(const RunReport& run, std::string_view folder) {
  const std::filesystem::path path(run.path);
  return std::ranges::any_of(path.parent_path(), [folder](const auto& part) { return part.string() == folder; });
}

/// What keeps an instance from being counted; empty for one that is as it should be.
std::string fault_of(const RunReport& run) {
  const Figure* time = run.find("time to train");
  if (run.attempts > 1) return "ran in several attempts: nothing tells when the instance began";
  if (!run.finished) return "has no run_stop";
  if (!run.target_met || time == nullptr)
    return "missed its target: rules let it be pruned (move its log to pruned_results/), then it does not count";
  if (time->at_most) return "has a clock that goes back, and times of different instances are subtracted";
  return {};
}

/// The rules have instances with the same seed pruned: they are the same work twice.
std::string repeated_seed(const Instances& instances) {
  std::map<std::string_view, const RunReport*> seen;
  for (const RunReport* run : instances) {
    if (run->facts.seed.empty()) continue;
    const auto [other, fresh] = seen.try_emplace(run->facts.seed, run);
    if (!fresh)
      return fmt::format("{} and {} have the same seed {}: the rules prune one of them", other->second->name(),
                         run->name(), run->facts.seed);
  }
  return {};
}

/// A time at which no instance trained: they are of several jobs, or of clocks that tell different times.
std::string pause_in(const Instances& by_start) {
  const RunReport* last = by_start.front();
  for (const RunReport* run : by_start) {
    if (run->start_ms > last->stop_ms)
      return fmt::format(
          "none trained for {:.1f} s between the end of {} and the start of {}: they are of several jobs, or their "
          "nodes' clocks differ",
          (run->start_ms - last->stop_ms) / 1e3, last->name(), run->name());
    if (run->stop_ms > last->stop_ms) last = run;
  }
  return {};
}

/// In the order in which they began.
Instances counted(const Group& group) {
  Instances instances;
  std::ranges::copy_if(group.runs, std::back_inserter(instances),
                       [](const RunReport* run) { return !lies_below(*run, "pruned_results"); });
  std::ranges::stable_sort(instances, {}, &RunReport::start_ms);
  return instances;
}

std::string why_no_score(const Instances& instances) {
  if (instances.size() < 2) return "a throughput is of two instances or more";
  for (const RunReport* run : instances)
    if (const std::string fault = fault_of(*run); !fault.empty()) return fmt::format("{} {}", run->name(), fault);
  const std::string seed = repeated_seed(instances);
  return seed.empty() ? pause_in(instances) : seed;
}

Throughput score(const Group& group) {
  Throughput result;
  result.group = &group;
  const Instances instances = counted(group);
  result.instances = instances.size();
  result.pruned = group.runs.size() - instances.size();
  result.why_not = why_no_score(instances);
  if (!result.why_not.empty()) return result;
  const double first = instances.front()->start_ms;
  const double last = (*std::ranges::max_element(instances, {}, &RunReport::stop_ms))->stop_ms;
  double sum_s = 0.0;
  for (const RunReport* run : instances)
    sum_s += run->run_s;
  const double count = static_cast<double>(instances.size());
  const double minutes = (last - first) / 60e3;
  result.time_to_train_all_min = minutes;
  result.models_per_min = count / minutes;
  result.starts_apart_s = (instances.back()->start_ms - first) / 1e3;
  result.mean_run_min = sum_s / count / 60.0;
  result.lost_percent = 100.0 * (1.0 - result.mean_run_min / minutes);
  const int least = runs_of_a_score(group.first().benchmark);
  if (count < least)
    result.remarks.push_back(fmt::format("{}: {} instances: the rules ask for {} or more", group.name, count, least));
  if (std::ranges::any_of(instances, [](const RunReport* run) { return run->facts.seed.empty(); }))
    result.remarks.push_back(
        fmt::format("{}: not all log their seed: whether some have the same cannot be told", group.name));
  return result;
}

/// Of one submission, by what logs tell.
bool went_on_beside(const Group& group, const Group& other) {
  const RunReport &own = group.first(), &its = other.first();
  if (own.benchmark != its.benchmark || own.division != its.division || own.organisation != its.organisation ||
      own.platform != its.platform)
    return false;
  const Instances ones = counted(group), others = counted(other);
  return std::ranges::any_of(ones, [&others](const RunReport* one) {
    return std::ranges::any_of(others, [one](const RunReport* each) {
      return one->start_ms < each->stop_ms && each->start_ms < one->stop_ms;
    });
  });
}

}  // namespace

bool are_instances(const Group& group) {
  return std::ranges::all_of(group.runs,
                             [](const RunReport* run) { return run->facts.instance || lies_below(*run, "weak"); });
}

std::vector<Throughput> throughput_of(std::span<const Group> groups, bool all_are) {
  std::vector<Throughput> scores;
  for (const Group& group : groups) {
    if (group.runs.size() < 2 || !(all_are || are_instances(group))) continue;
    scores.push_back(score(group));
    for (const Group& other : groups) {
      if (&other == &group || !(all_are || are_instances(other)) || !went_on_beside(group, other)) continue;
      Throughput refused;
      refused.group = &group;
      refused.instances = scores.back().instances;
      refused.pruned = scores.back().pruned;
      refused.why_not = fmt::format(
          "instances of another configuration ({}) went on at the same time, and all of a job "
          "have one",
          other.name);
      scores.back() = std::move(refused);
      break;
    }
  }
  return scores;
}

}  // namespace trainmark::report

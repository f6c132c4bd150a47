// Names come from facts first and from the config's keys second; what all share is in none of them.
#include "report/analyse/groups.hpp"

#include <fmt/core.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <tuple>

#include "mllog/utf8.hpp"
#include "report/analyse/statistics.hpp"
#include "trainmark/mllog.hpp"

namespace trainmark::report {
namespace {

constexpr std::size_t most_keys = 4;  // of a config in a name; more of them nobody reads

std::string counted(const std::optional<double>& count, std::string_view what) {
  return count ? fmt::format("{} {}", *count, what) : std::string();
}

/// What a group may be called by, most telling first; empty where it is not known.
std::vector<std::string> facts_of(const RunReport& run) {
  const auto batch = run.facts.batch_samples;
  return {run.benchmark,
          run.division,
          run.organisation,
          run.platform,
          counted(run.facts.nodes, "nodes"),
          counted(run.facts.processes, "ranks"),
          batch ? fmt::format("batch {}", *batch) : std::string(),
          run.facts.precision,
          counted(run.facts.train_samples, "samples"),
          run.target ? fmt::format("target {:g}", *run.target) : std::string()};
}

/// The config's values by their pointer.
std::map<std::string, std::string> settings_of(const RunReport& run) {
  std::map<std::string, std::string> settings;
  const nlohmann::json signature = nlohmann::json::parse(run.configuration, nullptr, false);
  if (!signature.is_array() || signature.empty() || !signature.back().is_object() || signature.back().empty())
    return settings;
  const nlohmann::json flat = signature.back().flatten();
  for (const auto& [pointer, value] : flat.items())
    settings[pointer] = value.is_string() ? value.get<std::string>() : json_text(value);
  return settings;
}

void add_facts(std::vector<Group>& groups, std::vector<std::vector<std::string>>& parts) {
  std::vector<std::vector<std::string>> facts;
  for (const Group& group : groups)
    facts.push_back(facts_of(group.first()));
  for (std::size_t i = 0; i < facts.front().size(); ++i) {
    const bool differs = std::ranges::any_of(facts, [&](const auto& each) { return each[i] != facts.front()[i]; });
    for (std::size_t g = 0; g < groups.size(); ++g)
      if (differs && !facts[g][i].empty()) parts[g].push_back(facts[g][i]);
  }
}

/// Only for groups that facts leave with the same name.
void add_settings(std::vector<Group>& groups, std::vector<std::vector<std::string>>& parts) {
  std::map<std::vector<std::string>, std::vector<std::size_t>> alike;
  for (std::size_t g = 0; g < groups.size(); ++g)
    alike[parts[g]].push_back(g);
  for (const auto& [name, members] : alike) {
    if (members.size() < 2) continue;
    std::vector<std::map<std::string, std::string>> settings;
    for (const std::size_t g : members)
      settings.push_back(settings_of(groups[g].first()));
    std::size_t keys = 0;
    for (const auto& [key, value] : settings.front()) {
      const auto other = [&](const auto& each) { return !each.contains(key) || each.at(key) != value; };
      if (std::ranges::none_of(settings, other) || keys == most_keys) continue;
      ++keys;
      for (std::size_t i = 0; i < members.size(); ++i)
        if (settings[i].contains(key)) parts[members[i]].push_back(key + " " + settings[i].at(key));
    }
    if (keys > 0) continue;
    for (std::size_t i = 0; i < members.size(); ++i)
      parts[members[i]].push_back(fmt::format("configuration {}", i + 1));
  }
}

/// The options of its model, one by one.
Traits network_of(const RunReport& run) {
  Traits traits;
  const nlohmann::json model = nlohmann::json::parse(run.facts.network, nullptr, false);
  if (!model.is_object() || model.empty()) {
    traits["network"] = run.facts.network;
    return traits;
  }
  const nlohmann::json flat = model.flatten();
  for (const auto& [pointer, value] : flat.items())
    traits["model" + pointer] = value.is_string() ? value.get<std::string>() : json_text(value);
  return traits;
}

std::string joined(const Traits& traits) {
  std::string text;
  for (const auto& [name, value] : traits)
    text += fmt::format("{}={}|", name, value);
  return text;
}

std::vector<std::string> folders_of(const RunReport& run) {
  std::vector<std::string> parts;
  for (const auto& part : std::filesystem::path(run.path))
    parts.push_back(part.string());
  return parts;
}

}  // namespace

std::vector<Group> group_runs(std::span<const RunReport> runs) {
  std::vector<Group> groups;
  std::map<std::string_view, std::size_t> known;
  for (const RunReport& run : runs) {
    const auto [found, fresh] = known.try_emplace(run.configuration, groups.size());
    if (fresh) groups.emplace_back();
    groups[found->second].runs.push_back(&run);
  }
  if (groups.empty()) return groups;
  std::ranges::stable_sort(groups, {}, [](const Group& group) {
    const RunFacts& facts = group.first().facts;
    return std::tuple(std::string_view(group.first().benchmark), facts.processes.value_or(0.0),
                      facts.batch_samples.value_or(0.0));
  });
  std::vector<std::vector<std::string>> parts(groups.size());
  if (groups.size() == 1) {
    for (const std::string& fact : facts_of(groups.front().first()))
      if (!fact.empty()) parts.front().push_back(fact);
  } else {
    add_facts(groups, parts);
    add_settings(groups, parts);
  }
  for (std::size_t g = 0; g < groups.size(); ++g)
    groups[g].name = parts[g].empty() ? "one configuration" : fmt::format("{}", fmt::join(parts[g], ", "));
  return groups;
}

std::string series_of(const RunReport& run) { return joined(series_traits(run)); }

std::string task_of(const RunReport& run) { return joined(task_traits(run)); }

Traits series_traits(const RunReport& run) {
  Traits traits = network_of(run);
  const std::string& wire = run.facts.wire;  // logs that do not tell it are taken for fp32
  traits["workload"] = run.benchmark;
  traits["division"] = run.division;
  traits["organisation"] = run.organisation;
  traits["precision"] = run.facts.precision;
  traits["wire"] = wire.empty() ? "fp32" : wire;
  traits["device"] = run.emulated_device ? "emulated" : "";
  traits["threads"] = run.facts.threads ? fmt::format("{}", *run.facts.threads) : "";
  return traits;
}

Traits task_traits(const RunReport& run) {
  Traits traits = network_of(run);
  traits["workload"] = run.benchmark;
  traits["samples"] = run.facts.train_samples ? fmt::format("{}", *run.facts.train_samples) : "";
  traits["target"] = run.target ? fmt::format("{}", *run.target) : "";
  return traits;
}

std::vector<std::string> differing(std::span<const Traits> all) {
  std::set<std::string> names, different;
  for (const Traits& traits : all)
    for (const auto& [name, value] : traits)
      names.insert(name);
  std::ranges::copy_if(names, std::inserter(different, different.end()), [all](const std::string& name) {
    return std::ranges::any_of(all,
                               [&](const Traits& each) { return value_in(each, name) != value_in(all.front(), name); });
  });
  return {different.begin(), different.end()};
}

std::string value_in(const Traits& traits, const std::string& name) {
  const auto found = traits.find(name);
  return found == traits.end() || found->second.empty() ? "not told" : found->second;
}

std::vector<std::string> short_names(std::span<const RunReport> runs) {
  std::vector<std::vector<std::string>> paths;
  for (const RunReport& run : runs)
    paths.push_back(folders_of(run));
  std::size_t front = 0, back = 0;
  const auto same = [&paths](auto part) {
    return std::ranges::all_of(paths, [&](const auto& each) { return part(each) == part(paths.front()); });
  };
  std::size_t shortest = paths.empty() ? 0 : paths.front().size();
  for (const auto& each : paths)
    shortest = std::min(shortest, each.size());
  while (paths.size() > 1 && front + 1 < shortest && same([&](const auto& each) { return each[front]; }))
    ++front;
  while (paths.size() > 1 && front + back + 1 < shortest &&
         same([&](const auto& each) { return each[each.size() - 1 - back]; }))
    ++back;
  std::vector<std::string> names;
  for (std::size_t i = 0; i < runs.size(); ++i) {
    const std::span<const std::string> kept(paths[i].begin() + static_cast<std::ptrdiff_t>(front),
                                            paths[i].end() - static_cast<std::ptrdiff_t>(back));
    names.push_back(paths.size() > 1 ? fmt::format("{}", fmt::join(kept, "/")) : runs[i].path);
    if (!runs[i].part.empty()) names.back() += fmt::format(" ({})", runs[i].part);
  }
  return names;
}

std::vector<double> figures_of(const Group& group, std::string_view name) {
  std::vector<double> values;
  for (const RunReport* run : group.runs)
    if (const Figure* figure = run->find(name)) values.push_back(figure->value);
  return values;
}

std::vector<double> outcomes_of(const Group& group, std::string_view name) {
  std::vector<double> values;
  for (const RunReport* run : group.runs) {
    const Figure* figure = run->find(name);
    if (run->target_met && figure != nullptr && figure->value > 0.0)
      values.push_back(figure->value);
    else if (!run->target_met && !run->broke_off && run->status != word(Ending::fixed_work_done))
      values.push_back(std::numeric_limits<double>::infinity());
  }
  return values;
}

std::optional<double> mean_outcome(std::vector<double> outcomes) {
  if (outcomes.empty()) return std::nullopt;
  const double mean = olympic_of(std::move(outcomes));
  return std::isfinite(mean) ? std::optional(mean) : std::nullopt;
}

}  // namespace trainmark::report

namespace trainmark {

std::vector<std::string> leave_out_copies(std::vector<RunReport>& runs) {
  const auto is_copy = [](const RunReport& one, const RunReport& other) {
    if (one.path == other.path && one.part != other.part) return false;
    return one.start_ms == other.start_ms && one.stop_ms == other.stop_ms && one.facts.seed == other.facts.seed &&
           one.configuration == other.configuration &&
           std::ranges::equal(one.epochs, other.epochs, {}, &EpochReport::metric, &EpochReport::metric);
  };
  std::vector<std::string> said;
  std::vector<RunReport> kept;
  std::multimap<double, std::size_t> by_start;
  for (RunReport& run : runs) {
    const auto [first, last] = by_start.equal_range(run.start_ms);
    const auto original = std::find_if(first, last, [&](const auto& each) { return is_copy(run, kept[each.second]); });
    if (original != last) {
      RunReport& other = kept[original->second];
      if (run.figures.size() > other.figures.size()) std::swap(run, other);  // has its own files beside it
      said.push_back(
          fmt::format("{} is a copy of {}: the same start, end, settings, seed and metrics", run.name(), other.name()));
      continue;
    }
    by_start.emplace(run.start_ms, kept.size());
    kept.push_back(std::move(run));
  }
  runs = std::move(kept);
  return said;
}

}  // namespace trainmark

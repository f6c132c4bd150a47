// Reads what is asked on the command line: "key=value,key=value".
#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <functional>
#include <map>

#include "trainmark/report.hpp"

namespace trainmark {
namespace {

[[noreturn]] void refuse(std::string_view where, std::string what, std::string remedy) {
  throw Error(ExitCode::usage, Complaint{std::string(where), std::move(what), {}, std::move(remedy)});
}

std::vector<std::pair<std::string, std::string>> pairs_of(std::string_view text, std::string_view option) {
  std::vector<std::pair<std::string, std::string>> pairs;
  while (!text.empty()) {
    const std::string_view part = text.substr(0, text.find(','));
    text.remove_prefix(std::min(text.size(), part.size() + 1));
    const std::size_t equals = part.find('=');
    if (equals == std::string_view::npos || equals == 0)
      refuse(option, fmt::format("\"{}\" is not key=value", part), "write key=value,key=value");
    const std::string key(part.substr(0, equals));
    if (std::ranges::any_of(pairs, [&key](const auto& each) { return each.first == key; }))
      refuse(option, fmt::format("\"{}\" stands twice", key), "name each key once");
    pairs.emplace_back(key, part.substr(equals + 1));
  }
  if (pairs.empty()) refuse(option, "is empty", "write key=value,key=value");
  return pairs;
}

/// A number above zero and the unit behind it. `key` with what stands before the number: "nodes=".
std::pair<double, std::string> number_with_unit(const std::string& text, std::string_view option,
                                                const std::string& key, std::string_view example) {
  double value = 0.0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || !std::isfinite(value) || !(value > 0.0))
    refuse(option, fmt::format("{}{} is not a number above 0", key, text),
           fmt::format("write e.g. {}{}", key, example));
  return {value, std::string(end, text.data() + text.size())};
}

double bytes_in(const std::string& text, std::string_view option, const std::string& key) {
  static const std::map<std::string_view, double> units = {{"B", 1},        {"kB", 1e3},     {"MB", 1e6},
                                                           {"GB", 1e9},     {"TB", 1e12},    {"KiB", 0x1p10},
                                                           {"MiB", 0x1p20}, {"GiB", 0x1p30}, {"TiB", 0x1p40}};
  const auto [value, unit] = number_with_unit(text, option, key, "512GiB");
  const auto found = units.find(unit);
  if (found == units.end())
    refuse(option, fmt::format("{}{} has no unit of bytes", key, text), "write e.g. " + key + "512GiB or 512GB");
  return value * found->second;
}

double plain(const std::string& text, std::string_view option, const std::string& key) {
  const auto [value, unit] = number_with_unit(text, option, key, "16");
  if (!unit.empty()) refuse(option, fmt::format("{}{} is not a plain number", key, text), "write e.g. " + key + "16");
  return value;
}

double whole(const std::string& text, std::string_view option, const std::string& key) {
  const double value = plain(text, option, key);
  if (std::floor(value) != value)
    refuse(option, fmt::format("{}{} is no whole number", key, text), "write e.g. " + key + "16");
  return value;
}

int speed_of(const Tier& tier) {
  if (tier.name == "hbm") return 0;
  if (tier.name == "dram") return 1;
  return tier.name == "nvme" ? 2 : 3;
}

}  // namespace

std::vector<Tier> parse_tiers(std::string_view text) {
  std::vector<Tier> tiers;
  for (const auto& [key, value] : pairs_of(text, "--tiers")) {
    const std::size_t at = value.find('@');
    tiers.push_back({key, bytes_in(value.substr(0, at), "--tiers", key + "="), {}});
    if (at != std::string::npos)
      tiers.back().bytes_per_s = bytes_in(value.substr(at + 1), "--tiers", key + "=" + value.substr(0, at + 1));
  }
  return tiers;
}

std::optional<Tier> fastest_tier_for(double bytes, std::span<const Tier> tiers) {
  std::vector<Tier> sorted(tiers.begin(), tiers.end());
  std::ranges::stable_sort(sorted, {}, speed_of);
  const auto holds = std::ranges::find_if(sorted, [bytes](const Tier& each) { return bytes <= each.bytes; });
  return holds == sorted.end() ? std::nullopt : std::optional(*holds);
}

WhatIf parse_what_if(std::string_view text) {
  static constexpr std::string_view option = "--what-if";
  WhatIf question;
  using Take = std::function<void(const std::string& key, const std::string& value)>;
  const auto into = [](std::optional<double>& place) {
    return [&place](const std::string& key, const std::string& value) { place = whole(value, option, key); };
  };
  const auto scaled = [](double& place, double unit) {
    return
        [&place, unit](const std::string& key, const std::string& value) { place = plain(value, option, key) * unit; };
  };
  const std::map<std::string, Take> takes = {
      {"nodes", into(question.nodes)},
      {"ranks", into(question.ranks)},
      {"batch", into(question.batch_samples)},
      {"latency_us", scaled(question.latency_s, 1e-6)},
      {"hidden_ms", scaled(question.hidden_s, 1e-3)},
      {"network", [&](const std::string& key,
                      const std::string& value) { question.network_bytes_per_s = bytes_in(value, option, key); }},
      {"staging", [&](const std::string&, const std::string& value) {
         using enum WhatIf::Staging;
         constexpr std::string_view of_group = "group:";
         if (value.starts_with(of_group)) {
           question.staging = group;
           question.stage_group = whole(value.substr(of_group.size()), option, "staging=group:");
           return;
         }
         if (value != "shard" && value != "replicate" && value != "none")
           refuse(option, fmt::format("staging={} is not known", value),
                  "write shard, group:<nodes that hold the same part>, replicate or none");
         question.staging = value == "shard" ? shard : value == "replicate" ? replicate : none;
       }}};
  for (const auto& [key, value] : pairs_of(text, option)) {
    const auto take = takes.find(key);
    if (take == takes.end())
      refuse(option, fmt::format("\"{}\" is not known", key),
             "ask for nodes or ranks, batch, staging, network, latency_us or hidden_ms");
    take->second(key + "=", value);
  }
  if (!question.nodes && !question.ranks) refuse(option, "names neither nodes nor ranks", "name one of them, or both");
  if (question.nodes && question.ranks && *question.ranks < *question.nodes)
    refuse(option, fmt::format("{} ranks are fewer than {} nodes", *question.ranks, *question.nodes),
           "each node has a rank: ask for more ranks or fewer nodes");
  if ((question.latency_s > 0.0 || question.hidden_s > 0.0) && !question.network_bytes_per_s)
    refuse(option, "latency_us and hidden_ms are of a stated network", "add network=<bytes per second>, e.g. 25GB");
  return question;
}

}  // namespace trainmark

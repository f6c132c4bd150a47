// What ranks tell each other once everything is in place: hashes, the target's manifest, and the figures of each node.
#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <sstream>

#include "stage/journal.hpp"
#include "stage/manifest.hpp"
#include "stage/stager.hpp"

namespace trainmark {

std::vector<std::string> node_hosts(const World& world) {
  const bool leads = world.node().rank() == 0;
  const std::vector<std::string> told = world.all().gather(leads ? world.host() : std::string());
  std::string lines;
  for (const std::string& host : told) {
    if (!host.empty()) lines += host + '\n';  // in the order of their lowest ranks, which is the nodes' order
  }
  std::istringstream text(world.all().broadcast(std::move(lines)));
  std::vector<std::string> hosts;
  for (std::string host; std::getline(text, host);)
    hosts.push_back(host);
  hosts.resize(static_cast<std::size_t>(world.nodes()), "unknown");
  return hosts;
}

void merge_hashes(Manifest& manifest, const std::vector<std::string>& told, const std::filesystem::path& source) {
  for (const std::string& part : told) {
    std::istringstream lines(part);
    std::size_t index = 0;
    for (std::string hash; lines >> index >> hash;) {
      ManifestEntry& entry = manifest.entries.at(index);
      if (entry.xxh3.empty()) entry.xxh3 = hash;
      if (entry.xxh3 == hash) continue;
      throw Error(ExitCode::data,
                  Complaint{(source / entry.name).string(),
                            fmt::format("nodes read different contents: XXH3 {} and {}", entry.xxh3, hash),
                            "it changed while it was copied, or a node's memory or network fails",
                            "run again; if it repeats, stage on each node alone to find the bad one"});
    }
  }
}

/// All ranks learn all hashes.
void Stager::share_hashes() {
  std::string text;
  for (const std::size_t index : hashed_)
    text += fmt::format("{} {}\n", index, manifest_.entries[index].xxh3);
  const std::vector<std::string> all = world_.all().gather(text);
  std::string merged;
  agree_on(world_.all(), [&] {
    merge_hashes(manifest_, all, source_);
    if (world_.all().rank() == 0) merged = to_text(manifest_);
  });
  manifest_ = parse_manifest(world_.all().broadcast(std::move(merged)), source_);
}

/// The target's manifest: what was staged now, and what it said of other files from the same source. Left as it is
/// where it says so already: others may be reading. What lies in containers stands in their indices alone, so that no
/// file of that name is ever taken for it.
void Stager::publish() const {
  agree_on(world_.all(), [&] {
    if (world_.node().rank() != 0) return;
    Manifest merged;
    merged.source = manifest_.source;
    for (const std::size_t index : entries_)
      if (!is_packed(manifest_.entries[index])) merged.entries.push_back(manifest_.entries[index]);
    const Manifest fresh = merged;
    for (const ManifestEntry& entry : staged_before_.entries) {
      if (find_entry(fresh, entry.name) == nullptr && facts_of(target_ / entry.name)) merged.entries.push_back(entry);
    }
    std::sort(merged.entries.begin(), merged.entries.end(),
              [](const ManifestEntry& a, const ManifestEntry& b) { return a.name < b.name; });
    if (!merged.entries.empty() && manifest_text(target_) != to_text(merged)) write_manifest(target_, merged);
    remove_journals(target_);
  });
}

std::vector<NodeStaging> Stager::report() const {
  constexpr std::array counts_of = {&NodeStaging::files_copied,    &NodeStaging::files_reused,
                                    &NodeStaging::bytes_copied,    &NodeStaging::bytes_reused,
                                    &NodeStaging::bytes_read,      &NodeStaging::retries,
                                    &NodeStaging::files_missing,   &NodeStaging::files_packed,
                                    &NodeStaging::bytes_read_back, &NodeStaging::bytes_read_back_from_storage};
  constexpr std::array seconds_of = {&NodeStaging::copy_seconds, &NodeStaging::verify_seconds,
                                     &NodeStaging::read_back_seconds, &NodeStaging::exchange_wait_seconds,
                                     &NodeStaging::done_seconds};
  const auto nodes = static_cast<std::size_t>(world_.nodes());
  const auto mine = static_cast<std::size_t>(world_.node_index());
  std::vector<std::int64_t> counts(nodes * counts_of.size());
  std::vector<double> seconds(nodes * seconds_of.size());
  for (std::size_t i = 0; i < counts_of.size(); ++i)
    counts[mine * counts_of.size() + i] = mine_.*counts_of[i];
  for (std::size_t i = 0; i < seconds_of.size(); ++i)
    seconds[mine * seconds_of.size() + i] = mine_.*seconds_of[i];
  world_.all().sum(counts);
  world_.all().max(seconds);
  const std::vector<std::string> hosts = node_hosts(world_);
  std::vector<NodeStaging> all(nodes);
  for (std::size_t node = 0; node < nodes; ++node) {
    all[node].host = hosts[node];
    for (std::size_t i = 0; i < counts_of.size(); ++i)
      all[node].*counts_of[i] = counts[node * counts_of.size() + i];
    for (std::size_t i = 0; i < seconds_of.size(); ++i)
      all[node].*seconds_of[i] = seconds[node * seconds_of.size() + i];
  }
  return all;
}

}  // namespace trainmark

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
/// where it says so already: others may be reading.
void Stager::publish() const {
  agree_on(world_.all(), [&] {
    if (world_.node().rank() != 0) return;
    Manifest merged;
    merged.source = manifest_.source;
    for (const std::size_t index : entries_)
      merged.entries.push_back(manifest_.entries[index]);
    const Manifest fresh = merged;
    for (const ManifestEntry& entry : staged_before_.entries) {
      if (find_entry(fresh, entry.name) == nullptr && facts_of(target_ / entry.name)) merged.entries.push_back(entry);
    }
    std::sort(merged.entries.begin(), merged.entries.end(),
              [](const ManifestEntry& a, const ManifestEntry& b) { return a.name < b.name; });
    if (manifest_text(target_) != to_text(merged)) write_manifest(target_, merged);
    remove_journals(target_);
  });
}

std::vector<NodeStaging> Stager::report() const {
  const auto nodes = static_cast<std::size_t>(world_.nodes());
  const auto mine = static_cast<std::size_t>(world_.node_index());
  std::vector<std::int64_t> counts(nodes * 4);
  std::vector<double> seconds(nodes * 2);
  const std::array<std::int64_t, 4> own = {mine_.files_copied, mine_.files_reused, mine_.bytes_copied,
                                           mine_.bytes_reused};
  std::copy(own.begin(), own.end(), counts.begin() + static_cast<std::ptrdiff_t>(mine * 4));
  seconds[mine * 2] = mine_.copy_seconds;
  seconds[mine * 2 + 1] = mine_.verify_seconds;
  world_.all().sum(counts);
  world_.all().max(seconds);
  const std::vector<std::string> hosts = node_hosts(world_);
  std::vector<NodeStaging> all(nodes);
  for (std::size_t node = 0; node < nodes; ++node) {
    const std::int64_t* count = &counts[node * 4];
    all[node] = {hosts[node], count[0], count[1], count[2], count[3], seconds[node * 2], seconds[node * 2 + 1]};
  }
  return all;
}

}  // namespace trainmark

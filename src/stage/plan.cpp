// Which node gets which files. A pure function of the manifest and the number of nodes: every rank computes it alike.
#include <fmt/core.h>

#include <algorithm>
#include <numeric>

#include "trainmark/stage.hpp"

namespace trainmark {
namespace {

[[noreturn]] void cannot_shard(const std::string& what, const std::string& remedy) {
  throw Error(ExitCode::data, Complaint{"stage.strategy shard", what,
                                        "each node trains on its own files, so all must hold equally many samples",
                                        remedy + ", or use stage.strategy replicate or none"});
}

/// Largest file first, each to the node that has least so far; ties go to the lower index. Equal files are dealt in
/// turn.
StagingPlan shard(const Manifest& manifest, std::size_t nodes, ShardSums wanted) {
  const auto& entries = manifest.entries;
  if (entries.size() < nodes) {
    cannot_shard(
        fmt::format("{} file(s) for {} nodes", entries.size(), nodes),
        fmt::format("write the dataset as at least {} files, or run on at most {} node(s)", nodes, entries.size()));
  }
  std::vector<std::size_t> order(entries.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return entries[a].samples > entries[b].samples; });
  StagingPlan plan{Strategy::shard, std::vector<std::vector<std::size_t>>(nodes)};
  std::vector<std::int64_t> sums(nodes);
  // A heap of (sum, node): least sum first, then the lower node.
  using Load = std::pair<std::int64_t, std::size_t>;
  std::vector<Load> heap;
  for (std::size_t node = 0; node < nodes; ++node)
    heap.emplace_back(0, node);
  for (const std::size_t entry : order) {
    std::pop_heap(heap.begin(), heap.end(), std::greater<>());
    auto& [sum, node] = heap.back();
    plan.parts[node].push_back(entry);
    sum += entries[entry].samples;
    sums[node] = sum;
    std::push_heap(heap.begin(), heap.end(), std::greater<>());
  }
  const auto [least, most] = std::minmax_element(sums.begin(), sums.end());
  if (wanted == ShardSums::equal && *least != *most) {
    cannot_shard(
        fmt::format("{} samples in {} files do not part equally over {} nodes (between {} and {} each)",
                    manifest.samples(), entries.size(), nodes, *least, *most),
        "use a number of nodes that divides the files, write files of equal size, or set the number of samples "
        "to use");
  }
  for (auto& part : plan.parts)
    std::sort(part.begin(), part.end());
  return plan;
}

}  // namespace

const std::vector<std::size_t>& StagingPlan::part_of(int node) const {
  return parts.size() == 1 ? parts.front() : parts.at(static_cast<std::size_t>(node));
}

StagingPlan plan_staging(const Manifest& manifest, const StageOptions& options, int nodes, ShardSums sums) {
  TRAINMARK_CHECK(nodes > 0, "there is a node");
  if (options.strategy == Strategy::shard) return shard(manifest, static_cast<std::size_t>(nodes), sums);
  std::vector<std::size_t> all(manifest.entries.size());
  std::iota(all.begin(), all.end(), std::size_t{0});
  return {options.strategy, {std::move(all)}};
}

void require_self_contained(const std::filesystem::path& root, const Manifest& manifest, std::string_view doing) {
  for (const ManifestEntry& entry : manifest.entries) {
    if (entry.companion.empty()) continue;
    throw Error(ExitCode::data,
                Complaint{(root / entry.name).string(),
                          fmt::format("its samples are also in another file, {}", entry.companion),
                          fmt::format("{} each file alone, and would lose what it refers to", doing),
                          "read it where it is (stage.strategy none), or copy the values into the file itself, for "
                          "example with h5copy --flag ext or h5py's new['y'] = old['y'][...]"});
  }
}

}  // namespace trainmark

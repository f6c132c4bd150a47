// Which node gets which files. A pure function of the manifest and the number of nodes: every rank computes it alike.
#include <fmt/core.h>

#include <algorithm>
#include <numeric>

#include "trainmark/stage.hpp"

namespace trainmark {
namespace {

[[noreturn]] void cannot_part(const StageOptions& options, const std::string& what, const std::string& remedy) {
  throw Error(ExitCode::data, Complaint{fmt::format("stage.strategy {}", word(options.strategy)), what,
                                        "each part is a node's own, and all must hold equally many samples",
                                        remedy + ", or use stage.strategy replicate or none"});
}

/// Files of equal size in an order of chance: names often follow time, and a node must not get one hour of every day.
std::vector<std::size_t> deal_order(const std::vector<ManifestEntry>& entries, std::int64_t seed) {
  std::vector<std::size_t> order(entries.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  permute(order, Rng(static_cast<std::uint64_t>(seed), Purpose::deal));
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return entries[a].samples > entries[b].samples; });
  return order;
}

std::vector<std::vector<std::size_t>> deal(const Manifest& manifest, const StageOptions& options, std::size_t count,
                                           PartSums wanted) {
  const auto& entries = manifest.entries;
  if (entries.size() < count) {
    cannot_part(options, fmt::format("{} file(s) for {} parts", entries.size(), count),
                fmt::format("write the dataset as at least {} files, or cut it into at most {} part(s): one for each "
                            "node with strategy shard, for each stage.group nodes with strategy group",
                            count, entries.size()));
  }
  std::vector<std::vector<std::size_t>> parts(count);
  // A heap of (sum, part): least sum first, then the lower part.
  using Load = std::pair<std::int64_t, std::size_t>;
  std::vector<Load> heap;
  for (std::size_t part = 0; part < count; ++part)
    heap.emplace_back(0, part);
  for (const std::size_t entry : deal_order(entries, options.deal_seed)) {
    std::pop_heap(heap.begin(), heap.end(), std::greater<>());
    auto& [sum, part] = heap.back();
    parts[part].push_back(entry);
    sum += entries[entry].samples;
    std::push_heap(heap.begin(), heap.end(), std::greater<>());
  }
  const auto [least, most] = std::minmax_element(heap.begin(), heap.end());
  if (wanted == PartSums::equal && least->first != most->first) {
    cannot_part(options,
                fmt::format("{} samples in {} files do not part equally into {} (between {} and {} each)",
                            manifest.samples(), entries.size(), count, least->first, most->first),
                "use a number of nodes that divides the files, write files of equal size, or set the number of samples "
                "to use");
  }
  for (auto& part : parts)
    std::sort(part.begin(), part.end());
  return parts;
}

}  // namespace

std::size_t StagingPlan::part_number_of(int node) const noexcept {
  return parts.size() == 1 ? 0 : static_cast<std::size_t>(node / nodes_a_part);
}

const std::vector<std::size_t>& StagingPlan::part_of(int node) const { return parts.at(part_number_of(node)); }

int parts_of(const StageOptions& options, int nodes) {
  TRAINMARK_CHECK(nodes > 0, "there is a node");
  if (options.strategy == Strategy::shard) return nodes;
  if (options.strategy != Strategy::group) return 1;
  if (options.group < 1 || nodes % options.group != 0) {
    throw Error(ExitCode::usage,
                Complaint{"/stage/group", fmt::format("{} does not divide {} nodes", options.group, nodes),
                          "each group of nodes holds one part of the set", "use a divisor of the number of nodes"});
  }
  return nodes / options.group;
}

StagingPlan plan_staging(const Manifest& manifest, const StageOptions& options, int nodes, PartSums sums) {
  const int parts = parts_of(options, nodes);
  if (parts > 1 || options.strategy == Strategy::shard)
    return {options.strategy, deal(manifest, options, static_cast<std::size_t>(parts), sums), nodes / parts};
  std::vector<std::size_t> all(manifest.entries.size());
  std::iota(all.begin(), all.end(), std::size_t{0});
  return {options.strategy, {std::move(all)}, nodes};
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

#include "run/placement.hpp"

#include <fmt/core.h>
#include <hwloc.h>
#include <sched.h>

#include <algorithm>

namespace trainmark {
namespace {

struct Topology {
  using type = hwloc_topology_t;
  static type null() noexcept { return nullptr; }
  static void release(type topology) noexcept { hwloc_topology_destroy(topology); }
};

std::vector<int> numa_nodes_of(const std::vector<int>& cores) {
  std::vector<int> nodes;
  hwloc_topology_t raw = nullptr;
  if (hwloc_topology_init(&raw) != 0) return nodes;
  const Handle<Topology> topology(raw);
  if (hwloc_topology_load(raw) != 0) return nodes;
  for (hwloc_obj_t node = nullptr; (node = hwloc_get_next_obj_by_type(raw, HWLOC_OBJ_NUMANODE, node)) != nullptr;) {
    const bool touched = std::any_of(cores.begin(), cores.end(), [node](int core) {
      return hwloc_bitmap_isset(node->cpuset, static_cast<unsigned>(core)) != 0;
    });
    if (touched) nodes.push_back(static_cast<int>(node->os_index));
  }
  return nodes;
}

}  // namespace

Placement placement_of(const World& world) {
  Placement placement{world.host(), world.all().rank(), world.node().rank(), {}, {}};
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof(set), &set) == 0) {
    for (int core = 0; core < CPU_SETSIZE; ++core) {
      if (CPU_ISSET(core, &set)) placement.cores.push_back(core);
    }
  }
  placement.numa_nodes = numa_nodes_of(placement.cores);
  return placement;
}

std::string oversubscription(const World& world, const Placement& placement, int compute_threads, int reader_threads,
                             bool communication_thread) {
  // CPUs may be shared between ranks (no binding) or not: count distinct ones over the node.
  std::string mine;
  for (const int core : placement.cores)
    mine += fmt::format("{},", core);
  std::vector<int> distinct;
  for (const std::string& list : world.node().all_gather(mine)) {
    for (std::size_t at = 0; at < list.size(); at = list.find(',', at) + 1)
      distinct.push_back(std::stoi(list.substr(at)));
  }
  std::sort(distinct.begin(), distinct.end());
  distinct.erase(std::unique(distinct.begin(), distinct.end()), distinct.end());

  std::array<double, 1> wanted = {static_cast<double>(compute_threads + (communication_thread ? 1 : 0))};
  world.node().sum(wanted);
  // Readers sleep most of the time: one core serves them all where there is room.
  const auto busy = static_cast<std::size_t>(wanted[0]);
  if (busy <= distinct.size()) return {};
  const auto ranks = static_cast<std::size_t>(world.node().size());
  return fmt::format(
      "node {}: {} ranks run {} compute and communication threads (and {} readers) on {} CPUs (they take turns, and "
      "spinning "
      "ranks slow each other down); start {} ranks a node, or set /backend/threads to {}, or /backend/overlap to "
      "\"off\"",
      world.host(), ranks, busy, ranks * static_cast<std::size_t>(reader_threads), distinct.size(), distinct.size(),
      std::max<std::size_t>(1, distinct.size() / ranks));
}

}  // namespace trainmark

#include "run/launch/placement.hpp"

#include <fmt/core.h>
#include <hwloc.h>

#include <algorithm>

#include "trainmark/process.hpp"

namespace trainmark {
namespace {

struct Topology {
  using type = hwloc_topology_t;
  static type null() noexcept { return nullptr; }
  static void release(type topology) noexcept { hwloc_topology_destroy(topology); }
};

/// Fills in what the machine's topology tells.
void look_around(Placement& placement) {
  hwloc_topology_t raw = nullptr;
  if (hwloc_topology_init(&raw) != 0) return;
  const Handle<Topology> topology(raw);
  if (hwloc_topology_load(raw) != 0) return;
  for (hwloc_obj_t node = nullptr; (node = hwloc_get_next_obj_by_type(raw, HWLOC_OBJ_NUMANODE, node)) != nullptr;) {
    const bool touched = std::any_of(placement.cores.begin(), placement.cores.end(), [node](int core) {
      return hwloc_bitmap_isset(node->cpuset, static_cast<unsigned>(core)) != 0;
    });
    if (touched) placement.numa_nodes.push_back(static_cast<int>(node->os_index));
  }
  placement.node_cpus = std::max(0, hwloc_bitmap_weight(hwloc_topology_get_allowed_cpuset(raw)));
}

/// CPUs (logical) of all ranks of the node. CPUs may be shared between ranks (no binding) or not: distinct ones count.
std::size_t distinct_cpus(const World& world, const Placement& placement) {
  std::string mine;
  for (const int core : placement.cores)
    mine += fmt::format("{},", core);
  std::vector<int> distinct;
  for (const std::string& list : world.node().all_gather(mine)) {
    for (std::size_t at = 0; at < list.size(); at = list.find(',', at) + 1)
      distinct.push_back(std::stoi(list.substr(at)));
  }
  std::sort(distinct.begin(), distinct.end());
  return static_cast<std::size_t>(std::unique(distinct.begin(), distinct.end()) - distinct.begin());
}

}  // namespace

Placement placement_of(const World& world) {
  Placement placement{
      world.host(), world.all().rank(), world.node().rank(), process_cpus(), {}, cpu_share(world), 0, 0, {}};
  look_around(placement);
  return placement;
}

std::string left_out(const std::string& host, int ranks, int cpus, const Placement& placement) {
  std::string of;
  if (2 * cpus < placement.node_cpus) of = fmt::format("of the {} CPUs that this job has here", placement.node_cpus);
  if (cpus < ranks * placement.asked_cpus)
    of = fmt::format("CPUs, though {} a rank were asked for", placement.asked_cpus);
  if (of.empty()) return {};
  const std::string any_cure =
      "srun: give --cpus-per-task to srun too (export SRUN_CPUS_PER_TASK=$SLURM_CPUS_PER_TASK); Open MPI's mpirun: "
      "--bind-to none or --map-by slot:PE=N";
  return fmt::format("node {}: {} rank{} may run on {} {}; {}\n", host, ranks, ranks == 1 ? "" : "s", cpus, of,
                     placement.cpus_cure.empty() ? any_cure : placement.cpus_cure);
}

namespace {

/// Of ranks that compute on their CPUs, together in so many threads; empty, or lines.
std::string computing(const World& world, const CpuShare& share, const Threads& threads, std::size_t busy,
                      std::size_t cpus) {
  const auto ranks = static_cast<std::size_t>(world.node().size());
  std::string text;
  if (busy > cpus)
    text += fmt::format(
        "node {}: {} ranks run {} compute and communication threads (and {} readers) on {} CPUs (they take turns, and "
        "spinning ranks slow each other down); start {} ranks a node, or set /backend/threads to {}, or "
        "/backend/overlap to \"off\"\n",
        world.host(), ranks, busy, ranks * static_cast<std::size_t>(threads.readers), cpus, cpus,
        std::max<std::size_t>(1, cpus / ranks));
  if (!share.quota_source.empty() && threads.compute > share.threads()) {
    text += fmt::format(
        "node {}: a control group allows {} for {} rank{}, and {} threads a rank compute (when the quota is used up, "
        "all "
        "stand still until its next period); set /backend/threads to {}, or ask for more CPUs\n",
        world.host(), share.quota_source, ranks, ranks == 1 ? "" : "s", threads.compute, share.threads());
  } else if (!share.quota_source.empty() && share.threads() < share.cpus) {
    text += fmt::format("node {}: a control group allows {} for {} rank{}: {} thread{} a rank instead of {}\n",
                        world.host(), share.quota_source, ranks, ranks == 1 ? "" : "s", threads.compute,
                        threads.compute == 1 ? "" : "s", share.cpus);
  }
  return text;
}

/// Of ranks that keep a device busy: each wants a CPU for that. Empty, or a line.
std::string tending(const World& world, const CpuShare& share, const Threads& threads, std::size_t cpus) {
  const int ranks = world.node().size();
  const bool by_quota = share.quota > 0.0 && share.quota * ranks < static_cast<double>(cpus);
  const double there = by_quota ? share.quota * ranks : static_cast<double>(cpus);
  if (ranks <= there) return {};
  return fmt::format(
      "node {}: {} ranks, each with a device to keep busy and {} readers, take turns on {} (a batch that comes late "
      "leaves a device idle); start {} a node, or ask for more CPUs\n",
      world.host(), ranks, threads.readers, by_quota ? share.quota_source : fmt::format("{} CPUs", cpus),
      std::max(1, static_cast<int>(there)));
}

}  // namespace

std::string crowding(const World& world, const Placement& placement, const Threads& threads) {
  const std::size_t cpus = distinct_cpus(world, placement);
  std::array<double, 1> wanted = {static_cast<double>(threads.compute + (threads.communication ? 1 : 0))};
  world.node().sum(wanted);
  // Readers sleep most of the time: one core serves them all where there is room.
  const auto busy = static_cast<std::size_t>(wanted[0]);
  std::string text = threads.compute > 0 ? computing(world, placement.share, threads, busy, cpus)
                                         : tending(world, placement.share, threads, cpus);
  text += left_out(world.host(), world.node().size(), static_cast<int>(cpus), placement);
  if (!text.empty()) text.pop_back();
  return text;
}

}  // namespace trainmark

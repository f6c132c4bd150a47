// Where ranks run: the cores each may use, and whether they have been given more threads than cores.
#pragma once

#include <string>
#include <vector>

#include "trainmark/comm.hpp"

namespace trainmark {

struct Placement {
  std::string host;
  int rank = 0;
  int node_rank = 0;
  std::vector<int> cores;       ///< logical CPUs this process may run on
  std::vector<int> numa_nodes;  ///< that these belong to
  CpuShare share;
  int node_cpus = 0;      ///< that the job may use on this node (its cpuset); 0: not known
  int asked_cpus = 0;     ///< that the user asked the launcher to give this rank; 0: not known
  std::string cpus_cure;  ///< what gives ranks more CPUs with this launcher; empty: not known
};
[[nodiscard]] Placement placement_of(const World& world);

/// What computes and reads on this rank.
struct Threads {
  int compute = 1;  ///< 0: a device computes, or takes the time of it, and the rank's first thread keeps it busy
  int readers = 0;
  bool communication = false;
};
/// The last of these warnings, alone: `cpus` are those of the node's ranks together. Empty, or a line.
[[nodiscard]] std::string left_out(const std::string& host, int ranks, int cpus, const Placement& placement);
/// Collective over the node: warnings with their cures, one a line, where the node's ranks want more threads than they
/// have CPUs or quota, or are more than those beside their devices, where a quota has made threads fewer, where the
/// launch leaves most of the node's CPUs out, and where ranks have fewer than were asked for.
[[nodiscard]] std::string crowding(const World& world, const Placement& placement, const Threads& threads);

}  // namespace trainmark

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
};
[[nodiscard]] Placement placement_of(const World& world);

/// Collective over the node: a warning with its cure where the node's ranks want more threads than they have CPUs,
/// reader and communication threads counted; empty otherwise.
[[nodiscard]] std::string oversubscription(const World& world, const Placement& placement, int compute_threads,
                                           int reader_threads, bool communication_thread);

}  // namespace trainmark

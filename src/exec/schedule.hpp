// What orders launches on different lanes: which memory each touches, and from that which must wait for which.
// Lanes keep their own order; everything that is left follows from ranges that overlap.
#pragma once

#include <cstdint>
#include <vector>

#include "trainmark/exec.hpp"

namespace trainmark {

struct Access {
  Space space = Space::pool;
  Range range;  // bytes of the pool, elements of an arena, the tensor of an input
  bool writes = false;
};

/// What each node touches, `bytes` by tensor id.
[[nodiscard]] std::vector<std::vector<Access>> accesses_of(const Graph& graph, const MemoryPlan& memory,
                                                           const std::vector<std::size_t>& bytes);

/// For each node the earlier nodes on other lanes that must have ended: the latest of each lane, and none that an
/// earlier node of the same lane has waited for already.
[[nodiscard]] std::vector<std::vector<int>> waits_of(const Graph& graph,
                                                     const std::vector<std::vector<Access>>& accesses);

}  // namespace trainmark

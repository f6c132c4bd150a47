// From a graph to plans: what a backend makes of each node, in order, with layouts carried from producers to consumers.
#pragma once

#include <vector>

#include "trainmark/exec.hpp"

namespace trainmark {

struct PlannedGraph {
  Graph graph;                      // fused, if that was asked for
  std::vector<Planned> plans;       // by node
  std::vector<TensorDesc> tensors;  // by id, with the layouts that were chosen
  std::vector<std::size_t> bytes;   // by id
  MemoryPlan memory;
};

/// Raises Error{environment} with everything that the backend refuses.
[[nodiscard]] PlannedGraph plan_graph(Backend& backend, Graph graph, const Collectives& collectives,
                                      const Program::Options& options);

}  // namespace trainmark

// Runs a graph with the naive fp64 loops of ops.hpp: what a rewrite means, whatever a backend makes of it.
#pragma once

#include <vector>

#include "reference/ops.hpp"

namespace trainmark::reference {

/// The gradient arena of a differentiated graph, the loss value last. `inputs`: its f32 inputs in order, logical;
/// all samples count. `parameters`: the arena, in the graph's order.
[[nodiscard]] std::vector<double> gradients_of(const Graph& graph, const std::vector<Array>& inputs,
                                               const std::vector<double>& parameters);

}  // namespace trainmark::reference

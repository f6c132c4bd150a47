// How a graph specification is told to cudnn-frontend, whose header this one spares its readers.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "backend/cuda/cudnn/graphs.hpp"
#include "backend/cuda/cudnn/operands.hpp"

namespace cudnn_frontend::graph {
class Graph;
}

namespace trainmark::cuda {

/// All that planning needs to know of a graph. `build` identifies tensors by their place among the operands, from 1,
/// which is how the frontend sorts pointers.
struct Recipe {
  std::string key;
  std::vector<Operand> operands;
  std::function<void(cudnn_frontend::graph::Graph&)> build;
  bool full_precision = false;
};
[[nodiscard]] Recipe recipe_of(const GraphSpec& spec);

/// Leaky ReLU alone, for a convolution whose engines cannot have it in their epilogue. Reads and writes element by
/// element, so that both operands may be the same memory.
struct LeakyStep {
  Shape shape;
  float slope = 0.0F;
};
[[nodiscard]] Recipe recipe_of(const LeakyStep& step);

}  // namespace trainmark::cuda

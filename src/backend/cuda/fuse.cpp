// The fused blocks that this backend has.
#include "backend/cuda/ops/winners.hpp"
#include "backend/cuda/plans.hpp"
#include "backend/rewrites.hpp"

namespace trainmark::cuda {

Graph fuse(Graph graph) {
  while (fuse_pooled_block(graph, ends_in_cubes, DataGradient::with) || fuse_conv_activation(graph)) {
  }
  return graph;
}

}  // namespace trainmark::cuda

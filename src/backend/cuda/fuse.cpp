// The fused blocks that this backend has.
#include "backend/cuda/ops/winners.hpp"
#include "backend/cuda/plans.hpp"
#include "backend/rewrites.hpp"

namespace trainmark::cuda {

namespace {

/// cuDNN 9.19 has no engine for a convolution in groups with a curve behind it, in 16 bits.
bool ungrouped(const Conv& conv, const Activation&) { return conv.groups == 1; }

}  // namespace

Graph fuse(Graph graph) {
  while (fuse_pooled_block(graph, ends_in_cubes, DataGradient::with) || fuse_conv_activation(graph, ungrouped)) {
  }
  return graph;
}

}  // namespace trainmark::cuda

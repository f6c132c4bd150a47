// The fused blocks that this backend has.
#include "backend/cuda/plans.hpp"
#include "backend/rewrites.hpp"

namespace trainmark::cuda {

Graph fuse(Graph graph) {
  while (fuse_conv_activation(graph) || fuse_pool_activation_backward(graph)) {
  }
  return graph;
}

}  // namespace trainmark::cuda

// Graph rewrites to the blocks that only this backend computes in one pass. Whatever does not match stays as it is.
#include "backend/cpu/ops/first_block.hpp"
#include "backend/cpu/plans.hpp"
#include "backend/rewrites.hpp"

namespace trainmark::cpu {

Graph fuse(Graph graph) {
  const auto fits = [](const Conv&, const Activation& activation) { return keeps_nan(activation); };
  while (fuse_pooled_block(graph, FirstBlock::fits, DataGradient::without) || fuse_conv_activation(graph, fits) ||
         fuse_pool_activation_backward(graph)) {
  }
  return graph;
}

}  // namespace trainmark::cpu

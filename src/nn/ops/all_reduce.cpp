// Sums over ranks.
#include "nn/visitors.hpp"

namespace trainmark::nn {

Tensors Infer::operator()(const AllReduce&) const { return {}; }
Cost CostOf::operator()(const AllReduce& reduce) const {
  const auto moved = 2 * static_cast<std::int64_t>(size_of(reduce.wire));  // what leaves, and what comes back
  return {.macs = 0, .flops = reduce.range.size(), .bytes = moved * reduce.range.size(), .parameters = 0};
}
void Differentiate::operator()(const AllReduce&) { not_forward(); }

}  // namespace trainmark::nn

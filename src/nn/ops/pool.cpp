// Max pooling and its derivatives.
#include "nn/visitors.hpp"

namespace trainmark::nn {

Tensors Infer::operator()(const Pool& pool) const {
  arity(1);
  return {activation(pooled(pool, inputs_[0].shape), inputs_[0].dtype)};
}
Cost CostOf::operator()(const Pool& pool) const { return elementwise(output(0).elements() * volume(pool.kernel)); }
void Differentiate::operator()(const Pool& pool) { through(PoolBackward{pool}, node_.inputs[0], dst_diff()); }

Tensors Infer::operator()(const PoolBackward& backward) const {
  arity(2);
  same(pooled(backward.pool, inputs_[0].shape), 1);
  return {activation(inputs_[0].shape, inputs_[0].dtype)};
}
Cost CostOf::operator()(const PoolBackward& backward) const {
  return elementwise(input(1).elements() * volume(backward.pool.kernel));
}
void Differentiate::operator()(const PoolBackward&) { not_forward(); }

Tensors Infer::operator()(const PoolActivationBackward& backward) const {
  arity(2);
  same(pooled(backward.pool, inputs_[0].shape), 1);
  return {activation(inputs_[0].shape, inputs_[0].dtype)};
}
Cost CostOf::operator()(const PoolActivationBackward&) const { return elementwise(2 * output(0).elements()); }
void Differentiate::operator()(const PoolActivationBackward&) { not_forward(); }

}  // namespace trainmark::nn

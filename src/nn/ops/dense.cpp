// Dense layers and their derivatives.
#include "nn/visitors.hpp"

#include <fmt/format.h>

namespace trainmark::nn {

Tensors Infer::operator()(const Dense&) const {
  arity(3);
  return {dense_result()};
}
Tensor Infer::dense_result() const {
  const Shape& src = inputs_[0].shape;
  const Shape& weights = inputs_[1].shape;
  require(src.rank() >= 2 && weights.rank() == 2, "takes a batch of vectors or volumes and a matrix of weights",
          "give src N,C,... and weights O,I");
  require(weights[1] == src.elements() / src[0],
          fmt::format("has {} weights a unit for {} inputs", weights[1], src.elements() / src[0]),
          "make the weights for this input, or change the input's extent");
  bias(2, weights[0]);
  return activation({src[0], weights[0]}, inputs_[0].dtype);
}
Cost CostOf::operator()(const Dense&) const { return matrix(input(0).elements(), input(1)[0]); }
void Differentiate::operator()(const Dense&) { parametrised(DenseBackwardWeights{}, DenseBackwardData{}); }

Tensors Infer::operator()(const DenseBackwardData&) const {
  arity(2);
  return {dense_source()};
}
Tensor Infer::dense_source() const {
  const Shape& dst = inputs_[0].shape;
  require(dst.rank() == 2 && dst[1] == inputs_[1].shape[0], "has a gradient that is not of its weights' outputs",
          "give diff_dst N,O and weights O,I");
  return activation({dst[0], inputs_[1].shape[1]}, inputs_[0].dtype);
}
Cost CostOf::operator()(const DenseBackwardData&) const { return matrix(output(0).elements(), input(1)[0]); }
void Differentiate::operator()(const DenseBackwardData&) { not_forward(); }

Tensors Infer::operator()(const DenseBackwardWeights&) const {
  arity(2);
  const Shape& src = inputs_[0].shape;
  const std::int64_t units = inputs_[1].shape[1];
  same({src[0], units}, 1);
  return {gradient({units, src.elements() / src[0]}), gradient({units})};
}
Cost CostOf::operator()(const DenseBackwardWeights&) const { return matrix(input(0).elements(), input(1)[1]); }
void Differentiate::operator()(const DenseBackwardWeights&) { not_forward(); }

Tensors Infer::operator()(const DenseBlock& block) const {
  arity(block.dropout ? 4 : 3);
  if (block.dropout) return {dense_result(), dense_result()};
  return {dense_result()};
}
Cost CostOf::operator()(const DenseBlock& block) const {
  Cost cost = matrix(input(0).elements(), input(1)[0]);
  cost.flops += output(0).elements() * (block.dropout ? 2 : 1);
  return cost;
}
void Differentiate::operator()(const DenseBlock&) { not_forward(); }

Tensors Infer::operator()(const DenseBlockBackwardData& backward) const {
  arity(backward.below.dropout ? 4 : 3);
  same(dense_source().shape, 2);
  return {activation(inputs_[2].shape, inputs_[2].dtype)};
}
Cost CostOf::operator()(const DenseBlockBackwardData& backward) const {
  Cost cost = matrix(output(0).elements(), input(1)[0]);
  cost.flops += output(0).elements() * (backward.below.dropout ? 2 : 1);
  return cost;
}
void Differentiate::operator()(const DenseBlockBackwardData&) { not_forward(); }

}  // namespace trainmark::nn

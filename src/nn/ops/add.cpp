// Sums of two tensors, whose terms share one gradient.
#include "nn/visitors.hpp"

namespace trainmark::nn {

Tensors Infer::operator()(const Add&) const {
  arity(2);
  require(inputs_[0].shape == inputs_[1].shape && inputs_[0].dtype == inputs_[1].dtype,
          "adds tensors of different shapes or types", "give two tensors of one shape and type");
  return {activation(inputs_[0].shape, inputs_[0].dtype)};
}
Cost CostOf::operator()(const Add&) const { return elementwise(output(0).elements()); }
void Differentiate::operator()(const Add&) {
  const TensorId diff = dst_diff();  // of both terms: no copy is made
  for (const TensorId term : node_.inputs)
    if (wanted_[index(term)]) contribute(term, diff);
}

}  // namespace trainmark::nn

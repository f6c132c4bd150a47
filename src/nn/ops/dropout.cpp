// Dropout and its derivative.
#include "nn/visitors.hpp"

#include <fmt/format.h>

namespace trainmark::nn {

Tensors Infer::operator()(const Dropout& dropout) const {
  arity(2);
  require(dropout.rate >= 0.0F && dropout.rate < 1.0F, fmt::format("has rate {}", dropout.rate),
          "choose a rate of at least 0 and below 1");
  return {activation(inputs_[0].shape, inputs_[0].dtype)};
}
Cost CostOf::operator()(const Dropout&) const { return elementwise(output(0).elements()); }
void Differentiate::operator()(const Dropout& dropout) {
  through(DropoutBackward{dropout}, dst_diff(), node_.inputs[1]);
}

Tensors Infer::operator()(const DropoutBackward&) const {
  arity(2);
  return {activation(inputs_[0].shape, inputs_[0].dtype)};
}
Cost CostOf::operator()(const DropoutBackward&) const { return elementwise(output(0).elements()); }
void Differentiate::operator()(const DropoutBackward&) { not_forward(); }

}  // namespace trainmark::nn

// Activations and their derivatives.
#include "nn/visitors.hpp"

namespace trainmark::nn {

Tensors Infer::operator()(const Activation&) const {
  arity(1);
  return {activation(inputs_[0].shape, inputs_[0].dtype)};
}
Cost CostOf::operator()(const Activation&) const { return elementwise(output(0).elements()); }
void Differentiate::operator()(const Activation& curve) {
  through(ActivationBackward{curve}, node_.outputs[0], dst_diff());
}

Tensors Infer::operator()(const ActivationBackward&) const {
  arity(2);
  same(inputs_[0].shape, 1);
  return {activation(inputs_[0].shape, inputs_[0].dtype)};
}
Cost CostOf::operator()(const ActivationBackward&) const { return elementwise(output(0).elements()); }
void Differentiate::operator()(const ActivationBackward&) { not_forward(); }

}  // namespace trainmark::nn

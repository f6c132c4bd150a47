// The dynamic loss scale.
#include "nn/visitors.hpp"

namespace trainmark::nn {

Tensors Infer::operator()(const GradientCheck&) const {
  scaler(inputs_.size() - 1);
  return {};
}
Cost CostOf::operator()(const GradientCheck& check) const {
  constexpr std::int64_t moved = sizeof(float);
  return {.macs = 0, .flops = check.range.size(), .bytes = moved * check.range.size(), .parameters = 0};
}
void Differentiate::operator()(const GradientCheck&) { not_forward(); }

Tensors Infer::operator()(const AdjustLossScale&) const {
  arity(1);
  scaler(0);
  return {};
}
Cost CostOf::operator()(const AdjustLossScale&) const {
  return {.macs = 0, .flops = 1, .bytes = 2 * loss_scale_extent, .parameters = 0};
}
void Differentiate::operator()(const AdjustLossScale&) { not_forward(); }

}  // namespace trainmark::nn

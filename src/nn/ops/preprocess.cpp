// From raw samples to activations.
#include "nn/visitors.hpp"

#include <fmt/format.h>

namespace trainmark::nn {

Tensors Infer::operator()(const Preprocess&) const {
  arity(1);
  const DType raw = inputs_[0].dtype;
  require(raw == DType::i16 || raw == DType::f32, fmt::format("reads {}", name_of(raw)), "feed i16 or f32");
  return {activation(inputs_[0].shape, DType::f32)};
}
Cost CostOf::operator()(const Preprocess&) const { return elementwise(output(0).elements()); }
void Differentiate::operator()(const Preprocess&) {
  // Nothing flows into inputs.
}

Tensors Infer::operator()(const Normalise& normalise) const {
  arity(1);
  const DType raw = inputs_[0].dtype;
  require(raw == DType::f32 || raw == DType::u8, fmt::format("reads {}", name_of(raw)), "feed f32 or u8");
  const auto channels = static_cast<std::size_t>(inputs_[0].shape[1]);
  require(normalise.shift.size() == channels && normalise.scale.size() == channels,
          fmt::format("has constants of {} channels", normalise.shift.size()), "give a shift and a scale each channel");
  return {activation(inputs_[0].shape, DType::f32)};
}
Cost CostOf::operator()(const Normalise&) const { return elementwise(2 * output(0).elements()); }
void Differentiate::operator()(const Normalise&) {
  // Nothing flows into inputs.
}

}  // namespace trainmark::nn

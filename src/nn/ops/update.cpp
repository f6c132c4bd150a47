// Sums of gradients over parts of a step, and the update.
#include "nn/visitors.hpp"

namespace trainmark::nn {

Tensors Infer::operator()(const Accumulate&) const { return {}; }
Cost CostOf::operator()(const Accumulate& sum) const {
  const std::int64_t moved = (sum.last ? 4 : 3) * static_cast<std::int64_t>(sizeof(float));
  return {.macs = 0, .flops = sum.range.size(), .bytes = moved * sum.range.size(), .parameters = 0};
}
void Differentiate::operator()(const Accumulate&) { not_forward(); }

Tensors Infer::operator()(const Update& update) const {
  if (update.scaled) scaler(inputs_.size() - 1);
  return {};
}
Cost CostOf::operator()(const Update& update) const {
  // Reads parameter, gradient and slots; writes parameter and slots. Six operations an element for SGD with momentum,
  // and one to take the loss scale off.
  const std::int64_t moved = (3 + 2 * slots_of(update.rule)) * static_cast<std::int64_t>(sizeof(float));
  const std::int64_t flops = update.scaled ? 7 : 6;
  return {.macs = 0, .flops = flops * update.range.size(), .bytes = moved * update.range.size(), .parameters = 0};
}
void Differentiate::operator()(const Update&) { not_forward(); }

}  // namespace trainmark::nn

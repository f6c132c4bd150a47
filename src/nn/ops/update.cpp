// Sums of gradients over parts of a step, norms of gradients, and the update.
#include "nn/visitors.hpp"

namespace trainmark::nn {

Tensors Infer::operator()(const Accumulate&) const { return {}; }
Cost CostOf::operator()(const Accumulate& sum) const {
  const std::int64_t moved = (sum.last ? 4 : 3) * static_cast<std::int64_t>(sizeof(float));
  return {.macs = 0, .flops = sum.range.size(), .bytes = moved * sum.range.size(), .parameters = 0};
}
void Differentiate::operator()(const Accumulate&) { not_forward(); }

Tensors Infer::operator()(const SquaredNorm&) const { return {activation({1}, DType::f64)}; }
Cost CostOf::operator()(const SquaredNorm& norm) const {
  constexpr std::int64_t moved = sizeof(float);
  return {.macs = 0, .flops = 2 * norm.range.size(), .bytes = moved * norm.range.size(), .parameters = 0};
}
void Differentiate::operator()(const SquaredNorm&) { not_forward(); }

Tensors Infer::operator()(const CountUpdate& count) const {
  arity(count.scaled ? 2 : 1);
  if (count.scaled) scaler(1);
  return {};
}
Cost CostOf::operator()(const CountUpdate&) const {
  return {.macs = 0, .flops = 1, .bytes = 2 * update_count_extent, .parameters = 0};
}
void Differentiate::operator()(const CountUpdate&) { not_forward(); }

Tensors Infer::operator()(const Update& update) const {
  if (update.scaled) scaler(inputs_.size() - 1);
  return {};
}
namespace {

/// Operations on an element, and how often memory moves 4 bytes of it. SGD reads parameter, gradient and slot and
/// writes two of them; LAMB passes twice, the second time over what it has written; LARS twice, the first time over
/// parameter and gradient.
struct Work {
  std::int64_t flops, moves;
};
Work work_of(const SgdMomentum&) { return {6, 5}; }
Work work_of(const Adam&) { return {16, 7}; }
Work work_of(const Lamb&) { return {30, 10}; }
Work work_of(const Lars&) { return {10, 7}; }

}  // namespace
Cost CostOf::operator()(const Update& update) const {
  const Work work = std::visit([](const auto& rule) { return work_of(rule); }, update.rule);
  const std::int64_t elements = update.range().size();
  return {.macs = 0,
          .flops = (work.flops + (update.scaled ? 1 : 0)) * elements,  // one to take the loss scale off
          .bytes = work.moves * static_cast<std::int64_t>(sizeof(float)) * elements,
          .parameters = 0};
}
void Differentiate::operator()(const Update&) { not_forward(); }

}  // namespace trainmark::nn

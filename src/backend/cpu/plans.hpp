// One planning function an operation of the CPU backend; the files beside this one hold a family each.
#pragma once

#include "trainmark/backend.hpp"

namespace trainmark::cpu {

/// Activations are channels-last from rank 3 on; rank 1 and 2 have but one order.
[[nodiscard]] TensorDesc activation_desc(const Shape& shape, DType dtype);
/// The outputs as inferred, with the layout that this backend gives activations.
[[nodiscard]] std::vector<TensorDesc> as_activations(const std::vector<TensorDesc>& outputs);

[[nodiscard]] Planned plan_conv(const Conv& conv, const Operands& operands, const Activation* activation);
[[nodiscard]] Planned plan_conv_backward_data(const Conv& conv, const Operands& operands);
[[nodiscard]] Planned plan_conv_backward_weights(const Conv& conv, const Operands& operands);
/// Convolution, curve and pool in one pass; FirstBlock::fits says which.
[[nodiscard]] Planned plan_first_block(const ConvBlock& block, const Operands& operands);
[[nodiscard]] Planned plan_first_block_backward_weights(const ConvBlock& block, const Operands& operands);
[[nodiscard]] Planned plan_dense(const Operands& operands);
[[nodiscard]] Planned plan_dense_backward_data(const Operands& operands);
[[nodiscard]] Planned plan_dense_backward_weights(const Operands& operands);
[[nodiscard]] Planned plan_pool(const Pool& pool, const Operands& operands);
/// Without an activation the plain derivative; with one, that of activation then pool, in place.
[[nodiscard]] Planned plan_pool_backward(const Pool& pool, const Activation* activation, const Operands& operands);
[[nodiscard]] Planned plan_activation(const Activation& activation, const Operands& operands);
[[nodiscard]] Planned plan_activation_backward(const Activation& activation, const Operands& operands);
[[nodiscard]] Planned plan_dropout(const Dropout& dropout, const Operands& operands);
[[nodiscard]] Planned plan_preprocess(const Preprocess& preprocess, const Operands& operands);
[[nodiscard]] Planned plan_loss(const Loss& loss, const Operands& operands);
[[nodiscard]] Planned plan_metric(const Metric& metric, const Operands& operands);
[[nodiscard]] Planned plan_accumulate(const Accumulate& accumulate);
[[nodiscard]] Planned plan_gradient_check(const GradientCheck& check);
[[nodiscard]] Planned plan_update(const Update& update);
[[nodiscard]] Planned plan_adjust_loss_scale(const AdjustLossScale& adjustment);
[[nodiscard]] Planned plan_all_reduce(const AllReduce& reduce, Collective& collective);

/// Graph rewrites to the fused blocks that this backend has.
[[nodiscard]] Graph fuse(Graph graph);

[[nodiscard]] std::unique_ptr<Collective> make_collective(const Group& group);

/// A plan made of a function over (args).
template <class Body>
class FunctionPlan final : public Plan {
 public:
  explicit FunctionPlan(Body body) : body_(std::move(body)) {}
  void execute(Stream&, std::span<void* const> args) override { body_(args); }

 private:
  Body body_;
};
template <class Body>
[[nodiscard]] Planned planned(Body body, std::vector<TensorDesc> outputs,
                              std::optional<std::pair<int, int>> in_place = {}) {
  return {std::make_unique<FunctionPlan<Body>>(std::move(body)), std::move(outputs), 0, in_place};
}

}  // namespace trainmark::cpu

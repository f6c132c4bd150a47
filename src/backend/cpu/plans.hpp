// The operations of the CPU backend, each made ready by a function of its own; ops/ holds them, a family a file.
#pragma once

#include "trainmark/backend.hpp"

namespace trainmark::cpu {

/// Activations are channels-last from rank 3 on; rank 1 and 2 have but one order.
[[nodiscard]] TensorDesc activation_desc(const Shape& shape, DType dtype);
/// The outputs as inferred, with the layout that this backend gives activations.
[[nodiscard]] std::vector<TensorDesc> as_activations(const std::vector<TensorDesc>& outputs);

/// oneDNN's ReLU behind a convolution turns a NaN into zero where its slope is 0: an overflow would not be seen.
[[nodiscard]] inline bool keeps_nan(const Activation& fused) { return fused.slope != 0.0F; }

// One overload an operation, in the file of its family: what the backend makes of it. The backend visits Op with these.
[[nodiscard]] Planned plan_op(const Conv& op, const Operands& operands);
[[nodiscard]] Planned plan_op(const ConvBackwardData& op, const Operands& operands);
[[nodiscard]] Planned plan_op(const ConvBackwardWeights& op, const Operands& operands);
[[nodiscard]] Planned plan_op(const ConvBlock& op, const Operands& operands);
[[nodiscard]] Planned plan_op(const ConvBlockBackwardWeights& op, const Operands& operands);
[[nodiscard]] Planned plan_op(const Dense& op, const Operands& operands);
[[nodiscard]] Planned plan_op(const DenseBackwardData& op, const Operands& operands);
[[nodiscard]] Planned plan_op(const DenseBackwardWeights& op, const Operands& operands);
[[nodiscard]] Planned plan_op(const Pool& op, const Operands& operands);
[[nodiscard]] Planned plan_op(const PoolBackward& op, const Operands& operands);
[[nodiscard]] Planned plan_op(const PoolActivationBackward& op, const Operands& operands);
[[nodiscard]] Planned plan_op(const Activation& op, const Operands& operands);
[[nodiscard]] Planned plan_op(const ActivationBackward& op, const Operands& operands);
[[nodiscard]] Planned plan_op(const Dropout& op, const Operands& operands);
[[nodiscard]] Planned plan_op(const DropoutBackward& op, const Operands& operands);
[[nodiscard]] Planned plan_op(const Add& op, const Operands& operands);
[[nodiscard]] Planned plan_op(const Concat& op, const Operands& operands);
[[nodiscard]] Planned plan_op(const Slice& op, const Operands& operands);
[[nodiscard]] Planned plan_op(const Preprocess& op, const Operands& operands);
[[nodiscard]] Planned plan_op(const Loss& op, const Operands& operands);
[[nodiscard]] Planned plan_op(const Metric& op, const Operands& operands);
[[nodiscard]] Planned plan_op(const Accumulate& op, const Operands& operands);
[[nodiscard]] Planned plan_op(const GradientCheck& op, const Operands& operands);
[[nodiscard]] Planned plan_op(const Update& op, const Operands& operands);
[[nodiscard]] Planned plan_op(const AdjustLossScale& op, const Operands& operands);
[[nodiscard]] Planned plan_op(const AllReduce& op, const Operands& operands);
[[nodiscard]] Planned plan_op(const Normalise& op, const Operands& operands);
[[nodiscard]] Planned plan_op(const SpatialSum& op, const Operands& operands);
[[nodiscard]] Planned plan_op(const Tile& op, const Operands& operands);
[[nodiscard]] Planned plan_op(const NormMoments& op, const Operands& operands);
[[nodiscard]] Planned plan_op(const NormApply& op, const Operands& operands);
[[nodiscard]] Planned plan_op(const NormInference& op, const Operands& operands);
[[nodiscard]] Planned plan_op(const NormGradients& op, const Operands& operands);
[[nodiscard]] Planned plan_op(const NormBackward& op, const Operands& operands);
[[nodiscard]] Planned plan_op(const SumOverGroup& op, const Operands& operands);
[[nodiscard]] Planned plan_op(const AverageStatistics& op, const Operands& operands);
[[nodiscard]] Planned plan_op(const SquaredNorm& op, const Operands& operands);
[[nodiscard]] Planned plan_op(const CountUpdate& op, const Operands& operands);
[[nodiscard]] Planned plan_op(const DenseBlock& op, const Operands& operands);
[[nodiscard]] Planned plan_op(const DenseBlockBackwardData& op, const Operands& operands);
[[nodiscard]] Planned plan_op(const PackWeights& op, const Operands& operands);
[[nodiscard]] Planned plan_op(const UnpackGradients& op, const Operands& operands);

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
[[nodiscard]] Planned planned(Body body, std::vector<TensorDesc> outputs, std::vector<InPlace> in_place = {},
                              std::size_t scratch_bytes = 0) {
  return {std::make_unique<FunctionPlan<Body>>(std::move(body)), std::move(outputs), scratch_bytes,
          std::move(in_place)};
}

}  // namespace trainmark::cpu

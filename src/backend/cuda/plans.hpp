// The operations of the CUDA backend, each made ready by a function of its own; ops/ holds them, a family a file.
// Activations are channels-last from rank 3 on, with channels padded by zeros to a multiple of eight so that every
// vector access is aligned; parameters and their gradients are fp32 in logical order, and are brought into the graphs'
// order and type by PackWeights and back by UnpackGradients, many at once, or by each pass for itself.
#pragma once

#include <cuda_runtime.h>

#include "backend/cuda/cudnn/graphs.hpp"
#include "backend/cuda/streams.hpp"
#include "trainmark/backend.hpp"

namespace trainmark::cuda {

inline constexpr Layout channels_last = 1;
inline constexpr std::int64_t channel_multiple = 8;
[[nodiscard]] constexpr std::int64_t padded(std::int64_t channels) {
  return (channels + channel_multiple - 1) / channel_multiple * channel_multiple;
}
/// Channels-last (padded) from rank 3 on; rank 1 and 2 have but one order and no padding.
[[nodiscard]] TensorDesc activation_desc(const Shape& shape, DType dtype);
[[nodiscard]] std::vector<TensorDesc> as_activations(const std::vector<TensorDesc>& outputs);
/// The shape as it lies in memory: the logical one with its channels padded where the layout pads them.
[[nodiscard]] Shape stored_shape(const TensorDesc& desc);
[[nodiscard]] std::size_t stored_bytes(const TensorDesc& desc);

/// Channels that Normalise, and classes that CrossEntropy may have.
inline constexpr std::size_t most_constants = 256;

/// What plans of matrix work need: the graph compiler and whether fp32 may be TF32.
struct Compute {
  GraphCompiler& graphs;
  Math math = Math::full;
};

// One overload an operation, in the file of its family: what the backend makes of it. The backend visits Op with these.
// What becomes a cuDNN graph takes `compute`; the rest are kernels of our own.
[[nodiscard]] Planned plan_op(const Compute& compute, const Conv& op, const Operands& operands);
[[nodiscard]] Planned plan_op(const Compute& compute, const ConvBackwardData& op, const Operands& operands);
[[nodiscard]] Planned plan_op(const Compute& compute, const ConvBackwardWeights& op, const Operands& operands);
[[nodiscard]] Planned plan_op(const Compute& compute, const ConvBlock& op, const Operands& operands);
[[nodiscard]] Planned plan_op(const Compute& compute, const ConvBlockBackwardWeights& op, const Operands& operands);
[[nodiscard]] Planned plan_op(const Compute& compute, const Dense& op, const Operands& operands);
[[nodiscard]] Planned plan_op(const Compute& compute, const DenseBackwardData& op, const Operands& operands);
[[nodiscard]] Planned plan_op(const Compute& compute, const DenseBackwardWeights& op, const Operands& operands);
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

[[nodiscard]] Graph fuse(Graph graph);

/// NCCL in a communicator of its own, or nothing for a rank alone. Collective.
[[nodiscard]] std::unique_ptr<Collective> make_collective(const Group& group, Stream& stream);

// --- Steps that several plans share ----------------------------------------------------------------------------------

/// fp32 weights in logical order [outer, inner, spatial...] to `type` in memory order [outer_p, spatial..., inner_p],
/// padding zeroed. A dense layer over a volume has its columns in that order already: outer, (spatial, inner).
struct WeightOrder {
  std::int64_t outer = 1, inner = 1, spatial = 1;
  std::int64_t stored_outer = 1, stored_inner = 1;
  bool spatial_first = false;  ///< the logical order is [outer, spatial, inner] (dense layers)
  [[nodiscard]] std::int64_t stored() const noexcept { return stored_outer * spatial * stored_inner; }
};
void pack_weights(cudaStream_t stream, const WeightOrder& order, const float* from, void* to, DType type);
/// `type` in memory order back to fp32 in logical order, padding dropped.
void unpack_weights(cudaStream_t stream, const WeightOrder& order, const void* from, DType type, float* to);
/// The same for orders that differ by more than padding.
void pack_tiles(cudaStream_t stream, const WeightOrder& order, const float* from, void* to, DType type);
void unpack_tiles(cudaStream_t stream, const WeightOrder& order, const void* from, DType type, float* to);
/// That of packed_weights: a convolution's without groups, both numbers of channels padded.
[[nodiscard]] WeightOrder order_of_packed(const Shape& weights);

/// Sums of parts of a batch, f32[parts, stored], of which `channels` columns count.
struct PartialSums {
  std::int64_t parts = 1, channels = 1, stored = 1;
};
/// to[c] = sum over parts of partial[part][c], in a fixed order.
void add_parts(cudaStream_t stream, const float* partial, const PartialSums& sums, float* to);
/// partial[part][c] = sum over the part's rows of from[row][c], in bias_parts(rows) parts.
[[nodiscard]] std::int64_t bias_parts(std::int64_t rows);
void sum_row_parts(cudaStream_t stream, const void* from, DType type, std::int64_t rows, std::int64_t stored_channels,
                   float* partial);
/// Both: diff_bias[c] = sum over rows of diff_dst[row][c]. `scratch`: bias_scratch_bytes(rows, stored).
[[nodiscard]] std::size_t bias_scratch_bytes(std::int64_t rows, std::int64_t stored_channels);
void sum_rows(cudaStream_t stream, const void* from, DType type, std::int64_t rows, std::int64_t channels,
              std::int64_t stored_channels, float* to, void* scratch);
/// values[...][c] += bias[c]; an activation, and f32 for each of its stored channels.
void add_bias(cudaStream_t stream, void* values, const TensorDesc& desc, const float* bias);
/// Element by element between types (f32, bf16, f16), both in the same order.
void convert(cudaStream_t stream, const void* from, DType from_type, void* to, DType to_type, std::int64_t count);

/// A plan made of a function over (stream, args).
template <class Body>
class FunctionPlan final : public Plan {
 public:
  explicit FunctionPlan(Body body) : body_(std::move(body)) {}
  void execute(Stream& stream, std::span<void* const> args) override { body_(native(stream), args); }

 private:
  Body body_;
};
template <class Body>
[[nodiscard]] Planned planned(Body body, std::vector<TensorDesc> outputs, std::vector<InPlace> in_place = {},
                              std::size_t scratch_bytes = 0) {
  return {std::make_unique<FunctionPlan<Body>>(std::move(body)), std::move(outputs), scratch_bytes,
          std::move(in_place)};
}

}  // namespace trainmark::cuda

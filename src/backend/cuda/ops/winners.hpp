// The end of a pooled block, bias, curve and pool, and what it keeps of its convolution's output: for each window and
// channel which element won and on which side of zero it came to lie, a byte; and the way back from there.
#pragma once

#include "backend/cuda/plans.hpp"

namespace trainmark::cuda {

/// Bias, leaky ReLU and max pooling by cubes of two that cover a channels-last volume. The first two never fall where
/// their argument rises, so the largest of a window is as large behind them: they come last, on an eighth of the data.
class CubePool {
 public:
  /// `src`: the volume; `dst`: the pooled shape, both logical.
  CubePool(const ConvBlock& block, const TensorDesc& src, const Shape& dst);

  /// (src, bias fp32 in logical order) -> (dst, winner u8); a null `winner` is not written.
  void forward(cudaStream_t stream, const void* src, const float* bias, void* dst, void* winner) const;

  /// The derivative of curve and pool, and its sums over parts of the windows, which add up to the bias gradient:
  /// (winner, diff_dst) -> (diff_src, partial f32[bias_sums()]).
  void backward(cudaStream_t stream, const void* winner, const void* diff_dst, void* diff_src, float* partial) const;
  [[nodiscard]] PartialSums bias_sums() const;

 private:
  Pool pool_;
  float slope_;
  TensorDesc src_;
  Shape dst_;
  std::int64_t windows_, channels_;
};

/// The volume that such a pool made `pooled` of.
[[nodiscard]] TensorDesc volume_under(const TensorDesc& pooled);
/// Whether such a pool ends this block.
[[nodiscard]] bool ends_in_cubes(const ConvBlock& block, const Shape& src, const Shape& dst);

}  // namespace trainmark::cuda

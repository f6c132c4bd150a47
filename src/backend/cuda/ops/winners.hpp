// What a pooled block keeps of its convolution's output: for each window and channel which element won and on which
// side of zero it lay, a byte; and the way back from there.
#pragma once

#include "backend/cuda/plans.hpp"

namespace trainmark::cuda {

/// Max pooling by cubes of two that cover an activated, channels-last volume.
class CubePool {
 public:
  /// `src`: the volume; `dst`: the pooled shape, both logical.
  CubePool(const Pool& pool, const TensorDesc& src, const Shape& dst);

  /// (src) -> (dst, winner u8)
  void forward(cudaStream_t stream, const void* src, void* dst, void* winner) const;

  /// The derivative of curve and pool, and its sum over all windows, which is the bias gradient:
  /// (winner, diff_dst) -> (diff_src, diff_bias). `scratch`: scratch_bytes().
  void backward(cudaStream_t stream, const void* winner, const void* diff_dst, float slope, void* diff_src,
                float* diff_bias, void* scratch) const;
  [[nodiscard]] std::size_t scratch_bytes() const;

 private:
  [[nodiscard]] std::int64_t parts() const;

  Pool pool_;
  TensorDesc src_;
  Shape dst_;
  std::int64_t windows_, channels_;
};

/// The volume that such a pool made `pooled` of.
[[nodiscard]] TensorDesc volume_under(const TensorDesc& pooled);
/// Whether such a pool ends this block.
[[nodiscard]] bool ends_in_cubes(const ConvBlock& block, const Shape& src, const Shape& dst);

}  // namespace trainmark::cuda

// Convolutions, plain, grouped, dilated and transposed, their derivatives and their fused blocks.
#include "nn/visitors.hpp"

#include <fmt/format.h>

namespace trainmark::nn {

Tensors Infer::operator()(const Conv& conv) const {
  arity(with_bias() ? 3 : 2);
  return {activation(convolved(conv), inputs_[0].dtype)};
}
Cost CostOf::operator()(const Conv& conv) const { return convolution(conv, output(0), input(0)[1]); }
void Differentiate::operator()(const Conv& conv) {
  const std::vector<std::int64_t>& extents = tensor(node_.inputs[0]).shape.extents();
  parametrised(ConvBackwardWeights{conv}, ConvBackwardData{conv, {extents.begin() + 2, extents.end()}});
}

Tensors Infer::operator()(const ConvBackwardData& backward) const {
  arity(2);
  const Shape& dst = inputs_[0].shape;
  const Shape& weights = inputs_[1].shape;
  const Conv& conv = backward.conv;
  spatial(dst, conv);
  require(weights == weights_of(conv, weights[1] * conv.groups, dst[1]), "has weights of another convolution",
          "make the weights for this kernel, these channels and groups");
  std::vector<std::int64_t> src = {dst[0], weights[1] * conv.groups};
  for (std::size_t axis = 0; axis < conv.kernel.size(); ++axis) {
    const std::int64_t smallest =
        (dst[axis + 2] - 1) * conv.stride[axis] + reach_of(conv, axis) - conv.pad_lo[axis] - conv.pad_hi[axis];
    src.push_back(backward.src_extents.empty() ? smallest : backward.src_extents.at(axis));
    require(convolved_extent(conv, axis, src.back()) == dst[axis + 2],
            fmt::format("cannot come back to {} on axis {}", src.back(), axis),
            fmt::format("give an extent from {} to {}", smallest, smallest + conv.stride[axis] - 1));
  }
  return {activation(Shape(std::move(src)), inputs_[0].dtype)};
}
Cost CostOf::operator()(const ConvBackwardData& backward) const {
  return convolution(backward.conv, input(0), output(0)[1]);
}
/// As a forward operation a transposed convolution, whose derivatives are the convolution and its weight gradient
/// with source and destination in each other's place.
void Differentiate::operator()(const ConvBackwardData& transposed) {
  const TensorId src = node_.inputs[0], weights = node_.inputs[1], diff_dst = dst_diff();
  append("backward_weights", ConvBackwardWeights{transposed.conv}, {diff_dst, src}, {weights});
  if (wanted_[index(src)]) append("backward_data", transposed.conv, {diff_dst, weights}, {src});
}

Tensors Infer::operator()(const ConvBackwardWeights& backward) const {
  arity(2);
  Tensors made = convolution_gradients(backward.conv, inputs_[1].shape[1]);
  same(convolved(backward.conv, inputs_[0].shape, inputs_[1].shape[1]), 1);
  return made;
}
Cost CostOf::operator()(const ConvBackwardWeights& backward) const {
  return convolution(backward.conv, input(1), input(0)[1]);
}
void Differentiate::operator()(const ConvBackwardWeights&) { not_forward(); }

Tensors Infer::operator()(const ConvBlock& block) const {
  arity(with_bias() || block.has_pool ? 3 : 2);
  Shape dst = convolved(block.conv);
  if (!block.has_pool) return {activation(std::move(dst), inputs_[0].dtype)};
  dst = pooled(block.pool, dst);
  return {activation(dst, inputs_[0].dtype), activation(dst, DType::u8)};
}
Cost CostOf::operator()(const ConvBlock& block) const {
  return convolution_block(block, output(0)[1], block.has_pool ? 2 : 1);
}
void Differentiate::operator()(const ConvBlock&) { not_forward(); }

Tensors Infer::operator()(const ConvBlockBackwardWeights& backward) const {
  arity(3);
  same(inputs_[1].shape, 2);
  const Shape& diff_dst = inputs_[2].shape;
  const Conv& conv = backward.block.conv;
  Tensors made = convolution_gradients(conv, diff_dst[1]);
  made.push_back(activation(convolved(conv, inputs_[0].shape, diff_dst[1]), inputs_[2].dtype));
  return made;
}
Cost CostOf::operator()(const ConvBlockBackwardWeights& backward) const {
  return convolution_block(backward.block, input(2)[1], 3);
}
void Differentiate::operator()(const ConvBlockBackwardWeights&) { not_forward(); }

Tensors Infer::operator()(const PackWeights&) const {
  Tensors packed;
  for (const Tensor& weights : inputs_)
    packed.push_back(activation(weights.shape, weights.dtype));
  return packed;
}
Cost CostOf::operator()(const PackWeights&) const { return elementwise(0); }
void Differentiate::operator()(const PackWeights&) { not_forward(); }

Tensors Infer::operator()(const UnpackGradients&) const {
  TRAINMARK_CHECK(false, fmt::format("{}: sums do not tell of how many channels a gradient is", node_));
  return {};
}
Cost CostOf::operator()(const UnpackGradients&) const { return elementwise(0); }
void Differentiate::operator()(const UnpackGradients&) { not_forward(); }

}  // namespace trainmark::nn

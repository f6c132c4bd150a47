// Convolutions by oneDNN over channels-last activations. Weights come in logical fp32 order and are brought into the
// layout and type that the primitive prefers; their gradients go back the same way.
#include <algorithm>
#include <string_view>

#include "backend/cpu/ops/first_block.hpp"
#include "backend/cpu/plans.hpp"
#include "backend/cpu/primitive.hpp"

namespace trainmark::cpu {
namespace {

using dnnl::algorithm;
using dnnl::memory;

memory::dims dims_of(const std::vector<int>& values) { return {values.begin(), values.end()}; }

/// oneDNN counts what lies between taps.
memory::dims gaps_of(const Conv& conv) {
  memory::dims gaps(conv.kernel.size(), 0);
  for (std::size_t axis = 0; axis < conv.dilation.size(); ++axis)
    gaps[axis] = conv.dilation[axis] - 1;
  return gaps;
}

/// Weights O,I/groups,... as oneDNN wants them of several groups: groups,O/groups,I/groups,... The memory is the same.
Shape grouped(const Conv& conv, const Shape& weights) {
  if (conv.groups == 1) return weights;
  std::vector<std::int64_t> extents = weights.extents();
  extents[0] /= conv.groups;
  extents.insert(extents.begin(), conv.groups);
  return Shape(std::move(extents));
}

/// Descriptors of a convolution from its activations' and weights' shapes. An empty bias is none.
struct Descriptors {
  memory::desc src, weights, bias, dst;
};

dnnl::convolution_forward::primitive_desc forward(const Conv& conv, const Descriptors& descs,
                                                  const dnnl::primitive_attr& attributes) {
  return {engine(),
          dnnl::prop_kind::forward_training,
          algorithm::convolution_direct,
          descs.src,
          descs.weights,
          descs.bias,
          descs.dst,
          dims_of(conv.stride),
          gaps_of(conv),
          dims_of(conv.pad_lo),
          dims_of(conv.pad_hi),
          attributes};
}

Planned plan_conv(const Conv& conv, const Operands& operands, const Activation* activation) {
  const TensorDesc& src = operands.inputs[0];
  const TensorDesc dst = activation_desc(operands.outputs[0].shape, operands.outputs[0].dtype);
  const Shape weights = grouped(conv, operands.inputs[1].shape);
  const bool bias = operands.inputs.size() > 2;
  const Descriptors descs{described(activation_desc(src.shape, src.dtype)), open(weights, src.dtype),
                          bias ? described(operands.inputs[2]) : memory::desc(), described(dst)};
  dnnl::primitive_attr attributes = user_scratchpad();
  if (activation != nullptr) {
    dnnl::post_ops post;
    post.append_eltwise(algorithm::eltwise_relu, activation->slope, 0.0F);
    attributes.set_post_ops(post);
  }
  const auto primitive = forward(conv, descs, attributes);
  PrimitiveBuilder builder;
  builder.input(DNNL_ARG_SRC, described(src), primitive.src_desc());
  builder.input(DNNL_ARG_WEIGHTS, described(weights, DType::f32, logical_layout), primitive.weights_desc());
  if (bias) builder.input(DNNL_ARG_BIAS, described(operands.inputs[2]), primitive.bias_desc());
  builder.output(DNNL_ARG_DST, described(dst), primitive.dst_desc());
  return builder.finish(dnnl::convolution_forward(primitive), primitive.scratchpad_desc(), {dst});
}

}  // namespace

Planned plan_op(const Conv& op, const Operands& operands) { return plan_conv(op, operands, nullptr); }
Planned plan_op(const ConvBlock& op, const Operands& operands) {
  return op.has_pool ? plan_first_block(op, operands) : plan_conv(op.conv, operands, &op.activation);
}

namespace {

/// Whether taps or windows leave elements out.
bool has_gaps(const Conv& conv) {
  return std::ranges::max(conv.stride) > 1 || std::ranges::any_of(conv.dilation, [](int each) { return each > 1; });
}

/// oneDNN 3.2 takes gradients of bf16 depthwise convolutions with gaps by plain loops: fp32 takes a third to a tenth of
/// their time, conversions included.
DType type_of_gradients(const Conv& conv, DType type) { return conv.groups > 1 && has_gaps(conv) ? DType::f32 : type; }

}  // namespace

Planned plan_op(const ConvBackwardData& op, const Operands& operands) {
  const Conv& conv = op.conv;
  const TensorDesc& diff_dst = operands.inputs[0];
  const TensorDesc diff_src = activation_desc(operands.outputs[0].shape, operands.outputs[0].dtype);
  const Shape weights = grouped(conv, operands.inputs[1].shape);
  const DType type = type_of_gradients(conv, diff_dst.dtype);
  const Descriptors descs{described(activation_desc(diff_src.shape, type)), open(weights, type),
                          described(Shape{diff_dst.shape[1]}, DType::f32, logical_layout),
                          described(activation_desc(diff_dst.shape, type))};
  const auto hint = forward(conv, descs, user_scratchpad());
  const dnnl::convolution_backward_data::primitive_desc primitive(
      engine(), algorithm::convolution_direct, descs.src, descs.weights, descs.dst, dims_of(conv.stride), gaps_of(conv),
      dims_of(conv.pad_lo), dims_of(conv.pad_hi), hint, user_scratchpad());
  PrimitiveBuilder builder;
  builder.input(DNNL_ARG_DIFF_DST, described(diff_dst), primitive.diff_dst_desc());
  builder.input(DNNL_ARG_WEIGHTS, described(weights, DType::f32, logical_layout), primitive.weights_desc());
  builder.output(DNNL_ARG_DIFF_SRC, described(diff_src), primitive.diff_src_desc());
  return builder.finish(dnnl::convolution_backward_data(primitive), primitive.scratchpad_desc(), {diff_src});
}

namespace {

/// Whether a window is at least as long as an axis. oneDNN 3.2's weight gradients go wrong there and only there: bf16
/// kernels read memory nobody wrote or end the process, fp32 kernels do the former where the window is longer than 3
/// (tests/backend/conv_test.cpp, WindowsThatSpanAnAxisAreRight).
bool spans_an_axis(const Conv& conv, const Shape& src) {
  for (std::size_t axis = 0; axis < conv.kernel.size(); ++axis) {
    if (src[axis + 2] <= reach_of(conv, axis)) return true;
  }
  return false;
}

/// Leaves out the implementations that are wrong for this convolution; the plain ones, slow but right, always remain.
void avoid_wrong_implementations(const Conv& conv, const Shape& src,
                                 dnnl::convolution_backward_weights::primitive_desc& primitive) {
  std::int64_t longest = 0;
  for (std::size_t axis = 0; axis < conv.kernel.size(); ++axis)
    longest = std::max<std::int64_t>(longest, reach_of(conv, axis));
  const bool long_window = longest > 3 && spans_an_axis(conv, src);
  // With a stride and several threads oneDNN 3.2's 1x1 kernels write behind the scratch memory that they asked for.
  const bool strided = std::ranges::max(conv.stride) > 1;
  const auto wrong = [&] {
    const std::string_view name = primitive.impl_info_str();
    const bool generated = name.starts_with("jit") || name.starts_with("brg");
    return (long_window && generated) || (strided && name.find("1x1") != std::string_view::npos);
  };
  while (wrong() && primitive.next_impl()) {
  }
}

/// Whether bringing activations into blocks of channels pays. Over channels-last fp32, oneDNN 3.2 takes weight
/// gradients with gaps between taps or windows by gathering all of them first, or by kernels for any stride: DeepCAM's
/// and ResNet-50's take 0.6 to 0.95 of that in blocks, both reorders included. Without gaps, or with a few channels
/// only, reorders cost what blocks gain.
bool prefers_blocks(const Conv& conv, const Shape& weights, DType type) {
  constexpr std::int64_t one_block = 16;
  return type == DType::f32 && conv.groups == 1 && has_gaps(conv) && weights[0] >= one_block && weights[1] >= one_block;
}

/// Windows of one element that leave others out, as many behind each: oneDNN describes no others.
bool picks_elements(const Conv& conv, const Shape& src, const Shape& dst) {
  for (std::size_t axis = 0; axis < conv.stride.size(); ++axis) {
    if (dst[axis + 2] * conv.stride[axis] > src[axis + 2]) return false;
  }
  const auto all = [](const std::vector<int>& values, int each) {
    return std::ranges::all_of(values, [each](int value) { return value == each; });
  };
  return all(conv.kernel, 1) && all(conv.pad_lo, 0) && all(conv.pad_hi, 0) && std::ranges::max(conv.stride) > 1;
}

/// Those elements of a channels-last tensor, where they lie.
memory::desc picked(const Conv& conv, const TensorDesc& src, const Shape& dst) {
  memory::dims dims{src.shape[0], src.shape[1]}, strides(src.shape.rank(), 1);
  std::int64_t distance = src.shape[1];  // of neighbours along the last axis
  for (std::size_t axis = conv.stride.size(); axis-- > 0; distance *= src.shape[axis + 2])
    strides[axis + 2] = distance * conv.stride[axis];
  strides[0] = distance;
  for (std::size_t axis = 0; axis < conv.stride.size(); ++axis)
    dims.push_back(dst[axis + 2]);
  return {dims, data_type(src.dtype), strides};
}

/// `src` may lie apart.
Planned plan_weight_gradients(const Conv& conv, const Shape& src, const memory::desc& given, const Operands& operands) {
  const TensorDesc& diff_dst = operands.inputs[1];
  const Shape weights = grouped(conv, operands.outputs[0].shape);
  const bool bias = operands.outputs.size() > 1;
  // Tensors that windows span are small: fp32 costs little.
  const DType type = spans_an_axis(conv, src) ? DType::f32 : type_of_gradients(conv, diff_dst.dtype);
  const auto activation = [&](const Shape& shape) {
    return prefers_blocks(conv, weights, type) ? open(shape, type) : described(activation_desc(shape, type));
  };
  const Descriptors descs{activation(src), open(weights, type), bias ? described(operands.outputs[1]) : memory::desc(),
                          activation(diff_dst.shape)};
  const auto hint = forward(conv, descs, user_scratchpad());
  dnnl::convolution_backward_weights::primitive_desc primitive(
      engine(), algorithm::convolution_direct, descs.src, open(weights, DType::f32), descs.bias, descs.dst,
      dims_of(conv.stride), gaps_of(conv), dims_of(conv.pad_lo), dims_of(conv.pad_hi), hint, user_scratchpad());
  avoid_wrong_implementations(conv, src, primitive);
  PrimitiveBuilder builder;
  builder.input(DNNL_ARG_SRC, given, primitive.src_desc());
  builder.input(DNNL_ARG_DIFF_DST, described(diff_dst), primitive.diff_dst_desc());
  builder.output(DNNL_ARG_DIFF_WEIGHTS, described(weights, DType::f32, logical_layout), primitive.diff_weights_desc());
  if (bias) builder.output(DNNL_ARG_DIFF_BIAS, described(operands.outputs[1]), primitive.diff_bias_desc());
  return builder.finish(dnnl::convolution_backward_weights(primitive), primitive.scratchpad_desc(), operands.outputs);
}

}  // namespace

Planned plan_op(const ConvBackwardWeights& op, const Operands& operands) {
  const TensorDesc& src = operands.inputs[0];
  if (!picks_elements(op.conv, src.shape, operands.inputs[1].shape))
    return plan_weight_gradients(op.conv, src.shape, described(src), operands);
  // oneDNN 3.2's kernels for windows of one element are wrong with strides: they get what the windows see, gathered.
  Conv dense = op.conv;
  std::ranges::fill(dense.stride, 1);
  std::vector<std::int64_t> seen = operands.inputs[1].shape.extents();
  seen[1] = src.shape[1];
  return plan_weight_gradients(dense, Shape(std::move(seen)), picked(op.conv, src, operands.inputs[1].shape), operands);
}

Planned plan_op(const PackWeights&, const Operands&) {
  TRAINMARK_CHECK(false, "refused: see the backend");
  return {};
}
Planned plan_op(const UnpackGradients&, const Operands&) {
  TRAINMARK_CHECK(false, "refused: see the backend");
  return {};
}

}  // namespace trainmark::cpu

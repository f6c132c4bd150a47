// Convolutions by oneDNN over channels-last activations. Weights come in logical fp32 order and are brought into the
// layout and type that the primitive prefers; their gradients go back the same way.
#include "backend/cpu/plans.hpp"
#include "backend/cpu/primitive.hpp"
#include "backend/math.hpp"

namespace trainmark::cpu {
namespace {

using dnnl::algorithm;
using dnnl::memory;

memory::dims dims_of(const std::vector<int>& values) { return {values.begin(), values.end()}; }

dnnl::primitive_attr user_scratchpad() {
  dnnl::primitive_attr attributes;
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  return attributes;
}

/// Descriptors of a convolution from its activations' and weights' shapes.
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
          dims_of(conv.pad_lo),
          dims_of(conv.pad_hi),
          attributes};
}

}  // namespace

Planned plan_conv(const Conv& conv, const Operands& operands, const Activation* activation) {
  const TensorDesc& src = operands.inputs[0];
  const TensorDesc dst = activation_desc(operands.outputs[0].shape, operands.outputs[0].dtype);
  const Descriptors descs{described(activation_desc(src.shape, src.dtype)), open(operands.inputs[1].shape, src.dtype),
                          described(operands.inputs[2]), described(dst)};
  dnnl::primitive_attr attributes = user_scratchpad();
  if (activation != nullptr) {
    dnnl::post_ops post;
    post.append_eltwise(algorithm::eltwise_relu, activation->slope, 0.0F);
    attributes.set_post_ops(post);
  }
  const auto primitive = forward(conv, descs, attributes);
  PrimitiveBuilder builder;
  builder.input(DNNL_ARG_SRC, described(src), primitive.src_desc());
  builder.input(DNNL_ARG_WEIGHTS, described(operands.inputs[1]), primitive.weights_desc());
  builder.input(DNNL_ARG_BIAS, described(operands.inputs[2]), primitive.bias_desc());
  builder.output(DNNL_ARG_DST, described(dst), primitive.dst_desc());
  return builder.finish(dnnl::convolution_forward(primitive), primitive.scratchpad_desc(), {dst});
}

Planned plan_conv_backward_data(const Conv& conv, const Operands& operands) {
  const TensorDesc& diff_dst = operands.inputs[0];
  const TensorDesc diff_src = activation_desc(operands.outputs[0].shape, operands.outputs[0].dtype);
  const Shape& weights = operands.inputs[1].shape;
  const Descriptors descs{described(diff_src), open(weights, diff_dst.dtype),
                          described(Shape{weights[0]}, DType::f32, logical_layout),
                          described(activation_desc(diff_dst.shape, diff_dst.dtype))};
  const auto hint = forward(conv, descs, user_scratchpad());
  const dnnl::convolution_backward_data::primitive_desc primitive(
      engine(), algorithm::convolution_direct, descs.src, descs.weights, descs.dst, dims_of(conv.stride),
      dims_of(conv.pad_lo), dims_of(conv.pad_hi), hint, user_scratchpad());
  PrimitiveBuilder builder;
  builder.input(DNNL_ARG_DIFF_DST, described(diff_dst), primitive.diff_dst_desc());
  builder.input(DNNL_ARG_WEIGHTS, described(operands.inputs[1]), primitive.weights_desc());
  builder.output(DNNL_ARG_DIFF_SRC, described(diff_src), primitive.diff_src_desc());
  return builder.finish(dnnl::convolution_backward_data(primitive), primitive.scratchpad_desc(), {diff_src});
}

/// oneDNN 3.2's bf16 weight gradient reads memory that nobody wrote where a volume is two deep (seen with AVX-512 bf16;
/// depths 1, 3, 4 and 8 are right). Such thin tensors are small: they are brought to fp32 and cost little there.
[[nodiscard]] static DType weight_gradient_type(const TensorDesc& src) {
  const Extents extents = extents_of(src.shape);
  const bool thin = src.shape.rank() > 2 && (extents.d == 2 || extents.h == 2 || extents.w == 2);
  return thin ? DType::f32 : src.dtype;
}

Planned plan_conv_backward_weights(const Conv& conv, const Operands& operands) {
  const TensorDesc& src = operands.inputs[0];
  const TensorDesc& diff_dst = operands.inputs[1];
  const Shape& weights = operands.outputs[0].shape;
  const DType type = weight_gradient_type(src);
  const Descriptors descs{described(activation_desc(src.shape, type)), open(weights, type),
                          described(operands.outputs[1]), described(activation_desc(diff_dst.shape, type))};
  const auto hint = forward(conv, descs, user_scratchpad());
  const dnnl::convolution_backward_weights::primitive_desc primitive(
      engine(), algorithm::convolution_direct, descs.src, open(weights, DType::f32), descs.bias, descs.dst,
      dims_of(conv.stride), dims_of(conv.pad_lo), dims_of(conv.pad_hi), hint, user_scratchpad());
  PrimitiveBuilder builder;
  builder.input(DNNL_ARG_SRC, described(src), primitive.src_desc());
  builder.input(DNNL_ARG_DIFF_DST, described(diff_dst), primitive.diff_dst_desc());
  builder.output(DNNL_ARG_DIFF_WEIGHTS, described(operands.outputs[0]), primitive.diff_weights_desc());
  builder.output(DNNL_ARG_DIFF_BIAS, described(operands.outputs[1]), primitive.diff_bias_desc());
  return builder.finish(dnnl::convolution_backward_weights(primitive), primitive.scratchpad_desc(), operands.outputs);
}

}  // namespace trainmark::cpu

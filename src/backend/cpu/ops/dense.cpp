// Dense layers as oneDNN inner products. A channels-last volume flattens to D,H,W,C for free, which is the reference's
// order.
#include "backend/cpu/plans.hpp"
#include "backend/cpu/primitive.hpp"

namespace trainmark::cpu {
namespace {

/// [N, everything else]
Shape flat(const Shape& shape) { return {shape[0], shape.elements() / shape[0]}; }

dnnl::memory::desc row_major(const Shape& shape, DType dtype) { return described(flat(shape), dtype, logical_layout); }

/// Weights stay in the arena's order: with small batches a reorder would read and write them more often than the
/// product.
dnnl::inner_product_forward::primitive_desc forward(const Shape& src, const Shape& weights, const Shape& dst, DType in,
                                                    DType out) {
  return {engine(),
          dnnl::prop_kind::forward_training,
          row_major(src, in),
          row_major(weights, in),
          described(Shape{weights[0]}, DType::f32, logical_layout),
          row_major(dst, out),
          user_scratchpad()};
}

}  // namespace

Planned plan_op(const Dense&, const Operands& operands) {
  const TensorDesc& src = operands.inputs[0];
  const TensorDesc& weights = operands.inputs[1];
  const TensorDesc& dst = operands.outputs[0];
  const auto primitive = forward(src.shape, weights.shape, dst.shape, src.dtype, dst.dtype);
  PrimitiveBuilder builder;
  builder.input(DNNL_ARG_SRC, row_major(src.shape, src.dtype), primitive.src_desc());
  builder.input(DNNL_ARG_WEIGHTS, described(weights), primitive.weights_desc());
  builder.input(DNNL_ARG_BIAS, described(operands.inputs[2]), primitive.bias_desc());
  builder.output(DNNL_ARG_DST, row_major(dst.shape, dst.dtype), primitive.dst_desc());
  return builder.finish(dnnl::inner_product_forward(primitive), primitive.scratchpad_desc(), operands.outputs);
}

Planned plan_op(const DenseBackwardData&, const Operands& operands) {
  const TensorDesc& diff_dst = operands.inputs[0];
  const TensorDesc& weights = operands.inputs[1];
  const TensorDesc diff_src = activation_desc(operands.outputs[0].shape, operands.outputs[0].dtype);
  const DType type = diff_src.dtype;  // fp32 gradients of a bf16 network's last layer are brought down to it
  const auto hint = forward(diff_src.shape, weights.shape, diff_dst.shape, type, type);
  const dnnl::inner_product_backward_data::primitive_desc primitive(
      engine(), row_major(diff_src.shape, type), row_major(weights.shape, type), row_major(diff_dst.shape, type), hint,
      user_scratchpad());
  PrimitiveBuilder builder;
  builder.input(DNNL_ARG_DIFF_DST, row_major(diff_dst.shape, diff_dst.dtype), primitive.diff_dst_desc());
  builder.input(DNNL_ARG_WEIGHTS, described(weights), primitive.weights_desc());
  builder.output(DNNL_ARG_DIFF_SRC, row_major(diff_src.shape, type), primitive.diff_src_desc());
  return builder.finish(dnnl::inner_product_backward_data(primitive), primitive.scratchpad_desc(), {diff_src});
}

Planned plan_op(const DenseBackwardWeights&, const Operands& operands) {
  const TensorDesc& src = operands.inputs[0];
  const TensorDesc& diff_dst = operands.inputs[1];
  const TensorDesc& diff_weights = operands.outputs[0];
  const auto hint = forward(src.shape, diff_weights.shape, diff_dst.shape, src.dtype, src.dtype);
  const dnnl::inner_product_backward_weights::primitive_desc primitive(
      engine(), row_major(src.shape, src.dtype), row_major(diff_weights.shape, DType::f32),
      described(operands.outputs[1]), row_major(diff_dst.shape, src.dtype), hint, user_scratchpad());
  PrimitiveBuilder builder;
  builder.input(DNNL_ARG_SRC, row_major(src.shape, src.dtype), primitive.src_desc());
  builder.input(DNNL_ARG_DIFF_DST, row_major(diff_dst.shape, diff_dst.dtype), primitive.diff_dst_desc());
  builder.output(DNNL_ARG_DIFF_WEIGHTS, described(diff_weights), primitive.diff_weights_desc());
  builder.output(DNNL_ARG_DIFF_BIAS, described(operands.outputs[1]), primitive.diff_bias_desc());
  return builder.finish(dnnl::inner_product_backward_weights(primitive), primitive.scratchpad_desc(), operands.outputs);
}

Planned plan_op(const DenseBlock&, const Operands&) {
  TRAINMARK_CHECK(false, "refused: see the backend");
  return {};
}
Planned plan_op(const DenseBlockBackwardData&, const Operands&) {
  TRAINMARK_CHECK(false, "refused: see the backend");
  return {};
}

}  // namespace trainmark::cpu

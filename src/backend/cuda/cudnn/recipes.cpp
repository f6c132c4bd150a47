// Specifications as graphs of cudnn-frontend: tensors in the operands' order, then the operations.
#include "backend/cuda/cudnn/recipes.hpp"

#include <cudnn_frontend.h>
#include <fmt/format.h>

namespace trainmark::cuda {
namespace {

namespace fe = cudnn_frontend;
using TensorRef = std::shared_ptr<fe::graph::Tensor_attributes>;

fe::DataType_t data_type(DType type) {
  switch (type) {
    case DType::f32:
      return fe::DataType_t::FLOAT;
    case DType::bf16:
      return fe::DataType_t::BFLOAT16;
    case DType::f16:
      return fe::DataType_t::HALF;
    default:
      TRAINMARK_CHECK(false, "no graph computes in this type");
      return fe::DataType_t::NOT_SET;
  }
}

/// Makes tensors whose identifiers follow the order of the operands, which is how the frontend sorts pointers.
class Builder {
 public:
  Builder(fe::graph::Graph& graph, const std::vector<Operand>& operands) : graph_(graph), operands_(operands) {}

  TensorRef input() {
    const Operand& operand = operands_.at(next_);
    return graph_.tensor(fe::graph::Tensor_attributes()
                             .set_uid(static_cast<std::int64_t>(++next_))
                             .set_dim(operand.dim)
                             .set_stride(operand.stride)
                             .set_data_type(data_type(operand.type)));
  }
  void output(const TensorRef& tensor) {
    const Operand& operand = operands_.at(next_);
    tensor->set_output(true)
        .set_uid(static_cast<std::int64_t>(++next_))
        .set_dim(operand.dim)
        .set_stride(operand.stride)
        .set_data_type(data_type(operand.type));
    TRAINMARK_CHECK(next_ == operands_.size(), "the output is the last operand");
  }
  TensorRef pointwise(fe::PointwiseMode_t mode, const TensorRef& a, const TensorRef& b) {
    return graph_.pointwise(a, b, fe::graph::Pointwise_attributes().set_mode(mode));
  }

 private:
  fe::graph::Graph& graph_;
  const std::vector<Operand>& operands_;
  std::size_t next_ = 0;
};

std::vector<std::int64_t> widened(const std::vector<int>& values) { return {values.begin(), values.end()}; }

template <class Attributes>
Attributes attributes_of(const Conv& conv) {
  return Attributes()
      .set_pre_padding(widened(conv.pad_lo))
      .set_post_padding(widened(conv.pad_hi))
      .set_stride(widened(conv.stride))
      .set_dilation(conv.dilation.empty() ? std::vector<std::int64_t>(conv.stride.size(), 1) : widened(conv.dilation));
}

TensorRef leaky_relu(fe::graph::Graph& graph, const TensorRef& src, float slope) {
  return graph.pointwise(
      src, fe::graph::Pointwise_attributes().set_mode(fe::PointwiseMode_t::RELU_FWD).set_relu_lower_clip_slope(slope));
}

void build(fe::graph::Graph& graph, Builder& builder, const ConvGraph& spec) {
  const TensorRef first = builder.input();
  const TensorRef second = builder.input();
  if (spec.pass == ConvGraph::Pass::backward_data) {
    builder.output(graph.conv_dgrad(first, second, attributes_of<fe::graph::Conv_dgrad_attributes>(spec.conv)));
    return;
  }
  if (spec.pass == ConvGraph::Pass::backward_weights) {
    // Asked for fp32 where `io` has 16 bits, cuDNN has but generic engines, which on Hopper do not split the sum over
    // all voxels; the native ones round their fp32 sums to `io` at the end.
    builder.output(graph.conv_wgrad(second, first, attributes_of<fe::graph::Conv_wgrad_attributes>(spec.conv)));
    return;
  }
  TensorRef dst = graph.conv_fprop(first, second, attributes_of<fe::graph::Conv_fprop_attributes>(spec.conv));
  if (spec.bias) dst = builder.pointwise(fe::PointwiseMode_t::ADD, dst, builder.input());
  if (spec.slope) dst = leaky_relu(graph, dst, *spec.slope);
  builder.output(dst);
}

TensorRef product(fe::graph::Graph& graph, const TensorRef& a, const TensorRef& b, const MatmulGraph& spec) {
  if (!is_full_precision(spec)) return graph.matmul(a, b, fe::graph::Matmul_attributes());
  const Conv point{{1, 1}, {1, 1}, {0, 0}, {0, 0}};
  if (spec.a_transposed) return graph.conv_wgrad(a, b, attributes_of<fe::graph::Conv_wgrad_attributes>(point));
  if (spec.b_transposed) return graph.conv_fprop(a, b, attributes_of<fe::graph::Conv_fprop_attributes>(point));
  return graph.conv_dgrad(a, b, attributes_of<fe::graph::Conv_dgrad_attributes>(point));
}

void build(fe::graph::Graph& graph, Builder& builder, const MatmulGraph& spec) {
  TRAINMARK_CHECK(!(spec.a_transposed && spec.b_transposed), "no layer multiplies two transposed matrices");
  const TensorRef a = builder.input();
  const TensorRef b = builder.input();
  TensorRef dst = product(graph, a, b, spec);
  if (spec.bias) dst = builder.pointwise(fe::PointwiseMode_t::ADD, dst, builder.input());
  builder.output(dst);
}

void build(fe::graph::Graph& graph, Builder& builder, const LeakyStep& spec) {
  builder.output(leaky_relu(graph, builder.input(), spec.slope));
}

/// The recipe's function for anything that has a build(): tensors are made in the operands' order.
template <class Spec>
std::function<void(fe::graph::Graph&)> builder_of(const Spec& spec, const std::vector<Operand>& operands) {
  return [spec, operands](fe::graph::Graph& graph) {
    Builder builder(graph, operands);
    build(graph, builder, spec);
  };
}

}  // namespace

Recipe recipe_of(const GraphSpec& spec) {
  std::vector<Operand> operands = operands_of(spec);
  auto build = std::visit([&](const auto& specified) { return builder_of(specified, operands); }, spec);
  return {key_of(spec), std::move(operands), std::move(build), is_full_precision(spec)};
}
Recipe recipe_of(const LeakyStep& step) {
  const Operand operand = channels_last_operand(step.shape, DType::f32);
  return {fmt::format("leaky_relu f32 {} slope={}", to_string(step.shape), step.slope),
          {operand, operand},
          builder_of(step, {operand, operand}),
          false};  // the engine's note speaks of tensor cores, but there is no product here for them
}

}  // namespace trainmark::cuda

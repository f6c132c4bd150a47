// Shapes and types of what an operation makes, and the refusal of operands that do not fit. One overload per operation.
#include <fmt/format.h>

#include <utility>

#include "trainmark/nn.hpp"

namespace trainmark {
namespace {

using Tensors = std::vector<Tensor>;

Tensor activation(Shape shape, DType dtype) { return {"", std::move(shape), dtype, Role::activation, 0}; }
Tensor gradient(Shape shape) { return {"", std::move(shape), DType::f32, Role::gradient, 0}; }

class Infer {
 public:
  Infer(const Op& op, const Tensors& inputs, std::string_view node) : op_(op), inputs_(inputs), node_(node) {}

  Tensors operator()(const Conv& conv) const {
    arity(with_bias() ? 3 : 2);
    return {activation(convolved(conv), inputs_[0].dtype)};
  }
  Tensors operator()(const Pool& pool) const {
    arity(1);
    return {activation(pooled(pool, inputs_[0].shape), inputs_[0].dtype)};
  }
  Tensors operator()(const Dense&) const {
    arity(3);
    const Shape& src = inputs_[0].shape;
    const Shape& weights = inputs_[1].shape;
    require(src.rank() >= 2 && weights.rank() == 2, "takes a batch of vectors or volumes and a matrix of weights",
            "give src N,C,... and weights O,I");
    require(weights[1] == src.elements() / src[0],
            fmt::format("has {} weights a unit for {} inputs", weights[1], src.elements() / src[0]),
            "make the weights for this input, or change the input's extent");
    bias(2, weights[0]);
    return {activation({src[0], weights[0]}, inputs_[0].dtype)};
  }
  Tensors operator()(const Activation&) const {
    arity(1);
    return {activation(inputs_[0].shape, inputs_[0].dtype)};
  }
  Tensors operator()(const Dropout& dropout) const {
    arity(2);
    require(dropout.rate >= 0.0F && dropout.rate < 1.0F, fmt::format("has rate {}", dropout.rate),
            "choose a rate of at least 0 and below 1");
    return {activation(inputs_[0].shape, inputs_[0].dtype)};
  }
  Tensors operator()(const Add&) const {
    arity(2);
    require(inputs_[0].shape == inputs_[1].shape && inputs_[0].dtype == inputs_[1].dtype,
            "adds tensors of different shapes or types", "give two tensors of one shape and type");
    return {activation(inputs_[0].shape, inputs_[0].dtype)};
  }
  Tensors operator()(const Concat&) const {
    TRAINMARK_CHECK(!inputs_.empty() && inputs_[0].shape.rank() >= 2, node_);
    std::vector<std::int64_t> dst = inputs_[0].shape.extents();
    dst[1] = 0;
    for (const Tensor& part : inputs_) {
      std::vector<std::int64_t> extents = part.shape.extents();
      dst[1] += extents.at(1);
      extents[1] = inputs_[0].shape[1];
      require(Shape(extents) == inputs_[0].shape && part.dtype == inputs_[0].dtype,
              "puts tensors side by side that differ in more than their channels",
              "give parts of one batch, one extent and one type");
    }
    return {activation(Shape(std::move(dst)), inputs_[0].dtype)};
  }
  Tensors operator()(const Preprocess&) const {
    arity(1);
    const DType raw = inputs_[0].dtype;
    require(raw == DType::i16 || raw == DType::f32, fmt::format("reads {}", name_of(raw)), "feed i16 or f32");
    return {activation(inputs_[0].shape, DType::f32)};
  }
  Tensors operator()(const Loss& loss) const {
    compared(inputs_.size() > 3 ? 4 : 3);
    if (inputs_.size() > 3) scaler(3);
    require(loss.global_batch >= inputs_[0].shape[0],
            fmt::format("has a global batch of {} for a local batch of {}", loss.global_batch, inputs_[0].shape[0]),
            "make the global batch the sum of all local batches");
    return {gradient({1}), activation(inputs_[0].shape, inputs_[0].dtype)};
  }
  Tensors operator()(const Metric&) const {
    compared(3);
    return {{"", Shape{3}, DType::f64, Role::metric, 0}};
  }
  Tensors operator()(const ConvBackwardData& backward) const {
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
  Tensors operator()(const ConvBackwardWeights& backward) const {
    arity(2);
    return convolution_gradients(backward.conv, inputs_[1].shape[1]);
  }
  Tensors operator()(const PoolBackward& backward) const {
    arity(2);
    same(pooled(backward.pool, inputs_[0].shape), 1);
    return {activation(inputs_[0].shape, inputs_[0].dtype)};
  }
  Tensors operator()(const DenseBackwardData&) const {
    arity(2);
    const Shape& dst = inputs_[0].shape;
    require(dst.rank() == 2 && dst[1] == inputs_[1].shape[0], "has a gradient that is not of its weights' outputs",
            "give diff_dst N,O and weights O,I");
    return {activation({dst[0], inputs_[1].shape[1]}, inputs_[0].dtype)};
  }
  Tensors operator()(const DenseBackwardWeights&) const {
    arity(2);
    const Shape& src = inputs_[0].shape;
    const std::int64_t units = inputs_[1].shape[1];
    return {gradient({units, src.elements() / src[0]}), gradient({units})};
  }
  Tensors operator()(const ActivationBackward&) const {
    arity(2);
    same(inputs_[0].shape, 1);
    return {activation(inputs_[0].shape, inputs_[0].dtype)};
  }
  Tensors operator()(const DropoutBackward&) const {
    arity(2);
    return {activation(inputs_[0].shape, inputs_[0].dtype)};
  }
  Tensors operator()(const Slice& slice) const {
    arity(1);
    std::vector<std::int64_t> dst = inputs_[0].shape.extents();
    require(dst.size() >= 2 && slice.channels.begin >= 0 && slice.channels.size() > 0 && slice.channels.end <= dst[1],
            fmt::format("takes channels {} to {}", slice.channels.begin, slice.channels.end),
            "take channels that the tensor has");
    dst[1] = slice.channels.size();
    return {activation(Shape(std::move(dst)), inputs_[0].dtype)};
  }
  Tensors operator()(const Accumulate&) const { return {}; }
  Tensors operator()(const AllReduce&) const { return {}; }
  Tensors operator()(const GradientCheck&) const {
    scaler(inputs_.size() - 1);
    return {};
  }
  Tensors operator()(const Update& update) const {
    if (update.scaled) scaler(inputs_.size() - 1);
    return {};
  }
  Tensors operator()(const AdjustLossScale&) const {
    arity(1);
    scaler(0);
    return {};
  }
  Tensors operator()(const ConvBlock& block) const {
    arity(with_bias() || block.has_pool ? 3 : 2);
    Shape dst = convolved(block.conv);
    if (!block.has_pool) return {activation(std::move(dst), inputs_[0].dtype)};
    dst = pooled(block.pool, dst);
    return {activation(dst, inputs_[0].dtype), activation(dst, DType::u8)};
  }
  Tensors operator()(const PoolActivationBackward& backward) const {
    arity(2);
    same(pooled(backward.pool, inputs_[0].shape), 1);
    return {activation(inputs_[0].shape, inputs_[0].dtype)};
  }
  Tensors operator()(const ConvBlockBackwardWeights& backward) const {
    arity(3);
    same(inputs_[1].shape, 2);
    const Shape& diff_dst = inputs_[2].shape;
    const Conv& conv = backward.block.conv;
    Tensors made = convolution_gradients(conv, diff_dst[1]);
    made.push_back(activation(convolved(conv, inputs_[0].shape, diff_dst[1]), inputs_[2].dtype));
    return made;
  }

 private:
  void arity(std::size_t expected) const {
    TRAINMARK_CHECK(inputs_.size() == expected,
                    fmt::format("{} {} takes {} inputs, got {}", name_of(op_), node_, expected, inputs_.size()));
  }
  void require(bool fits, std::string_view what, std::string_view remedy) const {
    if (fits) return;
    std::string shapes;
    for (const Tensor& input : inputs_)
      shapes += fmt::format("{}{} {}", shapes.empty() ? "" : ", ", input.name, to_string(input.shape));
    throw Error(ExitCode::usage, Complaint{.where = fmt::format("network, node {}", node_.empty() ? "?" : node_),
                                           .what = fmt::format("{} {}", name_of(op_), what),
                                           .why = fmt::format("its inputs are {}", shapes),
                                           .remedy = std::string(remedy)});
  }
  void same(const Shape& expected, std::size_t index) const {
    require(inputs_[index].shape == expected, fmt::format("expects {} as input {}", to_string(expected), index),
            "let both tensors come from one forward pass");
  }
  void bias(std::size_t index, std::int64_t units) const {
    require(inputs_[index].shape == Shape{units}, fmt::format("has {} output channels and another bias", units),
            "give one bias value a channel");
  }
  void scaler(std::size_t index) const {
    TRAINMARK_CHECK(index < inputs_.size() && inputs_[index].role == Role::scaler,
                    fmt::format("{} {} takes a loss scale as its last input", name_of(op_), node_));
  }
  void compared(std::size_t inputs) const {
    arity(inputs);
    require(inputs_[0].shape.rank() == 2 && inputs_[0].shape == inputs_[1].shape,
            "compares a prediction with a target of another shape", "give both as N,K");
  }
  [[nodiscard]] bool with_bias() const { return inputs_.size() > 2; }
  [[nodiscard]] static Shape weights_of(const Conv& conv, std::int64_t src_channels, std::int64_t dst_channels) {
    std::vector<std::int64_t> weights = {dst_channels, src_channels / conv.groups};
    weights.insert(weights.end(), conv.kernel.begin(), conv.kernel.end());
    return Shape(std::move(weights));
  }
  void spatial(const Shape& src, const Conv& conv) const {
    const std::size_t axes = src.rank() - 2;
    require(src.rank() >= 3 && conv.kernel.size() == axes && conv.stride.size() == axes && conv.pad_lo.size() == axes &&
                conv.pad_hi.size() == axes,
            "needs a kernel, a stride and padding for each spatial axis", "give one entry an axis");
    require(conv.dilation.empty() || conv.dilation.size() == axes, "needs a dilation for each spatial axis or none",
            "give one entry an axis");
  }
  void grouped(const Conv& conv, std::int64_t src_channels, std::int64_t dst_channels) const {
    require(conv.groups >= 1 && src_channels % conv.groups == 0 && dst_channels % conv.groups == 0,
            fmt::format("cannot share {} and {} channels among {} groups", src_channels, dst_channels, conv.groups),
            "choose groups that divide both");
  }
  Shape convolved(const Conv& conv) const {
    const Shape& src = inputs_[0].shape;
    const Shape& weights = inputs_[1].shape;
    spatial(src, conv);
    grouped(conv, src[1], weights[0]);
    const Shape wanted = weights_of(conv, src[1], weights[0]);
    require(weights == wanted, fmt::format("needs weights {}", to_string(wanted)),
            "make the weights for this kernel and these input channels");
    if (with_bias()) bias(2, weights[0]);
    return convolved(conv, src, weights[0]);
  }
  Shape convolved(const Conv& conv, const Shape& src, std::int64_t channels) const {
    std::vector<std::int64_t> dst = {src[0], channels};
    for (std::size_t axis = 0; axis < conv.kernel.size(); ++axis) {
      dst.push_back(convolved_extent(conv, axis, src[axis + 2]));
      require(dst.back() > 0,
              fmt::format("has kernel {} on axis {}, more than the padded extent", reach_of(conv, axis), axis),
              "choose a larger input extent or a smaller kernel");
    }
    return Shape(std::move(dst));
  }
  Shape pooled(const Pool& pool, const Shape& src) const {
    require(src.rank() >= 3 && pool.kernel.size() == src.rank() - 2 && pool.stride.size() == src.rank() - 2,
            "needs a window and a stride for each spatial axis", "give one entry an axis");
    std::vector<std::int64_t> dst = {src[0], src[1]};
    for (std::size_t axis = 0; axis < pool.kernel.size(); ++axis) {
      require(src[axis + 2] >= pool.kernel[axis],
              fmt::format("has a window of {} on axis {} of extent {}", pool.kernel[axis], axis, src[axis + 2]),
              "choose a larger input extent (one divisible by all pooling strides together), or fewer pools");
      dst.push_back((src[axis + 2] - pool.kernel[axis]) / pool.stride[axis] + 1);
    }
    return Shape(std::move(dst));
  }
  Tensors convolution_gradients(const Conv& conv, std::int64_t channels) const {
    const Shape& src = inputs_[0].shape;
    spatial(src, conv);
    grouped(conv, src[1], channels);
    return {gradient(weights_of(conv, src[1], channels)), gradient({channels})};
  }

  const Op& op_;
  const Tensors& inputs_;
  std::string_view node_;
};

}  // namespace

int reach_of(const Conv& conv, std::size_t axis) {
  return (conv.kernel[axis] - 1) * (conv.dilation.empty() ? 1 : conv.dilation[axis]) + 1;
}

std::int64_t convolved_extent(const Conv& conv, std::size_t axis, std::int64_t src) {
  const std::int64_t room = src + conv.pad_lo[axis] + conv.pad_hi[axis] - reach_of(conv, axis);
  return room < 0 ? 0 : room / conv.stride[axis] + 1;
}

std::vector<Tensor> infer(const Op& op, const std::vector<Tensor>& inputs, std::string_view node) {
  return std::visit(Infer(op, inputs, node), op);
}

}  // namespace trainmark

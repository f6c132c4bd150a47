// What shapes and types have to satisfy, shared by the families of operations.
#include <fmt/format.h>

#include "nn/visitors.hpp"

namespace trainmark {
namespace nn {

void Infer::arity(std::size_t expected) const {
  TRAINMARK_CHECK(inputs_.size() == expected,
                  fmt::format("{} {} takes {} inputs, got {}", name_of(op_), node_, expected, inputs_.size()));
}

void Infer::require(bool fits, std::string_view what, std::string_view remedy) const {
  if (fits) return;
  std::string shapes;
  for (const Tensor& input : inputs_)
    shapes += fmt::format("{}{} {}", shapes.empty() ? "" : ", ", input.name, to_string(input.shape));
  throw Error(ExitCode::usage, Complaint{.where = fmt::format("network, node {}", node_.empty() ? "?" : node_),
                                         .what = fmt::format("{} {}", name_of(op_), what),
                                         .why = fmt::format("its inputs are {}", shapes),
                                         .remedy = std::string(remedy)});
}

void Infer::same(const Shape& expected, std::size_t index) const {
  require(inputs_[index].shape == expected, fmt::format("expects {} as input {}", to_string(expected), index),
          "let both tensors come from one forward pass");
}

void Infer::bias(std::size_t index, std::int64_t units) const {
  require(inputs_[index].shape == Shape{units}, fmt::format("has {} output channels and another bias", units),
          "give one bias value a channel");
}

void Infer::scaler(std::size_t index) const {
  TRAINMARK_CHECK(index < inputs_.size() && inputs_[index].role == Role::scaler,
                  fmt::format("{} {} takes a loss scale as its last input", name_of(op_), node_));
}

Shape Infer::weights_of(const Conv& conv, std::int64_t src_channels, std::int64_t dst_channels) {
  std::vector<std::int64_t> weights = {dst_channels, src_channels / conv.groups};
  weights.insert(weights.end(), conv.kernel.begin(), conv.kernel.end());
  return Shape(std::move(weights));
}

void Infer::spatial(const Shape& src, const Conv& conv) const {
  const std::size_t axes = src.rank() - 2;
  require(src.rank() >= 3 && conv.kernel.size() == axes && conv.stride.size() == axes && conv.pad_lo.size() == axes &&
              conv.pad_hi.size() == axes,
          "needs a kernel, a stride and padding for each spatial axis", "give one entry an axis");
  require(conv.dilation.empty() || conv.dilation.size() == axes, "needs a dilation for each spatial axis or none",
          "give one entry an axis");
}

void Infer::grouped(const Conv& conv, std::int64_t src_channels, std::int64_t dst_channels) const {
  require(conv.groups >= 1 && src_channels % conv.groups == 0 && dst_channels % conv.groups == 0,
          fmt::format("cannot share {} and {} channels among {} groups", src_channels, dst_channels, conv.groups),
          "choose groups that divide both");
}

Shape Infer::convolved(const Conv& conv) const {
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

Shape Infer::convolved(const Conv& conv, const Shape& src, std::int64_t channels) const {
  std::vector<std::int64_t> dst = {src[0], channels};
  for (std::size_t axis = 0; axis < conv.kernel.size(); ++axis) {
    dst.push_back(convolved_extent(conv, axis, src[axis + 2]));
    require(dst.back() > 0,
            fmt::format("has kernel {} on axis {}, more than the padded extent", reach_of(conv, axis), axis),
            "choose a larger input extent or a smaller kernel");
  }
  return Shape(std::move(dst));
}

Shape Infer::pooled(const Pool& pool, const Shape& src) const {
  require(src.rank() >= 3 && pool.kernel.size() == src.rank() - 2 && pool.stride.size() == src.rank() - 2,
          "needs a window and a stride for each spatial axis", "give one entry an axis");
  const auto fits = [&](const std::vector<int>& pad) {
    if (pad.empty()) return true;
    bool less = pad.size() == pool.kernel.size();
    for (std::size_t axis = 0; less && axis < pad.size(); ++axis)
      less = pad[axis] >= 0 && pad[axis] < pool.kernel[axis];
    return less;
  };
  require(fits(pool.pad_lo) && fits(pool.pad_hi) && pool.pad_lo.empty() == pool.pad_hi.empty(),
          "needs padding for each spatial axis or none, less than its window", "give one entry an axis");
  std::vector<std::int64_t> dst = {src[0], src[1]};
  for (std::size_t axis = 0; axis < pool.kernel.size(); ++axis) {
    const std::int64_t padding = pool.pad_lo.empty() ? 0 : pool.pad_lo[axis] + pool.pad_hi[axis];
    require(src[axis + 2] + padding >= pool.kernel[axis],
            fmt::format("has a window of {} on axis {} of extent {}", pool.kernel[axis], axis, src[axis + 2]),
            "choose a larger input extent (one divisible by all pooling strides together), or fewer pools");
    // A window that holds nothing but padding would have no maximum.
    const std::int64_t windows = (src[axis + 2] + padding - pool.kernel[axis]) / pool.stride[axis] + 1;
    const std::int64_t last = (windows - 1) * pool.stride[axis] - (pool.pad_lo.empty() ? 0 : pool.pad_lo[axis]);
    require(last < src[axis + 2], fmt::format("has a window beyond axis {} of extent {}", axis, src[axis + 2]),
            "choose less padding behind the axis");
    dst.push_back(windows);
  }
  return Shape(std::move(dst));
}

Tensors Infer::convolution_gradients(const Conv& conv, std::int64_t channels) const {
  const Shape& src = inputs_[0].shape;
  spatial(src, conv);
  grouped(conv, src[1], channels);
  return {gradient(weights_of(conv, src[1], channels)), gradient({channels})};
}

}  // namespace nn

int reach_of(const Conv& conv, std::size_t axis) {
  return (conv.kernel[axis] - 1) * (conv.dilation.empty() ? 1 : conv.dilation[axis]) + 1;
}

std::int64_t convolved_extent(const Conv& conv, std::size_t axis, std::int64_t src) {
  const std::int64_t room = src + conv.pad_lo[axis] + conv.pad_hi[axis] - reach_of(conv, axis);
  return room < 0 ? 0 : room / conv.stride[axis] + 1;
}

std::vector<Tensor> infer(const Op& op, const std::vector<Tensor>& inputs, std::string_view node) {
  return std::visit(nn::Infer(op, inputs, node), op);
}

}  // namespace trainmark

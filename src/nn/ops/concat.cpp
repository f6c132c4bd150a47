// Channels beside each other, and channels taken out again.
#include "nn/visitors.hpp"

#include <fmt/format.h>

namespace trainmark::nn {

Tensors Infer::operator()(const Concat&) const {
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
Cost CostOf::operator()(const Concat&) const { return elementwise(0); }
void Differentiate::operator()(const Concat&) {
  std::int64_t begin = 0;
  for (std::size_t at = 0; at < node_.inputs.size(); ++at) {
    const TensorId part = node_.inputs[at];
    const Range channels{begin, begin + tensor(part).shape[1]};
    begin = channels.end;
    if (wanted_[index(part)]) append(fmt::format("backward{}", at), Slice{channels}, {dst_diff()}, {part});
  }
}

Tensors Infer::operator()(const Slice& slice) const {
  arity(1);
  std::vector<std::int64_t> dst = inputs_[0].shape.extents();
  require(dst.size() >= 2 && slice.channels.begin >= 0 && slice.channels.size() > 0 && slice.channels.end <= dst[1],
          fmt::format("takes channels {} to {}", slice.channels.begin, slice.channels.end),
          "take channels that the tensor has");
  dst[1] = slice.channels.size();
  return {activation(Shape(std::move(dst)), inputs_[0].dtype)};
}
Cost CostOf::operator()(const Slice&) const { return elementwise(0); }
void Differentiate::operator()(const Slice&) { not_forward(); }

}  // namespace trainmark::nn

// Sums over all positions and their spreading over all of them: each is the other's derivative.
#include "nn/visitors.hpp"

namespace trainmark::nn {
namespace {

std::vector<std::int64_t> with_extents(const Shape& shape, const std::vector<std::int64_t>& extents) {
  std::vector<std::int64_t> all = {shape[0], shape[1]};
  all.insert(all.end(), extents.begin(), extents.end());
  return all;
}

}  // namespace

Tensors Infer::operator()(const SpatialSum&) const {
  arity(1);
  const Shape& src = inputs_[0].shape;
  require(src.rank() >= 3, "sums over positions", "give N,C,[D,]H,W");
  return {activation(Shape(with_extents(src, std::vector<std::int64_t>(src.rank() - 2, 1))), inputs_[0].dtype)};
}
Cost CostOf::operator()(const SpatialSum&) const { return elementwise(input(0).elements()); }
void Differentiate::operator()(const SpatialSum& sum) {
  const std::vector<std::int64_t>& extents = tensor(node_.inputs[0]).shape.extents();
  append("backward", Tile{{extents.begin() + 2, extents.end()}, sum.factor}, {dst_diff()}, {node_.inputs[0]});
}

Tensors Infer::operator()(const Tile& tile) const {
  arity(1);
  const Shape& src = inputs_[0].shape;
  require(src.rank() == tile.extents.size() + 2 && src.elements() == src[0] * src[1], "spreads one value a channel",
          "give N,C,1... and one extent for each spatial axis");
  return {activation(Shape(with_extents(src, tile.extents)), inputs_[0].dtype)};
}
Cost CostOf::operator()(const Tile&) const { return elementwise(output(0).elements()); }
void Differentiate::operator()(const Tile& tile) {
  append("backward", SpatialSum{tile.factor}, {dst_diff()}, {node_.inputs[0]});
}

}  // namespace trainmark::nn

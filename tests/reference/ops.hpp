// What every operation means, as naive fp64 loops over arrays in logical order (N,C,[D,]H,W). Tests compare backends
// with these; they know nothing of layouts, element types or speed.
#pragma once

#include <array>
#include <span>
#include <vector>

#include "trainmark/nn.hpp"

namespace trainmark::reference {

struct Array {
  Shape shape;
  std::vector<double> values;
  explicit Array(Shape extents) : shape(std::move(extents)), values(static_cast<std::size_t>(shape.elements())) {}
  [[nodiscard]] double& operator[](std::int64_t index) { return values[static_cast<std::size_t>(index)]; }
  [[nodiscard]] double operator[](std::int64_t index) const { return values[static_cast<std::size_t>(index)]; }
};
/// |a|, element by element: a linear operation of magnitudes bounds the rounding error of its sums.
[[nodiscard]] Array magnitude(Array array);

struct Gradients {
  Array weights, bias;
};

[[nodiscard]] Array conv(const Conv& conv, const Array& src, const Array& weights, const Array& bias);
[[nodiscard]] Array conv_backward_data(const Conv& conv, const Array& diff_dst, const Array& weights,
                                       const Shape& src_shape);
[[nodiscard]] Gradients conv_backward_weights(const Conv& conv, const Array& src, const Array& diff_dst);

[[nodiscard]] Array pool(const Pool& pool, const Array& src);
/// The first maximum of a window, in the order of its elements, takes the window's whole gradient.
[[nodiscard]] Array pool_backward(const Pool& pool, const Array& src, const Array& diff_dst);

/// Inputs of a volume are numbered D,H,W,C with C fastest.
[[nodiscard]] Array dense(const Array& src, const Array& weights, const Array& bias);
[[nodiscard]] Array dense_backward_data(const Array& diff_dst, const Array& weights, const Shape& src_shape);
[[nodiscard]] Gradients dense_backward_weights(const Array& src, const Array& diff_dst);

[[nodiscard]] Array activation(const Activation& activation, const Array& src);
[[nodiscard]] Array activation_backward(const Activation& activation, const Array& dst, const Array& diff_dst);

[[nodiscard]] Array add(const Array& a, const Array& b);
/// Channels of all parts beside each other.
[[nodiscard]] Array concat(const std::vector<Array>& parts);
[[nodiscard]] Array slice(Range channels, const Array& src);

/// `ids`: one for each valid sample; samples after them are padding.
[[nodiscard]] Array dropout(const Dropout& dropout, std::int64_t epoch, std::span<const std::int64_t> ids,
                            const Array& src);
[[nodiscard]] Array preprocess(const Preprocess& preprocess, const Array& raw);

struct LossResult {
  double value = 0.0;
  Array diff;
};
[[nodiscard]] LossResult loss(const Loss& loss, const Array& prediction, const Array& target, std::int64_t valid);
/// Sum of |p - y|, of (p - y)^2, and the number of outputs in them.
[[nodiscard]] std::array<double, 3> metric(const Array& prediction, const Array& target, std::int64_t valid);

/// Keras SGD with momentum: the rate is inside the velocity.
void update(const SgdMomentum& rule, double rate, double decay, const Array& gradients, Array& velocity,
            Array& weights);

}  // namespace trainmark::reference

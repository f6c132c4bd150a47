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
/// Positions of a sample and channel.
[[nodiscard]] inline std::int64_t points_of(const Shape& shape) { return shape.elements() / shape[0] / shape[1]; }
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

[[nodiscard]] Array normalise(const Normalise& normalise, const Array& raw);
/// factor * the sum over all spatial positions, N,C,1...
[[nodiscard]] Array spatial_sum(double factor, const Array& src);
[[nodiscard]] Array tile(const Tile& tile, const Array& src);

/// [2,C]: sums of x and of x^2.
[[nodiscard]] Array norm_moments(const Array& src);
[[nodiscard]] Array norm_apply(const Norm& norm, const Array& src, const Array& moments, const Array& gamma,
                               const Array& beta);
/// As PyTorch moves them: with the unbiased variance.
void move_statistics(const Norm& norm, std::int64_t count, const Array& moments, Array& mean, Array& variance);
[[nodiscard]] Array norm_inference(const Norm& norm, const Array& src, const Array& gamma, const Array& beta,
                                   const Array& mean, const Array& variance);
/// [2,C]: sums of diff_dst times the normalised x, and of diff_dst.
[[nodiscard]] Array norm_gradients(const Norm& norm, const Array& src, const Array& moments, const Array& diff_dst);
[[nodiscard]] Array norm_backward(const Norm& norm, const Array& src, const Array& moments, const Array& gamma,
                                  const Array& sums, const Array& diff_dst);

struct LossResult {
  double value = 0.0;
  Array diff;
};
[[nodiscard]] LossResult loss(const Loss& loss, const Array& prediction, const Array& target, std::int64_t valid);
/// Sum of |p - y|, of (p - y)^2, and the number of outputs in them; or of each sample's mean IoU, of its cross-entropy,
/// and the number of samples.
[[nodiscard]] std::array<double, 3> metric(const Metric& metric, const Array& prediction, const Array& target,
                                           std::int64_t valid);

/// Keras SGD with momentum: the rate is inside the velocity.
void update(const SgdMomentum& rule, double rate, double decay, const Array& gradients, Array& velocity,
            Array& weights);
/// `count`: updates done, this one included.
void update(const Adam& rule, std::int64_t count, double rate, double decay, const Array& gradients, Array& first,
            Array& second, Array& weights);
/// Of one tensor; `norm` is that of all gradients.
void update(const Lamb& rule, std::int64_t count, double norm, double rate, double decay, const Array& gradients,
            Array& first, Array& second, Array& weights);

/// Of one tensor. `momentum`: the rule's, as momentum correction made it.
void update(const Lars& rule, double momentum, double rate, const Treatment& treatment, const Array& gradients,
            Array& velocity, Array& weights);

}  // namespace trainmark::reference

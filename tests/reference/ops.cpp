#include "reference/ops.hpp"

#include <cmath>
#include <functional>

#include "backend/math.hpp"

namespace trainmark::reference {
namespace {

using Index = std::array<std::int64_t, 3>;  // D, H, W; absent axes have extent 1

Index spatial(const Shape& shape) {
  Index extents{1, 1, 1};
  for (std::size_t axis = 2; axis < shape.rank(); ++axis)
    extents[axis + 3 - shape.rank()] = shape[axis];
  return extents;
}
Index lifted(const std::vector<int>& values, int absent) {
  Index index{absent, absent, absent};
  for (std::size_t axis = 0; axis < values.size(); ++axis)
    index[axis + 3 - values.size()] = values[axis];
  return index;
}
std::int64_t channels(const Shape& shape) { return shape.rank() > 1 ? shape[1] : 1; }

void over(const Index& extents, const std::function<void(const Index&)>& body) {
  for (std::int64_t d = 0; d < extents[0]; ++d)
    for (std::int64_t h = 0; h < extents[1]; ++h)
      for (std::int64_t w = 0; w < extents[2]; ++w)
        body({d, h, w});
}

std::int64_t at(const Shape& shape, std::int64_t n, std::int64_t c, const Index& where) {
  const Index extents = spatial(shape);
  return (((n * channels(shape) + c) * extents[0] + where[0]) * extents[1] + where[1]) * extents[2] + where[2];
}

/// Calls body(index in src, index in weights, index in dst) for each product that a convolution adds up.
void over_products(const Conv& conv, const Shape& src, const Shape& weights, const Shape& dst,
                   const std::function<void(std::int64_t, std::int64_t, std::int64_t)>& body) {
  const Index kernel = lifted(conv.kernel, 1), stride = lifted(conv.stride, 1), pad = lifted(conv.pad_lo, 0);
  const Index dilation = lifted(conv.dilation, 1);
  const std::int64_t inputs = src[1] / conv.groups, outputs = dst[1] / conv.groups;  // of a group
  const Index extents = spatial(src);
  for (std::int64_t n = 0; n < dst[0]; ++n) {
    for (std::int64_t o = 0; o < dst[1]; ++o) {
      over(spatial(dst), [&](const Index& to) {
        for (std::int64_t i = 0; i < inputs; ++i) {
          over(kernel, [&](const Index& tap) {
            Index from{};
            for (std::size_t axis = 0; axis < 3; ++axis) {
              from[axis] = to[axis] * stride[axis] - pad[axis] + tap[axis] * dilation[axis];
              if (from[axis] < 0 || from[axis] >= extents[axis]) return;
            }
            body(at(src, n, o / outputs * inputs + i, from), at(weights, o, i, tap), at(dst, n, o, to));
          });
        }
      });
    }
  }
}

Shape convolved(const Conv& conv, const Shape& src, std::int64_t outputs) {
  Shape dst = src;
  dst[1] = outputs;
  for (std::size_t axis = 0; axis < conv.kernel.size(); ++axis) {
    dst[axis + 2] = convolved_extent(conv, axis, src[axis + 2]);
  }
  return dst;
}

/// Sums diff_dst over all but the channels.
Array bias_gradient(const Array& diff_dst) {
  Array sums(Shape{diff_dst.shape[1]});
  for (std::int64_t n = 0; n < diff_dst.shape[0]; ++n)
    for (std::int64_t c = 0; c < diff_dst.shape[1]; ++c)
      over(spatial(diff_dst.shape), [&](const Index& where) { sums[c] += diff_dst[at(diff_dst.shape, n, c, where)]; });
  return sums;
}

/// Calls body(n, c, index in dst, index of the window's first maximum in src). A NaN is one (PyTorch's max_pool).
void over_windows(const Pool& pool, const Array& src, const Shape& dst,
                  const std::function<void(std::int64_t, std::int64_t)>& body) {
  const Index kernel = lifted(pool.kernel, 1), stride = lifted(pool.stride, 1), pad = lifted(pool.pad_lo, 0);
  const Index extents = spatial(src.shape);
  for (std::int64_t n = 0; n < dst[0]; ++n) {
    for (std::int64_t c = 0; c < dst[1]; ++c) {
      over(spatial(dst), [&](const Index& to) {
        std::int64_t best = -1;
        over(kernel, [&](const Index& tap) {
          Index from{};
          for (std::size_t axis = 0; axis < 3; ++axis) {
            from[axis] = to[axis] * stride[axis] - pad[axis] + tap[axis];
            if (from[axis] < 0 || from[axis] >= extents[axis]) return;
          }
          const std::int64_t here = at(src.shape, n, c, from);
          if (best < 0 || src[here] > src[best] || std::isnan(src[here])) best = here;
        });
        body(at(dst, n, c, to), best);
      });
    }
  }
}

/// Calls body(n, number of the input in a dense layer, index in src).
void over_inputs(const Shape& src, const std::function<void(std::int64_t, std::int64_t, std::int64_t)>& body) {
  const Index extents = spatial(src);
  for (std::int64_t n = 0; n < src[0]; ++n) {
    for (std::int64_t c = 0; c < channels(src); ++c) {
      over(extents, [&](const Index& where) {
        const std::int64_t voxel = (where[0] * extents[1] + where[1]) * extents[2] + where[2];
        body(n, voxel * channels(src) + c, at(src, n, c, where));
      });
    }
  }
}

}  // namespace

Array magnitude(Array array) {
  for (double& value : array.values)
    value = std::fabs(value);
  return array;
}

Array conv(const Conv& conv, const Array& src, const Array& weights, const Array& bias) {
  Array dst(convolved(conv, src.shape, weights.shape[0]));
  for (std::int64_t n = 0; n < dst.shape[0]; ++n)
    for (std::int64_t o = 0; o < dst.shape[1]; ++o)
      over(spatial(dst.shape), [&](const Index& to) { dst[at(dst.shape, n, o, to)] = bias[o]; });
  over_products(conv, src.shape, weights.shape, dst.shape,
                [&](std::int64_t s, std::int64_t w, std::int64_t d) { dst[d] += src[s] * weights[w]; });
  return dst;
}

Array conv_backward_data(const Conv& conv, const Array& diff_dst, const Array& weights, const Shape& src_shape) {
  Array diff_src(src_shape);
  over_products(conv, src_shape, weights.shape, diff_dst.shape,
                [&](std::int64_t s, std::int64_t w, std::int64_t d) { diff_src[s] += diff_dst[d] * weights[w]; });
  return diff_src;
}

Gradients conv_backward_weights(const Conv& conv, const Array& src, const Array& diff_dst) {
  Shape shape = src.shape;
  shape[0] = diff_dst.shape[1];
  shape[1] /= conv.groups;
  for (std::size_t axis = 0; axis < conv.kernel.size(); ++axis)
    shape[axis + 2] = conv.kernel[axis];
  Gradients gradients{Array(shape), bias_gradient(diff_dst)};
  over_products(conv, src.shape, shape, diff_dst.shape,
                [&](std::int64_t s, std::int64_t w, std::int64_t d) { gradients.weights[w] += src[s] * diff_dst[d]; });
  return gradients;
}

Array pool(const Pool& pool, const Array& src) {
  Shape shape = src.shape;
  for (std::size_t axis = 0; axis < pool.kernel.size(); ++axis)
    shape[axis + 2] =
        (src.shape[axis + 2] + (pool.pad_lo.empty() ? 0 : pool.pad_lo[axis] + pool.pad_hi[axis]) - pool.kernel[axis]) /
            pool.stride[axis] +
        1;
  Array dst(shape);
  over_windows(pool, src, shape, [&](std::int64_t to, std::int64_t best) { dst[to] = src[best]; });
  return dst;
}

Array pool_backward(const Pool& pool, const Array& src, const Array& diff_dst) {
  Array diff_src(src.shape);
  over_windows(pool, src, diff_dst.shape, [&](std::int64_t to, std::int64_t best) { diff_src[best] += diff_dst[to]; });
  return diff_src;
}

Array dense(const Array& src, const Array& weights, const Array& bias) {
  Array dst(Shape{src.shape[0], weights.shape[0]});
  for (std::int64_t i = 0; i < dst.shape.elements(); ++i)
    dst[i] = bias[i % dst.shape[1]];
  over_inputs(src.shape, [&](std::int64_t n, std::int64_t input, std::int64_t s) {
    for (std::int64_t o = 0; o < dst.shape[1]; ++o)
      dst[n * dst.shape[1] + o] += src[s] * weights[o * weights.shape[1] + input];
  });
  return dst;
}

Array dense_backward_data(const Array& diff_dst, const Array& weights, const Shape& src_shape) {
  Array diff_src(src_shape);
  over_inputs(src_shape, [&](std::int64_t n, std::int64_t input, std::int64_t s) {
    for (std::int64_t o = 0; o < diff_dst.shape[1]; ++o)
      diff_src[s] += diff_dst[n * diff_dst.shape[1] + o] * weights[o * weights.shape[1] + input];
  });
  return diff_src;
}

Gradients dense_backward_weights(const Array& src, const Array& diff_dst) {
  const std::int64_t inputs = src.shape.elements() / src.shape[0];
  Gradients gradients{Array(Shape{diff_dst.shape[1], inputs}), bias_gradient(diff_dst)};
  over_inputs(src.shape, [&](std::int64_t n, std::int64_t input, std::int64_t s) {
    for (std::int64_t o = 0; o < diff_dst.shape[1]; ++o)
      gradients.weights[o * inputs + input] += src[s] * diff_dst[n * diff_dst.shape[1] + o];
  });
  return gradients;
}

Array activation(const Activation& activation, const Array& src) {
  Array dst(src.shape);
  for (std::int64_t i = 0; i < src.shape.elements(); ++i) {
    const double x = src[i];
    dst[i] = activation.curve == Curve::tanh ? activation.scale * std::tanh(x) : x > 0.0 ? x : activation.slope * x;
  }
  return dst;
}

Array activation_backward(const Activation& activation, const Array& dst, const Array& diff_dst) {
  Array diff_src(dst.shape);
  for (std::int64_t i = 0; i < dst.shape.elements(); ++i) {
    const double curve = dst[i] / activation.scale;
    const double slope = dst[i] > 0.0 ? 1.0 : static_cast<double>(activation.slope);
    diff_src[i] = diff_dst[i] * (activation.curve == Curve::tanh ? activation.scale * (1.0 - curve * curve) : slope);
  }
  return diff_src;
}

Array dropout(const Dropout& dropout, std::int64_t epoch, std::span<const std::int64_t> ids, const Array& src) {
  Array dst(src.shape);
  const std::int64_t units = src.shape[1];
  for (std::size_t n = 0; n < ids.size(); ++n) {
    for (std::int64_t unit = 0; unit < units; ++unit) {
      const std::int64_t i = static_cast<std::int64_t>(n) * units + unit;
      if (dropout_keeps(dropout, epoch, ids[n], unit)) dst[i] = src[i] / (1.0 - dropout.rate);
    }
  }
  return dst;
}

Array add(const Array& a, const Array& b) {
  Array sum = a;
  for (std::int64_t i = 0; i < sum.shape.elements(); ++i)
    sum[i] += b[i];
  return sum;
}

namespace {

/// Copies whole channels: `count` of them, from and to the given ones.
void copy_channels(const Array& from, std::int64_t first, Array& to, std::int64_t target, std::int64_t count) {
  const std::int64_t points = points_of(from.shape);
  for (std::int64_t n = 0; n < from.shape[0]; ++n)
    for (std::int64_t i = 0; i < count * points; ++i)
      to[(n * to.shape[1] + target) * points + i] = from[(n * from.shape[1] + first) * points + i];
}

}  // namespace

Array concat(const std::vector<Array>& parts) {
  std::vector<std::int64_t> extents = parts.front().shape.extents();
  extents[1] = 0;
  for (const Array& part : parts)
    extents[1] += part.shape[1];
  Array dst{Shape(extents)};
  std::int64_t begin = 0;
  for (const Array& part : parts) {
    copy_channels(part, 0, dst, begin, part.shape[1]);
    begin += part.shape[1];
  }
  return dst;
}

Array slice(Range channels, const Array& src) {
  std::vector<std::int64_t> extents = src.shape.extents();
  extents[1] = channels.size();
  Array dst{Shape(extents)};
  copy_channels(src, channels.begin, dst, 0, channels.size());
  return dst;
}

Array preprocess(const Preprocess& preprocess, const Array& raw) {
  Array dst(raw.shape);
  const std::int64_t elements = raw.shape.elements() / raw.shape[0];
  for (std::int64_t n = 0; n < raw.shape[0]; ++n) {
    double sum = 0.0;
    for (std::int64_t i = n * elements; i < (n + 1) * elements; ++i)
      sum += raw[i];
    for (std::int64_t i = n * elements; i < (n + 1) * elements; ++i)
      dst[i] = preprocess.log_transform ? std::log1p(raw[i]) : raw[i] / (sum / static_cast<double>(elements));
  }
  return dst;
}

namespace {

template <class Body>
void over_channels(const Shape& shape, const Body& body) {
  const std::int64_t points = points_of(shape);
  for (std::int64_t n = 0; n < shape[0]; ++n)
    for (std::int64_t c = 0; c < shape[1]; ++c)
      for (std::int64_t point = 0; point < points; ++point)
        body((n * shape[1] + c) * points + point, c, n);
}

struct Channel {
  double mean, inverse, variance;
};
Channel channel_of(const Norm& norm, const Shape& src, const Array& moments, std::int64_t c) {
  const double count = static_cast<double>(src.elements() / src[1]) * norm.ranks;
  const double mean = moments[c] / count;
  const double variance = moments[src[1] + c] / count - mean * mean;
  return {mean, 1.0 / std::sqrt(variance + norm.epsilon), variance};
}

}  // namespace

Array normalise(const Normalise& normalise, const Array& raw) {
  Array dst(raw.shape);
  over_channels(raw.shape, [&](std::int64_t at, std::int64_t c, std::int64_t) {
    const auto channel = static_cast<std::size_t>(c);
    dst[at] = (raw[at] - normalise.shift[channel]) * normalise.scale[channel];
  });
  return dst;
}

Array spatial_sum(double factor, const Array& src) {
  std::vector<std::int64_t> extents(src.shape.rank(), 1);
  extents[0] = src.shape[0];
  extents[1] = src.shape[1];
  Array dst{Shape(extents)};
  over_channels(src.shape, [&](std::int64_t at, std::int64_t c, std::int64_t n) {
    dst[n * src.shape[1] + c] += factor * src[at];
  });
  return dst;
}

Array tile(const Tile& tile, const Array& src) {
  std::vector<std::int64_t> extents = {src.shape[0], src.shape[1]};
  extents.insert(extents.end(), tile.extents.begin(), tile.extents.end());
  Array dst{Shape(extents)};
  over_channels(dst.shape, [&](std::int64_t at, std::int64_t c, std::int64_t n) {
    dst[at] = tile.factor * src[n * src.shape[1] + c];
  });
  return dst;
}

Array norm_moments(const Array& src) {
  Array sums(Shape{2, src.shape[1]});
  over_channels(src.shape, [&](std::int64_t at, std::int64_t c, std::int64_t) {
    sums[c] += src[at];
    sums[src.shape[1] + c] += src[at] * src[at];
  });
  return sums;
}

Array norm_apply(const Norm& norm, const Array& src, const Array& moments, const Array& gamma, const Array& beta) {
  Array dst(src.shape);
  over_channels(src.shape, [&](std::int64_t at, std::int64_t c, std::int64_t) {
    const Channel channel = channel_of(norm, src.shape, moments, c);
    dst[at] = (src[at] - channel.mean) * channel.inverse * gamma[c] + beta[c];
  });
  return dst;
}

void move_statistics(const Norm& norm, std::int64_t count, const Array& moments, Array& mean, Array& variance) {
  const std::int64_t channels = mean.shape[0];
  const Shape whole{count, channels};
  for (std::int64_t c = 0; c < channels; ++c) {
    const Channel channel = channel_of(norm, whole, moments, c);
    const double all = static_cast<double>(count) * norm.ranks;
    const double unbiased = channel.variance * all / (all > 1.0 ? all - 1.0 : 1.0);
    mean[c] = (1.0 - norm.momentum) * mean[c] + norm.momentum * channel.mean;
    variance[c] = (1.0 - norm.momentum) * variance[c] + norm.momentum * unbiased;
  }
}

Array norm_inference(const Norm& norm, const Array& src, const Array& gamma, const Array& beta, const Array& mean,
                     const Array& variance) {
  Array dst(src.shape);
  over_channels(src.shape, [&](std::int64_t at, std::int64_t c, std::int64_t) {
    dst[at] = (src[at] - mean[c]) / std::sqrt(variance[c] + norm.epsilon) * gamma[c] + beta[c];
  });
  return dst;
}

Array norm_gradients(const Norm& norm, const Array& src, const Array& moments, const Array& diff_dst) {
  Array sums(Shape{2, src.shape[1]});
  over_channels(src.shape, [&](std::int64_t at, std::int64_t c, std::int64_t) {
    const Channel channel = channel_of(norm, src.shape, moments, c);
    sums[c] += diff_dst[at] * (src[at] - channel.mean) * channel.inverse;
    sums[src.shape[1] + c] += diff_dst[at];
  });
  return sums;
}

Array norm_backward(const Norm& norm, const Array& src, const Array& moments, const Array& gamma, const Array& sums,
                    const Array& diff_dst) {
  Array diff_src(src.shape);
  const double count = static_cast<double>(src.shape.elements() / src.shape[1]) * norm.ranks;
  over_channels(src.shape, [&](std::int64_t at, std::int64_t c, std::int64_t) {
    const Channel channel = channel_of(norm, src.shape, moments, c);
    const double normalised = (src[at] - channel.mean) * channel.inverse;
    diff_src[at] =
        gamma[c] * channel.inverse * (diff_dst[at] - sums[src.shape[1] + c] / count - normalised * sums[c] / count);
  });
  return diff_src;
}

}  // namespace trainmark::reference

// Batch norm over channels-last rows: moments, application, and its derivatives. Sums run over blocks of rows that
// depend on the shape alone, within a block in fp32 about the channel's first value (or its mean), across blocks in
// fp64.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/cpu/ops/norm.cpp"
#include <hwy/foreach_target.h>
// clang-format off
#include "backend/cpu/simd-inl.hpp"
// clang-format on
#include <algorithm>

#include "backend/cpu/element.hpp"
#include "backend/cpu/parallel.hpp"
#include "backend/cpu/plans.hpp"
#include "backend/math.hpp"

HWY_BEFORE_NAMESPACE();
namespace trainmark::cpu::HWY_NAMESPACE {

/// For each channel, over the rows: first[c] = sum of x - centre[c], second[c] = sum of its square. Row after row, as
/// memory likes to be read; four at a time, so that the sums in the cache are seldom touched.
template <class T>
void moments(const T* src, std::int64_t rows, std::int64_t channels, const float* centre, float* first, float* second) {
  std::fill_n(first, channels, 0.0F);
  std::fill_n(second, channels, 0.0F);
  std::int64_t row = 0;
  for (; row + 4 <= rows; row += 4, src += 4 * channels) {
    over_lanes(channels, [&](auto d, std::int64_t c) HWY_ATTR {
      const auto middle = load(d, centre + c);
      const T* x = src + c;
      const auto a = hn::Sub(load(d, x), middle), b = hn::Sub(load(d, x + channels), middle);
      const auto e = hn::Sub(load(d, x + 2 * channels), middle), f = hn::Sub(load(d, x + 3 * channels), middle);
      const auto square = hn::Add(hn::MulAdd(b, b, hn::Mul(a, a)), hn::MulAdd(f, f, hn::Mul(e, e)));
      store(d, hn::Add(load(d, first + c), hn::Add(hn::Add(a, b), hn::Add(e, f))), first + c);
      store(d, hn::Add(load(d, second + c), square), second + c);
    });
  }
  for (; row < rows; ++row, src += channels) {
    over_lanes(channels, [&](auto d, std::int64_t c) HWY_ATTR {
      const auto a = hn::Sub(load(d, src + c), load(d, centre + c));
      store(d, hn::Add(load(d, first + c), a), first + c);
      store(d, hn::MulAdd(a, a, load(d, second + c)), second + c);
    });
  }
}

/// For each channel, over the rows: first[c] = sum of diff (x - mean[c]), second[c] = sum of diff.
template <class T>
void products(const T* src, const T* diff, std::int64_t rows, std::int64_t channels, const float* mean, float* first,
              float* second) {
  std::fill_n(first, channels, 0.0F);
  std::fill_n(second, channels, 0.0F);
  std::int64_t row = 0;
  for (; row + 4 <= rows; row += 4, src += 4 * channels, diff += 4 * channels) {
    over_lanes(channels, [&](auto d, std::int64_t c) HWY_ATTR {
      const auto middle = load(d, mean + c);
      const T* x = src + c;
      const T* g = diff + c;
      const auto a = load(d, g), b = load(d, g + channels);
      const auto e = load(d, g + 2 * channels), f = load(d, g + 3 * channels);
      const auto ab = hn::MulAdd(b, hn::Sub(load(d, x + channels), middle), hn::Mul(a, hn::Sub(load(d, x), middle)));
      const auto ef = hn::MulAdd(f, hn::Sub(load(d, x + 3 * channels), middle),
                                 hn::Mul(e, hn::Sub(load(d, x + 2 * channels), middle)));
      store(d, hn::Add(load(d, first + c), hn::Add(ab, ef)), first + c);
      store(d, hn::Add(load(d, second + c), hn::Add(hn::Add(a, b), hn::Add(e, f))), second + c);
    });
  }
  for (; row < rows; ++row, src += channels, diff += channels) {
    over_lanes(channels, [&](auto d, std::int64_t c) HWY_ATTR {
      const auto a = load(d, diff + c);
      store(d, hn::MulAdd(a, hn::Sub(load(d, src + c), load(d, mean + c)), load(d, first + c)), first + c);
      store(d, hn::Add(load(d, second + c), a), second + c);
    });
  }
}

/// dst = (x - mean[c]) factor[c] + shift[c]
template <class T>
void apply(const T* src, T* dst, std::int64_t rows, std::int64_t channels, const float* mean, const float* factor,
           const float* shift) {
  for (std::int64_t row = 0; row < rows; ++row, src += channels, dst += channels) {
    over_lanes(channels, [&](auto d, std::int64_t c) HWY_ATTR {
      const auto x = hn::Sub(load(d, src + c), load(d, mean + c));
      store(d, hn::MulAdd(x, load(d, factor + c), load(d, shift + c)), dst + c);
    });
  }
}

/// diff_src = factor[c] (diff - shift[c] - (x - mean[c]) slope[c])
template <class T>
void backward(const T* src, const T* diff, T* diff_src, std::int64_t rows, std::int64_t channels, const float* mean,
              const float* factor, const float* shift, const float* slope) {
  for (std::int64_t row = 0; row < rows; ++row, src += channels, diff += channels, diff_src += channels) {
    over_lanes(channels, [&](auto d, std::int64_t c) HWY_ATTR {
      const auto x = hn::Sub(load(d, src + c), load(d, mean + c));
      const auto own = hn::Sub(load(d, diff + c), load(d, shift + c));
      store(d, hn::Mul(load(d, factor + c), hn::NegMulAdd(x, load(d, slope + c), own)), diff_src + c);
    });
  }
}

void moments_of(const void* src, bool half, Range rows, std::int64_t channels, const float* centre, float* first,
                float* second) {
  const std::int64_t at = rows.begin * channels;
  if (half) return moments(static_cast<const std::uint16_t*>(src) + at, rows.size(), channels, centre, first, second);
  moments(static_cast<const float*>(src) + at, rows.size(), channels, centre, first, second);
}
void products_of(const void* src, const void* diff, bool half, Range rows, std::int64_t channels, const float* mean,
                 float* first, float* second) {
  const std::int64_t at = rows.begin * channels;
  if (half) {
    return products(static_cast<const std::uint16_t*>(src) + at, static_cast<const std::uint16_t*>(diff) + at,
                    rows.size(), channels, mean, first, second);
  }
  products(static_cast<const float*>(src) + at, static_cast<const float*>(diff) + at, rows.size(), channels, mean,
           first, second);
}
void apply_to(const void* src, void* dst, bool half, Range rows, std::int64_t channels, const float* mean,
              const float* factor, const float* shift) {
  const std::int64_t at = rows.begin * channels;
  if (half) {
    return apply(static_cast<const std::uint16_t*>(src) + at, static_cast<std::uint16_t*>(dst) + at, rows.size(),
                 channels, mean, factor, shift);
  }
  apply(static_cast<const float*>(src) + at, static_cast<float*>(dst) + at, rows.size(), channels, mean, factor, shift);
}
void backward_of(const void* src, const void* diff, void* diff_src, bool half, Range rows, std::int64_t channels,
                 const float* mean, const float* factor, const float* shift, const float* slope) {
  const std::int64_t at = rows.begin * channels;
  if (half) {
    return backward(static_cast<const std::uint16_t*>(src) + at, static_cast<const std::uint16_t*>(diff) + at,
                    static_cast<std::uint16_t*>(diff_src) + at, rows.size(), channels, mean, factor, shift, slope);
  }
  backward(static_cast<const float*>(src) + at, static_cast<const float*>(diff) + at,
           static_cast<float*>(diff_src) + at, rows.size(), channels, mean, factor, shift, slope);
}

}  // namespace trainmark::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace trainmark::cpu {
namespace {

HWY_EXPORT(moments_of);
HWY_EXPORT(products_of);
HWY_EXPORT(apply_to);
HWY_EXPORT(backward_of);

/// A tensor as rows of channels.
struct Rows {
  std::int64_t count = 0, channels = 0;
  bool half = false;
  explicit Rows(const TensorDesc& tensor)
      : count(tensor.shape.elements() / tensor.shape[1]),
        channels(tensor.shape[1]),
        half(tensor.dtype == DType::bf16) {}
  static constexpr std::int64_t most = 256;  // rows of a block: what is summed in fp32
  [[nodiscard]] std::int64_t blocks() const { return (count + most - 1) / most; }
  [[nodiscard]] Range block(std::int64_t index) const { return {index * most, std::min(count, (index + 1) * most)}; }
  /// Rows of about 64 KiB: what a thread takes at least.
  [[nodiscard]] std::int64_t grain() const { return std::max<std::int64_t>(1, (1 << 14) / channels); }
  /// Two sums a channel and block, and room for `extra` values a channel.
  [[nodiscard]] std::size_t scratch(std::int64_t extra) const {
    return static_cast<std::size_t>((2 * blocks() + extra) * channels) * sizeof(float);
  }
};

/// Calls sum(rows, first, second) for each block of rows and adds the blocks' sums up: totals[0][c], totals[1][c].
template <class Sum>
void sum_blocks(const Rows& rows, float* scratch, double* totals, const Sum& sum) {
  const std::int64_t channels = rows.channels;
  parallel_for(rows.blocks(), 1, [&](Range blocks, int) {
    for (std::int64_t at = blocks.begin; at < blocks.end; ++at) {
      float* first = scratch + 2 * at * channels;
      sum(rows.block(at), first, first + channels);
    }
  });
  parallel_for(2 * channels, 256, [&](Range range, int) {
    for (std::int64_t at = range.begin; at < range.end; ++at) {
      double total = 0.0;
      for (std::int64_t block = 0; block < rows.blocks(); ++block)
        total += scratch[2 * block * channels + at];
      totals[at] = total;
    }
  });
}

/// Constants of a channel, side by side in scratch memory.
struct Constants {
  float *mean, *factor, *shift, *slope;
  Constants(float* memory, std::int64_t channels)
      : mean(memory), factor(memory + channels), shift(factor + channels), slope(shift + channels) {}
  static constexpr std::int64_t values = 4;
};

}  // namespace

Planned plan_op(const NormMoments&, const Operands& operands) {
  const Rows rows(operands.inputs[0]);
  auto body = [rows](std::span<void* const> args) {
    auto* centre = static_cast<float*>(args[2]);
    auto* totals = static_cast<double*>(args[1]);
    for (std::int64_t c = 0; c < rows.channels; ++c)
      centre[c] = read(args[0], c, rows.half ? DType::bf16 : DType::f32);
    sum_blocks(rows, centre + rows.channels, totals, [&](Range block, float* first, float* second) {
      HWY_DYNAMIC_DISPATCH(moments_of)(args[0], rows.half, block, rows.channels, centre, first, second);
    });
    for (std::int64_t c = 0; c < rows.channels; ++c)
      uncentre(static_cast<double>(rows.count), centre[c], totals[c], totals[rows.channels + c]);
  };
  return planned(body, operands.outputs, {}, rows.scratch(1));
}

Planned plan_op(const NormApply& op, const Operands& operands) {
  const Rows rows(operands.inputs[0]);
  auto body = [rows, norm = op.norm](std::span<void* const> args) {
    const auto* sums = static_cast<const double*>(args[1]);
    const auto* gamma = static_cast<const float*>(args[2]);
    const auto* beta = static_cast<const float*>(args[3]);
    auto* running_mean = static_cast<float*>(args[4]);
    auto* running_variance = static_cast<float*>(args[5]);
    const Constants constants(static_cast<float*>(args[7]), rows.channels);
    const double count = static_cast<double>(rows.count) * norm.ranks;
    for (std::int64_t c = 0; c < rows.channels; ++c) {
      const ChannelMoments moments = moments_of_channel(norm, count, sums[c], sums[rows.channels + c]);
      move_statistics(norm, count, moments, running_mean[c], running_variance[c]);
      constants.mean[c] = moments.mean;
      constants.factor[c] = gamma[c] * moments.inverse;
      constants.shift[c] = beta[c];
    }
    parallel_for(rows.count, rows.grain(), [&](Range range, int) {
      HWY_DYNAMIC_DISPATCH(apply_to)
      (args[0], args[6], rows.half, range, rows.channels, constants.mean, constants.factor, constants.shift);
    });
  };
  const auto scratch = static_cast<std::size_t>(Constants::values * rows.channels) * sizeof(float);
  return planned(body, {{operands.outputs[0].shape, operands.inputs[0].dtype, operands.inputs[0].layout}}, {{0, 0}},
                 scratch);
}

Planned plan_op(const NormInference& op, const Operands& operands) {
  const Rows rows(operands.inputs[0]);
  auto body = [rows, epsilon = op.norm.epsilon](std::span<void* const> args) {
    const auto* gamma = static_cast<const float*>(args[1]);
    const auto* mean = static_cast<const float*>(args[3]);
    const auto* variance = static_cast<const float*>(args[4]);
    const Constants constants(static_cast<float*>(args[6]), rows.channels);
    for (std::int64_t c = 0; c < rows.channels; ++c)
      constants.factor[c] = gamma[c] / std::sqrt(variance[c] + epsilon);
    parallel_for(rows.count, rows.grain(), [&](Range range, int) {
      HWY_DYNAMIC_DISPATCH(apply_to)
      (args[0], args[5], rows.half, range, rows.channels, mean, constants.factor, static_cast<const float*>(args[2]));
    });
  };
  const auto scratch = static_cast<std::size_t>(Constants::values * rows.channels) * sizeof(float);
  return planned(body, {{operands.outputs[0].shape, operands.inputs[0].dtype, operands.inputs[0].layout}}, {{0, 0}},
                 scratch);
}

Planned plan_op(const NormGradients& op, const Operands& operands) {
  const Rows rows(operands.inputs[0]);
  auto body = [rows, norm = op.norm](std::span<void* const> args) {
    const auto* sums = static_cast<const double*>(args[1]);
    auto* diff_gamma = static_cast<float*>(args[3]);
    auto* diff_beta = static_cast<float*>(args[4]);
    auto* totals = static_cast<double*>(args[5]);
    auto* mean = static_cast<float*>(args[6]);
    const double count = static_cast<double>(rows.count) * norm.ranks;
    const auto moments = [&](std::int64_t c) {
      return moments_of_channel(norm, count, sums[c], sums[rows.channels + c]);
    };
    for (std::int64_t c = 0; c < rows.channels; ++c)
      mean[c] = moments(c).mean;
    sum_blocks(rows, mean + rows.channels, totals, [&](Range block, float* first, float* second) {
      HWY_DYNAMIC_DISPATCH(products_of)(args[0], args[2], rows.half, block, rows.channels, mean, first, second);
    });
    for (std::int64_t c = 0; c < rows.channels; ++c) {
      totals[c] *= moments(c).inverse;
      diff_gamma[c] = static_cast<float>(totals[c]);
      diff_beta[c] = static_cast<float>(totals[rows.channels + c]);
    }
  };
  return planned(body, operands.outputs, {}, rows.scratch(1));
}

Planned plan_op(const NormBackward& op, const Operands& operands) {
  const Rows rows(operands.inputs[0]);
  auto body = [rows, norm = op.norm](std::span<void* const> args) {
    const auto* sums = static_cast<const double*>(args[1]);
    const auto* gamma = static_cast<const float*>(args[2]);
    const auto* products = static_cast<const double*>(args[3]);
    const Constants constants(static_cast<float*>(args[6]), rows.channels);
    const double count = static_cast<double>(rows.count) * norm.ranks;
    for (std::int64_t c = 0; c < rows.channels; ++c) {
      const ChannelMoments moments = moments_of_channel(norm, count, sums[c], sums[rows.channels + c]);
      constants.mean[c] = moments.mean;
      constants.factor[c] = gamma[c] * moments.inverse;
      constants.shift[c] = static_cast<float>(products[rows.channels + c] / count);
      constants.slope[c] = static_cast<float>(products[c] / count * moments.inverse);
    }
    parallel_for(rows.count, rows.grain(), [&](Range range, int) {
      HWY_DYNAMIC_DISPATCH(backward_of)
      (args[0], args[4], args[5], rows.half, range, rows.channels, constants.mean, constants.factor, constants.shift,
       constants.slope);
    });
  };
  const auto scratch = static_cast<std::size_t>(Constants::values * rows.channels) * sizeof(float);
  return planned(body, {{operands.outputs[0].shape, operands.inputs[0].dtype, operands.inputs[0].layout}},
                 {{0, 4}, {0, 0}}, scratch);
}

}  // namespace trainmark::cpu
#endif

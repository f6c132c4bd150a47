// The kernels of dense layers of few samples: one reads each weight once for all samples, or writes its gradient once.
#include "backend/cuda/ops/few_rows.hpp"

#include <bit>

#include "backend/cuda/element.cuh"
#include "backend/math.hpp"

namespace trainmark::cuda {
namespace {

constexpr int rows_at_once = 8;  // samples whose sums a thread holds; more of them take another look at the weights
constexpr int forward_threads = 1024;
constexpr int data_columns = 32, data_lanes = 8;
constexpr int units_at_once = 8;  // whose gradients a thread makes of one element of the source

/// A sample's columns as weights count them, and as they lie in memory: `inner` of every `stored` are real.
struct DenseShape {
  int samples, units;
  unsigned columns, inner, stored;
  std::int64_t row;  ///< stored columns of a sample
};
__device__ inline unsigned stored_column(const DenseShape& shape, unsigned column) {
  return shape.inner == shape.stored ? column : column / shape.inner * shape.stored + column % shape.inner;
}

__device__ inline float curve_of(const Activation& activation, float src) {
  return activation.curve == Curve::tanh ? scaled_tanh(src, activation.scale) : leaky_relu(src, activation.slope);
}
__device__ inline float curve_back(const Activation& activation, float dst, float diff) {
  return activation.curve == Curve::tanh ? scaled_tanh_backward(dst, diff, activation.scale)
                                         : leaky_relu_backward(dst, diff, activation.slope);
}
/// What dropout makes of a sample's unit, forward and backward.
template <class T>
__device__ T masked(const Dropout& dropout, const StepState* state, std::int64_t sample, std::int64_t unit, T value) {
  const bool counts = sample < state->valid;
  const std::int64_t id = counts ? reinterpret_cast<const std::int64_t*>(state + 1)[sample] : 0;
  const bool keep = counts && dropout_keeps(dropout, state->epoch, id, unit);
  return from_float<T>(keep ? to_float(value) * (1.0F / (1.0F - dropout.rate)) : 0.0F);
}

/// A block is a unit; its threads share the columns.
template <class T, class To>
__global__ void __launch_bounds__(forward_threads)
    dense_forward(const T* src, const float* weights, const float* bias, To* dst, DenseShape shape, DenseEnding ending,
                  const StepState* state, To* dropped) {
  __shared__ float slots[forward_threads];
  const float* own = weights + static_cast<std::int64_t>(blockIdx.x) * shape.columns;
  for (int first = 0; first < shape.samples; first += rows_at_once) {
    float sums[rows_at_once] = {};
    for (unsigned column = threadIdx.x; column < shape.columns; column += blockDim.x) {
      const float weight = own[column];
      const T* from = src + first * shape.row + stored_column(shape, column);
      for (int i = 0; i < rows_at_once; ++i)
        if (first + i < shape.samples) sums[i] += weight * to_float(from[i * shape.row]);
    }
    for (int i = 0; i < rows_at_once; ++i) {
      if (first + i >= shape.samples) continue;
      const float sum = block_sum(sums[i], slots);
      if (threadIdx.x != 0) continue;
      const std::int64_t at = static_cast<std::int64_t>(first + i) * shape.units + blockIdx.x;
      To value = from_float<To>(sum + bias[blockIdx.x]);
      if (ending.curved) value = from_float<To>(curve_of(ending.activation, to_float(value)));
      dst[at] = value;
      if (ending.drops) dropped[at] = masked(ending.dropout, state, first + i, blockIdx.x, value);
    }
  }
}

/// A block has some columns as they are stored; its lanes share the units.
template <class T, class From>
__global__ void __launch_bounds__(data_columns* data_lanes)
    dense_backward_data(const From* diff_dst, const float* weights, T* diff_src, DenseShape shape, DenseEnding below,
                        const T* active, const StepState* state) {
  __shared__ float slots[data_lanes][data_columns];
  const std::int64_t place = static_cast<std::int64_t>(blockIdx.x) * data_columns + threadIdx.x;
  const auto at = static_cast<unsigned>(place);
  const unsigned inner = at % shape.stored;
  const bool real = place < shape.row && inner < shape.inner;
  const float* own = weights + at / shape.stored * shape.inner + inner;
  for (int first = 0; first < shape.samples; first += rows_at_once) {
    float sums[rows_at_once] = {};
    for (int unit = static_cast<int>(threadIdx.y); real && unit < shape.units; unit += data_lanes) {
      const float weight = own[static_cast<std::int64_t>(unit) * shape.columns];
      const From* from = diff_dst + static_cast<std::int64_t>(first) * shape.units + unit;
      for (int i = 0; i < rows_at_once; ++i)
        if (first + i < shape.samples) sums[i] += weight * to_float(from[i * shape.units]);
    }
    for (int i = 0; i < rows_at_once; ++i) {
      if (first + i >= shape.samples) continue;
      __syncthreads();  // the slots may hold an earlier sum
      slots[threadIdx.y][threadIdx.x] = sums[i];
      __syncthreads();
      if (threadIdx.y != 0 || place >= shape.row) continue;
      float sum = 0.0F;
      for (int lane = 0; lane < data_lanes; ++lane)
        sum += slots[lane][threadIdx.x];
      T value = from_float<T>(sum);
      if (below.drops) value = masked(below.dropout, state, first + i, place, value);
      const std::int64_t to = (first + i) * shape.row + place;
      if (below.curved) value = from_float<T>(curve_back(below.activation, to_float(active[to]), to_float(value)));
      diff_src[to] = value;
    }
  }
}

/// A thread has a column and some units.
template <class T, class From>
__global__ void __launch_bounds__(block_threads)
    dense_backward_weights(const T* src, const From* diff_dst, float* diff_weights, float* diff_bias,
                           DenseShape shape) {
  const std::int64_t column = item();
  const int first = static_cast<int>(blockIdx.y) * units_at_once;
  if (column < shape.columns) {
    const T* from = src + stored_column(shape, static_cast<unsigned>(column));
    float sums[units_at_once] = {};
    for (int sample = 0; sample < shape.samples; ++sample) {
      const float value = to_float(from[sample * shape.row]);
      const From* diff = diff_dst + static_cast<std::int64_t>(sample) * shape.units + first;
      for (int i = 0; i < units_at_once; ++i)
        if (first + i < shape.units) sums[i] += value * to_float(diff[i]);
    }
    for (int i = 0; i < units_at_once; ++i)
      if (first + i < shape.units)
        diff_weights[static_cast<std::int64_t>(first + i) * shape.columns + column] = sums[i];
  }
  const int unit = first + static_cast<int>(threadIdx.x);
  if (blockIdx.x != 0 || threadIdx.x >= units_at_once || unit >= shape.units) return;
  float sum = 0.0F;
  for (int sample = 0; sample < shape.samples; ++sample)
    sum += to_float(diff_dst[static_cast<std::int64_t>(sample) * shape.units + unit]);
  diff_bias[unit] = sum;
}

DenseShape shape_of(std::int64_t samples, const WeightOrder& order) {
  const std::int64_t row = order.spatial * order.stored_inner;
  TRAINMARK_CHECK(row < std::int64_t{1} << 31, "columns are numbered in 32 bits");
  return {.samples = static_cast<int>(samples),
          .units = static_cast<int>(order.outer),
          .columns = static_cast<unsigned>(order.spatial * order.inner),
          .inner = static_cast<unsigned>(order.inner),
          .stored = static_cast<unsigned>(order.stored_inner),
          .row = row};
}

/// Calls body(Type<activations>, Type<the layer's result>): the latter are as the former, or fp32.
template <class Body>
void with_types(DType type, DType result, Body&& body) {
  with_type(type, [&]<class T>(Type<T> own) {
    if (result == type) return body(own, own);
    TRAINMARK_CHECK(result == DType::f32, "a dense layer's result is fp32 or as its source");
    body(own, Type<float>{});
  });
}

}  // namespace

FewRows::FewRows(std::int64_t samples, const WeightOrder& columns) : samples_(samples), columns_(columns) {}

void FewRows::forward(cudaStream_t stream, const void* src, DType type, const float* weights, const float* bias,
                      void* dst, DType dst_type, const DenseEnding& ending, const StepState* state,
                      void* dropped) const {
  const DenseShape shape = shape_of(samples_, columns_);
  LaunchShape launched;
  launched.grid.x = static_cast<unsigned>(shape.units);
  launched.block.x = std::clamp(std::bit_ceil(shape.columns), 32U, static_cast<unsigned>(forward_threads));
  with_types(type, dst_type, [&]<class T, class To>(Type<T>, Type<To>) {
    launch("dense_forward", dense_forward<T, To>, launched, stream, static_cast<const T*>(src), weights, bias,
           static_cast<To*>(dst), shape, ending, state, static_cast<To*>(dropped));
  });
}

void FewRows::backward_data(cudaStream_t stream, const void* diff_dst, DType diff_type, const float* weights,
                            void* diff_src, DType type, const DenseEnding& below, const void* active,
                            const StepState* state) const {
  const DenseShape shape = shape_of(samples_, columns_);
  LaunchShape launched;
  launched.grid.x = static_cast<unsigned>(ceil_div(shape.row, data_columns));
  launched.block = dim3(data_columns, data_lanes);
  with_types(type, diff_type, [&]<class T, class From>(Type<T>, Type<From>) {
    launch("dense_backward_data", dense_backward_data<T, From>, launched, stream, static_cast<const From*>(diff_dst),
           weights, static_cast<T*>(diff_src), shape, below, static_cast<const T*>(active), state);
  });
}

void FewRows::backward_weights(cudaStream_t stream, const void* src, DType type, const void* diff_dst, DType diff_type,
                               float* diff_weights, float* diff_bias) const {
  const DenseShape shape = shape_of(samples_, columns_);
  LaunchShape launched = one_thread_each(shape.columns);
  launched.grid.y = static_cast<unsigned>(ceil_div(shape.units, units_at_once));
  with_types(type, diff_type, [&]<class T, class From>(Type<T>, Type<From>) {
    launch("dense_backward_weights", dense_backward_weights<T, From>, launched, stream, static_cast<const T*>(src),
           static_cast<const From*>(diff_dst), diff_weights, diff_bias, shape);
  });
}

}  // namespace trainmark::cuda

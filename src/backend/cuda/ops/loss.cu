// Losses and metrics, summed in fp64 in a fixed order: a handful of numbers a sample by one block, labelled positions
// in parts, a block each; positions of many classes by a block each. Padding beyond the valid count adds nothing.
#include <cmath>

#include "backend/cuda/element.cuh"
#include "backend/cuda/ops/labelled.cuh"
#include "backend/cuda/plans.hpp"
#include "backend/cuda/scratch.hpp"
#include "backend/math.hpp"

namespace trainmark::cuda {
namespace {

// --- Numbers ---------------------------------------------------------------------------------------------------------

__device__ double error_of(const float* prediction, const float* target, std::int64_t at) {
  return static_cast<double>(prediction[at]) - static_cast<double>(target[at]);
}

__global__ void __launch_bounds__(block_threads)
    mean_squared_error(const float* prediction, const float* target, const StepState* state, const LossScale* scaler,
                       float* value, float* diff, std::int64_t samples, std::int64_t outputs, double scale) {
  __shared__ double slots[block_threads];
  const std::int64_t valid = state->valid * outputs;
  const float loss_scale = scaler == nullptr ? 1.0F : scaler->scale;
  double sum = 0.0;
  for (std::int64_t i = threadIdx.x; i < samples * outputs; i += blockDim.x) {
    const double error = i < valid ? error_of(prediction, target, i) : 0.0;
    sum += error * error;
    diff[i] = loss_scale * static_cast<float>(2.0 * scale * error);
  }
  sum = block_sum(sum, slots);
  if (threadIdx.x == 0) *value = static_cast<float>(scale * sum);
}

__global__ void __launch_bounds__(block_threads)
    error_sums(const float* prediction, const float* target, const StepState* state, double* sums,
               std::int64_t outputs) {
  __shared__ double slots[block_threads];
  const std::int64_t valid = state->valid * outputs;
  double absolute = 0.0;
  double squared = 0.0;
  for (std::int64_t i = threadIdx.x; i < valid; i += blockDim.x) {
    const double error = error_of(prediction, target, i);
    absolute += error < 0.0 ? -error : error;
    squared += error * error;
  }
  absolute = block_sum(absolute, slots);
  squared = block_sum(squared, slots);
  if (threadIdx.x == 0) {
    sums[0] += absolute;
    sums[1] += squared;
    sums[2] += static_cast<double>(valid);
  }
}

/// One block; its size depends on the shape alone, and with it the order of the sums.
LaunchShape one_block(std::int64_t items) {
  LaunchShape shape;
  shape.block.x = 32;
  while (shape.block.x < block_threads && shape.block.x < items)
    shape.block.x *= 2;
  return shape;
}

Planned plan_criterion(const SquaredError&, const Loss& loss, const Operands& operands) {
  const std::int64_t samples = operands.inputs[0].shape[0];
  const std::int64_t outputs = operands.inputs[0].shape.elements() / samples;
  const double scale = 1.0 / static_cast<double>(outputs * loss.global_batch);
  const bool scaled = operands.inputs.size() > 3;
  auto body = [=](cudaStream_t stream, std::span<void* const> args) {
    const auto* scaler = scaled ? static_cast<const LossScale*>(args[3]) : nullptr;
    const std::span<void* const> results = args.subspan(scaled ? 4 : 3);
    launch("mean_squared_error", mean_squared_error, one_block(samples * outputs), stream,
           static_cast<const float*>(args[0]), static_cast<const float*>(args[1]),
           static_cast<const StepState*>(args[2]), scaler, static_cast<float*>(results[0]),
           static_cast<float*>(results[1]), samples, outputs, scale);
  };
  return planned(body, operands.outputs);
}

Planned plan_metric(const SquaredError&, Judge, const Operands& operands) {
  const std::int64_t samples = operands.inputs[0].shape[0];
  const std::int64_t outputs = operands.inputs[0].shape.elements() / samples;
  auto body = [=](cudaStream_t stream, std::span<void* const> args) {
    launch("error_sums", error_sums, one_block(samples * outputs), stream, static_cast<const float*>(args[0]),
           static_cast<const float*>(args[1]), static_cast<const StepState*>(args[2]), static_cast<double*>(args[3]),
           outputs);
  };
  return planned(body, operands.outputs);
}

// --- Labelled positions ----------------------------------------------------------------------------------------------

constexpr int row_width = static_cast<int>(channel_multiple);
/// One position's logits: in registers where they are one pack (`Packed`), else read where they are wanted.
template <class T, bool Packed>
class Logits {
 public:
  __device__ Logits(const T* row, int classes) : row_(row), classes_(classes) {
    if constexpr (Packed) pack_ = load<row_width>(row);
    each([this](int of, float value) {
      if (of > 0 && !(value > largest_)) return;
      largest_ = value;
      chosen_ = of;
    });
  }
  /// Calls body(class, logit).
  template <class Body>
  __device__ void each(Body&& body) const {
    if constexpr (Packed) {
      for (int of = 0; of < row_width; ++of) {
        if (of < classes_) body(of, logit(of));
      }
    } else {
      for (int of = 0; of < classes_; ++of)
        body(of, logit(of));
    }
  }
  [[nodiscard]] __device__ float logit(int of) const {
    if constexpr (Packed) {
      return to_float(pack_.values[of]);  // a constant once loops are unrolled
    } else {
      return to_float(row_[of]);
    }
  }
  /// The class of the largest logit, the first of equals.
  [[nodiscard]] __device__ int chosen() const { return chosen_; }
  [[nodiscard]] __device__ float largest() const { return largest_; }
  /// log(sum of exp(logit - largest))
  [[nodiscard]] __device__ float log_sum() const {
    float sum = 0.0F;
    each([&](int, float value) { sum += std::exp(value - largest_); });
    return std::log(sum);
  }
  /// -sum of q log p
  [[nodiscard]] __device__ double entropy(const Labelled& data, int label, float log_sum) const {
    double expected = 0.0;  // of the logits about the largest
    each([&](int of, float value) {
      if (of == label || data.others > 0.0F)
        expected += static_cast<double>(data.share(of, label)) * static_cast<double>(value - largest_);
    });
    return static_cast<double>(log_sum) - expected;
  }

 private:
  const T* row_;
  int classes_;
  Pack<T, row_width> pack_;
  float largest_ = 0.0F;
  int chosen_ = 0;
};

/// Writes a position's stored channels: value(class), and zeros for padding.
template <class T, bool Packed, class Value>
__device__ void write_row(T* to, int classes, int stored, Value&& value) {
  if constexpr (Packed) {
    Pack<T, row_width> pack{};
    for (int of = 0; of < row_width; ++of)
      pack.values[of] = from_float<T>(of < classes ? value(of) : 0.0F);
    store<row_width>(to, pack);
  } else {
    for (int of = 0; of < stored; ++of)
      to[of] = from_float<T>(of < classes ? value(of) : 0.0F);
  }
}

/// -weight sum of q log p over a part, and its derivative.
template <class T, bool Packed>
__global__ void __launch_bounds__(block_threads, 3)  // without the 3 the compiler saves registers and spills
    cross_entropy(const T* logits, const void* labels, const StepState* state, const LossScale* scaler,
                  const __grid_constant__ Labelled data, double scale, T* diff, double* sums) {
  __shared__ double slots[block_threads];
  const bool counts = blockIdx.y < static_cast<unsigned>(state->valid);
  const float factor = (scaler == nullptr ? 1.0F : scaler->scale) * static_cast<float>(scale);
  double sum = 0.0;
  for (std::int64_t at = item(); at < data.positions; at += static_cast<std::int64_t>(gridDim.x) * blockDim.x) {
    const std::int64_t row = blockIdx.y * data.positions + at;
    T* to = diff + row * data.stored;
    if (!counts) {
      write_row<T, Packed>(to, data.classes, data.stored, [](int) { return 0.0F; });
      continue;
    }
    const Logits<T, Packed> own(logits + row * data.stored, data.classes);
    const int label = data.label(labels, row);
    const float weight = data.weight(label);
    const float log_sum = own.log_sum();
    sum += static_cast<double>(weight) * own.entropy(data, label, log_sum);
    write_row<T, Packed>(to, data.classes, data.stored, [&](int of) {
      const float p = std::exp(own.logit(of) - own.largest() - log_sum);
      return factor * weight * (p - data.share(of, label));
    });
  }
  sum = block_sum(sum, slots);
  if (threadIdx.x == 0) sums[blockIdx.y * gridDim.x + blockIdx.x] = sum;
}

/// Adds the parts of the valid samples up, in one block; thread 0 has the sum.
__device__ double sum_of_valid(const double* sums, const StepState* state, int parts, double* slots) {
  double sum = 0.0;
  for (std::int64_t at = threadIdx.x; at < static_cast<std::int64_t>(state->valid) * parts; at += blockDim.x)
    sum += sums[at];
  return block_sum(sum, slots);
}
__global__ void __launch_bounds__(block_threads)
    add_entropies(const double* sums, const StepState* state, int parts, double scale, float* value) {
  __shared__ double slots[block_threads];
  const double sum = sum_of_valid(sums, state, parts, slots);
  if (threadIdx.x == 0) *value = static_cast<float>(scale * sum);
}

/// -weight log p summed over a part. Counts positions by class, first those that are labelled and predicted so, then
/// those that are either: whole numbers, which add up to the same in any order.
template <class T, bool Packed>
__global__ void __launch_bounds__(block_threads)
    judge_labels(const T* logits, const void* labels, const StepState* state, const __grid_constant__ Labelled data,
                 double* sums, unsigned long long* counts) {
  __shared__ double slots[block_threads];
  __shared__ unsigned found[2 * most_constants];
  if (blockIdx.y >= static_cast<unsigned>(state->valid)) return;
  for (int i = static_cast<int>(threadIdx.x); i < 2 * data.classes; i += static_cast<int>(blockDim.x))
    found[i] = 0;
  __syncthreads();
  unsigned* either = found + data.classes;
  double sum = 0.0;
  for (std::int64_t at = item(); at < data.positions; at += static_cast<std::int64_t>(gridDim.x) * blockDim.x) {
    const std::int64_t row = blockIdx.y * data.positions + at;
    const Logits<T, Packed> own(logits + row * data.stored, data.classes);
    const int label = data.label(labels, row);
    sum += static_cast<double>(data.weight(label)) * own.entropy(data, label, own.log_sum());
    if (own.chosen() == label) atomicAdd(found + label, 1U);
    if (own.chosen() != label) atomicAdd(either + own.chosen(), 1U);
    if (label < data.classes) atomicAdd(either + label, 1U);
  }
  sum = block_sum(sum, slots);  // behind which all have counted
  if (threadIdx.x == 0) sums[blockIdx.y * gridDim.x + blockIdx.x] = sum;
  unsigned long long* total = counts + static_cast<std::int64_t>(blockIdx.y) * 2 * data.classes;
  for (int i = static_cast<int>(threadIdx.x); i < 2 * data.classes; i += static_cast<int>(blockDim.x))
    atomicAdd(total + i, static_cast<unsigned long long>(found[i]));
}
__global__ void __launch_bounds__(block_threads)
    add_judgements(const double* sums, const std::int64_t* counts, const StepState* state, int parts, int classes,
                   double positions, double* score) {
  __shared__ double slots[block_threads];
  const double entropy = sum_of_valid(sums, state, parts, slots);
  double quality = 0.0;
  for (int sample = static_cast<int>(threadIdx.x); sample < state->valid; sample += static_cast<int>(blockDim.x)) {
    const auto size = static_cast<std::size_t>(classes);
    const std::int64_t* both = counts + 2 * size * static_cast<std::size_t>(sample);
    quality += mean_iou_of({both, size}, {both + size, size});
  }
  quality = block_sum(quality, slots);
  if (threadIdx.x != 0) return;
  score[0] += quality;
  score[1] += entropy / positions;
  score[2] += static_cast<double>(state->valid);
}

// --- Positions of many classes, a block each -------------------------------------------------------------------------

template <class T>
__global__ void __launch_bounds__(block_threads)
    cross_entropy_of_many(const T* logits, const void* labels, const StepState* state, const LossScale* scaler,
                          const __grid_constant__ Labelled data, double scale, T* diff, double* sums) {
  __shared__ double slots[block_threads];
  __shared__ Largest candidates[block_threads];
  const std::int64_t row = blockIdx.x;
  const T* from = logits + row * data.stored;
  T* to = diff + row * data.stored;
  const bool counts = row < static_cast<std::int64_t>(state->valid) * data.positions;
  const int label = counts ? data.label(labels, row) : 0;
  const Position found = counts ? position_of(from, label, data, slots, candidates) : Position{};
  const float factor =
      counts ? (scaler == nullptr ? 1.0F : scaler->scale) * static_cast<float>(scale) * data.weight(label) : 0.0F;
  for (int of = static_cast<int>(threadIdx.x); of < data.stored; of += static_cast<int>(blockDim.x)) {
    float value = 0.0F;
    if (counts && of < data.classes) {
      const float p = std::exp(to_float(from[of]) - found.largest.value - found.log_sum);
      value = factor * (p - data.share(of, label));
    }
    to[of] = from_float<T>(value);
  }
  if (threadIdx.x == 0) sums[row] = found.entropy;
}

/// Entropies and right answers, side by side.
template <class T>
__global__ void __launch_bounds__(block_threads)
    judge_answers(const T* logits, const void* labels, const StepState* state, const __grid_constant__ Labelled data,
                  double* entropies, double* right) {
  __shared__ double slots[block_threads];
  __shared__ Largest candidates[block_threads];
  const std::int64_t row = blockIdx.x;
  if (row >= static_cast<std::int64_t>(state->valid) * data.positions) return;
  const int label = data.label(labels, row);
  const Position found = position_of(logits + row * data.stored, label, data, slots, candidates);
  if (threadIdx.x != 0) return;
  entropies[row] = found.entropy;
  right[row] = found.largest.at == label ? 1.0 : 0.0;
}
__global__ void __launch_bounds__(block_threads)
    add_answers(const double* entropies, const double* right, const StepState* state, int positions, double* score) {
  __shared__ double slots[block_threads];
  const double entropy = sum_of_valid(entropies, state, positions, slots);
  const double found = sum_of_valid(right, state, positions, slots);
  if (threadIdx.x != 0) return;
  score[0] += found / positions;
  score[1] += entropy / positions;
  score[2] += static_cast<double>(state->valid);
}

constexpr int many_classes = 33;  // from so many on a position is worth a block
[[nodiscard]] std::int64_t rows_of(const Labelled& data) { return data.samples * data.positions; }
[[nodiscard]] LaunchShape one_block_each(std::int64_t rows) {
  LaunchShape shape;
  shape.grid = dim3(static_cast<unsigned>(rows));
  shape.block.x = block_threads;
  return shape;
}

// --- Plans -----------------------------------------------------------------------------------------------------------

/// Calls body(Type<T>{}, whether a row is one pack, as a constant).
template <class Body>
void with_logits(DType type, const Labelled& data, Body&& body) {
  with_type(type, [&]<class T>(Type<T>) {
    if (data.stored == row_width) return body(Type<T>{}, std::true_type{});
    return body(Type<T>{}, std::false_type{});
  });
}

Planned plan_criterion(const CrossEntropy& criterion, const Loss& loss, const Operands& operands) {
  const TensorDesc& logits = operands.inputs[0];
  const Labelled data(criterion, logits, operands.inputs[1]);
  const bool scaled = operands.inputs.size() > 3;
  const bool many = data.classes >= many_classes;
  const double scale = 1.0 / static_cast<double>(data.positions * loss.global_batch);
  auto body = [=, type = logits.dtype](cudaStream_t stream, std::span<void* const> args) {
    const auto* state = static_cast<const StepState*>(args[2]);
    const auto* scaler = scaled ? static_cast<const LossScale*>(args[3]) : nullptr;
    const std::span<void* const> results = args.subspan(scaled ? 4 : 3);
    auto* sums = static_cast<double*>(results[2]);
    with_logits(type, data, [&]<class T, class Packed>(Type<T>, Packed) {
      const auto* from = static_cast<const T*>(args[0]);
      auto* to = static_cast<T*>(results[1]);
      if (many) {
        launch("cross_entropy_of_many", cross_entropy_of_many<T>, one_block_each(rows_of(data)), stream, from, args[1],
               state, scaler, data, scale, to, sums);
      } else {
        launch("cross_entropy", cross_entropy<T, Packed::value>, data.blocks(), stream, from, args[1], state, scaler,
               data, scale, to, sums);
      }
    });
    const int parts = many ? static_cast<int>(data.positions) : data.parts;
    launch("add_entropies", add_entropies, one_block(block_threads), stream, sums, state, parts, scale,
           static_cast<float*>(results[0]));
  };
  const std::size_t sums = many ? static_cast<std::size_t>(rows_of(data)) : data.sums();
  return planned(body, {operands.outputs[0], {operands.outputs[1].shape, logits.dtype, logits.layout}}, {},
                 sums * sizeof(double));
}

Planned plan_answers(const Labelled& data, const Operands& operands) {
  Scratch scratch;
  const std::size_t bytes = static_cast<std::size_t>(rows_of(data)) * sizeof(double);
  const std::size_t entropies_at = scratch.take(bytes), right_at = scratch.take(bytes);
  auto body = [=, type = operands.inputs[0].dtype](cudaStream_t stream, std::span<void* const> args) {
    const auto* state = static_cast<const StepState*>(args[2]);
    auto* memory = static_cast<std::byte*>(args[4]);
    auto* entropies = reinterpret_cast<double*>(memory + entropies_at);
    auto* right = reinterpret_cast<double*>(memory + right_at);
    with_type(type, [&]<class T>(Type<T>) {
      launch("judge_answers", judge_answers<T>, one_block_each(rows_of(data)), stream, static_cast<const T*>(args[0]),
             args[1], state, data, entropies, right);
    });
    launch("add_answers", add_answers, one_block(block_threads), stream, entropies, right, state,
           static_cast<int>(data.positions), static_cast<double*>(args[3]));
  };
  return planned(body, operands.outputs, {}, scratch.bytes());
}

Planned plan_metric(const CrossEntropy& criterion, Judge judge, const Operands& operands) {
  const TensorDesc& logits = operands.inputs[0];
  const Labelled data(criterion, logits, operands.inputs[1]);
  if (judge == Judge::top1) return plan_answers(data, operands);
  TRAINMARK_CHECK(data.classes <= static_cast<int>(most_constants), "more classes are refused");
  Scratch scratch;
  const std::size_t count_bytes =
      static_cast<std::size_t>(data.samples * 2 * data.classes) * sizeof(unsigned long long);
  const std::size_t sums_at = scratch.take(data.sums() * sizeof(double)), counts_at = scratch.take(count_bytes);
  auto body = [=, type = logits.dtype](cudaStream_t stream, std::span<void* const> args) {
    const auto* state = static_cast<const StepState*>(args[2]);
    auto* memory = static_cast<std::byte*>(args[4]);
    auto* sums = reinterpret_cast<double*>(memory + sums_at);
    void* counts = memory + counts_at;
    check(cudaMemsetAsync(counts, 0, count_bytes, stream), "clearing device memory");
    with_logits(type, data, [&]<class T, class Packed>(Type<T>, Packed) {
      launch("judge_labels", judge_labels<T, Packed::value>, data.blocks(), stream, static_cast<const T*>(args[0]),
             args[1], state, data, sums, static_cast<unsigned long long*>(counts));
    });
    launch("add_judgements", add_judgements, one_block(block_threads), stream, sums,
           static_cast<const std::int64_t*>(counts), state, data.parts, data.classes,
           static_cast<double>(data.positions), static_cast<double*>(args[3]));
  };
  return planned(body, operands.outputs, {}, scratch.bytes());
}

}  // namespace

Planned plan_op(const Loss& loss, const Operands& operands) {
  return std::visit([&](const auto& criterion) { return plan_criterion(criterion, loss, operands); }, loss.criterion);
}

Planned plan_op(const Metric& metric, const Operands& operands) {
  return std::visit([&](const auto& criterion) { return plan_metric(criterion, metric.judge, operands); },
                    metric.criterion);
}

}  // namespace trainmark::cuda

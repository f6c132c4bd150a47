// Labelled positions as kernels see them: what a criterion asks of them, and what a block finds of one that has many
// classes.
#pragma once

#include <cmath>

#include "backend/cuda/element.cuh"
#include "backend/cuda/plans.hpp"

namespace trainmark::cuda {

inline constexpr std::int64_t positions_each = 8;  // of a thread
inline constexpr std::int64_t most_label_parts = 1024;

/// Samples of positions with a logit for each class, channels-last. Block (part, sample) takes some positions.
struct Labelled {
  std::int64_t samples, positions;
  int classes, stored, parts;
  bool wide, weighted;  // labels are i32; classes have weights
  float others;         // what a class has that is not the label
  float weights[most_constants];
  Labelled(const CrossEntropy& criterion, const TensorDesc& logits, const TensorDesc& labels)
      : samples(logits.shape[0]),
        positions(logits.shape.elements() / (logits.shape[0] * logits.shape[1])),
        classes(static_cast<int>(logits.shape[1])),
        stored(static_cast<int>(stored_shape(logits)[1])),
        parts(static_cast<int>(
            std::clamp<std::int64_t>(positions / (block_threads * positions_each), 1, most_label_parts))),
        wide(labels.dtype == DType::i32),
        weighted(!criterion.weights.empty()),
        others(static_cast<float>(criterion.others)),
        weights{} {
    TRAINMARK_CHECK(criterion.weights.size() <= most_constants, "more classes are refused");
    TRAINMARK_CHECK(samples < 65536, "a batch is one axis of a grid");
    std::ranges::copy(criterion.weights, weights);
  }
  [[nodiscard]] LaunchShape blocks() const {
    LaunchShape shape;
    shape.grid = dim3(static_cast<unsigned>(parts), static_cast<unsigned>(samples));
    shape.block.x = block_threads;
    return shape;
  }
  [[nodiscard]] std::size_t sums() const { return static_cast<std::size_t>(samples * parts); }
  [[nodiscard]] __device__ int label(const void* labels, std::int64_t row) const {
    return wide ? static_cast<const std::int32_t*>(labels)[row] : static_cast<const std::uint8_t*>(labels)[row];
  }
  [[nodiscard]] __device__ float weight(int label) const { return weighted ? weights[label] : 1.0F; }
  /// What the label leaves to a class.
  [[nodiscard]] __device__ float share(int of, int label) const {
    return of == label ? 1.0F - static_cast<float>(classes - 1) * others : others;
  }
};

struct Largest {
  float value;
  int at;
};
/// The largest of all threads' values, of equals that which stands first.
__device__ inline Largest block_largest(Largest own, Largest* slots) {
  __syncthreads();
  slots[threadIdx.x] = own;
  __syncthreads();
  for (unsigned half = blockDim.x / 2; half > 0; half /= 2) {
    if (threadIdx.x < half) {
      const Largest other = slots[threadIdx.x + half];
      Largest& mine = slots[threadIdx.x];
      if (other.value > mine.value || (other.value == mine.value && other.at < mine.at)) mine = other;
    }
    __syncthreads();
  }
  return slots[0];
}

/// What a block finds of its position, the same in all threads.
struct Position {
  Largest largest;
  float log_sum;   // of exp(logit - largest)
  double entropy;  // -weight sum of q log p
};
template <class T>
__device__ Position position_of(const T* row, int label, const Labelled& data, double* slots, Largest* candidates) {
  Largest own{-INFINITY, data.classes};
  for (int of = static_cast<int>(threadIdx.x); of < data.classes; of += static_cast<int>(blockDim.x)) {
    const float value = to_float(row[of]);
    if (value > own.value || own.at == data.classes) own = {value, of};
  }
  Position found{};
  found.largest = block_largest(own, candidates);
  double sum = 0.0, expected = 0.0;
  for (int of = static_cast<int>(threadIdx.x); of < data.classes; of += static_cast<int>(blockDim.x)) {
    const float value = to_float(row[of]) - found.largest.value;
    sum += static_cast<double>(std::exp(value));
    if (of == label || data.others > 0.0F)
      expected += static_cast<double>(data.share(of, label)) * static_cast<double>(value);
  }
  sum = block_sum(sum, slots);
  expected = block_sum(expected, slots);
  found.log_sum = std::log(static_cast<float>(sum));
  found.entropy = static_cast<double>(data.weight(label)) * (static_cast<double>(found.log_sum) - expected);
  return found;
}

}  // namespace trainmark::cuda

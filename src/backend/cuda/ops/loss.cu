// Losses and metrics: a handful of numbers a sample, summed in fp64 by one block in a fixed order. Padding beyond the
// valid count adds nothing.
#include "backend/cuda/element.cuh"
#include "backend/cuda/plans.hpp"

namespace trainmark::cuda {
namespace {

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

}  // namespace

Planned plan_op(const Loss& loss, const Operands& operands) {
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

Planned plan_op(const Metric&, const Operands& operands) {
  const std::int64_t samples = operands.inputs[0].shape[0];
  const std::int64_t outputs = operands.inputs[0].shape.elements() / samples;
  auto body = [=](cudaStream_t stream, std::span<void* const> args) {
    launch("error_sums", error_sums, one_block(samples * outputs), stream, static_cast<const float*>(args[0]),
           static_cast<const float*>(args[1]), static_cast<const StepState*>(args[2]), static_cast<double*>(args[3]),
           outputs);
  };
  return planned(body, operands.outputs);
}

}  // namespace trainmark::cuda

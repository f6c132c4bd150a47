// The dynamic loss scale's own operations: looking for gradients that are not finite, and moving the scale at the end
// of a step. The loss multiplies by the scale (loss.cu), the update divides by it (update.cu).
#include <algorithm>

#include "backend/cuda/launch.hpp"
#include "backend/cuda/plans.hpp"
#include "trainmark/optim.hpp"

namespace trainmark::cuda {
namespace {

constexpr unsigned threads = 256;
constexpr std::int64_t most_blocks = 1024;

__global__ void __launch_bounds__(threads)
    check_gradients(const float* gradients, std::int64_t count, LossScale* scaler) {
  const std::int64_t stride = static_cast<std::int64_t>(gridDim.x) * threads;
  bool finite = true;
  for (std::int64_t at = static_cast<std::int64_t>(blockIdx.x) * threads + threadIdx.x; at < count; at += stride)
    finite = finite && is_finite(gradients[at]);
  // Whoever comes first or last: the outcome is the same.
  if (!finite) atomicExch(&scaler->found_inf, 1);
}

__global__ void adjust_scale(LossScaling rule, LossScale* scaler) { adjust(rule, *scaler); }

}  // namespace

Planned plan_op(const GradientCheck& check, const Operands&) {
  const std::int64_t count = check.range.size();
  const auto blocks = static_cast<unsigned>(std::clamp<std::int64_t>((count + threads - 1) / threads, 1, most_blocks));
  auto body = [count, blocks](cudaStream_t stream, std::span<void* const> args) {
    launch("check_gradients", check_gradients, {.grid = dim3(blocks), .block = dim3(threads)}, stream,
           static_cast<const float*>(args[0]), count, static_cast<LossScale*>(args[1]));
  };
  return planned(std::move(body), {});
}

Planned plan_op(const AdjustLossScale& adjustment, const Operands&) {
  auto body = [rule = adjustment.rule](cudaStream_t stream, std::span<void* const> args) {
    launch("adjust_scale", adjust_scale, {}, stream, rule, static_cast<LossScale*>(args[0]));
  };
  return planned(std::move(body), {});
}

}  // namespace trainmark::cuda

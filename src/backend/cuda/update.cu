// Optimizer updates, and sums of gradients over batches, over flat ranges of the arenas, one pass over memory. The rate
// comes from the step's state on the device, so that a captured step follows the schedule.
#include "backend/cuda/element.cuh"
#include "backend/cuda/plans.hpp"
#include "trainmark/optim.hpp"

namespace trainmark::cuda {
namespace {

/// The first `head` elements lie before the first aligned access and have a thread each behind the packs' threads.
template <int Width>
__global__ void __launch_bounds__(block_threads)
    update_momentum(float* weights, const float* gradients, float* velocity, std::int64_t head, std::int64_t count,
                    const StepState* state, const LossScale* scaler, SgdMomentum rule, float decay) {
  if (scaler != nullptr && scaler->found_inf != 0) return;
  const std::int64_t packs = (count - head + Width - 1) / Width;
  const float rate = state->rate;
  const float unscale = scaler == nullptr ? 1.0F : 1.0F / scaler->scale;
  if (item() >= packs) {
    const std::int64_t at = item() - packs;
    if (at < head) update(rule, rate, decay, unscale * gradients[at], velocity[at], weights[at]);
    return;
  }
  const std::int64_t at = head + item() * Width;
  const std::int64_t left = count - at;
  const Pack<float, Width> gradient = load<Width>(gradients + at, left);
  Pack<float, Width> weight = load<Width>(weights + at, left);
  Pack<float, Width> speed = load<Width>(velocity + at, left);
  for (int i = 0; i < Width; ++i)
    update(rule, rate, decay, unscale * gradient.values[i], speed.values[i], weight.values[i]);
  store<Width>(velocity + at, speed, left);
  store<Width>(weights + at, weight, left);
}

template <int Width>
__global__ void __launch_bounds__(block_threads)
    accumulate_gradients(float* gradients, float* sums, std::int64_t count, bool last) {
  const std::int64_t at = item() * Width;
  if (at >= count) return;
  const Pack<float, Width> gradient = load<Width>(gradients + at, count - at);
  Pack<float, Width> sum = load<Width>(sums + at, count - at);
  for (int i = 0; i < Width; ++i)
    sum.values[i] += gradient.values[i];
  if (last) store<Width>(gradients + at, sum, count - at);
  store<Width>(sums + at, last ? Pack<float, Width>{} : sum, count - at);
}

Planned plan_rule(const SgdMomentum& rule, float decay, std::int64_t count, bool scaled) {
  auto body = [rule, decay, count, scaled](cudaStream_t stream, std::span<void* const> args) {
    auto* weights = static_cast<float*>(args[0]);
    const auto* gradients = static_cast<const float*>(args[1]);
    auto* velocity = static_cast<float*>(args[2]);
    // Ranges of arenas start anywhere, but at the same place in each: then all are aligned from the same element on.
    const std::int64_t off = misaligned_bytes(weights);
    const bool together = off == misaligned_bytes(gradients) && off == misaligned_bytes(velocity);
    constexpr int width = vector_width<float>;
    const std::int64_t before = (access_bytes - off) % access_bytes / static_cast<std::int64_t>(sizeof(float));
    const std::int64_t head = together ? std::min(before, count) : 0;
    const std::int64_t items = together ? head + ceil_div(count - head, width) : count;
    launch("update_momentum", together ? update_momentum<width> : update_momentum<1>, one_thread_each(items), stream,
           weights, gradients, velocity, head, count, static_cast<const StepState*>(args[3]),
           scaled ? static_cast<const LossScale*>(args[4]) : nullptr, rule, decay);
  };
  return planned(body, {});
}

}  // namespace

Planned plan_accumulate(const Accumulate& accumulate) {
  auto body = [count = accumulate.range.size(), last = accumulate.last](cudaStream_t stream,
                                                                        std::span<void* const> args) {
    auto* gradients = static_cast<float*>(args[0]);
    auto* sums = static_cast<float*>(args[1]);
    const bool aligned = misaligned_bytes(gradients) == 0 && misaligned_bytes(sums) == 0;
    constexpr int width = vector_width<float>;
    launch("accumulate_gradients", aligned ? accumulate_gradients<width> : accumulate_gradients<1>,
           one_thread_each(aligned ? ceil_div(count, width) : count), stream, gradients, sums, count, last);
  };
  return planned(std::move(body), {});
}

Planned plan_update(const Update& update) {
  return std::visit(
      [&update](const auto& rule) { return plan_rule(rule, update.decay, update.range.size(), update.scaled); },
      update.rule);
}

}  // namespace trainmark::cuda

// Optimizer updates, and sums of gradients over batches, over flat ranges of the arenas, one pass over memory. The rate
// comes from the step's state on the device, so that a captured step follows the schedule.
#include <initializer_list>

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
__device__ void accumulate_pack(float* gradients, float* sums, std::int64_t left, bool last) {
  const Pack<float, Width> gradient = load<Width>(gradients, left);
  Pack<float, Width> sum = load<Width>(sums, left);
  for (int i = 0; i < Width; ++i)
    sum.values[i] += gradient.values[i];
  if (last) store<Width>(gradients, sum, left);
  store<Width>(sums, last ? Pack<float, Width>{} : sum, left);
}
/// As above: packs first, then the `head` elements before them.
template <int Width>
__global__ void __launch_bounds__(block_threads)
    accumulate_gradients(float* gradients, float* sums, std::int64_t head, std::int64_t count, bool last) {
  const std::int64_t packs = (count - head + Width - 1) / Width;
  if (item() < packs) {
    const std::int64_t at = head + item() * Width;
    accumulate_pack<Width>(gradients + at, sums + at, count - at, last);
  } else if (item() - packs < head) {
    const std::int64_t at = item() - packs;
    accumulate_pack<1>(gradients + at, sums + at, 1, last);
  }
}

/// Ranges of arenas start anywhere, but at the same place in each: then all are aligned from the same element on.
struct Alignment {
  bool together = false;
  std::int64_t head = 0, items = 0;  ///< elements before the first aligned one; threads

  Alignment(std::int64_t count, const void* first, std::initializer_list<const void*> others) : items(count) {
    const std::int64_t off = misaligned_bytes(first);
    together = std::ranges::all_of(others, [off](const void* other) { return misaligned_bytes(other) == off; });
    if (!together) return;
    const std::int64_t before = (access_bytes - off) % access_bytes / static_cast<std::int64_t>(sizeof(float));
    head = std::min(before, count);
    items = head + ceil_div(count - head, vector_width<float>);
  }
};

Planned plan_rule(const SgdMomentum& rule, float decay, std::int64_t count, bool scaled) {
  auto body = [rule, decay, count, scaled](cudaStream_t stream, std::span<void* const> args) {
    auto* weights = static_cast<float*>(args[0]);
    const auto* gradients = static_cast<const float*>(args[1]);
    auto* velocity = static_cast<float*>(args[2]);
    const Alignment aligned(count, weights, {gradients, velocity});
    constexpr int width = vector_width<float>;
    launch("update_momentum", aligned.together ? update_momentum<width> : update_momentum<1>,
           one_thread_each(aligned.items), stream, weights, gradients, velocity, aligned.head, count,
           static_cast<const StepState*>(args[3]), scaled ? static_cast<const LossScale*>(args[4]) : nullptr, rule,
           decay);
  };
  return planned(body, {});
}

}  // namespace

Planned plan_op(const Accumulate& accumulate, const Operands&) {
  auto body = [count = accumulate.range.size(), last = accumulate.last](cudaStream_t stream,
                                                                        std::span<void* const> args) {
    auto* gradients = static_cast<float*>(args[0]);
    auto* sums = static_cast<float*>(args[1]);
    const Alignment aligned(count, gradients, {sums});
    launch("accumulate_gradients",
           aligned.together ? accumulate_gradients<vector_width<float>> : accumulate_gradients<1>,
           one_thread_each(aligned.items), stream, gradients, sums, aligned.head, count, last);
  };
  return planned(std::move(body), {});
}

Planned plan_op(const Update& update, const Operands&) {
  return std::visit(
      [&update](const auto& rule) { return plan_rule(rule, update.decay, update.range.size(), update.scaled); },
      update.rule);
}

}  // namespace trainmark::cuda

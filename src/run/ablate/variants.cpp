#include "run/ablate/variants.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

namespace trainmark {

Turns::Turns(const Bench& bench, const Batch& first)
    : bench_(bench), before_(bench.state.snapshot()), feed_(bench.backend, bench.local_batch) {
  const auto keep = [this](std::span<const std::byte> bytes) {
    batch_.emplace_back(bytes.begin(), bytes.end(), &bench_.backend.pinned_memory());
  };
  for (const auto& field : first.fields)
    keep(field);
  StepState state;
  state.valid = static_cast<std::int32_t>(first.valid);
  std::vector<std::byte> told(step_state_bytes(bench.local_batch));
  std::memcpy(told.data(), &state, sizeof state);
  std::ranges::copy(std::as_bytes(first.ids), told.begin() + sizeof state);
  keep(told);
  inputs_.assign(batch_.begin(), batch_.end());
}

std::vector<double> Turns::take(const Variant& variant, int steps) {
  bench_.state.restore(before_);
  const Group& ranks = bench_.world.all();
  const bool loaded = variant.feeding == Feeding::loaded;
  for (const int slot : {0, 1})
    if (!loaded) variant.programs.train->upload(slot, inputs_);
  const auto go = [&](int count, bool timed) {
    loaded ? loaded_steps(variant, count, timed) : fixed_steps(variant, count);
    static_cast<void>(bench_.state.loss());  // waits for the last step
  };
  go(bench_.lead_steps, false);
  ranks.barrier();
  const Clock clock;
  go(steps, true);
  const double seconds = clock.seconds() / steps;
  log_.settle(ranks);
  return ranks.all_gather(seconds);
}

/// As Trainer::step does it. A batch always waits, so that the first of these steps is like all others; the one that is
/// left in the end is launched in the untimed steps of the next turn.
void Turns::loaded_steps(const Variant& variant, int steps, bool timed) {
  for (int step = 0; step < steps; ++step) {
    const Clock clock;
    static_cast<void>(feed_.take_times());
    double input = 0.0, upload = 0.0;
    const auto bring = [&] {
      const Feed::Brought brought = feed_.bring(*variant.programs.train, *variant.loader, {}, 0);
      waiting_ = brought.slot;
      input += brought.exposed_seconds;
      upload += brought.upload.exposed_seconds;
    };
    if (!waiting_) bring();
    for (std::int64_t left = bench_.batches_a_step - 1; left >= 0; --left) {
      feed_.launch(left > 0 ? *variant.programs.accumulate : *variant.programs.train, *std::exchange(waiting_, {}));
      bring();
    }
    static_cast<void>(bench_.state.loss());
    const StepTimes times = feed_.take_times();
    const double seconds = clock.seconds();
    if (timed) log_.add(seconds, StepTerms(seconds, input, upload, times.seconds, times.exposed_seconds));
    if (log_.is_full()) log_.settle(bench_.world.all());
    bench_.alive();
  }
}

void Turns::fixed_steps(const Variant& variant, int steps) {
  int slot = 0;
  for (int step = 0; step < steps; ++step) {
    for (std::int64_t left = bench_.batches_a_step - 1; left >= 0; --left) {
      (left > 0 ? variant.programs.accumulate : variant.programs.train)->step(slot);
      slot ^= 1;
      if (variant.feeding == Feeding::uploaded) variant.programs.train->upload(slot, inputs_);
    }
    if (variant.looks) static_cast<void>(bench_.state.loss());
    bench_.alive();
  }
}

}  // namespace trainmark

#include "run/train/feed.hpp"

#include <algorithm>
#include <cstring>

namespace trainmark {
namespace {

/// A copy from memory that is not pinned is staged by the driver while the host waits.
std::pmr::vector<std::byte> pinned_state(Backend& backend, std::int64_t local_batch) {
  return {step_state_bytes(local_batch), std::byte{0}, &backend.pinned_memory()};
}

}  // namespace

Feed::Feed(Backend& backend, std::int64_t local_batch)
    : slots_{Slot{pinned_state(backend, local_batch)}, Slot{pinned_state(backend, local_batch)}} {}

Feed::Brought Feed::bring(Program& program, Loader& from, Rates rates, std::int64_t epoch) {
  if (slots_.at(static_cast<std::size_t>(next_)).waits) next_ ^= 1;
  Brought brought;
  brought.slot = next_;
  Slot& slot = slots_.at(static_cast<std::size_t>(brought.slot));
  TRAINMARK_CHECK(!slot.waits, "two batches wait already");

  const Clock clock;
  const Batch& batch = from.next();
  brought.waited_seconds = clock.seconds();
  StepState state;
  state.rate = rates.now;
  state.previous_rate = rates.before;
  state.valid = static_cast<std::int32_t>(batch.valid);
  state.epoch = epoch;
  std::memcpy(slot.step_state.data(), &state, sizeof(state));
  std::ranges::copy(std::as_bytes(batch.ids), slot.step_state.begin() + sizeof(state));
  inputs_.assign(batch.fields.begin(), batch.fields.end());
  inputs_.emplace_back(slot.step_state);
  brought.upload = program.upload(brought.slot, inputs_);
  slot.waits = true;
  next_ ^= 1;
  return brought;
}

void Feed::launch(Program& program, int slot) {
  Slot& launched = slots_.at(static_cast<std::size_t>(slot));
  TRAINMARK_CHECK(launched.waits, "there is no batch in this slot");
  program.step(slot);
  launched.waits = false;
}

}  // namespace trainmark

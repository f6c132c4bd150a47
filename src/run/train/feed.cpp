#include "run/train/feed.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

namespace trainmark {
namespace {

/// A copy from memory that is not pinned is staged by the driver while the host waits.
std::pmr::vector<std::byte> pinned_state(Backend& backend, std::int64_t local_batch) {
  return {step_state_bytes(local_batch), std::byte{0}, &backend.pinned_memory()};
}

}  // namespace

Feed::Feed(Backend& backend, std::int64_t local_batch, Trace* trace)
    : trace_(trace != nullptr && trace->is_on() ? trace : nullptr),
      clock_(trace_ != nullptr ? trace_->clock() : Clock()),
      slots_{Slot{pinned_state(backend, local_batch)}, Slot{pinned_state(backend, local_batch)}} {}

Feed::Brought Feed::bring(Program& program, Loader& from, Rates rates, std::int64_t epoch) {
  if (slots_.at(static_cast<std::size_t>(next_)).waits) next_ ^= 1;
  Brought brought;
  brought.slot = next_;
  Slot& slot = slots_.at(static_cast<std::size_t>(brought.slot));
  TRAINMARK_CHECK(!slot.waits, "two batches wait already");

  const double begin = clock_.seconds();
  const Batch& batch = from.next();
  const double end = clock_.seconds();
  brought.waited_seconds = end - begin;
  brought.exposed_seconds = idle(begin, end);
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
  if (trace_ != nullptr && trace_->traces_step()) {
    trace_->waited(begin, end);
    trace_->uploaded(end, clock_.seconds());
  }
  slot.waits = true;
  next_ ^= 1;
  return brought;
}

void Feed::launch(Program& program, int slot) {
  Slot& launched = slots_.at(static_cast<std::size_t>(slot));
  TRAINMARK_CHECK(launched.waits, "there is no batch in this slot");
  note_times(slot);
  launched.launched_at = clock_.seconds();
  program.step(slot);
  launched.waits = false;
  launched.launched = &program;
  last_launched_ = slot;
}

/// Seconds between the two points in time for which nothing ran: launches run one after the other, so the last one
/// tells.
double Feed::idle(double from, double to) {
  const Slot& last = slots_.at(static_cast<std::size_t>(last_launched_));
  if (last.launched != nullptr) {
    if (!last.launched->times(last_launched_)) return 0.0;
    note_times(last_launched_ ^ 1);  // came before it
    note_times(last_launched_);
  }
  return std::max(0.0, to - std::max(from, free_at_));
}

/// A batch's upload into a slot has waited for the step that used it before: its times are there.
void Feed::note_times(int slot) {
  Slot& used = slots_.at(static_cast<std::size_t>(slot));
  if (used.launched == nullptr) return;
  const Program& program = *std::exchange(used.launched, nullptr);
  if (const std::optional<StepTimes> times = program.times(slot)) {
    times_.seconds += times->seconds;
    times_.exposed_seconds += times->exposed_seconds;
    const double begin = std::max(free_at_, used.launched_at);
    free_at_ = begin + times->seconds;
    if (trace_ != nullptr && trace_->traces_step()) trace_->ran(program, slot, begin, *times);
  }
}

Feed::Ended Feed::take_ended(int slot, bool just_now) {
  if (slot == last_launched_) note_times(slot ^ 1);
  note_times(slot);
  const double now = clock_.seconds();
  free_at_ = just_now ? now : std::min(free_at_, now);
  return {std::exchange(times_, {}), free_at_};
}

}  // namespace trainmark

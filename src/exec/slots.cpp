// The memory that programs of one state share: sized by their wishes, allocated once.
#include "exec/slots.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace trainmark {

InputSlots::InputSlots(Backend& owner) : backend_(owner) {
  for (auto* events : {&uploaded, &used})
    for (auto& event : *events)
      event = owner.make_event();
  upload_begun = owner.make_event();
  for (auto& event : step_begun)
    event = owner.make_event();
}

InputSlots::Memory::Memory(Backend& backend, const Wishes& wishes) : pool(backend, wishes.pool_bytes) {
  for (std::size_t lane = 0; lane < lanes; ++lane)
    scratch[lane] = std::make_unique<Arena>(backend, wishes.scratch_bytes[lane]);
  for (const auto& [name, bytes] : wishes.inputs)
    for (auto& slot : inputs.emplace_back())
      slot = std::make_unique<Arena>(backend, bytes);
}

void InputSlots::grow(std::size_t& size, std::size_t bytes) const {
  if (bytes <= size) return;
  TRAINMARK_CHECK(memory_ == nullptr, "a program was made after another was used, and needs more than they share");
  size = bytes;
}

void InputSlots::want_pool(std::size_t bytes) { grow(wishes_.pool_bytes, bytes); }
void InputSlots::want_scratch(Lane lane, std::size_t bytes) {
  grow(wishes_.scratch_bytes.at(static_cast<std::size_t>(lane)), bytes);
}
void InputSlots::want_input(const std::string& name, std::size_t bytes) {
  auto& inputs = wishes_.inputs;
  auto found = std::ranges::find(inputs, name, [](const auto& input) { return input.first; });
  if (found == inputs.end()) {
    TRAINMARK_CHECK(memory_ == nullptr, fmt::format("input {} came after the slots were allocated", name));
    found = inputs.insert(found, {name, 0});
  }
  grow(found->second, bytes);
}

void InputSlots::want_instead(Wishes wishes) {
  TRAINMARK_CHECK(memory_ == nullptr, "programs use what they share already");
  wishes_ = std::move(wishes);
}

void InputSlots::try_out() {
  TRAINMARK_CHECK(memory_ == nullptr, "programs use what they share already");
  static_cast<void>(Memory(backend_, wishes_));
}

void InputSlots::fix() {
  if (memory_ == nullptr) memory_ = std::make_unique<Memory>(backend_, wishes_);
}

std::byte* InputSlots::input(int slot, const std::string& name) const {
  const auto& inputs = wishes_.inputs;
  const auto found = std::ranges::find(inputs, name, [](const auto& input) { return input.first; });
  TRAINMARK_CHECK(memory_ != nullptr && found != inputs.end(), name);
  const auto at = static_cast<std::size_t>(found - inputs.begin());
  return memory_->inputs.at(at).at(static_cast<std::size_t>(slot))->data();
}

UploadTimes InputSlots::upload_times(int slot) const {
  const StreamEvent& end = *uploaded.at(static_cast<std::size_t>(slot));
  const double seconds = end.seconds_since(*upload_begun).value_or(0.0);
  // Empty: the step still runs, and has hidden the upload altogether.
  const double idle = last_used == nullptr ? seconds : end.seconds_since(*last_used).value_or(0.0);
  return {seconds, std::clamp(idle, 0.0, seconds)};
}

std::shared_ptr<InputSlots> make_input_slots(Backend& backend) { return std::make_shared<InputSlots>(backend); }

struct SlotTrial::Before {
  InputSlots::Wishes wishes;
};
SlotTrial::SlotTrial(std::shared_ptr<InputSlots> slots)
    : slots_(std::move(slots)), before_(std::make_unique<Before>(slots_->wishes())) {}
SlotTrial::~SlotTrial() {
  if (before_ != nullptr) slots_->want_instead(std::move(before_->wishes));
}
void SlotTrial::allocate() { slots_->try_out(); }
void SlotTrial::keep() { before_.reset(); }

}  // namespace trainmark

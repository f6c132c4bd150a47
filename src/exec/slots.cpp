// The memory that programs of one state share: sized by their wishes, allocated once.
#include "exec/slots.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace trainmark {

InputSlots::InputSlots(Backend& owner) : backend_(owner) {
  for (auto* events : {&uploaded, &used})
    for (auto& event : *events)
      event = owner.make_event();
  upload_begun = owner.make_event();
  for (auto& event : step_begun)
    event = owner.make_event();
}

void InputSlots::grow(std::size_t& size, std::size_t bytes) const {
  if (bytes <= size) return;
  TRAINMARK_CHECK(!fixed_, "a program was made after another was used, and needs more memory than they share");
  size = bytes;
}

void InputSlots::want_pool(std::size_t bytes) { grow(pool_bytes_, bytes); }
void InputSlots::want_scratch(Lane lane, std::size_t bytes) {
  grow(scratch_bytes_.at(static_cast<std::size_t>(lane)), bytes);
}
void InputSlots::want_input(const std::string& name, std::size_t bytes) {
  auto found = std::ranges::find(inputs_, name, &Input::name);
  if (found == inputs_.end()) {
    TRAINMARK_CHECK(!fixed_, fmt::format("input {} came after the slots were allocated", name));
    found = inputs_.insert(found, Input{name, 0, {}});
  }
  grow(found->bytes, bytes);
}

void InputSlots::fix() {
  if (fixed_) return;
  pool_ = std::make_unique<Arena>(backend_, pool_bytes_);
  for (std::size_t lane = 0; lane < lanes; ++lane)
    scratch_[lane] = std::make_unique<Arena>(backend_, scratch_bytes_[lane]);
  for (Input& input : inputs_)
    for (auto& memory : input.memory)
      memory = std::make_unique<Arena>(backend_, input.bytes);
  fixed_ = true;
}

std::byte* InputSlots::input(int slot, const std::string& name) const {
  const auto found = std::ranges::find(inputs_, name, &Input::name);
  TRAINMARK_CHECK(fixed_ && found != inputs_.end(), name);
  return found->memory.at(static_cast<std::size_t>(slot))->data();
}

UploadTimes InputSlots::upload_times(int slot) const {
  const StreamEvent& end = *uploaded.at(static_cast<std::size_t>(slot));
  const double seconds = end.seconds_since(*upload_begun).value_or(0.0);
  // Empty: the step still runs, and has hidden the upload altogether.
  const double idle = last_used == nullptr ? seconds : end.seconds_since(*last_used).value_or(0.0);
  return {seconds, std::clamp(idle, 0.0, seconds)};
}

std::shared_ptr<InputSlots> make_input_slots(Backend& backend) { return std::make_shared<InputSlots>(backend); }

}  // namespace trainmark

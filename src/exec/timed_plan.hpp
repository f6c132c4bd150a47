// A plan that notes when it ran: for recordings whose launches a backend makes anew in each step.
#pragma once

#include <memory>

#include "trainmark/backend.hpp"

namespace trainmark {

class TimedPlan final : public Plan {
 public:
  TimedPlan(Plan& inner, Backend& backend)
      : inner_(inner), begun_(backend.make_event()), ended_(backend.make_event()) {}
  void execute(Stream& stream, std::span<void* const> args) override {
    begun_->record(stream);
    inner_.execute(stream, args);
    ended_->record(stream);
  }
  [[nodiscard]] const StreamEvent& begun() const noexcept { return *begun_; }
  [[nodiscard]] const StreamEvent& ended() const noexcept { return *ended_; }

 private:
  Plan& inner_;
  std::unique_ptr<StreamEvent> begun_, ended_;
};

}  // namespace trainmark

// Brings batches into the two input slots that all programs of a run share, and knows which slot holds a batch that is
// still to be launched: an evaluation in the middle of an epoch must not write over a training batch that waits.
#pragma once

#include <array>
#include <memory_resource>
#include <vector>

#include "run/record/trace.hpp"
#include "trainmark/exec.hpp"
#include "trainmark/load.hpp"

namespace trainmark {

class Feed {
 public:
  /// `trace`, if there is one, is told of each batch and launch of a step that it traces, and outlives this.
  Feed(Backend& backend, std::int64_t local_batch, Trace* trace = nullptr);

  struct Brought {
    int slot = 0;
    double waited_seconds = 0.0;   ///< for the loader
    double exposed_seconds = 0.0;  ///< of them: with no step running that hid them; all of them on the CPU
    UploadTimes upload;
  };
  struct Rates {
    float now = 0.0F;
    float before = 0.0F;  ///< of the update before; 0: there was none
  };
  /// Takes the next batch from `from` into a free slot, with a step state of these rates and epoch (0-based). Contract:
  /// at most one batch waits. Raises what the loader met.
  [[nodiscard]] Brought bring(Program& program, Loader& from, Rates rates, std::int64_t epoch);
  /// Launches `program` on the batch in `slot`, which is free again from then on.
  void launch(Program& program, int slot);
  [[nodiscard]] int last_launched() const noexcept { return last_launched_; }  ///< the slot
  /// What a step was on the device.
  struct Ended {
    StepTimes times;  ///< of all of its launches
    double at = 0.0;  ///< when the last of them was done, by clock()
  };
  /// Of the launches since the last call up to the one in `slot`. Contract: the device has ended them. `just_now`: the
  /// host has waited for that end, which tells more exactly when it was than a sum of times does.
  [[nodiscard]] Ended take_ended(int slot, bool just_now);
  [[nodiscard]] const Clock& clock() const noexcept { return clock_; }

 private:
  struct Slot {
    std::pmr::vector<std::byte> step_state;  ///< pinned
    bool waits = false;
    const Program* launched = nullptr;  ///< whose times have not been taken yet
    double launched_at = 0.0;           ///< by clock_
  };
  [[nodiscard]] double idle(double from, double to);
  void note_times(int slot);

  Trace* trace_;
  Clock clock_;
  std::array<Slot, 2> slots_;
  int last_launched_ = 0;
  StepTimes times_;
  double free_at_ = 0.0;  ///< when the device had done what times were noted of, by clock_
  std::vector<std::span<const std::byte>> inputs_;
  int next_ = 0;
};

}  // namespace trainmark

// The time of a device that is not there. What it would compute takes a stated time, in which nothing needs to be done;
// what the machine itself does takes what it takes. Both stand on one time line, of the host's steady clock.
#pragma once

#include <algorithm>
#include <chrono>
#include <thread>

namespace trainmark::emulated {

using TimePoint = std::chrono::steady_clock::time_point;
using Seconds = std::chrono::duration<double>;

/// The host's clock, which tests replace.
class HostClock {
 public:
  virtual ~HostClock() = default;
  [[nodiscard]] virtual TimePoint now() const { return std::chrono::steady_clock::now(); }
  virtual void sleep_until(TimePoint until) { std::this_thread::sleep_until(until); }
};

/// When the device's compute lane will have done what it was given so far. It sleeps for nobody, so that being woken
/// late moves no later end.
class DeviceTime {
 public:
  /// Work was given to it at `at`, which it begins once it is free.
  void given(TimePoint at) noexcept {
    free_at_ = std::max(free_at_, at);
    worked_ = true;
  }
  void works(Seconds seconds) noexcept { free_at_ += std::chrono::duration_cast<TimePoint::duration>(seconds); }
  /// Of an event that was recorded at `at`: the end of the work given since the last one, however late the host came to
  /// record it; without any, when the device is free for work that follows.
  [[nodiscard]] TimePoint reaches(TimePoint at) noexcept {
    if (!worked_) free_at_ = std::max(free_at_, at);
    worked_ = false;
    return free_at_;
  }
  /// It goes on once something has ended that the machine does. Returns the seconds for which it stands still.
  double waits_for(TimePoint end) noexcept {
    const Seconds still = end - free_at_;
    free_at_ = std::max(free_at_, end);
    return std::max(0.0, still.count());
  }
  [[nodiscard]] TimePoint free_at() const noexcept { return free_at_; }

 private:
  TimePoint free_at_{};
  bool worked_ = false;  ///< since the last event
};

}  // namespace trainmark::emulated

// Ends the job when a phase makes no progress: a peer that hangs without an error is found by nobody else.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <string>
#include <thread>

#include "trainmark/core.hpp"

namespace trainmark {

class Watchdog {
 public:
  /// `expired(message)` is called once, from the watchdog's thread, and is not expected to return. `now` tells the
  /// seconds, from any thread.
  explicit Watchdog(
      std::function<void(const std::string&)> expired,
      std::function<double()> now = [clock = Clock()] { return clock.seconds(); });
  ~Watchdog();
  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;

  /// From now on, `limit_seconds` may pass between heartbeats. Counts as one. `phase` must outlive the phase.
  void phase(const char* phase, double limit_seconds) noexcept;
  /// The same of work that goes on beside the phases of the process, whose diagnostics do not change.
  void beside(const char* phase, double limit_seconds) noexcept;
  /// Called by who catches an error: where the limit has passed, the job is being ended, the error is likely to come of
  /// that, and this returns only after `expired`.
  void give_way();
  void beat() noexcept { last_beat_.store(now_(), std::memory_order_relaxed); }

 private:
  void watch();
  void stop();

  std::function<void(const std::string&)> expired_;
  std::function<double()> now_;
  std::atomic<double> last_beat_{now_()};
  std::atomic<double> limit_{1e300};
  std::atomic<const char*> phase_{"start"};
  std::atomic<bool> expiring_{false};
  std::mutex mutex_;
  std::condition_variable stop_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace trainmark

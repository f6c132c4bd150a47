#include "run/end/watchdog.hpp"

#include <fmt/core.h>

namespace trainmark {

Watchdog::Watchdog(std::function<void(const std::string&)> expired, std::function<double()> now)
    : expired_(std::move(expired)), now_(std::move(now)), thread_([this] { watch(); }) {}

Watchdog::~Watchdog() { stop(); }

void Watchdog::stop() {
  {
    const std::scoped_lock lock(mutex_);
    stopping_ = true;
  }
  stop_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void Watchdog::give_way() {
  if (expiring_) stop();
}

void Watchdog::phase(const char* phase, double limit_seconds) noexcept {
  diagnose_phase(phase);
  beside(phase, limit_seconds);
}

void Watchdog::beside(const char* phase, double limit_seconds) noexcept {
  phase_ = phase;
  beat();
  limit_ = limit_seconds;
}

void Watchdog::watch() {
  using std::chrono::milliseconds;
  std::unique_lock lock(mutex_);
  while (!stop_.wait_for(lock, milliseconds(100), [this] { return stopping_; })) {
    const double silent = now_() - last_beat_.load(std::memory_order_relaxed);
    if (silent < limit_) continue;
    expiring_ = true;
    lock.unlock();
    expired_(fmt::format(
        "no progress for {:.1f} s in phase '{}' (limit {:.1f} s); a rank or its storage hangs: look for the "
        "rank that does not complain; if the phase is only slow, raise /watchdog in the config",
        silent, phase_.load(), limit_.load()));
    return;
  }
}

}  // namespace trainmark

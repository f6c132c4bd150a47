// Absolute times that never go back.
#include "trainmark/core.hpp"

namespace trainmark {

Clock::Clock() noexcept : anchor_(std::chrono::system_clock::now()), start_(std::chrono::steady_clock::now()) {}

std::int64_t Clock::unix_ms() const noexcept {
  using std::chrono::duration_cast;
  using std::chrono::milliseconds;
  const auto passed = std::chrono::steady_clock::now() - start_;
  return duration_cast<milliseconds>(anchor_.time_since_epoch() + passed).count();
}

double Clock::seconds() const noexcept {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
}

}  // namespace trainmark

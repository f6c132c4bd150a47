// Where diagnostics of this process go: nowhere, until somebody keeps them.
#include <atomic>

#include "trainmark/core.hpp"

namespace trainmark {
namespace {

std::atomic<std::shared_ptr<Diagnostics>> keeper;
std::atomic<const char*> current_phase{"start"};

}  // namespace

void diagnose_to(std::shared_ptr<Diagnostics> diagnostics) noexcept { keeper.store(std::move(diagnostics)); }

void diagnose_phase(const char* phase) noexcept { current_phase = phase; }

void diagnose(LogLevel level, const std::function<std::string()>& text) noexcept {
  const std::shared_ptr<Diagnostics> kept = keeper.load();
  if (kept == nullptr || !kept->keeps(level)) return;
  try {
    kept->write(level, current_phase, text());
  } catch (const std::exception&) {
    // A line that cannot be made is lost.
  }
}

}  // namespace trainmark

// The most memory that this process had resident at one time, as the kernel counts it.
#pragma once

#include <cstdint>
#include <fstream>
#include <string>

namespace trainmark::testing {

/// Forgets earlier peaks. False where the kernel does not allow it; then only growth beyond them is seen.
inline bool forget_peak_memory() {
  std::ofstream control("/proc/self/clear_refs");
  control << "5" << std::flush;
  return control.good();
}

[[nodiscard]] inline std::int64_t peak_memory_bytes() {
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;) {
    std::int64_t kibibytes = 0;
    if (word == "VmHWM:" && status >> kibibytes) return kibibytes * 1024;
  }
  return 0;
}

}  // namespace trainmark::testing

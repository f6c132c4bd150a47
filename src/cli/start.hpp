// What must happen before any library is loaded.
#pragma once

#include <string>

namespace trainmark::cli {

/// To be called first in main: tells the rest of the program what was seen before main (process_cpus).
void begin();
/// How OpenMP's threads wait for each other, and who chose that: "GOMP_SPINCOUNT=10000 (trainmark's choice)".
[[nodiscard]] std::string waiting_of_threads();

}  // namespace trainmark::cli

// The one loop that shares own work among threads: static parts, so that results do not depend on timing.
#pragma once

#include <cstdint>
#include <string>

#include "trainmark/core.hpp"

#ifndef TRAINMARK_SERIAL_LOOPS
#include <omp.h>
#endif

namespace trainmark::cpu {

/// The threads that OpenMP really gives, which may be fewer than it says (OMP_THREAD_LIMIT, OMP_MAX_ACTIVE_LEVELS).
/// oneDNN would wait for the others for ever.
struct Team {
  int wanted = 1;
  int threads = 1;
  int cpus = 1;  ///< that these threads together may run on
};
/// Starts them and has later loops, oneDNN's too, use as many. Raises Error{environment} where `wanted` threads cannot
/// be started: OpenMP itself would end the program.
[[nodiscard]] Team start_team(int wanted);
/// For people; empty where all is as it was wanted.
[[nodiscard]] std::string caveat_of(const Team& team);

/// Threads that parallel_for uses on the calling thread.
inline int loop_threads() {
#ifdef TRAINMARK_SERIAL_LOOPS
  return 1;
#else
  return omp_get_max_threads();
#endif
}

/// Calls body(range, part) for disjoint ranges that cover [0, count); `part` numbers them from 0. Fewer parts than
/// threads where a part would have less than `grain` items.
template <class Body>
void parallel_for(std::int64_t count, std::int64_t grain, Body&& body) {
  const std::int64_t most = count / (grain > 0 ? grain : 1);
  const auto parts = static_cast<int>(most < loop_threads() ? (most > 1 ? most : 1) : loop_threads());
  if (parts == 1) {
    body(Range{0, count}, 0);
    return;
  }
#ifndef TRAINMARK_SERIAL_LOOPS
#pragma omp parallel for num_threads(parts) schedule(static, 1)
#endif
  for (int part = 0; part < parts; ++part)
    body(slice_of(count, parts, part), part);
}

}  // namespace trainmark::cpu

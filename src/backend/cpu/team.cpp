// Which threads compute: asked of OpenMP once, in a parallel region, instead of believed.
#include <fmt/core.h>

#include <algorithm>
#include <mutex>
#include <optional>
#include <vector>

#include "backend/cpu/parallel.hpp"
#include "trainmark/process.hpp"

namespace trainmark::cpu {

Team start_team(int wanted) {
  Team team{wanted, 1, 1};
#ifndef TRAINMARK_SERIAL_LOOPS
  omp_set_dynamic(0);
  omp_set_num_threads(wanted);
  std::mutex mutex;
  std::vector<int> cpus;
#pragma omp parallel num_threads(wanted)
  {
    const std::vector<int> mine = own_cpus();
    const std::scoped_lock lock(mutex);
    team.threads = omp_get_num_threads();
    cpus.insert(cpus.end(), mine.begin(), mine.end());
  }
  omp_set_num_threads(team.threads);
  std::ranges::sort(cpus);
  cpus.erase(std::unique(cpus.begin(), cpus.end()), cpus.end());
  team.cpus = static_cast<int>(cpus.size());
#endif
  return team;
}

std::string caveat_of(const Team& team) {
  std::string text;
  if (team.threads < team.wanted)
    text = fmt::format(
        "OpenMP gives {} of {} threads (OMP_THREAD_LIMIT, OMP_MAX_ACTIVE_LEVELS or its like says so): unset "
        "it, or set /backend/threads to {}",
        team.threads, team.wanted, team.threads);
  // Without a word from the user, threads may run everywhere; then too few CPUs are the launch's doing.
  const auto all = static_cast<int>(process_cpus().size());
  if (team.cpus < std::min(team.threads, all))
    text += fmt::format(
        "{}OpenMP binds {} threads to {} of this process's {} CPUs (GOMP_CPU_AFFINITY, OMP_PLACES or "
        "OMP_PROC_BIND says so): unset it, or give it as many places as threads",
        text.empty() ? "" : "; ", team.threads, team.cpus, all);
  return text;
}

}  // namespace trainmark::cpu

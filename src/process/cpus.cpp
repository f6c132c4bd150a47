#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <numeric>

#include "trainmark/process.hpp"

namespace trainmark {
namespace {

struct FreeSet {
  void operator()(cpu_set_t* set) const noexcept { CPU_FREE(set); }
};
using CpuSet = std::unique_ptr<cpu_set_t, FreeSet>;

/// Empty where the system does not say. A fixed cpu_set_t ends at 1,024 CPUs, and the kernel then refuses to answer.
std::vector<int> affinity_of(pid_t thread) {
  constexpr int most = 1 << 20;
  for (int capacity = 1024; capacity <= most; capacity *= 2) {
    const CpuSet set(CPU_ALLOC(static_cast<std::size_t>(capacity)));
    const std::size_t bytes = CPU_ALLOC_SIZE(static_cast<std::size_t>(capacity));
    if (!set) break;
    CPU_ZERO_S(bytes, set.get());
    if (sched_getaffinity(thread, bytes, set.get()) != 0) {
      if (errno == EINVAL) continue;
      break;
    }
    std::vector<int> cpus;
    for (int cpu = 0; cpu < capacity; ++cpu) {
      if (CPU_ISSET_S(static_cast<std::size_t>(cpu), bytes, set.get())) cpus.push_back(cpu);
    }
    return cpus;
  }
  return {};
}

/// Of the calling thread; a refusal leaves it as it is.
void run_on(const std::vector<int>& cpus) {
  const auto capacity = static_cast<std::size_t>(cpus.back()) + 1;
  const CpuSet set(CPU_ALLOC(capacity));
  if (!set) return;
  CPU_ZERO_S(CPU_ALLOC_SIZE(capacity), set.get());
  for (const int cpu : cpus)
    CPU_SET_S(static_cast<std::size_t>(cpu), CPU_ALLOC_SIZE(capacity), set.get());
  static_cast<void>(sched_setaffinity(0, CPU_ALLOC_SIZE(capacity), set.get()));
}

struct Start {
  std::vector<int> cpus;     ///< before any library
  std::vector<int> in_main;  ///< of the first thread, when main began
};
Start& start() {
  static Start known;
  return known;
}

}  // namespace

std::vector<int> first_thread_cpus() {
  std::vector<int> cpus = affinity_of(getpid());
  if (cpus.empty()) {
    cpus.resize(static_cast<std::size_t>(std::max(1L, sysconf(_SC_NPROCESSORS_ONLN))));
    std::iota(cpus.begin(), cpus.end(), 0);
  }
  return cpus;
}

std::vector<int> own_cpus() { return affinity_of(0); }

std::vector<int> process_cpus() {
  std::vector<int> now = first_thread_cpus();
  // A mask that has changed since main began is MPI's doing, and meant for the whole process.
  return now == start().in_main ? start().cpus : now;
}

void started_with(std::vector<int> cpus) {
  start().in_main = first_thread_cpus();
  start().cpus = cpus.empty() ? start().in_main : std::move(cpus);
}

OnAllCpus::OnAllCpus() {
  const std::vector<int> mine = own_cpus(), all = process_cpus();
  if (mine.empty() || mine == all) return;
  before_ = mine;
  run_on(all);
}

OnAllCpus::~OnAllCpus() {
  if (!before_.empty()) run_on(before_);
}

}  // namespace trainmark

// Which backend a run gets, and with how many threads.
#include <sched.h>

#include <algorithm>

#include "backend/cuda.hpp"

namespace trainmark {
namespace {

/// CPUs that this rank may use without getting in the way of its neighbours on the node.
int usable_cores(const World& world) {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof(set), &set) != 0) return 1;
  // Ranks that a launcher bound apart have different sets; unbound ranks share all CPUs.
  std::uint64_t fingerprint = 14695981039346656037ULL;
  for (int core = 0; core < CPU_SETSIZE; ++core) {
    if (CPU_ISSET(core, &set)) fingerprint = (fingerprint ^ static_cast<std::uint64_t>(core)) * 1099511628211ULL;
  }
  const std::vector<std::uint64_t> all = world.node().all_gather(fingerprint);
  const auto sharing = static_cast<int>(std::ranges::count(all, fingerprint));
  return std::max(1, CPU_COUNT(&set) / sharing);
}

std::unique_ptr<Backend> cpu_backend(const BackendOptions& options, const World& world) {
  const int cores = usable_cores(world);
  const bool possible = world.all().size() > 1 && world.thread_multiple();
  bool overlap = possible && options.overlap == "on";
  // A helper thread that busy-polls on a core which computes costs more than overlap brings.
  if (options.overlap == "auto") overlap = possible && cores >= 2;
  // Ranks may have different core counts; the lanes must be the same everywhere.
  std::array<double, 1> any_without = {overlap ? 0.0 : 1.0};
  world.all().max(any_without);
  overlap = any_without[0] == 0.0;
  const int threads = options.threads > 0 ? options.threads : std::max(1, cores - (overlap ? 1 : 0));
  return make_cpu_backend(threads, overlap, options.tf32);
}

}  // namespace

std::unique_ptr<Backend> make_backend(const BackendOptions& options, const World& world) {
  if (options.device == "cuda") return make_cuda_backend(options, world);
  if (options.device == "auto") {
    const bool present = cuda_present();
    require_equal(world.all(), "whether a CUDA device is there", static_cast<std::uint64_t>(present),
                  "set /backend/device to \"cpu\", or start ranks only where devices are and are visible to them");
    if (present) return make_cuda_backend(options, world);
  }
  return cpu_backend(options, world);
}

std::vector<std::string> built_backends() {
  if (cuda_built()) return {"cpu", "cuda"};
  return {"cpu"};
}

}  // namespace trainmark

// Which backend a run gets, and with how many threads.
#include <fmt/core.h>

#include <algorithm>

#include "backend/cuda.hpp"
#include "backend/emulated.hpp"
#include "trainmark/process.hpp"

namespace trainmark {
namespace {

/// Tries the threads of this rank while its neighbours try theirs: limits count a user's or a job's threads together.
void require_threads(const World& world, int count, const char* remedy, int of_openmp = 0) {
  std::unique_ptr<TrialThreads> trial;
  agree_on(world.all(), [&] { trial = std::make_unique<TrialThreads>(count, remedy, of_openmp); });
  trial.reset();
  world.node().barrier();
}

std::unique_ptr<Backend> cpu_backend(const BackendOptions& options, const World& world) {
  const int cores = cpu_share(world).threads();
  const bool possible = world.all().size() > 1 && world.thread_multiple();
  bool overlap = possible && options.overlap == Overlap::on;
  // A helper thread that busy-polls on a core which computes costs more than overlap brings.
  if (options.overlap == Overlap::automatic) overlap = possible && cores >= 2;
  // Ranks may have different core counts; the lanes must be the same everywhere.
  std::array<double, 1> any_without = {overlap ? 0.0 : 1.0};
  world.all().max(any_without);
  overlap = any_without[0] == 0.0;
  const int threads = options.threads > 0 ? options.threads : std::max(1, cores - (overlap ? 1 : 0));
  diagnose(LogLevel::debug, [&] {
    const char* why = world.all().size() == 1    ? "one rank sums with nobody"
                      : !world.thread_multiple() ? "this MPI gives no MPI_THREAD_MULTIPLE"
                      : any_without[0] != 0.0    ? "not every rank has a core to spare for it, or it is switched off"
                                                 : "every rank has a core for it";
    return fmt::format("CPU backend: {} compute threads of {} cores; all-reduce {} the backward pass ({})", threads,
                       cores, overlap ? "beside" : "after", why);
  });
  require_threads(world, threads - 1 + (overlap ? 1 : 0) + options.other_threads,
                  "lower /backend/threads or /load/threads, start fewer ranks a node, or raise the limit", threads - 1);
  return make_cpu_backend(threads, overlap, options.tf32);
}

std::unique_ptr<Backend> cuda_backend(const BackendOptions& options, const World& world) {
  require_threads(world, options.other_threads, "lower /load/threads, start fewer ranks a node, or raise the limit");
  return make_cuda_backend(options, world);
}

/// Sums go on while the host brings the next batch: MPI is called from several threads.
std::unique_ptr<Backend> emulated_backend(const BackendOptions& options, const World& world) {
  const bool alone = world.all().size() == 1;
  if (!alone && !world.thread_multiple()) {
    throw Error(ExitCode::environment,
                Complaint{"/backend/device", "\"emulated\" on several ranks needs MPI_THREAD_MULTIPLE",
                          "sums over ranks run beside the reading of batches, as on a device, and this MPI gives less",
                          "use an MPI that gives it, or one rank"});
  }
  const bool overlap = !alone && options.overlap != Overlap::off;
  require_threads(world, 1 + (overlap ? 1 : 0) + options.other_threads,
                  "lower /load/threads, start fewer ranks a node, or raise the limit");
  return make_emulated_backend(options.emulated, overlap);
}

}  // namespace

std::unique_ptr<Backend> make_backend(const BackendOptions& options, const World& world) {
  if (options.device == DeviceChoice::cuda) return cuda_backend(options, world);
  if (options.device == DeviceChoice::emulated) return emulated_backend(options, world);
  if (options.device == DeviceChoice::automatic) {
    const bool present = cuda_present();
    require_equal(world.all(), "whether a CUDA device is there", static_cast<std::uint64_t>(present),
                  "set /backend/device to \"cpu\", or start ranks only where devices are and are visible to them");
    diagnose(LogLevel::debug, [&] {
      return std::string("device auto: ") +
             (present ? "a CUDA device is usable" : "no CUDA device is usable, so the CPU");
    });
    if (present) return cuda_backend(options, world);
  }
  return cpu_backend(options, world);
}

std::vector<std::string> built_backends() {
  if (cuda_built()) return {"cpu", "cuda"};
  return {"cpu"};
}

}  // namespace trainmark

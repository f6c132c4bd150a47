// What the system lets this process use: CPUs, the quotas of control groups, and threads. It is asked here, once,
// because the obvious questions have wrong answers: OpenMP narrows the first thread's affinity before main begins, a
// quota shows in no affinity, and a thread that cannot be started is noticed by libraries that then end the program.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace trainmark {

/// CPUs that the first thread may run on now, ascending, however many the machine has.
[[nodiscard]] std::vector<int> first_thread_cpus();
/// The same of the calling thread; empty where the system does not say.
[[nodiscard]] std::vector<int> own_cpus();
/// CPUs that this process may run on: those it was started with where OpenMP has narrowed the first thread's since
/// (OMP_PROC_BIND, OMP_PLACES, GOMP_CPU_AFFINITY), those of the first thread where MPI has bound it.
[[nodiscard]] std::vector<int> process_cpus();
/// To be told first thing in main: the CPUs before any library was loaded. Without it they are taken for the first
/// thread's.
void started_with(std::vector<int> cpus);

/// While it lives, threads that the caller starts may run on all of process_cpus(), though OpenMP may have bound the
/// caller to one of them.
class [[nodiscard]] OnAllCpus {
 public:
  OnAllCpus();
  ~OnAllCpus();
  OnAllCpus(const OnAllCpus&) = delete;
  OnAllCpus& operator=(const OnAllCpus&) = delete;

 private:
  std::vector<int> before_;  ///< empty: nothing was changed
};

enum class Resource { cpus, threads, memory };
/// One limit of a control group (cgroup v1 or v2).
struct GroupLimit {
  std::string file;         ///< that says so
  std::uint64_t group = 0;  ///< the folder's inode: processes under one limit see one number
  double value = 0.0;       ///< CPUs, threads or bytes
};
/// The limits that hold for this process: of its own group and of those above, tightest first. `root` stands before
/// /proc/self and the mount points.
[[nodiscard]] std::vector<GroupLimit> group_limits(Resource resource, const std::filesystem::path& root = "/");
/// "1.5 CPUs (/sys/fs/cgroup/cpu/job/cpu.cfs_quota_us)", "20 threads (...)", "512 MiB (...)".
[[nodiscard]] std::string to_string(Resource resource, const GroupLimit& limit);

/// What is left of a memory limit.
struct MemoryRoom {
  double bytes = 0.0;
  std::string
      source;  ///< "512 MiB (/sys/fs/cgroup/...)", or "/proc/meminfo" where no group limits more than the machine
};
/// Memory that this process may still fill, files in memory (tmpfs) included; of a group's limit what its processes use
/// beside cached files of disks is gone. `root` as above.
[[nodiscard]] MemoryRoom memory_room(const std::filesystem::path& root = "/");

/// Bytes that the kernel has brought from storage (disks, file servers) for this process so far, what it read ahead and
/// what was mapped included; what was in the page cache is not among them. Nothing where the kernel does not count.
[[nodiscard]] std::optional<std::int64_t> bytes_from_storage(const std::filesystem::path& root = "/");
/// The same for the calling thread alone.
[[nodiscard]] std::optional<std::int64_t> thread_bytes_from_storage(const std::filesystem::path& root = "/");

/// The stack that OpenMP gives each of its threads, where a variable says how large.
struct ThreadStack {
  std::size_t bytes = 0;  ///< 0: as the system has it
  std::string told_by{};  ///< "OMP_STACKSIZE=1G"
};
/// To be told first thing in main.
void openmp_starts_with(ThreadStack stack);
/// Starts `count` threads and holds them while it lives, to know beforehand whether they can be started: OpenMP ends
/// the program where they cannot. The first `of_openmp` of them have the stack of its threads. When it is gone, so are
/// they, in the system's count too. Raises Error{environment} that names the thread, of `count` and the caller, and the
/// limits, or the variable that asks for too large a stack; `remedy` ends the message.
class [[nodiscard]] TrialThreads {
 public:
  TrialThreads(int count, std::string_view remedy, int of_openmp = 0);
  ~TrialThreads();
  TrialThreads(const TrialThreads&) = delete;
  TrialThreads& operator=(const TrialThreads&) = delete;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};
/// "ulimit -u 14, pids.max 20 (...)": what limits threads here; a hint at the machine's own limits where nothing does.
[[nodiscard]] std::string thread_limits();

}  // namespace trainmark

// How a launch tells an agreed failure from a lonely one: every rank that failed joins a farewell, an all-gather of
// what it would say, in a communicator that nothing else uses. Where all arrive, all know the same: rank 0 prints it
// and everybody leaves in the ordinary way, MPI_Finalize included. A rank whose farewell is not joined within a few
// seconds is alone (the others work on, or wait in a collective that this rank will never enter): it prints for itself
// and ends the job with MPI_Abort. Nobody enters MPI_Finalize after a failure that was not agreed upon, so nothing can
// hang there.
#include "cli/launch.hpp"

#include <fmt/core.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>

#include "cli/environment.hpp"
#include "cli/launcher.hpp"
#include "trainmark/stage.hpp"

namespace trainmark::cli {
namespace {

constexpr std::chrono::seconds patience{3};
constexpr rlim_t least_file_bytes = 64 << 20;

[[noreturn]] void end_alone(const World& world, const Failure& failure) {
  Failure told = failure;
  if (world.all().size() > 1)
    told.message = fmt::format("rank {} on {}: {}", world.all().rank(), world.host(), failure.message);
  print_failure(told, world.all().rank() == 0);  // stdout is one document, however many ranks fail
  // MPI_Abort may itself wait for a network that is gone.
  std::thread([code = failure.code] {
    std::this_thread::sleep_for(patience);
    _exit(to_int(code));
  }).detach();
  world.abort(failure.code);
}

/// Calls `expired` unless it is destroyed before `patience` is over.
class Timer {
 public:
  explicit Timer(std::function<void()> expired)
      : thread_([this, expired = std::move(expired)] {
          std::unique_lock lock(mutex_);
          if (!ended_.wait_for(lock, patience, [this] { return done_; })) expired();
        }) {}
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;
  ~Timer() {
    {
      const std::scoped_lock lock(mutex_);
      done_ = true;
    }
    ended_.notify_one();
    thread_.join();
  }

 private:
  std::mutex mutex_;
  std::condition_variable ended_;
  bool done_ = false;
  std::thread thread_;
};

/// Of a text that processes of one build compare.
std::uint64_t fingerprint(const std::string& text) { return std::hash<std::string>{}(text); }

/// Returns where every rank failed in the same way. Collective in the case that it serves, and safe where it is not.
void bid_farewell(const World& world, const Group& farewell, const Failure& failure) {
  if (world.all().size() == 1) return print_failure(failure);
  std::vector<std::uint64_t> said;
  try {
    const Timer timer([&] { end_alone(world, failure); });
    said = farewell.all_gather(fingerprint(fmt::format("{} {}", to_int(failure.code), failure.message)));
  } catch (const std::exception&) {
    end_alone(world, failure);
  }
  if (std::ranges::any_of(said, [&](std::uint64_t each) { return each != said.front(); })) end_alone(world, failure);
  if (world.all().rank() == 0) print_failure(failure);
}

/// The linker's hash of this program, without reading it: 30,000 ranks would read terabytes from one file.
std::uint64_t fingerprint_of_binary() {
  const std::string id = build_id();
  return id.empty() ? std::stoull(hash_file("/proc/self/exe").substr(0, 16), nullptr, 16) : fingerprint(id);
}

void require_same_launch(const World& world, const Process& process) {
  const Group& all = world.all();
  if (all.size() == 1) return;
  std::uint64_t binary = 0;
  agree_on(all, [&] { binary = fingerprint_of_binary(); });
  require_equal(all, "the trainmark binary", binary,
                "install the same build on every node, or start it from a shared folder");
  require_equal(all, "the MPI library", fingerprint(world.library_version()), "load the same MPI module on every node");
  std::string mine;
  for (const std::string& argument : process.arguments())
    mine += (mine.empty() ? "" : " ") + argument;
  const std::vector<std::uint64_t> prints = all.all_gather(fingerprint(mine));
  const auto odd = std::ranges::find_if(prints, [&](std::uint64_t other) { return other != prints.front(); });
  if (odd == prints.end()) return;
  const auto rank = static_cast<int>(odd - prints.begin());
  const std::string theirs = all.broadcast(mine, rank), first = all.broadcast(mine, 0);
  throw Error(
      ExitCode::environment,
      Complaint{"launch", fmt::format("rank {} was started with \"{}\", rank 0 with \"{}\"", rank, theirs, first),
                "ranks that disagree would train different models", "give every rank the same arguments"});
}

/// What is wrong with the limit on file sizes; no `what` where nothing is. MPI keeps its sessions, and the memory that
/// ranks of a node share, in files. Where those cannot be written, Open MPI 4 ends the process with a text of its own,
/// or its helper tries for ever and takes all memory.
Complaint fault_of_file_sizes() {
  rlimit limit{};
  if (getrlimit(RLIMIT_FSIZE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY || limit.rlim_cur >= least_file_bytes)
    return {};
  return {"ulimit -f", fmt::format("files may have {} KiB at most", limit.rlim_cur / 1024),
          "MPI keeps its sessions and what ranks of a node share in files, and may hang where it cannot write them",
          fmt::format("raise the limit (ulimit -f unlimited), to {} KiB at least", least_file_bytes / 1024)};
}

/// All processes know the same of their launch: rank 0 speaks. Where its number may be left over from elsewhere there
/// may be no rank 0: then others do, unless its launcher ends them first.
int refuse(const Launch& launch, const Complaint& complaint, const std::string& message) {
  if (launch.rank() != 0 && launch.is_task()) return to_int(ExitCode::environment);
  if (launch.rank() != 0) std::this_thread::sleep_for(std::chrono::seconds(2));
  print_failure({ExitCode::environment, message, complaint}, launch.rank() == 0);
  return to_int(ExitCode::environment);
}

}  // namespace

void add_launch_options(CLI::App& command, LaunchFlags& flags) {
  command.add_flag("--alone", flags.alone,
                   "Every process works by itself on purpose: no comparison of MPI's ranks with the launcher's");
}

void add_telling_options(CLI::App& command, TellingFlags& flags, const std::string& quiet, const std::string& json) {
  add_launch_options(command, flags.launch);
  command.add_flag("--quiet", flags.quiet, quiet);
  command.add_flag("--json", flags.json, json);
}

RunContext context_of(const TellingFlags& flags, const JobFacts& job) {
  RunContext context;
  context.job = job;
  context.job_id = name_of(job);
  context.quiet = flags.quiet;
  context.terminal = isatty(STDERR_FILENO) == 1;
  return context;
}

void tell(const World& world, const TellingFlags& flags, const std::string& text, const std::string& json) {
  if (world.all().rank() == 0) write_output(flags.json ? json : text);
}

int with_world(Process& process, const LaunchFlags& flags, const std::function<int(const World&, Interrupts&)>& work) {
  Interrupts interrupts;  // before MPI, whose threads inherit the blocked signals
  const Launch launch;
  if (flags.alone) forget_step();
  if (const Complaint complaint = fault_of_file_sizes(); !complaint.what.empty())
    return refuse(launch, complaint, to_string(complaint));
  const Mpi mpi(process.argc, process.argv);
  const World& world = mpi.world();
  interrupts.watch_faults();
  if (!flags.alone) {
    const std::string complaint = launch.mismatch(world.all().size(), world.library_version());
    if (!complaint.empty()) {
      return refuse(launch, {"launch", complaint, "", ""}, complaint);
    }
    const std::string left_over = launch.passed_over(world.all().size());
    if (!left_over.empty()) print_message(fmt::format("trainmark: warning: {}\n", left_over));
  }
  const Interrupts::Guard tidy = interrupts.on_signal([&world](int code) {
    remove_temporaries();
    if (world.all().rank() != 0) return;
    // Last, since a terminal may be slow; on a line of its own, whatever progress stands there.
    const std::string ending = Interrupts::describe(code);
    print_message(fmt::format("{}trainmark: {}\n", isatty(STDERR_FILENO) == 1 ? "\n" : "", ending));
    tell_failure({static_cast<ExitCode>(code), ending, {"", ending, "", ""}});  // where nobody knew better
  });
  const Group farewell = world.all().duplicate();
  Failure failure;
  try {
    require_same_launch(world, process);
    return work(world, interrupts);
  } catch (...) {
    failure = failure_at_hand();
  }
  bid_farewell(world, farewell, failure);
  return to_int(failure.code);
}

}  // namespace trainmark::cli

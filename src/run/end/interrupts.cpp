// One thread waits for the signals that would end this process and closes what must not be left open. mpirun kills
// about a second after TERM, so closers are few and quick. A fault (a bad address, abort, an uncaught exception) and a
// library that calls exit() ask the same thread to close first: it is in order when the thread that failed may be in no
// state.
#include <fmt/core.h>
#include <pthread.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

#include "trainmark/process.hpp"
#include "trainmark/run.hpp"

namespace trainmark {
namespace {

constexpr std::array faults = {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGSYS, SIGTRAP};
/// Closers take well under a second; a dead disk takes for ever.
constexpr std::chrono::seconds patience{5};
constexpr int wake = SIGTERM;  // for the waiting thread, which then looks at what it was told

bool is_default(int signal) {
  struct sigaction now {};
  return sigaction(signal, nullptr, &now) == 0 && (now.sa_flags & SA_SIGINFO) == 0 && now.sa_handler == SIG_DFL;
}

bool may_end_a_process(int signal) {
  constexpr std::array others = {SIGKILL, SIGSTOP, SIGTSTP,  SIGTTIN, SIGTTOU, SIGCHLD,
                                 SIGCONT, SIGURG,  SIGWINCH, SIGPIPE, SIGXFSZ};
  const auto among = [signal](const auto& list) { return std::ranges::find(list, signal) != list.end(); };
  return !among(others) && !among(faults);
}

/// What people, terminals and batch systems send to end a run. MPI libraries install handlers of their own for some of
/// them (MPICH for USR1, UCX for HUP), which end nothing.
bool is_sent_to_end_it(int signal) {
  constexpr std::array sent = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGXCPU};
  return std::ranges::find(sent, signal) != sent.end();
}

/// All whose default is to end the process. Who is ignored stays so (nohup), and whoever handles one keeps it
/// (profilers do): blocked, it would be queued all the same.
sigset_t ending_signals() {
  sigset_t set;
  sigemptyset(&set);
  for (int signal = 1; signal <= SIGRTMAX; ++signal) {
    const bool always = signal == SIGINT || signal == SIGTERM;
    if (always || (may_end_a_process(signal) && is_default(signal))) sigaddset(&set, signal);
  }
  return set;
}

/// Threads made while this lives get no fault that somebody sends to the process: the one that closes has to live on.
class WithoutFaults {
 public:
  WithoutFaults() {
    sigset_t set;
    sigemptyset(&set);
    for (const int fault : faults)
      sigaddset(&set, fault);
    pthread_sigmask(SIG_BLOCK, &set, &before_);
  }
  ~WithoutFaults() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  WithoutFaults(const WithoutFaults&) = delete;
  WithoutFaults& operator=(const WithoutFaults&) = delete;

 private:
  sigset_t before_{};
};

}  // namespace

struct Interrupts::Impl {
  struct Entry {
    int id;
    std::function<void(int)> closer;
  };
  std::timed_mutex mutex;
  std::vector<Entry> closers;
  int next_id = 1;
  std::thread waiter;
  sigset_t awaited = ending_signals(), before{};
  std::atomic<bool> stopping{false};
  std::atomic<int> asked{0};  // the code with which somebody else in this process is about to end it
  std::atomic<bool> closed{false};
  std::array<struct sigaction, faults.size()> older{};
  bool watches_faults = false;

  static std::atomic<Impl*> current;  // what handlers of the process find

  void close(int code) {
    // Somebody may hold the lock for ever (a full disk): then leave without tidying rather than not at all.
    if (mutex.try_lock_for(std::chrono::milliseconds(100))) {
      for (auto entry = closers.rbegin(); entry != closers.rend(); ++entry) {
        try {
          entry->closer(code);
        } catch (const std::exception&) {
          // A full disk must not keep the others from their work, nor this process from its code.
        }
      }
    }
    closed = true;
  }

  /// A signal for which somebody (a profiler) has installed a handler since: theirs from now on.
  bool hand_over(int signal) {
    if (is_sent_to_end_it(signal) || is_default(signal)) return false;
    sigset_t one;
    sigemptyset(&one);
    sigaddset(&one, signal);
    sigdelset(&awaited, signal);
    pthread_sigmask(SIG_UNBLOCK, &one, nullptr);
    pthread_kill(pthread_self(), signal);
    return true;
  }

  void wait() {
    for (;;) {
      int signal = 0;
      if (sigwait(&awaited, &signal) != 0) continue;
      if (stopping) return;
      if (asked != 0) return close(asked);
      if (hand_over(signal)) continue;
      const int code = 128 + signal;
      leave_soon(code);
      close(code);
      _exit(code);
    }
  }

  static void leave_soon(int code) {
    try {
      std::thread([code] {
        std::this_thread::sleep_for(patience);
        _exit(code);
      }).detach();
    } catch (const std::system_error&) {
      // No thread to be had: then a closer that hangs keeps the process.
    }
  }

  /// Has the waiting thread close, from wherever this is called: only what a signal's handler may do.
  void ask_to_close(int code) noexcept {
    if (pthread_equal(pthread_self(), waiter.native_handle()) != 0) return;  // it is what failed
    int none = 0;
    if (asked.compare_exchange_strong(none, code)) pthread_kill(waiter.native_handle(), wake);
    constexpr timespec pause{0, 10'000'000};
    for (int times = 0; times < 200 && !closed; ++times)
      nanosleep(&pause, nullptr);
  }

  static void on_fault(int signal) {
    const int error = errno;
    if (Impl* impl = current) {
      impl->ask_to_close(128 + signal);
      for (std::size_t at = 0; at < faults.size(); ++at) {
        if (faults[at] == signal) sigaction(signal, &impl->older[at], nullptr);
      }
    } else {
      std::signal(signal, SIG_DFL);
    }
    raise(signal);  // what it would have done without us: a core, a stack trace of MPI's
    errno = error;
  }

  static void on_exit_of_a_library() {
    Impl* impl = current;
    if (impl == nullptr || World::aborting()) return;
    constexpr int code = static_cast<int>(ExitCode::environment);
    impl->ask_to_close(code);
    _exit(code);
  }
};

std::atomic<Interrupts::Impl*> Interrupts::Impl::current{nullptr};

Interrupts::Interrupts() : impl_(std::make_shared<Impl>()) {
  pthread_sigmask(SIG_BLOCK, &impl_->awaited, &impl_->before);
  try {
    const WithoutFaults elsewhere;
    impl_->waiter = std::thread([impl = impl_.get()] { impl->wait(); });
  } catch (const std::system_error& error) {
    throw Error(ExitCode::environment,
                Complaint{"launch",
                          fmt::format("cannot start a second thread: {} ({})", error.code().message(), thread_limits()),
                          "a run waits for signals, reads and computes in threads", "raise the limit"});
  }
  Impl::current = impl_.get();
  static const bool registered = [] {
    return std::atexit(Impl::on_exit_of_a_library) == 0 && std::at_quick_exit(Impl::on_exit_of_a_library) == 0;
  }();
  static_cast<void>(registered);
}

Interrupts::~Interrupts() {
  Impl::current = nullptr;
  if (impl_->watches_faults) {
    for (std::size_t at = 0; at < faults.size(); ++at)
      sigaction(faults[at], &impl_->older[at], nullptr);
  }
  impl_->stopping = true;
  pthread_kill(impl_->waiter.native_handle(), wake);
  impl_->waiter.join();
  pthread_sigmask(SIG_SETMASK, &impl_->before, nullptr);
}

void Interrupts::watch_faults() {
  static std::array<std::byte, 65536> stack;  // an overflown one has no room for a handler
  stack_t alternative{};
  alternative.ss_sp = stack.data();
  alternative.ss_size = stack.size();
  sigaltstack(&alternative, nullptr);
  struct sigaction action {};
  action.sa_handler = Impl::on_fault;
  action.sa_flags = SA_ONSTACK;
  sigfillset(&action.sa_mask);
  for (std::size_t at = 0; at < faults.size(); ++at)
    sigaction(faults[at], &action, &impl_->older[at]);
  impl_->watches_faults = true;
}

std::string Interrupts::describe(int code) {
  const int signal = code - 128;
  if (signal <= 0) return "ended by a library that called exit(): its own words, if any, stand above";
  return fmt::format("ended by signal {} ({})", signal, strsignal(signal));
}

Interrupts::Guard Interrupts::on_signal(std::function<void(int)> closer) {
  const std::scoped_lock lock(impl_->mutex);
  impl_->closers.push_back({impl_->next_id, std::move(closer)});
  return Guard(impl_, impl_->next_id++);
}

Interrupts::Guard::~Guard() {
  if (const auto impl = impl_.lock()) {
    const std::scoped_lock lock(impl->mutex);
    std::erase_if(impl->closers, [this](const Impl::Entry& entry) { return entry.id == id_; });
  }
}

}  // namespace trainmark

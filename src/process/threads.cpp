#include <fmt/core.h>
#include <fmt/ranges.h>
#include <pthread.h>
#include <sys/resource.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <csignal>
#include <iterator>
#include <mutex>
#include <system_error>
#include <thread>

#include "trainmark/core.hpp"
#include "trainmark/process.hpp"

namespace trainmark {
namespace {

std::ptrdiff_t threads_now() {
  std::error_code error;
  const std::filesystem::directory_iterator tasks("/proc/self/task", error);
  return error ? 0 : std::distance(begin(tasks), end(tasks));
}

ThreadStack& openmp_stack() {
  static ThreadStack stack;
  return stack;
}

}  // namespace

void openmp_starts_with(ThreadStack stack) { openmp_stack() = std::move(stack); }

struct TrialThreads::Impl {
  std::mutex mutex;
  std::condition_variable changed;
  bool over = false;
  std::ptrdiff_t before = threads_now();
  std::vector<pthread_t> threads;

  void hold() {
    std::unique_lock lock(mutex);
    changed.wait(lock, [this] { return over; });
  }

  /// With a stack of so many bytes, or of the system's size (0). The error's number, or 0.
  int start(std::size_t stack) {
    pthread_attr_t attributes{};
    pthread_attr_init(&attributes);
    if (stack > 0) pthread_attr_setstacksize(&attributes, stack);  // too small a one OpenMP passes over as well
    const auto held = [](void* self) -> void* {
      static_cast<Impl*>(self)->hold();
      return nullptr;
    };
    pthread_t thread{};
    const int code = pthread_create(&thread, &attributes, held, this);
    pthread_attr_destroy(&attributes);
    if (code == 0) threads.push_back(thread);
    return code;
  }

  ~Impl() {
    {
      const std::scoped_lock lock(mutex);
      over = true;
    }
    changed.notify_all();
    for (const pthread_t thread : threads)
      pthread_join(thread, nullptr);
    // A joined thread counts against the limits until the kernel has put it away, a moment later.
    constexpr int most = 1000;
    for (int wait = 0; wait < most && threads_now() > before; ++wait)
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
};

TrialThreads::TrialThreads(int count, std::string_view remedy, int of_openmp) : impl_(std::make_unique<Impl>()) {
  const ThreadStack& stack = openmp_stack();
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);  // the new threads inherit the mask
  impl_->threads.reserve(static_cast<std::size_t>(count));
  int code = 0;
  bool too_large = false;
  for (int each = 0; each < count && code == 0; ++each) {
    const std::size_t bytes = each < of_openmp ? stack.bytes : 0;
    code = impl_->start(bytes);
    too_large = code != 0 && bytes > 0 && impl_->start(0) == 0;
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (code == 0) return;
  const std::size_t failed = impl_->threads.size() + (too_large ? 1 : 2);  // the caller is the first
  const std::string limits = thread_limits();
  impl_.reset();
  const std::string what =
      fmt::format("cannot start thread {} of {}: {}", failed, count + 1, std::generic_category().message(code));
  constexpr const char* why = "a run that began would be ended in the middle by OpenMP";
  if (too_large) {
    throw Error(
        ExitCode::environment,
        Complaint{"threads", fmt::format("{}; {} asks for a stack of {} MiB", what, stack.told_by, stack.bytes >> 20U),
                  why, fmt::format("lower that variable or unset it; with a smaller stack the thread starts")});
  }
  throw Error(ExitCode::environment,
              Complaint{"threads", fmt::format("{} ({})", what, limits), why, std::string(remedy)});
}

TrialThreads::~TrialThreads() = default;

std::string thread_limits() {
  std::vector<std::string> limits;
  rlimit limit{};
  if (getrlimit(RLIMIT_NPROC, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY)
    limits.push_back(fmt::format("ulimit -u {}", limit.rlim_cur));
  if (getrlimit(RLIMIT_AS, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY)
    limits.push_back(fmt::format("ulimit -v {}", limit.rlim_cur / 1024));
  if (const auto groups = group_limits(Resource::threads); !groups.empty())
    limits.push_back(fmt::format("pids.max {}", to_string(Resource::threads, groups.front())));
  if (limits.empty()) return "no limit of this process; look at kernel.threads-max and kernel.pid_max";
  return fmt::format("{}", fmt::join(limits, ", "));
}

}  // namespace trainmark

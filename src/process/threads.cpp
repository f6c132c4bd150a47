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

}  // namespace

struct TrialThreads::Impl {
  std::mutex mutex;
  std::condition_variable changed;
  bool over = false;
  std::ptrdiff_t before = threads_now();
  std::vector<std::thread> threads;

  void hold() {
    std::unique_lock lock(mutex);
    changed.wait(lock, [this] { return over; });
  }

  ~Impl() {
    {
      const std::scoped_lock lock(mutex);
      over = true;
    }
    changed.notify_all();
    for (std::thread& thread : threads)
      thread.join();
    // A joined thread counts against the limits until the kernel has put it away, a moment later.
    constexpr int most = 1000;
    for (int wait = 0; wait < most && threads_now() > before; ++wait)
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
};

TrialThreads::TrialThreads(int count, std::string_view remedy) : impl_(std::make_unique<Impl>()) {
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);  // the new threads inherit the mask
  int code = 0;
  try {
    for (int each = 0; each < count; ++each)
      impl_->threads.emplace_back([impl = impl_.get()] { impl->hold(); });
  } catch (const std::system_error& error) {
    code = error.code().value();
  } catch (const std::bad_alloc&) {
    code = ENOMEM;
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (code == 0) return;
  const std::size_t failed = impl_->threads.size() + 2;  // the caller is the first
  const std::string limits = thread_limits();
  impl_.reset();
  throw Error(ExitCode::environment,
              Complaint{"threads",
                        fmt::format("cannot start thread {} of {}: {} ({})", failed, count + 1,
                                    std::generic_category().message(code), limits),
                        "a run that began would be ended in the middle by OpenMP", std::string(remedy)});
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

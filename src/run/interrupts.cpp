// One thread waits for SIGINT, SIGTERM and SIGHUP and closes what must not be left open. mpirun kills about a second
// after TERM, so closers are few and quick.
#include <fmt/core.h>
#include <pthread.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstring>
#include <mutex>
#include <thread>
#include <vector>

#include "trainmark/run.hpp"

namespace trainmark {

struct Interrupts::Impl {
  struct Entry {
    int id;
    std::function<void(int)> closer;
  };
  std::timed_mutex mutex;
  std::vector<Entry> closers;
  int next_id = 1;
  std::thread waiter;
  static constexpr int wake = SIGUSR2;  // ends the thread when the process ends in the ordinary way
  sigset_t awaited = signals();

  static sigset_t signals() {
    sigset_t set;
    sigemptyset(&set);
    for (const int signal : {SIGINT, SIGTERM, wake})
      sigaddset(&set, signal);
    // Under nohup a hang-up is ignored, but would be queued all the same if it were blocked.
    struct sigaction hangup {};
    if (sigaction(SIGHUP, nullptr, &hangup) == 0 && hangup.sa_handler != SIG_IGN) sigaddset(&set, SIGHUP);
    return set;
  }

  void wait() {
    int signal = 0;
    if (sigwait(&awaited, &signal) != 0 || signal == wake) return;
    const int code = 128 + signal;
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
    _exit(code);
  }
};

Interrupts::Interrupts() : impl_(std::make_shared<Impl>()) {
  pthread_sigmask(SIG_BLOCK, &impl_->awaited, nullptr);
  impl_->waiter = std::thread([impl = impl_.get()] { impl->wait(); });
}

Interrupts::~Interrupts() {
  pthread_kill(impl_->waiter.native_handle(), Impl::wake);
  impl_->waiter.join();
}

std::string Interrupts::describe(int code) {
  const int signal = code - 128;
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

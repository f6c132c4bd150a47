#include "backend/cpu/streams.hpp"

#include <pthread.h>

#include <csignal>
#include <limits>
#include <utility>

#include "trainmark/process.hpp"

namespace trainmark::cpu {

std::thread lane_thread(std::function<void()> body) {
  // The new thread inherits the mask: signals are for the thread that waits for them.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  const OnAllCpus anywhere;
  std::thread thread(std::move(body));
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return thread;
}

Worker::Worker() : thread_(lane_thread([this] { loop(); })) {}

Worker::~Worker() {
  {
    const std::scoped_lock lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void Worker::start(Job& job) {
  {
    const std::scoped_lock lock(mutex_);
    job_ = &job;
    error_ = nullptr;
  }
  changed_.notify_all();
}

void Worker::join() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return job_ == nullptr; });
  if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
}

void Worker::loop() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return stopping_ || job_ != nullptr; });
    if (stopping_) return;
    Job* job = job_;
    lock.unlock();
    std::exception_ptr error;
    try {
      job->run();
    } catch (...) {
      error = std::current_exception();
    }
    lock.lock();
    error_ = error;
    job_ = nullptr;
    changed_.notify_all();
  }
}

namespace {

/// Index of the last launch that a lane has finished; a failed lane has finished everything, so that nobody waits for
/// it.
class Progress {
 public:
  void reset() noexcept {
    failed_ = false;  // or a launch after a failed one would skip its work and leave the other lane waiting
    done_.store(-1, std::memory_order_relaxed);
  }
  void finish(int index) noexcept {
    done_.store(index, std::memory_order_release);
    done_.notify_all();
  }
  void fail() noexcept {
    failed_ = true;
    finish(std::numeric_limits<int>::max());
  }
  /// Returns the seconds that it took.
  double wait_for(int index) const noexcept {
    if (done_.load(std::memory_order_acquire) >= index) return 0.0;
    const Clock clock;
    for (int seen = done_.load(std::memory_order_acquire); seen < index; seen = done_.load(std::memory_order_acquire)) {
      done_.wait(seen, std::memory_order_acquire);
    }
    return clock.seconds();
  }
  [[nodiscard]] bool failed() const noexcept { return failed_; }

 private:
  std::atomic<int> done_{-1};
  std::atomic<bool> failed_{false};
};

class OverlappedReplay final : public Replay, public Worker::Job {
 public:
  OverlappedReplay(std::vector<Launch> launches, Stream& stream, Worker& worker)
      : launches_(std::move(launches)), stream_(stream), worker_(worker) {}

  void launch() override {
    computed_.reset();
    communicated_.reset();
    worker_.start(*this);
    try {
      exposed_seconds_ = run_lane(Lane::compute, computed_, communicated_);
    } catch (...) {
      computed_.fail();
      worker_.join();
      throw;
    }
    const Clock clock;
    worker_.join();
    exposed_seconds_ += clock.seconds();
  }
  [[nodiscard]] std::optional<double> exposed_seconds() const override { return exposed_seconds_; }

  void run() override {
    try {
      static_cast<void>(run_lane(Lane::communication, communicated_, computed_));
    } catch (...) {
      communicated_.fail();
      throw;
    }
  }

 private:
  /// Returns the seconds for which this lane waited for the other.
  double run_lane(Lane lane, Progress& mine, const Progress& others) {
    double waited = 0.0;
    for (std::size_t i = 0; i < launches_.size(); ++i) {
      const Launch& launch = launches_[i];
      if ((launch.lane == Lane::communication) != (lane == Lane::communication)) continue;
      for (const int awaited : launch.waits)
        waited += others.wait_for(awaited);
      if (others.failed()) return waited;  // the other lane raises
      launch.plan->execute(stream_, launch.args);
      mine.finish(static_cast<int>(i));
    }
    mine.finish(static_cast<int>(launches_.size()));
    return waited;
  }

  std::vector<Launch> launches_;
  Stream& stream_;
  Worker& worker_;
  Progress computed_, communicated_;
  double exposed_seconds_ = 0.0;
};

}  // namespace

std::unique_ptr<Replay> make_replay(std::vector<Launch> launches, Stream& stream, Worker* worker) {
  if (worker == nullptr) return std::make_unique<InlineReplay>(std::move(launches), stream);
  return std::make_unique<OverlappedReplay>(std::move(launches), stream, *worker);
}

}  // namespace trainmark::cpu

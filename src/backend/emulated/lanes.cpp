#include "backend/emulated/lanes.hpp"

#include <atomic>
#include <limits>
#include <utility>

namespace trainmark::emulated {

Queue::Queue(HostClock& clock) : clock_(clock), thread_(cpu::lane_thread([this] { loop(); })) {}

Queue::~Queue() {
  {
    const std::scoped_lock lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

Queue::Ticket Queue::add(Job& job, bool follows) {
  Ticket ticket = 0;
  {
    const std::scoped_lock lock(mutex_);
    if (error_) std::rethrow_exception(error_);
    given_.push_back({&job, clock_.now()});
    ticket = ++added_;
  }
  if (!follows) changed_.notify_all();
  return ticket;
}

void Queue::wait(Ticket ticket) {
  std::unique_lock lock(mutex_);
  changed_.notify_all();
  changed_.wait(lock, [&] { return done_ >= ticket || error_; });
  if (error_) std::rethrow_exception(error_);
}

bool Queue::done(Ticket ticket) const {
  const std::scoped_lock lock(mutex_);
  if (done_ < ticket) changed_.notify_all();
  return done_ >= ticket;
}

void Queue::synchronize() {
  if (std::this_thread::get_id() == thread_.get_id()) return;  // a job asks: what came before it has ended
  std::unique_lock lock(mutex_);
  changed_.notify_all();
  changed_.wait(lock, [&] { return done_ == added_ || error_; });
  if (error_) std::rethrow_exception(error_);
}

void Queue::loop() {
  DeviceTime time;
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return stopping_ || !given_.empty(); });
    if (given_.empty() || error_) return;
    const Given next = given_.front();
    given_.pop_front();
    lock.unlock();
    std::exception_ptr error;
    try {
      next.job->run(time, next.at);
    } catch (...) {
      error = std::current_exception();
    }
    lock.lock();
    error_ = error;
    if (!error_) ++done_;
    changed_.notify_all();
  }
}

void Event::record(Stream& stream) {
  queue_ = dynamic_cast<Queue*>(&stream);
  if (queue_ != nullptr) {
    ticket_ = queue_->add(*this, true);
  } else {
    at_ = clock_.now();
  }
  recorded_ = true;
}

void Event::make_wait(Stream& stream) {
  if (recorded_ && queue_ != nullptr && queue_ != &stream) queue_->wait(ticket_);
}

std::optional<double> Event::seconds_since(const StreamEvent& earlier) const {
  const auto& before = static_cast<const Event&>(earlier);
  if (!reached() || !before.reached()) return std::nullopt;
  return Seconds(at_ - before.at_).count();
}

namespace {

/// When each launch of a lane ended, for who waits for it on the other.
class Ends {
 public:
  explicit Ends(std::size_t launches) : at_(launches) {}
  void reset() noexcept {
    failed_ = false;
    done_.store(-1, std::memory_order_relaxed);
  }
  void set(int index, TimePoint end) noexcept {
    at_[static_cast<std::size_t>(index)] = end;
    done_.store(index, std::memory_order_release);
    done_.notify_all();
  }
  void fail() noexcept {
    failed_ = true;
    done_.store(std::numeric_limits<int>::max(), std::memory_order_release);
    done_.notify_all();
  }
  /// Waits until it is known; where the lane failed nothing is.
  [[nodiscard]] std::optional<TimePoint> of(int index) const noexcept {
    for (int seen = done_.load(std::memory_order_acquire); seen < index; seen = done_.load(std::memory_order_acquire))
      done_.wait(seen, std::memory_order_acquire);
    if (failed_) return std::nullopt;
    return at_[static_cast<std::size_t>(index)];
  }

 private:
  std::vector<TimePoint> at_;
  std::atomic<int> done_{-1};
  std::atomic<bool> failed_{false};
};

class EmulatedReplay final : public Replay, public Queue::Job, public cpu::Worker::Job {
 public:
  EmulatedReplay(std::vector<Piece> pieces, Queue& queue, HostClock& clock, cpu::Worker* sums)
      : pieces_(std::move(pieces)),
        queue_(queue),
        clock_(clock),
        sums_(sums),
        computed_(pieces_.size()),
        summed_(pieces_.size()) {
    bool any = false;
    for (const Piece& piece : pieces_)
      any = any || piece.launch.lane == Lane::communication;
    if (!any) sums_ = nullptr;
  }

  void launch() override { ticket_ = queue_.add(*this); }
  [[nodiscard]] std::optional<double> exposed_seconds() const override {
    if (!queue_.done(ticket_)) return std::nullopt;
    return exposed_seconds_;
  }

  /// The compute lane: ahead of the clock where nothing real has to be waited for.
  void run(DeviceTime& time, TimePoint given_at) override {
    time.given(given_at);
    exposed_seconds_ = 0.0;
    computed_.reset();
    summed_.reset();
    begun_ = time.free_at();
    if (sums_ != nullptr) sums_->start(*this);
    try {
      for (std::size_t at = 0; at < pieces_.size(); ++at)
        if (sums_ == nullptr || pieces_[at].launch.lane != Lane::communication) compute(static_cast<int>(at), time);
    } catch (...) {
      computed_.fail();
      if (sums_ != nullptr) sums_->join();
      throw;
    }
    if (sums_ != nullptr) {
      sums_->join();
      exposed_seconds_ += time.waits_for(last_sum_);  // a step has ended when its sums have
    }
    clock_.sleep_until(time.free_at());
  }

  /// The communication lane.
  void run() override {
    last_sum_ = begun_;
    try {
      for (std::size_t at = 0; at < pieces_.size(); ++at) {
        const Launch& launch = pieces_[at].launch;
        if (launch.lane != Lane::communication) continue;
        clock_.sleep_until(begun_);
        for (const int awaited : launch.waits) {
          const std::optional<TimePoint> end = computed_.of(awaited);
          if (!end) return;  // the other lane raises
          clock_.sleep_until(*end);
        }
        launch.plan->execute(queue_, launch.args);
        last_sum_ = clock_.now();
        summed_.set(static_cast<int>(at), last_sum_);
      }
    } catch (...) {
      summed_.fail();
      throw;
    }
  }

 private:
  void compute(int index, DeviceTime& time) {
    const Piece& piece = pieces_[static_cast<std::size_t>(index)];
    if (sums_ != nullptr) {
      for (const int awaited : piece.launch.waits) {
        const std::optional<TimePoint> end = summed_.of(awaited);
        if (!end) return;  // so do all that follow, and join() raises
        exposed_seconds_ += time.waits_for(*end);
      }
    }
    if (piece.real) {
      clock_.sleep_until(time.free_at());
      const TimePoint begin = clock_.now();  // late, where it was woken late: not the device's time
      piece.launch.plan->execute(queue_, piece.launch.args);
      const Seconds took = clock_.now() - begin;
      time.works(took);
      if (piece.launch.lane == Lane::communication) exposed_seconds_ += took.count();
    } else {
      time.works(piece.takes);
    }
    computed_.set(index, time.free_at());
  }

  std::vector<Piece> pieces_;
  Queue& queue_;
  HostClock& clock_;
  cpu::Worker* sums_;
  Ends computed_, summed_;
  TimePoint begun_{}, last_sum_{};
  Queue::Ticket ticket_ = 0;
  double exposed_seconds_ = 0.0;
};

}  // namespace

std::unique_ptr<Replay> make_replay(std::vector<Piece> pieces, Queue& queue, HostClock& clock, cpu::Worker* sums) {
  return std::make_unique<EmulatedReplay>(std::move(pieces), queue, clock, sums);
}

}  // namespace trainmark::emulated

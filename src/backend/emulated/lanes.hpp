// The emulated device's lanes. Its compute lane is a thread that keeps a time line and sleeps until what it was given
// would have ended; sums over ranks run for real on a thread of their own, each as soon as the time line comes to what
// it waits for; uploads run on the thread that asks.
#pragma once

#include <condition_variable>
#include <deque>
#include <exception>
#include <memory>
#include <mutex>
#include <thread>

#include "backend/cpu/streams.hpp"
#include "backend/emulated/time.hpp"

namespace trainmark::emulated {

/// The compute lane: a queue of jobs, done one after the other.
class Queue final : public Stream {
 public:
  class Job {
   public:
    virtual ~Job() = default;
    virtual void run(DeviceTime& time, TimePoint given_at) = 0;
  };
  using Ticket = std::int64_t;  ///< of the n-th job, from 1

  explicit Queue(HostClock& clock);
  ~Queue() override;  ///< after the last job
  Queue(const Queue&) = delete;
  Queue& operator=(const Queue&) = delete;

  /// Returns at once; `job` outlives its end. Raises what an earlier one raised. A job that only `follows` others wakes
  /// nobody: the host is about to give more, or to ask.
  Ticket add(Job& job, bool follows = false);
  void wait(Ticket ticket);  ///< raises what this job, or one before it, raised
  [[nodiscard]] bool done(Ticket ticket) const;
  void synchronize() override;

 private:
  struct Given {
    Job* job;
    TimePoint at;
  };
  void loop();

  HostClock& clock_;
  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  std::deque<Given> given_;
  Ticket added_ = 0, done_ = 0;
  bool stopping_ = false;
  std::exception_ptr error_;
  std::thread thread_;
};

/// A point of the device's time line, or of the host's clock where it is recorded on another stream than a queue.
class Event final : public StreamEvent, public Queue::Job {
 public:
  explicit Event(HostClock& clock) : clock_(clock) {}
  void record(Stream& stream) override;
  /// Jobs follow one another, and what the host asks for itself waits here.
  void make_wait(Stream& stream) override;
  [[nodiscard]] std::optional<double> seconds_since(const StreamEvent& earlier) const override;
  void run(DeviceTime& time, TimePoint given_at) override { at_ = time.reaches(given_at); }

 private:
  [[nodiscard]] bool reached() const { return recorded_ && (queue_ == nullptr || queue_->done(ticket_)); }

  HostClock& clock_;
  bool recorded_ = false;
  Queue* queue_ = nullptr;
  Queue::Ticket ticket_ = 0;
  TimePoint at_{};
};

/// One launch as the device takes it.
struct Piece {
  Launch launch;
  Seconds takes{0.0};
  bool real = false;  ///< the machine does it, and it takes what that takes
};

/// `sums` null: sums over ranks are part of the compute lane.
[[nodiscard]] std::unique_ptr<Replay> make_replay(std::vector<Piece> pieces, Queue& queue, HostClock& clock,
                                                  cpu::Worker* sums);

}  // namespace trainmark::emulated

// The CPU's two lanes: compute runs inline on the calling thread, communication on a thread that owns it for as long as
// the backend lives. A replay hands the thread its whole share of a step at once; progress counters are all that joins
// the lanes.
#pragma once

#include <atomic>
#include <condition_variable>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>

#include "backend/inline.hpp"

namespace trainmark::cpu {

/// A thread of a lane: it may run on every CPU that the process may use, and takes no signals.
[[nodiscard]] std::thread lane_thread(std::function<void()> body);

/// A thread that runs one job at a time.
class Worker {
 public:
  class Job {
   public:
    virtual ~Job() = default;
    virtual void run() = 0;
  };
  Worker();
  ~Worker();
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;
  void start(Job& job);
  void join();  ///< until the job has ended; raises what it raised

 private:
  void loop();

  std::mutex mutex_;
  std::condition_variable changed_;
  Job* job_ = nullptr;
  bool stopping_ = false;
  std::exception_ptr error_;
  std::thread thread_;
};

/// `worker` null: everything inline, in order.
[[nodiscard]] std::unique_ptr<Replay> make_replay(std::vector<Launch> launches, Stream& stream, Worker* worker);

}  // namespace trainmark::cpu

// Streams, events and recorded steps. A step is enqueued by one function, whether it is captured or not, so that both
// forms have the same order.
#include "backend/cuda/streams.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <mutex>
#include <thread>
#include <utility>

#include "backend/cuda/profiler.hpp"

namespace trainmark::cuda {
namespace {

cudaStream_t make_stream(Lane lane) {
  use_chosen_device();
  int least = 0, greatest = 0;
  check(cudaDeviceGetStreamPriorityRange(&least, &greatest), "cudaDeviceGetStreamPriorityRange");
  // A reduction that waits behind computation delays every rank.
  const int priority = lane == Lane::communication ? greatest : least;
  cudaStream_t stream = nullptr;
  check(cudaStreamCreateWithPriority(&stream, cudaStreamNonBlocking, priority), "cudaStreamCreateWithPriority");
  return stream;
}

cudaEvent_t make_event(bool timed) {
  use_chosen_device();
  cudaEvent_t event = nullptr;
  check(cudaEventCreateWithFlags(&event, timed ? cudaEventDefault : cudaEventDisableTiming),
        "cudaEventCreateWithFlags");
  return event;
}

struct Watches {
  std::mutex mutex;
  std::vector<Watch*> all;
};
Watches& watches() {
  static Watches only;
  return only;
}

thread_local std::vector<std::shared_ptr<const void>>* kept = nullptr;  // while this thread captures

/// The launches of a step with the events that order them.
class Sequence {
 public:
  Sequence(std::vector<Launch> launches, Lanes& lanes, bool timed) : launches_(std::move(launches)), lanes_(lanes) {
    std::vector<bool> awaited(launches_.size(), false);
    for (std::size_t at = 0; at < launches_.size(); ++at) {
      Launch& launch = launches_[at];
      used_.at(index(launch.lane)) = true;
      reduce(launch, at);
      for (const int wait : launch.waits)
        awaited[static_cast<std::size_t>(wait)] = true;
      if (timed && waits_for_sums(launch)) standstills_.emplace(at, std::make_unique<Standstill>());
    }
    ended_.resize(launches_.size());
    for (std::size_t at = 0; at < launches_.size(); ++at) {
      if (awaited[at]) ended_[at] = std::make_unique<CudaEvent>();
    }
    used_.at(index(Lane::compute)) = false;  // the origin: needs neither fork nor join
  }

  void enqueue() {
    fork();
    for (std::size_t at = 0; at < launches_.size(); ++at) {
      const Launch& launch = launches_[at];
      CudaStream& lane = lanes_.at(index(launch.lane));
      const auto standstill = standstills_.find(at);
      if (standstill != standstills_.end()) mark(standstill->second->begun, lane);
      for (const int wait : launch.waits)
        ended_[static_cast<std::size_t>(wait)]->make_wait(lane);
      if (standstill != standstills_.end()) mark(standstill->second->ended, lane);
      const NamedRange range(launch.name.c_str());
      launch.plan->execute(lane, launch.args);
      if (ended_[at]) ended_[at]->record(lane);
    }
    join();
  }
  [[nodiscard]] CudaStream& origin() const { return lanes_.at(index(Lane::compute)); }
  [[nodiscard]] std::optional<double> exposed_seconds() const {
    double total = 0.0;
    for (const auto& [at, standstill] : standstills_) {
      const std::optional<double> seconds = standstill->ended.seconds_since(standstill->begun);
      if (!seconds) return std::nullopt;
      total += *seconds;
    }
    return total;
  }

 private:
  /// Where the compute lane comes to a wait for sums, and where it goes on.
  struct Standstill {
    CudaEvent begun{true}, ended{true};
  };
  static std::size_t index(Lane lane) { return static_cast<std::size_t>(lane); }
  [[nodiscard]] bool waits_for_sums(const Launch& launch) const {
    return launch.lane == Lane::compute && std::ranges::any_of(launch.waits, [this](int wait) {
             return launches_[static_cast<std::size_t>(wait)].lane == Lane::communication;
           });
  }
  static void mark(CudaEvent& event, CudaStream& lane) {
    is_capturing() ? event.record_each_time(lane) : event.record(lane);
  }

  /// Drops waits that the order of a lane implies: those on its own lane, and those behind a later one it waited for.
  void reduce(Launch& launch, std::size_t at) {
    std::vector<int> kept_waits;
    std::ranges::sort(launch.waits, std::greater{});  // the latest of each lane first
    for (const int wait : launch.waits) {
      TRAINMARK_CHECK(wait >= 0 && static_cast<std::size_t>(wait) < at,
                      fmt::format("{} waits for launch {} and is launch {}", launch.name, wait, at));
      const Lane other = launches_[static_cast<std::size_t>(wait)].lane;
      int& latest = waited_.at(index(launch.lane)).at(index(other));
      if (other == launch.lane || wait <= latest) continue;
      latest = wait;
      kept_waits.push_back(wait);
    }
    launch.waits = std::move(kept_waits);
  }

  void fork() {
    if (std::ranges::find(used_, true) == used_.end()) return;
    begun_.record(origin());
    for (std::size_t lane = 0; lane < used_.size(); ++lane) {
      if (used_[lane]) begun_.make_wait(lanes_[lane]);
    }
  }
  void join() {
    for (std::size_t lane = 0; lane < used_.size(); ++lane) {
      if (!used_[lane]) continue;
      joined_[lane].record(lanes_[lane]);
      joined_[lane].make_wait(origin());
    }
  }

  std::vector<Launch> launches_;
  Lanes& lanes_;
  std::array<bool, 3> used_{};                      // lanes beside compute
  std::array<std::array<int, 3>, 3> waited_ = [] {  // by lane and awaited lane
    std::array<std::array<int, 3>, 3> none{};
    for (auto& row : none)
      row.fill(-1);
    return none;
  }();
  std::vector<std::unique_ptr<CudaEvent>> ended_;                   // of the launches that somebody waits for
  std::map<std::size_t, std::unique_ptr<Standstill>> standstills_;  // by launch
  CudaEvent begun_;
  std::array<CudaEvent, 3> joined_;
};

class StreamedReplay final : public Replay {
 public:
  explicit StreamedReplay(Sequence sequence) : sequence_(std::move(sequence)) {}
  void launch() override { sequence_.enqueue(); }
  [[nodiscard]] std::optional<double> exposed_seconds() const override { return sequence_.exposed_seconds(); }

 private:
  Sequence sequence_;
};

struct GraphTraits {
  using type = cudaGraph_t;
  static type null() noexcept { return nullptr; }
  static void release(type graph) noexcept { cudaGraphDestroy(graph); }
};
struct ExecutableTraits {
  using type = cudaGraphExec_t;
  static type null() noexcept { return nullptr; }
  static void release(type graph) noexcept { cudaGraphExecDestroy(graph); }
};
using Needed = std::vector<std::shared_ptr<const void>>;

class CapturedReplay final : public Replay {
 public:
  CapturedReplay(Sequence sequence, Needed needed, Handle<GraphTraits> graph, Handle<ExecutableTraits> executable)
      : needed_(std::move(needed)),
        sequence_(std::move(sequence)),
        graph_(std::move(graph)),
        executable_(std::move(executable)) {}
  void launch() override {
    if (profiling()) return sequence_.enqueue();  // a replayed graph shows no ranges
    check(cudaGraphLaunch(executable_.get(), sequence_.origin().native()), "launching the captured step");
  }
  [[nodiscard]] std::optional<double> exposed_seconds() const override { return sequence_.exposed_seconds(); }

 private:
  Needed needed_;  // destroyed after the graphs
  Sequence sequence_;
  Handle<GraphTraits> graph_;
  Handle<ExecutableTraits> executable_;
};

/// From begin to end of a capture on this thread; one that is left early is ended and thrown away.
class Capture {
 public:
  Capture(cudaStream_t origin, Needed& needed) : origin_(origin) {
    check(cudaStreamBeginCapture(origin_, cudaStreamCaptureModeThreadLocal), "cudaStreamBeginCapture");
    kept = &needed;
  }
  ~Capture() {
    if (kept != nullptr) static_cast<void>(take());
  }
  Capture(const Capture&) = delete;
  Capture& operator=(const Capture&) = delete;

  [[nodiscard]] Handle<GraphTraits> end() {
    auto [graph, code] = take();
    check(code, "ending the capture of a step");
    return std::move(graph);
  }

 private:
  std::pair<Handle<GraphTraits>, cudaError_t> take() noexcept {
    kept = nullptr;
    cudaGraph_t graph = nullptr;
    const cudaError_t code = cudaStreamEndCapture(origin_, &graph);
    if (code != cudaSuccess) static_cast<void>(cudaGetLastError());
    return {Handle<GraphTraits>(graph), code};
  }
  cudaStream_t origin_;
};

}  // namespace

CudaStream::CudaStream(Lane lane) : stream_(make_stream(lane)) {}

bool CudaStream::is_idle() const noexcept {
  const cudaError_t code = cudaStreamQuery(stream_.get());
  if (code != cudaSuccess) static_cast<void>(cudaGetLastError());
  return code != cudaErrorNotReady;
}

void CudaStream::synchronize() {
  use_chosen_device();
  Backoff backoff;
  for (;;) {
    const cudaError_t code = cudaStreamQuery(stream_.get());
    // Before and after the end: sums of a broken communicator are no results.
    poll_watches();
    if (code == cudaSuccess) return;
    if (code != cudaErrorNotReady) check(code, "waiting for the device");
    static_cast<void>(cudaGetLastError());
    backoff.pause();
  }
}

CudaEvent::CudaEvent(bool timed) : event_(make_event(timed)) {}
void CudaEvent::record(Stream& stream) {
  use_chosen_device();
  check(cudaEventRecord(event_.get(), cuda::native(stream)), "cudaEventRecord");
}
void CudaEvent::record_each_time(Stream& stream) {
  check(cudaEventRecordWithFlags(event_.get(), cuda::native(stream), cudaEventRecordExternal),
        "cudaEventRecordWithFlags");
}
void CudaEvent::make_wait(Stream& stream) {
  use_chosen_device();
  check(cudaStreamWaitEvent(cuda::native(stream), event_.get(), 0), "cudaStreamWaitEvent");
}
std::optional<double> CudaEvent::seconds_since(const StreamEvent& earlier) const {
  use_chosen_device();
  float milliseconds = 0.0F;
  const cudaError_t code =
      cudaEventElapsedTime(&milliseconds, static_cast<const CudaEvent&>(earlier).native(), event_.get());
  if (code == cudaSuccess) return milliseconds / 1000.0;
  // Not reached yet, or never recorded.
  if (code != cudaErrorNotReady && code != cudaErrorInvalidResourceHandle) check(code, "cudaEventElapsedTime");
  static_cast<void>(cudaGetLastError());
  return std::nullopt;
}

Recording make_replay(std::vector<Launch> launches, Lanes& lanes, bool capture, bool timed) {
  Sequence sequence(std::move(launches), lanes, timed);
  if (!capture) return {std::make_unique<StreamedReplay>(std::move(sequence)), {}};
  try {
    Needed needed;
    Capture capturing(sequence.origin().native(), needed);
    sequence.enqueue();
    Handle<GraphTraits> graph = capturing.end();
    cudaGraphExec_t executable = nullptr;
    // Without the flag all of a graph runs at the priority of the stream it is launched into: sums would queue up.
    check(cudaGraphInstantiate(&executable, graph.get(), cudaGraphInstantiateFlagUseNodePriority),
          "cudaGraphInstantiate");
    return {std::make_unique<CapturedReplay>(std::move(sequence), std::move(needed), std::move(graph),
                                             Handle<ExecutableTraits>(executable)),
            {}};
  } catch (const std::exception& error) {
    // A device that is lost says so again at the first launch.
    static_cast<void>(cudaGetLastError());
    return {std::make_unique<StreamedReplay>(std::move(sequence)), error.what()};
  }
}

namespace {

class WarmedReplay final : public Replay {
 public:
  WarmedReplay(std::vector<Launch> launches, Lanes& lanes, Settle settle, std::string& streamed_because, bool timed)
      : launches_(std::move(launches)),
        lanes_(lanes),
        timed_(timed),
        settle_(std::move(settle)),
        streamed_because_(streamed_because),
        streamed_(make_replay(launches_, lanes_, false, timed).replay) {}

  void launch() override {
    if (!streamed_because_.empty()) captured_.reset();
    last_ = captured_ ? captured_.get() : streamed_.get();
    last_->launch();
    if (captured_) return;
    if (!streamed_because_.empty()) return;
    Recording recording = make_replay(launches_, lanes_, true, timed_);
    streamed_because_ = settle_(recording.streamed_because);
    if (streamed_because_.empty()) captured_ = std::move(recording.replay);
  }
  [[nodiscard]] std::optional<double> exposed_seconds() const override {
    return last_ == nullptr ? std::nullopt : last_->exposed_seconds();
  }

 private:
  std::vector<Launch> launches_;
  Lanes& lanes_;
  bool timed_;
  Settle settle_;
  std::string& streamed_because_;
  std::unique_ptr<Replay> streamed_, captured_;
  Replay* last_ = nullptr;  // launched
};

}  // namespace

std::unique_ptr<Replay> make_warmed_replay(std::vector<Launch> launches, Lanes& lanes, Settle settle,
                                           std::string& streamed_because, bool timed) {
  return std::make_unique<WarmedReplay>(std::move(launches), lanes, std::move(settle), streamed_because, timed);
}

bool is_capturing() noexcept { return kept != nullptr; }

void keep_with_capture(std::shared_ptr<const void> needed) {
  if (kept == nullptr || std::ranges::find(*kept, needed) != kept->end()) return;
  kept->push_back(std::move(needed));
}

Watch::Watch(std::function<void()> poll) : poll_(std::move(poll)) {
  const std::scoped_lock lock(watches().mutex);
  watches().all.push_back(this);
}
Watch::~Watch() {
  const std::scoped_lock lock(watches().mutex);
  std::erase(watches().all, this);
}

void poll_watches() {
  const std::scoped_lock lock(watches().mutex);
  for (const Watch* watch : watches().all)
    watch->poll_();
}

void Backoff::pause() {
  constexpr int yields = 1000;  // with what is looked at about 2 milliseconds: a sleep of any length costs 50 us more
  constexpr int longest = 50;
  if (++looks_ <= yields) {
    std::this_thread::yield();
  } else {
    std::this_thread::sleep_for(std::chrono::microseconds(std::min(longest, 5 * (looks_ - yields))));
  }
}

}  // namespace trainmark::cuda

// The device's three lanes as CUDA streams, and a step as one captured graph of them.
#pragma once

#include <cuda_runtime.h>

#include <array>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "backend/cuda/device.hpp"
#include "trainmark/backend.hpp"

namespace trainmark::cuda {

struct StreamTraits {
  using type = cudaStream_t;
  static type null() noexcept { return nullptr; }
  static void release(type stream) noexcept { cudaStreamDestroy(stream); }
};
struct EventTraits {
  using type = cudaEvent_t;
  static type null() noexcept { return nullptr; }
  static void release(type event) noexcept { cudaEventDestroy(event); }
};

class CudaStream final : public Stream {
 public:
  explicit CudaStream(Lane lane);
  /// Polls instead of blocking, so that failures which never end a queue (a peer that died) are seen: asks all watches.
  void synchronize() override;
  /// Whether all that was enqueued has ended, or never will; asks no watch.
  [[nodiscard]] bool is_idle() const noexcept;
  [[nodiscard]] cudaStream_t native() const noexcept { return stream_.get(); }

 private:
  Handle<StreamTraits> stream_;
};
[[nodiscard]] inline cudaStream_t native(Stream& stream) { return static_cast<CudaStream&>(stream).native(); }

class CudaEvent final : public StreamEvent {
 public:
  /// A timed one costs the device a little more.
  explicit CudaEvent(bool timed = false);
  void record(Stream& stream) override;
  /// While a stream is captured: each launch of the graph records it anew, as if it had been streamed.
  void record_each_time(Stream& stream);
  void make_wait(Stream& stream) override;
  [[nodiscard]] std::optional<double> seconds_since(const StreamEvent& earlier) const override;  ///< both timed
  [[nodiscard]] cudaEvent_t native() const noexcept { return event_.get(); }

 private:
  Handle<EventTraits> event_;
};

using Lanes = std::array<CudaStream, 3>;  // by Lane

/// How steps run: one captured graph, or launch by launch with the reason why.
struct Recording {
  std::unique_ptr<Replay> replay;
  std::string streamed_because;  ///< empty: captured, or streaming was asked for
};
/// `capture` false streams. Capturing is thread-local and executes nothing; where it fails the step is streamed. The
/// lanes and plans outlive the recording. While a Profiling (profiler.hpp) lives, captured steps are streamed too.
/// `timed`: waits of the compute lane for sums over ranks are measured, at a few microseconds each.
[[nodiscard]] Recording make_replay(std::vector<Launch> launches, Lanes& lanes, bool capture, bool timed = false);

/// Called behind each capture with why it failed here, or nothing; says why steps are streamed from now on, or nothing
/// where all ranks have captured. Leaves everything that a failed capture has spoilt as it was before. Collective.
using Settle = std::function<std::string(const std::string& failure)>;
/// Streams the first launch, in which libraries load their code and set themselves up (what they allocate then would
/// spoil a capture), and captures behind it. `streamed_because` is shared by all replays of a backend and outlives
/// them, as lanes and plans do: once it says something all of them are streamed, those too that were captured before.
[[nodiscard]] std::unique_ptr<Replay> make_warmed_replay(std::vector<Launch> launches, Lanes& lanes, Settle settle,
                                                         std::string& streamed_because, bool timed = false);

[[nodiscard]] bool is_capturing() noexcept;  ///< whether this thread does

/// While this thread captures: `needed` lives at least as long as the captured graph. NCCL waits for graphs that hold
/// its collectives when a communicator ends, so graphs go first whatever the order in which their owners do.
void keep_with_capture(std::shared_ptr<const void> needed);

/// Asked whenever the host waits for a stream, by any thread: `poll` raises where something that the queues depend on
/// has failed.
class [[nodiscard]] Watch {
 public:
  explicit Watch(std::function<void()> poll);
  ~Watch();
  Watch(const Watch&) = delete;
  Watch& operator=(const Watch&) = delete;

 private:
  friend void poll_watches();
  std::function<void()> poll_;
};
void poll_watches();

/// Waits between two looks: short at first, for what ends at once, then up to 50 microseconds, which costs little of a
/// core or of a step.
class Backoff {
 public:
  void pause();

 private:
  int looks_ = 0;
};

}  // namespace trainmark::cuda

// The device's three lanes as CUDA streams, and a step as one captured graph of them.
#pragma once

#include <cuda_runtime.h>

#include <array>

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
  void synchronize() override;
  [[nodiscard]] cudaStream_t native() const noexcept { return stream_.get(); }

 private:
  Handle<StreamTraits> stream_;
};
[[nodiscard]] inline cudaStream_t native(Stream& stream) { return static_cast<CudaStream&>(stream).native(); }

class CudaEvent final : public StreamEvent {
 public:
  CudaEvent();
  void record(Stream& stream) override;
  void make_wait(Stream& stream) override;
  [[nodiscard]] cudaEvent_t native() const noexcept { return event_.get(); }

 private:
  Handle<EventTraits> event_;
};

using Lanes = std::array<CudaStream, 3>;  // by Lane

/// How steps run: one captured graph, or launch by launch with the reason why.
struct Recording {
  std::unique_ptr<Replay> replay;
  std::string streamed_because;  ///< empty: captured
};
/// `capture` false streams. Capturing is thread-local and executes nothing; where it fails the step is streamed.
[[nodiscard]] Recording make_replay(std::vector<Launch> launches, Lanes& lanes, bool capture);

}  // namespace trainmark::cuda

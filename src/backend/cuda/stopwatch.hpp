// Time between two points of a stream, by the device's own clock.
#pragma once

#include "backend/cuda/streams.hpp"

namespace trainmark::cuda {

class Stopwatch {
 public:
  Stopwatch() : begin_(make()), end_(make()) {}
  void start(cudaStream_t stream) { check(cudaEventRecord(begin_.get(), stream), "cudaEventRecord"); }
  /// Seconds since start, once the stream has come here; the host waits for it.
  double stop(cudaStream_t stream) {
    check(cudaEventRecord(end_.get(), stream), "cudaEventRecord");
    check(cudaEventSynchronize(end_.get()), "cudaEventSynchronize");
    float milliseconds = 0.0F;
    check(cudaEventElapsedTime(&milliseconds, begin_.get(), end_.get()), "cudaEventElapsedTime");
    return milliseconds / 1000.0;
  }

 private:
  static Handle<EventTraits> make() {
    cudaEvent_t event = nullptr;
    check(cudaEventCreate(&event), "cudaEventCreate");
    return Handle<EventTraits>(event);
  }
  Handle<EventTraits> begin_, end_;
};

}  // namespace trainmark::cuda

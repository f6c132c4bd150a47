// The runtime calls about streams, events and host functions. Only non-blocking streams are known: work on the default
// stream is ordered with nothing else.
#include <fmt/format.h>

#include "cuda_double/device.hpp"

namespace trainmark::cuda_double {

cudaError_t enqueue(cudaStream_t stream, const char* name, std::function<void()> body, std::vector<Access> accesses) {
  const Lock lock(device().mutex);
  Operation operation{.name = name, .accesses = std::move(accesses)};
  operation.start = [body = std::move(body)] {
    return [body] {
      body();
      return true;
    };
  };
  return submit(find_stream(stream), std::move(operation));
}

namespace {

std::shared_ptr<Event> find_event(cudaEvent_t handle) {
  const auto found = device().events.find(handle);
  return found == device().events.end() ? nullptr : found->second;
}

bool captured(const Event& event) { return !event.capture.expired() && event.marker == nullptr; }

cudaError_t wait_in_capture(Stream& stream, const std::shared_ptr<Stream>& shared, const Event& event) {
  const auto capture = event.capture.lock();
  if (capture == nullptr || event.marker != nullptr) {  // recorded outside
    if (stream.capture == nullptr || event.marker == nullptr) return cudaSuccess;
    stream.capture->invalid = true;
    return failed(cudaErrorStreamCaptureIsolation);
  }
  if (stream.capture == nullptr) {
    if (!stream.queue.empty() && stream.index == 0) return failed(cudaErrorStreamCaptureImplicit);
    stream.capture = capture;
    stream.frontier.clear();
    capture->streams.push_back(shared);
  } else if (stream.capture != capture) {
    stream.capture->invalid = capture->invalid = true;
    return failed(cudaErrorStreamCaptureMerge);
  }
  stream.frontier.insert(stream.frontier.end(), event.frontier.begin(), event.frontier.end());
  return cudaSuccess;
}

/// What both synchronise and query refuse: a stream that is being captured, and any while a capture forbids it.
cudaError_t refuse_capturing(const std::shared_ptr<Stream>& stream) {
  if (stream == nullptr) return failed(cudaErrorInvalidResourceHandle);
  if (stream->capture != nullptr) stream->capture->invalid = true;
  return stream->capture != nullptr || forbidden_by_capture() ? failed(cudaErrorStreamCaptureUnsupported) : cudaSuccess;
}

/// A device goes on while it is asked.
template <class Done>
void run_while_asked(Stream& stream, Done&& done) {
  const auto most = device().options.order == Order::lazy ? 16 : device().random() % 32 + 1;
  for (std::uint64_t i = 0; i < most && !done() && run_one(&stream); ++i)
    continue;
}

cudaError_t create_stream(cudaStream_t* handle, unsigned flags, int priority) {
  const Lock lock(device().mutex);
  if (const cudaError_t code = standing_error(); code != cudaSuccess) return failed(code);
  if ((flags & cudaStreamNonBlocking) == 0)
    add_finding(
        "a stream without cudaStreamNonBlocking: it waits for the default stream, which the double does not do");
  const auto stream = make_stream(priority);
  device().streams[stream.get()] = stream;
  *handle = reinterpret_cast<cudaStream_t>(stream.get());
  return cudaSuccess;
}

}  // namespace
}  // namespace trainmark::cuda_double

using namespace trainmark::cuda_double;
extern "C" {

cudaError_t cudaStreamCreate(cudaStream_t* stream) { return create_stream(stream, 0, 0); }
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags) { return create_stream(stream, flags, 0); }
cudaError_t cudaStreamCreateWithPriority(cudaStream_t* stream, unsigned flags, int priority) {
  return create_stream(stream, flags, priority);
}

cudaError_t cudaStreamDestroy(cudaStream_t handle) {
  const Lock lock(device().mutex);
  const auto found = device().streams.find(handle);
  if (found == device().streams.end()) return failed(cudaErrorInvalidResourceHandle);
  if (!idle(*found->second)) device().destroyed.push_back(found->second);
  device().streams.erase(found);
  return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t handle) {
  Lock lock(device().mutex);
  if (const cudaError_t code = standing_error(); code != cudaSuccess) return failed(code);
  const auto stream = find_stream(handle);
  if (const cudaError_t code = refuse_capturing(stream); code != cudaSuccess) return code;
  run_until(lock, stream, [&] { return idle(*stream); });
  merge(device().host, stream->clock);
  return failed(device().sticky);
}

cudaError_t cudaStreamQuery(cudaStream_t handle) {
  const Lock lock(device().mutex);
  if (const cudaError_t code = standing_error(); code != cudaSuccess) return failed(code);
  const auto stream = find_stream(handle);
  if (const cudaError_t code = refuse_capturing(stream); code != cudaSuccess) return code;
  run_while_asked(*stream, [&] { return idle(*stream); });
  if (!idle(*stream)) return cudaErrorNotReady;
  merge(device().host, stream->clock);
  return failed(device().sticky);
}

cudaError_t cudaStreamWaitEvent(cudaStream_t handle, cudaEvent_t event_handle, unsigned /*flags*/) {
  const Lock lock(device().mutex);
  const auto stream = find_stream(handle);
  const auto event = find_event(event_handle);
  if (stream == nullptr || event == nullptr) return failed(cudaErrorInvalidResourceHandle);
  if (stream->capture != nullptr || captured(*event)) return wait_in_capture(*stream, stream, *event);
  if (event->marker == nullptr) return cudaSuccess;  // never recorded
  Operation wait{.name = "wait"};
  wait.waits.push_back(event->marker);
  return submit(stream, std::move(wait));
}

cudaError_t cudaLaunchHostFunc(cudaStream_t stream, cudaHostFn_t function, void* argument) {
  return enqueue(stream, "host function", [=] { function(argument); }, {});
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* handle, unsigned flags) {
  const Lock lock(device().mutex);
  if (const cudaError_t code = standing_error(); code != cudaSuccess) return failed(code);
  auto event = std::make_shared<Event>();
  event->timed = (flags & cudaEventDisableTiming) == 0;
  device().events[event.get()] = event;
  *handle = reinterpret_cast<cudaEvent_t>(event.get());
  return cudaSuccess;
}

cudaError_t cudaEventCreate(cudaEvent_t* handle) { return cudaEventCreateWithFlags(handle, cudaEventDefault); }

cudaError_t cudaEventDestroy(cudaEvent_t handle) {
  const Lock lock(device().mutex);
  return device().events.erase(handle) == 1 ? cudaSuccess : failed(cudaErrorInvalidResourceHandle);
}

cudaError_t cudaEventRecord(cudaEvent_t handle, cudaStream_t stream_handle) {
  const Lock lock(device().mutex);
  const auto stream = find_stream(stream_handle);
  const auto event = find_event(handle);
  if (stream == nullptr || event == nullptr) return failed(cudaErrorInvalidResourceHandle);
  event->marker = nullptr;
  event->capture = stream->capture;
  event->frontier = stream->frontier;
  if (stream->capture != nullptr) return cudaSuccess;
  Operation record{.name = "event"};
  record.marks = event->marker = std::make_shared<Marker>();
  return submit(stream, std::move(record));
}

cudaError_t cudaEventRecordWithFlags(cudaEvent_t handle, cudaStream_t stream_handle, unsigned flags) {
  if (flags == cudaEventRecordDefault) return cudaEventRecord(handle, stream_handle);
  const Lock lock(device().mutex);
  const auto stream = find_stream(stream_handle);
  const auto event = find_event(handle);
  if (stream == nullptr || event == nullptr) return failed(cudaErrorInvalidResourceHandle);
  if (stream->capture == nullptr) return failed(cudaErrorIllegalState);
  Operation record{.name = "event"};
  record.records = event;
  return submit(stream, std::move(record));
}

cudaError_t cudaEventQuery(cudaEvent_t handle) {
  const Lock lock(device().mutex);
  if (const cudaError_t code = standing_error(); code != cudaSuccess) return failed(code);
  const auto event = find_event(handle);
  if (event == nullptr) return failed(cudaErrorInvalidResourceHandle);
  if (captured(*event)) return failed(cudaErrorCapturedEvent);
  if (forbidden_by_capture()) return failed(cudaErrorStreamCaptureUnsupported);
  if (event->marker == nullptr) return cudaSuccess;
  if (const auto stream = event->marker->stream.lock()) run_while_asked(*stream, [&] { return event->marker->done; });
  if (!event->marker->done) return cudaErrorNotReady;
  merge(device().host, event->marker->clock);
  return failed(device().sticky);
}

cudaError_t cudaEventSynchronize(cudaEvent_t handle) {
  Lock lock(device().mutex);
  if (const cudaError_t code = standing_error(); code != cudaSuccess) return failed(code);
  const auto event = find_event(handle);
  if (event == nullptr) return failed(cudaErrorInvalidResourceHandle);
  if (captured(*event)) return failed(cudaErrorCapturedEvent);
  if (forbidden_by_capture()) return failed(cudaErrorStreamCaptureUnsupported);
  const auto marker = event->marker;
  if (marker == nullptr) return cudaSuccess;
  run_until(lock, marker->stream.lock(), [&] { return marker->done; });
  merge(device().host, marker->clock);
  return failed(device().sticky);
}

cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t from, cudaEvent_t to) {
  const Lock lock(device().mutex);
  const auto first = find_event(from), last = find_event(to);
  if (first == nullptr || last == nullptr || !first->timed || !last->timed || !first->marker || !last->marker)
    return failed(cudaErrorInvalidResourceHandle);
  if (!first->marker->done || !last->marker->done) return failed(cudaErrorNotReady);
  *milliseconds = static_cast<float>((last->marker->time - first->marker->time) * 1e3);
  return cudaSuccess;
}
}

// The queues: which operation runs next under each order, and what is known to have happened before it. Streams are
// ordered by their own queue, by markers (events, edges of graphs) and by what the host had waited for; by nothing
// else.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>

#include "cuda_double/device.hpp"

namespace trainmark::cuda_double {
namespace {

std::uint32_t current = 0;

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

bool ready(const Stream& stream) {
  return !stream.queue.empty() &&
         std::ranges::all_of(stream.queue.front().waits, [](const auto& marker) { return marker->done; });
}

std::vector<std::shared_ptr<Stream>> all_streams() {
  std::vector<std::shared_ptr<Stream>> streams;
  for (const auto& weak : device().queues)
    if (auto stream = weak.lock()) streams.push_back(std::move(stream));
  return streams;
}

void begin(Stream& stream, Operation& operation) {
  operation.begun = true;
  merge(stream.clock, operation.host);
  for (const auto& marker : operation.waits)
    merge(stream.clock, marker->clock);
  if (stream.clock.size() <= stream.index) stream.clock.resize(stream.index + 1);
  ++stream.clock[stream.index];
  bool sound = true;
  for (const Access& access : operation.accesses)
    sound = check_range(operation.name, access) && sound;
  if (!sound) device().sticky = cudaErrorIllegalAddress;
  if (watch().begin_operation == nullptr || !operation.step) return;
  operation.id = watch().begin_operation(operation.name, stream.index, stream.clock);
  for (const Access& access : operation.accesses)
    if (sound) watch().range(operation.id, access);
}

/// Runs the head of a ready queue; false if it has to be called again.
bool advance(Stream& stream) {
  Operation& operation = stream.queue.front();
  if (!operation.begun) begin(stream, operation);
  bool done = true;
  if (operation.step && device().sticky == cudaSuccess) {
    device().arena.open();
    device().running = true;
    current = operation.id;
    done = operation.step();
    device().running = false;
  }
  if (!done) return false;
  if (operation.marks) {
    operation.marks->done = true;
    operation.marks->clock = stream.clock;
    operation.marks->time = now();
  }
  const Operation ended = std::move(operation);  // its closures may hold the stream: let go of the queue first
  stream.queue.pop_front();
  return true;
}

/// Follows waits from `wanted` to the streams that can end them, depth first: what the laziest device would run.
bool run_needed(Stream& wanted, int depth) {
  if (wanted.queue.empty() || depth > 200) return false;
  if (ready(wanted)) return advance(wanted);
  for (const auto& marker : wanted.queue.front().waits) {
    if (marker->done) continue;
    const auto other = marker->stream.lock();
    if (other != nullptr && other.get() != &wanted && run_needed(*other, depth + 1)) return true;
  }
  return false;
}

}  // namespace

void merge(Clock& into, const Clock& from) {
  if (into.size() < from.size()) into.resize(from.size());
  for (std::size_t i = 0; i < from.size(); ++i)
    into[i] = std::max(into[i], from[i]);
}

bool covers(const Clock& clock, std::size_t stream, std::uint32_t tick) {
  return tick == 0 || (stream < clock.size() && clock[stream] >= tick);
}

std::uint32_t current_operation() { return current; }

bool idle(const Stream& stream) { return stream.queue.empty(); }

std::shared_ptr<Stream> make_stream(int priority) {
  Device& self = device();
  auto stream = std::make_shared<Stream>();
  stream->index = self.queues.size();
  stream->rank = self.random();
  stream->priority = priority;
  self.queues.push_back(stream);
  return stream;
}

std::shared_ptr<Stream> find_stream(cudaStream_t handle) {
  Device& self = device();
  if (handle == nullptr || handle == cudaStreamLegacy) return self.null_stream;
  const auto found = self.streams.find(handle);
  return found == self.streams.end() ? nullptr : found->second;
}

void push(const std::shared_ptr<Stream>& stream, Operation operation) {
  operation.host = device().host;
  device().pushed = operation.marks;
  if (operation.start) operation.step = operation.start();
  if (operation.marks) operation.marks->stream = stream;
  stream->queue.push_back(std::move(operation));
}

cudaError_t submit(const std::shared_ptr<Stream>& stream, Operation operation) {
  Device& self = device();
  if (self.running) add_finding(fmt::format("{}: enqueued from inside a kernel or host function", operation.name));
  if (const cudaError_t code = standing_error(); code != cudaSuccess) return failed(code);
  if (stream == nullptr) return failed(cudaErrorInvalidResourceHandle);
  if (stream->capture != nullptr) {
    Capture& capture = *stream->capture;
    if (capture.invalid) return failed(cudaErrorStreamCaptureInvalidated);
    capture.nodes.push_back({std::move(operation), stream->frontier, stream});
    stream->frontier = {static_cast<int>(capture.nodes.size()) - 1};
    return cudaSuccess;
  }
  if (stream == self.null_stream && forbidden_by_capture()) return failed(cudaErrorStreamCaptureImplicit);
  push(stream, std::move(operation));
  run_some();
  return cudaSuccess;  // what went wrong just now shows at the next call, as on a device
}

bool run_one(Stream* wanted) {
  Device& self = device();
  if (self.options.order == Order::lazy && wanted != nullptr && run_needed(*wanted, 0)) return true;
  auto streams = all_streams();
  if (self.options.order == Order::random) std::ranges::shuffle(streams, self.random);
  if (self.options.order == Order::priority)
    std::ranges::sort(streams, [](const auto& a, const auto& b) { return a->rank > b->rank; });
  // The lazy order comes here only when its own work waits for something that no other stream of its chain can end.
  return std::ranges::any_of(streams, [](const auto& stream) { return ready(*stream) && advance(*stream); });
}

void run_some() {
  Device& self = device();
  if (self.running) return;
  if (self.options.order == Order::eager) {
    while (run_one(nullptr))
      continue;
  } else if (self.options.order == Order::random || self.options.order == Order::priority) {
    while (self.random() % 3 == 0 && run_one(nullptr))
      continue;
  }
}

void run_until(Lock& lock, const std::shared_ptr<Stream>& wanted, const std::function<bool()>& done) {
  double since = now();
  while (!done()) {
    if (run_one(wanted.get())) {
      since = now();
      continue;
    }
    if (now() - since > 2.0 * device().options.time_limit_seconds) {
      drop_all("a wait never ended: nothing that is queued can run");
      continue;
    }
    device().arena.close();
    lock.unlock();
    usleep(100);
    lock.lock();
  }
}

void drop_all(const char* why) {
  if (why != nullptr) add_finding(why);
  for (const auto& stream : all_streams()) {
    for (Operation& operation : stream->queue)
      if (operation.marks) operation.marks->done = true;
    stream->queue.clear();
  }
  if (device().sticky == cudaSuccess) device().sticky = cudaErrorLaunchFailure;
}

}  // namespace trainmark::cuda_double

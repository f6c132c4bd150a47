// Stream capture and graphs. A capture is a list of operations with edges; a replay puts each on a stream of the
// graph's own, ordered by the edges alone, so that whatever the recording forgot to order may run in any order.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "cuda_double/device.hpp"

namespace trainmark::cuda_double {
namespace {

void end_capture(Capture& capture) {
  for (const auto& weak : capture.streams) {
    if (const auto stream = weak.lock()) {
      stream->capture = nullptr;
      stream->frontier.clear();
    }
  }
  std::erase_if(device().captures, [&](const auto& other) { return other.get() == &capture; });
}

bool capture_fails() {
  const std::int64_t first = device().options.faults.failing_capture, number = device().captures_ended++;
  return first >= 0 && number >= first && fails_here();
}

bool joined(const Capture& capture) {
  std::vector<bool> reached(capture.nodes.size());
  std::vector<int> todo = capture.origin->frontier;
  while (!todo.empty()) {
    const auto node = static_cast<std::size_t>(todo.back());
    todo.pop_back();
    if (reached[node]) continue;
    reached[node] = true;
    const auto& after = capture.nodes[node].after;
    todo.insert(todo.end(), after.begin(), after.end());
  }
  return std::ranges::all_of(reached, [](bool each) { return each; });
}

std::vector<std::shared_ptr<Marker>> replay_nodes(const GraphExec& graph, const std::shared_ptr<Marker>& start,
                                                  int priority) {
  std::vector<std::shared_ptr<Marker>> ends;
  device().replayed.clear();
  for (const Node& node : graph.nodes) {
    device().replayed.push_back({node.operation.name, graph.node_priorities ? node.stream->priority : priority});
    Operation operation = node.operation;
    operation.marks = std::make_shared<Marker>();
    if (const auto event = operation.records.lock()) event->marker = operation.marks;
    for (const int edge : node.after)
      operation.waits.push_back(ends[static_cast<std::size_t>(edge)]);
    if (node.after.empty()) operation.waits.push_back(start);
    ends.push_back(operation.marks);
    push(node.stream, std::move(operation));
  }
  return ends;
}

}  // namespace

bool forbidden_by_capture() {
  for (const auto& capture : std::vector(device().captures)) {
    const bool own = capture->thread == std::this_thread::get_id();
    if (capture->mode == cudaStreamCaptureModeRelaxed) continue;
    if (capture->mode == cudaStreamCaptureModeThreadLocal && !own) continue;
    capture->invalid = true;
    return true;
  }
  return false;
}

bool held_by_graphs(const void* communicator) {
  const auto holds = [communicator](const auto& graph) {
    return std::ranges::any_of(graph.nodes,
                               [&](const Node& node) { return node.operation.communicator == communicator; });
  };
  const Device& self = device();
  return std::ranges::any_of(self.captures, [&](const auto& capture) { return holds(*capture); }) ||
         std::ranges::any_of(self.graphs, [&](const auto& graph) { return holds(*graph.second); }) ||
         std::ranges::any_of(self.executables, [&](const auto& executable) { return holds(*executable.second); });
}

std::vector<Replayed> last_replay() {
  const Lock lock(device().mutex);
  return device().replayed;
}

}  // namespace trainmark::cuda_double

using namespace trainmark::cuda_double;
extern "C" {

cudaError_t cudaStreamBeginCapture(cudaStream_t handle, cudaStreamCaptureMode mode) {
  const Lock lock(device().mutex);
  const auto stream = find_stream(handle);
  if (stream == nullptr) return failed(cudaErrorInvalidResourceHandle);
  if (stream == device().null_stream) return failed(cudaErrorStreamCaptureUnsupported);
  if (stream->capture != nullptr) return failed(cudaErrorIllegalState);
  auto capture = std::make_shared<Capture>();
  capture->origin = stream;
  capture->streams = {stream};
  capture->mode = mode;
  capture->thread = std::this_thread::get_id();
  stream->capture = capture;
  stream->frontier.clear();
  device().captures.push_back(capture);
  return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t handle, cudaGraph_t* graph) {
  const Lock lock(device().mutex);
  const auto stream = find_stream(handle);
  *graph = nullptr;
  if (stream == nullptr) return failed(cudaErrorInvalidResourceHandle);
  const auto capture = stream->capture;
  if (capture == nullptr) return failed(cudaErrorIllegalState);
  if (capture->origin != stream) return failed(cudaErrorStreamCaptureUnmatched);
  if (capture->mode != cudaStreamCaptureModeRelaxed && capture->thread != std::this_thread::get_id())
    return failed(cudaErrorStreamCaptureWrongThread);
  const bool all_joined = joined(*capture);
  end_capture(*capture);
  if (capture->invalid || capture_fails()) return failed(cudaErrorStreamCaptureInvalidated);
  if (!all_joined) return failed(cudaErrorStreamCaptureUnjoined);
  device().graphs[capture.get()] = capture;
  *graph = reinterpret_cast<cudaGraph_t>(capture.get());
  return cudaSuccess;
}

cudaError_t cudaStreamIsCapturing(cudaStream_t handle, cudaStreamCaptureStatus* status) {
  const Lock lock(device().mutex);
  const auto stream = find_stream(handle);
  if (stream == nullptr) return failed(cudaErrorInvalidResourceHandle);
  *status = stream->capture == nullptr ? cudaStreamCaptureStatusNone
            : stream->capture->invalid ? cudaStreamCaptureStatusInvalidated
                                       : cudaStreamCaptureStatusActive;
  return cudaSuccess;
}

cudaError_t cudaGraphGetNodes(cudaGraph_t graph, cudaGraphNode_t* nodes, size_t* count) {
  const Lock lock(device().mutex);
  const auto found = device().graphs.find(graph);
  if (found == device().graphs.end()) return failed(cudaErrorInvalidValue);
  if (nodes == nullptr) *count = found->second->nodes.size();
  return nodes == nullptr ? cudaSuccess : failed(cudaErrorNotSupported);
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t* executable, cudaGraph_t graph, unsigned long long flags) {
  const Lock lock(device().mutex);
  const auto found = device().graphs.find(graph);
  if (found == device().graphs.end()) return failed(cudaErrorInvalidValue);
  auto made = std::make_shared<GraphExec>();
  made->nodes = found->second->nodes;
  made->node_priorities = (flags & cudaGraphInstantiateFlagUseNodePriority) != 0;
  std::map<const Stream*, std::shared_ptr<Stream>> own;
  for (Node& node : made->nodes) {
    auto& stream = own[node.stream.get()];
    if (stream == nullptr) stream = make_stream(node.stream->priority);
    node.stream = stream;
  }
  device().executables[made.get()] = made;
  *executable = reinterpret_cast<cudaGraphExec_t>(made.get());
  return cudaSuccess;
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t handle) {
  const Lock lock(device().mutex);
  if (const cudaError_t code = standing_error(); code != cudaSuccess) return failed(code);
  const auto found = device().executables.find(executable);
  const auto stream = find_stream(handle);
  if (found == device().executables.end() || stream == nullptr) return failed(cudaErrorInvalidResourceHandle);
  if (stream->capture != nullptr) return failed(cudaErrorStreamCaptureUnsupported);
  GraphExec& graph = *found->second;
  device().relaunched = device().relaunched || std::exchange(graph.launched, true);
  Operation before{.name = "graph launch"}, after{.name = "graph end"};
  before.marks = std::make_shared<Marker>();
  if (graph.last != nullptr) before.waits.push_back(graph.last);  // a graph never runs beside itself
  const auto start = before.marks;
  push(stream, std::move(before));
  after.waits = replay_nodes(graph, start, stream->priority);
  after.marks = graph.last = std::make_shared<Marker>();
  // The graph's streams must outlive their queues even if the executable is destroyed before they have run.
  after.start = [keep = found->second] { return [keep] { return true; }; };
  push(stream, std::move(after));
  run_some();
  return cudaSuccess;
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable) {
  const Lock lock(device().mutex);
  return device().executables.erase(executable) == 1 ? cudaSuccess : failed(cudaErrorInvalidValue);
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  const Lock lock(device().mutex);
  return device().graphs.erase(graph) == 1 ? cudaSuccess : failed(cudaErrorInvalidValue);
}

cudaError_t cudaGraphUpload(cudaGraphExec_t, cudaStream_t) { return cudaSuccess; }

cudaError_t cudaThreadExchangeStreamCaptureMode(cudaStreamCaptureMode* mode) {
  *mode = cudaStreamCaptureModeGlobal;
  return cudaSuccess;
}
}

// The nccl* calls. Non-blocking communicators are in progress for some polls, as real ones are, and using them before
// they are done is a finding. A helper thread goes on for a host that waits elsewhere while its peers wait for it.
#include <fmt/format.h>
#include <nccl.h>
#include <unistd.h>

#include <chrono>
#include <limits>
#include <random>

#include "cuda_double/communicator.hpp"

namespace trainmark::cuda_double {
namespace {

using Shared = std::shared_ptr<Communicator>;
std::unordered_map<ncclComm_t, Shared>& communicators() {
  static auto& all = *new std::unordered_map<ncclComm_t, Shared>;
  return all;
}
std::int64_t collectives = 0, captured = 0;  // since reset

Shared find(ncclComm_t handle) {
  const auto found = communicators().find(handle);
  return found == communicators().end() ? nullptr : found->second;
}

bool is_waited_for(const Communicator& communicator) {
  return communicator.called > communicator.ended && !communicator.posted && !communicator.aborted &&
         communicator.segment.somebody_arrived(communicator.round);
}

/// A device works on while its host is elsewhere, in MPI for instance. The double's host does the work, so somebody
/// must step in when peers wait; never sooner, since that would make the order of work depend on time.
void help_when_waited_for() {
  for (int late = 0;;) {
    usleep(10'000);
    const Lock lock(device().mutex, std::try_to_lock);
    if (!lock.owns_lock()) continue;
    bool waited_for = false;
    for (const auto& [handle, communicator] : communicators())
      waited_for = waited_for || is_waited_for(*communicator);
    late = waited_for ? late + 1 : 0;
    if (late < 5) continue;
    while (run_one(nullptr))
      continue;
  }
}

void prepare() {
  static const bool once = [] {
    device().at_reset.push_back([] {
      communicators().clear();
      collectives = captured = 0;
    });
    std::thread(help_when_waited_for).detach();
    return true;
  }();
  static_cast<void>(once);
}

bool settled(Communicator& communicator) {
  communicator.ready = communicator.ready || communicator.segment.all_joined();
  if (!communicator.ready) return false;
  if (communicator.polls > 0) return false;
  return !communicator.finalized || communicator.called == communicator.ended || communicator.aborted;
}

/// What a call on this communicator meets: an earlier error, or an earlier call that is still in progress.
ncclResult_t refused(const Shared& communicator, const char* call) {
  if (communicator == nullptr) return ncclInvalidArgument;
  if (communicator->error != ncclSuccess) return communicator->error;
  if (communicator->refuses != ncclSuccess) return communicator->refuses;
  if (settled(*communicator) && !communicator->finalized) return ncclSuccess;
  add_finding(fmt::format("{}: the communicator's last call is still in progress, or it is finalized", call));
  return ncclInvalidUsage;
}

/// What NCCL does behind the end of all kernels, for as long as it takes: memory that a graph would use is its own.
void wait_for_graphs(Lock& lock, const Communicator& communicator) {
  const auto limit = std::chrono::duration<double>(device().options.time_limit_seconds);
  const auto start = std::chrono::steady_clock::now();
  while (held_by_graphs(&communicator)) {
    if (std::chrono::steady_clock::now() - start > limit)
      return add_finding(
          "ncclCommAbort waits for graphs that hold the communicator's collectives, and nobody ends them");
    lock.unlock();
    usleep(200);
    lock.lock();
  }
}

/// Whether a fault that begins with collective `first` is here at `collective`.
bool happens(std::int64_t first, std::int64_t collective) { return first >= 0 && collective >= first && fails_here(); }

ncclResult_t submit_collective(const char* call, ncclComm_t handle, const Collective& collective, cudaStream_t stream) {
  const Lock lock(device().mutex);
  const Shared communicator = find(handle);
  if (const ncclResult_t code = refused(communicator, call); code != ncclSuccess) return code;
  const auto on = find_stream(stream);
  if (on != nullptr && on->capture != nullptr && happens(device().options.faults.failing_in_capture, captured++)) {
    // As it was seen: the capture is spoilt, and the communicator keeps the error for good.
    on->capture->invalid = true;
    return communicator->refuses = ncclUnhandledCudaError;
  }
  const std::size_t part = collective.count * size_of(collective.type);
  const std::size_t ranks = collective.kind == Kind::all_gather ? static_cast<std::size_t>(communicator->size) : 1;
  Operation operation{.name = fmt::format("{} ({} elements)", call, collective.count),
                      .accesses = {{collective.send, part, false}, {collective.receive, part * ranks, true}},
                      .communicator = communicator.get()};
  operation.start = [communicator, collective] {
    const std::int64_t overall = collectives++;
    if (device().options.faults.failing_collective == overall && fails_here()) communicator->error = ncclRemoteError;
    return [communicator, collective, overall, number = communicator->called++] {
      if (number != communicator->ended && !communicator->aborted) return false;
      const Faults& faults = device().options.faults;
      if (!communicator->advance(collective, happens(faults.absent_from, overall))) return false;
      if (collective.kind == Kind::all_reduce && collective.type == ncclFloat && happens(faults.wrong_from, overall))
        *reinterpret_cast<float*>(collective.receive) += 1.0F;
      ++communicator->ended;
      return true;
    };
  };
  if (submit(on, std::move(operation)) != cudaSuccess) return ncclUnhandledCudaError;
  if (communicator->blocking || std::exchange(communicator->connected, true)) return ncclSuccess;
  communicator->polls = 2;  // the first one connects
  return ncclInProgress;
}

}  // namespace
}  // namespace trainmark::cuda_double

using namespace trainmark::cuda_double;
extern "C" {

ncclResult_t ncclGetVersion(int* version) {
  *version = NCCL_VERSION_CODE;
  return ncclSuccess;
}

const char* ncclGetErrorString(ncclResult_t result) {
  switch (result) {
    case ncclSuccess:
      return "no error";
    case ncclUnhandledCudaError:
      return "unhandled cuda error (run with NCCL_DEBUG=INFO for details)";
    case ncclSystemError:
      return "unhandled system error (run with NCCL_DEBUG=INFO for details)";
    case ncclInternalError:
      return "internal error";
    case ncclInvalidArgument:
      return "invalid argument (run with NCCL_DEBUG=WARN for details)";
    case ncclInvalidUsage:
      return "invalid usage (run with NCCL_DEBUG=WARN for details)";
    case ncclRemoteError:
      return "remote process exited or there was a network error";
    case ncclInProgress:
      return "NCCL operation in progress";
    default:
      return "unknown result code";
  }
}

const char* ncclGetLastError(ncclComm_t) { return ""; }

ncclResult_t ncclGetUniqueId(ncclUniqueId* id) {
  std::random_device random;
  *id = {};
  fmt::format_to_n(id->internal, sizeof id->internal - 1, "/trainmark-double-{:08x}{:08x}", random(), random());
  return ncclSuccess;
}

ncclResult_t ncclCommInitRankConfig(ncclComm_t* handle, int ranks, ncclUniqueId id, int rank, ncclConfig_t* config) {
  Lock lock(device().mutex);
  prepare();
  *handle = nullptr;
  if (ranks < 1 || ranks > Segment::most_ranks || rank < 0 || rank >= ranks) return ncclInvalidArgument;
  if (standing_error() != cudaSuccess) return ncclUnhandledCudaError;
  const auto communicator = std::make_shared<Communicator>(id.internal, ranks, rank);
  communicator->blocking = config == nullptr || config->blocking != 0;
  *handle = reinterpret_cast<ncclComm_t>(communicator.get());
  communicators()[*handle] = communicator;
  communicator->polls = communicator->blocking ? 0 : 3;
  if (device().options.faults.hanging_join && fails_here()) communicator->polls = std::numeric_limits<int>::max();
  if (!communicator->blocking) return ncclInProgress;
  const auto limit = std::chrono::duration<double>(device().options.time_limit_seconds);
  const auto start = std::chrono::steady_clock::now();
  while (!communicator->segment.all_joined()) {
    if (std::chrono::steady_clock::now() - start > limit) {
      add_finding(fmt::format("rank {} of {} waited for others to join its communicator", rank, ranks));
      return communicator->error = ncclRemoteError;
    }
    lock.unlock();
    usleep(200);
    lock.lock();
  }
  return ncclSuccess;
}

ncclResult_t ncclCommInitRank(ncclComm_t* handle, int ranks, ncclUniqueId id, int rank) {
  return ncclCommInitRankConfig(handle, ranks, id, rank, nullptr);
}

ncclResult_t ncclCommGetAsyncError(ncclComm_t handle, ncclResult_t* state) {
  const Lock lock(device().mutex);
  const Shared communicator = find(handle);
  if (communicator == nullptr) return ncclInvalidArgument;
  if (communicator->polls > 0) --communicator->polls;
  if (communicator->finalized) run_one(nullptr);
  *state = communicator->error != ncclSuccess     ? communicator->error
           : communicator->refuses != ncclSuccess ? communicator->refuses
           : settled(*communicator)               ? ncclSuccess
                                                  : ncclInProgress;
  return ncclSuccess;
}

ncclResult_t ncclCommCount(ncclComm_t handle, int* count) {
  const Lock lock(device().mutex);
  const Shared communicator = find(handle);
  if (communicator == nullptr) return ncclInvalidArgument;
  *count = communicator->size;
  return ncclSuccess;
}

ncclResult_t ncclCommUserRank(ncclComm_t handle, int* rank) {
  const Lock lock(device().mutex);
  const Shared communicator = find(handle);
  if (communicator == nullptr) return ncclInvalidArgument;
  *rank = communicator->rank;
  return ncclSuccess;
}

ncclResult_t ncclCommFinalize(ncclComm_t handle) {
  Lock lock(device().mutex);
  const Shared communicator = find(handle);
  if (const ncclResult_t code = refused(communicator, "ncclCommFinalize"); code != ncclSuccess) return code;
  communicator->finalized = true;
  communicator->polls = communicator->blocking ? 0 : 1;
  if (!communicator->blocking) return ncclInProgress;
  run_until(lock, device().null_stream, [&] { return settled(*communicator); });
  return ncclSuccess;
}

ncclResult_t ncclCommDestroy(ncclComm_t handle) {
  const Lock lock(device().mutex);
  const auto found = communicators().find(handle);
  if (found == communicators().end()) return ncclInvalidArgument;
  const Communicator& communicator = *found->second;
  if (communicator.called != communicator.ended && !communicator.aborted)
    add_finding("a communicator is destroyed while its collectives are queued");
  else if (found->second.use_count() > 1)
    add_finding("a communicator is destroyed before the graphs that hold its collectives");
  communicators().erase(found);
  return ncclSuccess;
}

ncclResult_t ncclCommAbort(ncclComm_t handle) {
  Lock lock(device().mutex);
  const Shared communicator = find(handle);
  if (communicator == nullptr) return ncclInvalidArgument;
  if (device().options.says_aborts)
    fmt::print(stderr, "NCCL double: rank {} of {} aborts its communicator\n", communicator->rank, communicator->size);
  if (device().options.faults.hanging_abort) {
    lock.unlock();
    for (;;)
      pause();
  }
  communicator->aborted = true;
  wait_for_graphs(lock, *communicator);
  communicators().erase(handle);
  return ncclSuccess;
}

ncclResult_t ncclGroupStart() { return ncclSuccess; }
ncclResult_t ncclGroupEnd() { return ncclSuccess; }

ncclResult_t ncclAllReduce(const void* send, void* receive, size_t count, ncclDataType_t type, ncclRedOp_t reduction,
                           ncclComm_t communicator, cudaStream_t stream) {
  return submit_collective(
      "ncclAllReduce", communicator,
      {Kind::all_reduce, static_cast<const char*>(send), static_cast<char*>(receive), count, type, reduction, 0},
      stream);
}

ncclResult_t ncclBroadcast(const void* send, void* receive, size_t count, ncclDataType_t type, int root,
                           ncclComm_t communicator, cudaStream_t stream) {
  const void* from = send != nullptr ? send : receive;  // only the root's is read
  return submit_collective(
      "ncclBroadcast", communicator,
      {Kind::broadcast, static_cast<const char*>(from), static_cast<char*>(receive), count, type, ncclSum, root},
      stream);
}

ncclResult_t ncclAllGather(const void* send, void* receive, size_t count, ncclDataType_t type, ncclComm_t communicator,
                           cudaStream_t stream) {
  return submit_collective(
      "ncclAllGather", communicator,
      {Kind::all_gather, static_cast<const char*>(send), static_cast<char*>(receive), count, type, ncclSum, 0}, stream);
}
}

// An NCCL communicator from joining to its end, and what is said where it or a peer fails.
#include "backend/cuda/communicator.hpp"

#include <fmt/format.h>

#include <thread>
#include <utility>

#include "backend/cuda/plans.hpp"

namespace trainmark::cuda {
namespace {

using SteadyClock = std::chrono::steady_clock;

/// What an abort may take once nothing holds the communicator: behind that its thread is left to itself.
constexpr std::chrono::seconds abort_limit(5);

ncclUniqueId shared_id(const Group& group) {
  ncclUniqueId id{};
  agree_on(group, [&] {
    if (group.rank() != 0) return;
    const ncclResult_t result = ncclGetUniqueId(&id);
    if (result == ncclSuccess) return;
    throw Error(
        ExitCode::communication,
        Complaint{"ncclGetUniqueId", fmt::format("{} ({})", ncclGetErrorString(result), ncclGetLastError(nullptr)),
                  "no rank can join the communicator",
                  "NCCL_DEBUG=WARN shows the cause; NCCL_SOCKET_IFNAME chooses the network interface"});
  });
  group.broadcast(std::as_writable_bytes(std::span(id.internal)));
  return id;
}

/// No sums inside network switches; older NCCLs have no such setting, and NCCL_ALGO decides there too.
template <class Config>
void leave_out_switches(Config& config) {
  if constexpr (requires { config.collnetEnable; }) config.collnetEnable = 0;
}

ncclDataType_t nccl_type(DType type) {
  switch (type) {
    case DType::f64:
      return ncclDouble;
    case DType::bf16:
      return ncclBfloat16;
    case DType::f16:
      return ncclHalf;
    default:
      TRAINMARK_CHECK(type == DType::f32, "sums are of f64, f32, bf16 or f16");
      return ncclFloat;
  }
}

std::string why(ncclResult_t result) {
  switch (result) {
    case ncclRemoteError:
      return "a peer ended or the network to it failed";
    case ncclUnhandledCudaError:
      return "a CUDA call inside NCCL failed; the device may be lost";
    case ncclSystemError:
      return "a system call failed: network, shared memory or a limit of the process";
    case ncclInvalidUsage:
      return "the ranks do not fit together, for instance two of them on one device";
    default:
      return "gradients cannot be summed over ranks any more";
  }
}
std::string remedy(ncclResult_t result) {
  if (result == ncclRemoteError) return "look for the first message of another rank, then at the network";
  return "NCCL_DEBUG=WARN shows the cause; check /dev/shm, ulimit -l and NCCL_SOCKET_IFNAME";
}

}  // namespace

Communicator::Communicator(const Group& group, const CollectiveOptions& options)
    : options_(options), rank_(group.rank()), size_(group.size()), unwinding_(std::uncaught_exceptions()) {
  const ncclUniqueId id = shared_id(group);
  ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
  config.blocking = 0;
  if (options.deterministic) leave_out_switches(config);
  use_chosen_device();
  try {
    call("joining the NCCL communicator", [&] { return ncclCommInitRankConfig(&comm_, size_, id, rank_, &config); });
  } catch (...) {
    await_abort();  // no destructor will
    throw;
  }
  watch(true);
}

Communicator::~Communicator() {
  // After a failure some ranks do not come here, and finalising would wait for them.
  if (std::uncaught_exceptions() > unwinding_) abort("the run ended by an error");
  watch(false);
  if (spoilt()) abort(spoilt_because_);
  try {
    if (usable()) call("leaving the NCCL communicator", [&] { return ncclCommFinalize(comm_); });
    if (const ncclComm_t comm = take("it has ended"); comm != nullptr) static_cast<void>(ncclCommDestroy(comm));
  } catch (const std::exception&) {
    // The communicator is aborted; the run's results stand.
  }
  await_abort();
}

void Communicator::await_abort() const {
  if (aborted_.valid()) static_cast<void>(aborted_.wait_for(abort_limit));
}

void Communicator::sum(cudaStream_t stream, void* values, std::int64_t count, DType type) {
  const ncclDataType_t of = nccl_type(type);
  call("ncclAllReduce",
       [&] { return ncclAllReduce(values, values, static_cast<std::size_t>(count), of, ncclSum, comm_, stream); });
}

void Communicator::wait_for(cudaStream_t stream, const char* what) {
  const auto deadline = SteadyClock::now() + options_.limit;
  Backoff backoff;
  for (;;) {
    const cudaError_t code = cudaStreamQuery(stream);
    poll();
    if (code == cudaSuccess) return;
    if (code != cudaErrorNotReady) check(code, what);
    static_cast<void>(cudaGetLastError());
    if (SteadyClock::now() > deadline) fail_late(what);
    backoff.pause();
  }
}

void Communicator::poll() {
  std::unique_lock lock(mutex_);
  if (!watched_ || !spoilt_because_.empty()) return;
  require_usable();
  const ncclResult_t state = state_of();
  if (state != ncclSuccess && state != ncclInProgress) fail(state, "an NCCL operation under way", lock);
}

void Communicator::abort(const std::string& reason) noexcept {
  const ncclComm_t comm = take(reason);
  if (comm == nullptr) return;
  try {
    std::promise<void> done;
    aborted_ = done.get_future();
    std::thread([comm, done = std::move(done)]() mutable {
      static_cast<void>(ncclCommAbort(comm));
      done.set_value();
    }).detach();
  } catch (const std::exception&) {
    // No thread is to be had: what waits for this communicator does so until the process ends.
  }
}

void Communicator::spoil(const std::string& reason) {
  const std::scoped_lock lock(mutex_);
  spoilt_because_ = reason;
}

bool Communicator::spoilt() const {
  const std::scoped_lock lock(mutex_);
  return !spoilt_because_.empty();
}

/// Makes the call and polls until it is no longer in progress.
template <class Call>
void Communicator::call(const char* what, Call&& make) {
  const auto deadline = SteadyClock::now() + options_.limit;
  std::unique_lock lock(mutex_);
  if (joined_) require_usable();
  ncclResult_t result = make();
  Backoff backoff;
  while (result == ncclInProgress) {
    lock.unlock();
    if (SteadyClock::now() > deadline) fail_late(what);
    backoff.pause();
    lock.lock();
    require_usable();
    result = state_of();
  }
  if (result != ncclSuccess) fail(result, what, lock);
  joined_ = true;
}

void Communicator::watch(bool on) {
  const std::scoped_lock lock(mutex_);
  watched_ = on;
}

/// From here on nobody uses the handle but the caller, who releases it: that may take long and needs no lock.
ncclComm_t Communicator::take(const std::string& reason) noexcept {
  const std::scoped_lock lock(mutex_);
  if (comm_ != nullptr) ended_because_ = reason;
  return std::exchange(comm_, nullptr);
}

ncclResult_t Communicator::state_of() const {
  ncclResult_t state = ncclSuccess;
  const ncclResult_t result = ncclCommGetAsyncError(comm_, &state);
  return result == ncclSuccess ? state : result;
}

bool Communicator::usable() const {
  const std::scoped_lock lock(mutex_);
  return comm_ != nullptr;
}

std::string Communicator::place() const { return fmt::format("rank {} of {}", rank_, size_); }
std::string Communicator::peers() const {
  if (size_ == 2) return fmt::format("rank {}", 1 - rank_);
  return fmt::format("the other {} ranks", size_ - 1);
}

void Communicator::require_usable() const {
  if (comm_ != nullptr) return;
  throw Error(ExitCode::communication, Complaint{place(), "the NCCL communicator was aborted: " + ended_because_,
                                                 "sums under way have no result", "see the first error of the run"});
}

/// While a step is captured the one before it is still under way: only the recording is lost then.
void Communicator::end(const std::string& reason) {
  if (is_capturing()) {
    spoil(reason);
  } else {
    abort(reason);
  }
}

void Communicator::fail(ncclResult_t result, const char* what, std::unique_lock<std::mutex>& lock) {
  // A failed join may have made no communicator at all.
  const char* last = ncclGetLastError(comm_);
  const std::string text = fmt::format("{}: {}{}{}", what, ncclGetErrorString(result),
                                       last != nullptr && *last != '\0' ? "; " : "", last != nullptr ? last : "");
  lock.unlock();
  end(text);
  throw Error(ExitCode::communication, Complaint{place(), text, why(result), remedy(result)});
}

void Communicator::fail_late(const char* what) {
  const std::string text = fmt::format("{} has not ended within {} s: {} did not come", what,
                                       std::chrono::duration<double>(options_.limit).count(), peers());
  end(text);
  throw Error(ExitCode::communication,
              Complaint{place(), text, "a rank ended, hangs, or cannot be reached by NCCL although MPI reaches it",
                        "look for the first message of another rank; if there is none, check firewalls between the "
                        "nodes and NCCL_SOCKET_IFNAME; NCCL_DEBUG=INFO shows who connects to whom"});
}

}  // namespace trainmark::cuda

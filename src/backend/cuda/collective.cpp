// Sums of gradients over ranks: NCCL in a communicator of its own, or nothing for a rank alone. NCCL is used without
// blocking: every call may still be under way when it returns and is polled, with a limit, so that a peer which never
// comes is a message and not a hang. No device pointer is ever given to MPI.
#include "backend/cuda/collective.hpp"

#include <fmt/format.h>
#include <nccl.h>

#include <mutex>
#include <set>
#include <utility>

#include "backend/all_reduce.hpp"
#include "backend/cuda/plans.hpp"

namespace trainmark::cuda {
namespace {

using SteadyClock = std::chrono::steady_clock;

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

/// One NCCL communicator. The mutex guards the handle for the length of one call, none of which blocks: another thread
/// may poll or abort in between.
class Communicator {
 public:
  Communicator(const Group& group, const CollectiveOptions& options)
      : options_(options), rank_(group.rank()), size_(group.size()), unwinding_(std::uncaught_exceptions()) {
    const ncclUniqueId id = shared_id(group);
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    config.blocking = 0;
    if (options.deterministic) leave_out_switches(config);
    use_chosen_device();
    call("joining the NCCL communicator", [&] { return ncclCommInitRankConfig(&comm_, size_, id, rank_, &config); });
    watch(true);
  }

  Communicator(const Communicator&) = delete;
  Communicator& operator=(const Communicator&) = delete;
  ~Communicator() {
    // Where all is well all ranks come here; after a failure some do not, and finalising would wait for them.
    if (std::uncaught_exceptions() > unwinding_) abort("the run ended by an error");
    watch(false);
    try {
      if (usable()) call("leaving the NCCL communicator", [&] { return ncclCommFinalize(comm_); });
      if (const ncclComm_t comm = take("it has ended"); comm != nullptr) static_cast<void>(ncclCommDestroy(comm));
    } catch (const std::exception&) {
      // The communicator is aborted; the run's results stand.
    }
  }

  void sum(cudaStream_t stream, float* values, std::int64_t count) {
    call("ncclAllReduce", [&] {
      return ncclAllReduce(values, values, static_cast<std::size_t>(count), ncclFloat, ncclSum, comm_, stream);
    });
  }

  /// Waits for a stream with this communicator's limit, for sums at which all ranks arrive together.
  void wait_for(cudaStream_t stream, const char* what) {
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

  void poll() {
    std::unique_lock lock(mutex_);
    if (!watched_) return;
    require_usable();
    const ncclResult_t state = state_of();
    if (state != ncclSuccess && state != ncclInProgress) fail(state, "an NCCL operation under way", lock);
  }

  void abort(const std::string& reason) noexcept {
    if (const ncclComm_t comm = take(reason); comm != nullptr) static_cast<void>(ncclCommAbort(comm));
  }

 private:
  /// Makes the call and polls until it is no longer in progress.
  template <class Call>
  void call(const char* what, Call&& make) {
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

  void watch(bool on) {
    const std::scoped_lock lock(mutex_);
    watched_ = on;
  }
  /// From here on nobody uses the handle but the caller, who releases it: that may take long and needs no lock.
  [[nodiscard]] ncclComm_t take(const std::string& reason) noexcept {
    const std::scoped_lock lock(mutex_);
    if (comm_ != nullptr) ended_because_ = reason;
    return std::exchange(comm_, nullptr);
  }
  [[nodiscard]] ncclResult_t state_of() const {
    ncclResult_t state = ncclSuccess;
    const ncclResult_t result = ncclCommGetAsyncError(comm_, &state);
    return result == ncclSuccess ? state : result;
  }
  [[nodiscard]] bool usable() const {
    const std::scoped_lock lock(mutex_);
    return comm_ != nullptr;
  }
  [[nodiscard]] std::string place() const { return fmt::format("rank {} of {}", rank_, size_); }
  [[nodiscard]] std::string peers() const {
    if (size_ == 2) return fmt::format("rank {}", 1 - rank_);
    return fmt::format("the other {} ranks", size_ - 1);
  }

  void require_usable() const {
    if (comm_ != nullptr) return;
    throw Error(ExitCode::communication, Complaint{place(), "the NCCL communicator was aborted: " + ended_because_,
                                                   "sums under way have no result", "see the first error of the run"});
  }
  [[noreturn]] void fail(ncclResult_t result, const char* what, std::unique_lock<std::mutex>& lock) {
    // A failed join may have made no communicator at all.
    const char* last = ncclGetLastError(comm_);
    const std::string text = fmt::format("{}: {}{}{}", what, ncclGetErrorString(result),
                                         last != nullptr && *last != '\0' ? "; " : "", last != nullptr ? last : "");
    lock.unlock();
    abort(text);
    throw Error(ExitCode::communication, Complaint{place(), text, why(result), remedy(result)});
  }
  [[noreturn]] void fail_late(const char* what) {
    const std::string text = fmt::format("{} has not ended within {} s: {} did not come", what,
                                         std::chrono::duration<double>(options_.limit).count(), peers());
    abort(text);
    throw Error(ExitCode::communication,
                Complaint{place(), text, "a rank ended, hangs, or cannot be reached by NCCL although MPI reaches it",
                          "look for the first message of another rank; if there is none, check firewalls between the "
                          "nodes and NCCL_SOCKET_IFNAME; NCCL_DEBUG=INFO shows who connects to whom"});
  }
  static std::string why(ncclResult_t result) {
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
  static std::string remedy(ncclResult_t result) {
    if (result == ncclRemoteError) return "look for the first message of another rank, then at the network";
    return "NCCL_DEBUG=WARN shows the cause; check /dev/shm, ulimit -l and NCCL_SOCKET_IFNAME";
  }

  CollectiveOptions options_;
  int rank_, size_, unwinding_;
  mutable std::mutex mutex_;
  ncclComm_t comm_ = nullptr;
  bool joined_ = false, watched_ = false;
  std::string ended_because_;
  Watch watch_{[this] { poll(); }};
};

/// All communicators of the process, for abort_communicators.
struct Communicators {
  std::mutex mutex;
  std::vector<std::weak_ptr<Communicator>> all;
};
Communicators& communicators() {
  static Communicators only;
  return only;
}
void enlist(const std::shared_ptr<Communicator>& communicator) {
  const std::scoped_lock lock(communicators().mutex);
  std::erase_if(communicators().all, [](const auto& other) { return other.expired(); });
  communicators().all.push_back(communicator);
}

/// Device memory for sums that nobody sees.
class SumBuffer {
 public:
  explicit SumBuffer(std::size_t bytes) { check(cudaMalloc(&memory_, bytes), "cudaMalloc for a first sum"); }
  ~SumBuffer() { cudaFree(memory_); }
  SumBuffer(const SumBuffer&) = delete;
  SumBuffer& operator=(const SumBuffer&) = delete;
  [[nodiscard]] float* values() const noexcept { return static_cast<float*>(memory_); }

 private:
  void* memory_ = nullptr;
};

class NcclCollective final : public Collective {
 public:
  NcclCollective(const Group& group, Stream& stream, const CollectiveOptions& options)
      : group_(group),
        communicator_(std::make_shared<Communicator>(group, options)),
        stream_(native(stream)),
        size_(group.size()) {
    enlist(communicator_);
    prepare(1);
  }

  void all_reduce(Stream& stream, float* values, std::int64_t count) override {
    if (count == 0) return;
    keep_with_capture(communicator_);
    communicator_->sum(native(stream), values, count);
  }

  /// Sums `count` elements once, to no end: NCCL makes connections at the first call that needs them (which depends on
  /// the size), and that must not happen while a step is captured. Collective.
  void prepare(std::int64_t count) {
    if (count == 0 || !prepared_.insert(count).second) return;
    // Ranks plan at their own pace, minutes apart where one has a plan cache and another has none: the limit is for
    // NCCL.
    group_.barrier();
    const auto bytes = static_cast<std::size_t>(count) * sizeof(float);
    const SumBuffer scratch(bytes);
    float value = 1.0F;
    check(cudaMemsetAsync(scratch.values(), 0, bytes, stream_), "clearing device memory");
    check(cudaMemcpyAsync(scratch.values(), &value, sizeof value, cudaMemcpyHostToDevice, stream_),
          "copy to the device");
    communicator_->sum(stream_, scratch.values(), count);
    communicator_->wait_for(stream_, "the first NCCL sum");  // before the copy, which would block without a limit
    check(cudaMemcpyAsync(&value, scratch.values(), sizeof value, cudaMemcpyDeviceToHost, stream_), "copy to the host");
    communicator_->wait_for(stream_, "the copy of the first NCCL sum");
    if (value == static_cast<float>(size_)) return;
    throw Error(ExitCode::communication,
                Complaint{"NCCL", fmt::format("the ranks' ones sum to {} instead of {}", value, size_),
                          "sums over ranks are wrong on this machine",
                          "try NCCL_P2P_DISABLE=1 (wrong PCIe peer access is the usual cause) and tell the site"});
  }

 private:
  Group group_;
  std::shared_ptr<Communicator> communicator_;  // shared with captured graphs, which end first
  cudaStream_t stream_;
  int size_;
  std::set<std::int64_t> prepared_;
};

}  // namespace

std::unique_ptr<Collective> make_collective(const Group& group, Stream& stream, const CollectiveOptions& options) {
  if (group.size() == 1) return std::make_unique<SelfCollective>();
  CollectiveOptions complete = options;
  if (complete.limit.count() == 0)
    complete.limit = std::chrono::seconds(60) + std::chrono::milliseconds(20) * group.size();
  return std::make_unique<NcclCollective>(group, stream, complete);
}
std::unique_ptr<Collective> make_collective(const Group& group, Stream& stream) {
  return make_collective(group, stream, CollectiveOptions{});
}

Planned plan_op(const AllReduce& reduce, const Operands& operands) {
  Collective& collective = *operands.collective;
  if (auto* nccl = dynamic_cast<NcclCollective*>(&collective); nccl != nullptr) nccl->prepare(reduce.range.size());
  return {std::make_unique<AllReducePlan>(collective, reduce.range.size()), {}, 0, {}};
}

std::string nccl_version() {
  int code = 0;
  if (ncclGetVersion(&code) != ncclSuccess) return "NCCL";
  return fmt::format("NCCL {}.{}.{}", code / 10000, code % 10000 / 100, code % 100);
}

void abort_communicators(const std::string& reason) noexcept {
  std::vector<std::shared_ptr<Communicator>> alive;
  {
    const std::scoped_lock lock(communicators().mutex);
    for (const auto& communicator : communicators().all) {
      if (auto shared = communicator.lock(); shared != nullptr) alive.push_back(std::move(shared));
    }
  }
  for (const auto& communicator : alive)
    communicator->abort(reason);
}

}  // namespace trainmark::cuda

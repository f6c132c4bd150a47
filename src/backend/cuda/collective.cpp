// Sums of gradients over ranks: NCCL in a communicator of its own, or nothing for a rank alone. No device pointer is
// ever given to MPI.
#include "backend/cuda/collective.hpp"

#include <fmt/format.h>

#include <mutex>
#include <set>
#include <utility>

#include "backend/all_reduce.hpp"
#include "backend/cuda/communicator.hpp"
#include "backend/cuda/plans.hpp"

namespace trainmark::cuda {
namespace {

/// All communicators of the process, for abort_communicators.
struct Communicators {
  std::mutex mutex;
  std::vector<std::weak_ptr<Communicator>> all;
};
Communicators& communicators() {
  static Communicators only;
  return only;
}
std::shared_ptr<Communicator> joined(const Group& group, const CollectiveOptions& options) {
  auto communicator = std::make_shared<Communicator>(group, options);
  const std::scoped_lock lock(communicators().mutex);
  std::erase_if(communicators().all, [](const auto& other) { return other.expired(); });
  communicators().all.push_back(communicator);
  return communicator;
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
      : group_(group), options_(options), communicator_(joined(group, options)), stream_(native(stream)) {
    prepare(1);
    collectives().push_back(this);
  }
  ~NcclCollective() override { std::erase(collectives(), this); }
  NcclCollective(const NcclCollective&) = delete;
  NcclCollective& operator=(const NcclCollective&) = delete;

  /// All that this rank has made, in the order of that.
  static std::vector<NcclCollective*>& collectives() {
    static std::vector<NcclCollective*> all;
    return all;
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
    if (value == static_cast<float>(group_.size())) return;
    throw Error(ExitCode::communication,
                Complaint{"NCCL", fmt::format("the ranks' ones sum to {} instead of {}", value, group_.size()),
                          "sums over ranks are wrong on this machine",
                          "try NCCL_P2P_DISABLE=1 (wrong PCIe peer access is the usual cause) and tell the site"});
  }

  void renew_if_spoilt() {
    std::array<double, 1> anywhere = {communicator_->spoilt() ? 1.0 : 0.0};
    group_.max(anywhere);
    if (anywhere[0] == 0.0) return;
    communicator_->spoil("a capture failed on another rank");
    // Joining is collective: the old one is let go where all ranks have seen the end of its sums.
    communicator_ = joined(group_, options_);
    for (const std::int64_t count : std::exchange(prepared_, {}))
      prepare(count);
  }

 private:
  Group group_;
  CollectiveOptions options_;
  std::shared_ptr<Communicator> communicator_;  // shared with captured graphs, which end first
  cudaStream_t stream_;
  std::set<std::int64_t> prepared_;
};

}  // namespace

std::unique_ptr<Collective> make_collective(const Group& group, Stream& stream, const CollectiveOptions& options) {
  if (group.size() == 1 && !options.even_alone) return std::make_unique<SelfCollective>();
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

void renew_spoilt_communicators() {
  for (NcclCollective* collective : NcclCollective::collectives())
    collective->renew_if_spoilt();
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

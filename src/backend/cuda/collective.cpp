// Sums over ranks: NCCL in a communicator of its own, or nothing for a rank alone. No device pointer is
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
  template <class T>
  [[nodiscard]] T* values() const noexcept {
    return static_cast<T*>(memory_);
  }

 private:
  void* memory_ = nullptr;
};

class NcclCollective final : public Collective {
 public:
  NcclCollective(const Group& group, Stream& stream, const CollectiveOptions& options)
      : group_(group), options_(options), communicator_(joined(group, options)), stream_(native(stream)) {
    prepare<float>(1);
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

  void all_reduce(Stream& stream, float* values, std::int64_t count) override { sum(stream, values, count); }
  void all_reduce(Stream& stream, double* values, std::int64_t count) override { sum(stream, values, count); }

  /// Sums `count` elements once, to no end: NCCL makes connections at the first call that needs them (which depends on
  /// the size and the type), and that must not happen while a step is captured. Collective.
  template <class T>
  void prepare(std::int64_t count) {
    if (count == 0 || !prepared_.insert({sizeof(T), count}).second) return;
    // Ranks plan at their own pace, minutes apart where one has a plan cache and another has none: the limit is for
    // NCCL.
    group_.barrier();
    const auto bytes = static_cast<std::size_t>(count) * sizeof(T);
    const SumBuffer scratch(bytes);
    T* values = scratch.values<T>();
    T value = 1;
    check(cudaMemsetAsync(values, 0, bytes, stream_), "clearing device memory");
    check(cudaMemcpyAsync(values, &value, sizeof value, cudaMemcpyHostToDevice, stream_), "copy to the device");
    communicator_->sum(stream_, values, count);
    communicator_->wait_for(stream_, "the first NCCL sum");  // before the copy, which would block without a limit
    check(cudaMemcpyAsync(&value, values, sizeof value, cudaMemcpyDeviceToHost, stream_), "copy to the host");
    communicator_->wait_for(stream_, "the copy of the first NCCL sum");
    if (value == static_cast<T>(group_.size())) return;
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
    for (const auto& [bytes_each, count] : std::exchange(prepared_, {}))
      bytes_each == sizeof(double) ? prepare<double>(count) : prepare<float>(count);
  }

 private:
  template <class T>
  void sum(Stream& stream, T* values, std::int64_t count) {
    if (count == 0) return;
    keep_with_capture(communicator_);
    communicator_->sum(native(stream), values, count);
  }

  Group group_;
  CollectiveOptions options_;
  std::shared_ptr<Communicator> communicator_;  // shared with captured graphs, which end first
  cudaStream_t stream_;
  std::set<std::pair<std::size_t, std::int64_t>> prepared_;  // bytes of an element, and how many
};

template <class T>
void prepare(Collective& collective, std::int64_t count) {
  if (auto* nccl = dynamic_cast<NcclCollective*>(&collective); nccl != nullptr) nccl->prepare<T>(count);
}

/// A group's sums lie beside the rank's own, or in their place.
class GroupSumPlan final : public Plan {
 public:
  GroupSumPlan(Collective& collective, std::int64_t count) : collective_(collective), count_(count) {}
  void execute(Stream& stream, std::span<void* const> args) override {
    const auto bytes = static_cast<std::size_t>(count_) * sizeof(double);
    if (args[0] != args[1])
      check(cudaMemcpyAsync(args[1], args[0], bytes, cudaMemcpyDeviceToDevice, native(stream)), "copy on the device");
    collective_.all_reduce(stream, static_cast<double*>(args[1]), count_);
  }

 private:
  Collective& collective_;
  std::int64_t count_;
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
  Collective& collective = *operands.collectives.all;
  prepare_sums(collective, reduce.range.size());
  return {std::make_unique<AllReducePlan>(collective, reduce.range.size()), {}, 0, {}};
}

Planned plan_op(const SumOverGroup&, const Operands& operands) {
  TRAINMARK_CHECK(operands.collectives.norm != nullptr, "norms of groups have a collective");
  Collective& collective = *operands.collectives.norm;
  const std::int64_t count = operands.inputs[0].shape.elements();
  prepare<double>(collective, count);
  return {std::make_unique<GroupSumPlan>(collective, count), operands.outputs, 0, {{0, 0}}};
}

void prepare_sums(Collective& collective, std::int64_t count) { prepare<float>(collective, count); }

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

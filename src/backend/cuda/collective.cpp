// Sums over ranks: NCCL in a communicator of its own, or nothing for a rank alone. No device pointer is
// ever given to MPI.
#include "backend/cuda/collective.hpp"

#include <fmt/format.h>

#include <bit>
#include <mutex>
#include <set>
#include <utility>

#include "backend/all_reduce.hpp"
#include "backend/cuda/communicator.hpp"
#include "backend/cuda/plans.hpp"
#include "backend/cuda/wire.hpp"
#include "backend/math.hpp"

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
  [[nodiscard]] void* values() const noexcept { return memory_; }

 private:
  void* memory_ = nullptr;
};

/// A one as each type has it, in as many bytes as the type's element has.
std::uint64_t one_of(DType type) {
  switch (type) {
    case DType::f64:
      return 0x3FF0000000000000U;
    case DType::bf16:
      return 0x3F80U;
    case DType::f16:
      return 0x3C00U;
    default:
      TRAINMARK_CHECK(type == DType::f32, "sums are of f64, f32, bf16 or f16");
      return 0x3F800000U;
  }
}
double value_of(std::uint64_t bits, DType type) {
  if (type == DType::f64) return std::bit_cast<double>(bits);
  if (type == DType::bf16) return from_bf16(static_cast<std::uint16_t>(bits));
  if (type == DType::f16) return from_f16(static_cast<std::uint16_t>(bits));
  return std::bit_cast<float>(static_cast<std::uint32_t>(bits));
}

class NcclCollective final : public Collective {
 public:
  NcclCollective(const Group& group, Stream& stream, const CollectiveOptions& options)
      : group_(group), options_(options), communicator_(joined(group, options)), stream_(native(stream)) {
    prepare(DType::f32, 1);
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
    sum(stream, values, count, DType::f32);
  }
  void all_reduce(Stream& stream, double* values, std::int64_t count) override {
    sum(stream, values, count, DType::f64);
  }
  void all_reduce(Stream& stream, float* values, std::int64_t count, DType wire, void* scratch) override {
    if (count == 0 || sent_as(wire) == DType::f32) return all_reduce(stream, values, count);
    to_wire(native(stream), values, count, wire, scratch);
    sum(stream, scratch, count, wire);
    from_wire(native(stream), scratch, count, wire, values);
  }
  [[nodiscard]] std::size_t wire_scratch_bytes(std::int64_t count, DType wire) const override {
    return sent_as(wire) == DType::f32 ? 0 : static_cast<std::size_t>(count) * size_of(wire);
  }

  /// Sums `count` elements once, to no end: NCCL makes connections at the first call that needs them (which depends on
  /// the size and the type), and that must not happen while a step is captured. Collective.
  void prepare(DType type, std::int64_t count) {
    if (count == 0 || !prepared_.insert({type, count}).second) return;
    // Ranks plan at their own pace, minutes apart where one has a plan cache and another has none: the limit is for
    // NCCL.
    group_.barrier();
    const SumBuffer scratch(static_cast<std::size_t>(count) * size_of(type));
    void* values = scratch.values();
    // Sixteen bits do not count thousands of ranks: of theirs one rank alone has a one.
    const bool counts = size_of(type) > 2;
    std::uint64_t value = counts || group_.rank() == 0 ? one_of(type) : 0;
    check(cudaMemsetAsync(values, 0, static_cast<std::size_t>(count) * size_of(type), stream_),
          "clearing device memory");
    check(cudaMemcpyAsync(values, &value, size_of(type), cudaMemcpyHostToDevice, stream_), "copy to the device");
    communicator_->sum(stream_, values, count, type);
    communicator_->wait_for(stream_, "the first NCCL sum");  // before the copy, which would block without a limit
    value = 0;
    check(cudaMemcpyAsync(&value, values, size_of(type), cudaMemcpyDeviceToHost, stream_), "copy to the host");
    communicator_->wait_for(stream_, "the copy of the first NCCL sum");
    const double sum = value_of(value, type), expected = counts ? group_.size() : 1;
    if (sum == expected) return;
    throw Error(ExitCode::communication,
                Complaint{"NCCL", fmt::format("the ranks' ones sum to {} instead of {}", sum, expected),
                          "sums over ranks are wrong on this machine",
                          "try NCCL_P2P_DISABLE=1 (wrong PCIe peer access is the usual cause) and tell the site"});
  }

  /// A rank alone sends nothing: there is nothing to round.
  [[nodiscard]] DType sent_as(DType wire) const { return group_.size() == 1 ? DType::f32 : wire; }

  void renew_if_spoilt() {
    std::array<double, 1> anywhere = {communicator_->spoilt() ? 1.0 : 0.0};
    group_.max(anywhere);
    if (anywhere[0] == 0.0) return;
    communicator_->spoil("a capture failed on another rank");
    // Joining is collective: the old one is let go where all ranks have seen the end of its sums.
    communicator_ = joined(group_, options_);
    for (const auto& [type, count] : std::exchange(prepared_, {}))
      prepare(type, count);
  }

 private:
  void sum(Stream& stream, void* values, std::int64_t count, DType type) {
    if (count == 0) return;
    keep_with_capture(communicator_);
    communicator_->sum(native(stream), values, count, type);
  }

  Group group_;
  CollectiveOptions options_;
  std::shared_ptr<Communicator> communicator_;  // shared with captured graphs, which end first
  cudaStream_t stream_;
  std::set<std::pair<DType, std::int64_t>> prepared_;
};

void prepare(Collective& collective, DType type, std::int64_t count) {
  if (auto* nccl = dynamic_cast<NcclCollective*>(&collective); nccl != nullptr) nccl->prepare(type, count);
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
  const auto* nccl = dynamic_cast<const NcclCollective*>(&collective);
  prepare(collective, nccl != nullptr ? nccl->sent_as(reduce.wire) : reduce.wire, reduce.range.size());
  return planned_sum(collective, reduce);
}

Planned plan_op(const SumOverGroup&, const Operands& operands) {
  TRAINMARK_CHECK(operands.collectives.norm != nullptr, "norms of groups have a collective");
  Collective& collective = *operands.collectives.norm;
  const std::int64_t count = operands.inputs[0].shape.elements();
  prepare(collective, DType::f64, count);
  return {std::make_unique<GroupSumPlan>(collective, count), operands.outputs, 0, {{0, 0}}};
}

void prepare_sums(Collective& collective, std::int64_t count) { prepare(collective, DType::f32, count); }

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

// The CUDA backend: cuDNN graphs and own kernels on one device a rank, NCCL between ranks. Without a device it still
// plans everything for a described one, and refuses to be asked for memory or execution.
#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <mutex>

#include "backend/all_reduce.hpp"
#include "backend/cuda.hpp"
#include "backend/cuda/collective.hpp"
#include "backend/cuda/cudnn/graph_notes.hpp"
#include "backend/cuda/cudnn/tuning.hpp"
#include "backend/cuda/layout.hpp"
#include "backend/cuda/ops/few_rows.hpp"
#include "backend/cuda/ops/winners.hpp"
#include "backend/cuda/plans.hpp"
#include "backend/cuda/profiler.hpp"
#include "backend/cuda/stopwatch.hpp"
#include "backend/cuda/streams.hpp"
#include "trainmark/process.hpp"

namespace trainmark {
namespace cuda {
namespace {

/// cuDNN counts in 64 bits, but no plan for a tensor beyond 2^31 elements has been made yet, let alone run.
std::string size_refusal(const Operands& operands) {
  for (const auto* descs : {&operands.inputs, &operands.outputs}) {
    for (const TensorDesc& desc : *descs) {
      const std::int64_t elements = stored_shape(desc).elements();
      if (elements >= std::int64_t{1} << 31)
        return fmt::format("{} elements in one tensor, and devices take fewer than 2^31; a smaller local batch helps",
                           elements);
    }
  }
  return {};
}

std::string block_refusal(const ConvBlock& block, const TensorDesc& src, const TensorDesc& dst) {
  if (!ends_in_cubes(block, src.shape, dst.shape))
    return "blocks with a pool end in cubes of two that cover their volume here; run the graph unfused";
  return size_refusal({.inputs = {volume_under(dst)}, .outputs = {}});
}
/// The convolution of an operation, or nothing.
struct ConvOf {
  const Conv* operator()(const Conv& op) const { return &op; }
  const Conv* operator()(const ConvBlock& op) const { return &op.conv; }
  const Conv* operator()(const ConvBackwardData& op) const { return &op.conv; }
  const Conv* operator()(const ConvBackwardWeights& op) const { return &op.conv; }
  const Conv* operator()(const ConvBlockBackwardWeights& op) const { return &op.block.conv; }
  template <class Other>
  const Conv* operator()(const Other&) const {
    return nullptr;
  }
};

/// Channels are padded at their end, so groups must not need padding, or be single channels.
std::string group_refusal(const Op& op, const Operands& operands) {
  const Conv* conv = std::visit(ConvOf{}, op);
  if (conv == nullptr || conv->groups == 1) return {};
  const bool gradient =
      std::holds_alternative<ConvBackwardWeights>(op) || std::holds_alternative<ConvBlockBackwardWeights>(op);
  const Shape& weights = gradient ? operands.outputs[0].shape : operands.inputs[1].shape;
  const bool depthwise = weights[0] == conv->groups && weights[1] == 1;
  if (depthwise || (weights[0] % channel_multiple == 0 && weights[1] % channel_multiple == 0)) return {};
  return "groups of channels are there for depthwise convolutions, and for channels in multiples of eight";
}

/// Constants of channels and classes travel in a kernel's parameters.
struct ConstantsOf {
  std::size_t operator()(const Normalise& op) const { return op.shift.size(); }
  std::size_t operator()(const Loss& op) const { return std::visit(*this, op.criterion); }
  std::size_t operator()(const Metric& op) const { return std::visit(*this, op.criterion); }
  std::size_t operator()(const CrossEntropy& criterion) const { return criterion.weights.size(); }
  template <class Other>
  std::size_t operator()(const Other&) const {
    return 0;
  }
};
std::string constants_refusal(const Op& op, const Operands& operands) {
  std::size_t constants = std::visit(ConstantsOf{}, op);
  const auto* metric = std::get_if<Metric>(&op);  // it counts by class
  if (metric != nullptr && metric->judge == Judge::mean_iou)
    constants = static_cast<std::size_t>(operands.inputs[0].shape[1]);
  if (constants <= most_constants) return {};
  return fmt::format("{} channels or classes with constants of their own, and kernels take {}; run on the CPU",
                     constants, most_constants);
}

/// Page-locked memory that knows what it has given away: a copy to there is enqueued, to all else the host waits.
class KnownPinnedMemory final : public std::pmr::memory_resource {
 public:
  [[nodiscard]] std::int64_t calls() const noexcept { return memory_.calls(); }
  [[nodiscard]] bool holds(const void* memory, std::size_t bytes) const {
    const auto* const begin = static_cast<const std::byte*>(memory);
    const std::scoped_lock lock(mutex_);
    auto block = taken_.upper_bound(begin);
    if (block == taken_.begin()) return false;
    --block;
    return begin + bytes <= block->first + block->second;
  }

 private:
  void* do_allocate(std::size_t bytes, std::size_t alignment) override {
    void* memory = memory_.allocate(bytes, alignment);
    const std::scoped_lock lock(mutex_);
    taken_[static_cast<const std::byte*>(memory)] = bytes;
    return memory;
  }
  void do_deallocate(void* memory, std::size_t bytes, std::size_t alignment) override {
    {
      const std::scoped_lock lock(mutex_);
      taken_.erase(static_cast<const std::byte*>(memory));
    }
    memory_.deallocate(memory, bytes, alignment);
  }
  [[nodiscard]] bool do_is_equal(const std::pmr::memory_resource& other) const noexcept override {
    return this == &other;
  }

  PinnedMemory memory_;
  mutable std::mutex mutex_;  // loaders take theirs on threads of their own
  std::map<const std::byte*, std::size_t> taken_;
};

class CudaBackend final : public Backend {
 public:
  CudaBackend(const BackendOptions& options, std::optional<Device> device, std::optional<Group> ranks,
              int planning_threads, const std::string& described)
      : device_(std::move(device)),
        ranks_(std::move(ranks)),
        capture_(options.capture),
        deterministic_(options.deterministic),
        nccl_alone_(options.nccl_alone),
        autotune_(options.autotune),
        graphs_(make_graph_compiler({.deterministic = options.deterministic,
                                     .autotune = autotune_ && device_ ? try_on_device : TryCandidates(),
                                     .ranks = options.deterministic ? ranks_ : std::nullopt,
                                     .cache_folder = options.plan_cache,
                                     .device_description = described,
                                     .threads = planning_threads,
                                     .accept_known_faults = options.accept_known_faults})),
        math_(options.tf32 ? Math::tf32 : Math::full),
        accept_known_faults_(options.accept_known_faults) {
    if (!device_) return;
    lanes_.emplace(Lanes{CudaStream(Lane::compute), CudaStream(Lane::communication), CudaStream(Lane::copy)});
    sensors_ = SensorReader::open(device_->bus_id);
  }

  [[nodiscard]] std::string name() const override { return "cuda"; }
  [[nodiscard]] std::string description() const override {
    if (!device_) return fmt::format("cuda ({}, plans only)", graphs_->library());
    return fmt::format("cuda ({}, compute capability {}.{}, {}, {}{}{}{}{})", device_->name, device_->major,
                       device_->minor, graphs_->library(), nccl_version(), autotune_ ? ", autotuned" : "",
                       deterministic_ ? ", deterministic: engines that vary left out, rank 0's plans on all ranks" : "",
                       accept_known_faults_ ? ", known faults of libraries accepted" : "",
                       streamed_because_.empty() ? "" : ", steps not captured: " + streamed_because_);
  }
  [[nodiscard]] bool overlaps() const override { return true; }
  [[nodiscard]] int threads() const override { return 1; }
  [[nodiscard]] int warm_up_launches() const override { return capture_ ? 2 : 1; }

  [[nodiscard]] std::pmr::memory_resource& device_memory() override { return memory_; }
  [[nodiscard]] std::pmr::memory_resource& pinned_memory() override { return pinned_; }
  [[nodiscard]] std::int64_t allocations() const override { return memory_.calls() + pinned_.calls(); }
  void copy_to_device(Stream& stream, void* to, const void* from, std::size_t bytes) override {
    check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, native(stream)), "copy to the device");
  }
  void copy_to_host(Stream& stream, void* to, const void* from, std::size_t bytes) override {
    // To memory that is not page-locked the copy waits inside the driver, where a failed peer is not seen: wait where
    // it is.
    if (!pinned_.holds(to, bytes)) stream.synchronize();
    check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToHost, native(stream)), "copy to the host");
  }
  void fill_zero(Stream& stream, void* to, std::size_t bytes) override {
    check(cudaMemsetAsync(to, 0, bytes, native(stream)), "clearing device memory");
  }
  [[nodiscard]] Stream& stream(Lane lane) override { return lanes().at(static_cast<std::size_t>(lane)); }
  [[nodiscard]] std::unique_ptr<StreamEvent> make_event() override { return std::make_unique<CudaEvent>(true); }
  [[nodiscard]] std::size_t bytes_of(const TensorDesc& tensor) const override { return stored_bytes(tensor); }
  [[nodiscard]] TensorDesc activation(const Shape& shape, DType dtype) const override {
    return activation_desc(shape, dtype);
  }
  void to_logical(const TensorDesc& desc, const void* from, float* to) override {
    std::vector<std::byte> host(stored_bytes(desc));
    copy_to_host(stream(Lane::compute), host.data(), from, host.size());
    stream(Lane::compute).synchronize();
    to_logical_order(desc, host.data(), to);
  }
  void from_logical(const TensorDesc& desc, const float* from, void* to) override {
    std::vector<std::byte> host(stored_bytes(desc));
    from_logical_order(desc, from, host.data());
    copy_to_device(stream(Lane::compute), to, host.data(), host.size());
    stream(Lane::compute).synchronize();
  }

  [[nodiscard]] std::string refusal(const Op& op, const Operands& operands) const override {
    std::string reason = size_refusal(operands);
    if (reason.empty()) reason = group_refusal(op, operands);
    if (reason.empty()) reason = constants_refusal(op, operands);
    if (std::holds_alternative<PoolActivationBackward>(op))
      return "pool and curve are derived in the block of their convolution here";
    if ((std::holds_alternative<DenseBlock>(op) && !FewRows::take(operands.inputs[0].shape[0])) ||
        (std::holds_alternative<DenseBlockBackwardData>(op) && !FewRows::take(operands.inputs[2].shape[0])))
      return "dense layers of many samples are matrix products here; run the graph unfused";
    const auto* block = std::get_if<ConvBlock>(&op);
    if (block != nullptr && block->conv.groups != 1)
      return "a convolution in groups has its curve behind it here; run the graph unfused";
    if (reason.empty() && block != nullptr && block->has_pool)
      reason = block_refusal(*block, operands.inputs[0], operands.outputs[0]);
    const auto* backward = std::get_if<ConvBlockBackwardWeights>(&op);
    if (reason.empty() && backward != nullptr)
      reason = block_refusal(backward->block, operands.inputs[0], operands.inputs[2]);
    return reason;
  }
  [[nodiscard]] Graph fuse(Graph graph) const override { return cuda::fuse(std::move(graph)); }

  void foresee(const std::function<void()>& plan_all) override {
    GraphNotes notes;
    notes_ = &notes;
    try {
      plan_all();
    } catch (const Error&) {  // NOLINT(bugprone-empty-catch): it comes again from the plans in earnest
    }
    notes_ = nullptr;
    graphs_->compile_ahead(notes.specs);
  }
  bool use_tf32(bool on) override {
    math_ = on ? Math::tf32 : Math::full;
    return true;
  }
  [[nodiscard]] Planned plan(const Op& op, const Operands& operands) override {
    const Compute compute{notes_ != nullptr ? *notes_ : *graphs_, math_};
    const auto plan_each = [&](const auto& each) {
      if constexpr (requires { plan_op(compute, each, operands); }) {
        return plan_op(compute, each, operands);
      } else {
        return plan_op(each, operands);
      }
    };
    return std::visit(plan_each, op);
  }

  [[nodiscard]] std::unique_ptr<Collective> make_collective(const Group& group, Lane lane) override {
    if (!device_) return std::make_unique<SelfCollective>();
    return cuda::make_collective(group, stream(lane), {.deterministic = deterministic_, .even_alone = nccl_alone_});
  }
  [[nodiscard]] bool captures() const override { return capture_ && streamed_because_.empty(); }
  [[nodiscard]] std::unique_ptr<Replay> record(std::vector<Launch> launches) override {
    if (!capture_) return record_streamed(std::move(launches));
    return make_warmed_replay(
        std::move(launches), lanes(), [this](const std::string& failure) { return settle(failure); }, streamed_because_,
        sums_are_timed());
  }
  [[nodiscard]] std::unique_ptr<Replay> record_streamed(std::vector<Launch> launches) override {
    return make_replay(std::move(launches), lanes(), false, sums_are_timed()).replay;
  }
  Profile profile(const std::vector<Launch>& launches) override {
    Profile seconds;
    Stopwatch stopwatch;
    Stream& compute = stream(Lane::compute);
    for (const Launch& launch : launches) {
      stopwatch.start(native(compute));
      launch.plan->execute(compute, launch.args);
      seconds.emplace_back(launch.name, stopwatch.stop(native(compute)));
    }
    return seconds;
  }
  [[nodiscard]] std::shared_ptr<void> profiling() override { return std::make_shared<Profiling>(); }
  [[nodiscard]] std::shared_ptr<void> range(const std::string& name) override {
    return std::make_shared<NamedRange>(name.c_str());
  }
  [[nodiscard]] std::optional<DeviceReading> sensors() const override {
    if (!sensors_) return std::nullopt;
    std::optional<DeviceSensors> now = sensors_->read();
    if (!now) return std::nullopt;
    return DeviceReading{now->watts, now->sm_mhz, now->memory_mhz, std::move(now->throttled_by)};
  }
  [[nodiscard]] std::optional<double> joules() const override { return sensors_ ? sensors_->joules() : std::nullopt; }
  bool abandon(const std::string& reason, std::chrono::milliseconds limit) noexcept override {
    abort_communicators(reason);
    const auto deadline = std::chrono::steady_clock::now() + limit;
    Backoff backoff;
    while (lanes_ && !std::ranges::all_of(*lanes_, &CudaStream::is_idle)) {
      if (std::chrono::steady_clock::now() > deadline) return false;
      backoff.pause();
    }
    return true;
  }

 private:
  /// Capturing is a property of all ranks: where one cannot, none does.
  std::string settle(const std::string& failure) {
    std::array<double, 1> failed = {failure.empty() ? 0.0 : 1.0};
    if (ranks_) ranks_->max(failed);
    if (failed[0] == 0.0) return {};
    for (CudaStream& lane : lanes())
      lane.synchronize();  // the streamed step is under way
    renew_spoilt_communicators();
    return failure.empty() ? "another rank could not capture" : failure;
  }

  [[nodiscard]] bool sums_are_timed() const { return ranks_.has_value() || nccl_alone_; }

  Lanes& lanes() {
    TRAINMARK_CHECK(lanes_.has_value(), "a backend that only plans was asked to compute");
    return *lanes_;
  }

  std::optional<Device> device_;
  std::optional<Group> ranks_;  ///< where there are several
  bool capture_, deterministic_, nccl_alone_, autotune_;
  std::string streamed_because_;
  std::optional<Lanes> lanes_;  // before the compiler: its handle is destroyed while its stream is there
  std::unique_ptr<GraphCompiler> graphs_;
  GraphCompiler* notes_ = nullptr;  ///< while it is being foreseen what will be asked for
  Math math_;
  bool accept_known_faults_;
  DeviceMemory memory_;
  KnownPinnedMemory pinned_;
  std::optional<SensorReader> sensors_;
};

}  // namespace
}  // namespace cuda

bool cuda_built() { return true; }
bool cuda_present() { return cuda::present(); }

std::unique_ptr<Backend> make_cuda_backend(const BackendOptions& options, const World& world) {
  return std::make_unique<cuda::CudaBackend>(options, cuda::choose_device(world),
                                             world.all().size() > 1 ? std::optional(world.all()) : std::nullopt,
                                             options.threads > 0 ? options.threads : cpu_share(world).threads(), "");
}

std::unique_ptr<Backend> make_cuda_planner(const BackendOptions& options, const std::string& device_description) {
  return std::make_unique<cuda::CudaBackend>(options, std::nullopt, std::nullopt,
                                             std::max<int>(1, static_cast<int>(process_cpus().size())),
                                             device_description);
}

}  // namespace trainmark

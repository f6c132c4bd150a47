// A backend that does nothing, fast. What a step costs here is what the harness itself costs; a dry run plans memory
// and checks graphs with it. Its "device" is host memory, its layouts are logical, its plans are empty.
#include <cstring>
#include <utility>

#include "backend/all_reduce.hpp"
#include "backend/inline.hpp"
#include "backend/math.hpp"

namespace trainmark {
namespace {

class CountingMemory final : public std::pmr::memory_resource {
 public:
  [[nodiscard]] std::int64_t calls() const noexcept { return calls_; }

 private:
  void* do_allocate(std::size_t bytes, std::size_t alignment) override {
    ++calls_;
    return std::pmr::new_delete_resource()->allocate(bytes, alignment);
  }
  void do_deallocate(void* memory, std::size_t bytes, std::size_t alignment) override {
    std::pmr::new_delete_resource()->deallocate(memory, bytes, alignment);
  }
  [[nodiscard]] bool do_is_equal(const std::pmr::memory_resource& other) const noexcept override {
    return this == &other;
  }

  std::int64_t calls_ = 0;
};

class NullPlan final : public Plan {
 public:
  void execute(Stream&, std::span<void* const>) override {}
};
/// What every backend computes element by element and, if it may, over its input.
struct InPlaceOf {
  using List = std::vector<InPlace>;
  List operator()(const Activation&) const { return {{0, 0}}; }
  List operator()(const Dropout&) const { return {{0, 0}}; }
  List operator()(const Add&) const { return {{0, 0}, {0, 1}}; }
  List operator()(const NormApply&) const { return {{0, 0}}; }
  List operator()(const NormInference&) const { return {{0, 0}}; }
  List operator()(const NormBackward&) const { return {{0, 4}, {0, 0}}; }
  List operator()(const SumOverGroup&) const { return {{0, 0}}; }
  List operator()(const ActivationBackward&) const { return {{0, 1}}; }
  List operator()(const DropoutBackward&) const { return {{0, 0}}; }
  List operator()(const PoolActivationBackward&) const { return {{0, 0}}; }
  template <class Other>
  List operator()(const Other&) const {
    return {};
  }
};

class NullBackend final : public Backend {
 public:
  [[nodiscard]] std::string name() const override { return "null"; }
  [[nodiscard]] std::string description() const override { return "null (computes nothing)"; }
  [[nodiscard]] bool overlaps() const override { return false; }
  [[nodiscard]] int threads() const override { return 1; }

  [[nodiscard]] std::pmr::memory_resource& device_memory() override { return device_; }
  [[nodiscard]] std::pmr::memory_resource& pinned_memory() override { return pinned_; }
  [[nodiscard]] std::int64_t allocations() const override { return device_.calls() + pinned_.calls(); }
  void copy_to_device(Stream&, void* to, const void* from, std::size_t bytes) override { std::memcpy(to, from, bytes); }
  void copy_to_host(Stream&, void* to, const void* from, std::size_t bytes) override { std::memcpy(to, from, bytes); }
  void fill_zero(Stream&, void* to, std::size_t bytes) override { std::memset(to, 0, bytes); }
  [[nodiscard]] Stream& stream(Lane) override { return stream_; }
  [[nodiscard]] std::unique_ptr<StreamEvent> make_event() override { return std::make_unique<InlineEvent>(); }
  [[nodiscard]] std::size_t bytes_of(const TensorDesc& tensor) const override {
    return static_cast<std::size_t>(tensor.shape.elements()) * size_of(tensor.dtype);
  }
  [[nodiscard]] TensorDesc activation(const Shape& shape, DType dtype) const override {
    return {shape, dtype, logical_layout};
  }
  void to_logical(const TensorDesc& desc, const void* from, float* to) override {
    const auto count = static_cast<std::size_t>(desc.shape.elements());
    if (desc.dtype == DType::f32) {
      std::memcpy(to, from, count * sizeof(float));
      return;
    }
    TRAINMARK_CHECK(desc.dtype == DType::bf16 || desc.dtype == DType::f16, name_of(desc.dtype));
    for (std::size_t at = 0; at < count; ++at) {
      std::uint16_t half = 0;
      std::memcpy(&half, static_cast<const std::byte*>(from) + at * sizeof(half), sizeof(half));
      to[at] = desc.dtype == DType::bf16 ? from_bf16(half) : from_f16(half);
    }
  }
  void from_logical(const TensorDesc& desc, const float* from, void* to) override {
    TRAINMARK_CHECK(desc.dtype == DType::f32, name_of(desc.dtype));
    std::memcpy(to, from, static_cast<std::size_t>(desc.shape.elements()) * sizeof(float));
  }

  [[nodiscard]] std::string refusal(const Op&, const Operands&) const override { return {}; }
  [[nodiscard]] Graph fuse(Graph graph) const override { return graph; }

  [[nodiscard]] Planned plan(const Op& op, const Operands& operands) override {
    Planned result{std::make_unique<NullPlan>(), operands.outputs, 0, std::visit(InPlaceOf{}, op)};
    for (TensorDesc& output : result.outputs)
      output.layout = logical_layout;
    return result;
  }

  [[nodiscard]] std::unique_ptr<Collective> make_collective(const Group&, Lane) override {
    return std::make_unique<SelfCollective>();
  }
  [[nodiscard]] std::unique_ptr<Replay> record(std::vector<Launch> launches) override {
    return std::make_unique<InlineReplay>(std::move(launches), stream_);
  }
  Profile profile(const std::vector<Launch>& launches) override {
    Profile seconds;
    for (const Launch& launch : launches) {
      const Clock clock;
      launch.plan->execute(stream_, launch.args);
      seconds.emplace_back(launch.name, clock.seconds());
    }
    return seconds;
  }

 private:
  CountingMemory device_, pinned_;
  InlineStream stream_;
};

}  // namespace

std::unique_ptr<Backend> make_null_backend() { return std::make_unique<NullBackend>(); }

}  // namespace trainmark

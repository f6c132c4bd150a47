// The emulated device: the null backend's memory and plans, whose launches take shares of a stated time, with the CPU
// backend's sums over ranks. Gradients are zeros, and as large as those of a device that computes.
#include <fmt/core.h>
#include <sys/mman.h>

#include <new>

#include "backend/all_reduce.hpp"
#include "backend/cpu/plans.hpp"
#include "backend/emulated.hpp"
#include "backend/emulated/lanes.hpp"
#include "backend/null.hpp"

namespace trainmark {
namespace emulated {
namespace {

/// Pages of zeros, which take memory once they are written: activations never are.
class ZeroMemory final : public std::pmr::memory_resource {
 public:
  [[nodiscard]] std::int64_t calls() const noexcept { return calls_; }

 private:
  void* do_allocate(std::size_t bytes, std::size_t) override {
    ++calls_;
    void* memory = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) throw std::bad_alloc();
    return memory;
  }
  void do_deallocate(void* memory, std::size_t bytes, std::size_t) override { ::munmap(memory, bytes); }
  [[nodiscard]] bool do_is_equal(const std::pmr::memory_resource& other) const noexcept override {
    return this == &other;
  }

  std::int64_t calls_ = 0;
};

/// What a launch tells of the program that it is part of.
enum class Mark : std::uint8_t { none, training, evaluation };
Mark mark_of(const Op& op) {
  if (std::holds_alternative<Update>(op) || std::holds_alternative<Accumulate>(op)) return Mark::training;
  return std::holds_alternative<Metric>(op) ? Mark::evaluation : Mark::none;
}

/// Takes its share of its program's time.
class TimedPlan final : public Plan {
 public:
  TimedPlan(double weight, Mark mark) : weight_(weight), mark_(mark) {}
  void execute(Stream&, std::span<void* const>) override {}
  [[nodiscard]] double weight() const noexcept { return weight_; }
  [[nodiscard]] Mark mark() const noexcept { return mark_; }

 private:
  double weight_;
  Mark mark_;
};

/// How long an operation takes beside others: by what it computes or by what it moves, whichever is more. A device of
/// today computes about 200 operations in the time of a byte.
double weight_of(const Op& op, const Operands& operands) {
  if (std::holds_alternative<AllReduce>(op) || std::holds_alternative<SumOverGroup>(op) ||
      std::holds_alternative<AverageStatistics>(op))
    return 0.0;  // of a rank alone
  constexpr double operations_a_byte = 200.0;
  Graph graph;
  Node node{"", op, {}, {}};
  const auto add = [&](const std::vector<TensorDesc>& descs, std::vector<TensorId>& ids) {
    for (const TensorDesc& desc : descs) {
      Tensor tensor;
      tensor.shape = desc.shape;
      tensor.dtype = desc.dtype;
      ids.push_back(static_cast<TensorId>(graph.tensors.size()));
      graph.tensors.push_back(std::move(tensor));
    }
  };
  add(operands.inputs, node.inputs);
  add(operands.outputs, node.outputs);
  const Cost each = cost(graph, node);
  return std::max(static_cast<double>(each.flops), operations_a_byte * static_cast<double>(each.bytes));
}

class EmulatedBackend final : public NullBackend {
 public:
  EmulatedBackend(EmulatedDevice device, bool overlap, HostClock* clock)
      : device_(std::move(device)), clock_(clock != nullptr ? *clock : own_clock_), compute_(clock_) {
    if (overlap) sums_ = std::make_unique<cpu::Worker>();
  }

  [[nodiscard]] std::string name() const override { return "emulated"; }
  [[nodiscard]] std::string description() const override {
    return fmt::format("emulated ({}: {:.6g} ms a training step, {:.6g} ms an evaluation step; computes nothing)",
                       device_.like.empty() ? "as stated" : "the floor of " + device_.like, device_.train_ms,
                       device_.eval_ms);
  }
  [[nodiscard]] bool overlaps() const override { return sums_ != nullptr; }
  [[nodiscard]] bool emulates() const override { return true; }

  [[nodiscard]] std::pmr::memory_resource& device_memory() override { return memory_; }
  [[nodiscard]] std::int64_t allocations() const override { return NullBackend::allocations() + memory_.calls(); }
  void copy_to_device(Stream& stream, void* to, const void* from, std::size_t bytes) override {
    stream.synchronize();
    NullBackend::copy_to_device(stream, to, from, bytes);
  }
  void copy_to_host(Stream& stream, void* to, const void* from, std::size_t bytes) override {
    stream.synchronize();
    NullBackend::copy_to_host(stream, to, from, bytes);
  }
  void fill_zero(Stream& stream, void* to, std::size_t bytes) override {
    stream.synchronize();
    NullBackend::fill_zero(stream, to, bytes);
  }
  [[nodiscard]] Stream& stream(Lane lane) override {
    if (lane == Lane::copy) return copies_;
    return compute_;  // which has ended when its sums have
  }
  [[nodiscard]] std::unique_ptr<StreamEvent> make_event() override { return std::make_unique<Event>(clock_); }

  [[nodiscard]] Planned plan(const Op& op, const Operands& operands) override {
    const auto sums_over = [](Collective* ranks) { return dynamic_cast<SelfCollective*>(ranks) == nullptr; };
    if (const auto* sum = std::get_if<AllReduce>(&op); sum != nullptr && sums_over(operands.collectives.all))
      return cpu::plan_op(*sum, operands);
    if (const auto* sum = std::get_if<SumOverGroup>(&op); sum != nullptr && sums_over(operands.collectives.norm))
      return cpu::plan_op(*sum, operands);
    if (const auto* mean = std::get_if<AverageStatistics>(&op); mean != nullptr && sums_over(operands.collectives.all))
      return cpu::plan_op(*mean, operands);
    Planned result = NullBackend::plan(op, operands);
    result.plan = std::make_unique<TimedPlan>(weight_of(op, operands), mark_of(op));
    return result;
  }
  [[nodiscard]] std::unique_ptr<Collective> make_collective(const Group& group, Lane) override {
    return cpu::make_collective(group);
  }
  [[nodiscard]] std::unique_ptr<Replay> record(std::vector<Launch> launches) override {
    double weights = 0.0;
    Mark program = Mark::none;
    std::vector<Piece> pieces;
    for (Launch& launch : launches) {
      const auto* timed = dynamic_cast<const TimedPlan*>(launch.plan);
      if (timed != nullptr) {
        weights += timed->weight();
        if (program != Mark::training && timed->mark() != Mark::none) program = timed->mark();
      }
      pieces.push_back({std::move(launch), Seconds(0.0), timed == nullptr});
    }
    const Seconds whole = seconds_of(program);
    for (Piece& piece : pieces)
      if (!piece.real && weights > 0.0)
        piece.takes = whole * (static_cast<const TimedPlan*>(piece.launch.plan)->weight() / weights);
    return make_replay(std::move(pieces), compute_, clock_, sums_.get());
  }

 private:
  [[nodiscard]] Seconds seconds_of(Mark program) const {
    if (program == Mark::none) return Seconds(0.0);
    if (program == Mark::evaluation) return Seconds(1e-3 * device_.eval_ms);
    return Seconds(1e-3 * device_.train_ms / static_cast<double>(device_.parts));
  }

  EmulatedDevice device_;
  HostClock own_clock_;
  HostClock& clock_;
  ZeroMemory memory_;
  InlineStream copies_;
  std::unique_ptr<cpu::Worker> sums_;
  Queue compute_;  // ends first: its last job may wait for sums
};

}  // namespace
}  // namespace emulated

std::unique_ptr<Backend> make_emulated_backend(const EmulatedDevice& device, bool overlap, emulated::HostClock* clock) {
  return std::make_unique<emulated::EmulatedBackend>(device, overlap, clock);
}

}  // namespace trainmark

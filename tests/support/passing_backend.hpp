// A backend that hands everything to another one and may change what its operations have computed.
#pragma once

#include <functional>
#include <memory>
#include <utility>

#include "trainmark/backend.hpp"

namespace trainmark::testing {

class PassingBackend final : public Backend {
 public:
  /// Called behind each launched plan with its operation, arguments and operands, if anything.
  std::function<void(const Op&, std::span<void* const> args, const Operands&)> behind;

  explicit PassingBackend(Backend& to) : to_(to) {}
  [[nodiscard]] std::string name() const override { return to_.name(); }
  [[nodiscard]] std::string description() const override { return to_.description(); }
  [[nodiscard]] bool overlaps() const override { return to_.overlaps(); }
  [[nodiscard]] int threads() const override { return to_.threads(); }
  [[nodiscard]] std::pmr::memory_resource& device_memory() override { return to_.device_memory(); }
  [[nodiscard]] std::pmr::memory_resource& pinned_memory() override { return to_.pinned_memory(); }
  [[nodiscard]] std::int64_t allocations() const override { return to_.allocations(); }
  void copy_to_device(Stream& stream, void* to, const void* from, std::size_t bytes) override {
    to_.copy_to_device(stream, to, from, bytes);
  }
  void copy_to_host(Stream& stream, void* to, const void* from, std::size_t bytes) override {
    to_.copy_to_host(stream, to, from, bytes);
  }
  void fill_zero(Stream& stream, void* to, std::size_t bytes) override { to_.fill_zero(stream, to, bytes); }
  [[nodiscard]] Stream& stream(Lane lane) override { return to_.stream(lane); }
  [[nodiscard]] std::unique_ptr<StreamEvent> make_event() override { return to_.make_event(); }
  [[nodiscard]] std::size_t bytes_of(const TensorDesc& desc) const override { return to_.bytes_of(desc); }
  [[nodiscard]] TensorDesc activation(const Shape& shape, DType dtype) const override {
    return to_.activation(shape, dtype);
  }
  void to_logical(const TensorDesc& desc, const void* from, float* to) override { to_.to_logical(desc, from, to); }
  void from_logical(const TensorDesc& desc, const float* from, void* to) override { to_.from_logical(desc, from, to); }
  [[nodiscard]] std::string refusal(const Op& op, const Operands& operands) const override {
    return to_.refusal(op, operands);
  }
  [[nodiscard]] Graph fuse(Graph graph) const override { return to_.fuse(std::move(graph)); }
  [[nodiscard]] Planned plan(const Op& op, const Operands& operands) override {
    Planned made = to_.plan(op, operands);
    made.plan = std::make_unique<PassingPlan>(*this, std::move(made.plan), op, operands);
    return made;
  }
  [[nodiscard]] std::unique_ptr<Collective> make_collective(const Group& group,
                                                            Lane lane = Lane::communication) override {
    return to_.make_collective(group, lane);
  }
  [[nodiscard]] std::unique_ptr<Replay> record(std::vector<Launch> launches) override {
    return to_.record(std::move(launches));
  }
  Profile profile(const std::vector<Launch>& launches) override { return to_.profile(launches); }

 private:
  struct PassingPlan final : Plan {
    PassingPlan(PassingBackend& owner, std::unique_ptr<Plan> plan, Op of, Operands takes)
        : passing(owner), inner(std::move(plan)), op(std::move(of)), operands(std::move(takes)) {}
    void execute(Stream& stream, std::span<void* const> args) override {
      inner->execute(stream, args);
      if (passing.behind) passing.behind(op, args, operands);
    }
    PassingBackend& passing;
    std::unique_ptr<Plan> inner;
    Op op;
    Operands operands;
  };
  Backend& to_;
};

}  // namespace trainmark::testing

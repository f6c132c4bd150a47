// A backend that computes nothing: its "device" is host memory, its layouts are logical. What replays the time of a
// device that is not there is made of it (emulated/).
#pragma once

#include "backend/host.hpp"

namespace trainmark {

class NullBackend : public HostBackend {
 public:
  [[nodiscard]] std::string name() const override { return "null"; }
  [[nodiscard]] std::string description() const override { return "null (computes nothing)"; }
  [[nodiscard]] bool overlaps() const override { return false; }
  [[nodiscard]] int threads() const override { return 1; }

  [[nodiscard]] TensorDesc activation(const Shape& shape, DType dtype) const override {
    return {shape, dtype, logical_layout};
  }
  void to_logical(const TensorDesc& desc, const void* from, float* to) override;
  void from_logical(const TensorDesc& desc, const float* from, void* to) override;

  [[nodiscard]] std::string refusal(const Op&, const Operands&) const override { return {}; }
  [[nodiscard]] Graph fuse(Graph graph) const override { return graph; }

  [[nodiscard]] Planned plan(const Op& op, const Operands& operands) override;

  [[nodiscard]] std::unique_ptr<Collective> make_collective(const Group& group, Lane lane) override;
  [[nodiscard]] std::unique_ptr<Replay> record(std::vector<Launch> launches) override {
    return std::make_unique<InlineReplay>(std::move(launches), stream_);
  }
};

}  // namespace trainmark

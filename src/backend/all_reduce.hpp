// What every backend's sums over ranks have in common: a plan that hands its range to a collective, and the collective
// of a rank alone.
#pragma once

#include "trainmark/backend.hpp"

namespace trainmark {

/// There is nobody to sum with, or nothing is computed: values stay as they are.
class SelfCollective final : public Collective {
 public:
  void all_reduce(Stream&, float*, std::int64_t) override {}
  void all_reduce(Stream&, double*, std::int64_t) override {}
  void all_reduce(Stream&, float*, std::int64_t, DType, void*) override {}
  [[nodiscard]] std::size_t wire_scratch_bytes(std::int64_t, DType) const override { return 0; }
};

class AllReducePlan final : public Plan {
 public:
  AllReducePlan(Collective& collective, const AllReduce& reduce) : collective_(collective), reduce_(reduce) {}
  void execute(Stream& stream, std::span<void* const> args) override {
    collective_.all_reduce(stream, static_cast<float*>(args[0]), reduce_.range.size(), reduce_.wire, args.back());
  }

 private:
  Collective& collective_;
  AllReduce reduce_;
};

[[nodiscard]] inline Planned planned_sum(Collective& collective, const AllReduce& reduce) {
  return {std::make_unique<AllReducePlan>(collective, reduce),
          {},
          collective.wire_scratch_bytes(reduce.range.size(), reduce.wire),
          {}};
}

}  // namespace trainmark

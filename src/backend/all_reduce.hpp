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
};

class AllReducePlan final : public Plan {
 public:
  AllReducePlan(Collective& collective, std::int64_t count) : collective_(collective), count_(count) {}
  void execute(Stream& stream, std::span<void* const> args) override {
    collective_.all_reduce(stream, static_cast<float*>(args[0]), count_);
  }

 private:
  Collective& collective_;
  std::int64_t count_;
};

}  // namespace trainmark

// Sums over ranks: MPI in a communicator of its own, or nothing for a rank alone.
#include <cstring>

#include "comm/native.hpp"

#include "backend/all_reduce.hpp"
#include "backend/cpu/plans.hpp"
#include "backend/cpu/streams.hpp"

namespace trainmark::cpu {
namespace {

class MpiCollective final : public Collective {
 public:
  explicit MpiCollective(const Group& group) : group_(group.duplicate()) {}
  void all_reduce(Stream&, float* values, std::int64_t count) override { sum(values, count, MPI_FLOAT); }
  void all_reduce(Stream&, double* values, std::int64_t count) override { sum(values, count, MPI_DOUBLE); }

 private:
  template <class T>
  void sum(T* values, std::int64_t count, MPI_Datatype type) {
    in_chunks(count, [&](std::int64_t offset, int part) {
      check_mpi(MPI_Allreduce(MPI_IN_PLACE, values + offset, part, type, MPI_SUM, native(group_)),
                "MPI_Allreduce of a step's sums");
    });
  }

  Group group_;
};

}  // namespace

std::unique_ptr<Collective> make_collective(const Group& group) {
  if (group.size() == 1) return std::make_unique<SelfCollective>();
  return std::make_unique<MpiCollective>(group);
}

Planned plan_op(const AllReduce& reduce, const Operands& operands) {
  return {std::make_unique<AllReducePlan>(*operands.collectives.all, reduce.range.size()), {}, 0, {}};
}

Planned plan_op(const SumOverGroup&, const Operands& operands) {
  const std::int64_t count = operands.inputs[0].shape.elements();
  Collective& collective = *operands.collectives.norm;
  InlineStream stream;
  auto body = [count, &collective, stream](std::span<void* const> args) mutable {
    if (args[0] != args[1]) std::memcpy(args[1], args[0], static_cast<std::size_t>(count) * sizeof(double));
    collective.all_reduce(stream, static_cast<double*>(args[1]), count);
  };
  return planned(body, operands.outputs, {{0, 0}});
}

Planned plan_op(const AverageStatistics& average, const Operands& operands) {
  Collective& collective = *operands.collectives.all;
  InlineStream stream;
  auto body = [average, &collective, stream](std::span<void* const> args) mutable {
    auto* values = static_cast<float*>(args[0]);
    collective.all_reduce(stream, values, average.elements);
    const float share = 1.0F / static_cast<float>(average.ranks);
    for (std::int64_t at = 0; at < average.elements; ++at)
      values[at] *= share;
  };
  return planned(body, {});
}

}  // namespace trainmark::cpu

// Sums of gradients over ranks: MPI in a communicator of its own, or nothing for a rank alone.
#include "comm/native.hpp"

#include "backend/all_reduce.hpp"
#include "backend/cpu/plans.hpp"

namespace trainmark::cpu {
namespace {

class MpiCollective final : public Collective {
 public:
  explicit MpiCollective(const Group& group) : group_(group.duplicate()) {}
  void all_reduce(Stream&, float* values, std::int64_t count) override {
    in_chunks(count, [&](std::int64_t offset, int part) {
      check_mpi(MPI_Allreduce(MPI_IN_PLACE, values + offset, part, MPI_FLOAT, MPI_SUM, native(group_)),
                "MPI_Allreduce of gradients");
    });
  }

 private:
  Group group_;
};

}  // namespace

std::unique_ptr<Collective> make_collective(const Group& group) {
  if (group.size() == 1) return std::make_unique<SelfCollective>();
  return std::make_unique<MpiCollective>(group);
}

Planned plan_op(const AllReduce& reduce, const Operands& operands) {
  return {std::make_unique<AllReducePlan>(*operands.collective, reduce.range.size()), {}, 0, {}};
}

}  // namespace trainmark::cpu

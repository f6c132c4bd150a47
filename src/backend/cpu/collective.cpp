// Sums over ranks: MPI in a communicator of its own, or nothing for a rank alone.
#include <algorithm>
#include <cstring>

#include "comm/native.hpp"

#include "backend/all_reduce.hpp"
#include "backend/cpu/plans.hpp"
#include "backend/cpu/streams.hpp"
#include "backend/cpu/wire.hpp"

namespace trainmark::cpu {
namespace {

class MpiCollective final : public Collective {
 public:
  explicit MpiCollective(const Group& group) : group_(group.duplicate()) {}
  void all_reduce(Stream&, float* values, std::int64_t count) override { sum(values, count, MPI_FLOAT); }
  void all_reduce(Stream&, double* values, std::int64_t count) override { sum(values, count, MPI_DOUBLE); }
  /// MPI has no sums of 16-bit floats. Each rank adds one part of all ranks' values up, in fp32 and in the ranks'
  /// order, and gives its rounded sums to the others: as many bytes as a ring sends, and bits that no algorithm of
  /// MPI's moves.
  void all_reduce(Stream& stream, float* values, std::int64_t count, DType wire, void* scratch) override {
    if (wire == DType::f32) return all_reduce(stream, values, count);
    in_chunks(count, [&](std::int64_t offset, int part) {
      sum_on_the_wire(values + offset, part, wire, static_cast<std::uint16_t*>(scratch));
    });
  }
  [[nodiscard]] std::size_t wire_scratch_bytes(std::int64_t count, DType wire) const override {
    if (wire == DType::f32) return 0;
    const std::int64_t ranks = group_.size();
    return static_cast<std::size_t>(2 * ranks * ((count + ranks - 1) / ranks)) * sizeof(std::uint16_t);
  }

 private:
  void sum_on_the_wire(float* values, std::int64_t count, DType wire, std::uint16_t* scratch) {
    const std::int64_t ranks = group_.size(), part = (count + ranks - 1) / ranks;
    std::uint16_t* sent = scratch;
    std::uint16_t* received = scratch + ranks * part;
    to_wire(values, count, wire, sent);
    std::fill(sent + count, sent + ranks * part, std::uint16_t{0});
    check_mpi(MPI_Alltoall(sent, static_cast<int>(part), MPI_UINT16_T, received, static_cast<int>(part), MPI_UINT16_T,
                           native(group_)),
              "MPI_Alltoall of a step's sums");
    add_up_wire(received, ranks, part, wire, sent + group_.rank() * part);
    check_mpi(
        MPI_Allgather(MPI_IN_PLACE, 0, MPI_DATATYPE_NULL, sent, static_cast<int>(part), MPI_UINT16_T, native(group_)),
        "MPI_Allgather of a step's sums");
    from_wire(sent, count, wire, values);
  }
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
  return planned_sum(*operands.collectives.all, reduce);
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

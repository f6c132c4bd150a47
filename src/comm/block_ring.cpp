// Non-blocking broadcasts, one a slot. MPI's own algorithms spread a block over the group; several at a time hide their
// latency.
#include <chrono>
#include <thread>

#include "comm/native.hpp"

namespace trainmark {

struct BlockRing::Impl {
  Impl(const Group& all, std::size_t count, std::size_t bytes)
      : group(all.duplicate()), slot_bytes(bytes), memory(count * bytes), requests(count, MPI_REQUEST_NULL) {}

  Group group;
  std::size_t slot_bytes;
  std::vector<std::byte> memory;
  std::vector<MPI_Request> requests;
};

BlockRing::BlockRing(const Group& group, std::size_t slots, std::size_t slot_bytes)
    : impl_(std::make_unique<Impl>(group, slots, slot_bytes)) {}
BlockRing::~BlockRing() = default;

std::size_t BlockRing::slots() const noexcept { return impl_->requests.size(); }

std::span<std::byte> BlockRing::slot(std::size_t number) const {
  return std::span(impl_->memory).subspan(number * impl_->slot_bytes, impl_->slot_bytes);
}

void BlockRing::start(std::size_t number, std::size_t bytes, int root) {
  TRAINMARK_CHECK(bytes <= impl_->slot_bytes && bytes <= (std::size_t{1} << 30),
                  "a block fits its slot and an MPI call");
  TRAINMARK_CHECK(impl_->requests.at(number) == MPI_REQUEST_NULL, "the slot is free");
  if (impl_->group.impl().pretended()) return;
  check_mpi(MPI_Ibcast(slot(number).data(), static_cast<int>(bytes), MPI_BYTE, root, native(impl_->group),
                       &impl_->requests[number]),
            "MPI_Ibcast");
}

void BlockRing::wait(std::size_t number) {
  MPI_Request& request = impl_->requests.at(number);
  for (int tries = 0, complete = 0;; ++tries) {
    if (request == MPI_REQUEST_NULL) return;
    check_mpi(MPI_Test(&request, &complete, MPI_STATUS_IGNORE), "MPI_Test");
    if (complete != 0) return;
    // A block takes a millisecond or more: a core that spins is missed by the ranks that hash.
    if (tries > 20) std::this_thread::sleep_for(std::chrono::microseconds(50));
  }
}

}  // namespace trainmark

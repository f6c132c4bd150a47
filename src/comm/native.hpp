// The raw communicator behind a Group, for the rooms that may speak MPI: comm and backend.
#pragma once

#include <mpi.h>

#include <memory>
#include <string>

#include "trainmark/comm.hpp"

namespace trainmark {

struct Group::Impl {
  MPI_Comm comm = MPI_COMM_NULL;
  bool owned = false;
  int rank = 0;
  int size = 1;
  Impl(MPI_Comm raw, bool own);
  Impl(int rank_of, int ranks) noexcept : rank(rank_of), size(ranks) {}  ///< pretended
  ~Impl();
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;
  [[nodiscard]] bool pretended() const noexcept { return comm == MPI_COMM_NULL; }
};

[[nodiscard]] inline MPI_Comm native(const Group& group) noexcept { return group.impl().comm; }

/// Raises Error{communication} with MPI's own text where `code` is not MPI_SUCCESS.
void check_mpi(int code, const char* call);

/// The one place where counts above 2^31 are cut: calls `each(offset, count)` for pieces an MPI call can take.
template <class Each>
void in_chunks(std::int64_t count, Each&& each) {
  constexpr std::int64_t most = std::int64_t{1} << 30;
  for (std::int64_t offset = 0; offset < count; offset += most) {
    each(offset, static_cast<int>(count - offset < most ? count - offset : most));
  }
}

}  // namespace trainmark

// Collectives of the control plane. Errors come back as exceptions; counts above 2^31 are cut in native.hpp. In a
// pretended group every other rank says what this one says.
#include <fmt/core.h>

#include <array>

#include "comm/native.hpp"

namespace trainmark {

void check_mpi(int code, const char* call) {
  if (code == MPI_SUCCESS) return;
  std::array<char, MPI_MAX_ERROR_STRING> text{};
  int length = 0;
  MPI_Error_string(code, text.data(), &length);
  throw Error(ExitCode::communication, Complaint{call, std::string(text.data(), static_cast<std::size_t>(length)),
                                                 "a peer or the network failed",
                                                 "look at the first rank that complains, then at the node it ran on"});
}

Group::Impl::Impl(MPI_Comm raw, bool own) : comm(raw), owned(own) {
  check_mpi(MPI_Comm_set_errhandler(comm, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");
  MPI_Comm_rank(comm, &rank);
  MPI_Comm_size(comm, &size);
}

Group::Impl::~Impl() {
  int finalized = 0;
  MPI_Finalized(&finalized);
  if (owned && finalized == 0 && comm != MPI_COMM_NULL) MPI_Comm_free(&comm);
}

int Group::rank() const noexcept { return impl_->rank; }
int Group::size() const noexcept { return impl_->size; }

void Group::barrier() const {
  if (!impl_->pretended()) check_mpi(MPI_Barrier(impl_->comm), "MPI_Barrier");
}

void Group::broadcast(std::span<std::byte> bytes, int root) const {
  if (impl_->pretended()) return;
  in_chunks(static_cast<std::int64_t>(bytes.size()), [&](std::int64_t offset, int count) {
    check_mpi(MPI_Bcast(bytes.data() + offset, count, MPI_BYTE, root, impl_->comm), "MPI_Bcast");
  });
}

std::string Group::broadcast(std::string text, int root) const {
  std::uint64_t length = text.size();
  broadcast(std::as_writable_bytes(std::span(&length, 1)), root);
  text.resize(length);
  broadcast(std::as_writable_bytes(std::span(text)), root);
  return text;
}

namespace {

template <class T>
void reduce(const Group::Impl& group, std::span<T> values, MPI_Datatype type, MPI_Op op) {
  if (group.pretended()) {
    for (T& value : values)
      if (op == MPI_SUM) value *= static_cast<T>(group.size);
    return;
  }
  in_chunks(static_cast<std::int64_t>(values.size()), [&](std::int64_t offset, int count) {
    check_mpi(MPI_Allreduce(MPI_IN_PLACE, values.data() + offset, count, type, op, group.comm), "MPI_Allreduce");
  });
}

template <class T>
std::vector<T> gather_values(const Group::Impl& group, T value, MPI_Datatype type) {
  std::vector<T> all(static_cast<std::size_t>(group.size), value);
  if (group.pretended()) return all;
  check_mpi(MPI_Allgather(&value, 1, type, all.data(), 1, type, group.comm), "MPI_Allgather");
  return all;
}

}  // namespace

void Group::sum(std::span<double> values) const { reduce(*impl_, values, MPI_DOUBLE, MPI_SUM); }
void Group::max(std::span<double> values) const { reduce(*impl_, values, MPI_DOUBLE, MPI_MAX); }
void Group::sum(std::span<std::int64_t> values) const { reduce(*impl_, values, MPI_INT64_T, MPI_SUM); }

std::vector<std::uint64_t> Group::all_gather(std::uint64_t value) const {
  return gather_values(*impl_, value, MPI_UINT64_T);
}
std::vector<double> Group::all_gather(double value) const { return gather_values(*impl_, value, MPI_DOUBLE); }

std::vector<std::string> Group::all_gather(const std::string& text) const {
  if (impl_->pretended()) return {static_cast<std::size_t>(size()), text};
  const std::vector<std::uint64_t> lengths = all_gather(std::uint64_t{text.size()});
  std::vector<std::string> all;
  // One broadcast a rank: rare and short texts (host names, messages), so simplicity wins over speed.
  for (int root = 0; root < size(); ++root) {
    std::string piece = root == rank() ? text : std::string(lengths[static_cast<std::size_t>(root)], '\0');
    if (!piece.empty()) broadcast(std::as_writable_bytes(std::span(piece)), root);
    all.push_back(std::move(piece));
  }
  return all;
}

std::vector<std::string> Group::gather(const std::string& text, int root) const {
  std::vector<std::uint64_t> lengths(static_cast<std::size_t>(size()));
  const std::uint64_t length = text.size();
  if (impl_->pretended()) return std::vector<std::string>(rank() == root ? lengths.size() : 0, text);
  check_mpi(MPI_Gather(&length, 1, MPI_UINT64_T, lengths.data(), 1, MPI_UINT64_T, root, impl_->comm), "MPI_Gather");
  constexpr int tag = 0;
  if (rank() != root) {
    in_chunks(static_cast<std::int64_t>(length), [&](std::int64_t offset, int count) {
      check_mpi(MPI_Send(text.data() + offset, count, MPI_CHAR, root, tag, impl_->comm), "MPI_Send");
    });
    return {};
  }
  // Texts may be long (a manifest's hashes) and ranks many: no sum of lengths has to fit an int.
  std::vector<std::string> all(lengths.size());
  for (int from = 0; from < size(); ++from) {
    std::string& piece = all[static_cast<std::size_t>(from)];
    if (from == root) {
      piece = text;
      continue;
    }
    piece.resize(lengths[static_cast<std::size_t>(from)]);
    in_chunks(static_cast<std::int64_t>(piece.size()), [&](std::int64_t offset, int count) {
      check_mpi(MPI_Recv(piece.data() + offset, count, MPI_CHAR, from, tag, impl_->comm, MPI_STATUS_IGNORE),
                "MPI_Recv");
    });
  }
  return all;
}

Group Group::split(int colour) const {
  if (impl_->pretended()) return *this;
  MPI_Comm part = MPI_COMM_NULL;
  check_mpi(MPI_Comm_split(impl_->comm, colour, rank(), &part), "MPI_Comm_split");
  return Group(std::make_shared<Impl>(part, true));
}

Group Group::neighbours(int count) const {
  if (impl_->pretended()) return Group(std::make_shared<Impl>(rank() % count, count));
  return split(rank() / count);
}

Group Group::duplicate() const {
  if (impl_->pretended()) return *this;
  MPI_Comm copy = MPI_COMM_NULL;
  check_mpi(MPI_Comm_dup(impl_->comm, &copy), "MPI_Comm_dup");
  return Group(std::make_shared<Impl>(copy, true));
}

}  // namespace trainmark

// A communicator of the NCCL double and the collective that it is busy with. Collectives run in the order of their
// calls (replays: of the graph's launch), one at a time, as NCCL orders them.
#pragma once

#include <nccl.h>

#include <memory>
#include <string>

#include "cuda_double/device.hpp"
#include "cuda_double/ranks.hpp"

namespace trainmark::cuda_double {

enum class Kind : std::int32_t { all_reduce, broadcast, all_gather };
struct Collective {
  Kind kind = Kind::all_reduce;
  const char* send = nullptr;
  char* receive = nullptr;
  std::size_t count = 0;
  ncclDataType_t type = ncclFloat32;
  ncclRedOp_t reduction = ncclSum;
  int root = 0;
};
[[nodiscard]] std::size_t size_of(ncclDataType_t type);
[[nodiscard]] std::string describe(const Collective& collective);
/// into = into (reduction) from, rounded to the type as a device does at every step.
void combine(void* into, const void* from, std::size_t count, ncclDataType_t type, ncclRedOp_t reduction);
/// The average's last step.
void divide(void* values, std::size_t count, ncclDataType_t type, int by);

struct Communicator {
  Communicator(const std::string& name, int ranks, int own) : size(ranks), rank(own), segment(name, ranks) {}
  int size, rank;
  Segment segment;
  bool blocking = true;
  bool ready = false;      // all have joined, and it was polled often enough
  bool connected = false;  // has had its first collective
  bool finalized = false;
  int polls = 0;  // until a call that is in progress is not
  ncclResult_t error = ncclSuccess;
  ncclResult_t refuses = ncclSuccess;  // to its host, by every call from now on; what is queued goes on
  bool aborted = false;
  std::uint64_t called = 0, ended = 0;  // collectives
  std::uint64_t round = 0;
  bool posted = false;     // this round's part
  std::size_t offset = 0;  // bytes of a rank's part that are through
  double since = 0.0;      // of waiting

  /// One step of the collective; true when it has ended, or never will. This rank may be `absent` from it.
  bool advance(const Collective& collective, bool absent);

 private:
  bool give_up_after_limit(const Collective& collective);
  bool intents_agree(const Collective& collective, const Intent& own);
  void take(const Collective& collective, std::size_t bytes);
};

}  // namespace trainmark::cuda_double

// Sums over ranks through NCCL: how long its calls may take, what its library is called, and ending it from outside.
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "trainmark/backend.hpp"

namespace trainmark::cuda {

struct CollectiveOptions {
  /// For joining, for the first sum and for any call that NCCL has under way: what takes longer never comes. Waits for
  /// a step's own sums have no limit here: they end with the slowest rank's batch, which the run's watchdog judges.
  /// Zero: a minute, and twenty milliseconds more for each rank, since joining takes longer the more there are.
  std::chrono::milliseconds limit{0};
  /// Leaves out sums inside switches, whose order is the network's. The algorithm and protocol, which NCCL takes from
  /// the environment alone (NCCL_ALGO, NCCL_PROTO), are for who owns the environment to set before the first call.
  bool deterministic = false;
  bool even_alone = false;  ///< a communicator for a rank alone too
};
/// NCCL in a communicator of its own, or nothing for a rank alone. Collective. Raises Error{communication} that names
/// the rank, its peers and the limit where a peer does not come. Each rank has chosen its device (choose_device).
/// `stream`, which outlives the collective, carries the sums that make connections.
[[nodiscard]] std::unique_ptr<Collective> make_collective(const Group& group, Stream& stream,
                                                          const CollectiveOptions& options);

/// For a plan that will sum `count` floats: makes the connections of that before anything is captured. Collective over
/// the collective's group.
void prepare_sums(Collective& collective, std::int64_t count);

[[nodiscard]] std::string nccl_version();  ///< "NCCL 2.28.9", of the library that is loaded

/// Behind a capture that failed on some rank, when no rank has anything under way: an error inside NCCL has spoilt the
/// communicator for good, and ranks in whose group that happened to one join another together. Collective over the
/// groups of all collectives, in the order in which these were made.
void renew_spoilt_communicators();

/// Ends all sums under way, from any thread (a watchdog's): who waits for them then raises Error{communication} with
/// `reason`. Returns at once: kernels leave soon after.
void abort_communicators(const std::string& reason) noexcept;

}  // namespace trainmark::cuda

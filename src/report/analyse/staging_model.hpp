// How long staging takes where nodes hold other parts of the set, or are others in number.
#pragma once

#include <optional>

#include "trainmark/report.hpp"

namespace trainmark::report {

/// What one node of a launch does in staging, as shares of the data set.
struct NodeShares {
  double read = 1.0;  ///< off the source
  double held = 1.0;  ///< in its own storage, when all is there
};
/// `group` of `nodes` nodes hold the same part: 1 is shard, `nodes` replicate. With `exchanges` each part is read once
/// for the job, by its nodes together; else each node reads its own.
[[nodiscard]] NodeShares shares_of(double group, double nodes, bool exchanges) noexcept;

/// How many nodes of a run held the same part. None where its config does not tell, it staged nothing, or groups of
/// that size do not divide its nodes.
[[nodiscard]] std::optional<double> group_of(const RunFacts& facts);
/// Whether the runs' transport lets nodes that hold the same part read it once for all of them. None where the config
/// does not tell.
[[nodiscard]] std::optional<bool> exchanges(const RunFacts& facts);

/// A node has either read off the source or written to its storage as fast as it can, and the other at least as fast
/// as it did: the time lies between both, each scaled by its share. Seconds.
struct StagingTime {
  double reading_s = 0.0;  ///< what a node reads, at the rate at which one read
  double landing_s = 0.0;  ///< what it holds, at the rate at which that landed on one
};
[[nodiscard]] StagingTime predict_staging(double now_s, const NodeShares& now, const NodeShares& then) noexcept;

}  // namespace trainmark::report

// What a screening found, by rank and by node, and how it is told.
#pragma once

#include <string>
#include <vector>

#include "run/screen/judge.hpp"
#include "trainmark/run.hpp"

namespace trainmark {

struct ScreenedRank {
  int rank = 0;
  double step_s = 0.0;       ///< alone: without sums; the median of the rounds
  double spread = 0.0;       ///< of the rounds: (most - least) / median
  int core_mhz = 0;          ///< mean of a device's clock while it worked; 0: no sensors
  std::string throttled_by;  ///< empty: no sensors
  Judged judged;             ///< among all ranks
};

struct ScreenedNode {
  int node = 0;
  std::string host;
  double step_s = 0.0;  ///< its ranks together, sums over them included; of the slowest of them
  Judged judged;        ///< among all nodes
  std::vector<ScreenedRank> ranks;
};

/// Slowest node first.
struct ScreenResult {
  std::vector<ScreenedNode> nodes;
  double node_median_s = 0.0, rank_median_s = 0.0;
  [[nodiscard]] std::size_t ranks() const;
  [[nodiscard]] bool all_alike() const;
};

/// Judges and sorts what was measured.
[[nodiscard]] ScreenResult judged(std::vector<ScreenedNode> nodes);

/// What was asked for, as it is told.
struct ScreenedWork {
  std::string name, workload, precision, backend;
  std::int64_t local_batch = 0;
  ScreenOptions how;
};
[[nodiscard]] std::string to_text(const ScreenResult& result, const ScreenedWork& work);
[[nodiscard]] std::string to_json(const ScreenResult& result, const ScreenedWork& work);

}  // namespace trainmark

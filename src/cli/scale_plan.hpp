// Where the data of a run would lie on so many nodes, and what an epoch and the run would take there: modelled from
// stated capacities and rates, never a measurement.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "trainmark/report.hpp"
#include "trainmark/run.hpp"

namespace trainmark::cli {

struct ScaleQuestion {
  std::vector<int> nodes;  ///< ascending; empty: powers of two while the batch has a sample for every rank
  int ranks_per_node = 1;
  std::vector<Tier> tiers;
  double sample_bytes = 0.0;  ///< as stored; 0: by the shape of the workload's samples
  double node_watts = 0.0;    ///< 0: not known
  std::string device;         ///< a name of share/devices; empty: no time to compute
};

struct ScaleLine {
  int nodes = 1, ranks = 1;
  std::optional<std::int64_t> local_batch = {};  ///< none: the ranks do not share the batch evenly
  double part_bytes = 0.0;                       ///< of both splits, each file on one node
  std::optional<Tier> tier = {};                 ///< the fastest that holds the part
  std::optional<int> largest_group = {};         ///< stage.group at most, for that tier to hold what a node then gets
  std::optional<double> read_s = {}, compute_s = {};       ///< an epoch's training samples
  std::optional<double> node_hours = {}, energy_kwh = {};  ///< of the most epochs that the config allows
  /// The larger of both; none where neither is known.
  [[nodiscard]] std::optional<double> epoch_s() const;
};
struct ScalePlan {
  double set_bytes = 0.0;
  std::int64_t train_samples = 0, validation_samples = 0;
  double epochs = 0.0;  ///< that the config ends with at the latest; 0: it has no such number
  std::vector<ScaleLine> lines;
  std::vector<std::string> unknown;  ///< what lines lack figures for, each with the way to state it
};
/// Raises Error{usage}: the config does not say how many samples there are, JPEGs of unknown
/// size, or more ranks than MPI numbers.
[[nodiscard]] ScalePlan plan_scale(const RunOptions& options, const ScaleQuestion& question);
[[nodiscard]] std::string scale_text(const ScalePlan& plan, const ScaleQuestion& question);
[[nodiscard]] nlohmann::ordered_json scale_json(const ScalePlan& plan, const ScaleQuestion& question);

}  // namespace trainmark::cli

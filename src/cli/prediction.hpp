// What a described device could do with a step at best: a floor from bytes, operations and the device's ceilings, and
// whether cuDNN has plans for its graphs. A bound, never a measurement.
#pragma once

#include <string>
#include <vector>

#include "trainmark/nn.hpp"
#include "trainmark/run.hpp"

namespace trainmark::cli {

struct NodeBound {
  std::string node;
  Cost cost;
  double seconds = 0.0;
  bool memory_bound = true;
};
struct Prediction {
  std::string device;    ///< its full name
  std::string ceilings;  ///< where they come from
  std::vector<NodeBound> nodes;
  double seconds = 0.0;
  std::string plans;                              ///< "plan-checked ..." or why not
  std::size_t pool_bytes = 0, scratch_bytes = 0;  ///< of all graphs; 0 where plans were not made
};
/// A part's cost, so many times; parameters are the same ones each time.
[[nodiscard]] Cost times(std::int64_t count, Cost cost);
/// Of a whole step. `device`: a name of share/devices. Raises Error{usage} for another.
[[nodiscard]] Prediction predict(const std::string& device, const RunOptions& options, StepGraphs graphs);
/// Of the step as it is written, whatever the device's library would fuse.
[[nodiscard]] double least_step_seconds(const std::string& device, const RunOptions& options, const StepGraphs& graphs);
[[nodiscard]] std::vector<std::string> known_devices();
/// Where /backend/emulated/like names a device: the times that its steps take on so many ranks, in its place. Raises
/// Error{usage} for a device that is not known.
[[nodiscard]] EmulatedDevice emulated_times(const RunOptions& options, std::int64_t ranks);

}  // namespace trainmark::cli

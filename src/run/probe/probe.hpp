// The ceilings of this machine in the shapes of a workload: what is measured, and what came of it. Each part of the
// measurement has a file of its own.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "run/launch/session.hpp"
#include "run/probe/rounds.hpp"

namespace trainmark {

/// A rate that was measured.
struct ProbeFigure {
  std::string name;                                ///< with its unit: "memory_copy_bytes_per_s"
  std::string of;                                  ///< what was done
  std::optional<Spread> alone = {};                ///< one rank a node, the others wait; none where no node has others
  Spread rank = {}, node = {};                     ///< while all work: of a rank, and of a node's ranks together
  std::string cache = {};                          ///< of a read: "cold" or "warm"
  std::vector<double> by_rank = {}, by_node = {};  ///< medians of each, while all work
};
/// A node that is slower at something than the others are.
struct SlowNode {
  std::string figure;    ///< what it is slow at
  std::size_t node = 0;  ///< by its number
  double excess = 0.0;   ///< of its time over the median of all nodes, as a part of it
};
/// A sum over ranks, as a step makes it.
struct ProbeMessage {
  std::string name;  ///< of its node in the step's graph
  int ranks = 1;     ///< that sum
  std::int64_t bytes = 0;
  Spread seconds;          ///< of the slowest rank
  Spread bus_bytes_per_s;  ///< see bus_factor
};
/// What a training step asks for on one rank, counted from its graphs (fused as they run) and its dataset.
struct StepWork {
  std::int64_t samples = 0;
  std::int64_t flops = 0;                 ///< dense count, as everywhere
  std::int64_t memory_bytes = 0;          ///< operands read and written once by each operation but sums over ranks
  std::int64_t host_to_device_bytes = 0;  ///< 0 where the backend computes in host memory
  double network_bytes = 0.0;             ///< sent, as a ring does
  double storage_bytes = 0.0;             ///< of the samples as they lie in their files
  std::string storage;                    ///< that training reads: "staged" or "source"
};
struct ProbeResult {
  std::vector<ProbeFigure> figures;
  std::vector<ProbeMessage> messages;
  StepWork step;
  std::vector<std::string> hosts;     ///< by node
  std::vector<std::string> left_out;  ///< what was not measured, and why
  double seconds = 0.0;               ///< that all of it took
};

/// Those that are out of line, by the rule of judge.hpp: none where there are two nodes or one.
[[nodiscard]] std::vector<SlowNode> slow_nodes(const std::vector<ProbeFigure>& figures);

/// Of n ranks that sum `bytes`: bus bandwidth = bytes / seconds * 2 (n - 1) / n, which can be compared with a link's
/// whatever n is (NVIDIA nccl-tests, doc/PERFORMANCE.md).
[[nodiscard]] double bus_factor(int ranks) noexcept;

/// What a probe works with. Refers to what it is made of.
struct Probing {
  const World& world;
  Backend& backend;
  const Collectives& collectives;
  const RunOptions& options;
  const Dataset& dataset;
  const StepGraphs& graphs;  ///< as the model makes them
  const Rounds& rounds;
  ProbeResult& result;
  int parts = 1;  ///< that are still to be measured: they share what is left of the budget

  /// Seconds for the part that comes next. Collective.
  [[nodiscard]] double share() { return rounds.left() / std::max(1, parts--); }
  void leave_out(const std::string& what, const std::string& why) { result.left_out.push_back(what + ": " + why); }
  /// A figure with what was measured within `limit`, all ranks at once and then one a node. Nothing where that is too
  /// short for the first.
  [[nodiscard]] std::optional<ProbeFigure> measured(ProbeFigure figure, const Repeated& what, double limit) const;
  /// The same, added to the result. False where it did not fit, which is noted.
  bool add(ProbeFigure figure, const Repeated& what, double limit);
  /// Does what may find no room or no plan. False where it did: then that is noted, for all ranks alike. What is wrong
  /// with data is raised.
  bool attempt(const std::string& name, const std::function<void()>& work);
};

[[nodiscard]] std::string too_short(double limit);  ///< why something was left out

/// The parts. Each adds to the result what could be measured and notes what could not.
void probe_compute(Probing& probing);
void probe_memory(Probing& probing);
void probe_sums(Probing& probing);
void probe_reading(Probing& probing);

/// Of those of a step's convolutions that compute most: the operation, its operands at `samples` in place of the local
/// batch, and its operations.
struct ProbeConv {
  std::string name;
  Op op;
  Operands operands;  ///< layouts open
  std::int64_t flops = 0;
};
/// The `most` nodes with most multiply-accumulates; activations get the type `compute`.
[[nodiscard]] std::vector<ProbeConv> largest_convolutions(const Backend& backend, const Graph& step, std::size_t most,
                                                          std::int64_t local_batch, std::int64_t samples,
                                                          DType compute);

[[nodiscard]] StepWork step_work(const World& world, const Backend& backend, const RunOptions& options,
                                 const Dataset& dataset, const StepGraphs& fused);

/// Where the files of a manifest are, and which of them hold given samples.
class SampleFiles {
 public:
  explicit SampleFiles(const Manifest& manifest);
  /// Entries that hold these samples (ids in the manifest's order), each once, ascending.
  [[nodiscard]] std::vector<std::size_t> of(std::span<const std::int64_t> ids) const;
  [[nodiscard]] double stored_bytes(std::int64_t id) const;  ///< a sample's share of its file

 private:
  [[nodiscard]] std::size_t entry_of(std::int64_t id) const;
  const Manifest& manifest_;
  std::vector<std::int64_t> ends_;
};

/// Measures all of it within `budget_seconds`. Collective. Raises Error{environment} where nothing could be measured.
[[nodiscard]] ProbeResult measure_ceilings(const World& world, Backend& backend, const Collectives& collectives,
                                           const RunOptions& options, const Dataset& dataset, double budget_seconds,
                                           const std::function<void()>& alive);

/// The two forms of one result.
[[nodiscard]] std::string probe_json(const World& world, const Backend& backend, const RunOptions& options,
                                     double budget_seconds, const ProbeResult& result);
[[nodiscard]] std::string probe_text(const ProbeResult& result);

}  // namespace trainmark

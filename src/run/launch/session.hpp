// Making the parts of a run ready: what stands between the options and the first step.
#pragma once

#include <memory>

#include "run/launch/dataset.hpp"
#include "trainmark/exec.hpp"
#include "trainmark/run.hpp"

namespace trainmark {

/// The seed of the config, or one drawn from the operating system's entropy by rank 0. Never 0. Collective.
[[nodiscard]] std::int64_t chosen_seed(const World& world, std::int64_t wanted);

/// The options with what is settled once a launch is there: seed, TF32, readers, and the threads that the backend must
/// leave room for. Collective.
[[nodiscard]] RunOptions options_of_launch(const World& world, const RunOptions& wanted);

/// The same where as many readers as a run may come to are there from the beginning: for who measures ceilings.
[[nodiscard]] RunOptions with_all_readers(RunOptions options);

/// CPUs that this rank's readers may keep busy beside what computes; at least the one that any reader takes.
/// Collective.
[[nodiscard]] double reader_cpus(const World& world, const Backend& backend);

/// Raises Error{usage} where `what` ("trainmark ablate") would measure a device that is not there.
void require_computes(const RunOptions& options, std::string_view what);

/// Drops the page cache of every node, if that is asked for. True only if done everywhere. Collective.
[[nodiscard]] bool clear_caches(const World& world, bool wanted);

/// Raises Error{usage} with all complaints of check_options at once.
void require_options(const World& world, const RunOptions& options, const Dataset& dataset);

/// One node of a training step, run by itself.
struct NodeTime {
  std::string node;
  std::string op;
  double seconds = 0.0;  ///< in all parts of a step, each by the median of several
  Cost cost;
};

/// In which precision a backend computes where that one is asked for: a CPU has no TF32.
[[nodiscard]] Precision computed_in(const Backend& backend, Precision asked);

/// What this run's programs sum over ranks with.
struct OwnedCollectives {
  std::unique_ptr<Collective> all;
  std::unique_ptr<Collective> norm;  ///< of the ranks that normalise together; null where each is alone
  [[nodiscard]] Collectives get() const { return {*all, norm.get()}; }
};
/// Collective.
[[nodiscard]] OwnedCollectives make_collectives(const World& world, Backend& backend, const ModelOptions& model);

/// The compiled model on this rank: state and programs.
struct Compiled {
  OwnedCollectives collectives;
  std::unique_ptr<ModelState> state;
  std::unique_ptr<Program> train, evaluate;
  std::unique_ptr<Program> accumulate;  ///< of a step's batches before the last; null where there is but one
  std::unique_ptr<Program> average;     ///< of running statistics over ranks, before an evaluation; null without any
  double planning_seconds = 0.0;
  int warm_up_launches = 1;  ///< of each slot's programs
  double warm_up_seconds = 0.0;
  std::int64_t parts = 1;       ///< batches of a step on a rank
  std::vector<NodeTime> nodes;  ///< of a whole step, in the order of its last batch, where they were to be timed
};
/// `channels`: what those of the dataset range over, where the model asks. `timed`: launches of programs are timed by
/// themselves, but on a device that captures its steps, where they are none of the host's.
[[nodiscard]] Compiled compile(const World& world, Backend& backend, const RunOptions& options,
                               const std::vector<ChannelRange>& channels = {}, bool timed = false);

/// Samples that are random but fixed, packed as a program takes them, with a step state that counts all of them.
class SyntheticBatch {
 public:
  /// Samples [first, first + samples) of the source that `seed` makes.
  SyntheticBatch(const DataSchema& schema, std::int64_t samples, std::int64_t first, std::uint64_t seed, float rate);
  [[nodiscard]] std::span<const std::span<const std::byte>> inputs() const noexcept { return inputs_; }

 private:
  std::vector<std::vector<std::byte>> memory_;  // by field, then step_state
  std::vector<std::span<const std::byte>> inputs_;
};

/// Runs a step and an evaluation on synthetic data, times a step's nodes if that is asked for, then puts the state back
/// as it was.
void warm_up(Compiled& compiled, std::int64_t seed, const DataSchema& schema, std::int64_t local_batch,
             bool measure_nodes);

}  // namespace trainmark

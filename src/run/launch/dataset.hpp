// The two splits of a dataset: found, counted, planned, staged, and the order in which they are read.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "run/end/watchdog.hpp"
#include "run/record/timeline.hpp"
#include "trainmark/load.hpp"
#include "trainmark/run.hpp"

namespace trainmark {

struct Split {
  std::string name;  ///< "train", "validation"
  std::filesystem::path source;
  std::int64_t samples = 0;   ///< that the run uses: the first of the sorted files
  std::size_t files = 0;      ///< that are there
  Manifest manifest;          ///< of the files that hold them
  Manifest copies;            ///< of what is staged in their place; empty where that is the bytes of all
  std::int64_t inflated = 0;  ///< of the copies
  StagingPlan plan;
  [[nodiscard]] const Manifest& staged() const noexcept { return copies.entries.empty() ? manifest : copies; }
};

struct Dataset {
  DataSchema schema;
  Split train, validation;
  DatasetFacts facts;
  std::vector<ChannelRange> channels;  ///< what they range over; empty where the model does not ask
};

struct StagedDataset {
  Staged train, validation;
  /// staging_start to staging_stop, waiting for other runs included; 0 with strategy none. In the background: what
  /// stood before training, which has no interval in the log.
  double seconds = 0.0;
  double wait_seconds = 0.0;        ///< of that: for other runs that held the target or the source
  std::int64_t inflated_files = 0;  ///< of all that there are to stage
  bool under_way = false;           ///< what is not there yet is to be read from the source
  /// By all ranks, where staging went on beside training.
  std::optional<PlaceStats> reads{};
  [[nodiscard]] bool complete() const;        ///< no node lacks a file
  [[nodiscard]] double copied_after() const;  ///< seconds from the copies' start until the last node had all
};

/// Collective; names, sizes and HDF5 headers only, which may be read before the clock starts. Rank 0 reads, all know,
/// and all plan which node gets what. `alive` is called on every rank while the reading goes on (a watchdog's beats),
/// `say` on rank 0 where files must be read as a whole.
[[nodiscard]] Dataset find_dataset(const World& world, const RunOptions& options, const std::function<void()>& alive,
                                   const std::function<void(const std::string& line)>& say = {});

/// Whether both names lead to one folder.
[[nodiscard]] bool is_one_folder(const std::filesystem::path& one, const std::filesystem::path& other);

/// The folders that a config names, in its order.
[[nodiscard]] std::vector<std::string> targets_of(const StageOptions& stage);
/// Collective: the options with the one target that is staged to; where a config names several, the first in which
/// every node's part fits. Files' names, sizes and times only, which may be looked at before the clock starts. `say` is
/// called on rank 0 where there was a choice. Raises Error{data}: room in none.
[[nodiscard]] StageOptions with_target(const World& world, const RunOptions& options, const Dataset& dataset,
                                       const std::function<void()>& alive,
                                       const std::function<void(const std::string& line)>& say = {});

/// Whether the ruleset lets staging stand before init_start, outside the clock: 3.0 on, and only to durable storage.
[[nodiscard]] bool stages_before_clock(const World& world, const StageOptions& stage, const Rules& rules);

/// Collective: brings both splits to the node (strategy none: leaves them where they are). What is returned keeps other
/// runs from changing them. `alive` is called as it goes on.
[[nodiscard]] StagedDataset bring_dataset(const World& world, const RunOptions& options, const Dataset& dataset,
                                          const std::function<void()>& alive, StageContext context = {});
/// The same on the clock and under the watchdog of a run.
[[nodiscard]] StagedDataset stage_dataset(const World& world, const RunOptions& options, const Dataset& dataset,
                                          Timeline& timeline, Watchdog& watchdog, StageContext context = {});

/// Staging beside training (StageMode::overlap).
struct StagingBeside {
  std::unique_ptr<BackgroundStaging> work;
  double seconds = 0.0;  ///< that stood before training
  /// What is known before the first byte: where samples are read once they are there.
  [[nodiscard]] StagedDataset places(const RunOptions& options) const;
  /// Collective: ends it. What became of it.
  [[nodiscard]] StagedDataset settled();
};
/// Collective: as stage_dataset up to the first byte, then it goes on by itself. `watchdog` is that of the run until
/// then, `copying` that of the copies, which it stands beside. All that is given outlives it.
[[nodiscard]] StagingBeside stage_beside(const World& world, const RunOptions& options, const Dataset& dataset,
                                         Watchdog& watchdog, Watchdog& copying, StageContext context);

/// The order in which this rank visits a split.
[[nodiscard]] Sampling sampling_of(const World& world, const RunOptions& options, const Split& split);

}  // namespace trainmark

// What is made of a run as it goes and when it has ended: its record, its last lines, its exit code.
#pragma once

#include <chrono>
#include <functional>
#include <memory>

#include "run/launch/session.hpp"
#include "run/train/trainer.hpp"

namespace trainmark {

/// The two loaders of a run with what they read from.
struct Input {
  std::unique_ptr<SampleSource> train_source, validation_source;
  std::unique_ptr<Loader> train, validation;
  Sampling train_sampling, validation_sampling;
};
[[nodiscard]] Input open_input(const World& world, Backend& backend, const RunOptions& options, const Dataset& dataset,
                               const StagedDataset& staged);
[[nodiscard]] Trainer::Plan trainer_plan(const World& world, const RunOptions& options, const Input& input);
[[nodiscard]] TimelineFacts facts_of(const World& world, const Backend& backend, const RunOptions& options,
                                     const Dataset& dataset);

/// Of a run that came to its end: success, target_missed or fixed_work_done.
[[nodiscard]] Ending ending_of(const RunOptions& options, bool target_met);

/// Plans everything, trains nothing, leaves nothing behind; says what a run would do.
[[nodiscard]] RunOutcome dry_run(const World& world, Backend& backend, const RunOptions& options,
                                 const Dataset& dataset, Progress& progress);

/// Closes log and results as aborted; by the word of a rank that failed alone, if one has left it.
RunRecord conclude_on_signal(int code, Timeline& timeline, Results& results);
/// Does so when a signal ends the process.
[[nodiscard]] Interrupts::Guard close_on_signal(const RunContext& context, Timeline& timeline, Results& results);

/// Ends this process after `limit` whatever still goes on in it. Returns at once.
void leave_at_latest(std::chrono::seconds limit, ExitCode code) noexcept;
/// What a device may take to come to rest when collectives are broken off.
inline constexpr std::chrono::seconds device_limit(3);
/// Backend::abandon, left behind after `limit` where the driver hangs.
void abandon(Backend& backend, const std::string& reason, std::chrono::seconds limit);
/// Does what enqueues work on a device. Where that raises, sums under way are broken off before anything is freed that
/// they use: freeing waits for the device, which waits for a peer. A device that does not come to rest is `stuck`, who
/// is told why and ends the process.
template <class Work>
auto on_device(Backend& backend, const std::function<void(const Status&)>& stuck, Work&& work) {
  try {
    return work();
  } catch (...) {
    const Status failure = status_of([] { throw; });
    if (!backend.abandon(failure.message, device_limit)) stuck(failure);
    throw;
  }
}
/// Leaves the process and takes all ranks along, even where MPI_Abort hangs.
[[noreturn]] void leave(const World& world, ExitCode code) noexcept;

/// JSON text without its line breaks and indentation.
[[nodiscard]] std::string one_line(const std::string& json);

class Conclusion {
 public:
  Conclusion(const World& world, const RunOptions& options, Results& results, Timeline& timeline, Progress& progress);
  void launch(const Backend& backend, const RunContext& context);  ///< env.json, first lines, oversubscription
  void initialised(const Compiled& compiled, const Backend& backend);
  void staged(const StagedDataset& dataset, bool before_clock);
  [[nodiscard]] RunOutcome completed(const TrainOutcome& outcome, const LoaderStats& input);
  void failed(const std::exception& error);

 private:
  void judge(RunOutcome& outcome);
  void timed(const std::vector<NodeTime>& nodes);
  void tell_of_threads(const Backend& backend, const Placement& placement);
  void tell_of_device(const TrainOutcome& trained);

  const World& world_;
  const RunOptions& options_;
  Results& results_;
  Timeline& timeline_;
  Progress& progress_;
  RunRecord record_;
  double staging_s_ = 0.0;
  bool staged_inside_clock_ = false;
};

}  // namespace trainmark

// How a process of a run ends before its time: what is closed, what is left behind, and for how long anything may hang.
#pragma once

#include <atomic>
#include <chrono>
#include <filesystem>
#include <functional>
#include <memory>

#include "run/end/watchdog.hpp"
#include "run/record/progress.hpp"
#include "run/record/results.hpp"
#include "run/record/timeline.hpp"

namespace trainmark {

/// What a thread finds that ends the job, while the run has it.
struct Open {
  std::atomic<Timeline*> timeline{nullptr};
  std::atomic<Results*> results{nullptr};
  std::atomic<Backend*> backend{nullptr};
};
/// Ends the job without unwinding: the log closed, the results concluded, every rank gone.
[[noreturn]] void end_at_once(const World& world, const Open& open, const RunContext& context, const RunRecord& record);

/// Does so once a phase makes no progress. All three must outlive it.
[[nodiscard]] Watchdog ending_watchdog(const World& world, const Open& open, const RunContext& context);
/// While the result lives, rank 0 does so, too, once another rank has left word in `folder` that it failed alone: that
/// rank will end the job with MPI_Abort, upon which some launchers (srun) kill rank 0 before it can close log and
/// results. All must outlive the result, whose end waits for nothing that may hang.
[[nodiscard]] std::shared_ptr<void> end_with_a_failed_rank(const World& world, const Open& open,
                                                           const RunContext& context,
                                                           const std::filesystem::path& folder);
/// Is told, with the reason, of a device that does not come to rest.
using Stuck = std::function<void(const Status&)>;
/// Ends the job at once then, unless the watchdog already does. All four must outlive it.
[[nodiscard]] Stuck ends_where_stuck(const World& world, const Open& open, const RunContext& context,
                                     Watchdog& watchdog);
/// Rank 0's voice, as the caller wants it.
[[nodiscard]] Progress progress_of(const World& world, const ResultsOptions& results, const RunContext& context);

/// Closes log and results as aborted; by the word of a rank that failed alone, if one has left it.
RunRecord conclude_on_signal(int code, Timeline& timeline, Results& results);
/// Does so when a signal ends the process.
[[nodiscard]] Interrupts::Guard close_on_signal(const RunContext& context, Timeline& timeline, Results& results);

/// Ends this process after `limit` whatever still goes on in it. Returns at once.
void leave_at_latest(std::chrono::seconds limit, ExitCode code) noexcept;
/// Leaves the process and takes all ranks along, even where MPI_Abort hangs.
[[noreturn]] void leave(const World& world, ExitCode code) noexcept;

/// What a device may take to come to rest when collectives are broken off.
inline constexpr std::chrono::seconds device_limit(3);
/// Backend::abandon, left behind after `limit` where the driver hangs.
void abandon(Backend& backend, const std::string& reason, std::chrono::seconds limit);
/// Does what enqueues work on a device. Where that raises, sums under way are broken off before anything is freed that
/// they use: freeing waits for the device, which waits for a peer. `stuck` does not return.
template <class Work>
auto on_device(Backend& backend, const Stuck& stuck, Work&& work) {
  try {
    return work();
  } catch (...) {
    const Status failure = status_of([] { throw; });
    if (!backend.abandon(failure.message, device_limit)) stuck(failure);
    throw;
  }
}

}  // namespace trainmark

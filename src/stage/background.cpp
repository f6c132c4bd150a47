// The copying beside training: one thread of a rank, which hears that it is to stop between two pieces of a file.
#include <fmt/core.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <exception>
#include <thread>

#include "stage/preparation.hpp"
#include "trainmark/process.hpp"

namespace trainmark {
namespace {

/// What ends the copying where nobody wants it any more. No Error: nobody is to report it.
struct Stopped {};

/// Of the calling thread: training's readers and threads come first, where a disk's scheduler and the kernel's may
/// choose.
void yield_to_training() noexcept {
  static_cast<void>(setpriority(PRIO_PROCESS, 0, 10));  // of Linux, where it means the thread
  // By ioprio_set(2), for which the C library has no call; the kernel's own header is not C++ in some of its releases.
  constexpr int who_process = 1, class_best_effort = 2, class_shift = 13, last_level = 7;
  static_cast<void>(syscall(SYS_ioprio_set, who_process, 0, class_best_effort << class_shift | last_level));
}

StageOptions copying_by_itself(StageOptions options) {
  TRAINMARK_CHECK(options.strategy != Strategy::none, "there is something to stage");
  TRAINMARK_CHECK(options.form == StageForm::files, "readers ask for files by their names");
  options.transport = Transport::copy;
  return options;
}

}  // namespace

bool is_staged(const std::filesystem::path& path, std::int64_t bytes, std::int64_t modified_ns) {
  const std::optional<FileFacts> there = facts_of(path);
  return there && there->bytes == bytes && same_time(there->modified_ns, modified_ns);
}

struct BackgroundStaging::Impl {
  Impl(const World& of, std::span<const StagingSet> sets, const StageOptions& wanted, const StageContext& context,
       Heard hears)
      : world(of), options(copying_by_itself(wanted)), heard(std::move(hears)), prepared(of, sets, options, context) {}
  ~Impl() { stop(); }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  void copy() {
    yield_to_training();
    if (heard.goes_on) heard.goes_on();
    try {
      for (Stager& stager : prepared.stagers())
        stager.copy_beside(since);
    } catch (const Stopped&) {
    } catch (...) {
      failure = std::current_exception();
    }
    complete = !failure && std::ranges::all_of(prepared.stagers(), &Stager::has_all);
    if (heard.ended) heard.ended();
    ended = true;
  }

  void stop() noexcept {
    stopping = true;
    if (thread.joinable()) thread.join();
  }

  /// Collective.
  void settle(bool published) {
    for (Stager& stager : prepared.stagers())
      outcome.sets.push_back(stager.conclude(published));
    if (published) prepared.let_read(outcome);
    outcome.wait_seconds = prepared.claims().waited_seconds();
    settled = true;
  }

  const World& world;
  StageOptions options;
  Heard heard;
  Preparation prepared;
  Clock since;
  std::atomic<bool> stopping{false};
  std::atomic<bool> ended{false};  // whatever stands below may be looked at
  bool complete = false;
  std::exception_ptr failure;
  bool settled = false;
  StageOutcome outcome;
  std::thread thread;
};

BackgroundStaging::BackgroundStaging(const World& world, std::span<const StagingSet> sets, const StageOptions& options,
                                     const StageContext& context, Heard heard)
    : impl_(std::make_unique<Impl>(world, sets, options, context, std::move(heard))) {
  Impl& impl = *impl_;
  impl.prepared.begin_changes();
  const bool copies = impl.prepared.changes_files();
  impl.prepared.let_hear([&impl](std::int64_t) {
    if (impl.stopping) throw Stopped{};
    if (impl.heard.goes_on) impl.heard.goes_on();
  });
  for (Stager& stager : impl.prepared.stagers())
    stager.begin_copying();
  if (!copies) {
    impl.settle(true);
    return;
  }
  impl.since = Clock();
  agree_on(world.all(), [&] {
    const OnAllCpus anywhere;
    impl.thread = std::thread([&impl] { impl.copy(); });
  });
}

BackgroundStaging::~BackgroundStaging() = default;

void BackgroundStaging::look() {
  if (impl_->settled) return;
  if (impl_->ended && impl_->failure) std::rethrow_exception(impl_->failure);
  impl_->prepared.claims().beat();
}

void BackgroundStaging::settle_if_done() {
  if (impl_->settled) return;
  agree_on(impl_->world.all(), [&] { look(); });
  std::array<std::int64_t, 1> under_way = {impl_->ended ? 0 : 1};
  impl_->world.all().sum(under_way);
  if (under_way[0] == 0) settle();
}

void BackgroundStaging::settle() {
  if (impl_->settled) return;
  impl_->stop();
  agree_on(impl_->world.all(), [&] { look(); });
  std::array<std::int64_t, 1> incomplete = {impl_->complete ? 0 : 1};
  impl_->world.all().sum(incomplete);
  impl_->settle(incomplete[0] == 0);
}

bool BackgroundStaging::settled() const noexcept { return impl_->settled; }
const StageOutcome& BackgroundStaging::outcome() const { return impl_->outcome; }
double BackgroundStaging::wait_seconds() const noexcept { return impl_->prepared.claims().waited_seconds(); }

}  // namespace trainmark

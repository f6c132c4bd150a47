#include "run/end/ending.hpp"

#include <fmt/core.h>
#include <unistd.h>

#include <condition_variable>
#include <future>
#include <mutex>
#include <system_error>
#include <thread>

#include "run/record/progress.hpp"

namespace trainmark {

void leave_at_latest(std::chrono::seconds limit, ExitCode code) noexcept {
  std::thread([limit, code] {
    std::this_thread::sleep_for(limit);
    _exit(static_cast<int>(code));
  }).detach();
}

void leave(const World& world, ExitCode code) noexcept {
  // MPI_Abort may itself wait for a network that is gone.
  leave_at_latest(std::chrono::seconds(3), code);
  world.abort(code);
}

void abandon(Backend& backend, const std::string& reason, std::chrono::seconds limit) {
  auto done = std::make_shared<std::promise<void>>();
  const std::future<void> ended = done->get_future();
  std::thread([&backend, reason, limit, done] {
    static_cast<void>(backend.abandon(reason, limit));
    done->set_value();
  }).detach();
  static_cast<void>(ended.wait_for(limit));
}

namespace {

/// The same by the word of whoever failed.
[[noreturn]] void end_by_word(const World& world, const Open& open, const RunContext& context, const RunRecord& record,
                              const std::string& word) {
  leave_at_latest(std::chrono::seconds(10), record.code);  // whatever hung may hang here too
  tell(fmt::format("trainmark: error: {}\n", word));
  if (Timeline* timeline = open.timeline) timeline->abort();
  try {
    if (Results* results = open.results) {
      results->leave_word(world, record);
      results->conclude(record, true);
    }
  } catch (const std::exception&) {
    // A full disk must not keep the job from ending.
  }
  remove_temporaries();  // after that: run.json may be under way in another thread
  if (Results* results = open.results) static_cast<void>(status_of([&] { results->wait_for_rank_0(); }));
  if (context.ended_from_outside && world.all().rank() == 0)
    context.ended_from_outside({record.code, record.message, {"", record.message, "", ""}});
  // A device that is left in the middle of a sum over ranks may hold its process, and its peers, for ever.
  if (Backend* backend = open.backend) abandon(*backend, record.message, device_limit);
  leave(world, record.code);
}

}  // namespace

void end_at_once(const World& world, const Open& open, const RunContext& context, const RunRecord& record) {
  end_by_word(world, open, context, record, of_rank(world, record.message));
}

Watchdog ending_watchdog(const World& world, const Open& open, const RunContext& context) {
  return Watchdog([&world, &open, &context](const std::string& message) {
    end_at_once(world, open, context, {ExitCode::watchdog, Ending::aborted, message, {}, {}, {}});
  });
}

std::shared_ptr<void> end_with_a_failed_rank(const World& world, const Open& open, const RunContext& context,
                                             const std::filesystem::path& folder) {
  if (world.all().rank() != 0 || world.all().size() == 1) return {};
  struct Listening {
    std::mutex mutex;
    std::condition_variable changed;
    bool over = false;
  };
  const auto state = std::make_shared<Listening>();
  const auto listen = [state, &world, &open, &context, folder] {
    for (;;) {
      std::unique_lock lock(state->mutex);
      if (state->changed.wait_for(lock, std::chrono::seconds(1), [&] { return state->over; })) return;
      lock.unlock();
      std::optional<RunRecord> word;
      static_cast<void>(status_of([&] { word = word_of_a_failed_rank(folder); }));  // its file system may hang, or fail
      lock.lock();
      if (word && !state->over) end_by_word(world, open, context, *word, word->message);
    }
  };
  try {
    std::thread(listen).detach();
  } catch (const std::system_error&) {
    return {};  // as the launcher ends rank 0 then
  }
  return {nullptr, [state](void*) {
            {
              const std::scoped_lock lock(state->mutex);
              state->over = true;
            }
            state->changed.notify_all();
          }};
}

Stuck ends_where_stuck(const World& world, const Open& open, const RunContext& context, Watchdog& watchdog) {
  return [&world, &open, &context, &watchdog](const Status& failure) {
    watchdog.give_way();
    end_at_once(world, open, context, {failure.code, Ending::failed, failure.message, {}, {}, {}});
  };
}

Progress progress_of(const World& world, const ResultsOptions& results, const RunContext& context) {
  return Progress(
      {world.all().rank() == 0 && !context.quiet, context.terminal, static_cast<double>(results.progress_seconds)});
}

RunRecord conclude_on_signal(int code, Timeline& timeline, Results& results) {
  // Nothing here may be kept from happening by what failed before it, a full disk above all. Whoever made the
  // Interrupts removes temporaries thereafter: that may wait for a busy disk.
  timeline.abort();
  RunRecord record{static_cast<ExitCode>(code), Ending::aborted, Interrupts::describe(code), {}, {}, {}};
  // A launcher ends rank 0 by a signal when another rank has failed: that rank's word is the reason.
  if (auto word = results.word_of_a_failed_rank()) record = std::move(*word);
  try {
    results.conclude(record, true);
  } catch (const std::exception& error) {
    tell(fmt::format("trainmark: warning: run.json could not be written: {}\n", error.what()));
  }
  return record;
}

Interrupts::Guard close_on_signal(const RunContext& context, Timeline& timeline, Results& results) {
  if (context.interrupts == nullptr) return {};
  return context.interrupts->on_signal([&context, &timeline, &results](int code) {
    const RunRecord record = conclude_on_signal(code, timeline, results);
    if (context.ended_from_outside && results.writes())
      context.ended_from_outside({record.code, record.message, {"", record.message, "", ""}});
  });
}

}  // namespace trainmark

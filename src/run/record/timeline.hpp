// The phases of a run and the records of its log are the same objects: what is open in the code is open in the log, and
// however the run ends, the log ends in exactly one of success and aborted.
#pragma once

#include <exception>
#include <filesystem>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "run/record/trace.hpp"
#include "trainmark/mllog.hpp"
#include "trainmark/run.hpp"

namespace trainmark {

/// Passes events on and remembers which intervals are open, so that an abort can close them all.
class ClosingSink final : public EventSink {
 public:
  explicit ClosingSink(std::unique_ptr<EventSink> inner) : inner_(std::move(inner)) {}
  void write(const Event& event) override;
  /// Closes the sink inside. Raises what that raises, and before it the first error of a write that went unheard, as in
  /// a LogScope's end: a run whose log has a hole must not succeed.
  void close() override;
  /// Closes what is open, newest first; run_stop gets status "aborted". Later events are dropped. For signal and
  /// watchdog threads too; gives up after 200 ms where another thread holds the sink.
  void abort(const Clock& clock) noexcept;

 private:
  std::timed_mutex mutex_;
  std::unique_ptr<EventSink> inner_;
  struct Open {
    std::string name;
    Metadata metadata;
  };
  std::vector<Open> open_;
  std::exception_ptr failure_;
  bool closed_ = false;
};

/// JSON text without its line breaks and indentation, as the header takes it.
[[nodiscard]] std::string one_line(const std::string& json);

/// What the header says, beyond the options.
struct TimelineFacts {
  int ranks = 1;
  int nodes = 1;
  int accelerators_per_node = 0;
  std::int64_t seed = 0;
  DatasetFacts data;
  StepFacts step = {};
  Precision precision = Precision::fp32;  ///< in which the backend computes
};

class Timeline {
 public:
  /// Rank 0 writes to `log`; other ranks pass an empty path and write nothing. All of them tell `trace`, if there is
  /// one.
  explicit Timeline(const std::filesystem::path& log, Trace* trace = nullptr);
  ~Timeline();
  Timeline(const Timeline&) = delete;
  Timeline& operator=(const Timeline&) = delete;

  /// `config` is the resolved config as one line of JSON.
  void header(const RunOptions& options, bool cache_cleared, const std::string& config);
  void hyperparameters(const RunOptions& options, const TimelineFacts& facts);
  LogScope init() { return LogScope(sink_, clock_, "init"); }
  LogScope staging() { return LogScope(sink_, clock_, "staging"); }
  LogScope epoch(std::int64_t number) { return LogScope(sink_, clock_, "epoch", {{"epoch_num", number}}); }
  /// Epochs of which only the last is followed by an evaluation.
  LogScope block(std::int64_t first, std::int64_t count) {
    return LogScope(sink_, clock_, "block", {{"first_epoch_num", first}, {"epoch_count", count}});
  }
  LogScope evaluation(std::int64_t number) { return LogScope(sink_, clock_, "eval", {{"epoch_num", number}}); }
  void metric(const std::string& key, double value, std::int64_t epoch);
  void throughput(double samples_per_s, std::int64_t epoch);
  void waited_for_another_run(double seconds);  ///< within staging: it held the target or the source
  void run_start();
  /// The rules know two statuses, success and aborted. `outcome`, run.json's status, says what was asked for and came
  /// about: a run for fixed work that did it is aborted by the rules.
  void run_stop(bool success, std::optional<Ending> outcome = {});
  void abort() noexcept { sink_.abort(clock_); }
  /// The log is whole and there to stay, or Error{environment}.
  void close() { sink_.close(); }

  [[nodiscard]] const Clock& clock() const noexcept { return clock_; }
  /// run_start to run_stop (or to now), by the clock of the log.
  [[nodiscard]] double run_seconds() const noexcept;

 private:
  void point(const std::string& key, EventValue value, Metadata metadata = {},
             std::source_location where = std::source_location::current());

  Clock clock_;
  ClosingSink sink_;
  std::int64_t started_ms_ = 0;
  std::int64_t stopped_ms_ = 0;
};

}  // namespace trainmark

// MLPerf log events: write right, read anyone's, judge. Key names, targets and rules follow the MLPerf HPC rules 3.0
// and the training rules 4.0 for ResNet-50.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <source_location>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "trainmark/core.hpp"

namespace trainmark {

/// What must be told wherever a run's figures stand: in its log (note_key), results, last lines, plan and report.
inline constexpr std::string_view generated_label = "generated data: not an MLPerf result";
/// Of every run on a device that is not there.
inline constexpr std::string_view emulated_label =
    "emulated device: steps take a stated time and compute nothing; no time to train, no convergence, no MLPerf result";
/// Of every run that trains while it stages.
inline constexpr std::string_view overlap_label =
    "staging goes on beside training, inside the clock: it has no interval of its own in the log";
/// Under which logs have their labels.
inline constexpr std::string_view note_key = "trainmark_note";
/// Whether a note is that label, as it is now or was worded behind its colon by an earlier version.
[[nodiscard]] inline bool is_label(std::string_view note, std::string_view label) {
  return note.starts_with(label.substr(0, label.find(':')));
}

/// What makes a line a record; everything before it is ignored by readers.
inline constexpr std::string_view log_token = ":::MLLOG ";

enum class EventType : std::uint8_t { interval_start, interval_end, point_in_time };
struct Event {
  std::int64_t time_ms = 0;
  EventType type = EventType::point_in_time;
  std::string key;
  EventValue value;
  Metadata metadata;  ///< without file and lineno, which come from `where`
  std::source_location where = std::source_location::current();
};

/// One line without its newline: ":::MLLOG {...}". Locale-independent.
[[nodiscard]] std::string to_line(const Event& event);

class EventSink {
 public:
  virtual ~EventSink() = default;
  virtual void write(const Event& event) = 0;
  /// Raises where what was written may not be there to stay. Nothing is written afterwards.
  virtual void close() {}
};

/// Writes records through one write() each to a file opened with O_APPEND.
class LogFile final : public EventSink {
 public:
  explicit LogFile(const std::filesystem::path& path);  ///< creates; Error{environment} where it cannot
  ~LogFile() override;
  LogFile(const LogFile&) = delete;
  LogFile& operator=(const LogFile&) = delete;
  void write(const Event& event) override;
  /// Raises Error{environment}: file systems may tell only now that a disk is full or a quota used up.
  void close() override;

 private:
  int descriptor_ = -1;
  std::filesystem::path path_;
};

/// Keeps events in memory (tests, other ranks).
class EventMemory final : public EventSink {
 public:
  void write(const Event& event) override { events.push_back(event); }
  std::vector<Event> events;
};

/// Emits `<name>_start` now and `<name>_stop` at the end of the scope: a start without its stop cannot be written.
class [[nodiscard]] LogScope {
 public:
  LogScope(EventSink& sink, const Clock& clock, std::string name, Metadata metadata = {},
           std::source_location where = std::source_location::current());
  ~LogScope();
  LogScope(const LogScope&) = delete;
  LogScope& operator=(const LogScope&) = delete;
  void add(std::string key, EventValue value);  ///< to the metadata of the stop record

 private:
  EventSink& sink_;
  const Clock& clock_;
  std::string name_;
  Metadata metadata_;
  std::source_location where_;
};

/// A benchmark's quality target.
struct QualityTarget {
  std::string key;  ///< of the figure that is compared, e.g. "eval_error"
  double value = 0.0;
  bool lower_is_better = true;
  /// The rules' bounds on the other side hold too: an error of 0 or less and an accuracy beyond 1 are mistakes.
  [[nodiscard]] bool reached_by(double figure) const noexcept {
    return lower_is_better ? figure <= value && figure > 0.0 : figure >= value && figure <= 1.0;
  }
};
/// By MLPerf's name of the benchmark; nothing for one that is not known.
[[nodiscard]] std::optional<QualityTarget> quality_target(std::string_view benchmark);

enum class Usage : std::uint8_t { hpc, training };
template <>
struct Words<Usage> {
  static constexpr std::array<std::string_view, 2> all = {"hpc", "training"};
};
/// A round of rules: the first three are MLPerf HPC's, the fourth is MLPerf Training's.
enum class Ruleset : std::uint8_t { latest, v1_0_0, v2_0_0, v3_0_0, v4_0_0 };
template <>
struct Words<Ruleset> {
  static constexpr std::array<std::string_view, 5> all = {"auto", "1.0.0", "2.0.0", "3.0.0", "4.0.0"};
};
/// Rules of the official checker.
struct Rules {
  Usage usage = Usage::hpc;
  Ruleset version = Ruleset::v3_0_0;  ///< never `latest`
  /// Whether data may be staged to durable storage before the clock starts.
  [[nodiscard]] bool let_staging_precede_clock() const noexcept {
    return usage == Usage::hpc && version == Ruleset::v3_0_0;
  }
};
/// Those of a benchmark; `latest`: the newest that this program knows.
[[nodiscard]] Rules rules_of(std::string_view benchmark, Ruleset version = Ruleset::latest);

/// How a run stands: run.json's status, and the outcome that run_stop tells besides the rules' success and aborted.
enum class Ending : std::uint8_t { running, success, target_missed, fixed_work_done, diverged, aborted, failed };
template <>
struct Words<Ending> {
  static constexpr std::array<std::string_view, 7> all = {"running",  "success", "target_missed", "fixed_work_done",
                                                          "diverged", "aborted", "failed"};
};

// --- Reading and judging
// ----------------------------------------------------------------------------------------------

/// The text of a log. Raises Error{usage} for what cannot be read, and for what is no text: a folder, a device, a pipe
/// that nobody writes to, a packed file, UTF-16; the error says what it is and what turns it into a log for `command`.
[[nodiscard]] std::string read_log_file(const std::filesystem::path& path, std::string_view command = "report");

/// A record of anybody's log, as far as its types fit ours (nested values are left out).
struct LogRecord {
  int line = 0;  ///< 1-based, of the file
  double time_ms = 0.0;
  std::string event_type;
  std::string key;
  EventValue value;
  Metadata fields;  ///< of a value that is an object
  Metadata metadata;
  std::string tag;  ///< what stands before the token: a launcher's mark of the process, a time, or nothing
};
/// What is wrong with a line that holds the token.
struct LogFlaw {
  int line = 0;
  bool lost = false;    ///< a record that cannot be read; else what could be read stands among the records
  std::string key;      ///< of a lost record, where it still shows
  std::string message;  ///< "is not one line of JSON", "holds 2 records glued together"
};
struct LogText {
  std::vector<LogRecord> records;
  std::vector<LogFlaw> flaws;
};
/// All records that are whole, those of lines that the official parser gives up too.
[[nodiscard]] LogText read_log(std::string_view text);

/// Where in a file each attempt at a run begins, as positions in `records`: the first at 0, others where a header,
/// init_start or run_start comes again after what it precedes. One position for a log of one run.
[[nodiscard]] std::vector<std::size_t> attempt_starts(std::span<const LogRecord> records);
/// How many runs write at once: 1, or more where a run starts beside one that has not stopped, as in the joint output
/// of several processes.
[[nodiscard]] int runs_at_once(std::span<const LogRecord> records);

struct Finding {
  int line = 0;      ///< 1-based; 0: the file as a whole
  std::string rule;  ///< short name, e.g. "exactly_one", "target", "pairing"
  std::string message;
};
struct Verdict {
  std::string usage, ruleset, benchmark, division;  ///< as found or assumed
  std::vector<Finding> official;  ///< what the official checker (--werror) would fail on: empty = SUCCESS
  std::vector<Finding>
      semantic;  ///< what it lacks: whole lines, one run, pairing, time order, status, epochs, run_stop
  [[nodiscard]] bool compliant() const noexcept { return official.empty(); }
  [[nodiscard]] bool sound() const noexcept { return official.empty() && semantic.empty(); }
};
/// Judges the text of a log. Semantic findings of a file with several attempts are those of each. usage "auto" takes
/// hpc, or training where the benchmark is resnet; ruleset "auto" 3.0.0 / 4.0.0.
[[nodiscard]] Verdict judge_log(std::string_view text, std::string_view usage = "auto",
                                std::string_view ruleset = "auto");
[[nodiscard]] Verdict judge_file(const std::filesystem::path& path, std::string_view usage = "auto",
                                 std::string_view ruleset = "auto");

}  // namespace trainmark

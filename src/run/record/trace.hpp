// What this rank did when, for people who look at a time line: phases of the run, and of some steps each wait, upload
// and launch. Kept in memory that is taken beforehand, written when the run has ended.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "run/record/start_up.hpp"
#include "run/record/step_terms.hpp"
#include "trainmark/comm.hpp"
#include "trainmark/exec.hpp"
#include "trainmark/mllog.hpp"

namespace trainmark {

class Trace {
 public:
  static constexpr std::size_t most_spans = 100'000;  ///< of steps: a file has at most about 12 MB
  static constexpr std::size_t most_phases = 10'000;  ///< and as many metrics
  static constexpr std::size_t least_steps = 16;      ///< of an epoch, while there is room

  Trace() = default;  ///< keeps nothing
  /// Times are by `clock`.
  Trace(const World& world, const Clock& clock);

  [[nodiscard]] bool is_on() const noexcept { return on_; }
  [[nodiscard]] const Clock& clock() const noexcept { return clock_; }
  /// A sink that passes on and keeps intervals and metrics; `inner` itself where nothing is kept.
  [[nodiscard]] std::unique_ptr<EventSink> watched(std::unique_ptr<EventSink> inner);
  /// Collective: the start-up's scopes; sets the ranks' clocks to each other at a barrier, before the first step.
  void started(const StartUp& start_up, const World& world);

  // --- by the thread that trains
  // ---------------------------------------------------------------------------------------
  /// Decides how many of its steps are traced: what takes half of the room that is left.
  void epoch_begins();
  /// At `begin`, by clock(): where the one before ended, or the epoch began.
  void step_begins(double begin);
  /// Of step `step`, counted from 1, in an epoch counted from 0; `seconds` since step_begins().
  void step_ended(std::int64_t step, std::int64_t epoch, std::optional<double> loss, double seconds,
                  const StepTerms& terms);
  /// Whether the step under way is traced. What follows is for such steps alone; times are by clock().
  [[nodiscard]] bool traces_step() const noexcept { return traces_step_; }
  void waited(double begin, double end);
  void uploaded(double begin, double end);
  /// A program was launched in `slot` at `begin` and has ended: its launches, where they were timed, and for which sums
  /// over ranks the compute lane waited.
  void ran(const Program& program, int slot, double begin, const StepTimes& times);

  /// trace-event JSON (Chrome, Perfetto). Raises Error{environment}. Does nothing before started().
  void write(const std::filesystem::path& path) const;

 private:
  enum class Track : std::uint8_t { phases = 1, start_up, steps, input, compute, communication };
  struct Span {
    double begin = 0.0, end = 0.0;
    std::int32_t name = 0;
    Track track = Track::phases;
  };
  struct Phase {
    std::string name;
    double begin = 0.0, end = -1.0;  // open below `begin`
  };
  struct Metric {
    std::string key;
    double value = 0.0, at = 0.0;
  };
  /// One that is traced, or several in a row that are not.
  struct Step {
    std::int64_t first = 0, last = 0, epoch = 0;
    double begin = 0.0, seconds = 0.0, loss = 0.0;
    StepTerms terms;
    bool traced = false;
  };
  struct Name {
    std::string name, category;
  };
  /// A program that ran: the names of its launches lie in a row, those of the sums that they wait for where one does.
  struct Known {
    const Program* program = nullptr;
    std::int32_t first_name = 0;
    std::vector<std::int32_t> waits_for;  // by launch; -1: for none
  };
  class Sink;
  class Writer;
  void phase(const Event& event);
  void add(Track track, std::int32_t name, double begin, double end);
  [[nodiscard]] const Known& known(const Program& program, int slot);

  bool on_ = false, started_ = false, traces_step_ = false;
  int rank_ = 0;
  std::string host_;
  Clock clock_;
  double shift_ = 0.0;  // from clock_ to the time that the ranks' files have in common
  std::vector<StartUp::Part> start_up_;
  std::vector<Phase> phases_;
  std::vector<std::size_t> open_;  // of phases_
  std::vector<Metric> metrics_;
  std::vector<Name> names_;
  std::vector<Known> programs_;
  std::vector<Span> spans_;
  std::vector<Step> steps_;
  std::size_t epoch_room_ = 0, largest_step_ = 0, step_from_ = 0, phases_lost_ = 0;
  double step_begin_ = 0.0;
};

/// Collective: each rank leaves trace/rank-NNNN.json in a run's folder, and what came of it is said. The run has ended
/// and its results stand: what cannot be written changes nothing else.
void leave_trace(const World& world, const Trace& trace, const std::filesystem::path& results,
                 const std::function<void(const std::string&)>& say);
/// The file of a rank below a run's folder.
[[nodiscard]] std::filesystem::path trace_file(const std::filesystem::path& results, int rank);

}  // namespace trainmark

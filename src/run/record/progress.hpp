// What a person sees while a run goes on: one line that renews itself on a terminal, plain lines at an interval
// elsewhere.
#pragma once

#include <optional>
#include <string>

#include "trainmark/core.hpp"

namespace trainmark {

/// To stderr in one write. What cannot be told is lost: neither a full disk nor a reader that left may end a run.
void tell(const std::string& text) noexcept;

class Progress {
 public:
  struct Style {
    bool speaks = true;  ///< rank 0, and not --quiet
    bool terminal = false;
    double interval_s = 10;  ///< between plain lines
  };
  explicit Progress(Style style) : style_(style) {}
  ~Progress() { clear(); }
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void line(const std::string& text);    ///< stays
  void status(const std::string& text);  ///< is replaced by the next on a terminal; elsewhere at most one an interval
  /// Whether a status would be shown now: building its text may cost more than a step.
  [[nodiscard]] bool due() const noexcept;

 private:
  void clear();

  Style style_;
  Clock clock_;
  double last_ = -1e9;
  bool dirty_ = false;
};

[[nodiscard]] constexpr double mib(auto bytes) noexcept { return static_cast<double>(bytes) / 1048576.0; }
/// "1 h 02 min", "3 min 20 s", "12.3 s"
[[nodiscard]] std::string duration_text(double seconds);

/// What a batch system leaves, beside the least that the work still takes: ", job ends in 52 min 10 s", and ", too
/// soon" behind that where it is less. Empty where the job's end is not known.
[[nodiscard]] std::string job_time_text(std::optional<double> job_seconds, std::optional<double> work_seconds);

}  // namespace trainmark

#include "run/record/progress.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace trainmark {

void tell(const std::string& text) noexcept { std::fputs(text.c_str(), stderr); }

void Progress::line(const std::string& text) {
  if (!style_.speaks) return;
  clear();
  tell(text + '\n');
}

bool Progress::due() const noexcept {
  return style_.speaks && clock_.seconds() - last_ >= (style_.terminal ? 0.2 : style_.interval_s);
}

void Progress::status(const std::string& text) {
  if (!due()) return;
  last_ = clock_.seconds();
  if (style_.terminal) {
    tell("\r\033[K" + text);
    dirty_ = true;
  } else {
    tell(text + '\n');
  }
}

void Progress::clear() {
  if (dirty_) tell("\r\033[K");
  dirty_ = false;
}

std::string duration_text(double seconds) {
  if (seconds < 60.0) return fmt::format("{:.1f} s", seconds);
  constexpr double no_end = 1e9 * 3600.0;  // seconds; a run may be asked for 1e300
  if (seconds >= no_end) return "over 1e9 h";
  const auto whole = static_cast<std::int64_t>(std::llround(seconds));
  if (whole < 3600) return fmt::format("{} min {:02} s", whole / 60, whole % 60);
  return fmt::format("{} h {:02} min", whole / 3600, whole % 3600 / 60);
}

std::string job_time_text(std::optional<double> job_seconds, std::optional<double> work_seconds) {
  if (!job_seconds) return {};
  const bool too_soon = work_seconds && *work_seconds > *job_seconds;
  return fmt::format(", job ends in {}{}", duration_text(std::max(0.0, *job_seconds)), too_soon ? ", too soon" : "");
}

}  // namespace trainmark

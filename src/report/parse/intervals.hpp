// What a run was doing from when to when, as far as its log says so.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "trainmark/mllog.hpp"

namespace trainmark::report {

enum class Activity : std::uint8_t { staging, evaluation, training };

/// From one record to another, by their positions. Where a start or a stop is missing, its place is bounded by records
/// that name the same epoch and by those that exclude it.
struct Interval {
  Activity activity = Activity::training;
  const LogRecord* start = nullptr;  ///< null: missing
  const LogRecord* stop = nullptr;
  std::size_t start_low = 0, start_high = 0;  ///< equal where the start is logged
  std::size_t stop_low = 0, stop_high = 0;
  bool cut = false;  ///< open at the end of a log that has no run_stop
  [[nodiscard]] bool whole() const noexcept { return start != nullptr && stop != nullptr; }
  /// Whether it surely, or perhaps, lasts over the time between records `at - 1` and `at`.
  [[nodiscard]] bool holds(std::size_t at) const noexcept { return start_high < at && at <= stop_low; }
  [[nodiscard]] bool may_hold(std::size_t at) const noexcept { return start_low < at && at <= stop_high; }
  [[nodiscard]] const LogRecord& named() const noexcept { return start != nullptr ? *start : *stop; }
};

/// Pairs starts with the stops that name the same, in the order of their starts. `records` end with run_stop, or where
/// the log does; training and evaluation count from `run_start` on. ResNet logs may have blocks of several epochs: they
/// are the training where no epochs are logged.
[[nodiscard]] std::vector<Interval> intervals_of(std::span<const LogRecord> records, std::size_t run_start);

/// Whether two records name different epochs or blocks; where either names none, they do not.
[[nodiscard]] bool names_other(const LogRecord& one, const LogRecord& other);
/// "eval_start of epoch 3 (line 41)".
[[nodiscard]] std::string shown(const LogRecord& record);

}  // namespace trainmark::report

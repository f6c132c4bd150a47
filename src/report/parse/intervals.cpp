// A stop closes the start that names the same epoch, not the last one opened: evaluations may run beside the next
// epoch's training, and a record that was lost must not shift all that follow.
#include "report/parse/intervals.hpp"

#include <fmt/core.h>

#include <algorithm>

#include "report/parse/files.hpp"

namespace trainmark::report {
namespace {

constexpr int most_open = 64;  // of one kind: a log that closes none must not take time that grows with its square
constexpr const char* names[] = {"epoch_num", "first_epoch_num", "block_num", "block"};

int agreements(const LogRecord& one, const LogRecord& other) {
  int count = 0;
  for (const char* name : names) {
    const std::string first = text_in(one.metadata, name);
    count += !first.empty() && first == text_in(other.metadata, name);
  }
  return count;
}

class Matching {
 public:
  Matching(std::span<const LogRecord> records, std::size_t run_start) : records_(records), run_start_(run_start) {
    const auto has = [&](std::string_view key) {
      return std::ranges::any_of(records, [key](const LogRecord& each) { return each.key == key; });
    };
    training_ = has("epoch_start") || !has("block_start") ? "epoch" : "block";
  }

  std::vector<Interval> result() {
    for (std::size_t i = 0; i < records_.size(); ++i)
      take(i);
    for (const std::size_t each : open_)
      bound_stop(intervals_[each]);
    std::ranges::stable_sort(intervals_, {}, [](const Interval& each) { return each.start_high; });
    return std::move(intervals_);
  }

 private:
  [[nodiscard]] bool is(const LogRecord& record, Activity activity, std::string_view end) const {
    const std::string_view name = activity == Activity::staging      ? "staging"
                                  : activity == Activity::evaluation ? "eval"
                                                                     : training_;
    return record.key.size() == name.size() + end.size() && record.key.starts_with(name) && record.key.ends_with(end);
  }

  void take(std::size_t at) {
    for (const Activity activity : {Activity::staging, Activity::evaluation, Activity::training}) {
      if (activity != Activity::staging && at < run_start_) continue;
      if (is(records_[at], activity, "_start")) {
        open_.push_back(intervals_.size());
        intervals_.push_back({activity, &records_[at], nullptr, at, at, at, at});
      }
      if (is(records_[at], activity, "_stop")) close(activity, at);
    }
  }

  void close(Activity activity, std::size_t at) {
    auto best = open_.end();
    int most = -1, seen = 0;
    for (auto each = open_.end(); each != open_.begin() && seen < most_open;) {
      const Interval& interval = intervals_[*--each];
      if (interval.activity != activity) continue;
      ++seen;
      if (names_other(*interval.start, records_[at])) continue;
      const int agree = agreements(*interval.start, records_[at]);
      if (agree <= most) continue;
      most = agree;
      best = each;
    }
    if (best == open_.end()) {
      intervals_.push_back({activity, nullptr, &records_[at], at, at, at, at});
      bound_start(intervals_.back());
      return;
    }
    Interval& interval = intervals_[*best];
    interval.stop = &records_[at];
    interval.stop_low = interval.stop_high = at;
    open_.erase(best);
  }

  /// A record that shows the interval going on: it names the same epoch, and for an evaluation is its metric.
  [[nodiscard]] bool shows(const LogRecord& record, const Interval& interval) const {
    if (interval.activity == Activity::staging || names_other(record, interval.named())) return false;
    const bool metric = is_metric(record);
    if (interval.activity == Activity::evaluation) return metric;
    return agreements(record, interval.named()) > 0;
  }

  /// A record that stands outside of the interval.
  [[nodiscard]] bool excludes(const LogRecord& record, const Interval& interval) const {
    if (record.key == "run_start") return true;
    if (is(record, interval.activity, "_start") || is(record, interval.activity, "_stop")) return true;
    if (interval.activity == Activity::training) return is(record, Activity::staging, "_stop");
    const bool evaluates = is(record, Activity::evaluation, "_start") && interval.activity == Activity::staging;
    return evaluates || is(record, Activity::training, "_start") || is(record, Activity::training, "_stop");
  }

  void bound_stop(Interval& interval) {
    const std::size_t last = records_.size() - 1;
    const bool ended = records_[last].key == "run_stop";
    std::size_t limit = interval.start_high + 1;
    while (limit < last && !(excludes(records_[limit], interval) && records_[limit].key != "run_start"))
      ++limit;
    limit = std::min(limit, last);
    interval.stop_high = limit;
    if (limit == last && !ended && !(excludes(records_[last], interval) && last > interval.start_high)) {
      interval.cut = true;
      interval.stop_low = limit;
      return;
    }
    for (std::size_t i = interval.start_high + 1; i < limit; ++i)
      if (shows(records_[i], interval)) interval.stop_low = i;
    // Many a program ends in an epoch, and writes no stop for it.
    const bool shown = interval.stop_low > interval.start_high;
    if (limit == last && ended && interval.activity == Activity::training && !shown) interval.stop_low = limit;
  }

  void bound_start(Interval& interval) {
    const std::size_t stop = interval.stop_low;
    std::size_t from = stop;
    while (from > 0 && !excludes(records_[from - 1], interval))
      --from;
    interval.start_low = from > 0 ? from - 1 : 0;
    for (std::size_t i = stop; i-- > interval.start_low + 1;)
      if (shows(records_[i], interval)) interval.start_high = i;
  }

  std::span<const LogRecord> records_;
  std::size_t run_start_;
  std::string_view training_;
  std::vector<Interval> intervals_;
  std::vector<std::size_t> open_;
};

}  // namespace

bool names_other(const LogRecord& one, const LogRecord& other) {
  for (const char* name : names) {
    const std::string first = text_in(one.metadata, name), second = text_in(other.metadata, name);
    if (!first.empty() && !second.empty() && first != second) return true;
  }
  return false;
}

std::string shown(const LogRecord& record) {
  std::string text = record.key;
  for (const char* name : names) {
    const std::string value = text_in(record.metadata, name);
    if (value.empty()) continue;
    text += fmt::format(" of {} {}", std::string_view(name).starts_with("block") ? "block" : "epoch", value);
    break;
  }
  return fmt::format("{} (line {})", text, record.line);
}

std::vector<Interval> intervals_of(std::span<const LogRecord> records, std::size_t run_start) {
  return Matching(records, run_start).result();
}

}  // namespace trainmark::report

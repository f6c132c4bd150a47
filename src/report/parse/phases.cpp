// A sweep over the records in the order of the log. Time between two records goes to one phase, so that the phases add
// up to the clock by construction; where a record that would decide is missing, to none of them.
#include "report/parse/phases.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>

#include "report/parse/files.hpp"
#include "report/parse/intervals.hpp"

namespace trainmark::report {
namespace {

/// Logs of others may hold any number; what counts no epochs is as good as missing.
std::optional<int> count_in(const Metadata& metadata, std::string_view key, double most) {
  const auto number = number_of(metadata, key);
  if (!number || !(*number >= 0.0 && *number <= most) || *number != std::floor(*number)) return std::nullopt;
  return static_cast<int>(*number);
}

/// Lost, and of a key that may have started or ended something.
bool may_bound(const LogFlaw& flaw) {
  return flaw.lost && (flaw.key.empty() || flaw.key.ends_with("_start") || flaw.key.ends_with("_stop"));
}

constexpr std::size_t most_notes = 6;       // of a kind; then a count
constexpr double step_that_matters = 0.01;  // of an epoch: a clock that hides more takes its rate away

class Sweep {
 public:
  Sweep(std::span<const LogRecord> records, std::span<const LogFlaw> flaws) : flaws_(flaws) {
    const auto starts = std::ranges::find(records, "run_start", &LogRecord::key);
    run_start_ = static_cast<std::size_t>(starts - records.begin());
    const auto stops =
        std::find_if(starts, records.end(), [](const LogRecord& each) { return each.key == "run_stop"; });
    phases_.finished = stops != records.end();
    records_ = phases_.finished ? records.first(static_cast<std::size_t>(stops - records.begin()) + 1) : records;
    if (phases_.finished) {
      for (const auto& [name, value] : stops->metadata) {
        const auto* text = std::get_if<std::string>(&value);
        if (text != nullptr && name == "status") phases_.status = *text;
        const auto ending = text != nullptr ? from_word<Ending>(*text) : std::optional<Ending>();
        const bool ours = ending == Ending::fixed_work_done || ending == Ending::target_missed;
        if (name == "outcome" && ours) phases_.outcome = *text;
      }
    }
    for (auto again = stops; again != records.end(); ++again)
      if (again != stops && again->key == "run_stop") further_stop(*again);
    note(std::move(further_stops_), "such ends");
    intervals_ = intervals_of(records_, run_start_);
  }

  Phases result() {
    for (const Interval& interval : intervals_) {
      by_start_.push_back(&interval);
      if (interval.activity == Activity::training) add_epoch(interval);
    }
    std::ranges::stable_sort(by_start_, {}, &Interval::start_low);
    double last_ms = records_.front().time_ms;
    phases_.start_ms = records_[run_start_].time_ms;  // whatever a clock said before
    for (std::size_t at = 1; at < records_.size(); ++at) {
      const double now_ms = records_[at].time_ms, passed = (now_ms - last_ms) / 1000.0;
      enter(at);
      if (at <= run_start_) {
        if (spend_outside(at, passed) && now_ms <= phases_.start_ms)
          stretch("staging", (last_ms - phases_.start_ms) / 1000.0, (now_ms - phases_.start_ms) / 1000.0);
        look_at_clock_before(at, passed);
        last_ms = now_ms;
      } else {
        // A clock that goes back must not take time away from a phase, nor give it twice.
        const double seconds = std::max(0.0, passed);
        stretch(spend(at, seconds), elapsed_s_, elapsed_s_ + seconds);
        elapsed_s_ += seconds;
        look_at_clock(at, seconds);
        last_ms = std::max(last_ms, now_ms);
      }
      if (is_metric(records_[at]) && at > run_start_) metric(at);
    }
    phases_.staging_outside_s = std::max(0.0, phases_.staging_outside_s);
    phases_.staging_outside_more_s = std::max(0.0, phases_.staging_outside_more_s);
    phases_.stop_ms = last_ms;
    phases_.run_s =
        phases_.staging_s + phases_.training_s + phases_.evaluation_s + phases_.rest_s + phases_.undecided_s;
    judge_epochs();
    judge_numbers();
    tell();
    return std::move(phases_);
  }

 private:
  /// Two ends of one run. Where one of them says that it is no success, there is none.
  void further_stop(const LogRecord& stop) {
    const std::string status = text_in(stop.metadata, "status");
    const bool other = !status.empty() && status != phases_.status;
    further_stops_.push_back(fmt::format("{} is a second end of this run{}: the clock stops at the first", shown(stop),
                                         other ? fmt::format(", with status {}", status) : ""));
    const bool good = phases_.status.empty() || phases_.status == word(Ending::success);
    if (good && other && status != word(Ending::success)) phases_.status = status;
  }

  void add_epoch(const Interval& interval) {
    const Metadata& metadata = interval.named().metadata;
    EpochReport epoch;
    epoch.epochs = std::max(1, count_in(metadata, "epoch_count", 1e6).value_or(1));
    epoch.number = (phases_.epochs.empty() ? 0 : phases_.epochs.back().number) + epoch.epochs;
    const auto number = count_in(metadata, "epoch_num", 1e9);
    if (phases_.epochs.empty()) named_by_last_ = number == epoch.epochs;
    if (const auto first = count_in(metadata, "first_epoch_num", 1e9))
      epoch.number = *first + epoch.epochs - 1;
    else if (number)
      epoch.number = *number + (named_by_last_ ? 0 : epoch.epochs - 1);
    for (const char* key : {"epoch_num", "first_epoch_num"})
      if (const auto named = number_of(metadata, key)) phases_.uncountable |= *named != std::floor(*named);
    epoch.whole = interval.whole();
    index_[&interval] = phases_.epochs.size();
    phases_.epochs.push_back(epoch);
    trainings_.push_back(&interval);
    hidden_s_.push_back(0.0);
  }

  /// Keeps `active_` to the intervals that may hold the time before record `at`, and counts the epochs begun.
  void enter(std::size_t at) {
    std::erase_if(active_, [at](const Interval* each) { return each->stop_high < at; });
    for (; next_ < by_start_.size() && by_start_[next_]->start_low < at; ++next_)
      if (by_start_[next_]->may_hold(at)) active_.push_back(by_start_[next_]);
    for (; begun_ < trainings_.size() && trainings_[begun_]->start_high < at; ++begun_)
      latest_[text_in(trainings_[begun_]->named().metadata, "epoch_num")] = begun_;
  }

  void stretch(std::string_view term, double begin_s, double end_s) {
    if (!(end_s > begin_s)) return;
    std::vector<TimeStretch>& all = phases_.stretches;
    const bool at_start = begin_s == 0.0;  // staging that goes on over run_start is inside the clock from there on
    if (!all.empty() && !at_start && all.back().term == term && all.back().end_s == begin_s)
      all.back().end_s = end_s;
    else
      all.push_back({term, begin_s, end_s});
  }

  /// Whether it was staging for sure.
  bool spend_outside(std::size_t at, double seconds) {
    bool holds = false, may_hold = false;
    for (const Interval* each : active_) {
      holds = holds || each->holds(at);
      may_hold = may_hold || each->may_hold(at);
    }
    if (holds)
      phases_.staging_outside_s += seconds;
    else if (may_hold)
      phases_.staging_outside_more_s += seconds;
    return holds;
  }

  /// The epoch that a record names, if it has begun; else the latest.
  [[nodiscard]] std::optional<std::size_t> epoch_of(const LogRecord& record) const {
    const std::string name = text_in(record.metadata, "epoch_num");
    const auto found = name.empty() ? latest_.end() : latest_.find(name);
    if (found != latest_.end()) return found->second;
    return begun_ == 0 ? std::nullopt : std::optional(begun_ - 1);
  }

  /// Of what another epoch left, while `training` goes on: both have the time, and training goes first.
  [[nodiscard]] bool is_beside(const Interval& evaluation, const Interval* training) const {
    if (training == nullptr || !names_other(evaluation.named(), training->named())) return false;
    const auto own = latest_.find(text_in(evaluation.named().metadata, "epoch_num"));
    return own != latest_.end() && trainings_[own->second]->start_high < training->start_high;
  }

  /// The term that has the time.
  std::string_view spend(std::size_t at, double seconds) {
    const Interval* training = nullptr;
    int trainings = 0;
    for (const Interval* each : active_) {
      if (each->activity != Activity::training) continue;
      if (training == nullptr) training = each;
      trainings += each->holds(at);
    }
    // By what has the time first; evaluations beside training are the last to have it.
    static constexpr Phase order[] = {Phase::staging, Phase::evaluation, Phase::training, Phase::evaluation,
                                      Phase::rest};
    std::size_t sure = 4;
    bool may[5] = {};
    const Interval* evaluation = nullptr;
    for (const Interval* each : active_) {
      const std::size_t rank = each->activity == Activity::staging    ? 0
                               : each->activity == Activity::training ? 2
                               : is_beside(*each, training)           ? 3
                                                                      : 1;
      may[rank] = true;
      if (!each->holds(at)) continue;
      sure = std::min(sure, rank);
      if (each->activity == Activity::evaluation && evaluation == nullptr) evaluation = each;
    }
    const std::size_t first = static_cast<std::size_t>(std::find(may, may + 4, true) - may);
    if (order[first] != order[sure]) {
      phases_.undecided_s += seconds;
      phases_.more_s[order[sure]] += seconds;
      for (std::size_t rank = 0; rank < sure; ++rank)
        if (may[rank] && order[rank] != order[sure]) phases_.more_s[order[rank]] += seconds;
      for (const Interval* each : active_)
        if (each->activity == Activity::training && seconds > 0.0) phases_.epochs[index_[each]].whole = false;
      return "undecided";
    }
    switch (order[sure]) {
      case Phase::staging:
        phases_.staging_s += seconds;
        return "staging";
      case Phase::evaluation:
        phases_.evaluation_s += seconds;
        if (const auto epoch = epoch_of(evaluation->named())) phases_.epochs[*epoch].evaluation_s += seconds;
        return "evaluation";
      case Phase::training:
        phases_.training_s += seconds;
        phases_.epochs[index_[training]].train_s += seconds;
        if (trainings > 1) overlap();
        beside(at, seconds, training);
        return "training";
      case Phase::rest:
        phases_.rest_s += seconds;
    }
    return "rest";
  }

  /// Of epochs that overlap nobody can tell how long one took.
  void overlap() {
    for (const Interval* each : active_)
      if (each->activity == Activity::training) phases_.epochs[index_[each]].whole = false;
    overlapped_ = true;
  }

  void beside(std::size_t at, double seconds, const Interval* training) {
    bool any = false;
    for (const Interval* each : active_) {
      if (each->activity != Activity::evaluation || !each->holds(at) || !is_beside(*each, training)) continue;
      any = true;
      if (const auto epoch = epoch_of(each->named())) phases_.epochs[*epoch].evaluation_s += seconds;
    }
    if (any) phases_.evaluation_beside_s += seconds;
  }

  void look_at_clock_before(std::size_t at, double passed) {
    if (passed < 0.0)
      back_before_.push_back(fmt::format(
          "before the run {} is {:.3f} s before the record above it: staging outside the clock may be off by as much",
          shown(records_[at]), -passed));
  }

  /// `counted`: seconds of the time since the record before, less where the clock has yet to catch up.
  void look_at_clock(std::size_t at, double counted) {
    const LogRecord& before = records_[at - 1];
    const LogRecord& now = records_[at];
    const double seconds = (now.time_ms - before.time_ms) / 1000.0;
    if (seconds < 0.0) {
      phases_.clock_back_s -= seconds;
      back_.push_back(fmt::format("{} is {:.3f} s before the record above it", shown(now), -seconds));
    }
    for (const Interval* each : active_)
      if (each->activity == Activity::training) hidden_s_[index_[each]] += std::abs(seconds - counted);
    gaps_[{before.key, now.key}].push_back({seconds, now.line});
  }

  /// Of the epoch that it names; where it stands elsewhere, of the one that was evaluated there.
  void metric(std::size_t at) {
    const LogRecord& record = records_[at];
    const auto value = number_of(record.value);
    auto epoch = epoch_of(record);
    if (!epoch) ++stray_metrics_;
    if (!value || !epoch) return;
    const Interval* around = nullptr;
    bool own = false;
    for (const Interval* each : active_) {
      if (each->activity != Activity::evaluation || !each->holds(at)) continue;
      around = each;
      own |= !names_other(record, each->named());
    }
    const auto [told, first] = told_.try_emplace({*epoch, record.key}, *value);
    const bool again = around == nullptr && !first && told->second != *value && *epoch + 1 < begun_;
    if ((around != nullptr && !own) || again) {
      epoch = again ? begun_ - 1 : epoch_of(around->named());
      phases_.misplaced = true;
      misplaced_.push_back(
          fmt::format("{} stands {}, and is taken for a metric of that: which epoch reached the target "
                      "first is not told",
                      shown(record),
                      again ? fmt::format("behind {}", shown(trainings_[begun_ - 1]->named()))
                            : fmt::format("in the evaluation of {}", shown(around->named()))));
    }
    if (epoch) phases_.epochs[*epoch].metric = *value;
  }

  void judge_epochs() {
    for (std::size_t i = 0; i < trainings_.size(); ++i) {
      EpochReport& epoch = phases_.epochs[i];
      const auto inside = [&interval = *trainings_[i]](const LogFlaw& flaw) {
        return may_bound(flaw) && interval.start->line <= flaw.line && flaw.line <= interval.stop->line;
      };
      if (epoch.whole && std::ranges::any_of(flaws_, inside)) epoch.whole = false;
      if (hidden_s_[i] > step_that_matters * epoch.train_s) epoch.whole = false;
    }
  }

  /// Numbers go up from one epoch to the next, unless all are the same, which names none.
  void judge_numbers() {
    std::vector<EpochReport>& epochs = phases_.epochs;
    if (phases_.uncountable) return;
    const auto differs = [&epochs](const EpochReport& each) { return each.number != epochs.front().number; };
    if (epochs.size() > 1 && std::ranges::none_of(epochs, differs)) {
      phases_.notes.push_back(
          fmt::format("all epochs are numbered {}: they are counted as they come", epochs[0].number));
      int count = 0;
      for (EpochReport& epoch : epochs)
        epoch.number = count += epoch.epochs;
    }
    for (std::size_t i = 1; i < epochs.size() && !phases_.restarted; ++i) {
      const Interval &before = *trainings_[i - 1], &now = *trainings_[i];
      if (now.start == nullptr || before.start == nullptr) continue;
      const bool again = epochs[i].number == epochs[i - 1].number;
      phases_.restarted = epochs[i].number < epochs[i - 1].number || (again && before.stop == nullptr);
      if (phases_.restarted)
        phases_.notes.push_back(
            fmt::format("{} comes behind epoch {}: an attempt that logs no run_start went on in this "
                        "log, so there is no time to train",
                        shown(*now.start), epochs[i - 1].number));
      else
        phases_.uncountable |= again;
    }
  }

  void note(std::vector<std::string> texts, std::string_view what) {
    const std::size_t shown = std::min(texts.size(), most_notes);
    phases_.notes.insert(phases_.notes.end(), texts.begin(), texts.begin() + static_cast<std::ptrdiff_t>(shown));
    if (texts.size() > shown) phases_.notes.push_back(fmt::format("and {} more {}", texts.size() - shown, what));
  }

  [[nodiscard]] std::string told(const Interval& interval) const {
    const std::string& key = interval.named().key;
    const std::string kind = key.substr(0, key.rfind('_'));
    if (interval.cut) return fmt::format("{} is not closed: the log ends in it", shown(interval.named()));
    const bool stop = interval.start != nullptr;
    const auto [low, high] =
        stop ? std::pair(interval.stop_low, interval.stop_high) : std::pair(interval.start_low, interval.start_high);
    const double seconds = std::max(0.0, records_[high].time_ms - records_[low].time_ms) / 1000.0;
    const std::string missing = fmt::format("{} has no {}_{}", shown(interval.named()), kind, stop ? "stop" : "start");
    if (low == high) return fmt::format("{}: it is taken to last until {}", missing, shown(records_[high]));
    return fmt::format("{}: it {} between {} and {}, so {:.3f} s are not decided", missing, stop ? "ended" : "began",
                       shown(records_[low]), shown(records_[high]), seconds);
  }

  void tell() {
    std::vector<std::string> unpaired;
    for (const Interval& interval : intervals_)
      if (!interval.whole()) unpaired.push_back(told(interval));
    note(std::move(unpaired), "starts without stops or stops without starts");
    note(std::move(misplaced_), "metrics in the evaluation of another epoch");
    note(std::move(back_before_), "such times before the run");
    if (!back_.empty())
      back_.insert(back_.begin(),
                   fmt::format("the clock went back {} times, by {:.3f} s in all: times are at least what "
                               "stands here, and at most that much longer",
                               back_.size(), phases_.clock_back_s));
    note(std::move(back_), "times that go back");
    for (auto& [keys, gaps] : gaps_) {
      std::ranges::sort(gaps, std::greater{});
      if (gaps.size() < 3 || gaps[0].first < 10.0 * gaps[1].first || gaps[0].first - gaps[1].first < 60.0) continue;
      phases_.notes.push_back(
          fmt::format("{:.3f} s pass before {} of line {}, {:.3f} s at most elsewhere: the clock was "
                      "set forward, or the run stood still; figures hold this time",
                      gaps[0].first, keys.second, gaps[0].second, gaps[1].first));
    }
    if (overlapped_) phases_.notes.push_back("epochs overlap: those have no rate");
    if (phases_.evaluation_beside_s > 0.0)
      phases_.notes.push_back(
          fmt::format("evaluations of earlier epochs ran beside training for {:.3f} s, which count "
                      "as training",
                      phases_.evaluation_beside_s));
    if (stray_metrics_ > 0)
      phases_.notes.push_back(fmt::format("{} metrics stand before any epoch and are left out", stray_metrics_));
  }

  std::span<const LogRecord> records_;
  std::span<const LogFlaw> flaws_;
  std::size_t run_start_ = 0;
  double elapsed_s_ = 0.0;  // since run_start
  std::vector<Interval> intervals_;
  std::vector<const Interval*> by_start_, trainings_, active_;
  std::map<const Interval*, std::size_t> index_;  // of the epoch that a training is
  std::map<std::string, std::size_t> latest_;     // of the epochs begun, by their epoch_num
  std::size_t next_ = 0, begun_ = 0;
  std::vector<double> hidden_s_;
  std::vector<std::string> back_, back_before_, further_stops_, misplaced_;
  std::map<std::pair<std::size_t, std::string>, double> told_;  // the first value of each metric of an epoch
  std::map<std::pair<std::string, std::string>, std::vector<std::pair<double, int>>> gaps_;  // and their lines
  int stray_metrics_ = 0;
  bool overlapped_ = false;
  bool named_by_last_ = true;  // a block of several epochs
  Phases phases_;
};

}  // namespace

Phases cut_into_phases(std::span<const LogRecord> records, std::span<const LogFlaw> flaws) {
  return Sweep(records, flaws).result();
}

}  // namespace trainmark::report

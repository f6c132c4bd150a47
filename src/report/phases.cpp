// A sweep over the records in the order of the log. Time between two records goes to the innermost open phase, so that
// the phases add up to the clock by construction, however a program nests its epochs, blocks and evaluations.
#include "report/phases.hpp"

#include <algorithm>

#include "report/parse.hpp"

namespace trainmark::report {
namespace {

bool has_epochs(const std::vector<LogRecord>& records) {
  return std::any_of(records.begin(), records.end(), [](const auto& each) { return each.key == "epoch_start"; });
}

/// Logs of others may hold any number; what counts no epochs is as good as missing.
std::optional<int> count_in(const Metadata& metadata, std::string_view key) {
  const auto number = number_of(metadata, key);
  if (!number || !(*number >= 0.0 && *number <= 1e6)) return std::nullopt;
  return static_cast<int>(*number);
}

class Sweep {
 public:
  /// ResNet logs may have blocks of several epochs; blocks count only where epochs are not logged.
  explicit Sweep(bool epochs)
      : start_(epochs ? "epoch_start" : "block_start"), stop_(epochs ? "epoch_stop" : "block_stop") {}

  /// False once the clock has stopped.
  bool take(const LogRecord& record) {
    advance(record.time_ms);
    if (record.key == "run_start" && !phases_.started) {
      phases_.started = true;
    } else if (record.key == "run_stop" && phases_.started) {
      phases_.finished = true;
      for (const auto& [name, value] : record.metadata)
        if (const auto* text = std::get_if<std::string>(&value); text != nullptr && name == "status")
          phases_.status = *text;
      return false;
    }
    if (record.key == "staging_start") ++staging_;
    if (record.key == "staging_stop") staging_ = std::max(0, staging_ - 1);
    if (phases_.started) take_training(record);
    return true;
  }

  Phases result() {
    phases_.run_s = phases_.staging_s + phases_.training_s + phases_.evaluation_s + phases_.rest_s;
    return std::move(phases_);
  }

 private:
  void take_training(const LogRecord& record) {
    if (record.key == "eval_start") ++evaluations_;
    if (record.key == "eval_stop") evaluations_ = std::max(0, evaluations_ - 1);
    if (record.key == stop_ && training_ > 0 && --training_ == 0) phases_.epochs.back().whole = true;
    if (record.key == start_ && training_++ == 0) {
      EpochReport epoch;
      epoch.epochs = std::max(1, count_in(record.metadata, "epoch_count").value_or(1));
      epoch.number = (phases_.epochs.empty() ? 0 : phases_.epochs.back().number) + epoch.epochs;
      if (const auto first = count_in(record.metadata, "first_epoch_num"))
        epoch.number = *first + epoch.epochs - 1;
      else if (const auto number = count_in(record.metadata, "epoch_num"))
        epoch.number = *number;
      phases_.epochs.push_back(epoch);
    }
    const bool is_metric = record.key == "eval_error" || record.key == "eval_accuracy";
    if (is_metric && !phases_.epochs.empty()) phases_.epochs.back().metric = number_of(record.value);
  }

  void advance(double now_ms) {
    // A clock that goes back (check complains about it) must not take time away from a phase.
    const double seconds = any_ ? std::max(0.0, now_ms - last_ms_) / 1000.0 : 0.0;
    last_ms_ = any_ ? std::max(last_ms_, now_ms) : now_ms;
    any_ = true;
    if (!phases_.started) {
      if (staging_ > 0) phases_.staging_outside_s += seconds;
    } else if (staging_ > 0) {
      phases_.staging_s += seconds;
    } else if (evaluations_ > 0) {
      phases_.evaluation_s += seconds;
      if (!phases_.epochs.empty()) phases_.epochs.back().evaluation_s += seconds;
    } else if (training_ > 0) {
      phases_.training_s += seconds;
      phases_.epochs.back().train_s += seconds;
    } else {
      phases_.rest_s += seconds;
    }
  }

  std::string_view start_, stop_;
  Phases phases_;
  int staging_ = 0, evaluations_ = 0, training_ = 0;
  bool any_ = false;
  double last_ms_ = 0.0;
};

}  // namespace

Phases cut_into_phases(const std::vector<LogRecord>& records) {
  Sweep sweep(has_epochs(records));
  for (const LogRecord& record : records)
    if (!sweep.take(record)) break;
  return sweep.result();
}

}  // namespace trainmark::report

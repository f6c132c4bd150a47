// What the official checker does not look at, and a reader of the log would: pairs, order, time, whether status, target
// and epochs tell one story, and whether it is one run's.
#include <fmt/core.h>

#include <algorithm>
#include <map>
#include <optional>
#include <span>

#include "mllog/official.hpp"

namespace trainmark::mllog {
namespace {

const std::vector<std::string> interval_names = {"init", "staging", "run", "block", "epoch", "eval"};

/// "epoch" of "epoch_start" and "epoch_stop"; nothing for other keys.
std::optional<std::string> interval_of(const std::string& key, bool& starts) {
  for (const std::string& name : interval_names) {
    starts = key == name + "_start";
    if (starts || key == name + "_stop") return name;
  }
  return {};
}

std::string epoch_text(const Record& record) {
  for (const char* name : {"epoch_num", "first_epoch_num"}) {
    if (record.metadata.is_object() && record.metadata.contains(name)) return json_text(record.metadata[name]);
  }
  return {};
}

class Reading {
 public:
  Reading(std::span<const Record> records, const std::string& benchmark)
      : records_(records), benchmark_(benchmark), target_(quality_target(benchmark)) {}

  std::vector<Finding> findings() {
    for (const Record& record : records_) {
      time(record);
      interval(record);
      metric(record);
    }
    ending();
    return std::move(findings_);
  }

 private:
  void say(int line, const char* rule, std::string message) { findings_.push_back({line, rule, std::move(message)}); }

  void time(const Record& record) {
    if (record.time_ms < last_time_ms_) {
      say(record.line, "time_order",
          fmt::format("{} is {:.0f} ms before the record above it", record.key, last_time_ms_ - record.time_ms));
    }
    last_time_ms_ = record.time_ms;
  }

  void interval(const Record& record) {
    bool starts = false;
    const std::optional<std::string> name = interval_of(record.key, starts);
    const std::string wanted = !name ? "POINT_IN_TIME" : starts ? "INTERVAL_START" : "INTERVAL_END";
    if (record.event_type != wanted && (name || !record.event_type.empty())) {
      say(record.line, "event_type", fmt::format("{} is a {}, not \"{}\"", record.key, wanted, record.event_type));
    }
    if (!name) return;
    starts ? open(record, *name) : close(record, *name);
  }

  void open(const Record& record, const std::string& name) {
    if (open_.contains(name)) {
      say(record.line, "pairing",
          fmt::format("{}_start again before the {}_stop of line {}", name, name, open_[name]->line));
    }
    open_[name] = &record;
    const bool trains = name == "block" || name == "epoch" || name == "eval";
    if (trains && run_start_ == 0) say(record.line, "phase_order", fmt::format("{}_start before run_start", name));
    if (trains && run_stop_ != nullptr) say(record.line, "phase_order", fmt::format("{}_start after run_stop", name));
    if (name == "run") run_start_ = record.line;
    if (name == "epoch" && benchmark_ != "openfold") epoch(record);
  }

  void close(const Record& record, const std::string& name) {
    if (name == "run") run_stop_ = run_stop_ == nullptr ? &record : run_stop_;
    const auto found = open_.find(name);
    if (found == open_.end()) {
      say(record.line, "pairing", fmt::format("{}_stop without a {}_start", name, name));
      return;
    }
    const bool by_epoch = name == "block" || name == "epoch" || name == "eval";
    if (by_epoch && run_stop_ != nullptr) say(record.line, "phase_order", fmt::format("{}_stop after run_stop", name));
    if (by_epoch && epoch_text(record) != epoch_text(*found->second)) {
      say(record.line, "pairing",
          fmt::format("{}_stop of epoch {} closes the {}_start of epoch {} in line {}", name, epoch_text(record), name,
                      epoch_text(*found->second), found->second->line));
    }
    open_.erase(found);
  }

  void epoch(const Record& record) {
    if (!record.metadata.is_object() || !record.metadata.contains("epoch_num") ||
        !is_number(record.metadata["epoch_num"]))
      return;
    const double number = number_of(record.metadata["epoch_num"]);
    if (number != last_epoch_ + 1.0) {
      say(record.line, "epoch_sequence",
          fmt::format("epoch {} follows {}; epochs count from 1 without gaps", number,
                      last_epoch_ == 0.0 ? "nothing" : fmt::format("epoch {}", last_epoch_)));
    }
    last_epoch_ = number;
  }

  void metric(const Record& record) {
    if (!target_ || record.key != target_->key || !is_number(record.value)) return;
    if (run_start_ == 0) say(record.line, "phase_order", fmt::format("{} before run_start", record.key));
    if (run_stop_ != nullptr) say(record.line, "phase_order", fmt::format("{} after run_stop", record.key));
    const double value = number_of(record.value);
    if (!target_->reached_by(value)) return;
    if (run_stop_ == nullptr) {
      reached_before_stop_ = true;
    } else if (!reached_before_stop_) {
      say(record.line, "target_after_stop",
          fmt::format("{} {} reaches the target only after run_stop", record.key, value));
    }
  }

  void ending() {
    for (const auto& [name, record] : open_) {
      if (name == "run") continue;  // said below
      say(record->line, "pairing", fmt::format("{}_start has no {}_stop", name, name));
    }
    if (run_stop_ == nullptr) {
      say(0, "run_stop", "run_stop is missing: the run was cut off before it could close its log");
      return;
    }
    const Json& metadata = run_stop_->metadata;
    const Json status = metadata.is_object() && metadata.contains("status") ? metadata["status"] : Json();
    if (status != Json("success") && status != Json("aborted")) {
      say(run_stop_->line, "status",
          fmt::format("status {} is neither \"success\" nor \"aborted\"", json_text(status)));
    } else if (target_ && status == Json("success") && !reached_before_stop_) {
      say(run_stop_->line, "status", "status is success, but no metric before run_stop reaches the target");
    } else if (target_ && status == Json("aborted") && reached_before_stop_) {
      say(run_stop_->line, "status",
          "status is aborted, though a metric before run_stop reaches the target (summaries would count it)");
    }
  }

  std::span<const Record> records_;
  std::string benchmark_;
  std::optional<QualityTarget> target_;
  std::vector<Finding> findings_;
  double last_time_ms_ = -1e300;
  std::map<std::string, const Record*> open_;
  int run_start_ = 0;
  const Record* run_stop_ = nullptr;
  double last_epoch_ = 0.0;
  bool reached_before_stop_ = false;
};

/// What attempt_starts and runs_at_once look at.
std::vector<LogRecord> sketches_of(const std::vector<Record>& records) {
  std::vector<LogRecord> sketches(records.size());
  for (std::size_t i = 0; i < records.size(); ++i) {
    sketches[i].key = records[i].key;
    for (const char* name : {"epoch_num", "first_epoch_num"}) {
      const Json& metadata = records[i].metadata;
      if (metadata.is_object() && metadata.contains(name) && is_number(metadata[name]))
        sketches[i].metadata.emplace_back(name, number_of(metadata[name]));
    }
  }
  return sketches;
}

}  // namespace

std::vector<Finding> semantic_findings(const Parsed& parsed, const std::string& benchmark) {
  const std::span<const Record> records = parsed.records;
  const std::vector<LogRecord> sketches = sketches_of(parsed.records);
  if (const int runs = runs_at_once(sketches); runs > 1) {
    std::vector<Finding> findings = Reading(records, benchmark).findings();
    findings.insert(findings.begin(),
                    {0, "attempts", fmt::format("{} runs or processes write into this file at once", runs)});
    return findings;
  }
  std::vector<std::size_t> starts = attempt_starts(sketches);
  starts.push_back(records.size());
  std::vector<Finding> findings;
  for (std::size_t i = 0; i + 1 < starts.size(); ++i) {
    if (i > 0)
      findings.push_back({records[starts[i]].line, "attempts",
                          fmt::format("attempt {} begins here, after one that began in line {}; a log is of one run",
                                      i + 1, records[starts[i - 1]].line)});
    const std::vector<Finding> own =
        Reading(records.subspan(starts[i], starts[i + 1] - starts[i]), benchmark).findings();
    findings.insert(findings.end(), own.begin(), own.end());
  }
  return findings;
}

}  // namespace trainmark::mllog

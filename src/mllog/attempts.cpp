// Which records are one run's. Batch systems requeue, programs append, and launchers gather what many processes print:
// a file may hold several runs, one after the other or mixed.
#include <algorithm>
#include <optional>
#include <set>

#include "trainmark/mllog.hpp"

namespace trainmark {
namespace {

bool is_header(const std::string& key) { return key.starts_with("submission_"); }

std::optional<double> epoch_of(const LogRecord& record) {
  for (const auto& [name, value] : record.metadata) {
    if (name != "epoch_num" && name != "first_epoch_num") continue;
    if (const auto* integer = std::get_if<std::int64_t>(&value)) return static_cast<double>(*integer);
    if (const auto* real = std::get_if<double>(&value)) return *real;
  }
  return std::nullopt;
}

/// Whether epochs go back or repeat: they are of more than one run then.
bool epochs_of_several(std::span<const LogRecord> records) {
  std::optional<double> last;
  for (const LogRecord& record : records) {
    if (record.key != "epoch_start" && record.key != "block_start") continue;
    const auto epoch = epoch_of(record);
    if (epoch && last && *epoch <= *last) return true;
    if (epoch) last = epoch;
  }
  return false;
}

/// How far one run has come.
struct Progress {
  std::set<std::string> settings;  ///< keys of points in time before run_start
  bool init_started = false, init_stopped = false, run_started = false, run_stopped = false;
  std::optional<std::size_t> prelude;  ///< from where on records may belong to the next run

  [[nodiscard]] bool begins_anew(const std::string& key) const {
    if (key == "run_start") return run_started;
    if (key == "init_start") return init_stopped || run_started;
    return is_header(key) && settings.contains(key) && (init_started || run_started);
  }
  void take(const std::string& key, std::size_t at) {
    const bool interval = key.ends_with("_start") || key.ends_with("_stop");
    const bool again = run_started && settings.contains(key);
    const bool prepares = run_stopped && (key == "cache_clear" || key == "staging_start");
    if (!prelude && (again || prepares)) prelude = at;
    if (key == "epoch_start" || key == "block_start" || key == "eval_start") prelude.reset();
    if (!run_started && !interval) settings.insert(key);
    init_started = init_started || key == "init_start";
    init_stopped = init_stopped || key == "init_stop";
    run_started = run_started || key == "run_start";
    run_stopped = run_stopped || (run_started && key == "run_stop");
  }
};

}  // namespace

std::vector<std::size_t> attempt_starts(std::span<const LogRecord> records) {
  std::vector<std::size_t> starts{0};
  Progress progress;
  for (std::size_t i = 0; i < records.size(); ++i) {
    if (progress.begins_anew(records[i].key)) {
      const std::size_t start = progress.prelude.value_or(i);
      starts.push_back(start);
      progress = {};
      for (std::size_t each = start; each < i; ++each)
        progress.take(records[each].key, each);
    }
    progress.take(records[i].key, i);
  }
  return starts;
}

int runs_at_once(std::span<const LogRecord> records) {
  int open = 0, most = 1;
  bool header_between = false, stopped_again = false, stopped = false;
  std::size_t beside = records.size();  // where a run first starts beside another
  for (std::size_t i = 0; i < records.size(); ++i) {
    const std::string& key = records[i].key;
    if (open > 0 && (key == "submission_benchmark" || key == "init_start")) header_between = true;
    if (key == "run_start") {
      stopped = false;
      most = std::max(most, ++open);
      if (open == 2) beside = std::min(beside, i);
    } else if (key == "run_stop") {
      stopped_again = stopped_again || (stopped && open > 0);
      stopped = true;
      open = std::max(0, open - 1);
    }
  }
  // A run that was cut off leaves its start open too; but what follows then is one run's.
  if (most < 2) return 1;
  if (stopped_again && !header_between) return most;
  std::vector<std::size_t> starts = attempt_starts(records);
  starts.push_back(records.size());
  for (std::size_t i = 0; i + 1 < starts.size(); ++i)
    if (starts[i + 1] > beside && epochs_of_several(records.subspan(starts[i], starts[i + 1] - starts[i]))) return most;
  return 1;
}

}  // namespace trainmark

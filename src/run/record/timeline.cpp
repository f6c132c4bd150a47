#include "run/record/timeline.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "mllog/utf8.hpp"
#include "run/record/progress.hpp"

namespace trainmark {
namespace {

/// What ranks other than 0 write to.
class NoSink final : public EventSink {
 public:
  void write(const Event&) override {}
};

std::unique_ptr<EventSink> open_sink(const std::filesystem::path& log, Trace* trace) {
  std::unique_ptr<EventSink> sink;
  if (log.empty()) {
    sink = std::make_unique<NoSink>();
  } else {
    sink = std::make_unique<LogFile>(log);
  }
  return trace == nullptr ? std::move(sink) : trace->watched(std::move(sink));
}

}  // namespace

std::string one_line(const std::string& json) {
  return json_text(nlohmann::ordered_json::parse(json.empty() ? "{}" : json));
}

void ClosingSink::write(const Event& event) {
  const std::scoped_lock lock(mutex_);
  if (closed_) return;
  try {
    inner_->write(event);  // what is not written is not open, or not closed
  } catch (...) {
    if (!failure_) failure_ = std::current_exception();
    throw;
  }
  if (event.type == EventType::interval_start) {
    open_.push_back({event.key.substr(0, event.key.rfind("_start")), event.metadata});
  } else if (event.type == EventType::interval_end && !open_.empty()) {
    open_.pop_back();
  }
}

void ClosingSink::close() {
  const std::scoped_lock lock(mutex_);
  if (closed_) return;
  if (failure_) std::rethrow_exception(failure_);
  closed_ = true;
  inner_->close();
}

void ClosingSink::abort(const Clock& clock) noexcept {
  try {
    const std::unique_lock lock(mutex_, std::chrono::milliseconds(200));
    if (!lock || closed_) return;
    closed_ = true;
    for (auto open = open_.rbegin(); open != open_.rend(); ++open) {
      Metadata metadata = open->metadata;
      if (open->name == "run") metadata.emplace_back("status", std::string(word(Ending::aborted)));
      inner_->write({clock.unix_ms(),
                     EventType::interval_end,
                     open->name + "_stop",
                     {},
                     std::move(metadata),
                     std::source_location::current()});
    }
    open_.clear();
  } catch (const std::exception& error) {
    // The log stays open-ended, which `check` says; whoever aborts has more to do.
    tell(fmt::format("trainmark: warning: the log could not be closed: {}\n", error.what()));
  }
}

Timeline::Timeline(const std::filesystem::path& log, Trace* trace) : sink_(open_sink(log, trace)) {}
Timeline::~Timeline() { abort(); }  // nothing is left to close after run_stop

void Timeline::point(const std::string& key, EventValue value, Metadata metadata, std::source_location where) {
  sink_.write({clock_.unix_ms(), EventType::point_in_time, key, std::move(value), std::move(metadata), where});
}

void Timeline::header(const RunOptions& options, bool cache_cleared, const std::string& config) {
  point("submission_benchmark", std::string(benchmark_of(options.recipe.model)));
  point("submission_org", options.submission.org);
  point("submission_division", std::string(word(options.submission.division)));
  point("submission_status", std::string(word(options.submission.status)));
  point("submission_platform", options.submission.platform);
  if (options.submission.generated_data) point(std::string(note_key), std::string(generated_label));
  for (std::string& label : labels_of(options))
    point(std::string(note_key), std::move(label));
  point("trainmark_config", config);
  point("cache_clear", cache_cleared);
}

void Timeline::hyperparameters(const RunOptions& options, const TimelineFacts& facts) {
  point("number_of_ranks", std::int64_t{facts.ranks});
  point("number_of_nodes", std::int64_t{facts.nodes});
  point("accelerators_per_node", std::int64_t{facts.accelerators_per_node});
  point("seed", facts.seed);
  point("global_batch_size", options.train.global_batch);
  point(std::string(accumulation_key_of(options.recipe.model)), options.train.gradient_accumulation_steps);
  for (auto& [key, value] : logged(options.recipe, facts.step))
    point(key, std::move(value));
  point("train_samples", facts.data.train_samples);
  point("eval_samples", facts.data.validation_samples);
  point("precision", std::string(word(facts.precision)));
  point("trainmark_wire", std::string(word(options.train.wire)));
}

void Timeline::metric(const std::string& key, double value, std::int64_t epoch) {
  point(key, value, {{"epoch_num", epoch}});
}

void Timeline::throughput(double samples_per_s, std::int64_t epoch) {
  point("throughput", samples_per_s, {{"epoch_num", epoch}});
}

void Timeline::waited_for_another_run(double seconds) { point("trainmark_waiting_for_another_run_s", seconds); }

void Timeline::run_start() {
  started_ms_ = clock_.unix_ms();
  sink_.write({started_ms_, EventType::interval_start, "run_start", {}, {}, std::source_location::current()});
}

void Timeline::run_stop(bool success, std::optional<Ending> outcome) {
  stopped_ms_ = clock_.unix_ms();
  Metadata metadata = {{"status", std::string(word(success ? Ending::success : Ending::aborted))}};
  if (outcome) metadata.emplace_back("outcome", std::string(word(*outcome)));
  sink_.write(
      {stopped_ms_, EventType::interval_end, "run_stop", {}, std::move(metadata), std::source_location::current()});
}

double Timeline::run_seconds() const noexcept {
  if (started_ms_ == 0) return 0.0;
  const std::int64_t end = stopped_ms_ != 0 ? stopped_ms_ : clock_.unix_ms();
  return static_cast<double>(end - started_ms_) * 1e-3;
}

}  // namespace trainmark

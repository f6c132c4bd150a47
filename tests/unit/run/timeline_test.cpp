// The log of a run closes itself, however the run ends.
#include "run/record/timeline.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <sstream>
#include <thread>

namespace trainmark {
namespace {

/// A sink whose events stay readable after the ClosingSink took it.
class Shared final : public EventSink {
 public:
  explicit Shared(std::vector<Event>& events) : events_(events) {}
  void write(const Event& event) override { events_.push_back(event); }

 private:
  std::vector<Event>& events_;
};

std::vector<std::string> keys_of(const std::vector<Event>& events) {
  std::vector<std::string> keys;
  for (const Event& event : events)
    keys.push_back(event.key);
  return keys;
}

class ClosingSinkTest : public testing::Test {
 protected:
  std::vector<Event> events;
  Clock clock;
  ClosingSink sink{std::make_unique<Shared>(events)};

  void start(const std::string& key, Metadata metadata = {}) {
    sink.write(
        {clock.unix_ms(), EventType::interval_start, key, {}, std::move(metadata), std::source_location::current()});
  }
};

TEST_F(ClosingSinkTest, AbortClosesOpenIntervalsNewestFirst) {
  start("run_start");
  start("epoch_start", {{"epoch_num", std::int64_t{3}}});
  start("eval_start", {{"epoch_num", std::int64_t{3}}});
  sink.abort(clock);
  const std::vector<std::string> expected = {"run_start", "epoch_start", "eval_start",
                                             "eval_stop", "epoch_stop",  "run_stop"};
  EXPECT_EQ(keys_of(events), expected);
  ASSERT_FALSE(events[3].metadata.empty());
  EXPECT_EQ(events[3].metadata[0].first, "epoch_num");
  ASSERT_FALSE(events[5].metadata.empty());
  EXPECT_EQ(std::get<std::string>(events[5].metadata[0].second), "aborted");
}

TEST_F(ClosingSinkTest, AbortBeforeRunStartWritesNoRunStop) {
  start("init_start");
  sink.abort(clock);
  EXPECT_EQ(keys_of(events), (std::vector<std::string>{"init_start", "init_stop"}));
}

TEST_F(ClosingSinkTest, NothingIsWrittenAfterAnAbort) {
  {
    const LogScope epoch(sink, clock, "epoch");
    sink.abort(clock);
  }
  sink.abort(clock);
  EXPECT_EQ(keys_of(events), (std::vector<std::string>{"epoch_start", "epoch_stop"}));
}

TEST_F(ClosingSinkTest, ClosedIntervalsStayAsTheyAre) {
  { const LogScope init(sink, clock, "init"); }
  sink.abort(clock);
  EXPECT_EQ(keys_of(events), (std::vector<std::string>{"init_start", "init_stop"}));
}

/// Refuses what it is told to.
class Refusing final : public EventSink {
 public:
  explicit Refusing(std::string key) : key_(std::move(key)) {}
  void write(const Event& event) override {
    if (event.key == key_) throw Error(ExitCode::environment, Complaint{"the log", "no " + key_, "", ""});
  }
  void close() override {
    if (key_ == "close") throw Error(ExitCode::environment, Complaint{"the log", "no close", "", ""});
  }

 private:
  std::string key_;
};

TEST(ClosingSink, RaisesWhenItClosesWhatAScopesEndCouldNotSay) {
  const Clock clock;
  for (const std::string refused : {"epoch_stop", "close"}) {
    ClosingSink sink(std::make_unique<Refusing>(refused));
    { const LogScope epoch(sink, clock, "epoch"); }
    { const LogScope epoch(sink, clock, "eval"); }
    try {
      sink.close();
      ADD_FAILURE() << refused;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::environment);
      EXPECT_NE(std::string(error.what()).find("no " + refused), std::string::npos) << error.what();
    }
  }
}

TEST_F(ClosingSinkTest, NothingIsWrittenAfterItIsClosed) {
  start("run_start");
  sink.close();
  start("epoch_start");
  sink.abort(clock);
  EXPECT_EQ(keys_of(events), (std::vector<std::string>{"run_start"}));
}

class TimelineTest : public testing::Test {
 protected:
  std::filesystem::path path = std::filesystem::path(testing::TempDir()) / ("timeline-" + std::to_string(getpid()));
  RunOptions options;
  TimelineFacts facts{.ranks = 6,
                      .nodes = 3,
                      .accelerators_per_node = 2,
                      .seed = 9007199254740993,
                      .data = {.train_samples = 640, .validation_samples = 64, .generated = false}};
  std::unique_ptr<Timeline> timeline = std::make_unique<Timeline>(path);

  void TearDown() override { std::filesystem::remove(path); }
  [[nodiscard]] std::vector<LogRecord> log() const {
    std::ostringstream text;
    text << std::ifstream(path).rdbuf();
    return read_log(text.str()).records;
  }
  /// The value of the only record of `key`.
  [[nodiscard]] EventValue value(const std::string& key) const {
    std::vector<EventValue> found;
    for (const LogRecord& record : log())
      if (record.key == key) found.push_back(record.value);
    EXPECT_EQ(found.size(), 1U) << key;
    return found.empty() ? EventValue() : found.front();
  }
  [[nodiscard]] std::vector<std::string> keys() const {
    std::vector<std::string> all;
    for (const LogRecord& record : log())
      all.push_back(record.key);
    return all;
  }
};

TEST_F(TimelineTest, TheHeaderSaysWhoRuns) {
  options.submission = {.division = Division::closed,
                        .org = "a lab",
                        .platform = "a machine",
                        .status = Availability::onprem,
                        .ruleset = Ruleset::v3_0_0,
                        .generated_data = false};
  timeline->header(options, true, "{\"a\":1}");
  EXPECT_EQ(value("submission_benchmark"), EventValue(std::string("cosmoflow")));
  EXPECT_EQ(value("submission_org"), EventValue(std::string("a lab")));
  EXPECT_EQ(value("submission_division"), EventValue(std::string("closed")));
  EXPECT_EQ(value("submission_status"), EventValue(std::string("onprem")));
  EXPECT_EQ(value("submission_platform"), EventValue(std::string("a machine")));
  EXPECT_EQ(value("trainmark_config"), EventValue(std::string("{\"a\":1}")));
  EXPECT_EQ(value("cache_clear"), EventValue(true));
  EXPECT_EQ(log().size(), 7U) << "no note on generated data";
}

TEST_F(TimelineTest, GeneratedDataAreNoResult) {
  options.submission.generated_data = true;
  timeline->header(options, false, "{}");
  EXPECT_EQ(value("trainmark_note"), EventValue(std::string("generated data: not an MLPerf result")));
  EXPECT_EQ(value("cache_clear"), EventValue(false));
}

TEST_F(TimelineTest, NotesTellOfATargetAndABatchWithoutReference) {
  options.recipe.model = Resnet50Options{};
  options.train.target = 0.749;
  options.train.global_batch = 81920;
  timeline->header(options, false, "{}");
  std::vector<EventValue> notes;
  for (const LogRecord& record : log())
    if (record.key == "trainmark_note") notes.push_back(record.value);
  EXPECT_EQ(notes,
            (std::vector<EventValue>{
                std::string("target 0.749 is not the benchmark's 0.759: not comparable with MLPerf Training 4.0.0"),
                std::string("global batch 81920 is above the largest reference convergence point, 67840")}));
  EXPECT_EQ(labels_of(options).size(), 2U);
  options.train.target = 0.759;
  options.train.global_batch = 67840;
  EXPECT_TRUE(labels_of(options).empty());
  options.train.until = Until::epochs;
  options.train.target = 0.749;
  EXPECT_TRUE(labels_of(options).empty()) << "a target that nobody waits for";
}

TEST_F(TimelineTest, HyperparametersHaveTheValuesThatTheRunTakes) {
  options.seed = 1;  // as wanted; the facts have the chosen one
  options.train.global_batch = 32;
  options.train.gradient_accumulation_steps = 2;
  facts.precision = Precision::bf16;  // what is computed, whatever was asked for
  options.train.precision = Precision::tf32;
  options.train.wire = Wire::fp16;
  options.recipe.schedule = PiecewiseSchedule{.base_rate = 0.001,
                                              .peak_rate = 0.004,
                                              .warmup_epochs = 5,
                                              .decay = {{.epoch = 32, .factor = 0.25}, {.epoch = 64, .factor = 0.125}}};
  options.recipe.model = CosmoflowOptions{.dropout = 0.5, .l2 = 0.01};
  timeline->hyperparameters(options, facts);
  const std::vector<std::pair<std::string, EventValue>> expected = {
      {"number_of_ranks", std::int64_t{6}},
      {"number_of_nodes", std::int64_t{3}},
      {"accelerators_per_node", std::int64_t{2}},
      {"seed", std::int64_t{9007199254740993}},
      {"global_batch_size", std::int64_t{32}},
      {"gradient_accumulation_steps", std::int64_t{2}},
      {"opt_name", std::string("sgd")},
      {"opt_base_learning_rate", 0.004},
      {"opt_learning_rate_warmup_epochs", std::int64_t{5}},
      {"opt_learning_rate_warmup_factor", 4.0},
      {"opt_learning_rate_decay_boundary_epochs", std::vector<double>{32, 64}},  // lists are read so
      {"opt_learning_rate_decay_factor", std::vector<double>{0.25, 0.125}},
      {"dropout", 0.5},
      {"opt_weight_decay", 0.01},
      {"train_samples", std::int64_t{640}},
      {"eval_samples", std::int64_t{64}},
      {"precision", std::string("bf16")},
      {"trainmark_wire", std::string("fp16")}};
  for (const auto& [key, wanted] : expected)
    EXPECT_EQ(value(key), wanted) << key;
  EXPECT_EQ(log().size(), expected.size());
}

TEST_F(TimelineTest, AWarmUpFromNothingHasNoFactor) {
  options.recipe.schedule = PiecewiseSchedule{.base_rate = 0.0};
  timeline->hyperparameters(options, facts);
  EXPECT_EQ(value("opt_learning_rate_warmup_factor"), EventValue(1.0));
}

TEST_F(TimelineTest, IntervalsOpenAndCloseInTheirOrder) {
  { const LogScope staging = timeline->staging(); }
  { const LogScope init = timeline->init(); }
  timeline->run_start();
  {
    const LogScope epoch = timeline->epoch(4);
    {
      const LogScope evaluation = timeline->evaluation(4);
      timeline->metric("eval_error", 0.25, 4);
    }
    timeline->throughput(12.5, 4);
  }
  timeline->run_stop(true);
  timeline.reset();
  EXPECT_EQ(keys(), (std::vector<std::string>{"staging_start", "staging_stop", "init_start", "init_stop", "run_start",
                                              "epoch_start", "eval_start", "eval_error", "eval_stop", "throughput",
                                              "epoch_stop", "run_stop"}));
  EXPECT_EQ(value("eval_error"), EventValue(0.25));
  EXPECT_EQ(value("throughput"), EventValue(12.5));
  for (const LogRecord& record : log()) {
    const bool epoch = record.key.starts_with("epoch") || record.key.starts_with("eval") || record.key == "throughput";
    const auto number = std::ranges::find(record.metadata, "epoch_num", &Metadata::value_type::first);
    ASSERT_EQ(number != record.metadata.end(), epoch) << record.key;
    if (epoch) {
      EXPECT_EQ(number->second, EventValue(std::int64_t{4})) << record.key;
    }
    const std::string type = record.key.ends_with("_start")  ? "INTERVAL_START"
                             : record.key.ends_with("_stop") ? "INTERVAL_END"
                                                             : "POINT_IN_TIME";
    EXPECT_EQ(record.event_type, type) << record.key;
  }
}

TEST_F(TimelineTest, ARunStopsWithItsStatus) {
  for (const bool success : {true, false}) {
    std::filesystem::remove(path);
    Timeline one(path);
    one.run_start();
    one.run_stop(success);
    const LogRecord last = log().back();
    EXPECT_EQ(last.key, "run_stop");
    const auto status = std::ranges::find(last.metadata, "status", &Metadata::value_type::first);
    ASSERT_NE(status, last.metadata.end());
    EXPECT_EQ(status->second, EventValue(std::string(success ? "success" : "aborted")));
    EXPECT_EQ(std::ranges::count(last.metadata, "outcome", &Metadata::value_type::first), 0) << "none was named";
  }
}

TEST_F(TimelineTest, ARunForFixedWorkThatDidItIsAbortedByTheRulesAndDoneByItsOutcome) {
  timeline->run_start();
  timeline->run_stop(false, Ending::fixed_work_done);
  const LogRecord last = log().back();
  const auto value_of = [&last](std::string_view name) {
    const auto found = std::ranges::find(last.metadata, name, &Metadata::value_type::first);
    return found == last.metadata.end() ? EventValue{} : found->second;
  };
  EXPECT_EQ(value_of("status"), EventValue(std::string("aborted")));
  EXPECT_EQ(value_of("outcome"), EventValue(std::string("fixed_work_done")));
}

TEST_F(TimelineTest, ATimelineThatGoesOutOfScopeClosesWhatIsOpen) {
  timeline->run_start();
  timeline.reset();
  EXPECT_EQ(keys(), (std::vector<std::string>{"run_start", "run_stop"}));
}

TEST_F(TimelineTest, TheSecondsOfARunAreThoseOfItsLog) {
  EXPECT_EQ(timeline->run_seconds(), 0.0) << "it has not begun";
  timeline->run_start();
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  EXPECT_GE(timeline->run_seconds(), 0.019);
  timeline->run_stop(true);
  const double seconds = timeline->run_seconds();
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  EXPECT_EQ(timeline->run_seconds(), seconds) << "it has stopped";
  const std::vector<LogRecord> records = log();
  EXPECT_DOUBLE_EQ(seconds, (records.back().time_ms - records.front().time_ms) * 1e-3);
}

TEST(Timeline, WritesNothingWithoutALogFile) {
  Timeline timeline{std::filesystem::path()};
  timeline.run_start();
  timeline.run_stop(true);
  EXPECT_GE(timeline.run_seconds(), 0.0);
}

}  // namespace
}  // namespace trainmark

// The log of a run closes itself, however the run ends.
#include "run/timeline.hpp"

#include <gtest/gtest.h>

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

TEST(Timeline, WritesNothingWithoutALogFile) {
  Timeline timeline{std::filesystem::path()};
  timeline.run_start();
  timeline.run_stop(true);
  EXPECT_GE(timeline.run_seconds(), 0.0);
}

}  // namespace
}  // namespace trainmark

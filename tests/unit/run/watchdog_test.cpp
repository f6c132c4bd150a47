// The watchdog barks when a phase is silent, and only then: by a clock that the test moves.
#include "run/end/watchdog.hpp"

#include <gtest/gtest.h>

#include <future>

namespace trainmark {
namespace {

class WatchdogTest : public testing::Test {
 protected:
  std::atomic<double> now = 0.0;
  std::atomic<int> looks = 0;
  std::promise<std::string> said;
  std::future<std::string> heard = said.get_future();
  std::thread::id own = std::this_thread::get_id();
  Watchdog watchdog{[this](const std::string& message) { said.set_value(message); },
                    [this] {
                      if (std::this_thread::get_id() != own) ++looks;
                      return now.load();
                    }};

  /// Quiet although it has looked at the clock since this was called.
  [[nodiscard]] bool quiet() {
    for (const int before = looks; looks < before + 2;) {
      if (heard.wait_for(std::chrono::milliseconds(5)) == std::future_status::ready) return false;
    }
    return true;
  }
};

TEST_F(WatchdogTest, NamesThePhaseThatMadeNoProgress) {
  watchdog.phase("all-reduce of bucket 2", 3.0);
  now = 2.9;
  EXPECT_TRUE(quiet());
  now = 3.25;
  const std::string message = heard.get();
  EXPECT_EQ(message.find("no progress for 3.2 s in phase 'all-reduce of bucket 2' (limit 3.0 s)"), 0U) << message;
}

TEST_F(WatchdogTest, HasNoLimitBeforeTheFirstPhase) {
  now = 1e9;
  EXPECT_TRUE(quiet());
}

TEST_F(WatchdogTest, ABeatBeginsTheWaitAnew) {
  watchdog.phase("training", 5.0);
  for (int beat = 1; beat <= 3; ++beat) {
    now = 4.0 * beat;
    EXPECT_TRUE(quiet());
    watchdog.beat();
  }
  now = 12.0 + 5.0;
  EXPECT_NE(heard.get().find("for 5.0 s in phase 'training'"), std::string::npos);
}

TEST_F(WatchdogTest, ANewPhaseCountsAsABeatAndBringsItsOwnLimit) {
  watchdog.phase("staging", 1000.0);
  now = 900.0;
  watchdog.phase("training", 0.5);
  EXPECT_TRUE(quiet()) << "the silence was the other phase's";
  now = 900.75;
  EXPECT_NE(heard.get().find("for 0.8 s in phase 'training' (limit 0.5 s)"), std::string::npos);
}

TEST_F(WatchdogTest, ALongerPhaseReplacesTheShorterLimit) {
  watchdog.phase("short", 0.5);
  watchdog.phase("long", 1000.0);
  now = 999.0;
  EXPECT_TRUE(quiet());
}

TEST(Watchdog, HasTheLastWordAboutAnErrorThatItsOwnEndingBrings) {
  std::atomic<double> now = 0.0;
  std::promise<void> barked;
  std::atomic<bool> ended = false;
  Watchdog watchdog(
      [&](const std::string&) {
        barked.set_value();
        std::this_thread::sleep_for(std::chrono::milliseconds(200));
        ended = true;
      },
      [&now] { return now.load(); });
  watchdog.phase("training", 1000.0);
  watchdog.give_way();  // an error of another kind goes on at once
  EXPECT_FALSE(ended);
  now = 1001.0;
  barked.get_future().wait();
  watchdog.give_way();
  EXPECT_TRUE(ended);
}

TEST(Watchdog, GoesByARealClockUnlessToldAnother) {
  std::promise<std::string> said;
  Watchdog watchdog([&said](const std::string& message) { said.set_value(message); });
  watchdog.phase("training", 0.05);
  EXPECT_NE(said.get_future().get().find("in phase 'training'"), std::string::npos);
}

}  // namespace
}  // namespace trainmark

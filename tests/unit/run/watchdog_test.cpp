// The watchdog barks when a phase is silent, and only then.
#include "run/watchdog.hpp"

#include <gtest/gtest.h>

#include <future>

namespace trainmark {
namespace {

TEST(Watchdog, NamesThePhaseThatMadeNoProgress) {
  std::promise<std::string> heard;
  Watchdog watchdog([&heard](const std::string& message) { heard.set_value(message); });
  watchdog.phase("all-reduce of bucket 2", 0.05);
  std::future<std::string> message = heard.get_future();
  ASSERT_EQ(message.wait_for(std::chrono::seconds(20)), std::future_status::ready);
  EXPECT_NE(message.get().find("all-reduce of bucket 2"), std::string::npos);
}

TEST(Watchdog, HasTheLastWordAboutAnErrorThatItsOwnEndingBrings) {
  std::promise<void> barked;
  std::atomic<bool> ended = false;
  Watchdog watchdog([&](const std::string&) {
    barked.set_value();
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
    ended = true;
  });
  watchdog.phase("training", 1000.0);
  watchdog.give_way();  // an error of another kind goes on at once
  EXPECT_FALSE(ended);
  watchdog.phase("training", 0.05);
  barked.get_future().wait();
  watchdog.give_way();
  EXPECT_TRUE(ended);
}

TEST(Watchdog, StaysQuietWhileHeartbeatsCome) {
  bool barked = false;
  {
    Watchdog watchdog([&barked](const std::string&) { barked = true; });
    watchdog.phase("training", 5.0);
    for (int beat = 0; beat < 40; ++beat) {
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
      watchdog.beat();
    }
  }
  EXPECT_FALSE(barked);
}

TEST(Watchdog, ANewPhaseReplacesTheOldLimit) {
  bool barked = false;
  {
    Watchdog watchdog([&barked](const std::string&) { barked = true; });
    watchdog.phase("short", 0.3);
    watchdog.phase("long", 1000.0);
    std::this_thread::sleep_for(std::chrono::milliseconds(600));
  }
  EXPECT_FALSE(barked);
}

}  // namespace
}  // namespace trainmark

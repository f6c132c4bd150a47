// What ends training, of each kind of goal.
#include "run/train/goal.hpp"

#include <gtest/gtest.h>

#include <limits>

namespace trainmark {
namespace {

Goal goal(Until until) { return goal_of({.until = until, .epochs = 3, .steps = 10, .seconds = 2.5}); }

TEST(Goal, OfEpochsAndTargetsEndsWithTheEpochs) {
  for (const Until until : {Until::target, Until::epochs}) {
    EXPECT_EQ(most_epochs(goal(until)), 3);
    EXPECT_FALSE(is_done(goal(until), 1000, 1000.0));
    EXPECT_EQ(seconds_left(goal(until), 1, 1.0, 1.0), std::nullopt);
  }
}

TEST(Goal, OfStepsEndsWithTheLastOfThem) {
  const Goal steps = goal(Until::steps);
  EXPECT_GT(most_epochs(steps), std::int64_t{1} << 60);
  EXPECT_FALSE(is_done(steps, 9, 1e9));
  EXPECT_TRUE(is_done(steps, 10, 0.0));
  EXPECT_EQ(seconds_left(steps, 4, 100.0, 0.5), 3.0);
}

TEST(Goal, OfSecondsEndsWhenTheyAreOver) {
  const Goal seconds = goal(Until::seconds);
  EXPECT_GT(most_epochs(seconds), std::int64_t{1} << 60);
  EXPECT_FALSE(is_done(seconds, 1000, 2.4));
  EXPECT_TRUE(is_done(seconds, 0, 2.5));
  EXPECT_EQ(seconds_left(seconds, 1, 1.0, 0.5), 1.5);
  EXPECT_EQ(seconds_left(seconds, 1, 9.0, 0.5), 0.0);
}

TEST(Goal, TellsHowARunEnded) {
  EXPECT_EQ(ending_of({.until = Until::target}, true), Ending::success);
  EXPECT_EQ(ending_of({.until = Until::target}, false), Ending::target_missed);
  EXPECT_EQ(ending_of({.until = Until::steps}, true), Ending::fixed_work_done);
}

TEST(LeastSecondsLeft, CountsTheStepsOfEpochsThatAreAskedFor) {
  EXPECT_EQ(least_seconds_left(UntilEpochs{3}, 8, 100.0, 0.5, 10), 11.0);
  EXPECT_EQ(least_seconds_left(UntilEpochs{3}, 30, 100.0, 0.5, 10), 0.0);
  EXPECT_EQ(least_seconds_left(UntilEpochs{std::numeric_limits<std::int64_t>::max()}, 8, 100.0, 0.5, 10), 0x1p63 * 5.0);
  EXPECT_EQ(least_seconds_left(UntilSteps{50}, 8, 100.0, 0.5, 10), 21.0);
  EXPECT_EQ(least_seconds_left(UntilSeconds{120.0}, 8, 100.0, 0.5, 10), 20.0);
  EXPECT_EQ(least_seconds_left(UntilTarget{3}, 8, 100.0, 0.5, 10), std::nullopt);
}

}  // namespace
}  // namespace trainmark

// Readings condense to what a run can be judged by: power, the lowest clock, and every reason that was ever seen.
#include "run/record/sensor_log.hpp"

#include <gtest/gtest.h>

namespace trainmark {
namespace {

TEST(SensorLog, KeepsMeansExtremesAndEveryReasonOnce) {
  SensorLog log;
  EXPECT_TRUE(log.empty());
  log.add({400.0, 1980, 2619, ""});
  log.add({600.0, 1500, 2600, "software power cap, hardware slowdown"});
  log.add({500.0, 1800, 2619, "software power cap"});
  EXPECT_EQ(log.readings(), 3);
  EXPECT_DOUBLE_EQ(log.mean_watts(), 500.0);
  EXPECT_DOUBLE_EQ(log.most_watts(), 600.0);
  EXPECT_DOUBLE_EQ(log.mean_core_mhz(), 1760.0);
  EXPECT_EQ(log.least_core_mhz(), 1500);
  EXPECT_EQ(log.memory_mhz(), 2619);
  EXPECT_EQ(log.throttled_by(), "hardware slowdown, software power cap");
}

TEST(SensorLog, SaysSoWhereNothingHeldTheDeviceBack) {
  SensorLog log;
  log.add({400.0, 1980, 2619, ""});
  EXPECT_EQ(log.throttled_by(), "none");
}

}  // namespace
}  // namespace trainmark

// Sensors read what the library tells and are absent without it; ranges and brackets do no harm without a profiler.
#include "backend/cuda/profiler.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <thread>

namespace trainmark::cuda {
namespace {

TEST(CudaProfiler, ReadsPowerClocksAndWhyTheyAreLow) {
  const auto reader = SensorReader::open("0000:01:00.0", SENSORS);
  ASSERT_TRUE(reader.has_value());
  const auto sensors = reader->read();
  ASSERT_TRUE(sensors.has_value());
  EXPECT_DOUBLE_EQ(sensors->watts, 512.5);
  EXPECT_EQ(sensors->sm_mhz, 1755);
  EXPECT_EQ(sensors->memory_mhz, 2619);
  EXPECT_EQ(sensors->throttled_by, "software power cap, hardware thermal slowdown");
}

TEST(CudaProfiler, ReadsWhatTheDeviceHasTaken) {
  const auto reader = SensorReader::open("0000:01:00.0", SENSORS);
  ASSERT_TRUE(reader.has_value());
  const std::optional<double> before = reader->joules();
  std::this_thread::sleep_for(std::chrono::milliseconds(10));
  const std::optional<double> after = reader->joules();
  ASSERT_TRUE(before && after);
  EXPECT_GE(*before, 1e9);
  EXPECT_GE(*after - *before, 512.5 * 0.009);
}

TEST(CudaProfiler, HasNoSensorsWithoutTheirLibrary) {
  EXPECT_FALSE(SensorReader::open("0000:01:00.0", "libno-such-library.so.1").has_value());
}

TEST(CudaProfiler, HasNoSensorsForALibraryWithoutTheFunctions) {
  EXPECT_FALSE(SensorReader::open("0000:01:00.0", "libm.so.6").has_value());
}

TEST(CudaProfiler, HasNoSensorsForAnUnknownDevice) {
  EXPECT_FALSE(SensorReader::open("0000:02:00.0", SENSORS).has_value());
}

TEST(CudaProfiler, BracketsNestAndRangesNeedNoProfiler) {
  EXPECT_FALSE(profiling());
  {
    const Profiling outer;
    {
      const Profiling inner;
      const NamedRange range("forward");
      EXPECT_TRUE(profiling());
    }
    EXPECT_TRUE(profiling());
  }
  EXPECT_FALSE(profiling());
}

}  // namespace
}  // namespace trainmark::cuda

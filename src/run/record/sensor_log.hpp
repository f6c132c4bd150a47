// What a device's sensors say in the course of a run, condensed: power, clocks, and whether something held it back.
#pragma once

#include <optional>
#include <set>
#include <string>

#include "trainmark/backend.hpp"

namespace trainmark {

/// Fed with readings that are taken while the device works: between steps it idles, and says so.
class SensorLog {
 public:
  void add(const DeviceReading& reading);
  [[nodiscard]] bool empty() const noexcept { return readings_ == 0; }
  [[nodiscard]] double mean_watts() const noexcept { return watts_sum_ / readings_; }
  [[nodiscard]] double most_watts() const noexcept { return most_watts_; }
  [[nodiscard]] double mean_core_mhz() const noexcept { return core_sum_ / readings_; }
  [[nodiscard]] int least_core_mhz() const noexcept { return least_core_mhz_; }
  [[nodiscard]] int memory_mhz() const noexcept { return memory_mhz_; }  ///< last
  [[nodiscard]] int readings() const noexcept { return readings_; }
  [[nodiscard]] std::string throttled_by() const;  ///< every reason that was seen, "none" if none was

 private:
  int readings_ = 0;
  double watts_sum_ = 0.0, most_watts_ = 0.0, core_sum_ = 0.0;
  int least_core_mhz_ = 0, memory_mhz_ = 0;
  std::set<std::string> reasons_;
};

}  // namespace trainmark

#include "run/record/sensor_log.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <string_view>

namespace trainmark {

void SensorLog::add(const DeviceReading& reading) {
  most_watts_ = std::max(most_watts_, reading.watts);
  least_core_mhz_ = empty() ? reading.core_mhz : std::min(least_core_mhz_, reading.core_mhz);
  watts_sum_ += reading.watts;
  core_sum_ += reading.core_mhz;
  memory_mhz_ = reading.memory_mhz;
  for (std::string_view rest = reading.throttled_by; !rest.empty();) {
    const std::size_t comma = rest.find(", ");
    reasons_.emplace(rest.substr(0, comma));
    rest = comma == std::string_view::npos ? std::string_view() : rest.substr(comma + 2);
  }
  ++readings_;
}

std::string SensorLog::throttled_by() const {
  return reasons_.empty() ? "none" : fmt::format("{}", fmt::join(reasons_, ", "));
}

}  // namespace trainmark

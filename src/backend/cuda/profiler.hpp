// What profilers and the device's own sensors are told and asked: named ranges, the bracket around profiled steps, and
// power and clocks through NVML where it is installed.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

namespace trainmark::cuda {

/// A range on the time line of Nsight Systems; costs next to nothing without a profiler.
class [[nodiscard]] NamedRange {
 public:
  explicit NamedRange(const char* name) noexcept;
  ~NamedRange();
  NamedRange(const NamedRange&) = delete;
  NamedRange& operator=(const NamedRange&) = delete;
};

/// The steps worth a profiler's look (`--capture-range=cudaProfilerApi`). Captured steps are streamed meanwhile,
/// because a replayed graph shows no ranges: these steps are slower than others.
class [[nodiscard]] Profiling {
 public:
  Profiling();
  ~Profiling();
  Profiling(const Profiling&) = delete;
  Profiling& operator=(const Profiling&) = delete;
};
[[nodiscard]] bool profiling() noexcept;

struct DeviceSensors {
  double watts = 0.0;
  int sm_mhz = 0;
  int memory_mhz = 0;
  std::string throttled_by;  ///< comma-separated reasons other than idleness; empty: none
};
/// A device as NVML sees it. NVML is loaded at run time: machines without it run, and have no sensors.
class SensorReader {
 public:
  /// Empty where the library, the device or a function is missing. `bus_id` as in Device.
  [[nodiscard]] static std::optional<SensorReader> open(const std::string& bus_id,
                                                        const std::string& library = "libnvidia-ml.so.1");
  /// Empty where the device does not tell (some virtual ones).
  [[nodiscard]] std::optional<DeviceSensors> read() const;
  /// Taken since the driver was loaded. Empty where the device (before Volta, some virtual ones) or an old library has
  /// no such counter.
  [[nodiscard]] std::optional<double> joules() const;

 private:
  struct Library;
  SensorReader(std::shared_ptr<const Library> library, void* device) : library_(std::move(library)), device_(device) {}
  std::shared_ptr<const Library> library_;
  void* device_;
};

}  // namespace trainmark::cuda

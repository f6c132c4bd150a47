// The energy that nodes take, by counters that the system keeps: nothing where none can be read.
#pragma once

#include <array>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <filesystem>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "trainmark/core.hpp"

namespace trainmark {

/// rapl: the packages of a node's CPUs, by Intel's and AMD's running average power limit; cray: a whole node, by Cray's
/// power monitoring.
enum class EnergySource : std::uint8_t { rapl, cray };
template <>
struct Words<EnergySource> {
  static constexpr std::array<std::string_view, 2> all = {"RAPL packages", "Cray pm_counters"};
};

/// Counters below `root`: /sys/cray/pm_counters/energy where it can be read, else the packages in
/// /sys/class/powercap/intel-rapl:*, which begin anew at max_energy_range_uj. Only one of them: a node's counter holds
/// its CPUs.
class EnergyCounters {
 public:
  EnergyCounters() = default;  ///< none
  explicit EnergyCounters(const std::filesystem::path& root);
  [[nodiscard]] std::optional<EnergySource> source() const noexcept { return source_; }  ///< empty: nothing is readable
  void read();  ///< often enough that no counter begins anew twice in between: a package of 1 kW does after 4 minutes
  /// Since the first reading. Empty where a counter could not be read once.
  [[nodiscard]] std::optional<double> joules() const;

 private:
  struct Counter {
    std::filesystem::path file;
    double unit_j = 1.0;
    std::optional<double> range;  ///< at which it begins anew
    double before = 0.0, sum = 0.0;
  };
  static std::optional<double> value_in(const std::filesystem::path& file);

  std::optional<EnergySource> source_;
  std::vector<Counter> counters_;
  std::int64_t readings_ = 0;
  bool broken_ = false;
};

/// What a node took from start to stop.
struct NodeEnergy {
  EnergySource source = EnergySource::rapl;
  double joules = 0.0;
};

/// By a device's own counter, read at start and stop. Empty where it does not tell, or began anew in between.
[[nodiscard]] std::optional<double> joules_between(const std::optional<double>& start,
                                                   const std::optional<double>& stop) noexcept;

/// Reads the counters from a thread of its own while it lives.
class EnergyMeter {
 public:
  static constexpr std::chrono::seconds interval{5};
  explicit EnergyMeter(bool reads, const std::filesystem::path& root = "/sys");  ///< `reads`: one rank of a node
  ~EnergyMeter();
  EnergyMeter(const EnergyMeter&) = delete;
  EnergyMeter& operator=(const EnergyMeter&) = delete;
  /// Reads a last time. Empty where there is nothing to tell.
  [[nodiscard]] std::optional<NodeEnergy> stop();

 private:
  void sample();
  void end();

  EnergyCounters counters_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace trainmark

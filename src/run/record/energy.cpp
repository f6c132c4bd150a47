#include "run/record/energy.hpp"

#include <algorithm>
#include <fstream>

namespace trainmark {

EnergyCounters::EnergyCounters(const std::filesystem::path& root) {
  const std::filesystem::path node = root / "cray/pm_counters/energy";
  if (value_in(node)) {
    source_ = EnergySource::cray;
    counters_.push_back({node, 1.0, {}});
    return;
  }
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(root / "class/powercap", error)) {
    const std::filesystem::path& domain = entry.path();
    std::string name;
    std::getline(std::ifstream(domain / "name"), name);
    // Parts of a package (core, dram) are in it, and have a second colon; psys is no package.
    if (!domain.filename().string().starts_with("intel-rapl:") || !name.starts_with("package")) continue;
    const std::optional<double> range = value_in(domain / "max_energy_range_uj");
    if (!range || !value_in(domain / "energy_uj")) {  // for root alone since Linux 5.10
      counters_.clear();
      return;
    }
    counters_.push_back({domain / "energy_uj", 1e-6, range});
  }
  if (!counters_.empty()) source_ = EnergySource::rapl;
}

/// "12345" of RAPL, "12345 J 1699999999 us" of Cray.
std::optional<double> EnergyCounters::value_in(const std::filesystem::path& file) {
  std::ifstream stream(file);
  std::int64_t value = 0;
  if (!(stream >> value) || value < 0) return std::nullopt;
  return static_cast<double>(value);
}

void EnergyCounters::read() {
  for (Counter& counter : counters_) {
    const std::optional<double> now = value_in(counter.file);
    if (!now || (*now < counter.before && !counter.range)) {
      broken_ = true;
      return;
    }
    if (readings_ > 0) counter.sum += *now - counter.before + (*now < counter.before ? *counter.range : 0.0);
    counter.before = *now;
  }
  ++readings_;
}

std::optional<double> EnergyCounters::joules() const {
  if (!source_ || broken_ || readings_ < 2) return std::nullopt;
  double sum = 0.0;
  for (const Counter& counter : counters_)
    sum += counter.sum * counter.unit_j;
  return sum;
}

std::optional<double> joules_between(const std::optional<double>& start, const std::optional<double>& stop) noexcept {
  if (!start || !stop || *stop < *start) return std::nullopt;
  return *stop - *start;
}

EnergyMeter::EnergyMeter(bool reads, const std::filesystem::path& root)
    : counters_(reads ? EnergyCounters(root) : EnergyCounters()) {
  if (!counters_.source()) return;
  counters_.read();
  thread_ = std::thread([this] { sample(); });
}

EnergyMeter::~EnergyMeter() { end(); }

void EnergyMeter::sample() {
  std::unique_lock lock(mutex_);
  while (!changed_.wait_for(lock, interval, [this] { return stopping_; }))
    counters_.read();
}

void EnergyMeter::end() {
  {
    const std::scoped_lock lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

std::optional<NodeEnergy> EnergyMeter::stop() {
  end();
  if (!counters_.source()) return std::nullopt;
  counters_.read();
  const std::optional<double> joules = counters_.joules();
  if (!joules) return std::nullopt;
  return NodeEnergy{*counters_.source(), *joules};
}

}  // namespace trainmark

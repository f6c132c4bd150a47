// NVTX ranges, the profiler's bracket and NVML.
#include "backend/cuda/profiler.hpp"

#include <cuda_profiler_api.h>
#include <cuda_runtime.h>
#include <dlfcn.h>
#include <nvtx3/nvToolsExt.h>

#include <array>
#include <atomic>
#include <utility>

namespace trainmark::cuda {
namespace {

std::atomic<int> profilings = 0;

// NVML's header is not part of every toolkit; these are the few names needed, as its reference gives them.
using Device = void*;
constexpr int success = 0;
constexpr unsigned sm_clock = 1, memory_clock = 2;
constexpr std::array<std::pair<unsigned long long, const char*>, 8> reasons = {{
    {0x002, "application clocks"},
    {0x004, "software power cap"},
    {0x008, "hardware slowdown"},
    {0x010, "sync boost"},
    {0x020, "software thermal slowdown"},
    {0x040, "hardware thermal slowdown"},
    {0x080, "hardware power brake"},
    {0x100, "display clocks"},
}};

std::string names_of(unsigned long long bits) {
  std::string text;
  for (const auto& [bit, name] : reasons) {
    if ((bits & bit) == 0) continue;
    if (!text.empty()) text += ", ";
    text += name;
  }
  return text;
}

}  // namespace

NamedRange::NamedRange(const char* name) noexcept { nvtxRangePushA(name); }
NamedRange::~NamedRange() { nvtxRangePop(); }

Profiling::Profiling() {
  ++profilings;
  static_cast<void>(cudaProfilerStart());  // without a profiler this does nothing; a profile is worth no failure
}
Profiling::~Profiling() {
  static_cast<void>(cudaProfilerStop());
  --profilings;
}
bool profiling() noexcept { return profilings > 0; }

struct SensorReader::Library {
  explicit Library(const std::string& name) : handle(dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL)) {
    if (handle == nullptr) return;
    bool all = load(init, "nvmlInit_v2");
    all &= load(shutdown, "nvmlShutdown");
    all &= load(find, "nvmlDeviceGetHandleByPciBusId_v2");
    all &= load(power, "nvmlDeviceGetPowerUsage");
    all &= load(clock, "nvmlDeviceGetClockInfo");
    all &= load(throttle, "nvmlDeviceGetCurrentClocksThrottleReasons");
    load(energy, "nvmlDeviceGetTotalEnergyConsumption");  // newer than the others
    ready = all && init() == success;
  }
  ~Library() {
    if (ready) shutdown();
    if (handle != nullptr) dlclose(handle);
  }
  Library(const Library&) = delete;
  Library& operator=(const Library&) = delete;

  template <class Function>
  bool load(Function*& function, const char* name) {
    function = reinterpret_cast<Function*>(dlsym(handle, name));
    return function != nullptr;
  }

  void* handle;
  int (*init)() = nullptr;
  int (*shutdown)() = nullptr;
  int (*find)(const char*, Device*) = nullptr;
  int (*power)(Device, unsigned*) = nullptr;  // milliwatts
  int (*clock)(Device, unsigned, unsigned*) = nullptr;
  int (*throttle)(Device, unsigned long long*) = nullptr;
  int (*energy)(Device, unsigned long long*) = nullptr;  // millijoules since the driver was loaded; may be null
  bool ready = false;
};

std::optional<SensorReader> SensorReader::open(const std::string& bus_id, const std::string& library) {
  auto loaded = std::make_shared<const Library>(library);
  Device device = nullptr;
  if (!loaded->ready || loaded->find(bus_id.c_str(), &device) != success) return std::nullopt;
  return SensorReader(std::move(loaded), device);
}

std::optional<DeviceSensors> SensorReader::read() const {
  unsigned milliwatts = 0, sm = 0, memory = 0;
  unsigned long long bits = 0;
  if (library_->power(device_, &milliwatts) != success || library_->clock(device_, sm_clock, &sm) != success ||
      library_->clock(device_, memory_clock, &memory) != success || library_->throttle(device_, &bits) != success)
    return std::nullopt;
  return DeviceSensors{milliwatts / 1000.0, static_cast<int>(sm), static_cast<int>(memory), names_of(bits)};
}

std::optional<double> SensorReader::joules() const {
  unsigned long long millijoules = 0;
  if (library_->energy == nullptr || library_->energy(device_, &millijoules) != success) return std::nullopt;
  return static_cast<double>(millijoules) / 1000.0;
}

}  // namespace trainmark::cuda

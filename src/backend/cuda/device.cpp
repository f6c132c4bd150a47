// Errors of the CUDA runtime in words for users, and the device of a rank.
#include "backend/cuda/device.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <vector>

namespace trainmark::cuda {
namespace {

constexpr int no_device = -1;
std::atomic<int> chosen_device = no_device;

std::string version(int code) { return fmt::format("{}.{}", code / 1000, code % 1000 / 10); }

/// What is wrong with the machine, the driver or this build rather than with what runs: reason, remedy.
struct Misfit {
  const char* why = nullptr;
  const char* remedy = nullptr;
};
Misfit misfit_of(cudaError_t code) {
  switch (code) {
    case cudaErrorNoKernelImageForDevice:
    case cudaErrorUnsupportedPtxVersion:
    case cudaErrorInvalidKernelImage:
      return {"this build has no code that the device or its driver can run",
              "build with -DCMAKE_CUDA_ARCHITECTURES for this device, or update the driver"};
    case cudaErrorDevicesUnavailable:
      return {"the device is in exclusive or prohibited mode and another process holds it",
              "end that process (nvidia-smi lists them) or ask for another device"};
    case cudaErrorInsufficientDriver:
    case cudaErrorCallRequiresNewerDriver:
    case cudaErrorSystemDriverMismatch:
    case cudaErrorCompatNotSupportedOnDevice:
    case cudaErrorStubLibrary:
      return {"the driver does not fit the CUDA runtime of this build",
              "update the driver, load the site's CUDA compatibility package, or build with an older toolkit"};
    case cudaErrorNoDevice:
    case cudaErrorInvalidDevice:
    case cudaErrorSystemNotReady:
    case cudaErrorInitializationError:
    case cudaErrorOperatingSystem:
      return {
          "no device can be used by this process",
          "check nvidia-smi, CUDA_VISIBLE_DEVICES and the batch system's --gpus; or set /backend/device to \"cpu\""};
    case cudaErrorMemoryAllocation:
      return {"the device's memory is exhausted",
              "use a smaller local batch, a 16-bit precision or more ranks, or end other processes on the device"};
    default:
      return {};
  }
}

struct Visible {
  int count = 0;
  std::string bus_ids;  // of all that this rank sees, in its order
};

[[noreturn]] void refuse(std::string what, std::string why, std::string remedy) {
  throw Error(ExitCode::environment, Complaint{"/backend/device", std::move(what), std::move(why), std::move(remedy)});
}

std::string bus_id_of(int ordinal) {
  std::array<char, 32> text{};
  check(cudaDeviceGetPCIBusId(text.data(), static_cast<int>(text.size()), ordinal), "cudaDeviceGetPCIBusId");
  return text.data();
}

Visible look() {
  int driver = 0, runtime = 0, count = 0;
  check(cudaDriverGetVersion(&driver), "cudaDriverGetVersion");
  check(cudaRuntimeGetVersion(&runtime), "cudaRuntimeGetVersion");
  const char* const on_cpu = "or set /backend/device to \"cpu\"";
  if (driver == 0) {
    refuse("no NVIDIA driver was found", "\"cuda\" needs one on every node",
           fmt::format("run where nvidia-smi works (in a container: with its GPU option), {}", on_cpu));
  }
  const cudaError_t code = cudaGetDeviceCount(&count);
  if (code == cudaErrorInsufficientDriver || code == cudaErrorCompatNotSupportedOnDevice) {
    static_cast<void>(cudaGetLastError());
    refuse(
        fmt::format("the driver supports CUDA up to {}, this build's runtime is CUDA {}", version(driver),
                    version(runtime)),
        "the driver is too old for this build",
        fmt::format("update the driver, load the site's CUDA compatibility package, or build with CUDA {} or older, {}",
                    version(driver), on_cpu));
  }
  if (code == cudaErrorNoDevice || (code == cudaSuccess && count == 0)) {
    static_cast<void>(cudaGetLastError());
    refuse(
        "no CUDA device is visible to this process", "\"cuda\" needs one device for each rank",
        fmt::format("check CUDA_VISIBLE_DEVICES and ask the batch system for devices (--gpus-per-task=1), {}", on_cpu));
  }
  check(code, "cudaGetDeviceCount");
  Visible visible{count, {}};
  for (int ordinal = 0; ordinal < count; ++ordinal)
    visible.bus_ids += bus_id_of(ordinal) + ' ';
  return visible;
}

/// Ranks of a node that see the same devices take them in turn: right where each sees its own and where all see all.
int turn_of(const std::vector<std::string>& seen, int rank) {
  return static_cast<int>(std::count(seen.begin(), seen.begin() + rank, seen[static_cast<std::size_t>(rank)]));
}

void require_one_each(const World& world, const std::vector<std::string>& taken) {
  const auto mine = static_cast<std::size_t>(world.node().rank());
  for (std::size_t other = 0; other < taken.size(); ++other) {
    if (other == mine || taken[other] != taken[mine]) continue;
    refuse(
        fmt::format("ranks {} and {} of the {} on node {} would share device {}", std::min(mine, other),
                    std::max(mine, other), taken.size(), world.host(), taken[mine]),
        "each rank needs a device of its own: NCCL refuses to join two on one",
        "start as many ranks on a node as it has devices; give each one device (srun --gpus-per-task=1) or let every "
        "rank see all of the node's (CUDA_VISIBLE_DEVICES unset or the same on all)");
  }
}

Device describe(int ordinal) {
  cudaDeviceProp properties{};
  check(cudaGetDeviceProperties(&properties, ordinal), "cudaGetDeviceProperties");
  return {ordinal,
          properties.name,
          properties.major,
          properties.minor,
          static_cast<std::int64_t>(properties.totalGlobalMem),
          bus_id_of(ordinal)};
}

std::string amount(std::size_t bytes) {
  if (bytes >= std::size_t{1} << 30) return fmt::format("{:.2f} GiB", static_cast<double>(bytes) / 0x1p30);
  if (bytes >= std::size_t{1} << 20) return fmt::format("{:.2f} MiB", static_cast<double>(bytes) / 0x1p20);
  return fmt::format("{} bytes", bytes);
}

constexpr std::size_t memory_alignment = 256;  // what the runtime's allocations have

}  // namespace

bool loses_device(cudaError_t code) noexcept {
  switch (code) {
    case cudaErrorIllegalAddress:
    case cudaErrorMisalignedAddress:
    case cudaErrorIllegalInstruction:
    case cudaErrorInvalidAddressSpace:
    case cudaErrorInvalidPc:
    case cudaErrorHardwareStackError:
    case cudaErrorLaunchFailure:
    case cudaErrorLaunchTimeout:
    case cudaErrorAssert:
    case cudaErrorECCUncorrectable:
    case cudaErrorNvlinkUncorrectable:
    case cudaErrorExternalDevice:
    case cudaErrorContextIsDestroyed:
      return true;
    default:
      return false;
  }
}

void raise(cudaError_t code, const char* call) {
  static_cast<void>(cudaGetLastError());  // or a later call would report it again
  const std::string what =
      fmt::format("{} ({}, error {})", cudaGetErrorString(code), cudaGetErrorName(code), static_cast<int>(code));
  if (loses_device(code)) {
    throw Error(
        ExitCode::communication,
        Complaint{call, what,
                  "it may come from work enqueued earlier; the device is lost for this process, every later call "
                  "fails too",
                  "start the run again; if it fails at the same place, run it under compute-sanitizer, and look "
                  "for Xid lines in the kernel's log for a broken device"});
  }
  if (const Misfit misfit = misfit_of(code); misfit.why != nullptr)
    throw Error(ExitCode::environment, Complaint{call, what, misfit.why, misfit.remedy});
  throw Error(ExitCode::communication, Complaint{call, what, "a call to the device failed",
                                                 "report it with this message and the run's configuration"});
}

bool present() noexcept {
  int count = 0;
  const cudaError_t code = cudaGetDeviceCount(&count);
  if (code != cudaSuccess) static_cast<void>(cudaGetLastError());
  return code == cudaSuccess && count > 0;
}

Device choose_device(const World& world) {
  Visible visible;
  agree_on(world.all(), [&] { visible = look(); });
  const int turn = turn_of(world.node().all_gather(visible.bus_ids), world.node().rank());
  std::string bus_id;
  // More ranks than devices: the last ones meet another's device and are refused below, all with one message.
  agree_on(world.all(), [&] { bus_id = bus_id_of(turn % visible.count); });
  const std::vector<std::string> taken = world.node().all_gather(bus_id);
  Device device;
  agree_on(world.all(), [&] {
    require_one_each(world, taken);
    device = describe(turn);
    check(cudaSetDevice(device.ordinal), "cudaSetDevice");
    check(cudaFree(nullptr), "making a context on the device");
  });
  chosen_device = device.ordinal;
  return device;
}

void use_chosen_device() {
  thread_local int current = no_device;
  const int chosen = chosen_device.load(std::memory_order_relaxed);
  if (chosen == no_device || current == chosen) return;
  check(cudaSetDevice(chosen), "cudaSetDevice");
  current = chosen;
}

void* CountedMemory::do_allocate(std::size_t bytes, std::size_t alignment) {
  TRAINMARK_CHECK(alignment <= memory_alignment, fmt::format("alignment {}", alignment));
  use_chosen_device();
  ++calls_;
  return take(std::max(bytes, memory_alignment));
}
void CountedMemory::do_deallocate(void* memory, std::size_t, std::size_t) {
  // After a failure the runtime repeats it here; whoever waits for the device has said so already.
  if (give_back(memory) != cudaSuccess) static_cast<void>(cudaGetLastError());
}

void* DeviceMemory::take(std::size_t bytes) {
  void* memory = nullptr;
  const cudaError_t code = cudaMalloc(&memory, bytes);
  if (code != cudaErrorMemoryAllocation) {
    check(code, "cudaMalloc");
    return memory;
  }
  static_cast<void>(cudaGetLastError());
  std::size_t free = 0, total = 0;
  check(cudaMemGetInfo(&free, &total), "cudaMemGetInfo");
  throw Error(
      ExitCode::environment,
      Complaint{"device memory", fmt::format("{} asked for, {} free of {}", amount(bytes), amount(free), amount(total)),
                "the run does not fit beside what is on the device already",
                "use a smaller local batch, a 16-bit precision or more ranks (trainmark plan prints the peak), or "
                "end other processes on the device (nvidia-smi lists them)"});
}

void* PinnedMemory::take(std::size_t bytes) {
  void* memory = nullptr;
  const cudaError_t code = cudaMallocHost(&memory, bytes);
  if (code != cudaErrorMemoryAllocation) {
    check(code, "cudaMallocHost");
    return memory;
  }
  static_cast<void>(cudaGetLastError());
  throw Error(ExitCode::environment,
              Complaint{"page-locked host memory", fmt::format("{} asked for, the system refuses", amount(bytes)),
                        "batches are uploaded from memory that cannot be swapped out",
                        "raise the job's memory limit (--mem) or ulimit -l, or prefetch fewer batches"});
}

}  // namespace trainmark::cuda

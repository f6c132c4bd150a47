// The runtime calls about devices, versions and errors, and the state behind all others. A failed kernel leaves an
// error that every later call returns, as a device does.
#include <cuda_profiler_api.h>
#include <fmt/format.h>

#include <cstring>
#include <utility>

#include "cuda_double/block.hpp"
#include "cuda_double/device.hpp"

namespace trainmark::cuda_double {

Device& device() {
  static Device& only = [&]() -> Device& {
    Device& made = *new Device;  // never destroyed: threads may outlive main
    made.options = options_from_environment();
    made.random.seed(made.options.seed);
    made.null_stream = std::make_shared<Stream>();
    made.queues.push_back(made.null_stream);
    catch_crashes();
    return made;
  }();
  return only;
}

Watch& watch() {
  static Watch hooks;
  return hooks;
}

cudaError_t failed(cudaError_t code) {
  if (code != cudaSuccess) device().last_error = code;
  return code;
}

cudaError_t standing_error() {
  const Device& self = device();
  if (self.options.faults.driver_too_old || self.options.faults.no_driver) return cudaErrorInsufficientDriver;
  if (self.options.faults.devices == 0) return cudaErrorNoDevice;
  return self.sticky;
}

bool fails_here() {
  const Device& self = device();
  return self.options.faults.only_on < 0 || self.options.faults.only_on == self.ordinal;
}

void reset(const Options& options) {
  Device& self = device();
  const Lock lock(self.mutex);
  for (const auto forget : self.at_reset)
    forget();
  self.streams.clear();
  self.destroyed.clear();
  self.events.clear();
  self.graphs.clear();
  self.executables.clear();
  self.captures.clear();
  self.queues.clear();
  self.host.clear();
  self.last_error = self.sticky = cudaSuccess;
  self.launches = self.captures_ended = 0;
  self.replayed.clear();
  self.relaunched = false;
  self.arena.close();
  self.options = options;
  self.random.seed(options.seed);
  self.arena.clear();
  if (watch().clear != nullptr) watch().clear();
  forget_findings();
  self.null_stream = make_stream(0);
}

void set_faults(const Faults& faults) {
  const Lock lock(device().mutex);
  device().options.faults = faults;
}

bool watches_accesses() { return watch().begin_operation != nullptr; }

std::int64_t launches() { return device().launches; }

}  // namespace trainmark::cuda_double

using namespace trainmark::cuda_double;
namespace {
thread_local int current_device = 0;  // of the host thread, as the runtime has it
}
extern "C" {

cudaError_t cudaGetDeviceCount(int* count) {
  const Lock lock(device().mutex);
  const Faults& faults = device().options.faults;
  *count = faults.driver_too_old || faults.no_driver ? 0 : faults.devices;
  return failed(standing_error());
}

cudaError_t cudaSetDevice(int ordinal) {
  const Lock lock(device().mutex);
  if (const cudaError_t code = standing_error(); code != cudaSuccess) return failed(code);
  if (ordinal < 0 || ordinal >= device().options.faults.devices) return failed(cudaErrorInvalidDevice);
  current_device = device().ordinal = ordinal;
  return cudaSuccess;
}

cudaError_t cudaGetDevice(int* ordinal) {
  *ordinal = current_device;
  const Lock lock(device().mutex);
  return failed(standing_error());
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int /*ordinal*/) {
  const Lock lock(device().mutex);
  std::memset(properties, 0, sizeof *properties);
  if (const cudaError_t code = standing_error(); code != cudaSuccess) return failed(code);
  std::strcpy(properties->name, "device double (host)");
  properties->totalGlobalMem = device().options.faults.memory_bytes;
  properties->major = 9;
  properties->multiProcessorCount = 132;
  properties->warpSize = 32;
  properties->maxThreadsPerBlock = 1024;
  properties->sharedMemPerBlock = 48 << 10;
  properties->sharedMemPerBlockOptin = 227 << 10;
  properties->l2CacheSize = 50 << 20;
  properties->pciDomainID = 0;
  properties->pciBusID = 1;
  return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int /*ordinal*/) {
  const Lock lock(device().mutex);
  if (const cudaError_t code = standing_error(); code != cudaSuccess) return failed(code);
  switch (attribute) {
    case cudaDevAttrComputeCapabilityMajor:
      *value = 9;
      break;
    case cudaDevAttrMultiProcessorCount:
      *value = 132;
      break;
    case cudaDevAttrWarpSize:
      *value = 32;
      break;
    case cudaDevAttrMaxThreadsPerBlock:
      *value = 1024;
      break;
    case cudaDevAttrMaxSharedMemoryPerBlock:
      *value = 48 << 10;
      break;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin:
      *value = 227 << 10;
      break;
    case cudaDevAttrL2CacheSize:
      *value = 50 << 20;
      break;
    default:
      *value = 0;
  }
  return cudaSuccess;
}

cudaError_t cudaDeviceGetPCIBusId(char* text, int length, int ordinal) {
  const Lock lock(device().mutex);
  if (const cudaError_t code = standing_error(); code != cudaSuccess) return failed(code);
  std::snprintf(text, static_cast<std::size_t>(length), "0000:%02x:00.0",
                static_cast<unsigned>(device().options.faults.first_device + ordinal + 1));
  return cudaSuccess;
}

cudaError_t cudaDeviceGetStreamPriorityRange(int* least, int* greatest) {
  *least = 0;
  *greatest = -5;
  return cudaSuccess;
}

cudaError_t cudaDeviceSynchronize() {
  Lock lock(device().mutex);
  if (const cudaError_t code = standing_error(); code != cudaSuccess) return failed(code);
  if (forbidden_by_capture()) return failed(cudaErrorStreamCaptureUnsupported);
  for (const auto& weak : std::vector(device().queues)) {
    const auto stream = weak.lock();
    if (stream == nullptr) continue;
    run_until(lock, stream, [&] { return idle(*stream); });
    merge(device().host, stream->clock);
  }
  device().destroyed.clear();
  return failed(device().sticky);
}

cudaError_t cudaGetLastError() {
  const Lock lock(device().mutex);
  return std::exchange(device().last_error, device().sticky);
}

cudaError_t cudaPeekAtLastError() {
  const Lock lock(device().mutex);
  return device().last_error;
}

cudaError_t cudaRuntimeGetVersion(int* version) {
  *version = CUDART_VERSION;
  return cudaSuccess;
}

cudaError_t cudaDriverGetVersion(int* version) {
  const Lock lock(device().mutex);
  const Faults& faults = device().options.faults;
  *version = faults.no_driver ? 0 : faults.driver_too_old ? 11000 : CUDART_VERSION;
  return cudaSuccess;
}

cudaError_t cudaProfilerStart() { return cudaSuccess; }
cudaError_t cudaProfilerStop() { return cudaSuccess; }
cudaError_t cudaDeviceReset() { return cudaSuccess; }

const char* cudaGetErrorName(cudaError_t code) {
  static thread_local char text[48];
  switch (code) {
    case cudaSuccess:
      return "cudaSuccess";
    case cudaErrorMemoryAllocation:
      return "cudaErrorMemoryAllocation";
    case cudaErrorInsufficientDriver:
      return "cudaErrorInsufficientDriver";
    case cudaErrorNoDevice:
      return "cudaErrorNoDevice";
    case cudaErrorInvalidValue:
      return "cudaErrorInvalidValue";
    case cudaErrorInvalidConfiguration:
      return "cudaErrorInvalidConfiguration";
    case cudaErrorInvalidResourceHandle:
      return "cudaErrorInvalidResourceHandle";
    case cudaErrorNotReady:
      return "cudaErrorNotReady";
    case cudaErrorIllegalAddress:
      return "cudaErrorIllegalAddress";
    case cudaErrorLaunchFailure:
      return "cudaErrorLaunchFailure";
    case cudaErrorStreamCaptureUnsupported:
      return "cudaErrorStreamCaptureUnsupported";
    case cudaErrorStreamCaptureInvalidated:
      return "cudaErrorStreamCaptureInvalidated";
    case cudaErrorStreamCaptureUnjoined:
      return "cudaErrorStreamCaptureUnjoined";
    case cudaErrorStreamCaptureIsolation:
      return "cudaErrorStreamCaptureIsolation";
    case cudaErrorStreamCaptureImplicit:
      return "cudaErrorStreamCaptureImplicit";
    case cudaErrorECCUncorrectable:
      return "cudaErrorECCUncorrectable";
    default:
      std::snprintf(text, sizeof text, "cudaError %d", static_cast<int>(code));
      return text;
  }
}

const char* cudaGetErrorString(cudaError_t code) {
  switch (code) {
    case cudaSuccess:
      return "no error";
    case cudaErrorMemoryAllocation:
      return "out of memory";
    case cudaErrorInsufficientDriver:
      return "CUDA driver version is insufficient for CUDA runtime version";
    case cudaErrorNoDevice:
      return "no CUDA-capable device is detected";
    case cudaErrorIllegalAddress:
      return "an illegal memory access was encountered";
    case cudaErrorLaunchFailure:
      return "unspecified launch failure";
    case cudaErrorStreamCaptureUnjoined:
      return "capture sequence contains unjoined work";
    default:
      return cudaGetErrorName(code);
  }
}
}

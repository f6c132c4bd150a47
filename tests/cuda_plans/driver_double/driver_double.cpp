// A libcuda.so.1 that does nothing, for programs that plan run-time compiled graphs on a machine without a driver:
// cuDNN opens the library by name when it loads what it compiled. Everything not defined here returns 0 (generated).
// It claims no device, so nothing that looks for one is misled.
#include <dlfcn.h>

#include <cstdint>
#include <initializer_list>
#include <string>

namespace {

constexpr int stub_library = 34;  // CUDA_ERROR_STUB_LIBRARY
constexpr int driver_version = 13000;

/// Handles need only be distinct and not null; nobody looks behind them.
int hand_out(void** handle) {
  static std::uintptr_t next = 0x1000;
  next += 0x100;
  *handle = reinterpret_cast<void*>(next);
  return 0;
}

int look_up(const char* symbol, void** function, int* status) {
  // By handle: the library may have been opened locally.
  static void* const self = [] {
    Dl_info info{};
    dladdr(reinterpret_cast<void*>(&hand_out), &info);
    return dlopen(info.dli_fname, RTLD_NOW | RTLD_NOLOAD);
  }();
  *function = nullptr;
  // Asked by its plain name, a function is wanted in its newest form.
  for (const char* suffix : {"_v3", "_v2", ""}) {
    *function = dlsym(self, (std::string(symbol) + suffix).c_str());
    if (*function != nullptr) break;
  }
  if (status != nullptr) *status = *function != nullptr ? 0 : 1;
  return *function != nullptr ? 0 : 500;  // CUDA_ERROR_NOT_FOUND
}

}  // namespace

extern "C" {
int cuInit(unsigned) { return stub_library; }
int cuDeviceGetCount(int* count) {
  *count = 1;
  return 0;
}
int cuDriverGetVersion(int* version) {
  *version = driver_version;
  return 0;
}
int cuDeviceGetAttribute(int* value, int, int) {
  *value = 0;
  return 0;
}
int cuFuncGetAttribute(int* value, int, void*) {
  *value = 0;
  return 0;
}
int cuKernelGetAttribute(int* value, int, void*, int) {
  *value = 0;
  return 0;
}
int cuLibraryLoadData(void** handle, const void*, void*, void*, unsigned, void*, void*, unsigned) {
  return hand_out(handle);
}
int cuLibraryGetKernel(void** handle, void*, const char*) { return hand_out(handle); }
int cuLibraryGetModule(void** handle, void*) { return hand_out(handle); }
int cuKernelGetFunction(void** handle, void*) { return hand_out(handle); }
int cuModuleLoadData(void** handle, const void*) { return hand_out(handle); }
int cuModuleLoadDataEx(void** handle, const void*, unsigned, void*, void*) { return hand_out(handle); }
int cuModuleLoadFatBinary(void** handle, const void*) { return hand_out(handle); }
int cuModuleGetFunction(void** handle, void*, const char*) { return hand_out(handle); }
int cuGetProcAddress(const char* symbol, void** function, int, std::uint64_t) {
  return look_up(symbol, function, nullptr);
}
int cuGetProcAddress_v2(const char* symbol, void** function, int, std::uint64_t, int* status) {
  return look_up(symbol, function, status);
}
}

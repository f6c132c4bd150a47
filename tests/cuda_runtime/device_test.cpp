// Errors of the runtime in words, with the exit code that fits, and memory that says what it lacks.
#include "backend/cuda/device.hpp"

#include "cuda_runtime/support.hpp"

namespace trainmark::cuda {
namespace {

using cuda_double::Faults;

TEST(CudaDevice, IsPresentOnlyWithADeviceAndADriverThatFits) {
  cuda_double::reset();
  EXPECT_TRUE(present());
  cuda_double::reset({.faults = {.devices = 0}});
  EXPECT_FALSE(present());
  EXPECT_EQ(cudaGetLastError(), cudaSuccess) << "asking left an error behind";
  cuda_double::reset({.faults = {.driver_too_old = true}});
  EXPECT_FALSE(present());
  EXPECT_EQ(cudaGetLastError(), cudaSuccess);
}

TEST(CudaDevice, ChecksPassSuccessAndNameTheCallThatFailed) {
  EXPECT_NO_THROW(check(cudaSuccess, "nothing"));
  EXPECT_TRUE(raises(ExitCode::communication, {"copy to the device", "cudaErrorInvalidValue"},
                     [] { check(cudaErrorInvalidValue, "copy to the device"); }));
}

TEST(CudaDevice, WhatDoesNotFitTheMachineIsTheEnvironmentsFault) {
  for (const cudaError_t code : {cudaErrorNoKernelImageForDevice, cudaErrorInsufficientDriver, cudaErrorNoDevice,
                                 cudaErrorDevicesUnavailable, cudaErrorMemoryAllocation}) {
    EXPECT_TRUE(raises(ExitCode::environment, {"a call"}, [&] { check(code, "a call"); })) << code;
    EXPECT_FALSE(loses_device(code)) << code;
  }
  EXPECT_TRUE(raises(ExitCode::environment, {"CMAKE_CUDA_ARCHITECTURES"},
                     [] { check(cudaErrorNoKernelImageForDevice, "a kernel"); }));
}

TEST(CudaDevice, AFailedKernelLosesTheDeviceForTheProcess) {
  for (const cudaError_t code : {cudaErrorIllegalAddress, cudaErrorLaunchFailure, cudaErrorECCUncorrectable}) {
    cuda_double::reset({.faults = {.failing_launch = 0, .failure = code}});
    CudaStream stream(Lane::compute);
    const auto kernel = [&] {
      launch_kernel(stream);
      stream.synchronize();
    };
    EXPECT_TRUE(
        raises(ExitCode::communication, {"lost for this process", "compute-sanitizer", "start the run again"}, kernel));
    EXPECT_TRUE(raises(ExitCode::communication, {"lost for this process"}, [&] { stream.synchronize(); }))
        << "forgotten";
    EXPECT_TRUE(loses_device(code));
  }
  cuda_double::reset();
}

TEST(CudaDevice, MemoryIsCountedAlignedAndGivenBack) {
  cuda_double::reset({.faults = {.memory_bytes = 1 << 20}});
  DeviceMemory memory;
  for (int repeat = 0; repeat < 10; ++repeat) {
    void* block = memory.allocate(600 << 10, 256);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(block) % 256, 0U);
    memory.deallocate(block, 600 << 10, 256);
  }
  EXPECT_EQ(memory.calls(), 10);
  void* empty = memory.allocate(0, 1);
  EXPECT_NE(empty, nullptr);
  memory.deallocate(empty, 0, 1);
  EXPECT_TRUE(nothing_found());
}

TEST(CudaDevice, MemoryThatIsNotThereIsRefusedWithAmountsAndACure) {
  cuda_double::reset({.faults = {.memory_bytes = std::size_t{3} << 30}});
  DeviceMemory memory;
  void* held = memory.allocate(std::size_t{1} << 30, 256);
  EXPECT_TRUE(raises(ExitCode::environment,
                     {"device memory", "2.50 GiB asked for", "2.00 GiB free of 3.00 GiB", "local batch", "nvidia-smi"},
                     [&] { static_cast<void>(memory.allocate(std::size_t{5} << 29, 256)); }));
  EXPECT_EQ(cudaGetLastError(), cudaSuccess) << "the refusal left an error behind";
  memory.deallocate(held, std::size_t{1} << 30, 256);
}

TEST(CudaDevice, PinnedMemoryIsCountedAndUsableOnTheHost) {
  cuda_double::reset();
  PinnedMemory memory;
  auto* bytes = static_cast<char*>(memory.allocate(1000, 256));
  std::fill(bytes, bytes + 1000, 'x');
  memory.deallocate(bytes, 1000, 256);
  EXPECT_EQ(memory.calls(), 1);
  EXPECT_TRUE(nothing_found());
}

TEST(CudaDevice, FreeingAfterAFailureRaisesNothing) {
  cuda_double::reset({.faults = {.failing_launch = 0}});
  DeviceMemory memory;
  void* block = memory.allocate(100, 256);
  {
    CudaStream stream(Lane::compute);
    launch_kernel(stream);
    EXPECT_THROW(stream.synchronize(), Error);
  }
  EXPECT_NO_THROW(memory.deallocate(block, 100, 256));
  cuda_double::reset();
}

}  // namespace
}  // namespace trainmark::cuda

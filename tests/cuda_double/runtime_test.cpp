// The double's runtime by itself: memory, faults that a test asks for, and what capture refuses and records.
#include <array>
#include <cmath>
#include <cstdlib>
#include <thread>

#include "cuda_double/planted_kernels.hpp"
#include "cuda_double/support.hpp"

namespace trainmark::cuda_double {
namespace {

TEST(CudaDoubleRuntime, MemoryStartsPoisonedAndIsLimited) {
  reset({.faults = {.memory_bytes = 1 << 20}});
  const float* fresh = device_array<float>(4);
  EXPECT_TRUE(std::isnan(on_host(fresh, 1)[0]));
  void* memory = nullptr;
  EXPECT_EQ(cudaMalloc(&memory, 2 << 20), cudaErrorMemoryAllocation);
  EXPECT_EQ(cudaGetLastError(), cudaErrorMemoryAllocation);
  EXPECT_EQ(cudaGetLastError(), cudaSuccess);
  std::size_t free = 0, total = 0;
  EXPECT_EQ(cudaMemGetInfo(&free, &total), cudaSuccess);
  EXPECT_EQ(total - free, 16U);
}

TEST(CudaDoubleRuntime, FreedMemoryIsGoneForCopiesAndKernels) {
  reset();
  float* values = device_array<float>(64);
  EXPECT_EQ(cudaFree(values), cudaSuccess);
  EXPECT_TRUE(nothing_found());
  EXPECT_NE(cudaFree(values), cudaSuccess);
  EXPECT_TRUE(found({"freed twice"}));
  scale(nullptr, values, 64, 2.0F);
  EXPECT_EQ(cudaStreamSynchronize(nullptr), cudaErrorIllegalAddress);
  EXPECT_TRUE(found({"kernel scale", "freed device block 0"}));
  reset();
  values = device_array<float>(64);
  EXPECT_EQ(cudaFree(values), cudaSuccess);
  cudaMemset(values, 0, 256);
  EXPECT_TRUE(found({"memset", "outside live memory", "freed device block"}));
}

TEST(CudaDoubleRuntime, CopiesAreCheckedForBoundsAndDirection) {
  reset();
  float* values = device_array<float>(16);
  std::vector<float> host(17);
  EXPECT_EQ(cudaMemcpy(values, host.data(), 64, cudaMemcpyDeviceToHost), cudaErrorInvalidValue);
  EXPECT_TRUE(found({"direction"}));
  cudaMemcpy(values, host.data(), 68, cudaMemcpyHostToDevice);
  EXPECT_TRUE(found({"copy of 68 bytes writes 68 bytes outside live memory"}));
}

TEST(CudaDoubleRuntime, NoDeviceAndAnOldDriverAreWhatTheTestAsksFor) {
  reset({.faults = {.devices = 0}});
  int count = -1;
  EXPECT_EQ(cudaGetDeviceCount(&count), cudaErrorNoDevice);
  EXPECT_EQ(count, 0);
  set_faults({.driver_too_old = true});
  EXPECT_EQ(cudaGetDeviceCount(&count), cudaErrorInsufficientDriver);
  void* memory = nullptr;
  EXPECT_EQ(cudaMalloc(&memory, 16), cudaErrorInsufficientDriver);
  set_faults({});
  EXPECT_EQ(cudaGetDeviceCount(&count), cudaSuccess);
  EXPECT_EQ(count, 1);
}

TEST(CudaDoubleRuntime, SeveralDevicesDifferInTheirBusAddress) {
  reset({.faults = {.devices = 2}});
  EXPECT_EQ(cudaSetDevice(2), cudaErrorInvalidDevice);
  EXPECT_EQ(cudaSetDevice(1), cudaSuccess);
  int ordinal = 0;
  EXPECT_EQ(cudaGetDevice(&ordinal), cudaSuccess);
  EXPECT_EQ(ordinal, 1);
  std::array<std::array<char, 16>, 2> addresses{};
  for (int i = 0; i < 2; ++i)
    EXPECT_EQ(cudaDeviceGetPCIBusId(addresses[static_cast<std::size_t>(i)].data(), 16, i), cudaSuccess);
  EXPECT_NE(addresses[0], addresses[1]);
  EXPECT_EQ(cudaSetDevice(0), cudaSuccess);
}

TEST(CudaDoubleRuntime, AFailedLaunchIsReturnedByEveryLaterCall) {
  reset({.faults = {.failing_launch = 2, .failure = cudaErrorECCUncorrectable}});
  float* values = device_array<float>(64);
  for (int i = 0; i < 2; ++i)
    scale(nullptr, values, 64, 2.0F);
  EXPECT_EQ(cudaStreamSynchronize(nullptr), cudaSuccess);
  scale(nullptr, values, 64, 2.0F);
  EXPECT_EQ(cudaStreamSynchronize(nullptr), cudaErrorECCUncorrectable);
  EXPECT_EQ(cudaGetLastError(), cudaErrorECCUncorrectable);
  EXPECT_EQ(cudaGetLastError(), cudaErrorECCUncorrectable) << "it stays";
  void* memory = nullptr;
  EXPECT_EQ(cudaMalloc(&memory, 16), cudaErrorECCUncorrectable);
  EXPECT_ANY_THROW(scale(nullptr, values, 64, 2.0F));
}

TEST(CudaDoubleRuntimeDeathTest, HostCodeThatTouchesDeviceMemoryCrashesWithAMessage) {
  reset();
  float* values = on_device(std::vector<float>(64, 1.0F));
  scale(nullptr, values, 64, 2.0F);
  EXPECT_EQ(cudaStreamSynchronize(nullptr), cudaSuccess);
  EXPECT_DEATH(values[3] = 1.0F, "host code touches device block 0 .256 bytes. . 12");
}

TEST(CudaDoubleRuntimeDeathTest, FindingsThatNobodyReadsFailTheProgram) {
  reset();
  const auto leave_a_finding = [] {
    float* values = device_array<float>(16);
    cudaMemset(values, 0, 65);
    std::exit(0);
  };
  EXPECT_EXIT(leave_a_finding(), ::testing::ExitedWithCode(unread_findings), "device double: memset of 65 bytes");
}

TEST(CudaDoubleRuntime, OptionsComeFromTheEnvironment) {
  ASSERT_EQ(setenv("TRAINMARK_DOUBLE", "order=random,threads=reverse,seed=9,failing_launch=3,memory=4096", 1), 0);
  const Options options = options_from_environment();
  EXPECT_EQ(options.order, Order::random);
  EXPECT_EQ(options.threads, ThreadOrder::reverse);
  EXPECT_EQ(options.seed, 9U);
  EXPECT_EQ(options.faults.failing_launch, 3);
  EXPECT_EQ(options.faults.memory_bytes, 4096U);
  for (const char* wrong : {"order=sometimes", "sede=9", "order"}) {
    ASSERT_EQ(setenv("TRAINMARK_DOUBLE", wrong, 1), 0);
    EXPECT_ANY_THROW(static_cast<void>(options_from_environment())) << wrong;
  }
  ASSERT_EQ(unsetenv("TRAINMARK_DOUBLE"), 0);
}

class Captures : public ::testing::Test {
 protected:
  void SetUp() override {
    reset();
    values_ = on_device(std::vector<float>(64, 1.0F));
    main_ = new_stream();
    side_ = new_stream();
    forked_ = new_event();
    joined_ = new_event();
  }
  void begin() { EXPECT_EQ(cudaStreamBeginCapture(main_, cudaStreamCaptureModeThreadLocal), cudaSuccess); }
  void fork() {
    EXPECT_EQ(cudaEventRecord(forked_, main_), cudaSuccess);
    EXPECT_EQ(cudaStreamWaitEvent(side_, forked_, 0), cudaSuccess);
  }
  void join() {
    EXPECT_EQ(cudaEventRecord(joined_, side_), cudaSuccess);
    EXPECT_EQ(cudaStreamWaitEvent(main_, joined_, 0), cudaSuccess);
  }
  float* values_ = nullptr;
  cudaStream_t main_ = nullptr, side_ = nullptr;
  cudaEvent_t forked_ = nullptr, joined_ = nullptr;
  cudaGraph_t graph_ = nullptr;
  cudaGraphExec_t executable_ = nullptr;
};

TEST_F(Captures, RecordAndReplayAcrossStreams) {
  begin();
  scale(main_, values_, 64, 2.0F);
  fork();
  scale(side_, values_, 64, 3.0F);
  join();
  scale(main_, values_, 64, 5.0F);
  ASSERT_EQ(cudaStreamEndCapture(main_, &graph_), cudaSuccess);
  EXPECT_EQ(on_host(values_, 1)[0], 1.0F) << "recording executes nothing";
  ASSERT_EQ(cudaGraphInstantiate(&executable_, graph_, 0), cudaSuccess);
  EXPECT_EQ(cudaGraphDestroy(graph_), cudaSuccess);
  for (int i = 0; i < 2; ++i)
    EXPECT_EQ(cudaGraphLaunch(executable_, main_), cudaSuccess);
  EXPECT_EQ(cudaGraphExecDestroy(executable_), cudaSuccess) << "what was launched still runs";
  EXPECT_EQ(cudaStreamSynchronize(main_), cudaSuccess);
  EXPECT_EQ(on_host(values_, 64)[63], 900.0F);
  EXPECT_TRUE(nothing_found());
}

TEST_F(Captures, UnjoinedStreamsAreRefused) {
  begin();
  fork();
  scale(side_, values_, 64, 3.0F);
  scale(main_, values_, 64, 2.0F);
  EXPECT_EQ(cudaStreamEndCapture(main_, &graph_), cudaErrorStreamCaptureUnjoined);
  EXPECT_EQ(graph_, nullptr);
  cudaStreamCaptureStatus status{};
  EXPECT_EQ(cudaStreamIsCapturing(side_, &status), cudaSuccess);
  EXPECT_EQ(status, cudaStreamCaptureStatusNone);
}

TEST_F(Captures, WhatCannotBeRecordedIsRefusedAndInvalidates) {
  void* memory = nullptr;
  begin();
  EXPECT_EQ(cudaMalloc(&memory, 16), cudaErrorStreamCaptureUnsupported);
  EXPECT_EQ(cudaStreamEndCapture(main_, &graph_), cudaErrorStreamCaptureInvalidated);
  begin();
  EXPECT_EQ(cudaStreamSynchronize(main_), cudaErrorStreamCaptureUnsupported);
  EXPECT_EQ(cudaStreamEndCapture(main_, &graph_), cudaErrorStreamCaptureInvalidated);
  EXPECT_EQ(cudaEventRecord(forked_, side_), cudaSuccess);
  begin();
  EXPECT_EQ(cudaEventQuery(forked_), cudaErrorStreamCaptureUnsupported);
  EXPECT_EQ(cudaStreamEndCapture(main_, &graph_), cudaErrorStreamCaptureInvalidated);
  begin();
  EXPECT_EQ(cudaStreamWaitEvent(main_, forked_, 0), cudaErrorStreamCaptureIsolation);
  EXPECT_EQ(cudaStreamEndCapture(main_, &graph_), cudaErrorStreamCaptureInvalidated);
}

TEST_F(Captures, AThreadLocalCaptureLeavesOtherThreadsAlone) {
  begin();
  std::thread([] { EXPECT_NE(device_array<float>(4), nullptr); }).join();
  EXPECT_EQ(cudaStreamEndCapture(main_, &graph_), cudaSuccess);
  EXPECT_EQ(cudaStreamBeginCapture(main_, cudaStreamCaptureModeGlobal), cudaSuccess);
  std::thread([this] { EXPECT_EQ(cudaStreamQuery(side_), cudaErrorStreamCaptureUnsupported); }).join();
  EXPECT_EQ(cudaStreamEndCapture(main_, &graph_), cudaErrorStreamCaptureInvalidated);
}

}  // namespace
}  // namespace trainmark::cuda_double

// Each kind of error in a kernel, planted once, is found; the corrected kernel passes in every order of threads. The
// same file is built twice: with watched accesses, and without, where some errors only show in results or not at all.
#include <cmath>
#include <numeric>

#include "cuda_double/planted_kernels.hpp"
#include "cuda_double/support.hpp"

namespace trainmark::cuda_double {
namespace {

std::vector<float> ramp(std::size_t count) {
  std::vector<float> values(count);
  std::iota(values.begin(), values.end(), 1.0F);
  return values;
}

/// A fresh device; threads run in the order under test.
class KernelErrors : public ::testing::TestWithParam<ThreadOrder> {
 protected:
  void TearDown() override {
    EXPECT_TRUE(nothing_found_unless(!HasFailure()));  // says what was found
  }
  void SetUp() override {
    reset({.threads = GetParam(), .seed = 7});
    stream_ = new_stream();
  }
  cudaError_t finish() { return cudaStreamSynchronize(stream_); }
  cudaStream_t stream_ = nullptr;
};
std::string name_of(const ::testing::TestParamInfo<ThreadOrder>& order) {
  return std::vector<std::string>{"Forward", "Reverse", "Random"}[static_cast<std::size_t>(order.param)];
}
INSTANTIATE_TEST_SUITE_P(Orders, KernelErrors,
                         ::testing::Values(ThreadOrder::forward, ThreadOrder::reverse, ThreadOrder::random), name_of);

TEST_P(KernelErrors, ReductionsThatShareASlotNeedABarrierBetweenThem) {
  const float* values = on_device(ramp(512));
  auto* results = device_array<float2>(2);
  sum_and_maximum(stream_, values, results, 2, false);
  EXPECT_EQ(finish(), cudaSuccess);
  EXPECT_TRUE(nothing_found());
  const auto right = on_host(results, 2);
  EXPECT_EQ(right[0].x, 256 * 257 / 2);
  EXPECT_EQ(right[1].y, 512);
  sum_and_maximum(stream_, values, results, 2, true);
  EXPECT_EQ(finish(), cudaSuccess);
  EXPECT_TRUE(
      found_if(watches_accesses(), {"race in shared memory", "sum_and_maximum", "slots", "planted_kernels.cu:"}));
}

TEST_P(KernelErrors, BlocksMayNotUpdateOneNumberWithoutAtomics) {
  const float* values = on_device(ramp(256));
  int* positive = on_device(std::vector<int>{0});
  count_positive(stream_, values, 256, positive, false);
  EXPECT_EQ(finish(), cudaSuccess);
  EXPECT_TRUE(nothing_found());
  EXPECT_EQ(on_host(positive, 1)[0], 256);
  count_positive(stream_, values, 256, positive, true);
  EXPECT_EQ(finish(), cudaSuccess);
  EXPECT_TRUE(found_if(watches_accesses(), {"race", "blocks", "count_positive"}));
}

TEST_P(KernelErrors, WarpsOfABlockNeedABarrier) {
  float* values = on_device(ramp(128));
  pass_to_next_warp(stream_, values, false);
  EXPECT_EQ(finish(), cudaSuccess);
  EXPECT_TRUE(nothing_found());
  EXPECT_EQ(on_host(values, 128)[1], 33.0F);
  pass_to_next_warp(stream_, values, true);
  EXPECT_EQ(finish(), cudaSuccess);
  EXPECT_TRUE(found_if(watches_accesses(), {"race", "shared", "pass_to_next_warp"}));
}

TEST_P(KernelErrors, LanesOfAWarpNeedSyncwarp) {
  float* values = on_device(ramp(32));
  reverse_in_warp(stream_, values, false);
  EXPECT_EQ(finish(), cudaSuccess);
  EXPECT_TRUE(nothing_found());
  EXPECT_EQ(on_host(values, 32)[0], 32.0F);
  reverse_in_warp(stream_, values, true);
  EXPECT_EQ(finish(), cudaSuccess);
  EXPECT_TRUE(found_if(watches_accesses(), {"race", "shared", "reverse_in_warp"}));
}

TEST_P(KernelErrors, HalvesOfAWordAreToldApart) {
  auto* values = device_array<__nv_bfloat16>(64);
  fill_halves(stream_, values, false);
  EXPECT_EQ(finish(), cudaSuccess);
  EXPECT_TRUE(nothing_found());
  EXPECT_EQ(__bfloat162float(on_host(values, 64)[63]), 1.0F);
  fill_halves(stream_, values, true);
  EXPECT_EQ(finish(), cudaSuccess);
  EXPECT_TRUE(found_if(watches_accesses(), {"race in global memory", "fill_halves"}));
}

TEST_P(KernelErrors, AVectorPastTheEndIsFound) {
  const auto* from = reinterpret_cast<const float4*>(on_device(ramp(1024)));
  auto* to = device_array<float4>(256);
  copy_vectors(stream_, from, to, 256, false);
  EXPECT_EQ(finish(), cudaSuccess);
  EXPECT_TRUE(nothing_found());
  copy_vectors(stream_, from, to, 256, true);
  EXPECT_EQ(finish(), cudaErrorIllegalAddress);
  EXPECT_TRUE(found({"copy_vectors", "block (4,0,0) thread (0,0,0)", "4096 bytes) + 4096", "at "}));
}

TEST_P(KernelErrors, AWriteIntoTheMarginIsFoundAtLatestWhenFreed) {
  auto* to = device_array<float4>(3);  // 48 of 256 bytes
  const auto* from = reinterpret_cast<const float4*>(on_device(ramp(256)));
  copy_vectors(stream_, from, to, 3, true);
  finish();
  cudaFree(to);
  EXPECT_TRUE(found({watches_accesses() ? "copy_vectors" : "past the end", "(48 bytes) +"}));
}

TEST_P(KernelErrors, IndicesPastStaticSharedArraysAreFound) {
  float* values = on_device(ramp(64));
  reverse_static(stream_, values, false);
  EXPECT_EQ(finish(), cudaSuccess);
  EXPECT_TRUE(nothing_found());
  EXPECT_EQ(on_host(values, 64)[0], 64.0F);
  reverse_static(stream_, values, true);
  EXPECT_EQ(finish(), cudaErrorIllegalAddress);
  EXPECT_TRUE(found({"reverse_static", "index 64", "planted_kernels.cu:"}));
}

TEST_P(KernelErrors, WritesPastDynamicSharedMemoryAreFound) {
  float* values = on_device(ramp(64));
  reverse_dynamic(stream_, values, false);
  EXPECT_EQ(finish(), cudaSuccess);
  EXPECT_TRUE(nothing_found());
  EXPECT_EQ(on_host(values, 64)[0], 64.0F);
  reverse_dynamic(stream_, values, true);
  finish();
  EXPECT_TRUE(found({"reverse_dynamic", "past its 252 bytes of dynamic shared memory"}));
}

TEST_P(KernelErrors, SharedMemoryStartsPoisoned) {
  const float* values = on_device(ramp(64));
  float* sum = device_array<float>(1);
  sum_from_cleared(stream_, values, sum, false);
  EXPECT_EQ(finish(), cudaSuccess);
  EXPECT_EQ(on_host(sum, 1)[0], 64 * 65 / 2);
  sum_from_cleared(stream_, values, sum, true);
  EXPECT_EQ(finish(), cudaSuccess);
  EXPECT_TRUE(std::isnan(on_host(sum, 1)[0]));
  EXPECT_TRUE(nothing_found());
}

TEST_P(KernelErrors, BarriersThatNotAllReachAreFound) {
  float* values = on_device(ramp(64));
  barriers(stream_, values, Barrier::right);
  EXPECT_EQ(finish(), cudaSuccess);
  EXPECT_TRUE(nothing_found());
  barriers(stream_, values, Barrier::two_branches);
  finish();
  EXPECT_TRUE(found({"divergent barrier", "kernel barriers", "planted_kernels.cu:", "of the same block at"}));
  barriers(stream_, values, Barrier::in_branch);
  finish();
  EXPECT_TRUE(found({"divergent barrier", "32 of the block's threads have left"}));
  barriers(stream_, values, Barrier::after_exit);
  finish();
  EXPECT_TRUE(found({"divergent barrier", "1 of the block's threads have left"}));
}

TEST_P(KernelErrors, WarpMasksMustFit) {
  float* values = on_device(ramp(32));
  warp_sum(stream_, values, Mask::right);
  EXPECT_EQ(finish(), cudaSuccess);
  EXPECT_TRUE(nothing_found());
  EXPECT_EQ(on_host(values, 32)[0], 3.0F);
  EXPECT_EQ(on_host(values, 32)[31], 64.0F);
  warp_sum(stream_, values, Mask::lane_left);
  finish();
  EXPECT_TRUE(found({"warp_sum", "lanes that never come: 7"}));
  reset({.threads = GetParam()});
  warp_sum(nullptr, on_device(ramp(32)), Mask::different);
  EXPECT_NE(cudaStreamSynchronize(nullptr), cudaSuccess);
  EXPECT_TRUE(found({"warp_sum", "never come", "mask"}));
  reset({.threads = GetParam()});
  warp_sum(nullptr, on_device(ramp(32)), Mask::without_itself);
  EXPECT_NE(cudaStreamSynchronize(nullptr), cudaSuccess);
  EXPECT_TRUE(found({"thread (3,0,0)", "is not in the mask 0xf0"}));
}

TEST_P(KernelErrors, HostPointersAreFound) {
  std::vector<float> host = ramp(64);
  float* pinned = pinned_array<float>(64);
  std::fill_n(pinned, 64, 1.0F);
  scale(stream_, pinned, 64, 2.0F);  // mapped for the device
  EXPECT_EQ(finish(), cudaSuccess);
  EXPECT_TRUE(nothing_found());
  scale(stream_, host.data(), 64, 2.0F);
  const cudaError_t code = finish();
  if (!watches_accesses()) return;  // the double's kernels can read it
  EXPECT_EQ(code, cudaErrorIllegalAddress);
  EXPECT_TRUE(found({"host pointer", "kernel scale"}));
  EXPECT_EQ(host[0], 1.0F) << "the kernel stops before it touches the host's memory";
}

TEST_P(KernelErrors, MisalignedVectorsAreFound) {
  const auto* bytes = reinterpret_cast<const char*>(on_device(ramp(64)));
  auto* to = device_array<float4>(1);
  read_vector_at(stream_, bytes, 16, to);
  EXPECT_EQ(finish(), cudaSuccess);
  EXPECT_TRUE(nothing_found());
  EXPECT_EQ(on_host(to, 1)[0].x, 5.0F);
  read_vector_at(stream_, bytes, 8, to);
  finish();
  EXPECT_TRUE(found({"misaligned", "read_vector_at"}));
}

TEST_P(KernelErrors, ArgumentsBecomeTheParametersTypes) {
  float* values = device_array<float>(3);
  launch_with_conversions(stream_, values);
  EXPECT_EQ(finish(), cudaSuccess);
  EXPECT_EQ(on_host(values, 3), (std::vector<float>{2.5F, 7.0F, 3.0F}));
}

TEST_P(KernelErrors, TheLastBlockMayReadTheOthersBehindAFence) {
  const float* values = on_device(ramp(100));
  float *partial = device_array<float>(4), *sum = device_array<float>(1);
  unsigned* arrived = on_device(std::vector<unsigned>{0});
  sum_by_last_block(stream_, values, 100, partial, arrived, sum, false);
  EXPECT_EQ(finish(), cudaSuccess);
  EXPECT_TRUE(nothing_found());
  EXPECT_EQ(on_host(sum, 1)[0], 5050.0F);
  cudaMemset(arrived, 0, sizeof *arrived);
  sum_by_last_block(stream_, values, 100, partial, arrived, sum, true);
  finish();
  EXPECT_TRUE(found_if(watches_accesses(), {"race", "blocks", "sum_by_last_block"}));
}

TEST_P(KernelErrors, LaunchesBeyondTheDevicesLimitsAreRefused) {
  EXPECT_ANY_THROW(launch_too_wide(stream_, device_array<float>(1)));
  EXPECT_TRUE(found({"too_wide", "more than 1024 threads"}));
}

}  // namespace
}  // namespace trainmark::cuda_double

// Streams in every legal order: right code gives one result in all of them, and each planted error of stream code is
// found: a forgotten wait, a buffer that is reused or freed too early.
#include "cuda_double/planted_kernels.hpp"
#include "cuda_double/support.hpp"

namespace trainmark::cuda_double {
namespace {

class Streams : public ::testing::TestWithParam<Order> {
 protected:
  void TearDown() override {
    EXPECT_TRUE(nothing_found_unless(!HasFailure()));  // says what was found
  }
  void SetUp() override { start(1); }
  void start(std::uint64_t seed) {
    reset({.order = GetParam(), .threads = ThreadOrder::random, .seed = seed});
    compute_ = new_stream();
    other_ = new_stream();
    ready_ = new_event();
  }
  void order(cudaStream_t first, cudaStream_t second) {
    EXPECT_EQ(cudaEventRecord(ready_, first), cudaSuccess);
    EXPECT_EQ(cudaStreamWaitEvent(second, ready_, 0), cudaSuccess);
  }
  cudaStream_t compute_ = nullptr, other_ = nullptr;
  cudaEvent_t ready_ = nullptr;
};
std::string name_of(const ::testing::TestParamInfo<Order>& order) {
  return std::vector<std::string>{"Eager", "Lazy", "Random", "Priority"}[static_cast<std::size_t>(order.param)];
}
INSTANTIATE_TEST_SUITE_P(Orders, Streams, ::testing::Values(Order::eager, Order::lazy, Order::random, Order::priority),
                         name_of);

TEST_P(Streams, EventsOrderThemInEveryOrder) {
  for (std::uint64_t seed = 1; seed <= 5; ++seed) {
    start(seed);
    float* values = on_device(std::vector<float>(64, 1.0F));
    float* sums = on_device(std::vector<float>(64, 0.0F));
    for (int step = 0; step < 3; ++step) {
      scale(compute_, values, 64, 2.0F);
      order(compute_, other_);
      add_into(other_, sums, values, 64);
      order(other_, compute_);
    }
    EXPECT_EQ(cudaStreamSynchronize(other_), cudaSuccess);
    EXPECT_EQ(on_host(sums, 64)[17], 2.0F + 4.0F + 8.0F);
    EXPECT_TRUE(nothing_found());
  }
}

TEST_P(Streams, AForgottenWaitIsARace) {
  float* values = on_device(std::vector<float>(64, 1.0F));
  float* sums = on_device(std::vector<float>(64, 0.0F));
  scale(compute_, values, 64, 2.0F);
  add_into(other_, sums, values, 64);
  EXPECT_EQ(cudaDeviceSynchronize(), cudaSuccess);
  EXPECT_TRUE(found_if(watches_accesses(), {"race between streams", "kernel scale", "no event"}));
}

TEST_P(Streams, WhatTheHostWaitedForIsOrdered) {
  float* values = on_device(std::vector<float>(64, 1.0F));
  scale(compute_, values, 64, 2.0F);
  EXPECT_EQ(cudaStreamSynchronize(compute_), cudaSuccess);
  scale(other_, values, 64, 2.0F);
  EXPECT_EQ(cudaEventRecord(ready_, other_), cudaSuccess);
  EXPECT_EQ(cudaEventSynchronize(ready_), cudaSuccess);
  scale(compute_, values, 64, 2.0F);
  while (cudaStreamQuery(compute_) == cudaErrorNotReady)
    continue;
  EXPECT_EQ(on_host(values, 1)[0], 8.0F);
  EXPECT_EQ(cudaFree(values), cudaSuccess);
  EXPECT_TRUE(nothing_found());
}

TEST_P(Streams, DeclaredWorkIsOrderedAndCheckedLikeAKernel) {
  float* values = on_device(std::vector<float>(64, 1.0F));
  const auto add_one = [=] { values[0] += 1.0F; };
  scale(compute_, values, 64, 2.0F);
  EXPECT_EQ(enqueue(compute_, "reference", add_one, {{values, 4, false}, {values, 4, true}}), cudaSuccess);
  EXPECT_EQ(cudaStreamSynchronize(compute_), cudaSuccess);
  EXPECT_EQ(on_host(values, 1)[0], 3.0F);
  EXPECT_TRUE(nothing_found());
  scale(compute_, values, 64, 2.0F);
  EXPECT_EQ(enqueue(other_, "reference", add_one, {{values, 4, true}}), cudaSuccess);
  EXPECT_EQ(cudaDeviceSynchronize(), cudaSuccess);
  EXPECT_TRUE(found_if(watches_accesses(), {"race between streams", "reference"}));
  EXPECT_EQ(enqueue(other_, "reference", [] {}, {{values, 257, true}}), cudaSuccess);
  EXPECT_NE(cudaDeviceSynchronize(), cudaSuccess);
  EXPECT_TRUE(found({"reference", "257 bytes outside live memory"}));
}

TEST_P(Streams, APinnedBufferReusedTooEarlyIsFound) {
  float* pinned = pinned_array<float>(64);
  float *first = device_array<float>(64), *second = device_array<float>(64);
  const auto send = [&](float value, float* to, bool wait) {
    std::fill_n(pinned, 64, value);
    EXPECT_EQ(cudaMemcpyAsync(to, pinned, 256, cudaMemcpyHostToDevice, other_), cudaSuccess);
    if (!wait) return;
    EXPECT_EQ(cudaStreamSynchronize(other_), cudaSuccess);
  };
  send(1.0F, first, true);
  send(2.0F, second, true);
  EXPECT_EQ(on_host(first, 1)[0], 1.0F);
  EXPECT_TRUE(nothing_found());
  send(1.0F, first, false);
  send(2.0F, second, true);
  EXPECT_TRUE(found({"pinned block", "reused too early"}));
}

TEST_P(Streams, APinnedBufferMayBeRefilledOnceAnEventBehindItsCopyWasSeen) {
  float* pinned = pinned_array<float>(64);
  float* values = device_array<float>(64);
  for (int step = 0; step < 4; ++step) {
    EXPECT_EQ(cudaStreamSynchronize(compute_), cudaSuccess);  // which waits for the last copy
    std::fill_n(pinned, 64, static_cast<float>(step));
    EXPECT_EQ(cudaMemcpyAsync(values, pinned, 256, cudaMemcpyHostToDevice, other_), cudaSuccess);
    order(other_, compute_);
    scale(compute_, values, 64, 2.0F);
    order(compute_, other_);
  }
  EXPECT_EQ(cudaStreamSynchronize(compute_), cudaSuccess);
  EXPECT_EQ(on_host(values, 1)[0], 6.0F);
  EXPECT_TRUE(nothing_found());
}

TEST_P(Streams, PinnedMemoryThatTheDeviceWroteMayBeSentOn) {
  float* pinned = pinned_array<float>(64);
  float* values = on_device(std::vector<float>(64, 3.0F));
  float* copy = device_array<float>(64);
  EXPECT_EQ(cudaMemcpyAsync(pinned, values, 256, cudaMemcpyDeviceToHost, other_), cudaSuccess);
  EXPECT_EQ(cudaMemcpyAsync(copy, pinned, 256, cudaMemcpyHostToDevice, other_), cudaSuccess);
  EXPECT_EQ(cudaStreamSynchronize(other_), cudaSuccess);
  EXPECT_EQ(on_host(copy, 1)[0], 3.0F);
  EXPECT_TRUE(nothing_found());
}

TEST_P(Streams, MemoryFreedBeforeItsStreamWasWaitedForIsFound) {
  float* values = on_device(std::vector<float>(64, 1.0F));
  scale(compute_, values, 64, 2.0F);
  EXPECT_EQ(cudaStreamSynchronize(other_), cudaSuccess);  // the wrong one
  static_cast<void>(cudaFree(values));
  static_cast<void>(cudaDeviceSynchronize());
  const bool always = watches_accesses() || GetParam() == Order::lazy;
  EXPECT_TRUE(found_if(always, {"kernel scale", "block 0"}));
}

TEST_P(Streams, AGraphKeepsOnlyTheOrderThatWasRecorded) {
  for (const bool faulty : {false, true}) {
    start(3);
    float* values = on_device(std::vector<float>(64, 1.0F));
    float* sums = on_device(std::vector<float>(64, 0.0F));
    cudaGraph_t graph = nullptr;
    cudaGraphExec_t executable = nullptr;
    EXPECT_EQ(cudaStreamBeginCapture(compute_, cudaStreamCaptureModeThreadLocal), cudaSuccess);
    if (faulty) order(compute_, other_);  // before the kernel that it should wait for
    scale(compute_, values, 64, 2.0F);
    if (!faulty) order(compute_, other_);
    add_into(other_, sums, values, 64);
    order(other_, compute_);
    EXPECT_EQ(cudaStreamEndCapture(compute_, &graph), cudaSuccess);
    EXPECT_EQ(cudaGraphInstantiate(&executable, graph, 0), cudaSuccess);
    for (int i = 0; i < 2; ++i)
      EXPECT_EQ(cudaGraphLaunch(executable, compute_), cudaSuccess);
    EXPECT_EQ(cudaStreamSynchronize(compute_), cudaSuccess);
    if (faulty) {
      EXPECT_TRUE(found_if(watches_accesses(), {"race between streams"}));
    } else {
      EXPECT_EQ(on_host(sums, 1)[0], 6.0F);
      EXPECT_TRUE(nothing_found());
    }
  }
}

}  // namespace
}  // namespace trainmark::cuda_double

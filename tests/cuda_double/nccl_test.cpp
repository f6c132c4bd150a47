// Collectives of the double with ranks as threads: sums in rank order, inside graphs too, and what goes wrong between
// ranks: a forgotten wait, calls that disagree, a peer that never comes, an asynchronous error.
#include <nccl.h>

#include <atomic>
#include <barrier>
#include <functional>
#include <future>
#include <numeric>
#include <thread>

#include "cuda_double/planted_kernels.hpp"
#include "cuda_double/support.hpp"

namespace trainmark::cuda_double {
namespace {

void wait_for(ncclComm_t communicator, ncclResult_t result) {
  while (result == ncclInProgress) {
    std::this_thread::yield();
    ASSERT_EQ(ncclCommGetAsyncError(communicator, &result), ncclSuccess);
  }
  EXPECT_EQ(result, ncclSuccess);
}

ncclComm_t join(const ncclUniqueId& id, int ranks, int rank) {
  ncclComm_t communicator = nullptr;
  ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
  config.blocking = 0;
  const ncclResult_t result = ncclCommInitRankConfig(&communicator, ranks, id, rank, &config);
  EXPECT_EQ(result, ncclInProgress);
  wait_for(communicator, result);
  return communicator;
}

void leave(ncclComm_t communicator) {
  wait_for(communicator, ncclCommFinalize(communicator));
  EXPECT_EQ(ncclCommDestroy(communicator), ncclSuccess);
}

class Collectives : public ::testing::TestWithParam<Order> {
 protected:
  void SetUp() override { start({}); }
  void TearDown() override {
    EXPECT_TRUE(nothing_found_unless(!HasFailure()));  // says what was found
  }
  void start(const Faults& faults, double limit = 60.0) {
    reset({.order = GetParam(), .seed = 5, .time_limit_seconds = limit, .faults = faults});
    EXPECT_EQ(ncclGetUniqueId(&id_), ncclSuccess);
  }
  /// Every rank in a thread of its own, with its communicator and stream.
  void on_ranks(int ranks, const std::function<void(int, ncclComm_t, cudaStream_t)>& body) {
    std::vector<std::thread> threads;
    for (int rank = 0; rank < ranks; ++rank)
      threads.emplace_back([&, rank] { body(rank, join(id_, ranks, rank), new_stream()); });
    for (std::thread& thread : threads)
      thread.join();
  }
  ncclUniqueId id_{};
};
std::string name_of(const ::testing::TestParamInfo<Order>& order) {
  return std::vector<std::string>{"Eager", "Lazy", "Random", "Priority"}[static_cast<std::size_t>(order.param)];
}
INSTANTIATE_TEST_SUITE_P(Orders, Collectives, ::testing::Values(Order::eager, Order::lazy, Order::random), name_of);

TEST_P(Collectives, SumMoreThanOneChunkInPlace) {
  constexpr std::size_t count = 150'000;
  on_ranks(4, [](int rank, ncclComm_t communicator, cudaStream_t stream) {
    std::vector<float> own(count);
    std::iota(own.begin(), own.end(), static_cast<float>(rank));
    float* values = on_device(own);
    wait_for(communicator, ncclAllReduce(values, values, count, ncclFloat, ncclSum, communicator, stream));
    EXPECT_EQ(cudaStreamSynchronize(stream), cudaSuccess);
    const auto sums = on_host(values, count);
    EXPECT_EQ(sums[0], 6.0F);
    EXPECT_EQ(sums[count - 1], 4.0F * (count - 1) + 6.0F);
    leave(communicator);
  });
  EXPECT_TRUE(nothing_found());
}

TEST_P(Collectives, GatherAndBroadcast) {
  on_ranks(3, [](int rank, ncclComm_t communicator, cudaStream_t stream) {
    const int* own = on_device(std::vector<int>{rank, 10 * rank});
    int* all = device_array<int>(6);
    wait_for(communicator, ncclAllGather(own, all, 2, ncclInt32, communicator, stream));
    int* from_two = on_device(std::vector<int>{rank + 100});
    wait_for(communicator, ncclBroadcast(from_two, from_two, 1, ncclInt32, 2, communicator, stream));
    EXPECT_EQ(cudaStreamSynchronize(stream), cudaSuccess);
    EXPECT_EQ(on_host(all, 6), (std::vector<int>{0, 0, 1, 10, 2, 20}));
    EXPECT_EQ(on_host(from_two, 1)[0], 102);
    leave(communicator);
  });
  EXPECT_TRUE(nothing_found());
}

TEST_P(Collectives, RunInsideGraphs) {
  on_ranks(2, [](int rank, ncclComm_t communicator, cudaStream_t compute) {
    float* values = on_device(std::vector<float>(64, rank + 1.0F));
    const cudaStream_t side = new_stream();
    const cudaEvent_t ready = new_event(), done = new_event();
    const auto sum = [&] { return ncclAllReduce(values, values, 64, ncclFloat, ncclSum, communicator, side); };
    wait_for(communicator, sum());  // connects
    EXPECT_EQ(cudaStreamSynchronize(side), cudaSuccess);
    cudaGraph_t graph = nullptr;
    cudaGraphExec_t executable = nullptr;
    EXPECT_EQ(cudaStreamBeginCapture(compute, cudaStreamCaptureModeThreadLocal), cudaSuccess);
    scale(compute, values, 64, 2.0F);
    EXPECT_EQ(cudaEventRecord(ready, compute), cudaSuccess);
    EXPECT_EQ(cudaStreamWaitEvent(side, ready, 0), cudaSuccess);
    wait_for(communicator, sum());
    EXPECT_EQ(cudaEventRecord(done, side), cudaSuccess);
    EXPECT_EQ(cudaStreamWaitEvent(compute, done, 0), cudaSuccess);
    ASSERT_EQ(cudaStreamEndCapture(compute, &graph), cudaSuccess);
    ASSERT_EQ(cudaGraphInstantiate(&executable, graph, 0), cudaSuccess);
    for (int step = 0; step < 3; ++step)
      EXPECT_EQ(cudaGraphLaunch(executable, compute), cudaSuccess);
    EXPECT_EQ(cudaStreamSynchronize(compute), cudaSuccess);
    EXPECT_EQ(on_host(values, 1)[0], 3.0F * 4.0F * 4.0F * 4.0F);
    EXPECT_EQ(cudaGraphExecDestroy(executable), cudaSuccess);
    EXPECT_EQ(cudaGraphDestroy(graph), cudaSuccess);
    leave(communicator);
  });
  EXPECT_TRUE(nothing_found());
}

TEST_P(Collectives, AForgottenWaitBeforeTheAllReduceIsARace) {
  on_ranks(2, [](int, ncclComm_t communicator, cudaStream_t compute) {
    float* values = on_device(std::vector<float>(64, 1.0F));
    const cudaStream_t side = new_stream();
    scale(compute, values, 64, 2.0F);
    wait_for(communicator, ncclAllReduce(values, values, 64, ncclFloat, ncclSum, communicator, side));
    EXPECT_EQ(cudaStreamSynchronize(side), cudaSuccess);
    EXPECT_EQ(cudaStreamSynchronize(compute), cudaSuccess);
    leave(communicator);
  });
  EXPECT_TRUE(found_if(watches_accesses(), {"race between streams", "ncclAllReduce", "kernel scale"}));
}

TEST_P(Collectives, APeerIsServedWhileItsHostIsElsewhere) {
  std::barrier meet(2);  // as in MPI: the host blocks, its device goes on
  on_ranks(2, [&](int rank, ncclComm_t communicator, cudaStream_t stream) {
    float* values = on_device(std::vector<float>(64, 1.0F));
    wait_for(communicator, ncclAllReduce(values, values, 64, ncclFloat, ncclSum, communicator, stream));
    if (rank == 0) meet.arrive_and_wait();
    EXPECT_EQ(cudaStreamSynchronize(stream), cudaSuccess);
    if (rank == 1) meet.arrive_and_wait();
    leave(communicator);
  });
  EXPECT_TRUE(nothing_found());
}

TEST_P(Collectives, CallsThatDisagreeAreFound) {
  on_ranks(2, [](int rank, ncclComm_t communicator, cudaStream_t stream) {
    float* values = on_device(std::vector<float>(64, 1.0F));
    const std::size_t count = rank == 0 ? 64 : 63;
    static_cast<void>(ncclAllReduce(values, values, count, ncclFloat, ncclSum, communicator, stream));
    static_cast<void>(cudaStreamSynchronize(stream));
    EXPECT_EQ(ncclCommAbort(communicator), ncclSuccess);
  });
  EXPECT_TRUE(found({"collectives disagree", "64 elements", "63 elements"}));
}

TEST_P(Collectives, APeerThatNeverComesIsFoundAndEndsTheWait) {
  start({}, 0.3);
  on_ranks(2, [](int rank, ncclComm_t communicator, cudaStream_t stream) {
    float* values = on_device(std::vector<float>(64, 1.0F));
    if (rank == 0) {
      static_cast<void>(ncclAllReduce(values, values, 64, ncclFloat, ncclSum, communicator, stream));
      static_cast<void>(cudaStreamSynchronize(stream));
      ncclResult_t state = ncclSuccess;
      EXPECT_EQ(ncclCommGetAsyncError(communicator, &state), ncclSuccess);
      EXPECT_EQ(state, ncclRemoteError);
    }
    EXPECT_EQ(ncclCommAbort(communicator), ncclSuccess);
  });
  EXPECT_TRUE(found({"rank 0 of 2 waited", "all-reduce of 64 elements", "for ranks 1"}));
}

TEST_P(Collectives, AbortEndsWhatAnotherThreadWaitsFor) {
  on_ranks(2, [](int rank, ncclComm_t communicator, cudaStream_t stream) {
    float* values = on_device(std::vector<float>(64, 1.0F));
    if (rank == 0) {
      static_cast<void>(ncclAllReduce(values, values, 64, ncclFloat, ncclSum, communicator, stream));
      std::thread watchdog([&] { EXPECT_EQ(ncclCommAbort(communicator), ncclSuccess); });
      EXPECT_EQ(cudaStreamSynchronize(stream), cudaSuccess);
      watchdog.join();
    } else {
      EXPECT_EQ(ncclCommAbort(communicator), ncclSuccess);
    }
  });
  EXPECT_TRUE(nothing_found());
}

TEST_P(Collectives, AnAsynchronousErrorShowsWhenPolled) {
  start({.failing_collective = 1});
  on_ranks(1, [](int, ncclComm_t communicator, cudaStream_t stream) {
    float* values = on_device(std::vector<float>(64, 1.0F));
    const auto sum = [&] { return ncclAllReduce(values, values, 64, ncclFloat, ncclSum, communicator, stream); };
    wait_for(communicator, sum());
    EXPECT_EQ(cudaStreamSynchronize(stream), cudaSuccess);
    EXPECT_EQ(sum(), ncclSuccess);
    ncclResult_t state = ncclSuccess;
    EXPECT_EQ(ncclCommGetAsyncError(communicator, &state), ncclSuccess);
    EXPECT_EQ(state, ncclRemoteError);
    EXPECT_EQ(cudaStreamQuery(stream), cudaErrorNotReady) << "it hangs until it is aborted";
    EXPECT_EQ(ncclCommAbort(communicator), ncclSuccess);
    EXPECT_EQ(cudaStreamSynchronize(stream), cudaSuccess);
  });
}

TEST_P(Collectives, ACommunicatorMayNotBeUsedWhileACallIsInProgress) {
  ncclComm_t communicator = nullptr;
  ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
  config.blocking = 0;
  ASSERT_EQ(ncclCommInitRankConfig(&communicator, 1, id_, 0, &config), ncclInProgress);
  float* values = device_array<float>(4);
  EXPECT_EQ(ncclAllReduce(values, values, 4, ncclFloat, ncclSum, communicator, new_stream()), ncclInvalidUsage);
  EXPECT_TRUE(found({"ncclAllReduce", "still in progress"}));
}

/// A graph of one sum that nobody has launched.
cudaGraph_t captured_sum(ncclComm_t communicator, cudaStream_t stream) {
  float* values = on_device(std::vector<float>(64, 1.0F));
  cudaGraph_t graph = nullptr;
  EXPECT_EQ(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), cudaSuccess);
  wait_for(communicator, ncclAllReduce(values, values, 64, ncclFloat, ncclSum, communicator, stream));
  EXPECT_EQ(cudaStreamEndCapture(stream, &graph), cudaSuccess);
  return graph;
}

TEST_P(Collectives, ACallThatFailsInACaptureSpoilsTheCommunicatorButNotWhatIsUnderWay) {
  start({.failing_in_capture = 0});
  on_ranks(1, [](int, ncclComm_t communicator, cudaStream_t stream) {
    float* values = on_device(std::vector<float>(64, 1.0F));
    const auto sum = [&] { return ncclAllReduce(values, values, 64, ncclFloat, ncclSum, communicator, stream); };
    wait_for(communicator, sum());
    cudaGraph_t graph = nullptr;
    EXPECT_EQ(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), cudaSuccess);
    EXPECT_EQ(sum(), ncclUnhandledCudaError);
    EXPECT_EQ(cudaStreamEndCapture(stream, &graph), cudaErrorStreamCaptureInvalidated);
    EXPECT_EQ(sum(), ncclUnhandledCudaError);
    ncclResult_t state = ncclSuccess;
    EXPECT_EQ(ncclCommGetAsyncError(communicator, &state), ncclSuccess);
    EXPECT_EQ(state, ncclUnhandledCudaError);
    EXPECT_EQ(cudaStreamSynchronize(stream), cudaSuccess);
    EXPECT_EQ(ncclCommAbort(communicator), ncclSuccess);
  });
  EXPECT_TRUE(nothing_found());
}

TEST_P(Collectives, MemoryIsFreedWhenNoSumWaitsForAPeerAnyMore) {
  start({}, 0.2);
  on_ranks(2, [](int rank, ncclComm_t communicator, cudaStream_t stream) {
    float* values = on_device(std::vector<float>(64, 1.0F));
    float* other = device_array<float>(4);
    if (rank == 0) {
      static_cast<void>(ncclAllReduce(values, values, 64, ncclFloat, ncclSum, communicator, stream));
      EXPECT_EQ(cudaFree(other), cudaSuccess);
    }
    EXPECT_EQ(ncclCommAbort(communicator), ncclSuccess);
  });
  EXPECT_TRUE(found({"rank 0 of 2 waited", "for ranks 1"}));
}

TEST_P(Collectives, AnAbortWaitsForGraphs) {
  on_ranks(1, [](int, ncclComm_t communicator, cudaStream_t stream) {
    const cudaGraph_t graph = captured_sum(communicator, stream);
    std::promise<void> aborted;
    std::thread aborts([&] {
      EXPECT_EQ(ncclCommAbort(communicator), ncclSuccess);
      aborted.set_value();
    });
    const std::future<void> end = aborted.get_future();
    EXPECT_EQ(end.wait_for(std::chrono::milliseconds(50)), std::future_status::timeout);
    EXPECT_EQ(cudaGraphDestroy(graph), cudaSuccess);
    aborts.join();
  });
  EXPECT_TRUE(nothing_found());
}

TEST_P(Collectives, AnAbortThatWaitsForEverIsFound) {
  start({}, 0.2);
  on_ranks(1, [](int, ncclComm_t communicator, cudaStream_t stream) {
    const cudaGraph_t graph = captured_sum(communicator, stream);
    EXPECT_EQ(ncclCommAbort(communicator), ncclSuccess);  // on the thread that would end the graph
    EXPECT_EQ(cudaGraphDestroy(graph), cudaSuccess);
  });
  EXPECT_TRUE(found({"ncclCommAbort", "waits for graphs"}));
}

TEST_P(Collectives, GraphsGoBeforeTheirCommunicator) {
  on_ranks(1, [](int, ncclComm_t communicator, cudaStream_t stream) {
    static_cast<void>(captured_sum(communicator, stream));
    leave(communicator);
  });
  EXPECT_TRUE(found({"destroyed before the graphs"}));
}

}  // namespace
}  // namespace trainmark::cuda_double

// Collectives of the double between processes: each rank has a device of its own, as under mpirun on a cluster.
#include <nccl.h>

#include <span>

#include "cuda_double/support.hpp"
#include "support/mpi_main.hpp"

namespace trainmark::cuda_double {
namespace {

class Processes : public ::testing::Test {
 protected:
  void SetUp() override { start(60.0, {}); }
  void start(double limit, const Faults& faults) {
    reset({.order = Order::random, .seed = 11, .time_limit_seconds = limit, .faults = faults});
    ncclUniqueId id{};
    if (rank_ == 0) ncclGetUniqueId(&id);
    group_.broadcast(std::as_writable_bytes(std::span(&id, 1)));
    ASSERT_EQ(ncclCommInitRank(&communicator_, group_.size(), id, rank_), ncclSuccess);
    stream_ = new_stream();
  }
  ncclResult_t sum(float* values, std::size_t count) {
    return ncclAllReduce(values, values, count, ncclFloat, ncclSum, communicator_, stream_);
  }
  const Group& group_ = test_world().all();
  const int rank_ = group_.rank();
  ncclComm_t communicator_ = nullptr;
  cudaStream_t stream_ = nullptr;
};

TEST_F(Processes, SumInRankOrder) {
  constexpr std::size_t count = 100'000;
  float* values = on_device(std::vector<float>(count, static_cast<float>(rank_ + 1)));
  for (int i = 0; i < 3; ++i)
    EXPECT_EQ(sum(values, count), ncclSuccess);
  EXPECT_EQ(cudaStreamSynchronize(stream_), cudaSuccess);
  const int ranks = group_.size();
  const auto expected = static_cast<float>(ranks * (ranks + 1) / 2 * ranks * ranks);
  EXPECT_EQ(on_host(values, count), std::vector<float>(count, expected));
  EXPECT_EQ(ncclCommDestroy(communicator_), ncclSuccess);
  EXPECT_TRUE(nothing_found());
}

TEST_F(Processes, ServeEachOtherWhileTheHostIsInMpi) {
  float* values = on_device(std::vector<float>(16, 1.0F));
  EXPECT_EQ(sum(values, 16), ncclSuccess);
  if (rank_ != 0) group_.barrier();  // these ask their streams only after rank 0's has ended
  EXPECT_EQ(cudaStreamSynchronize(stream_), cudaSuccess);
  if (rank_ == 0) group_.barrier();
  EXPECT_EQ(on_host(values, 1)[0], static_cast<float>(group_.size()));
  EXPECT_EQ(ncclCommDestroy(communicator_), ncclSuccess);
  EXPECT_TRUE(nothing_found());
}

TEST_F(Processes, FindAPeerThatNeverComes) {
  start(2.0, {.absent_from = rank_ == 1 ? 0 : -1});
  float* values = on_device(std::vector<float>(16, 1.0F));
  EXPECT_EQ(sum(values, 16), ncclSuccess);
  EXPECT_EQ(cudaStreamSynchronize(stream_), cudaSuccess);
  EXPECT_TRUE(found({"waited 2 s in its collective 0", "for ranks"}));
  ncclResult_t state = ncclSuccess;
  EXPECT_EQ(ncclCommGetAsyncError(communicator_, &state), ncclSuccess);
  EXPECT_EQ(state, ncclRemoteError);
  EXPECT_EQ(ncclCommAbort(communicator_), ncclSuccess);
  group_.barrier();
}

}  // namespace
}  // namespace trainmark::cuda_double

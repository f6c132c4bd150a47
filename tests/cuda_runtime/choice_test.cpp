// Which device a rank gets under the usual launchers, and what every rank is told where it gets none: one message for
// all ranks, with the same exit code, so that they leave in order.
#include <fmt/format.h>

#include <set>
#include <thread>

#include "cuda_runtime/support.hpp"
#include "support/mpi_main.hpp"

namespace trainmark::cuda {
namespace {

using cuda_double::Faults;

class CudaChoice : public testing::Test {
 protected:
  const World& world = test_world();
  const int ranks = world.node().size();
  const int rank = world.node().rank();

  void given(const Faults& faults) {
    cuda_double::reset({.faults = faults});
    world.all().barrier();
  }
  void TearDown() override { given({}); }
  /// Every rank is refused alike; the message holds all the words.
  void expect_refusal(std::initializer_list<std::string_view> words) {
    std::string message;
    EXPECT_TRUE(raises(ExitCode::environment, words, [&] {
      try {
        static_cast<void>(choose_device(world));
      } catch (const AgreedError& error) {
        message = error.what();
        throw;
      }
    }));
    EXPECT_FALSE(message.empty()) << "not agreed";
    for (const std::string& other : world.all().all_gather(message))
      EXPECT_EQ(other, message);
  }
};

TEST_F(CudaChoice, TakesTheNodesDevicesInTurnWhereEveryRankSeesAll) {
  given({.devices = ranks + 1});
  const Device device = choose_device(world);
  EXPECT_EQ(device.ordinal, rank);
  EXPECT_GT(device.memory_bytes, 0);
  EXPECT_EQ(device.major, 9);
  EXPECT_FALSE(device.name.empty());
  const std::vector<std::string> taken = world.node().all_gather(device.bus_id);
  EXPECT_EQ(std::set(taken.begin(), taken.end()).size(), static_cast<std::size_t>(ranks));
}

TEST_F(CudaChoice, TakesTheOneDeviceThatTheLauncherLeftVisible) {
  given({.devices = 1, .first_device = ranks - 1 - rank});
  EXPECT_EQ(choose_device(world).ordinal, 0);
}

TEST_F(CudaChoice, TakesTheFirstOfSeveralThatAreTheRanksOwn) {
  given({.devices = 2, .first_device = 2 * rank});
  EXPECT_EQ(choose_device(world).ordinal, 0);
}

TEST_F(CudaChoice, HoldsForHelperThreadsToo) {
  given({.devices = ranks + 1});
  const Device device = choose_device(world);
  int before = -1, after = -1;
  std::thread([&] {
    static_cast<void>(cudaGetDevice(&before));
    const CudaEvent event;
    static_cast<void>(cudaGetDevice(&after));
  }).join();
  EXPECT_EQ(before, 0) << "a thread starts on the first device";
  EXPECT_EQ(after, device.ordinal);
}

TEST_F(CudaChoice, RefusesTwoRanksOnOneDevice) {
  if (ranks == 1) GTEST_SKIP() << "a rank alone shares with nobody";
  given({.devices = 1});
  expect_refusal(
      {"ranks 0 and 1", world.host(), "would share device 0000:01:00.0", "--gpus-per-task=1", "CUDA_VISIBLE_DEVICES"});
}

TEST_F(CudaChoice, RefusesMoreRanksThanDevices) {
  if (ranks < 4) GTEST_SKIP() << "needs four ranks";
  given({.devices = 3});
  expect_refusal(
      {"ranks 0 and 3 of the 4", "would share device 0000:01:00.0", "as many ranks on a node as it has devices"});
}

TEST_F(CudaChoice, SaysOnAllRanksThatOneSeesNoDevice) {
  given({.devices = rank == ranks - 1 ? 0 : ranks});
  expect_refusal({"no CUDA device is visible", "CUDA_VISIBLE_DEVICES", "\"cpu\""});
  if (ranks > 1) expect_refusal({fmt::format("rank {} of {}", ranks - 1, ranks)});
}

TEST_F(CudaChoice, NamesBothVersionsWhereTheDriverIsTooOld) {
  given({.devices = ranks, .driver_too_old = true});
  const std::string runtime = fmt::format("CUDA {}.{}", CUDART_VERSION / 1000, CUDART_VERSION % 1000 / 10);
  expect_refusal({"up to 11.0", runtime, "update the driver", "\"cpu\""});
}

TEST_F(CudaChoice, SaysThatThereIsNoDriver) {
  given({.devices = ranks, .no_driver = true});
  expect_refusal({"no NVIDIA driver was found", "nvidia-smi"});
}

}  // namespace
}  // namespace trainmark::cuda

// What "auto" gives where some ranks see a device and some do not: the same answer on all ranks. Only the choice is
// tested: the backends themselves are stand-ins.
#include <fmt/format.h>

#include "backend/cuda.hpp"
#include "backend/emulated.hpp"
#include "cuda_runtime/support.hpp"
#include "support/mpi_main.hpp"

namespace trainmark {
namespace {

std::string made;

}  // namespace

bool cuda_built() { return true; }
bool cuda_present() { return cuda::present(); }
std::unique_ptr<Backend> make_cuda_backend(const BackendOptions&, const World&) {
  made = "cuda";
  return nullptr;
}
std::unique_ptr<Backend> make_cpu_backend(int, bool, bool) {
  made = "cpu";
  return nullptr;
}
std::unique_ptr<Backend> make_emulated_backend(const EmulatedDevice&, bool, emulated::HostClock*) {
  made = "emulated";
  return nullptr;
}

namespace cuda {
namespace {

class CudaSelection : public testing::Test {
 protected:
  const World& world = test_world();
  void given(int devices) {
    made.clear();
    cuda_double::reset({.faults = {.devices = devices}});
    world.all().barrier();
  }
  void TearDown() override { given(1); }
};

TEST_F(CudaSelection, TakesDevicesWhereAllRanksHaveOneAndTheCpuWhereNoneHas) {
  given(1);
  static_cast<void>(make_backend({.device = DeviceChoice::automatic}, world));
  EXPECT_EQ(made, "cuda");
  given(0);
  static_cast<void>(make_backend({.device = DeviceChoice::automatic}, world));
  EXPECT_EQ(made, "cpu");
}

TEST_F(CudaSelection, RefusesOnAllRanksWhereSomeHaveADeviceAndSomeDoNot) {
  const int last = world.all().size() - 1;
  if (last == 0) GTEST_SKIP() << "a rank alone agrees with itself";
  given(world.all().rank() == last ? 0 : 1);
  EXPECT_TRUE(raises(ExitCode::environment, {"CUDA device", fmt::format("rank {}", last), "\"cpu\""},
                     [&] { static_cast<void>(make_backend({.device = DeviceChoice::automatic}, world)); }));
  EXPECT_EQ(made, "");
}

TEST_F(CudaSelection, TakesTheCpuWhereItIsAskedForWhateverIsThere) {
  given(world.all().rank() % 2);
  static_cast<void>(make_backend({.device = DeviceChoice::cpu}, world));
  EXPECT_EQ(made, "cpu");
}

}  // namespace
}  // namespace cuda
}  // namespace trainmark

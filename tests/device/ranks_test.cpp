// Steps of several ranks on the device double: what becomes of them, and of the memory that they use, where NCCL fails
// or a peer does not come. A rank alone has a communicator too.
#include <gtest/gtest.h>

#include <memory>
#include <optional>

#include "backend/cuda.hpp"
#include "cuda_double/double.hpp"
#include "device/batches.hpp"
#include "run/end/ending.hpp"
#include "run/launch/session.hpp"
#include "support/mpi_main.hpp"

namespace trainmark::test {
namespace {

/// One rank's training: a backend with a step that is captured from the second launch of each slot on.
class Training {
 public:
  Training()
      : backend_(make_cuda_backend({.nccl_alone = true}, test_world())),
        graph_(reduce_and_update(
            differentiate(training_graph(
                small(), {.local_batch = batch, .global_batch = batch * test_world().all().size(), .seed = 5})),
            {.bytes = 1 << 14}, SgdMomentum{}, {})),
        collective_(backend_->make_collective(test_world().all())),
        state_(*backend_, graph_, slots_of(Rule(SgdMomentum{}))),
        program_(*backend_, graph_, state_, *collective_, make_input_slots(*backend_), {}) {
    state_.initialise(11);
  }
  void launch(int step) {
    program_.upload(step % 2, Packed(step * test_world().all().size() + test_world().all().rank()).inputs);
    program_.step(step % 2);
  }
  float step(int step) {
    launch(step);
    return state_.loss();
  }
  [[nodiscard]] Backend& backend() { return *backend_; }

 private:
  std::unique_ptr<Backend> backend_;
  Graph graph_;
  std::unique_ptr<Collective> collective_;
  ModelState state_;
  Program program_;
};

class DeviceRanks : public testing::Test {
 protected:
  const Group& all = test_world().all();
  const bool last = all.rank() + 1 == all.size();

  void SetUp() override { start({}); }
  void TearDown() override { all.barrier(); }
  void start(const cuda_double::Faults& faults) {
    all.barrier();
    cuda_double::Options options{.order = cuda_double::Order::random, .seed = 3, .time_limit_seconds = 20};
    options.faults = faults;
    options.faults.devices = all.size();
    cuda_double::reset(options);
  }
  void change(cuda_double::Faults faults) const {
    faults.devices = all.size();
    cuda_double::set_faults(faults);
  }
  std::vector<float> losses_of(int steps) {
    Training training;
    std::vector<float> losses;
    for (int step = 0; step < steps; ++step)
      losses.push_back(training.step(step));
    description_ = training.backend().description();
    return losses;
  }
  std::string description_;
};

TEST_F(DeviceRanks, StreamTheirStepsWithTheSameLossesWhereACaptureFailsInsideNcclOnOne) {
  constexpr int steps = 4;
  const std::vector<float> captured = losses_of(steps);
  EXPECT_EQ(description_.find("not captured"), std::string::npos) << description_;
  for (const int failing : {1, 9}) {  // a sum of the first slot's step, one of the second's
    start({.failing_in_capture = last ? failing : -1});
    EXPECT_EQ(losses_of(steps), captured) << failing;
    const char* reason = last ? "unhandled cuda error" : "another rank could not capture";
    EXPECT_NE(description_.find(reason), std::string::npos) << description_;
  }
}

TEST_F(DeviceRanks, EndWithNcclsTextThoughCapturedStepsHoldTheCommunicator) {
  std::string said;
  try {
    Training training;
    for (int step = 0; step < 3; ++step)
      static_cast<void>(training.step(step));
    all.barrier();
    change({.failing_collective = 80});  // behind all sums so far
    for (int step = 3; step < 50; ++step)
      static_cast<void>(training.step(step));
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::communication);
    said = error.what();
  }
  EXPECT_NE(said.find("remote process exited or there was a network error"), std::string::npos) << said;
}

TEST_F(DeviceRanks, FreeNothingUnderASumThatWaitsForAPeer) {
  const auto stuck = [](const Status&) {};  // on a slow machine the double still computes what is left of the step
  const auto ends = [&] {
    Training training;
    for (int step = 0; step < 3; ++step)
      static_cast<void>(training.step(step));
    all.barrier();
    if (last) change({.absent_from = 0});
    on_device(training.backend(), stuck, [&] {
      training.launch(3);
      throw Error(ExitCode::data, "a file is gone");
    });
  };
  try {
    ends();
    ADD_FAILURE() << "nothing was raised";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::data) << error.what();
  }
}

}  // namespace
}  // namespace trainmark::test

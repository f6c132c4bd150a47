// The choice by time: on times that are made up, and on the device double, where candidates are executed for real.
#include "backend/cuda/cudnn/tuning.hpp"

#include <fmt/ranges.h>

#include <map>
#include <numeric>

#include "cuda_runtime/support.hpp"

namespace trainmark::cuda {
namespace {

/// A clock that plays back a function of (candidate, how often this candidate was timed before).
class FakeTimer {
 public:
  using Play = std::function<std::optional<double>(std::size_t, int)>;
  explicit FakeTimer(Play play) : play_(std::move(play)) {}
  std::optional<std::size_t> choose(std::size_t candidates) {
    return fastest(candidates, [this](std::size_t candidate) {
      order.push_back(candidate);
      return play_(candidate, calls[candidate]++);
    });
  }
  std::vector<std::size_t> order;
  std::map<std::size_t, int> calls;

 private:
  Play play_;
};

TEST(Fastest, TakesTheCandidateOfTheLeastTime) {
  for (const std::size_t best : {0U, 1U, 2U}) {
    FakeTimer timer([&](std::size_t candidate, int) { return candidate == best ? 1.0 : 1.1; });
    EXPECT_EQ(timer.choose(3), best);
  }
}

TEST(Fastest, TakesTheFirstOfEquals) {
  FakeTimer timer([](std::size_t, int) { return 1.0; });
  EXPECT_EQ(timer.choose(4), 0U);
}

TEST(Fastest, IsNotFooledByTheFirstExecutionOrByOutliers) {
  FakeTimer slow_start(
      [](std::size_t candidate, int call) { return candidate == 1 ? (call == 0 ? 100.0 : 1.0) : 1.1; });
  EXPECT_EQ(slow_start.choose(2), 1U);
  // One lucky and some unlucky measurements: neither least nor mean would do.
  FakeTimer noisy([](std::size_t candidate, int call) {
    if (candidate == 0) return call == 3 ? 0.1 : 1.2;
    return call >= 5 ? 9.0 : 1.0;
  });
  EXPECT_EQ(noisy.choose(2), 1U);
}

TEST(Fastest, GivesDriftToAllCandidatesAlike) {
  // The clock falls with every measurement: whoever came first as a block would win.
  int now = 0;
  FakeTimer timer([&](std::size_t candidate, int) { return (candidate == 2 ? 1.0 : 1.02) * (1.0 + 0.01 * now++); });
  EXPECT_EQ(timer.choose(3), 2U);
  // Each candidate's turns lie around the same moment, but for the first execution.
  std::map<std::size_t, double> moments;
  for (std::size_t i = 3; i < timer.order.size(); ++i)
    moments[timer.order[i]] += static_cast<double>(i);
  EXPECT_NEAR(moments[0] / moments[1], 1.0, 0.02);
  EXPECT_NEAR(moments[2] / moments[1], 1.0, 0.02);
}

TEST(Fastest, DropsWhoFailsAtOnceOrLater) {
  FakeTimer timer([](std::size_t candidate, int call) -> std::optional<double> {
    if (candidate == 0 || (candidate == 1 && call == 4)) return std::nullopt;
    return candidate == 3 ? 3.0 : static_cast<double>(candidate);
  });
  EXPECT_EQ(timer.choose(4), 2U);
  EXPECT_EQ(timer.calls[0], 1);
  EXPECT_EQ(timer.calls[1], 5) << "timed after it had failed";
}

TEST(Fastest, ChoosesNothingWhereAllFail) {
  FakeTimer timer([](std::size_t, int) { return std::nullopt; });
  EXPECT_EQ(timer.choose(3), std::nullopt);
  EXPECT_EQ(timer.choose(0), std::nullopt);
  FakeTimer late([](std::size_t, int call) { return call == 6 ? std::nullopt : std::optional(1.0); });
  EXPECT_EQ(late.choose(2), std::nullopt);
}

TEST(Fastest, DoesNotTimeTheOnlyOneLeft) {
  FakeTimer timer([](std::size_t candidate, int call) -> std::optional<double> {
    if (candidate == 0 || (candidate == 1 && call == 3)) return std::nullopt;
    return 1.0;
  });
  EXPECT_EQ(timer.choose(3), 2U);
  EXPECT_EQ(timer.calls[2], 4);
  EXPECT_EQ(FakeTimer([](std::size_t, int call) { return call == 0 ? std::optional(1.0) : std::nullopt; }).choose(1),
            0U);
}

TEST(Fastest, SpendsLittleOnTheHopeless) {
  FakeTimer timer([](std::size_t candidate, int) { return candidate == 1 ? 100.0 : 1.0; });
  EXPECT_EQ(timer.choose(3), 0U);
  EXPECT_EQ(timer.calls[1], 2);
  EXPECT_GT(timer.calls[2], 5);
}

/// Writes all of its operands' memory and the workspace, or refuses.
class FakeGraph final : public CompiledGraph {
 public:
  FakeGraph(std::vector<std::size_t> operand_bytes, std::size_t workspace_bytes, bool refuses = false)
      : bytes_(std::move(operand_bytes)), workspace_bytes_(workspace_bytes), refuses_(refuses) {}
  [[nodiscard]] std::size_t workspace_bytes() const override { return workspace_bytes_; }
  [[nodiscard]] std::string engine() const override { return "fake"; }
  void execute(cudaStream_t stream, std::span<void* const> operands, void* workspace) override {
    ++executed;
    std::vector<cuda_double::Access> accesses = {{workspace, workspace_bytes_, true}};
    for (std::size_t i = 0; i < operands.size(); ++i)
      accesses.push_back({operands[i], bytes_.at(i), i + 1 == operands.size()});
    const std::vector<void*> pointers(operands.begin(), operands.end());
    auto body = [this, pointers] {
      for (std::size_t i = 0; i < pointers.size(); ++i) {
        const auto* bytes = static_cast<const unsigned char*>(pointers[i]);
        zero = zero && std::accumulate(bytes, bytes + bytes_[i], 0U) == 0;
      }
    };
    check(cuda_double::enqueue(stream, "candidate", body, accesses), "candidate");
    // After the work: what a plan that fails in the middle has enqueued must not outlive its memory.
    if (refuses_) throw Error(ExitCode::communication, "no shared memory left");
  }
  int executed = 0;
  bool zero = true;

 private:
  std::vector<std::size_t> bytes_;
  std::size_t workspace_bytes_;
  bool refuses_;
};

class CudaTrial : public testing::Test {
 protected:
  void TearDown() override {
    EXPECT_EQ(fmt::format("{}", fmt::join(cuda_double::findings(), "; ")), "");
    cuda_double::reset({});
  }
  const std::vector<std::size_t> bytes = {64, 4096, 32};
};

TEST_F(CudaTrial, ExecutesEveryCandidateOnZeroedMemoryOfItsOwn) {
  for (const auto order : {cuda_double::Order::eager, cuda_double::Order::lazy, cuda_double::Order::random}) {
    cuda_double::reset({.order = order});
    const auto first = std::make_shared<FakeGraph>(bytes, 16), second = std::make_shared<FakeGraph>(bytes, 1024);
    const std::vector<std::shared_ptr<CompiledGraph>> candidates = {first, second};
    const Trial trial = try_on_device(candidates, bytes);
    EXPECT_TRUE(trial.fastest.has_value());
    EXPECT_EQ(trial.failures, "");
    ASSERT_EQ(trial.seconds.size(), 2U);
    EXPECT_TRUE(trial.seconds[0].has_value() && trial.seconds[1].has_value());
    EXPECT_GT(first->executed, 3);
    EXPECT_GT(second->executed, 3);
    EXPECT_TRUE(first->zero && second->zero);
  }
}

TEST_F(CudaTrial, NeedsNoWorkspace) {
  const std::vector<std::shared_ptr<CompiledGraph>> candidates = {std::make_shared<FakeGraph>(bytes, 0)};
  EXPECT_EQ(try_on_device(candidates, bytes).fastest, 0U);
}

TEST_F(CudaTrial, PassesOverACandidateThatFails) {
  cuda_double::reset({.order = cuda_double::Order::lazy});
  const auto broken = std::make_shared<FakeGraph>(bytes, 16, true), sound = std::make_shared<FakeGraph>(bytes, 16);
  std::vector<std::shared_ptr<CompiledGraph>> candidates = {broken, sound};
  const Trial trial = try_on_device(candidates, bytes);
  EXPECT_EQ(trial.fastest, 1U);
  EXPECT_EQ(trial.failures, "no shared memory left\n");
  EXPECT_EQ(broken->executed, 1);
  ASSERT_EQ(trial.seconds.size(), 2U);
  EXPECT_EQ(trial.seconds[0], std::nullopt);

  candidates.pop_back();
  EXPECT_EQ(try_on_device(candidates, bytes).fastest, std::nullopt);
}

TEST_F(CudaTrial, DoesNotTakeALostDeviceForAFailedCandidate) {
  struct Launching final : CompiledGraph {
    [[nodiscard]] std::size_t workspace_bytes() const override { return 0; }
    [[nodiscard]] std::string engine() const override { return "kernel"; }
    void execute(cudaStream_t stream, std::span<void* const>, void*) override {
      launch(
          "candidate", +[] {}, {}, stream);
    }
  };
  cuda_double::reset({.faults = {.failing_launch = 5}});
  const std::vector<std::shared_ptr<CompiledGraph>> candidates(2, std::make_shared<Launching>());
  EXPECT_TRUE(raises(ExitCode::communication, {"the device is lost"},
                     [&] { static_cast<void>(try_on_device(candidates, bytes)); }));
}

TEST_F(CudaTrial, SaysWhatDoesNotFit) {
  cuda_double::reset({.faults = {.memory_bytes = 8192}});
  const std::vector<std::shared_ptr<CompiledGraph>> candidates = {std::make_shared<FakeGraph>(bytes, 1 << 20)};
  EXPECT_TRUE(raises(ExitCode::environment, {"device memory", "asked for"},
                     [&] { static_cast<void>(try_on_device(candidates, bytes)); }));
}

}  // namespace
}  // namespace trainmark::cuda

// Lanes and recorded steps: the same order captured and streamed, in whatever order the device runs what may run; waits
// that hold; captures that fail and are streamed with the reason.
#include <fmt/format.h>

#include <chrono>
#include <thread>

#include "backend/cuda/profiler.hpp"
#include "cuda_double/device.hpp"
#include "cuda_runtime/support.hpp"

namespace trainmark::cuda {
namespace {

using cuda_double::Order;

struct Case {
  Order order;
  bool capture;
  std::uint64_t seed;
};
std::vector<Case> cases() {
  std::vector<Case> all;
  for (const bool capture : {false, true}) {
    for (const Order order : {Order::eager, Order::lazy})
      all.push_back({order, capture, 1});
    for (std::uint64_t seed = 1; seed <= 5; ++seed) {
      all.push_back({Order::random, capture, seed});
      all.push_back({Order::priority, capture, seed});
    }
  }
  return all;
}
std::string name_of(const testing::TestParamInfo<Case>& info) {
  constexpr std::array names = {"Eager", "Lazy", "Random", "Priority"};
  return fmt::format("{}{}{}", names.at(static_cast<std::size_t>(info.param.order)),
                     info.param.capture ? "Captured" : "Streamed", info.param.seed);
}

/// A step of launches on all lanes, each of which notes its number and mixes what it waits for into a value of its own.
class Step {
 public:
  explicit Step(std::uint64_t seed, int count = 40) : values_(static_cast<std::size_t>(count), 0) {
    Rng rng(seed, Purpose::test);
    std::array<int, 3> last = {-1, -1, -1};
    for (int at = 0; at < count; ++at) {
      const auto lane = static_cast<std::size_t>(rng.below(3));
      std::vector<int> waits;
      for (int other = 0; other < at; ++other) {
        if (lane_of(other) != static_cast<Lane>(lane) && rng.below(8) == 0) waits.push_back(other);
      }
      add(at, static_cast<Lane>(lane), last.at(lane), waits);
      last.at(lane) = at;
    }
  }
  [[nodiscard]] const std::vector<Launch>& launches() const { return launches_; }
  [[nodiscard]] const std::vector<int>& ran() const { return ran_; }
  [[nodiscard]] const std::vector<std::uint64_t>& values() const { return values_; }
  [[nodiscard]] int executed() const { return static_cast<HostPlan&>(*plans_.front()).executed; }
  /// What each launch needs to have run before it.
  [[nodiscard]] const std::vector<std::vector<int>>& needs() const { return needs_; }
  /// The values after `steps` steps in the order of the list.
  [[nodiscard]] std::vector<std::uint64_t> expected(int steps) const {
    std::vector<std::uint64_t> values(values_.size(), 0);
    for (int step = 0; step < steps; ++step) {
      for (std::size_t at = 0; at < values.size(); ++at)
        values[at] = mixed(values, static_cast<int>(at), needs_[at]);
    }
    return values;
  }

 private:
  [[nodiscard]] Lane lane_of(int at) const { return launches_[static_cast<std::size_t>(at)].lane; }
  static std::uint64_t mixed(const std::vector<std::uint64_t>& values, int at, const std::vector<int>& needs) {
    std::uint64_t value = values[static_cast<std::size_t>(at)] * 3 + static_cast<std::uint64_t>(at) + 1;
    for (const int need : needs)
      value = value * 1099511628211ULL + values[static_cast<std::size_t>(need)];
    return value;
  }
  void add(int at, Lane lane, int before, const std::vector<int>& waits) {
    std::vector<int> needs = waits;
    if (before >= 0) needs.push_back(before);
    plans_.push_back(std::make_unique<HostPlan>(fmt::format("launch {}", at), [this, at, needs] {
      ran_.push_back(at);
      values_[static_cast<std::size_t>(at)] = mixed(values_, at, needs);
    }));
    launches_.push_back({plans_.back().get(), {}, lane, waits, fmt::format("launch {}", at)});
    needs_.push_back(std::move(needs));
  }

  std::vector<std::unique_ptr<Plan>> plans_;
  std::vector<Launch> launches_;
  std::vector<std::vector<int>> needs_;
  std::vector<int> ran_;
  std::vector<std::uint64_t> values_;
};

class CudaSteps : public testing::TestWithParam<Case> {
 protected:
  void SetUp() override { cuda_double::reset({.order = GetParam().order, .seed = GetParam().seed}); }
};

TEST_P(CudaSteps, RunEachLaunchOnceAStepAfterWhatItNeeds) {
  Lanes lanes = make_lanes();
  const Step step(GetParam().seed);
  const Recording recording = make_replay(step.launches(), lanes, GetParam().capture);
  EXPECT_EQ(recording.streamed_because, "");
  EXPECT_TRUE(step.ran().empty()) << "recording executed";
  constexpr int steps = 3;
  for (int repeat = 0; repeat < steps; ++repeat)
    recording.replay->launch();
  lanes[0].synchronize();
  const std::size_t count = step.launches().size();
  ASSERT_EQ(step.ran().size(), steps * count);
  for (std::size_t repeat = 0; repeat < steps; ++repeat) {
    std::vector<bool> ran(count, false);
    for (std::size_t place = repeat * count; place < (repeat + 1) * count; ++place) {
      const auto at = static_cast<std::size_t>(step.ran()[place]);
      EXPECT_FALSE(ran[at]) << "launch " << at << " of the next step ran before this one had ended";
      for (const int need : step.needs()[at])
        EXPECT_TRUE(ran[static_cast<std::size_t>(need)]) << "launch " << at << " did not wait for " << need;
      ran[at] = true;
    }
  }
  EXPECT_EQ(step.values(), step.expected(steps));
  EXPECT_EQ(step.executed(), GetParam().capture ? 1 : steps);
  EXPECT_TRUE(nothing_found());
}

TEST_P(CudaSteps, AreFoundToRaceWhereAWaitIsForgotten) {
  ASSERT_TRUE(cuda_double::watches_accesses());
  for (const bool waits : {true, false}) {
    Lanes lanes = make_lanes();
    DeviceMemory memory;
    void* gradient = memory.allocate(64, 256);
    HostPlan backward("backward", [] {}, {{gradient, 64, true}});
    HostPlan reduce("reduce", [] {}, {{gradient, 64, true}});
    HostPlan update("update", [] {}, {{gradient, 64, false}});
    const Recording recording =
        make_replay({{&backward, {}, Lane::compute, {}, "backward"},
                     {&reduce, {}, Lane::communication, waits ? std::vector{0} : std::vector<int>{}, "reduce"},
                     {&update, {}, Lane::compute, {1}, "update"}},
                    lanes, GetParam().capture);
    for (int step = 0; step < 3; ++step)
      recording.replay->launch();
    lanes[0].synchronize();
    EXPECT_EQ(static_cast<bool>(nothing_found()), waits);
    memory.deallocate(gradient, 64, 256);
  }
}

TEST_P(CudaSteps, TellForHowLongComputationStoodStillForSums) {
  Lanes lanes = make_lanes();
  HostPlan gradient("gradient", [] {}), update("update", [] {});
  HostPlan sum("sum", [] { std::this_thread::sleep_for(std::chrono::milliseconds(20)); });
  const std::vector<Launch> launches = {{&gradient, {}, Lane::compute, {}, "gradient"},
                                        {&sum, {}, Lane::communication, {0}, "sum"},
                                        {&update, {}, Lane::compute, {1}, "update"}};
  const auto untimed = make_replay(launches, lanes, GetParam().capture).replay;
  const auto timed = make_replay(launches, lanes, GetParam().capture, true).replay;
  EXPECT_FALSE(timed->exposed_seconds()) << "nothing was launched";
  double longest = 0.0;
  for (int step = 0; step < 3; ++step) {
    untimed->launch();
    timed->launch();
    lanes[0].synchronize();
    ASSERT_TRUE(timed->exposed_seconds());
    EXPECT_GE(*timed->exposed_seconds(), 0.0);
    longest = std::max(longest, *timed->exposed_seconds());
  }
  EXPECT_EQ(untimed->exposed_seconds(), 0.0);
  // Streamed, the eager order has summed before the mark is there; other orders may come to it only then.
  if (GetParam().order == Order::eager && GetParam().capture) {
    EXPECT_GE(longest, 0.019);
  }
}

TEST_P(CudaSteps, AnEmptyStepLaunches) {
  Lanes lanes = make_lanes();
  const Recording recording = make_replay({}, lanes, GetParam().capture);
  EXPECT_NO_THROW(recording.replay->launch());
  EXPECT_NO_THROW(recording.replay->launch());
  EXPECT_NO_THROW(lanes[0].synchronize());
}

TEST_P(CudaSteps, UploadsBesideAStepWaitForTheirSlot) {
  Lanes lanes = make_lanes();
  int slot = 0;  // what a batch upload writes and the step reads
  std::vector<int> read;
  HostPlan forward("forward", [&] { read.push_back(slot); });
  const Recording recording = make_replay({{&forward, {}, Lane::compute, {}, "forward"}}, lanes, GetParam().capture);
  CudaEvent uploaded, used;
  for (int batch = 1; batch <= 4; ++batch) {
    used.make_wait(lanes[2]);  // never recorded the first time
    ASSERT_EQ(cuda_double::enqueue(lanes[2].native(), "upload", [&slot, batch] { slot = batch; }, {}), cudaSuccess);
    uploaded.record(lanes[2]);
    uploaded.make_wait(lanes[0]);
    recording.replay->launch();
    used.record(lanes[0]);
  }
  lanes[0].synchronize();
  EXPECT_EQ(read, (std::vector<int>{1, 2, 3, 4}));
}

INSTANTIATE_TEST_SUITE_P(Orders, CudaSteps, testing::ValuesIn(cases()), name_of);

class CudaCapture : public testing::Test {
 protected:
  void SetUp() override { cuda_double::reset({.order = Order::random, .seed = 3}); }
  /// A step that cannot be captured because of `plan`: streamed, for a reason that holds `word`, and after it the lanes
  /// can capture again.
  void expect_streamed(Plan& plan, Lane lane, std::string_view word) {
    Lanes lanes = make_lanes();
    int ran = 0;
    HostPlan before("before", [&] { ++ran; });
    HostPlan after("after", [&] { ++ran; });
    const Recording recording = make_replay({{&before, {}, Lane::compute, {}, "before"},
                                             {&plan, {}, lane, {}, "the odd one"},
                                             {&after, {}, Lane::communication, {0}, "after"}},
                                            lanes, true);
    EXPECT_NE(recording.streamed_because.find(word), std::string::npos) << recording.streamed_because;
    EXPECT_EQ(ran, 0) << "a failed capture executed";
    recording.replay->launch();
    recording.replay->launch();
    lanes[0].synchronize();
    EXPECT_EQ(ran, 4);
    EXPECT_EQ(cudaGetLastError(), cudaSuccess) << "the failed capture left an error behind";
    const Step next(7);
    const Recording captured = make_replay(next.launches(), lanes, true);
    EXPECT_EQ(captured.streamed_because, "");
    captured.replay->launch();
    lanes[0].synchronize();
    EXPECT_EQ(next.values(), next.expected(1));
  }
};

TEST_F(CudaCapture, OfAPlanThatAllocatesIsRefusedAndStreamed) {
  CallPlan plan([](Stream&) {
    void* memory = nullptr;
    check(cudaMalloc(&memory, 64), "cudaMalloc");
    check(cudaFree(memory), "cudaFree");
  });
  expect_streamed(plan, Lane::compute, "cudaErrorStreamCapture");
}

TEST_F(CudaCapture, OfAPlanThatWaitsOnTheHostIsRefusedAndStreamed) {
  CallPlan plan([](Stream& stream) { stream.synchronize(); });
  expect_streamed(plan, Lane::communication, "cudaErrorStreamCapture");
}

TEST_F(CudaCapture, OfWorkThatIsNotJoinedIsRefusedAndStreamed) {
  CudaStream beside(Lane::communication);
  CudaEvent fork;
  CallPlan plan([&](Stream& stream) {
    fork.record(stream);
    fork.make_wait(beside);
    check(cuda_double::enqueue(beside.native(), "beside", [] {}, {}), "beside");
  });
  expect_streamed(plan, Lane::compute, "cudaErrorStreamCaptureUnjoined");
}

TEST_F(CudaCapture, OfAPlanThatRaisesGivesItsErrorAtTheLaunch) {
  Lanes lanes = make_lanes();
  CallPlan plan([](Stream&) { throw Error(ExitCode::environment, "no engine"); });
  const Recording recording = make_replay({{&plan, {}, Lane::compute, {}, "broken"}}, lanes, true);
  EXPECT_EQ(recording.streamed_because, "no engine");
  EXPECT_TRUE(raises(ExitCode::environment, {"no engine"}, [&] { recording.replay->launch(); }));
}

TEST_F(CudaCapture, IsLeftOutWhereStreamingIsAskedFor) {
  Lanes lanes = make_lanes();
  HostPlan plan("plan", [] {});
  const Recording recording = make_replay({{&plan, {}, Lane::compute, {}, "plan"}}, lanes, false);
  EXPECT_EQ(recording.streamed_because, "");
  EXPECT_EQ(plan.executed, 0);
  recording.replay->launch();
  recording.replay->launch();
  EXPECT_EQ(plan.executed, 2);
}

TEST_F(CudaCapture, IsStreamedWhileAProfilerLooks) {
  Lanes lanes = make_lanes();
  const Step step(11);
  const Recording recording = make_replay(step.launches(), lanes, true);
  recording.replay->launch();
  EXPECT_EQ(step.executed(), 1) << "recorded once, launched from the graph";
  {
    const Profiling looking;
    recording.replay->launch();
    EXPECT_EQ(step.executed(), 2);
  }
  recording.replay->launch();
  EXPECT_EQ(step.executed(), 2);
  lanes[0].synchronize();
  EXPECT_EQ(step.values(), step.expected(3));
}

TEST_F(CudaCapture, KeepsThePriorityOfEachLane) {
  Lanes lanes = make_lanes();
  HostPlan plan("plan", [] {});
  const Recording recording = make_replay({{&plan, {}, Lane::compute, {}, "backward"},
                                           {&plan, {}, Lane::communication, {0}, "reduce"},
                                           {&plan, {}, Lane::copy, {}, "copy"},
                                           {&plan, {}, Lane::compute, {1}, "update"}},
                                          lanes, true);
  ASSERT_EQ(recording.streamed_because, "");
  recording.replay->launch();
  lanes[0].synchronize();
  int least = 0, greatest = 0;
  ASSERT_EQ(cudaDeviceGetStreamPriorityRange(&least, &greatest), cudaSuccess);
  std::vector<int> priorities;
  for (const cuda_double::Replayed& node : cuda_double::last_replay())
    priorities.push_back(node.priority);
  EXPECT_EQ(priorities, (std::vector{least, greatest, least, least})) << "sums of a captured step would queue up";
}

TEST_F(CudaCapture, ThatTheDriverRefusesIsStreamed) {
  cuda_double::set_faults({.failing_capture = 0});
  Lanes lanes = make_lanes();
  const Step step(5);
  const Recording recording = make_replay(step.launches(), lanes, true);
  EXPECT_NE(recording.streamed_because.find("cudaErrorStreamCaptureInvalidated"), std::string::npos)
      << recording.streamed_because;
  recording.replay->launch();
  lanes[0].synchronize();
  EXPECT_EQ(step.values(), step.expected(1));
}

TEST_F(CudaCapture, KeepsWhatItsLaunchesNeedUntilTheGraphIsGone) {
  Lanes lanes = make_lanes();
  auto needed = std::make_shared<int>(1);
  CallPlan plan([&](Stream&) { keep_with_capture(needed); });
  Recording recording =
      make_replay({{&plan, {}, Lane::compute, {}, "first"}, {&plan, {}, Lane::compute, {}, "second"}}, lanes, true);
  ASSERT_EQ(recording.streamed_because, "");
  EXPECT_EQ(needed.use_count(), 2) << "once, however often it is used";
  recording.replay.reset();
  EXPECT_EQ(needed.use_count(), 1);
  keep_with_capture(needed);  // outside of a capture nothing is kept
  EXPECT_EQ(needed.use_count(), 1);
}

TEST_F(CudaCapture, DoesNotTakeALaunchThatWaitsForALaterOne) {
  Lanes lanes = make_lanes();
  HostPlan plan("plan", [] {});
  EXPECT_THROW(
      static_cast<void>(make_replay(
          {{&plan, {}, Lane::compute, {1}, "first"}, {&plan, {}, Lane::communication, {}, "second"}}, lanes, true)),
      std::logic_error);
}

TEST(CudaStreams, AKernelThatFailsInACapturedStepIsHeardOfWhereTheHostWaits) {
  cuda_double::reset({.faults = {.failing_launch = 2}});
  Lanes lanes = make_lanes();
  CallPlan plan(launch_kernel);
  const Recording recording = make_replay({{&plan, {}, Lane::communication, {}, "update"}}, lanes, true);
  ASSERT_EQ(recording.streamed_because, "");
  const auto step = [&] {
    recording.replay->launch();
    lanes[0].synchronize();
  };
  EXPECT_NO_THROW(step());
  EXPECT_NO_THROW(step());
  for (int again = 0; again < 2; ++again)
    EXPECT_TRUE(raises(ExitCode::communication, {"cudaErrorIllegalAddress", "lost for this process"}, step));
  cuda_double::reset();
}

TEST(CudaStreams, EventsTellTheTimeBetweenThemOnceBothAreReached) {
  cuda_double::reset({.order = Order::lazy});
  CudaStream stream(Lane::copy);
  CudaEvent begin(true), end(true);
  EXPECT_FALSE(end.seconds_since(begin)) << "never recorded";
  begin.record(stream);
  ASSERT_EQ(cuda_double::enqueue(stream.native(), "slow",
                                 [] { std::this_thread::sleep_for(std::chrono::milliseconds(20)); }, {}),
            cudaSuccess);
  end.record(stream);
  EXPECT_FALSE(end.seconds_since(begin)) << "still queued";
  stream.synchronize();
  ASSERT_TRUE(end.seconds_since(begin));
  EXPECT_GE(*end.seconds_since(begin), 0.02);
  EXPECT_FLOAT_EQ(static_cast<float>(*begin.seconds_since(end)), static_cast<float>(-*end.seconds_since(begin)));
  EXPECT_EQ(cudaGetLastError(), cudaSuccess) << "asking too early left an error behind";
}

TEST(CudaStreams, CommunicationGoesFirst) {
  cuda_double::reset();
  const Lanes lanes = make_lanes();
  std::array<int, 3> priorities{};
  for (std::size_t lane = 0; lane < lanes.size(); ++lane)
    priorities.at(lane) = cuda_double::find_stream(lanes.at(lane).native())->priority;
  EXPECT_LT(priorities[1], priorities[0]);
  EXPECT_EQ(priorities[2], priorities[0]);
}

TEST(CudaStreams, AWaitingHostHearsOfWhatHasFailed) {
  cuda_double::reset({.order = Order::lazy});
  CudaStream stream(Lane::compute);
  const auto wait = [&] { stream.synchronize(); };
  bool failed = false;
  {
    const Watch watch([&] {
      if (failed) throw Error(ExitCode::communication, "a peer ended");
    });
    EXPECT_NO_THROW(wait());
    failed = true;
    EXPECT_TRUE(raises(ExitCode::communication, {"a peer ended"}, wait));
  }
  EXPECT_NO_THROW(wait()) << "a watch that is gone was asked";
}

}  // namespace
}  // namespace trainmark::cuda

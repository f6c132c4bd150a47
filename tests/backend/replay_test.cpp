// Recordings: what is recorded runs only when launched, as often as launched, in the order that lanes and waits ask
// for; and a launch that fails raises, whichever lane it stands on, without leaving the other lane waiting.
#include <atomic>
#include <chrono>
#include <mutex>
#include <stdexcept>
#include <thread>

#include "backend/harness.hpp"

namespace trainmark::test {
namespace {

struct Lanes {
  std::string name;
  std::function<std::unique_ptr<Backend>()> make;
};

class HostPlan final : public Plan {
 public:
  explicit HostPlan(std::function<void()> body) : body_(std::move(body)) {}
  void execute(Stream&, std::span<void* const>) override { body_(); }

 private:
  std::function<void()> body_;
};

class BackendReplay : public testing::TestWithParam<Lanes> {
 protected:
  void SetUp() override { backend = GetParam().make(); }

  /// Adds a launch that notes its name after running `body`.
  int add(
      Lane lane, std::vector<int> waits, std::string name, std::function<void()> body = [] {}) {
    auto noted = [this, name, body = std::move(body)] {
      body();
      const std::scoped_lock lock(mutex);
      ran.push_back(name);
    };
    plans.push_back(std::make_unique<HostPlan>(noted));
    launches.push_back({plans.back().get(), {}, lane, std::move(waits), std::move(name)});
    return static_cast<int>(launches.size()) - 1;
  }
  [[nodiscard]] std::ptrdiff_t place(const std::string& name) const {
    for (std::size_t i = 0; i < ran.size(); ++i) {
      if (ran[i] == name) return static_cast<std::ptrdiff_t>(i);
    }
    return -1;
  }
  static void linger() { std::this_thread::sleep_for(std::chrono::milliseconds(5)); }
  [[noreturn]] static void fail() { throw std::runtime_error("broken link"); }

  std::mutex mutex;
  std::vector<std::string> ran;
  std::vector<std::unique_ptr<Plan>> plans;
  std::vector<Launch> launches;
  std::unique_ptr<Backend> backend;
};

TEST_P(BackendReplay, RecordingExecutesNothingAndEachLaunchAllOfIt) {
  add(Lane::compute, {}, "compute");
  add(Lane::communication, {0}, "reduce");
  const auto replay = backend->record(launches);
  EXPECT_TRUE(ran.empty());
  for (std::size_t times = 1; times <= 3; ++times) {
    replay->launch();
    EXPECT_EQ(ran.size(), 2 * times);
  }
}

TEST_P(BackendReplay, TellsForHowLongComputationStoodStillForSums) {
  const auto sum = [] { std::this_thread::sleep_for(std::chrono::milliseconds(60)); };
  add(Lane::compute, {}, "gradient");
  add(Lane::communication, {0}, "reduce", sum);
  add(Lane::compute, {1}, "update");
  const auto replay = backend->record(launches);
  replay->launch();
  ASSERT_TRUE(replay->exposed_seconds());
  EXPECT_GE(*replay->exposed_seconds(), 0.055);

  launches.clear();
  add(Lane::compute, {}, "gradient");
  add(Lane::compute, {}, "other gradients", [] { std::this_thread::sleep_for(std::chrono::milliseconds(200)); });
  const auto silent = backend->record(launches);
  silent->launch();
  EXPECT_LT(silent->exposed_seconds().value_or(1.0), 0.1) << "what computes is no wait";
}

TEST_P(BackendReplay, AnEmptyRecordingLaunches) {
  const auto replay = backend->record({});
  EXPECT_NO_THROW(replay->launch());
  EXPECT_NO_THROW(replay->launch());
}

TEST_P(BackendReplay, LaunchesWaitForWhatTheyNameOnTheOtherLane) {
  const int gradient = add(Lane::compute, {}, "gradient", linger);
  const int reduce = add(Lane::communication, {gradient}, "reduce", linger);
  const int second = add(Lane::compute, {}, "second gradient", linger);
  const int reduce_second = add(Lane::communication, {second}, "second reduce", linger);
  add(Lane::compute, {reduce, reduce_second}, "update");
  const auto replay = backend->record(launches);
  for (int repeat = 0; repeat < 10; ++repeat) {
    ran.clear();
    replay->launch();
    ASSERT_EQ(ran.size(), 5U);
    EXPECT_LT(place("gradient"), place("reduce"));
    EXPECT_LT(place("gradient"), place("second gradient"));
    EXPECT_LT(place("second gradient"), place("second reduce"));
    EXPECT_LT(place("reduce"), place("second reduce"));
    EXPECT_EQ(place("update"), 4);
  }
}

TEST_P(BackendReplay, LanesRunBesideEachOtherIfTheBackendSaysSo) {
  if (!backend->overlaps()) GTEST_SKIP() << "lanes run inline";
  std::atomic<bool> reducing = false;
  bool met = false;
  add(Lane::communication, {}, "reduce", [&] { reducing = true; });
  add(Lane::compute, {}, "compute", [&] {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (!reducing && std::chrono::steady_clock::now() < deadline)
      std::this_thread::yield();
    met = reducing;
  });
  std::swap(launches[0], launches[1]);  // compute stands first and would never end if it were alone
  backend->record(launches)->launch();
  EXPECT_TRUE(met);
}

TEST_P(BackendReplay, AFailedCommunicationRaisesAndWhatWaitsForItDoesNotRun) {
  const int gradient = add(Lane::compute, {}, "gradient");
  const int reduce = add(Lane::communication, {gradient}, "reduce", fail);
  add(Lane::compute, {reduce}, "update");
  const auto replay = backend->record(launches);
  EXPECT_THROW(replay->launch(), std::runtime_error);
  EXPECT_EQ(ran, std::vector<std::string>{"gradient"});
}

TEST_P(BackendReplay, AFailedComputationRaisesAndWhatWaitsForItDoesNotRun) {
  const int gradient = add(Lane::compute, {}, "gradient", fail);
  const int reduce = add(Lane::communication, {gradient}, "reduce");
  add(Lane::compute, {reduce}, "update");
  const auto replay = backend->record(launches);
  EXPECT_THROW(replay->launch(), std::runtime_error);
  EXPECT_TRUE(ran.empty());
}

TEST_P(BackendReplay, ALaunchAfterAFailureStartsAnew) {
  for (const Lane lane : {Lane::communication, Lane::compute}) {
    launches.clear();
    bool broken = true;
    const auto perhaps = [&broken] {
      if (broken) fail();
    };
    const int gradient = add(Lane::compute, {}, "gradient", lane == Lane::compute ? perhaps : std::function([] {}));
    const int reduce =
        add(Lane::communication, {gradient}, "reduce", lane == Lane::communication ? perhaps : std::function([] {}));
    add(Lane::compute, {reduce}, "update");
    const auto replay = backend->record(launches);
    EXPECT_THROW(replay->launch(), std::runtime_error);
    EXPECT_THROW(replay->launch(), std::runtime_error);
    broken = false;
    ran.clear();
    EXPECT_NO_THROW(replay->launch());
    EXPECT_EQ(ran, (std::vector<std::string>{"gradient", "reduce", "update"}));
  }
}

TEST_P(BackendReplay, ManyShortLaunchesOnBothLanesNeitherHangNorGetLost) {
  constexpr int pairs = 20, repeats = 200;
  for (int i = 0; i < pairs; ++i) {
    const int gradient = add(Lane::compute, i > 1 ? std::vector<int>{2 * i - 3} : std::vector<int>{}, "gradient");
    add(Lane::communication, {gradient}, "reduce");
  }
  const auto replay = backend->record(launches);
  for (int repeat = 0; repeat < repeats; ++repeat)
    replay->launch();
  EXPECT_EQ(ran.size(), static_cast<std::size_t>(2 * pairs * repeats));
}

TEST_P(BackendReplay, ProfilingRunsAndNamesEachLaunchInOrder) {
  add(Lane::compute, {}, "first");
  add(Lane::communication, {0}, "second");
  const Profile profile = backend->profile(launches);
  ASSERT_EQ(profile.size(), 2U);
  EXPECT_EQ(profile[0].first, "first");
  EXPECT_EQ(profile[1].first, "second");
  EXPECT_GE(profile[0].second, 0.0);
  EXPECT_EQ(ran, (std::vector<std::string>{"first", "second"}));
}

INSTANTIATE_TEST_SUITE_P(Lanes, BackendReplay,
                         testing::Values(Lanes{"CpuInline", [] { return make_cpu_backend(1, false); }},
                                         Lanes{"CpuOverlapped", [] { return make_cpu_backend(1, true); }}),
                         [](const testing::TestParamInfo<Lanes>& lanes) { return lanes.param.name; });

/// A recording of real work: launched twice over poisoned outputs it gives the same bits.
class BackendRecording : public BackendTest {};

TEST_P(BackendRecording, LaunchedTwiceGivesTheSameBits) {
  leave_out_engines_that_vary();
  const Conv conv{{3, 3, 3}, {1, 1, 1}, {1, 1, 1}, {1, 1, 1}};
  const auto inputs = list(activation(random({2, 16, 8, 7, 6})), activation(random({2, 17, 8, 7, 6})));
  const std::vector<TensorDesc> outputs = {gradient({17, 16, 3, 3, 3}), gradient({17})};
  Planned planned = backend->plan(ConvBackwardWeights{conv}, {{inputs[0].desc, inputs[1].desc}, outputs});
  const Buffer weights(*backend, backend->bytes_of(outputs[0])), bias(*backend, backend->bytes_of(outputs[1]));
  const Buffer scratch(*backend, planned.scratch_bytes);
  const auto replay =
      backend->record({{planned.plan.get(),
                        {inputs[0].buffer.data(), inputs[1].buffer.data(), weights.data(), bias.data(), scratch.data()},
                        Lane::compute,
                        {},
                        "conv"}});
  const std::vector<std::byte> poison(weights.bytes(), std::byte{0xFF});
  EXPECT_TRUE(weights.download() == poison) << "recording executed";
  replay->launch();
  backend->stream(Lane::compute).synchronize();
  const auto first = weights.download(), first_bias = bias.download();
  EXPECT_FALSE(first == poison);
  weights.upload(poison.data());
  bias.upload(poison.data());
  scratch.upload(std::vector<std::byte>(scratch.bytes(), std::byte{0xFF}).data());
  replay->launch();
  backend->stream(Lane::compute).synchronize();
  EXPECT_TRUE(weights.download() == first);
  EXPECT_TRUE(bias.download() == first_bias);
}

INSTANTIATE_TEST_SUITE_P(Backends, BackendRecording, testing::ValuesIn(cases()), name_of_case);

}  // namespace
}  // namespace trainmark::test

// The emulated device: its time line adds up to the stated times by a clock that a test moves, sums over ranks begin
// when what they wait for would have ended and hide behind what computes, and what fails raises without hanging.
#include "backend/emulated.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <stdexcept>

namespace trainmark {
namespace {

using emulated::DeviceTime;
using emulated::Seconds;
using emulated::TimePoint;

TimePoint at(double seconds) { return TimePoint(std::chrono::duration_cast<TimePoint::duration>(Seconds(seconds))); }
double seconds_of(TimePoint point) { return Seconds(point.time_since_epoch()).count(); }

/// Time passes only where somebody sleeps, or where a test says so.
class FakeClock final : public emulated::HostClock {
 public:
  [[nodiscard]] TimePoint now() const override { return TimePoint(TimePoint::duration(now_.load())); }
  void sleep_until(TimePoint until) override {
    const TimePoint::rep wanted = until.time_since_epoch().count();
    for (TimePoint::rep seen = now_.load(); seen < wanted && !now_.compare_exchange_weak(seen, wanted);) {
    }
  }
  void pass(double seconds) { sleep_until(now() + std::chrono::duration_cast<TimePoint::duration>(Seconds(seconds))); }

 private:
  std::atomic<TimePoint::rep> now_{0};
};

class HostPlan final : public Plan {
 public:
  explicit HostPlan(std::function<void()> body) : body_(std::move(body)) {}
  void execute(Stream&, std::span<void* const>) override { body_(); }

 private:
  std::function<void()> body_;
};

TEST(EmulatedTime, StartsWhenItIsFreeAndGivenSomething) {
  DeviceTime time;
  time.given(at(2.0));
  time.works(Seconds(0.5));
  EXPECT_DOUBLE_EQ(seconds_of(time.free_at()), 2.5);
  time.given(at(2.1));  // while it works
  time.works(Seconds(0.5));
  EXPECT_DOUBLE_EQ(seconds_of(time.free_at()), 3.0);
}

TEST(EmulatedTime, ReachesAnEventAtTheEndOfTheWorkBeforeItHoweverLateItIsRecorded) {
  DeviceTime time;
  EXPECT_DOUBLE_EQ(seconds_of(time.reaches(at(1.0))), 1.0) << "nothing is to be done";
  time.given(at(1.5));
  time.works(Seconds(0.5));
  EXPECT_DOUBLE_EQ(seconds_of(time.reaches(at(9.0))), 2.0);
  EXPECT_DOUBLE_EQ(seconds_of(time.reaches(at(3.0))), 3.0) << "the begin of what follows";
}

TEST(EmulatedTime, StandsStillOnlyForWhatEndsLater) {
  DeviceTime time;
  time.given(at(1.0));
  EXPECT_DOUBLE_EQ(time.waits_for(at(0.5)), 0.0);
  EXPECT_DOUBLE_EQ(time.waits_for(at(1.25)), 0.25);
  EXPECT_DOUBLE_EQ(seconds_of(time.free_at()), 1.25);
}

/// An update of one weight, whose cost is next to nothing beside a layer's here.
Update small_update() { return {.rule = {}, .segments = {{.range = {0, 1}}}}; }
constexpr double within = 1e-4;  // seconds: more than an update's share

/// Two layers of one cost around a sum over ranks: what the first makes is summed, and the update needs the sum.
class EmulatedStep : public testing::Test {
 protected:
  void make(bool overlap) {
    backend = make_emulated_backend({.like = "", .train_ms = 30.0, .eval_ms = 8.0}, overlap, &clock);
    for (int i = 0; i < 2; ++i)
      plans.push_back(plan(Activation{}));
    plans.push_back(plan(small_update()));
    begun = backend->make_event();
    ended = backend->make_event();
  }
  /// Each layer takes half of the step.
  std::unique_ptr<Plan> plan(const Op& op) {
    if (std::holds_alternative<Update>(op) || std::holds_alternative<Accumulate>(op)) return backend->plan(op, {}).plan;
    const TensorDesc tensor{Shape{1024, 1024}, DType::f32, logical_layout};
    return backend->plan(op, {.inputs = {tensor}, .outputs = {tensor}}).plan;
  }
  std::unique_ptr<Replay> step(std::function<void()> sum) {
    sums = std::make_unique<HostPlan>(std::move(sum));
    return backend->record({{plans[0].get(), {}, Lane::compute, {}, "last layer"},
                            {sums.get(), {}, Lane::communication, {0}, "sum"},
                            {plans[1].get(), {}, Lane::compute, {}, "first layer"},
                            {plans[2].get(), {}, Lane::compute, {1}, "update"}});
  }
  double run(Replay& replay) {
    Stream& compute = backend->stream(Lane::compute);
    begun->record(compute);
    replay.launch();
    ended->record(compute);
    compute.synchronize();
    return *ended->seconds_since(*begun);
  }

  FakeClock clock;
  std::unique_ptr<Backend> backend;
  std::vector<std::unique_ptr<Plan>> plans;
  std::unique_ptr<HostPlan> sums;
  std::unique_ptr<StreamEvent> begun, ended;
};

TEST_F(EmulatedStep, TakesTheStatedTimeWhereASumIsHidden) {
  make(true);
  double began = 0.0;
  const auto replay = step([&] { began = seconds_of(clock.now()); });
  EXPECT_NEAR(run(*replay), 0.030, within);
  EXPECT_NEAR(*replay->exposed_seconds(), 0.0, within);
  EXPECT_GE(began, 0.015 - within) << "before what it sums was there";
  for (int more = 2; more < 5; ++more) {
    EXPECT_NEAR(run(*replay), 0.030, within);
    EXPECT_NEAR(seconds_of(clock.now()), 0.030 * more, within) << "steps follow one another without a gap";
  }
}

TEST_F(EmulatedStep, StandsStillForWhatASumTakesBeyondTheComputing) {
  make(true);
  const auto replay = step([&] { clock.sleep_until(at(0.050)); });  // from 0.015 on; the update could begin at 0.030
  EXPECT_NEAR(run(*replay), 0.050, within);
  EXPECT_NEAR(*replay->exposed_seconds(), 0.020, within);
}

TEST_F(EmulatedStep, HidesNoSumWithoutOverlap) {
  make(false);
  const auto replay = step([&] { clock.pass(0.004); });
  EXPECT_NEAR(run(*replay), 0.034, within);
  EXPECT_NEAR(*replay->exposed_seconds(), 0.004, within);
  EXPECT_FALSE(backend->overlaps());
}

TEST_F(EmulatedStep, KnowsAnEvaluationByItsMetricAndPartsByTheirNumber) {
  backend = make_emulated_backend({.like = "", .train_ms = 30.0, .eval_ms = 8.0, .parts = 3}, true, &clock);
  begun = backend->make_event();
  ended = backend->make_event();
  const auto seconds = [&](const Op& last) {
    const auto first = plan(Activation{}), second = plan(last);
    const auto replay =
        backend->record({{first.get(), {}, Lane::compute, {}, "layer"}, {second.get(), {}, Lane::compute, {}, "end"}});
    return run(*replay);
  };
  EXPECT_NEAR(seconds(small_update()), 0.010, within);
  EXPECT_NEAR(seconds(Accumulate{.range = {0, 1}}), 0.010, within);
  EXPECT_NEAR(seconds(Activation{}), 0.0, 1e-9) << "neither training nor evaluation";
  const TensorDesc tensor{Shape{8, 8}, DType::f32, logical_layout}, sum{Shape{3}, DType::f64, logical_layout};
  const Planned metric = backend->plan(Metric{}, {.inputs = {tensor, tensor, tensor}, .outputs = {sum}});
  const auto replay = backend->record({{metric.plan.get(), {}, Lane::compute, {}, "metric"}});
  EXPECT_NEAR(run(*replay), 0.008, within);
}

TEST_F(EmulatedStep, ReturnsWhileTheDeviceWorksAndTellsNothingBefore) {
  make(true);
  std::atomic<bool> go = false;
  const auto replay = step([&] { go.wait(false); });
  begun->record(backend->stream(Lane::compute));
  replay->launch();
  ended->record(backend->stream(Lane::compute));
  EXPECT_FALSE(ended->seconds_since(*begun));
  EXPECT_FALSE(replay->exposed_seconds());
  go = true;
  go.notify_all();
  backend->stream(Lane::compute).synchronize();
  EXPECT_TRUE(ended->seconds_since(*begun));
}

TEST_F(EmulatedStep, RaisesWhatASumRaises) {
  for (const bool overlap : {true, false}) {
    plans.clear();
    make(overlap);
    const auto replay = step([] { throw std::runtime_error("broken link"); });
    replay->launch();
    EXPECT_THROW(backend->stream(Lane::compute).synchronize(), std::runtime_error);
    EXPECT_THROW(replay->launch(), std::runtime_error) << "a device that failed takes nothing more";
  }
}

TEST_F(EmulatedStep, CopiesAreRealAndWaitForTheLaneTheyStandOn) {
  make(true);
  std::vector<float> host = {1.0F, 2.0F, 3.0F}, back(3);
  auto* device = static_cast<float*>(backend->device_memory().allocate(12, 64));
  EXPECT_EQ(device[2], 0.0F) << "memory of zeros";
  backend->copy_to_device(backend->stream(Lane::copy), device, host.data(), 12);
  const auto replay = step([&] { device[1] = 7.0F; });
  replay->launch();
  backend->copy_to_host(backend->stream(Lane::compute), back.data(), device, 12);
  EXPECT_EQ(back, (std::vector<float>{1.0F, 7.0F, 3.0F}));
  backend->device_memory().deallocate(device, 12, 64);
}

TEST_F(EmulatedStep, SaysWhatItIs) {
  make(true);
  EXPECT_TRUE(backend->emulates());
  EXPECT_FALSE(make_null_backend()->emulates());
  EXPECT_EQ(backend->description(),
            "emulated (as stated: 30 ms a training step, 8 ms an evaluation step; computes nothing)");
  EXPECT_NE(make_emulated_backend({.like = "h100", .train_ms = 1.0, .eval_ms = 1.0}, true)
                ->description()
                .find("the floor of h100"),
            std::string::npos);
}

}  // namespace
}  // namespace trainmark

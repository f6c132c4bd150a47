// What lies in which input slot: what a batch brought in is what a program is launched on.
#include "run/train/feed.hpp"

#include "rig.hpp"

namespace trainmark::testing {
namespace {

class Feeding : public ::testing::Test {
 protected:
  void SetUp() override {
    rig.train_samples = 16;
    rig.validation_samples = 12;
    rig.build();
    rig.input.train->start(0);
    rig.input.validation->start(0);
    train_order = Sampler(rig.input.train_sampling);
    validation_order = Sampler(rig.input.validation_sampling);
    feed = std::make_unique<Feed>(rig.backend, rig.options.train.batch() / rig.world.all().size());
  }
  [[nodiscard]] int bring(float rate = 0.25F) {
    return feed->bring(*rig.compiled.train, *rig.input.train, {.now = rate, .before = 0.5F * rate}, 0).slot;
  }
  void evaluate(std::int64_t step) {
    const int slot = feed->bring(*rig.compiled.evaluate, *rig.input.validation, {}, 0).slot;
    feed->launch(*rig.compiled.evaluate, slot);
    EXPECT_EQ(rig.seen.back().program, "evaluate");
    EXPECT_EQ(rig.seen.back().ids, validation_order->batch(0, step));
  }
  void train(int slot, std::int64_t step) {
    feed->launch(*rig.compiled.train, slot);
    EXPECT_EQ(rig.seen.back().program, "train");
    EXPECT_EQ(rig.seen.back().ids, train_order->batch(0, step)) << "the batch that was brought";
  }

  Rig rig;
  std::optional<Sampler> train_order, validation_order;
  std::unique_ptr<Feed> feed;
};

TEST_F(Feeding, LaunchesWhatWasBroughtWhileTheNextOneWaits) {
  int slot = bring();
  for (std::int64_t step = 0; step < 3; ++step) {
    const int next = bring(0.5F);
    EXPECT_NE(next, slot);
    train(slot, step);
    EXPECT_EQ(rig.seen.back().state.rate, step == 0 ? 0.25F : 0.5F);
    EXPECT_EQ(rig.seen.back().state.previous_rate, step == 0 ? 0.125F : 0.25F);
    slot = next;
  }
}

TEST_F(Feeding, AnEvaluationInTheMiddleOfAnEpochLeavesTheWaitingBatchAlone) {
  const int waiting = bring();
  for (const std::int64_t step : {0, 1, 2})
    evaluate(step);
  train(waiting, 0);
  train(bring(), 1);
}

TEST_F(Feeding, KnowsWhenAStepEndedHoweverLateItIsAsked) {
  const int slot = bring(), next = bring();
  feed->launch(*rig.compiled.train, slot);
  const double launched = feed->clock().seconds();  // and done: this device is the host
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  const Feed::Ended ended = feed->take_ended(slot, false);
  EXPECT_LE(ended.at, launched);
  EXPECT_GT(ended.at, 0.0);
  feed->launch(*rig.compiled.train, next);
  const double launched_next = feed->clock().seconds();
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  const Feed::Ended waited_for = feed->take_ended(next, true);
  EXPECT_GE(waited_for.at, launched_next + 0.020) << "whoever has waited knows better";
  EXPECT_LT(waited_for.times.seconds, 0.020 + launched_next - launched) << "which changes nothing of what it took";
}

TEST_F(Feeding, RefusesAThirdBatchAndALaunchOfNone) {
  static_cast<void>(bring());
  const int second = bring();
  EXPECT_THROW(static_cast<void>(bring()), std::logic_error);
  feed->launch(*rig.compiled.train, second);
  EXPECT_THROW(feed->launch(*rig.compiled.train, second), std::logic_error);
}

}  // namespace
}  // namespace trainmark::testing

// Readers that come as they are needed: how many steps want, when no more come, and that training sees the same
// samples.
#include "run/train/readers.hpp"

#include "rig.hpp"

namespace trainmark {
namespace {

using testing::IndexSource;
using testing::Rig;
using testing::Seen;

TEST(ReaderLimits, AreSeveralForEachCpuAndTheRingHasASampleForEach) {
  constexpr double plenty = 1e12;
  EXPECT_EQ(reader_limits(4, 4, 1000, 4, plenty).threads, 16);
  EXPECT_EQ(reader_limits(4, 4, 1000, 4, plenty).prefetch, 4);
  EXPECT_EQ(reader_limits(4, 1, 1000, 4, plenty).threads, 16);
  EXPECT_EQ(reader_limits(4, 1, 1000, 4, plenty).prefetch, 16) << "one sample a batch";
  EXPECT_EQ(reader_limits(4, 1, 1000, 40, plenty).prefetch, 40) << "never fewer than were asked for";
  EXPECT_EQ(reader_limits(500, 64, 1000, 4, plenty).threads, 64);
}

TEST(ReaderLimits, EndWhereTheRingsWouldTakeTooMuchMemory) {
  const ReaderLimits limits = reader_limits(4, 1, 1000, 2, 2.0 * 1000 * 7);  // seven slots a ring, one is in use
  EXPECT_EQ(limits.prefetch, 6);
  EXPECT_EQ(limits.threads, 6);
  EXPECT_EQ(reader_limits(4, 2, 1000, 3, 0.0).prefetch, 3) << "what was asked for stands";
  EXPECT_EQ(reader_limits(4, 2, 1000, 3, 0.0).threads, 6);
}

/// Eight steps of four samples in 80 ms, so long as they do not wait; a reader takes 9.4 ms for a sample.
InputWindow waiting(double waited_seconds) {
  return {.seconds = 0.080 + waited_seconds,
          .waited_seconds = waited_seconds,
          .samples = 32,
          .read_seconds = 0.30,
          .cpu_seconds = 0.030,
          .samples_read = 32};
}

TEST(ReadersWanted, AreThoseThatReadAQuarterFasterThanStepsTakeSamples) {
  EXPECT_EQ(readers_wanted(waiting(0.240), 1, 64, 64.0), 5) << "4 readers read 32 samples in 80 ms";
  EXPECT_EQ(readers_wanted(waiting(0.001), 1, 64, 64.0), 1) << "hardly waited";
  EXPECT_EQ(readers_wanted(waiting(0.010), 6, 64, 64.0), 7) << "there were enough by the arithmetic, and they waited";
}

TEST(ReadersWanted, AreBoundedByTheLaunchAndByTheCpusThatTheyKeepBusy) {
  EXPECT_EQ(readers_wanted(waiting(0.240), 1, 3, 64.0), 3);
  EXPECT_EQ(readers_wanted(waiting(0.240), 3, 3, 64.0), 3);
  InputWindow inflating = waiting(0.240);
  inflating.cpu_seconds = inflating.read_seconds;
  EXPECT_EQ(readers_wanted(inflating, 1, 64, 2.0), 2) << "each takes a CPU";
  EXPECT_EQ(readers_wanted(inflating, 4, 64, 2.0), 4) << "readers do not go away";
  EXPECT_EQ(readers_wanted(waiting(0.240), 1, 64, 0.25), 2) << "a tenth of a CPU each";
}

TEST(ReadersWanted, StayWhereNothingWasRead) {
  InputWindow nothing = waiting(0.240);
  nothing.samples_read = 0;
  nothing.read_seconds = 0.0;
  EXPECT_EQ(readers_wanted(nothing, 1, 64, 64.0), 1);
}

/// A loader of its own, and what its readers are told of its consumer.
class Told : public ::testing::Test {
 protected:
  IndexSource source{64, std::chrono::milliseconds(1)};
  DataSchema schema{{{"x", Shape{2}, DType::f32}, {"y", Shape{1}, DType::f32}}};
  Loader loader{source, schema, sampling(), *std::pmr::new_delete_resource(), {.threads = 1, .prefetch = 2}};

  void SetUp() override { loader.start(0); }
  static Sampling sampling() {
    Sampling order;
    order.shards = {{{0, 64}}};
    order.global_batch = 4;
    return order;
  }
  /// A window of eight steps; returns what was said in its course.
  std::string window(Readers& readers, double seconds, double waited_seconds) {
    std::string said;
    for (int step = 0; step < 8; ++step) {
      static_cast<void>(loader.next());
      said += readers.took(seconds / 8, waited_seconds / 8, 4, false).value_or("");
    }
    return said;
  }
};

TEST_F(Told, AreAddedWhileThatHelpsAndNoLonger) {
  Readers readers(loader, "training", 16, 16.0);
  EXPECT_EQ(window(readers, 100.0, 0.0), "");
  EXPECT_EQ(readers.threads(), 1);
  EXPECT_EQ(readers.why(), "its steps did not wait for input");
  EXPECT_NE(window(readers, 100.0, 50.0).find("training: 2 readers instead of 1: one takes "), std::string::npos)
      << "a millisecond a sample would do, but they waited";
  EXPECT_NE(readers.why().find(", and 32 samples are wanted every 5e+04 ms"), std::string::npos) << readers.why();
  EXPECT_EQ(loader.stats().threads, 2);
  EXPECT_NE(window(readers, 50.0, 25.0).find("3 readers instead of 2"), std::string::npos) << "twice as fast";
  EXPECT_NE(window(readers, 50.0, 25.0).find("it stays at 3 readers: more made nothing faster: 0.64 samples/s"),
            std::string::npos);
  EXPECT_EQ(window(readers, 400.0, 390.0), "") << "for good";
  EXPECT_EQ(loader.stats().threads, 3);
}

TEST_F(Told, ChangeNothingWhereTheConfigSaysHowMany) {
  Readers readers(loader, "training", 0, 16.0);
  EXPECT_EQ(window(readers, 4.0, 3.9), "");
  EXPECT_EQ(loader.stats().threads, 1);
  EXPECT_EQ(readers.why(), "");
}

TEST_F(Told, SayWhatShareOfTheTimeWasWaitedForInput) {
  Readers readers(loader, "training", 16, 16.0);
  const std::string said = window(readers, 100.0, 25.0);
  EXPECT_NE(said.find(" (25 % of that time was waited for input)"), std::string::npos) << said;
}

TEST_F(Told, TakeAnEvaluationForAWindow) {
  Readers readers(loader, "evaluation", 16, 16.0);
  static_cast<void>(loader.next());
  EXPECT_TRUE(readers.took(100.0, 50.0, 4, true).has_value());
  EXPECT_EQ(readers.threads(), 2);
}

/// Of a short training whose every step waits for samples that take 4 ms each.
std::vector<std::vector<std::int64_t>> samples_seen(int most_readers, TrainOutcome& outcome) {
  Rig rig;
  rig.reading = std::chrono::milliseconds(4);
  rig.train_samples = 64;
  rig.validation_samples = 16;
  rig.options.load.most_threads = most_readers;
  outcome = rig.train();
  std::vector<std::vector<std::int64_t>> ids;
  for (const Seen& step : rig.seen)
    ids.push_back(step.ids);
  return ids;
}

TEST(Trainer, AddsReadersWhereStepsWaitAndSeesTheSameSamples) {
  TrainOutcome fixed, grown;
  const auto expected = samples_seen(0, fixed);
  EXPECT_EQ(samples_seen(4, grown), expected);
  EXPECT_EQ(fixed.readers, 1);
  EXPECT_EQ(fixed.readers_why, "");
  EXPECT_GT(grown.readers, 1);
  EXPECT_NE(grown.readers_why.find("ms for a sample"), std::string::npos) << grown.readers_why;
  EXPECT_GT(grown.eval_readers, 1);
}

}  // namespace
}  // namespace trainmark

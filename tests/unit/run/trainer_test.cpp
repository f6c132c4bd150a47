// The loop around a backend that computes nothing: what each step is given, when it ends, what is counted and logged.
// What ends it early stands in divergence_test.cpp.
#include <sys/resource.h>

#include <csignal>
#include <numeric>

#include "rig.hpp"

namespace trainmark {
namespace {

using testing::column;
using testing::records_of;
using testing::Rig;
using testing::Row;
using testing::Seen;

std::vector<double> rates_of(const std::vector<Seen>& steps) {
  std::vector<double> rates;
  for (const Seen& step : steps)
    rates.push_back(step.state.rate);
  return rates;
}

TEST(Trainer, TakesTheLearningRateOfTheEpochThatItIsIn) {
  Rig rig;
  rig.options.train.epochs = 5;
  rig.options.recipe.schedule = PiecewiseSchedule{
      .base_rate = 0.0, .peak_rate = 0.5, .warmup_epochs = 2, .decay = {{.epoch = 3, .factor = 0.25}}};
  static_cast<void>(rig.train());
  const std::vector<double> expected = {0.0, 0.0, 0.25, 0.25, 0.5, 0.5, 0.5, 0.5, 0.125, 0.125};
  EXPECT_EQ(rates_of(rig.seen_by("train")), expected);
  for (const Seen& step : rig.seen_by("evaluate"))
    EXPECT_EQ(step.state.rate, 0.0F);
  if (!rig.results->writes()) return;
  EXPECT_EQ(column(rig.table("epochs.csv"), "rate"), "0 0.25 0.5 0.5 0.125 ");
}

TEST(Trainer, GivesEachStepTheRateOfTheUpdateBeforeAcrossEpochsAndParts) {
  for (const std::int64_t parts : {1, 2}) {
    Rig rig;
    rig.options.train.epochs = 3;
    rig.options.train.gradient_accumulation_steps = parts;
    rig.options.recipe.schedule =
        PiecewiseSchedule{.base_rate = 0.25, .peak_rate = 0.5, .warmup_epochs = 1, .decay = {{1, 0.25}}};
    static_cast<void>(rig.train());
    std::vector<double> before;
    for (const Seen& step : rig.seen_by("train"))
      before.push_back(step.state.previous_rate);
    EXPECT_EQ(before, (std::vector<double>{0.0, 0.25, 0.25, 0.5, 0.5, 0.125}));
  }
}

TEST(Trainer, GivesEachStepItsEpochAndItsSamples) {
  Rig rig;
  static_cast<void>(rig.train());
  const std::vector<Seen> steps = rig.seen_by("train");
  const auto share = 4 / rig.world.all().size();
  ASSERT_EQ(steps.size(), 4U);
  for (std::size_t at = 0; at < steps.size(); ++at) {
    EXPECT_EQ(steps[at].state.epoch, static_cast<std::int64_t>(at / 2)) << "dropout draws its masks by epoch";
    EXPECT_EQ(steps[at].state.valid, share);
  }
  for (const std::size_t epoch : {0U, 1U}) {
    std::vector<double> visits(8);
    for (const std::size_t step : {2 * epoch, 2 * epoch + 1})
      for (const std::int64_t id : steps[step].ids)
        ++visits.at(static_cast<std::size_t>(id));
    rig.world.all().sum(visits);
    EXPECT_EQ(visits, std::vector<double>(8, 1.0)) << "each sample once an epoch";
  }
}

TEST(Trainer, GivesUpRowsThatTheDiskDidNotTakeInsteadOfWritingThemTwice) {
  Rig rig;
  if (rig.world.all().size() > 1) GTEST_SKIP() << "one rank would fail alone";
  rig.train_samples = 400;
  rig.options.train.epochs = 1;
  rig.build();
  auto trainer = std::make_unique<Trainer>(
      Trainer::Parts{rig.world, rig.backend, *rig.compiled.state, *rig.compiled.train, nullptr, nullptr,
                     *rig.compiled.evaluate, *rig.input.train, *rig.input.validation, *rig.timeline, *rig.watchdog,
                     *rig.results, *rig.progress, rig.trace},
      trainer_plan(rig.options, rig.world.all().size(), rig.input.train_sampling, rig.input.validation_sampling));
  constexpr rlim_t most = 1000;  // bytes of a file: a part of the rows of 100 steps
  std::signal(SIGXFSZ, SIG_IGN);
  rlimit before{};
  getrlimit(RLIMIT_FSIZE, &before);
  const rlimit small{most, before.rlim_max};
  setrlimit(RLIMIT_FSIZE, &small);
  std::string reason;
  try {
    static_cast<void>(trainer->run());
  } catch (const Error& error) {
    reason = error.what();
  }
  setrlimit(RLIMIT_FSIZE, &before);
  trainer.reset();
  EXPECT_NE(reason.find("steps.csv: cannot write"), std::string::npos) << reason;
  EXPECT_EQ(rig.text("steps.csv").size(), most) << "the disk has room again, but a part of the rows is there already";
}

TEST(Trainer, CountsNoPaddingInAnEvaluation) {
  Rig rig;
  rig.options.train.epochs = 1;
  rig.validation_samples = 5;  // the second batch is short, and a rank may have nothing in it
  rig.metric = [](const Seen& step) {
    double sum = 0.0;
    for (const std::int64_t id : step.ids)
      sum += static_cast<double>(id);
    return step.ids.empty() ? 0.0 : sum / static_cast<double>(step.ids.size());
  };
  const TrainOutcome outcome = rig.train();
  std::vector<double> counted(5);
  for (const Seen& step : rig.seen_by("evaluate"))
    for (const std::int64_t id : step.ids)
      ++counted.at(static_cast<std::size_t>(id));
  rig.world.all().sum(counted);
  EXPECT_EQ(counted, std::vector<double>(5, 1.0));
  EXPECT_DOUBLE_EQ(outcome.metric, 2.0) << "the mean of 0, 1, 2, 3 and 4, over all ranks";
}

TEST(Trainer, EvaluatesBehindBlocksOfEpochsAndBehindTheLastOne) {
  Rig rig;
  rig.options.train.epochs = 8;
  rig.options.train.eval_every = 4;
  rig.options.train.eval_first = 2;
  const TrainOutcome outcome = rig.train();
  std::vector<std::int64_t> evaluated;
  for (const Seen& step : rig.seen_by("evaluate"))
    if (evaluated.empty() || evaluated.back() != step.state.epoch) evaluated.push_back(step.state.epoch);
  EXPECT_EQ(evaluated, (std::vector<std::int64_t>{1, 5, 7})) << "counted from 0: behind epochs 2, 6 and the last";
  EXPECT_EQ(outcome.epochs, 8);
  EXPECT_EQ(outcome.steps, 16);
  if (!rig.results->writes()) return;
  EXPECT_EQ(column(rig.table("epochs.csv"), "epoch"), "2 6 8 ");
  const auto starts = records_of(rig.log(), "block_start");
  ASSERT_EQ(starts.size(), 3U);
  const std::vector<std::pair<std::int64_t, std::int64_t>> expected = {{1, 2}, {3, 4}, {7, 2}};
  for (std::size_t at = 0; at < 3; ++at) {
    const auto value = [&](const char* name) {
      const auto found = std::ranges::find(starts[at].metadata, name, &Metadata::value_type::first);
      return found == starts[at].metadata.end() ? -1 : std::get<std::int64_t>(found->second);
    };
    EXPECT_EQ(value("first_epoch_num"), expected[at].first);
    EXPECT_EQ(value("epoch_count"), expected[at].second);
  }
  EXPECT_TRUE(records_of(rig.log(), "epoch_start").empty());
}

TEST(Trainer, EndsWithinABlockWhereTheStepsAreDone) {
  Rig rig;
  rig.options.train.until = Until::steps;
  rig.options.train.steps = 7;
  rig.options.train.eval_every = 3;
  const TrainOutcome outcome = rig.train();
  EXPECT_EQ(outcome.steps, 7);
  EXPECT_EQ(outcome.epochs, 3) << "the fourth was not finished";
  EXPECT_EQ(rig.seen_by("train").size(), 7U);
}

TEST(Trainer, EvaluatesEachEpochByItself) {
  Rig rig;
  rig.options.train.epochs = 3;
  rig.metric = [](const Seen& step) { return step.state.epoch == 1 ? 0.25 : 1.0; };
  const TrainOutcome outcome = rig.train();
  EXPECT_DOUBLE_EQ(outcome.metric, 1.0);
  EXPECT_DOUBLE_EQ(outcome.best_metric, 0.25);
  EXPECT_EQ(outcome.epochs, 3);
  EXPECT_EQ(outcome.steps, 6);
  EXPECT_EQ(outcome.samples, 24);
  EXPECT_FALSE(outcome.target_met);
  if (!rig.results->writes()) return;
  EXPECT_EQ(column(rig.table("epochs.csv"), "eval_metric"), "1 0.25 1 ");
  const auto metrics = records_of(rig.log(), "eval_error");
  ASSERT_EQ(metrics.size(), 3U);
  for (std::size_t at = 0; at < 3; ++at) {
    EXPECT_EQ(std::get<double>(metrics[at].value), at == 1 ? 0.25 : 1.0);
    const auto epoch = std::ranges::find(metrics[at].metadata, "epoch_num", &Metadata::value_type::first);
    ASSERT_NE(epoch, metrics[at].metadata.end());
    EXPECT_EQ(std::get<std::int64_t>(epoch->second), static_cast<std::int64_t>(at + 1));
  }
}

TEST(Trainer, StopsAtTheFirstEvaluationThatMeetsTheTarget) {
  for (const double target : {0.25, 0.24}) {
    Rig rig;
    rig.options.train.until = Until::target;
    rig.options.train.epochs = 4;
    rig.options.train.target = target;
    rig.metric = [](const Seen& step) { return step.state.epoch == 0 ? 0.5 : 0.25; };
    const TrainOutcome outcome = rig.train();
    EXPECT_EQ(outcome.target_met, target == 0.25);
    EXPECT_EQ(outcome.epochs, target == 0.25 ? 2 : 4);
    if (!rig.results->writes()) continue;
    const auto stop = records_of(rig.log(), "run_stop");
    ASSERT_EQ(stop.size(), 1U);
    const auto status = std::ranges::find(stop[0].metadata, "status", &Metadata::value_type::first);
    EXPECT_EQ(std::get<std::string>(status->second), target == 0.25 ? "success" : "aborted");
  }
}

TEST(Trainer, ReachesNoTargetByAMetricOfNothing) {
  Rig rig;
  rig.options.train.until = Until::target;
  rig.options.train.epochs = 1;
  rig.metric = [](const Seen&) { return 0.0; };
  EXPECT_FALSE(rig.train().target_met);
}

TEST(Trainer, GoesOnOverEpochsUntilItsStepsAreDone) {
  Rig rig;
  rig.options.train.until = Until::steps;
  rig.options.train.steps = 5;
  rig.options.train.epochs = 1;  // not asked for
  const TrainOutcome outcome = rig.train();
  EXPECT_EQ(outcome.steps, 5);
  EXPECT_EQ(outcome.epochs, 2) << "the third ended within";
  EXPECT_EQ(outcome.samples, 20);
  EXPECT_EQ(rig.seen_by("train").size(), 5U);
  EXPECT_EQ(outcome.step_seconds.size(), 5U);
  EXPECT_GT(outcome.first_step_seconds, 0.0);
  EXPECT_EQ(outcome.first_step_seconds, outcome.step_seconds.front());
  if (!rig.results->writes()) return;
  EXPECT_EQ(column(rig.table("steps.csv"), "step"), "1 2 3 4 5 ");
  EXPECT_EQ(column(rig.table("steps.csv"), "epoch"), "1 1 2 2 3 ");
  EXPECT_EQ(rig.table("epochs.csv").size(), 2U);
}

TEST(Trainer, BeginsNoEpochOnceItsStepsAreDone) {
  Rig rig;
  rig.options.train.until = Until::steps;
  rig.options.train.steps = 4;
  EXPECT_EQ(rig.train().epochs, 2);
  if (rig.results->writes()) {
    EXPECT_EQ(records_of(rig.log(), "epoch_start").size(), 2U);
  }
}

TEST(Trainer, EndsAfterItsSecondsByTheClockOfRank0) {
  Rig rig;
  rig.options.train.until = Until::seconds;
  rig.options.train.seconds = 1e-9;
  EXPECT_EQ(rig.train().steps, 0);
  Rig longer;
  longer.options.train.until = Until::seconds;
  longer.options.train.seconds = 0.2;
  const Clock clock;
  EXPECT_GT(longer.train().steps, 0);
  std::array<double, 1> took = {clock.seconds()};
  longer.world.all().max(took);
  EXPECT_GE(took[0], 0.2);
}

TEST(Trainer, WritesTheLossesOfItsStepsAndTheirMean) {
  Rig rig;
  rig.loss = [count = 0](const Seen&) mutable { return static_cast<float>(++count); };
  static_cast<void>(rig.train());
  if (!rig.results->writes()) return;
  EXPECT_EQ(column(rig.table("steps.csv"), "loss"), "1 2 3 4 ");
  EXPECT_EQ(column(rig.table("epochs.csv"), "train_loss"), "1.5 3.5 ");
  EXPECT_EQ(column(rig.table("epochs.csv"), "epoch"), "1 2 ");
  const std::vector<Row> epochs = rig.table("epochs.csv");
  const auto throughput = records_of(rig.log(), "throughput");
  ASSERT_EQ(throughput.size(), 2U);
  for (std::size_t at = 0; at < 2; ++at) {
    const double seconds = std::stod(epochs[at].at("train_s")), rate = std::stod(epochs[at].at("samples_per_s"));
    EXPECT_NEAR(rate * seconds, 8.0, 8e-6 / seconds + 0.01) << "samples of an epoch";
    EXPECT_NEAR(std::get<double>(throughput[at].value), rate, 0.001);
    EXPECT_EQ(epochs[at].at("parameter_hash").size(), 16U);
  }
}

TEST(Trainer, AddsUpTheBatchesOfAStepInParts) {
  Rig rig;
  rig.options.train.gradient_accumulation_steps = 2;
  rig.options.train.until = Until::steps;
  rig.options.train.steps = 3;
  const TrainOutcome outcome = rig.train();
  std::string order;
  for (const Seen& launch : rig.seen)
    order += launch.program.substr(0, 1);
  EXPECT_EQ(order, "ptpteept") << "parts before the step's last batch; the validation set is two batches of two";
  EXPECT_EQ(outcome.steps, 3);
  EXPECT_EQ(outcome.samples, 12);
  std::vector<double> visits(8);
  for (std::size_t at = 0; at < 4; ++at)
    for (const std::int64_t id : rig.seen.at(at).ids)
      ++visits.at(static_cast<std::size_t>(id));
  rig.world.all().sum(visits);
  EXPECT_EQ(visits, std::vector<double>(8, 1.0));
}

TEST(Trainer, NamesTheRankWhoseParametersAreOthers) {
  if (test_world().all().size() == 1) GTEST_SKIP() << "takes several ranks";
  Rig rig;
  int updates = 0;
  rig.update = [&](float* parameters) {
    // One of the last rank's updates goes wrong, in the second epoch.
    if (++updates > 4 && rig.world.all().rank() == rig.world.all().size() - 1) parameters[0] += 1.0F;
  };
  const std::string text = rig.refusal(ExitCode::environment);
  EXPECT_NE(text.find("the parameters after epoch 2 differs from rank 0's on rank 1"), std::string::npos) << text;
  EXPECT_NE(text.find("test their memory"), std::string::npos) << text;
}

TEST(Trainer, HashesWhatItsRanksAgreeOn) {
  Rig rig;
  rig.update = [](float* parameters) { parameters[0] += 1.0F; };
  static_cast<void>(rig.train());
  if (!rig.results->writes()) return;
  const std::vector<Row> epochs = rig.table("epochs.csv");
  EXPECT_NE(epochs.at(0).at("parameter_hash"), epochs.at(1).at("parameter_hash"));
}

TEST(Trainer, LogsEveryFigureOfAnEvaluationAndJudgesTheFirst) {
  Rig rig;
  rig.options.train.until = Until::target;
  rig.options.train.target = 0.1;
  rig.options.train.epochs = 2;
  rig.metric = [](const Seen&) { return 0.25; };  // its square, the second sum, would reach the target
  rig.more_figures = {{"eval_loss", &Score::loss}};
  const TrainOutcome outcome = rig.train();
  EXPECT_FALSE(outcome.target_met);
  EXPECT_EQ(outcome.metric, 0.25);
  if (!rig.results->writes()) return;
  for (const auto& [key, value] : {std::pair("eval_error", 0.25), std::pair("eval_loss", 0.0625)}) {
    const std::vector<LogRecord> logged = records_of(rig.log(), key);
    ASSERT_EQ(logged.size(), 2U) << key;
    EXPECT_EQ(std::get<double>(logged[0].value), value) << key;
  }
}
TEST(Trainer, HasNoLossScaleWhereTheGraphHasNone) {
  Rig rig;
  EXPECT_FALSE(rig.train().loss_scale.has_value());
}

// --- the watchdog, the device and an outer profiler
// ----------------------------------------------------------------------

TEST(Trainer, BeatsAfterEachBatchOfTrainingAndEvaluation) {
  for (const std::string slow : {"train", "part", "evaluate"}) {
    Rig rig;
    rig.options.train.gradient_accumulation_steps = slow == "part" ? 2 : 1;
    rig.options.train.epochs = 1;
    rig.options.watchdog.step_seconds = 300;
    rig.validation_samples = 12;
    const auto take_long = [&](const Seen& step) {
      // A part is known as one only after its loss.
      if (step.program != (slow == "part" ? "train" : slow)) return;
      rig.now = rig.now + 200.0;
      rig.await_watchdog();
    };
    rig.loss = [&](const Seen& step) { return take_long(step), 0.5F; };
    rig.metric = [&](const Seen& step) { return take_long(step), 0.5; };
    static_cast<void>(rig.train());
    rig.watchdog.reset();
    EXPECT_TRUE(rig.barks.empty()) << slow << ": " << rig.barks.front();
  }
}

TEST(Trainer, SetsTheLimitOfAStep) {
  Rig rig;
  rig.options.watchdog.step_seconds = 300;
  rig.loss = [&](const Seen&) {
    if (rig.now == 0.0) {
      rig.now = 301.0;
      rig.await_watchdog();
    }
    return 0.5F;
  };
  static_cast<void>(rig.train());
  rig.watchdog.reset();
  ASSERT_EQ(rig.barks.size(), 1U);
  EXPECT_NE(rig.barks[0].find("301.0 s in phase 'training' (limit 300.0 s)"), std::string::npos) << rig.barks[0];
}

TEST(Trainer, BracketsTheStepsOfAProfiler) {
  Rig rig;
  rig.backend.profiles = true;
  rig.profile_steps = StepRange{2, 3};
  std::vector<bool> open;
  rig.loss = [&](const Seen&) {
    open.push_back(!rig.backend.bracket.expired());
    return 0.5F;
  };
  const TrainOutcome outcome = rig.train();
  EXPECT_EQ(open, (std::vector<bool>{false, true, true, false}));
  EXPECT_EQ(rig.backend.brackets, 1);
  EXPECT_EQ(outcome.profiled_steps, 2);
  EXPECT_EQ(rig.backend.ranges, (std::vector<std::string>{"training epoch 1", "evaluation of epoch 1",
                                                          "training epoch 2", "evaluation of epoch 2"}));
}

TEST(Trainer, SaysWhatWasNotProfiled) {
  for (const std::int64_t first : {1, 5}) {
    Rig rig;
    rig.aloud = true;
    rig.profile_steps = StepRange{first, first};
    ::testing::internal::CaptureStderr();
    const TrainOutcome outcome = rig.train();
    const std::string told = ::testing::internal::GetCapturedStderr();
    EXPECT_EQ(outcome.profiled_steps, 0);
    if (!rig.results->writes()) continue;
    const std::string expected = first == 1
                                     ? "--profile-steps is for devices"
                                     : "no step was profiled: the run ended after 4, --profile-steps begins at 5";
    EXPECT_NE(told.find(expected), std::string::npos) << told;
  }
}

TEST(Trainer, ReadsItsDevicesSensors) {
  Rig rig;
  rig.backend.reading = DeviceReading{.watts = 400.0, .core_mhz = 1980, .memory_mhz = 2619, .throttled_by = ""};
  const TrainOutcome outcome = rig.train();
  ASSERT_FALSE(outcome.sensors.empty());
  EXPECT_EQ(outcome.sensors.mean_watts(), 400.0);
}

TEST(Trainer, TellsAPersonHowFarItIs) {
  Rig rig;
  rig.aloud = true;
  rig.options.train.epochs = 1;
  ::testing::internal::CaptureStderr();
  static_cast<void>(rig.train());
  const std::string told = ::testing::internal::GetCapturedStderr();
  if (!rig.results->writes()) {
    EXPECT_EQ(told, "");
    return;
  }
  EXPECT_NE(told.find("epoch 1: step 1 of 2  loss 0.50000  "), std::string::npos) << told;
  EXPECT_NE(told.find("epoch 1: step 2 of 2  loss 0.50000  "), std::string::npos) << told;
  EXPECT_NE(told.find("0.0 s left in epoch"), std::string::npos) << told;
  EXPECT_NE(told.find("epoch 1: evaluating, 1 of 1"), std::string::npos) << told;
  EXPECT_NE(told.find("epoch   1  loss 0.50000  eval_error 0.25000 (target 0.124)  "), std::string::npos) << told;
}

TEST(Trainer, WaitsAsLongAsItsTablesSay) {
  Rig rig;
  rig.reading = std::chrono::milliseconds(5);
  const TrainOutcome outcome = rig.train();
  if (!rig.results->writes()) return;
  const auto sum_of = [&](const std::string& table, const std::string& name) {
    double sum = 0.0;
    for (const Row& row : rig.table(table))
      sum += std::stod(row.at(name));
    return sum;
  };
  constexpr double rounding = 4 * 1e-6;  // of the tables
  EXPECT_NEAR(sum_of("steps.csv", "wait_for_input_s"), outcome.wait_seconds, rounding);
  EXPECT_NEAR(sum_of("epochs.csv", "wait_for_input_s"), outcome.wait_seconds, rounding);
  EXPECT_NEAR(sum_of("epochs.csv", "train_s"), outcome.train_seconds, rounding);
  EXPECT_NEAR(sum_of("steps.csv", "step_s"),
              std::accumulate(outcome.step_seconds.begin(), outcome.step_seconds.end(), 0.0), rounding);
}

TEST(Trainer, SumsUpItsUploadsAndTimes) {
  Rig rig;
  rig.options.train.until = Until::steps;
  rig.options.train.steps = 2;
  // An upload begins and ends, then its step; the second upload begins beside that step and ends a second after it.
  rig.backend.times = {1.0, 3.0, 3.0, 7.0, 6.0, 8.0, 8.0, 9.0};
  const TrainOutcome outcome = rig.train();
  EXPECT_DOUBLE_EQ(outcome.uploads.seconds, 4.0);
  EXPECT_DOUBLE_EQ(outcome.uploads.exposed_seconds, 3.0);
  EXPECT_GE(outcome.wait_seconds, 0.0);
  EXPECT_GT(outcome.train_seconds, 0.0);
  EXPECT_GT(outcome.eval_seconds, 0.0);
  EXPECT_LE(std::accumulate(outcome.step_seconds.begin(), outcome.step_seconds.end(), 0.0), outcome.train_seconds);
  EXPECT_LE(outcome.wait_seconds, outcome.train_seconds);
}

}  // namespace
}  // namespace trainmark

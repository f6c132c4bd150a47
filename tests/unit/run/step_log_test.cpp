// Where steps spend their time, by values: terms that add up in tables and figures, and delays that are planted in one
// rank and found there, under their name. Delays are far longer than what a loaded machine adds.
#include <chrono>
#include <thread>

#include "rig.hpp"

namespace trainmark {
namespace {

using testing::column;
using testing::Rig;
using testing::Row;
using testing::Seen;

double number(const Row& row, const std::string& name) { return std::stod(row.at(name)); }

void sleep_ms(int ms) { std::this_thread::sleep_for(std::chrono::milliseconds(ms)); }

/// A run whose steps wait for each other, as steps that sum gradients do.
class Waiting : public ::testing::Test {
 protected:
  void SetUp() override {
    rig.train_samples = 40;
    rig.options.train.epochs = 2;
    rig.backend.sum = [this](const Group& group) {
      sleep_ms(sum_ms);
      group.barrier();
    };
    rig.build();
  }
  TrainOutcome finish() {
    const TrainOutcome outcome = rig.train();
    static_cast<void>(rig.recorder->completed(outcome, rig.input.train->stats()));
    return outcome;
  }
  [[nodiscard]] bool is_last() const { return rank == ranks - 1; }
  /// What run.json says of the last rank, where there are several.
  void expect_last(const std::string& by) {
    if (!rig.results->writes() || ranks == 1) return;
    const auto run = rig.json("run.json");
    EXPECT_EQ(run["figures"]["last_rank"], ranks - 1);
    EXPECT_GE(run["figures"]["last_rank_steps"], 15) << "of 20, the first of which does not count";
    EXPECT_EQ(run["texts"]["last_rank_by"], by);
    EXPECT_EQ(rig.table("ranks.csv").back().at("last_by"), "\"" + by + "\"");
  }

  Rig rig;
  int rank = rig.world.all().rank(), ranks = rig.world.all().size();
  int sum_ms = 0;
};

TEST_F(Waiting, TermsAddUpToTheStepInEveryTable) {
  rig.loss = [](const Seen&) {
    sleep_ms(3);
    return 0.5F;
  };
  const TrainOutcome outcome = finish();
  const double in_steps = std::accumulate(outcome.step_seconds.begin(), outcome.step_seconds.end(), 0.0);
  EXPECT_NEAR(outcome.log.total().sum(), in_steps, 0.01 * in_steps);
  EXPECT_NEAR(outcome.log.first().sum(), outcome.first_step_seconds, 0.01 * outcome.first_step_seconds);
  EXPECT_EQ(outcome.log.step().count(), 19) << "the first step stands apart";
  if (!rig.results->writes()) return;
  const std::vector<Row> steps = rig.table("steps.csv");
  ASSERT_EQ(steps.size(), 20U);
  for (const Row& row : steps) {
    double sum = 0.0;
    for (const std::string_view term : Words<Term>::all)
      sum += number(row, std::string(term) + "_s");
    EXPECT_NEAR(sum, number(row, "step_s"), 1e-5) << "rounding of six numbers";
    EXPECT_GE(number(row, "compute_s"), 0.003);
  }
  const auto figures = rig.json("run.json")["figures"];
  double sum = 0.0;
  for (const std::string_view term : Words<Term>::all)
    sum += figures.at(std::string(term) + "_s").get<double>();
  EXPECT_NEAR(sum, figures["steps_s"].get<double>(), 0.01 * sum);
  for (const Row& row : rig.table("ranks.csv")) {
    EXPECT_LE(number(row, "compute_p50_s"), 1.01 * number(row, "compute_p99_s"));
    EXPECT_LE(number(row, "compute_p99_s"), number(row, "compute_max_s"));
    EXPECT_LE(number(row, "compute_p50_s"), 1.01 * number(row, "step_p99_s"));
  }
}

TEST_F(Waiting, ASlowRankIsFoundByItsComputation) {
  rig.loss = [this](const Seen&) {
    sleep_ms(is_last() ? 40 : 0);
    return 0.5F;
  };
  static_cast<void>(finish());
  expect_last("compute");
  if (!rig.results->writes() || ranks == 1) return;
  const std::vector<Row> rows = rig.table("ranks.csv");
  EXPECT_GT(number(rows[0], "exposed_all_reduce_p50_s"), 0.02) << "who waits";
  EXPECT_GT(number(rows[1], "compute_p50_s"), 0.039);
}

TEST_F(Waiting, ALateInputIsFoundAsSuch) {
  rig.input.train.reset();
  rig.input.train_source =
      std::make_unique<testing::IndexSource>(rig.train_samples, std::chrono::milliseconds(is_last() ? 40 : 0));
  rig.input.train = std::make_unique<Loader>(*rig.input.train_source,
                                             DataSchema{{{"x", Shape{2}, DType::f32}, {"y", Shape{1}, DType::f32}}},
                                             rig.input.train_sampling, rig.backend.pinned_memory(), rig.options.load);
  static_cast<void>(finish());
  expect_last("exposed_input");
  if (!rig.results->writes()) return;
  EXPECT_GT(number(rig.table("ranks.csv").back(), "exposed_input_p50_s"), 0.02);
}

TEST_F(Waiting, ASlowSumIsNobodysFault) {
  if (ranks == 1) GTEST_SKIP() << "a rank alone sums with nobody";
  sum_ms = 30;
  static_cast<void>(finish());
  if (!rig.results->writes()) return;
  for (const Row& row : rig.table("ranks.csv"))
    EXPECT_GT(number(row, "exposed_all_reduce_p50_s"), 0.029);
  EXPECT_GT(rig.json("run.json")["figures"]["exposed_all_reduce_s"].get<double>(), 20 * 0.03);
}

TEST(StepLog, SettlesAsOftenAsItMust) {
  const World& world = test_world();
  StepLog log;
  for (int step = 0; step < 3000; ++step) {
    const bool late = world.all().rank() == 0;  // it waits for nobody
    log.add(1.0, StepTerms(1.0, 0.0, 0.0, 0.9, late ? 0.0 : 0.5));
    if (log.is_full()) log.settle(world.all());
  }
  log.settle(world.all());
  EXPECT_EQ(log.step().count(), 2999);
  if (world.all().size() == 1) {
    EXPECT_FALSE(log.lateness());
    return;
  }
  EXPECT_EQ(log.lateness()->steps, world.all().rank() == 0 ? 2999 : 0);
  EXPECT_NEAR(log.lateness()->seconds, world.all().rank() == 0 ? 2999 * 0.5 : 0.0, 1e-6);
}

}  // namespace
}  // namespace trainmark

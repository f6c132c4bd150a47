// A step with one thing off at a time: delays that are planted in its input, in its sums and in one of its ranks are
// each found and named, and losses add up. Delays are far longer than what a loaded machine adds.
#include <chrono>
#include <thread>

#include "rig.hpp"
#include "run/ablate/ablation.hpp"

namespace trainmark {
namespace {

using testing::Rig;
using testing::Seen;

void sleep_ms(int ms) { std::this_thread::sleep_for(std::chrono::milliseconds(ms)); }

class Ablating : public ::testing::Test {
 protected:
  void SetUp() override {
    rig.backend.sum = [this](const Group& group) {
      // One of the step's several sums is slow.
      if (sums++ % sums_a_step == 0) sleep_ms(sum_ms);
      group.barrier();
    };
    rig.loss = [this](const Seen& step) {
      rates.push_back(step.state.rate);
      sleep_ms(rank == ranks - 1 ? compute_ms : 0);
      return 0.5F;
    };
  }
  AblationResult compare() {
    rig.build();
    const Graph graph = rig.training_step();
    for (const Node& node : graph.nodes)
      sums_a_step += std::holds_alternative<AllReduce>(node.op) ? 1 : 0;
    const auto nobody = rig.backend.make_collective(rig.world.all().split(rank));
    Program unsummed(rig.backend, graph, *rig.compiled.state, *nobody, rig.slots, {});
    AblationPrograms programs;
    programs.whole.train = rig.compiled.train.get();
    if (ranks > 1) programs.unsummed.train = &unsummed;
    programs.left_out = {"bf16: this backend has no plan of it"};
    const AblationResult result =
        compare_variants({rig.world, rig.backend, *rig.compiled.state, 4 / ranks, 1, 6, [] {}}, programs,
                         {rig.input.train.get(), nullptr}, how);
    return result;
  }
  static std::string largest(const AblationResult& result) {
    const StepLoss* loss = result.attribution.largest();
    return loss == nullptr ? "none" : loss->name;
  }
  static double milliseconds(const AblationResult& result, const std::string& loss) {
    for (const StepLoss& each : result.attribution.losses)
      if (each.name == loss) return 1e3 * each.seconds.mean;
    ADD_FAILURE() << loss;
    return 0.0;
  }

  Rig rig;
  AblateOptions how{.rounds = 3, .steps = 4};
  int rank = rig.world.all().rank(), ranks = rig.world.all().size();
  int compute_ms = 0, sum_ms = 0, sums = 0, sums_a_step = 0;
  std::vector<float> rates;
};

TEST_F(Ablating, FindsALateInput) {
  rig.reading = std::chrono::milliseconds(25);  // a sample, of 4 or 2 a batch; less by its readers
  rig.options.load.threads = 1;
  const AblationResult result = compare();
  EXPECT_EQ(largest(result), "input");
  EXPECT_GT(milliseconds(result, "input"), 15.0);
  EXPECT_LT(result.attribution.efficiency.mean, 0.5);
  EXPECT_NE(to_text(result).find("most is lost to input"), std::string::npos) << to_text(result);
}

TEST_F(Ablating, FindsASlowSum) {
  if (ranks == 1) GTEST_SKIP() << "a rank alone sums with nobody";
  sum_ms = 40;
  const AblationResult result = compare();
  EXPECT_EQ(largest(result), "all_reduce");
  EXPECT_GT(milliseconds(result, "all_reduce"), 30.0);
  EXPECT_NE(to_text(result).find("most is lost to all_reduce"), std::string::npos) << to_text(result);
}

TEST_F(Ablating, FindsASlowRank) {
  if (ranks == 1) GTEST_SKIP() << "a rank alone is not slower than others";
  compute_ms = 60;
  const AblationResult result = compare();
  EXPECT_EQ(largest(result), "slowest_rank");
  EXPECT_GT(milliseconds(result, "slowest_rank"), 20.0)
      << "half of the delay: the mean of two ranks has the other half";
  EXPECT_EQ(result.attribution.slowest_rank, ranks - 1);
  EXPECT_GT(result.attribution.slowest_rank_excess, 0.5);
  ASSERT_TRUE(result.last);
  EXPECT_EQ(result.last->rank, ranks - 1);
  EXPECT_EQ(result.last->by, "compute");
  const std::string text = to_text(result);
  EXPECT_NE(text.find("most is lost to slowest_rank"), std::string::npos) << text;
  EXPECT_NE(text.find("slowest by itself: rank 1 on " + rig.world.host()), std::string::npos) << text;
}

TEST_F(Ablating, LossesAddUpAndTheModelStaysAsItWas) {
  compute_ms = 2;
  rig.reading = std::chrono::milliseconds(1);
  rig.update = [](float* parameters) { parameters[0] += 1.0F; };
  const AblationResult result = compare();
  double sum = 0.0;
  for (const StepLoss& loss : result.attribution.losses)
    sum += loss.seconds.mean;
  const Attribution& found = result.attribution;
  EXPECT_NEAR(sum, found.full.mean - found.compute_only.mean, 0.01 * found.full.mean);
  ASSERT_GE(result.rows.size(), 4U);
  EXPECT_EQ(result.rows.front().name, "full");
  EXPECT_EQ(result.rows.front().difference.mean, 0.0);
  for (const float rate : rates)
    EXPECT_EQ(rate, 0.0F);
  const auto document = nlohmann::json::parse(to_json(result, how, rig.options, rig.world));
  EXPECT_EQ(document["rounds"], 3);
  EXPECT_EQ(document["variants"].size(), result.rows.size());
  EXPECT_NEAR(document["efficiency"]["mean"].get<double>(), found.efficiency.mean, 1e-12);
  EXPECT_EQ(document["losses_s"].size(), ranks == 1 ? 3U : 5U);
  EXPECT_EQ(document["left_out"].at(0), "bf16: this backend has no plan of it");
  EXPECT_NE(to_text(result).find("not compared: bf16: this backend has no plan of it\n"), std::string::npos);
}

TEST(Interval, IsStudentsT) {
  const std::vector<double> values = {1.0, 2.0, 3.0, 4.0};  // deviation 1.29099, t(0.975, 3) = 3.18245
  const Interval interval = interval_of(values);
  EXPECT_DOUBLE_EQ(interval.mean, 2.5);
  EXPECT_NEAR(interval.high - interval.mean, 3.18245 * 1.29099 / 2.0, 1e-4);
  EXPECT_TRUE(interval.is_certain());
  EXPECT_FALSE(interval_of(std::vector<double>{-1.0, 1.5}).is_certain());
  EXPECT_THROW(static_cast<void>(interval_of(std::vector<double>{1.0})), std::logic_error);
}

TEST(Attribution, TakesNoRankForSlowThatIsSoByChance) {
  VariantTimes even, uneven;  // each time another rank is late; always the same one is
  for (std::size_t round = 0; round < 8; ++round) {
    even.push_back({1.0, 1.0, 1.0, 1.0});
    even.back()[round % 4] = 1.5;
    uneven.push_back({1.0, 1.0, 1.5, 1.0 + 0.01 * static_cast<double>(round)});
  }
  const Attribution chance = attribute({even, even, even, even, even});
  EXPECT_EQ(chance.losses.back().name, "slowest_rank");
  EXPECT_LE(chance.losses.back().seconds.mean, 0.0);
  const Attribution fault = attribute({uneven, uneven, uneven, uneven, uneven});
  EXPECT_EQ(fault.largest()->name, "slowest_rank");
  EXPECT_EQ(fault.slowest_rank, 2);
  for (const Attribution& found : {chance, fault}) {
    double sum = 0.0;
    for (const StepLoss& loss : found.losses)
      sum += loss.seconds.mean;
    EXPECT_NEAR(sum, found.full.mean - found.compute_only.mean, 1e-12);
  }
}

TEST(Attribution, NamesNothingWhereAllIsChance) {
  const VariantTimes quiet = {{1.00}, {1.02}, {0.99}}, noisy = {{1.01}, {1.00}, {1.00}};
  const Attribution found = attribute({quiet, noisy, quiet, {}, noisy});
  EXPECT_EQ(found.largest(), nullptr);
  EXPECT_EQ(found.losses.size(), 3U) << "a rank alone waits for nobody";
}

}  // namespace
}  // namespace trainmark

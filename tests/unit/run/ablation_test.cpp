// A step with one thing off at a time: delays that are planted in its input, in its sums and in one of its ranks are
// each found and named, and losses add up; what a device or its memory refuses is left out, and named. Delays are far
// longer than what a loaded machine adds.
#include <algorithm>
#include <chrono>
#include <limits>
#include <memory_resource>
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
    AblationPrograms programs{.whole = {rig.compiled.train.get()}};
    if (ranks > 1) programs.unsummed.train = &unsummed;
    Program streamed(rig.backend, graph, *rig.compiled.state, *nobody, rig.slots, {.capture = false});
    Program in_order(rig.backend, graph, *rig.compiled.state, *nobody, rig.slots, {.overlap = false});
    if (others) programs.others = {{"uncaptured", "streamed", {&streamed}}, {"no_overlap", "in turn", {&in_order}}};
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
  bool others = false;
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

std::vector<std::string> names_of(const AblationResult& result) {
  std::vector<std::string> names;
  for (const AblationResult::Row& row : result.rows)
    names.push_back(row.name);
  return names;
}

TEST_F(Ablating, ComparesWhatTheDeviceTakes) {
  others = true;
  int streamed = 0;
  rig.backend.streams = [&] { ++streamed; };
  const AblationResult result = compare();
  const std::vector<std::string> names = names_of(result);
  EXPECT_EQ(std::ranges::count(names, "uncaptured") + std::ranges::count(names, "no_overlap"), 2);
  EXPECT_EQ(result.left_out.size(), 1U);
  EXPECT_GE(streamed, how.rounds * how.steps);
}

TEST_F(Ablating, LeavesOutWhatTheDeviceRefusesOnAnyRank) {
  others = true;
  rig.backend.sum = {};  // who does not refuse waits for nobody
  rig.backend.streams = [&] {
    if (rank == ranks - 1)
      throw Error(ExitCode::communication, Complaint{"engine 7", "the device refused it", "this step is lost", ""});
  };
  const AblationResult result = compare();
  const std::vector<std::string> names = names_of(result);
  EXPECT_EQ(std::ranges::count(names, "uncaptured"), 0);
  EXPECT_EQ(std::ranges::count(names, "no_overlap"), 1);
  ASSERT_EQ(result.left_out.size(), 2U);
  EXPECT_EQ(result.left_out[1].find("uncaptured: "), 0U) << result.left_out[1];
  EXPECT_NE(result.left_out[1].find("engine 7: the device refused it"), std::string::npos) << result.left_out[1];
  EXPECT_GT(result.attribution.full.mean, 0.0);
}

/// Host memory of which so much may be taken at a time.
class Room final : public std::pmr::memory_resource {
 public:
  std::size_t most = std::numeric_limits<std::size_t>::max(), taken = 0, peak = 0;

 private:
  void* do_allocate(std::size_t bytes, std::size_t alignment) override {
    if (taken + bytes > most) throw Error(ExitCode::environment, Complaint{"device memory", "it is full", "", ""});
    taken += bytes;
    peak = std::max(peak, taken);
    return std::pmr::new_delete_resource()->allocate(bytes, alignment);
  }
  void do_deallocate(void* memory, std::size_t bytes, std::size_t alignment) override {
    taken -= bytes;
    std::pmr::new_delete_resource()->deallocate(memory, bytes, alignment);
  }
  [[nodiscard]] bool do_is_equal(const std::pmr::memory_resource& other) const noexcept override {
    return this == &other;
  }
};

class Shelved : public ::testing::Test {
 protected:
  class Backend final : public testing::SpyBackend {
   public:
    Room room;
    [[nodiscard]] std::pmr::memory_resource& device_memory() override { return room; }
  };
  static StepGraphs graphs() {
    StepOptions shape;
    shape.graph = {.local_batch = 2, .global_batch = 4};
    shape.accumulation_steps = 2;
    return graphs_of({.model = CosmoflowOptions{.extent = 32, .width = 0.0625}, .rule = {}, .schedule = {}}, shape);
  }
  const Group& ranks = test_world().all();
  Backend backend;
  StepGraphs whole = graphs();
  std::unique_ptr<Collective> sums = backend.make_collective(ranks);
  ModelState state{backend, whole.last, 1};

  std::string refusal(StepShelf& shelf, Program::Options how) {
    try {
      static_cast<void>(shelf.try_to_add(ranks, whole, *sums, how));
    } catch (const AgreedError& error) {
      return error.what();
    }
    return {};
  }
  /// Bytes that the programs take as they are used.
  std::size_t used(const StepPrograms& programs) {
    const std::size_t before = backend.room.taken;
    programs.train->step(0);
    return backend.room.taken - before;
  }
};

TEST_F(Shelved, ProgramsThatFitByThemselvesMayFindNoRoomBesideOthers) {
  const std::size_t before = backend.room.taken;
  StepShelf alone(backend, state), shared(backend, state);
  EXPECT_EQ(refusal(alone, {.reuse = false}), "");
  EXPECT_EQ(backend.room.taken, before) << "what was tried is given back";
  backend.room.most = backend.room.peak + 100;  // less than the scratch memory of the others
  EXPECT_EQ(refusal(alone, {.reuse = false}), "");
  backend.wants_scratch = {"Conv"};
  const StepPrograms whole_step = shared.add(whole, *sums, {});
  backend.wants_scratch = {};
  EXPECT_NE(refusal(shared, {.reuse = false}).find("device memory: it is full"), std::string::npos);
  backend.wants_scratch = {"Conv"};
  StepShelf only(backend, state);
  const std::size_t wanted = used(only.add(whole, *sums, {}));
  backend.room.most = std::numeric_limits<std::size_t>::max();
  EXPECT_EQ(used(whole_step), wanted) << "what was refused is not paid for";
}

TEST_F(Shelved, AllProgramsOfAStepBelongToIt) {
  backend.refuse = [](const Op& op) {
    const auto* sum = std::get_if<Accumulate>(&op);
    return std::string(sum != nullptr && !sum->last ? "no sums of parts here" : "");
  };
  StepShelf shelf(backend, state);
  ASSERT_TRUE(whole.earlier.has_value());
  EXPECT_NE(refusal(shelf, {}).find("no sums of parts here"), std::string::npos);
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

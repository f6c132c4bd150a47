// What stands between the options and the first step: seeds, graphs, warm-up, placement, and the order of a split.
#include "run/launch/session.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <set>

#include "run/launch/input.hpp"
#include "run/launch/session.hpp"
#include "run/train/trainer.hpp"
#include "support/mpi_main.hpp"
#include "support/spy_backend.hpp"

namespace trainmark {
namespace {

const World& world() { return test_world(); }

RunOptions small() {
  RunOptions options;
  options.seed = 3;
  options.recipe.model = CosmoflowOptions{.extent = 32, .width = 0.0625};
  options.train.global_batch = 4;
  options.train.bucket_mib = 0.01;
  return options;
}

template <class T>
std::int64_t count_of(const Graph& graph) {
  return std::ranges::count_if(graph.nodes, [](const Node& node) { return std::holds_alternative<T>(node.op); });
}

TEST(Seed, IsTheOneAskedForOrOneThatEveryReaderOfJsonTakesExactly) {
  EXPECT_EQ(chosen_seed(world(), 9007199254740993), 9007199254740993);
  EXPECT_EQ(chosen_seed(world(), -4), -4);
  std::set<std::int64_t> drawn;
  for (int time = 0; time < 3; ++time) {
    const std::int64_t seed = chosen_seed(world(), 0);
    EXPECT_GT(seed, 0);
    EXPECT_LT(seed, std::int64_t{1} << 53);
    const std::vector<std::uint64_t> all = world().all().all_gather(static_cast<std::uint64_t>(seed));
    EXPECT_EQ(std::set(all.begin(), all.end()).size(), 1U) << "the same on all ranks";
    drawn.insert(seed);
  }
  EXPECT_EQ(drawn.size(), 3U);
}

TEST(Caches, AreLeftAloneUnlessAskedFor) { EXPECT_FALSE(clear_caches(world(), false)); }

TEST(RequireOptions, RaisesAllComplaintsAtOnce) {
  RunOptions options = small();
  options.train.global_batch = 6;
  options.data.validation_samples = 9;
  Dataset dataset;
  dataset.facts = {.train_samples = 64, .validation_samples = 8, .generated = true};
  try {
    require_options(world(), options, dataset);
    FAIL() << "accepted";
  } catch (const Error& error) {
    const std::string text = error.what();
    EXPECT_EQ(error.code(), ExitCode::usage);
    EXPECT_NE(text.find("config: 2 problems with this launch and dataset:\n  /data/validation_samples"),
              std::string::npos)
        << text;
    EXPECT_NE(text.find("\n  /train/global_batch: 64 training samples"), std::string::npos) << text;
  }
  options.train.global_batch = 4;
  options.data.validation_samples = 8;
  EXPECT_NO_THROW(require_options(world(), options, dataset));
}

TEST(Options, LeaveRoomForAllReadersThatThereMayBe) {
  RunOptions options = small();
  options.load = {.threads = 3, .prefetch = 2};
  const RunOptions stated = options_of_launch(world(), options);
  EXPECT_EQ(stated.load, options.load) << "as the config says";
  options.load.threads = 0;
  const RunOptions found = options_of_launch(world(), options);
  EXPECT_EQ(found.load.threads, 1) << "to begin with";
  EXPECT_GE(found.load.most_threads, 1);
  EXPECT_LE(found.load.most_threads, found.load.prefetch * options.train.global_batch / world().all().size())
      << "the ring has a sample for each";
  EXPECT_EQ(found.backend.other_threads - stated.backend.other_threads, 2 * (1 - 3))
      << "more are added as far as they start";
  EXPECT_EQ(with_all_readers(found).load.threads, found.load.most_threads);
  EXPECT_EQ(with_all_readers(stated).load.threads, 3);
}

TEST(Options, SayWhichGradientsTravelTogether) {
  RunOptions options = small();
  EXPECT_TRUE(step_options(options, 1).grouping.ends.empty());
  EXPECT_FALSE(step_options(options, 1).grouping.norms_last);
  options.train.norms_last = true;
  options.train.bucket_ends = {{7}, {30}};
  options.train.buckets = Buckets::cubic;
  EXPECT_EQ(step_options(options, 1).grouping.ends, cubic_ends());
  EXPECT_TRUE(step_options(options, 1).grouping.norms_last);
  options.train.buckets = Buckets::listed;
  EXPECT_EQ(step_options(options, 1).grouping.ends, (std::vector<std::int64_t>{7, 30}));
}

TEST(Options, BecomeTheGraphsShape) {
  RunOptions options = small();
  options.train.global_batch = 16;
  options.train.gradient_accumulation_steps = 2;
  options.train.precision = Precision::bf16;
  options.train.loss_scaling = ScaleLoss::always;
  options.seed = 77;
  const StepOptions step = step_options(options, 4);
  const GraphOptions& shape = step.graph;
  EXPECT_EQ(step.accumulation_steps, 2);
  EXPECT_EQ(step.grouping.bytes, static_cast<std::int64_t>(0.01 * 1024 * 1024));
  EXPECT_EQ(shape.local_batch, 2);
  EXPECT_EQ(shape.global_batch, 16) << "of the step, not of a part";
  EXPECT_EQ(shape.compute, DType::bf16);
  EXPECT_EQ(shape.seed, 77U);
  EXPECT_TRUE(shape.scale_loss);
  EXPECT_FALSE(step_options(small(), 1).graph.scale_loss);
  EXPECT_EQ(compute_type(Precision::fp32), DType::f32);
  EXPECT_EQ(compute_type(Precision::tf32), DType::f32);
  EXPECT_EQ(compute_type(Precision::fp16), DType::f16);
}

TEST(Options, BecomeTheStepsRuleDecayAndBuckets) {
  RunOptions options = small();
  options.recipe.rule = SgdMomentum{.momentum = 0.75F};
  std::get<CosmoflowOptions>(options.recipe.model).l2 = 0.01;
  const auto step_of = [&] { return graphs_of(options.recipe, step_options(options, world().all().size())).last; };
  const Graph step = step_of();
  const auto reduced = count_of<AllReduce>(step);
  EXPECT_GT(reduced, 1);
  EXPECT_EQ(count_of<Accumulate>(step), 0);
  EXPECT_EQ(count_of<AdjustLossScale>(step), 0);
  std::int64_t covered = 0, smallest = std::int64_t{1} << 40;
  for (const Node& node : step.nodes) {
    if (const auto* reduce = std::get_if<AllReduce>(&node.op)) {
      covered += reduce->range.size();
      if (reduce->range.begin > 0) smallest = std::min(smallest, reduce->range.size());
    }
  }
  EXPECT_EQ(covered, step.gradient_elements());
  EXPECT_GE(smallest * 4, static_cast<std::int64_t>(0.01 * 1024 * 1024));
  options.train.bucket_mib = 1000;
  EXPECT_EQ(count_of<AllReduce>(step_of()), 1);
  options.train.gradient_accumulation_steps = 2;
  const Graph last = step_of();
  EXPECT_EQ(count_of<Accumulate>(last), 1);
  bool decays = false;
  for (const Node& node : step.nodes)
    if (const auto* update = std::get_if<Update>(&node.op)) {
      for (const Segment& segment : update->segments)
        decays = decays || segment.treatment.decay == 0.02F;
      EXPECT_EQ(update->rule, options.recipe.rule);
    }
  EXPECT_TRUE(decays);
}

TEST(SyntheticBatch, CountsAllItsSamplesAndNamesThem) {
  const DataSchema schema{{{"x", Shape{3}, DType::i16}, {"y", Shape{2}, DType::f32}}};
  const SyntheticBatch batch(schema, 2, 5, 9, 0.25F);
  ASSERT_EQ(batch.inputs().size(), 3U);
  EXPECT_EQ(batch.inputs()[0].size(), 12U);
  EXPECT_EQ(batch.inputs()[1].size(), 16U);
  ASSERT_EQ(batch.inputs()[2].size(), step_state_bytes(2));
  StepState state;
  std::array<std::int64_t, 2> ids{};
  std::memcpy(&state, batch.inputs()[2].data(), sizeof state);
  std::memcpy(ids.data(), batch.inputs()[2].data() + sizeof state, sizeof ids);
  EXPECT_EQ(state.rate, 0.25F);
  EXPECT_EQ(state.valid, 2);
  EXPECT_EQ(ids, (std::array<std::int64_t, 2>{5, 6}));
  const auto source = synthetic_source(schema, 7, 9);
  std::array<std::byte, 6> x{};
  std::array<std::byte, 8> y{};
  source->read({.sample = 6}, {x, y});
  EXPECT_EQ(std::memcmp(batch.inputs()[0].data() + 6, x.data(), 6), 0) << "the second sample is the source's sixth";
  EXPECT_EQ(std::memcmp(batch.inputs()[1].data() + 8, y.data(), 8), 0);
}

class Compiling : public ::testing::Test {
 protected:
  std::unique_ptr<Backend> backend = make_cpu_backend(1, false);
};

RunOptions small_maps() {
  RunOptions options;
  options.recipe.model = DeepcamOptions{.rows = 32, .columns = 32, .width = 0.02, .middle_blocks = 0};
  options.train.global_batch = world().all().size();
  return options;
}

TEST_F(Compiling, WarmUpLeavesRunningStatisticsAndTheCountOfUpdatesAlone) {
  RunOptions options = small_maps();
  options.recipe.rule = Adam{};
  Compiled compiled = compile(world(), *backend, options);
  const auto kept = [&] { return compiled.state->snapshot(); };
  const std::vector<std::byte> before = kept();
  const SyntheticBatch batch(schema_of(options.recipe.model), 1, 0, 3, 0.1F);
  compiled.train->upload(0, batch.inputs());
  compiled.train->step(0);
  EXPECT_NE(kept(), before) << "a step moves them";
  compiled.state->restore(before);
  std::int64_t count = 0;
  for (const auto& entry : compiled.state->statistics())
    count += entry.shape.elements();
  const std::vector<float> fresh = compiled.state->read(compiled.state->statistic_values(), count);
  warm_up(compiled, options.seed, schema_of(options.recipe.model), 1, false);
  EXPECT_EQ(compiled.state->read(compiled.state->statistic_values(), count), fresh);
  UpdateCount updates{.done = 7};
  std::memcpy(&updates, compiled.state->data(Space::update_count), sizeof updates);  // the CPU's memory is the host's
  EXPECT_EQ(updates.done, 0);
}

TEST_F(Compiling, AveragesRunningStatisticsOverAllRanks) {
  const RunOptions options = small_maps();
  const Compiled compiled = compile(world(), *backend, options);
  if (world().all().size() == 1) {
    EXPECT_EQ(compiled.average, nullptr) << "there is nobody to average with";
    return;
  }
  ModelState& state = *compiled.state;
  std::int64_t count = 0;
  for (const auto& entry : state.statistics())
    count += entry.shape.elements();
  ASSERT_GT(count, 10);
  const auto ranks = static_cast<float>(world().all().size());
  std::vector<float> own(static_cast<std::size_t>(count));
  for (std::size_t at = 0; at < own.size(); ++at)
    own[at] = static_cast<float>(at) + static_cast<float>(world().all().rank());
  state.write(state.statistic_values(), own);
  compiled.average->step(0);
  const std::vector<float> mean = state.read(state.statistic_values(), count);
  for (std::size_t at = 0; at < mean.size(); ++at)
    ASSERT_FLOAT_EQ(mean[at], static_cast<float>(at) + (ranks - 1.0F) / 2.0F) << at;
}

TEST_F(Compiling, LeavesEveryRankItsOwnRunningStatisticsWhereThatIsAskedFor) {
  RunOptions options = small_maps();
  options.train.eval_statistics = EvaluationStatistics::local;
  EXPECT_EQ(compile(world(), *backend, options).average, nullptr);
}

TEST_F(Compiling, WarmUpLaunchesEveryRecordingAsOftenAsTheBackendNeeds) {
  RunOptions options = small();
  options.train.gradient_accumulation_steps = 2;
  for (const int times : {1, 2}) {
    testing::SpyBackend spy;
    spy.warm_up = times;
    Compiled compiled = compile(world(), spy, options);
    spy.calls.clear();
    warm_up(compiled, 3, schema_of(options.recipe.model), options.train.batch() / world().all().size(), false);
    ASSERT_GE(spy.recordings.size(), 6U) << "two slots of three programs";
    for (std::size_t at = 0; at < spy.recordings.size(); ++at)
      EXPECT_EQ(std::ranges::count(spy.calls, "launch " + std::to_string(at)), times) << at;
  }
}

TEST_F(Compiling, WarmUpTakesRealStepsAndLeavesNothingBehind) {
  for (const bool measure : {false, true}) {
    RunOptions options = small();
    options.train.gradient_accumulation_steps = 2;
    options.train.loss_scaling = ScaleLoss::always;
    Compiled compiled = compile(world(), *backend, options);
    ASSERT_NE(compiled.accumulate, nullptr);
    EXPECT_GT(compiled.planning_seconds, 0.0);
    const std::uint64_t before = compiled.state->hash();
    warm_up(compiled, options.seed, schema_of(options.recipe.model), options.train.batch() / world().all().size(),
            measure);
    EXPECT_EQ(compiled.state->hash(), before);
    EXPECT_EQ(compiled.state->score(), Score{});
    EXPECT_EQ(compiled.state->loss_scale()->scale, LossScaling{}.initial);
    EXPECT_EQ(compiled.state->loss_scale()->good_steps, 0);
    EXPECT_GT(compiled.state->loss(), 0.0F) << "a step was taken";
    EXPECT_GT(compiled.warm_up_seconds, 0.0);
    // Of a step in two parts: the last one's nodes with what the first takes, then those that the first has alone.
    const Graph &last = compiled.train->graph(), &first = compiled.accumulate->graph();
    const auto flops_of = [](const Graph& graph, const std::string& name) {
      const auto found = std::ranges::find(graph.nodes, name, &Node::name);
      return found == graph.nodes.end() ? 0 : cost(graph, *found).flops;
    };
    const auto own = std::ranges::count_if(first.nodes, [&last](const Node& node) {
      return std::ranges::find(last.nodes, node.name, &Node::name) == last.nodes.end();
    });
    EXPECT_GT(own, 0) << "gradients are added up";
    ASSERT_EQ(std::ssize(compiled.nodes), measure ? std::ssize(last.nodes) + own : 0);
    for (std::size_t at = 0; at < compiled.nodes.size(); ++at) {
      const NodeTime& node = compiled.nodes[at];
      if (at < last.nodes.size()) {
        EXPECT_EQ(node.node, last.nodes[at].name);
      }
      EXPECT_EQ(node.cost.flops, flops_of(last, node.node) + flops_of(first, node.node)) << node.node;
      EXPECT_GE(node.seconds, 0.0);
    }
  }
}

TEST_F(Compiling, TheSeedMakesTheParameters) {
  const RunOptions options = small();
  const auto hash = [&](std::int64_t seed) {
    RunOptions seeded = options;
    seeded.seed = seed;
    return compile(world(), *backend, seeded).state->hash();
  };
  EXPECT_EQ(hash(3), hash(3));
  EXPECT_NE(hash(3), hash(4));
  EXPECT_EQ(compile(world(), *backend, options).accumulate, nullptr);
}

TEST(Sampling, IsTheRanksShareOfWhatTheRunUses) {
  RunOptions options = small();
  options.train.global_batch = 8;
  options.train.gradient_accumulation_steps = 2;
  Split split;
  split.name = "train";
  split.samples = 10;
  split.manifest.entries.resize(3);
  for (ManifestEntry& entry : split.manifest.entries)
    entry.samples = 4;
  split.plan.parts = {{0, 1, 2}};
  const Sampling train = sampling_of(world(), options, split);
  EXPECT_TRUE(train.shuffle);
  EXPECT_EQ(train.seed, 3U);
  EXPECT_EQ(train.global_batch, 4) << "samples that all ranks compute at a time";
  EXPECT_EQ(train.ranks, world().all().size());
  EXPECT_EQ(train.rank, world().all().rank());
  ASSERT_EQ(train.shards.size(), 1U);
  EXPECT_EQ(train.shards[0], (std::vector<Range>{{0, 10}})) << "the third file's last two samples are not used";
  split.name = "validation";
  split.plan.parts = {{0}, {2}};
  const Sampling validation = sampling_of(world(), options, split);
  EXPECT_FALSE(validation.shuffle);
  ASSERT_EQ(validation.shards.size(), 2U);
  EXPECT_EQ(validation.shards[0], (std::vector<Range>{{0, 4}}));
  EXPECT_EQ(validation.shards[1], (std::vector<Range>{{8, 10}}));
}

TEST(Staging, StandsBeforeTheClockOnlyOnDurableStorageUnderTheNewRules) {
  RunOptions options = small();
  options.stage.target = ::testing::TempDir();
  EXPECT_FALSE(stages_before_clock(world(), options.stage, rules_of(options))) << "strategy none";
  options.stage.strategy = Strategy::replicate;
  EXPECT_EQ(stages_before_clock(world(), options.stage, rules_of(options)), durable(options.stage.target));
  options.submission.ruleset = Ruleset::v2_0_0;
  EXPECT_FALSE(stages_before_clock(world(), options.stage, rules_of(options)));
  options.submission.ruleset = Ruleset::v3_0_0;
  options.stage.target = "/proc";  // never durable
  if (!durable("/proc")) {
    EXPECT_FALSE(stages_before_clock(world(), options.stage, rules_of(options)));
  }
}

TEST(Plan, OfTheLoopFollowsFromOptionsAndSamplings) {
  RunOptions options = small();
  options.train.global_batch = 8;
  options.train.gradient_accumulation_steps = 2;
  options.train.target = 0.375;
  options.watchdog.step_seconds = 17;
  std::get<PiecewiseSchedule>(options.recipe.schedule).peak_rate = 0.625;
  Input input;
  input.train_sampling.shards = {{{0, 16}}};
  input.validation_sampling.shards = {{{0, 9}}};
  input.train_sampling.global_batch = input.validation_sampling.global_batch = 4;
  const Trainer::Plan plan =
      trainer_plan(options, world().all().size(), input.train_sampling, input.validation_sampling);
  EXPECT_EQ(plan.steps_per_epoch, 2);
  EXPECT_EQ(plan.validation_steps, 3) << "the last is short";
  EXPECT_EQ(plan.local_batch, 4 / world().all().size());
  EXPECT_EQ(plan.step_limit_seconds, 17.0);
  EXPECT_EQ(plan.target.value, 0.375);
  EXPECT_EQ(plan.target.key, "eval_error");
  EXPECT_EQ(plan.schedule, options.recipe.schedule);
  options.recipe.scaling = {BatchLaw::linear, 2};
  EXPECT_EQ(peak_rate_of(trainer_plan(options, 1, input.train_sampling, input.validation_sampling).schedule), 2.5)
      << "four times what is written, at four times the batch";
  ASSERT_EQ(plan.figures.size(), 1U);
  EXPECT_EQ(plan.figures[0].key, plan.target.key) << "the first is what the target judges";
  EXPECT_EQ(plan.options, options.train);
}

TEST(PretendedLaunch, CompilesTheStepThatAnyOfItsRanksWouldTake) {
  RunOptions options = small();
  options.train.global_batch = 8192;
  const auto null = make_null_backend();
  for (const int rank : {0, 4095}) {
    const Compiled compiled = compile(pretended_world(4096, 512, rank), *null, options);
    const Graph& graph = compiled.train->graph();
    EXPECT_EQ(graph.tensors.at(0).shape[0], 2) << "samples of a rank";
    EXPECT_GT(count_of<AllReduce>(graph), 1);
    EXPECT_TRUE(check_options(options, 4096, 512, {.train_samples = 8192, .validation_samples = 1}).empty());
  }
  options.train.global_batch = 8193;
  EXPECT_EQ(check_options(options, 4096, 512, {.train_samples = 8193, .validation_samples = 1}).size(), 1U);
}

TEST(PretendedLaunch, GivesEachRankOfANodeItsShard) {
  RunOptions options = small();
  options.train.global_batch = 8;
  Split split;
  split.name = "train";
  split.samples = 16;
  split.manifest.entries.resize(2);
  for (ManifestEntry& entry : split.manifest.entries)
    entry.samples = 8;
  split.plan = {Strategy::shard, {{0}, {1}}};
  for (int rank = 0; rank < 8; ++rank) {
    const Sampling sampling = sampling_of(pretended_world(8, 2, rank), options, split);
    EXPECT_EQ(sampling.rank, rank);
    EXPECT_EQ(sampling.ranks, 8);
    EXPECT_EQ(sampling.shards.size(), 2U);
  }
}

TEST(SamplingOf, LetsTheRanksOfAllNodesOfAGroupReadItsPart) {
  RunOptions options = small();
  options.train.global_batch = 16;
  Split split;
  split.name = "train";
  split.samples = 32;
  split.manifest.entries.resize(2);
  for (ManifestEntry& entry : split.manifest.entries)
    entry.samples = 16;
  split.plan = {Strategy::group, {{1}, {0}}, 2};
  for (int rank = 0; rank < 8; ++rank) {  // two a node, four a part
    Sampler sampler(sampling_of(pretended_world(8, 4, rank), options, split));
    for (const std::int64_t id : sampler.batch(0, 0))
      EXPECT_EQ(id / 16, rank < 4 ? 1 : 0) << "rank " << rank << " has no other file";
  }
}

TEST(Facts, AreThoseOfTheWorldAndTheSplits) {
  RunOptions options = small();
  Dataset dataset;
  dataset.train.samples = 12;
  dataset.train.name = "train";
  dataset.train.manifest.entries.resize(1);
  dataset.train.manifest.entries[0].samples = 12;
  dataset.train.plan.parts = {{0}};
  dataset.validation.samples = 5;
  dataset.facts = {.train_samples = 99, .validation_samples = 98, .generated = true};
  const auto cpu = make_cpu_backend(1, false);
  const TimelineFacts facts = facts_of(world(), *cpu, options, dataset);
  EXPECT_EQ(facts.precision, Precision::fp32);
  options.train.precision = Precision::tf32;
  EXPECT_EQ(facts_of(world(), *make_cpu_backend(1, false, true), options, dataset).precision, Precision::fp32)
      << "a CPU has no tf32";
  EXPECT_EQ(facts_of(world(), *make_null_backend(), options, dataset).precision, Precision::tf32);
  options.train.precision = Precision::bf16;
  EXPECT_EQ(facts_of(world(), *cpu, options, dataset).precision, Precision::bf16);
  EXPECT_EQ(facts.ranks, world().all().size());
  EXPECT_EQ(facts.nodes, 1);
  EXPECT_EQ(facts.accelerators_per_node, 0);
  EXPECT_EQ(facts.seed, 3);
  EXPECT_EQ(facts.data.train_samples, 12) << "that the run uses";
  EXPECT_EQ(facts.data.validation_samples, 5);
  EXPECT_EQ(facts.step.local_batch, options.train.batch() / world().all().size());
  EXPECT_EQ(facts.step.steps_per_epoch, 12 / options.train.global_batch);
  EXPECT_EQ(facts_of(world(), *make_null_backend(), options, dataset).accelerators_per_node, world().node().size())
      << "one a rank";
}

}  // namespace
}  // namespace trainmark

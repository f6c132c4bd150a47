// What a probe measures with, against hand-made work, graphs and manifests: rounds and their spread, the choice of
// convolutions, what a step asks for, and what is left out.
#include "run/probe/probe.hpp"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <set>

#include "support/mpi_main.hpp"

namespace trainmark {
namespace {

const World& world() { return test_world(); }
int ranks() { return world().all().size(); }

RunOptions small() {
  RunOptions options;
  options.seed = 3;
  options.recipe.model = CosmoflowOptions{.extent = 32, .width = 0.0625};
  options.train.global_batch = 8;
  options.train.bucket_mib = 0.01;
  return options;
}

Dataset dataset_of(const RunOptions& options) {
  Dataset dataset;
  dataset.schema = schema_of(options.recipe.model);
  dataset.train.name = "train";
  for (const auto& [name, bytes, samples] : {std::tuple("a.h5", 600, 3), {"b.h5", 100, 1}}) {
    ManifestEntry& entry = dataset.train.manifest.entries.emplace_back();
    entry.name = name;
    entry.bytes = bytes;
    entry.samples = samples;
  }
  dataset.train.samples = 4;
  return dataset;
}

TEST(SpreadOf, IsMedianCountAndExtremes) {
  const Spread odd = spread_of({5.0, 1.0, 3.0}), even = spread_of({4.0, 1.0, 2.0, 9.0});
  EXPECT_EQ(odd.n, 3);
  EXPECT_EQ(odd.median, 3.0);
  EXPECT_EQ(odd.least, 1.0);
  EXPECT_EQ(odd.most, 5.0);
  EXPECT_EQ(even.median, 3.0);
  EXPECT_EQ(spread_of({}).n, 0);
  EXPECT_EQ(spread_of({}).median, 0.0);
}

TEST(BusFactor, IsThatOfARing) {
  EXPECT_EQ(bus_factor(0), 0.0);
  EXPECT_EQ(bus_factor(1), 0.0);
  EXPECT_EQ(bus_factor(2), 1.0);
  EXPECT_EQ(bus_factor(4), 1.5);
}

TEST(SampleFilesOf, FindsTheFilesOfSamples) {
  const Dataset dataset = dataset_of(small());
  const SampleFiles files(dataset.train.manifest);
  EXPECT_EQ(files.of(std::array<std::int64_t, 3>{3, 0, 2}), (std::vector<std::size_t>{0, 1}));
  EXPECT_EQ(files.of(std::array<std::int64_t, 2>{1, 2}), (std::vector<std::size_t>{0}));
  EXPECT_EQ(files.stored_bytes(2), 200.0);
  EXPECT_EQ(files.stored_bytes(3), 100.0);
}

TEST(RoundsOf, CountWhatRanksAndNodesDid) {
  int alive = 0, prepared = 0;
  const Rounds rounds(world(), 30.0, [&] { ++alive; });
  EXPECT_EQ(rounds.nodes_are_shared(), ranks() > 1) << "all test ranks stand on one node";
  const Repeated work = {.prepare = [&](int) { ++prepared; }, .work = [](int times) { return 7.0 * times; }};
  const std::optional<Rates> rates = rounds.measure(work, 20.0);
  ASSERT_TRUE(rates);
  EXPECT_EQ(rates->rank.n, Rounds::most * ranks());
  EXPECT_EQ(rates->node.n, Rounds::most);
  EXPECT_EQ(rates->seconds.n, Rounds::most);
  EXPECT_GT(rates->rank.least, 0.0);
  EXPECT_LE(rates->rank.least, rates->rank.median);
  EXPECT_LE(rates->rank.median, rates->rank.most);
  // A node's rate goes by its slowest rank, so its slowest round is that of the slowest rank of all.
  EXPECT_DOUBLE_EQ(rates->node.least, ranks() * rates->rank.least);
  EXPECT_EQ(rates->by_rank.size(), static_cast<std::size_t>(ranks()));
  EXPECT_EQ(rates->by_node, std::vector<double>{rates->node.median});
  EXPECT_EQ(alive, Rounds::most + 2);
  EXPECT_EQ(prepared, Rounds::most + 2);
}

TEST(RoundsOf, LetOneRankANodeWorkAlone) {
  const Rounds rounds(world(), 30.0, [] {});
  int worked = 0;
  const Repeated work = {.work = [&](int times) {
    ++worked;
    return static_cast<double>(times);
  }};
  const std::optional<Rates> rates = rounds.measure(work, 20.0, Who::one_a_node);
  ASSERT_TRUE(rates);
  EXPECT_EQ(rates->rank.n, Rounds::most);
  EXPECT_EQ(rates->rank.median, rates->node.median);
  EXPECT_EQ(worked, world().node().rank() == 0 ? Rounds::most + 2 : 0);
}

TEST(SlowNodes, AreNamedWhereThreeOrMoreAreCompared) {
  const ProbeFigure even{.name = "memory_copy_bytes_per_s", .of = "", .by_node = {100.0, 101.0, 99.0, 100.0}};
  const ProbeFigure uneven{.name = "compute_fp32_flops_per_s", .of = "", .by_node = {100.0, 101.0, 50.0, 100.0}};
  const ProbeFigure two{.name = "read_source_bytes_per_s", .of = "", .by_node = {100.0, 10.0}};
  const std::vector<SlowNode> slow = slow_nodes({even, uneven, two});
  ASSERT_EQ(slow.size(), 1U);
  EXPECT_EQ(slow[0].figure, uneven.name);
  EXPECT_EQ(slow[0].node, 2U);
  EXPECT_DOUBLE_EQ(slow[0].excess, 1.0) << "takes twice the time";
}

TEST(RoundsOf, SayThatThreeDoNotFit) {
  const Rounds rounds(world(), 0.0, [] {});
  EXPECT_EQ(rounds.left(), 0.0);
  int worked = 0;
  const Repeated work = {.work = [&](int) { return static_cast<double>(++worked); }};
  EXPECT_FALSE(rounds.measure(work, 0.0));
  EXPECT_EQ(worked, 1) << "what takes too long once is not begun again";
}

TEST(RoundsOf, RaiseOnAllRanksWhatOneMet) {
  const Rounds rounds(world(), 30.0, [] {});
  const Repeated work = {.work = [](int) -> double {
    if (world().all().rank() == ranks() - 1) throw Error(ExitCode::data, "a sample is damaged");
    return 1.0;
  }};
  EXPECT_THROW((void)rounds.measure(work, 20.0), AgreedError);
}

TEST(Convolutions, AreTheLargestOfTheStepAtAnotherBatchAndType) {
  const RunOptions options = small();
  const StepGraphs graphs = graphs_of(options.recipe, step_options(options, 1));
  const auto backend = make_null_backend();
  const auto all = largest_convolutions(*backend, graphs.last, 3, 8, 2, DType::bf16);
  ASSERT_EQ(all.size(), 3U);
  std::int64_t most = 0;
  for (const Node& node : graphs.last.nodes)
    if (name_of(node.op).starts_with("Conv")) most = std::max(most, cost(graphs.last, node).macs);
  EXPECT_EQ(all[0].flops, 2 * most / 8 * 2) << "of two samples in place of eight";
  EXPECT_GE(all[0].flops, all[1].flops);
  EXPECT_GE(all[1].flops, all[2].flops);
  for (const ProbeConv& conv : all) {
    for (const TensorDesc& input : conv.operands.inputs) {
      if (input.dtype == DType::bf16) {
        EXPECT_EQ(input.shape[0], 2) << conv.name;
      }
    }
    EXPECT_EQ(backend->refusal(conv.op, conv.operands), "");
  }
  EXPECT_LT(largest_convolutions(*backend, graphs.last, 1000, 8, 8, DType::f32).size(), 1000U);
}

TEST(StepWorkOf, CountsWhatARankComputesMovesAndReads) {
  RunOptions options = small();
  const Dataset dataset = dataset_of(options);
  StepOptions shape = step_options(options, ranks());
  const StepGraphs graphs = graphs_of(options.recipe, shape);
  const auto backend = make_null_backend();
  const StepWork work = step_work(world(), *backend, options, dataset, graphs);
  EXPECT_EQ(work.samples, 8 / ranks());
  EXPECT_EQ(work.flops, cost(graphs.last).flops);
  std::int64_t sums = 0, elements = 0;
  for (const Node& node : graphs.last.nodes) {
    if (const auto* sum = std::get_if<AllReduce>(&node.op)) {
      sums += cost(graphs.last, node).bytes;
      elements += sum->range.size();
    }
  }
  EXPECT_GT(sums, 0);
  EXPECT_EQ(work.memory_bytes, cost(graphs.last).bytes - sums);
  EXPECT_DOUBLE_EQ(work.network_bytes,
                   ranks() == 1 ? 0.0 : 2.0 * (ranks() - 1) / ranks() * 4.0 * static_cast<double>(elements));
  EXPECT_DOUBLE_EQ(work.storage_bytes, 700.0 / 4.0 * 8 / ranks());
  EXPECT_EQ(work.storage, "source");
  EXPECT_EQ(work.host_to_device_bytes, 8 / ranks() * static_cast<std::int64_t>(dataset.schema.sample_bytes()))
      << "what is not the CPU has memory of its own";

  options.train.gradient_accumulation_steps = 2;
  options.stage.strategy = Strategy::replicate;
  const StepGraphs parts = graphs_of(options.recipe, step_options(options, ranks()));
  const StepWork twice = step_work(world(), *backend, options, dataset, parts);
  EXPECT_EQ(twice.samples, work.samples);
  EXPECT_EQ(twice.flops, cost(parts.last).flops + cost(*parts.earlier).flops);
  EXPECT_DOUBLE_EQ(twice.network_bytes, work.network_bytes) << "gradients travel once a step";
  EXPECT_EQ(twice.storage, "staged");
}

class Parts : public ::testing::Test {
 protected:
  RunOptions options = small();
  Dataset dataset = dataset_of(options);
  std::unique_ptr<Backend> backend = make_null_backend();
  OwnedCollectives collectives = make_collectives(world(), *backend, options.recipe.model);
  StepGraphs graphs = graphs_of(options.recipe, step_options(options, ranks()));
  Rounds rounds{world(), 30.0, [] {}};
  ProbeResult result;
  Collectives borrowed = collectives.get();
  Probing probing{world(), *backend, borrowed, options, dataset, graphs, rounds, result, 4};
};

TEST_F(Parts, LeaveOutWhatFindsNoRoomButNotWhatIsWrongWithData) {
  EXPECT_FALSE(probing.attempt("copy", [] { agree_on(world().all(), [] { throw std::bad_alloc(); }); }));
  ASSERT_EQ(result.left_out.size(), 1U);
  EXPECT_TRUE(result.left_out[0].starts_with("copy: ")) << result.left_out[0];
  EXPECT_THROW(
      probing.attempt("read", [] { agree_on(world().all(), [] { throw Error(ExitCode::data, "cut short"); }); }),
      AgreedError);
  EXPECT_TRUE(probing.attempt("add", [] {}));
  EXPECT_EQ(result.left_out.size(), 1U);
}

TEST_F(Parts, ShareWhatIsLeft) {
  const double first = probing.share();
  EXPECT_LE(first, 30.0 / 4);
  EXPECT_GT(first, 0.0);
  EXPECT_EQ(probing.parts, 3);
}

TEST_F(Parts, SumEveryBucketOfTheStep) {
  probe_sums(probing);
  if (ranks() == 1) {
    EXPECT_TRUE(result.messages.empty());
    EXPECT_EQ(result.left_out.size(), 1U);
    return;
  }
  std::vector<std::int64_t> wanted, measured;
  for (const Node& node : graphs.last.nodes)
    if (const auto* sum = std::get_if<AllReduce>(&node.op)) wanted.push_back(sum->range.size() * 4);
  for (const ProbeMessage& message : result.messages) {
    measured.push_back(message.bytes);
    EXPECT_EQ(message.ranks, ranks());
    EXPECT_GE(message.seconds.n, 3);
    EXPECT_DOUBLE_EQ(message.bus_bytes_per_s.median,
                     bus_factor(ranks()) * static_cast<double>(message.bytes) / message.seconds.median);
    EXPECT_LE(message.bus_bytes_per_s.least, message.bus_bytes_per_s.most);
  }
  EXPECT_EQ(measured, wanted);
}

TEST_F(Parts, AreToldWithUnitsSourcesAndCounts) {
  result.figures.push_back({.name = "read_source_bytes_per_s",
                            .of = "samples",
                            .alone = Spread{3, 5.0, 4.0, 6.0},
                            .rank = {6, 2.0e9, 1.0e9, 3.0e9},
                            .node = {3, 4.0e9, 3.0e9, 5.0e9},
                            .cache = "warm",
                            .by_rank = {2.0e9, 2.5e9, 1.0e9},
                            .by_node = {2.0e9, 2.0e9, 1.0e9}});
  result.hosts = {"n0", "n1", "n2"};
  result.messages.push_back({"bucket0", 2, 4096, {3, 0.5, 0.25, 1.0}, {3, 8192.0, 4096.0, 16384.0}});
  result.left_out = {"fp16: is for devices"};
  const auto document = nlohmann::json::parse(probe_json(world(), *backend, options, 60.0, result));
  EXPECT_EQ(document["kind"], "trainmark probe");
  const auto& figure = document["figures"][0];
  EXPECT_EQ(figure["source"], "measured");
  EXPECT_EQ(figure["cache"], "warm");
  EXPECT_EQ(figure["rank"]["n"], 6);
  EXPECT_EQ(figure["rank"]["median"], 2.0e9);
  EXPECT_EQ(figure["node"]["min"], 3.0e9);
  EXPECT_EQ(figure["rank_alone"]["max"], 6.0);
  EXPECT_EQ(figure["by_rank"][1], 2.5e9);
  EXPECT_EQ(figure["by_node"].size(), 3U);
  EXPECT_EQ(document["hosts"][1], "n1");
  EXPECT_EQ(document["nodes_are_judged"], true);
  ASSERT_EQ(document["slow_nodes"].size(), 1U);
  EXPECT_EQ(document["slow_nodes"][0]["host"], "n2");
  EXPECT_EQ(document["slow_nodes"][0]["figure"], "read_source_bytes_per_s");
  EXPECT_EQ(document["all_reduce"][0]["bytes"], 4096);
  EXPECT_EQ(document["step"]["source"], "modelled");
  const std::string text = probe_text(result);
  EXPECT_NE(text.find("2.00 GB/s"), std::string::npos) << text;
  EXPECT_NE(text.find("warm page cache"), std::string::npos) << text;
  EXPECT_NE(text.find("not measured: fp16: is for devices"), std::string::npos) << text;
  EXPECT_NE(text.find("slow: node 2 (n2) takes 100.0 % longer than the median of 3 nodes: read_source_bytes_per_s"),
            std::string::npos)
      << text;
}

}  // namespace
}  // namespace trainmark

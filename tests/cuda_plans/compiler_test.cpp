// The graph compiler for a described device: what it shares, keeps, refuses and does not do. Plans are made and looked
// at; nothing executes.
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <set>

#include "cuda_plans/plan_table.hpp"
#include "trainmark/backend.hpp"

namespace trainmark::cuda {
namespace {

CompilerOptions options(const std::string& device = "h200") { return options_for(device, true); }

ConvGraph volume(DType io = DType::bf16, Math math = Math::full) {
  return {.conv = {{3, 3, 3}, {1, 1, 1}, {1, 1, 1}, {1, 1, 1}},
          .src = {2, 16, 8, 8, 8},
          .weights = {32, 16, 3, 3, 3},
          .dst = {2, 32, 8, 8, 8},
          .io = io,
          .math = math,
          .slope = {}};
}
ConvGraph image() {
  return {.conv = {{3, 3}, {2, 2}, {0, 0}, {1, 1}},
          .src = {2, 16, 32, 24},
          .weights = {24, 16, 3, 3},
          .dst = {2, 24, 16, 12},
          .io = DType::f16,
          .slope = {}};
}

TEST(GraphCompilerTest, SharesThePlanOfEqualGraphs) {
  const auto compiler = make_graph_compiler(options());
  const std::shared_ptr<CompiledGraph> first = compiler->compile(volume());
  EXPECT_EQ(first, compiler->compile(volume()));
  EXPECT_NE(first, compiler->compile(image()));
  EXPECT_FALSE(first->engine().empty());
}

TEST(GraphCompilerTest, NamesItsLibrary) {
  EXPECT_TRUE(make_graph_compiler(options())->library().starts_with("cuDNN 9."));
}

TEST(GraphCompilerTest, PlansAllPassesOfStridedAndUnevenlyPaddedConvolutions) {
  for (const char* device : {"h200", "a100"}) {
    const auto compiler = make_graph_compiler(options(device));
    for (ConvGraph graph : {volume(), image()}) {
      graph.conv.pad_lo.back() = 0;  // 'same' padding of an even extent by a stride of two, and of kernel 2
      graph.dst = graph.src;
      graph.dst[1] = graph.weights[0];
      for (std::size_t axis = 2; axis < graph.dst.rank(); ++axis) {
        const std::size_t i = axis - 2;
        const std::int64_t room = graph.src[axis] + graph.conv.pad_lo[i] + graph.conv.pad_hi[i] - graph.conv.kernel[i];
        graph.dst[axis] = room / graph.conv.stride[i] + 1;
      }
      for (const auto pass :
           {ConvGraph::Pass::forward, ConvGraph::Pass::backward_data, ConvGraph::Pass::backward_weights}) {
        graph.pass = pass;
        EXPECT_NO_THROW((void)compiler->compile(graph)) << device << ' ' << key_of(graph);
      }
    }
  }
}

TEST(GraphCompilerTest, FindsReproducibleEnginesForAllPasses) {
  CompilerOptions reproducible = options();
  reproducible.deterministic = true;
  const auto compiler = make_graph_compiler(reproducible);
  for (const DType io : {DType::f32, DType::bf16, DType::f16}) {
    ConvGraph graph = volume(io);
    for (const auto pass :
         {ConvGraph::Pass::forward, ConvGraph::Pass::backward_data, ConvGraph::Pass::backward_weights}) {
      graph.pass = pass;
      EXPECT_NO_THROW((void)compiler->compile(graph)) << key_of(graph);
    }
  }
}

TEST(GraphCompilerTest, TakesOtherEnginesForFullPrecisionThanForTf32) {
  const auto compiler = make_graph_compiler(options());
  ConvGraph full = volume(DType::f32, Math::full);
  ConvGraph tf32 = volume(DType::f32, Math::tf32);
  full.bias = tf32.bias = true;
  full.slope = tf32.slope = 0.3F;
  EXPECT_NE(compiler->compile(full)->engine().find(" then "), std::string::npos) << compiler->compile(full)->engine();
  EXPECT_EQ(compiler->compile(tf32)->engine().find(" then "), std::string::npos) << compiler->compile(tf32)->engine();
}

TEST(GraphCompilerTest, RefusesWhatItsLibraryIsKnownToComputeWronglyUnlessTold) {
  CompilerOptions faulty = options();
  faulty.version = 91200;
  const auto compiler = make_graph_compiler(faulty);
  try {
    (void)compiler->compile(volume());
    FAIL() << "compiled";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::environment);
    const std::string text = error.what();
    for (const std::string& part : {key_of(volume()), std::string("9.14"), std::string("/backend/accept_known_faults")})
      EXPECT_NE(text.find(part), std::string::npos) << text;
  }
  EXPECT_NO_THROW((void)compiler->compile(image()));
  faulty.accept_known_faults = true;
  EXPECT_NO_THROW((void)make_graph_compiler(faulty)->compile(volume()));
}

TEST(GraphCompilerTest, NamesTheGraphThatNoEngineTakes) {
  ConvGraph graph = volume();
  graph.weights[1] = 5;  // five channels a group do not divide sixteen
  try {
    (void)make_graph_compiler(options())->compile(graph);
    FAIL() << "planned";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::environment);
    const std::string text = error.what();
    EXPECT_NE(text.find(key_of(graph)), std::string::npos) << text;
    EXPECT_NE(text.find("NVIDIA H200"), std::string::npos) << text;
    EXPECT_NE(text.find("try another"), std::string::npos) << text;
    EXPECT_EQ(text.find('\n'), std::string::npos) << text;
  }
}

TEST(GraphCompilerTest, RefusesADescriptionThatDescribesNoDevice) {
  for (const char* text : {"not JSON", "{\"deviceName\": \"half a device\"}"}) {
    CompilerOptions wrong;
    wrong.device_description = text;
    EXPECT_THROW((void)make_graph_compiler(wrong), Error) << text;
  }
}

TEST(GraphCompilerTest, ExecutesNothingForADeviceThatIsElsewhere) {
  const auto plan = make_graph_compiler(options())->compile(volume());
  const std::array<void*, 3> operands{};
  EXPECT_THROW(plan->execute(nullptr, operands, nullptr), std::logic_error);
}

/// A folder for one test's plans.
class CompilerCacheTest : public testing::Test {
 protected:
  CompilerCacheTest() : folder(testing::TempDir() + "compiler_cache_" + std::to_string(getpid())) {
    std::filesystem::remove_all(folder);
  }
  ~CompilerCacheTest() override { std::filesystem::remove_all(folder); }
  [[nodiscard]] CompilerOptions caching() const {
    CompilerOptions options = options_for("h200", false);
    options.cache_folder = folder;
    return options;
  }
  const std::string folder;
};

TEST_F(CompilerCacheTest, KeepsPlansOnDiskAndReplacesDamagedOnes) {
  ConvGraph precompiled = volume();
  precompiled.pass = ConvGraph::Pass::backward_data;
  ConvGraph compiled = volume();
  compiled.pass = ConvGraph::Pass::backward_weights;
  for (const ConvGraph& graph : {precompiled, compiled}) {
    std::filesystem::remove_all(folder);
    const std::string made = outcome(*make_graph_compiler(caching())->compile(graph));
    ASSERT_EQ(std::distance(std::filesystem::directory_iterator(folder), {}), 1);
    const std::filesystem::path entry = std::filesystem::directory_iterator(folder)->path();
    const auto written = std::filesystem::last_write_time(entry);

    EXPECT_EQ(outcome(*make_graph_compiler(caching())->compile(graph)), made);
    EXPECT_EQ(std::filesystem::last_write_time(entry), written) << "the entry was not used";

    std::ofstream(entry, std::ios::app) << "damage";
    const auto damaged = std::filesystem::file_size(entry);
    EXPECT_EQ(outcome(*make_graph_compiler(caching())->compile(graph)), made);
    EXPECT_LT(std::filesystem::file_size(entry), damaged) << "the damaged entry was not replaced";
  }
}

class Heard : public Diagnostics {
 public:
  [[nodiscard]] bool keeps(LogLevel level) const noexcept override { return level >= LogLevel::debug; }
  void write(LogLevel, const char*, std::string_view text) noexcept override { lines.emplace_back(text); }
  std::vector<std::string> lines;
};

TEST_F(CompilerCacheTest, SaysWhichPlanWasTakenAndWhereItCameFrom) {
  const auto heard = std::make_shared<Heard>();
  diagnose_to(heard);
  const auto first = make_graph_compiler(caching())->compile(image());
  (void)make_graph_compiler(caching())->compile(image());
  diagnose_to(nullptr);
  ASSERT_EQ(heard->lines.size(), 2U);
  for (const std::string& line : heard->lines) {
    EXPECT_NE(line.find(key_of(image())), std::string::npos) << line;
    EXPECT_NE(line.find(first->engine()), std::string::npos) << line;
  }
  EXPECT_TRUE(heard->lines[0].ends_with("made anew")) << heard->lines[0];
  EXPECT_TRUE(heard->lines[1].ends_with("from the plan cache")) << heard->lines[1];
}

TEST_F(CompilerCacheTest, MakesPlansAheadThatAreTheSame) {
  std::vector<GraphSpec> specs = {image(), volume(), volume()};  // equal ones share a plan
  ConvGraph chained = volume(DType::f32);                        // two plans
  chained.bias = true;
  chained.slope = 0.3F;
  specs.emplace_back(chained);
  for (const auto pass : {ConvGraph::Pass::backward_data, ConvGraph::Pass::backward_weights}) {
    ConvGraph graph = image();
    graph.pass = pass;
    specs.emplace_back(graph);
  }
  std::vector<std::string> alone;
  const auto one_by_one = make_graph_compiler(options_for("h200", false));
  for (const GraphSpec& spec : specs)
    alone.push_back(outcome(*one_by_one->compile(spec)));

  CompilerOptions together = caching();
  together.threads = 4;
  const auto compiler = make_graph_compiler(together);
  compiler->compile_ahead(specs);
  constexpr int plans = 6;
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder), {}), plans)
      << "they are made before anyone asks";
  std::filesystem::remove_all(folder);
  for (std::size_t at = 0; at < specs.size(); ++at)
    EXPECT_EQ(outcome(*compiler->compile(specs[at])), alone[at]) << key_of(specs[at]);
  EXPECT_FALSE(std::filesystem::exists(folder)) << "one was made again";
  EXPECT_EQ(compiler->compile(specs[1]), compiler->compile(specs[2]));
}

TEST_F(CompilerCacheTest, LeavesItToWhoAsksToHearOfAGraphThatNoEngineTakes) {
  ConvGraph impossible = volume();
  impossible.weights[1] = 5;
  CompilerOptions together = caching();
  together.threads = 2;
  const auto compiler = make_graph_compiler(together);
  const std::vector<GraphSpec> specs = {impossible, image()};
  EXPECT_NO_THROW(compiler->compile_ahead(specs));
  EXPECT_NO_THROW((void)compiler->compile(image()));
  EXPECT_THROW((void)compiler->compile(impossible), Error);
}

TEST_F(CompilerCacheTest, ABackendMakesAheadWhatItForesees) {
  const auto backend = make_cuda_planner({.plan_cache = folder}, options_for("h200", false).device_description);
  const ConvGraph graph = image();
  const Operands operands{.inputs = {{graph.src, DType::bf16}, {graph.weights, DType::f32}},
                          .outputs = {{graph.dst, DType::bf16}}};
  backend->foresee([&] {
    const Planned noted = backend->plan(graph.conv, operands);
    EXPECT_FALSE(std::filesystem::exists(folder)) << "only noted so far";
  });
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder), {}), 1);
  std::filesystem::remove_all(folder);
  (void)backend->plan(graph.conv, operands);
  EXPECT_FALSE(std::filesystem::exists(folder)) << "it was made again";
}

/// Looks at the candidates and chooses one, as a device would by executing them.
TryCandidates chooses(std::vector<std::string>& seen, std::size_t chosen) {
  return [&seen, chosen](std::span<const std::shared_ptr<CompiledGraph>> candidates,
                         std::span<const std::size_t> operand_bytes) {
    EXPECT_EQ(operand_bytes.size(), 3U);
    seen.clear();
    for (const auto& candidate : candidates)
      seen.push_back(outcome(*candidate));
    return Trial{chosen, {}, {}};
  };
}

TEST_F(CompilerCacheTest, TakesAndKeepsTheCandidateThatWasTheFastest) {
  ConvGraph graph = volume(DType::f32, Math::tf32);  // whose candidates have different workspaces
  graph.pass = ConvGraph::Pass::backward_weights;
  const std::string heuristics_choice = outcome(*make_graph_compiler(caching())->compile(graph));
  for (const std::size_t chosen : {0U, 2U}) {
    std::filesystem::remove_all(folder);
    std::vector<std::string> candidates;
    CompilerOptions tuned = caching();
    tuned.autotune = chooses(candidates, chosen);
    const std::string made = outcome(*make_graph_compiler(tuned)->compile(graph));
    ASSERT_GT(candidates.size(), 2U);
    EXPECT_LE(candidates.size(), 8U);
    EXPECT_EQ(candidates[0], heuristics_choice);
    EXPECT_EQ(std::set(candidates.begin(), candidates.end()).size(), candidates.size()) << "one was tried twice";
    EXPECT_EQ(made, candidates[chosen]);

    const std::size_t tried = candidates.size();
    candidates.clear();
    EXPECT_EQ(outcome(*make_graph_compiler(tuned)->compile(graph)), made);
    EXPECT_TRUE(candidates.empty()) << tried << " candidates were tried again although the plan is kept";
    // A run that is not tuned has plans of its own.
    EXPECT_EQ(outcome(*make_graph_compiler(caching())->compile(graph)), heuristics_choice);
  }
}

TEST(GraphCompilerTest, TakesNoEngineWithAWorkspaceOfASixteenthOfTheDeviceWhileThereAreOthers) {
  ConvGraph graph = volume(DType::f32, Math::tf32);
  graph.pass = ConvGraph::Pass::backward_weights;
  const std::size_t wanted = make_graph_compiler(options())->compile(graph)->workspace_bytes();
  ASSERT_GT(wanted, 0U) << "this graph shows nothing";
  const auto device = static_cast<std::int64_t>(wanted) * 16;
  EXPECT_EQ(make_graph_compiler(with_memory(options(), device))->compile(graph)->workspace_bytes(), wanted);
  EXPECT_LT(make_graph_compiler(with_memory(options(), device - 16))->compile(graph)->workspace_bytes(), wanted);

  CompilerOptions tuned = with_memory(options(), device - 16);
  tuned.autotune = [&](std::span<const std::shared_ptr<CompiledGraph>> tried, std::span<const std::size_t>) {
    for (const auto& candidate : tried)
      EXPECT_LT(candidate->workspace_bytes(), wanted) << candidate->engine();
    return Trial{tried.size() - 1, {}, {}};
  };
  EXPECT_NO_THROW((void)make_graph_compiler(tuned)->compile(graph));
}

TEST(GraphCompilerTest, PlansEvenWhereEveryWorkspaceIsTooLarge) {
  CompilerOptions tuned = with_memory(options(), 0);
  tuned.autotune = [](std::span<const std::shared_ptr<CompiledGraph>> tried, std::span<const std::size_t>) {
    return Trial{tried.size() - 1, {}, {}};
  };
  for (const auto pass : {ConvGraph::Pass::backward_data, ConvGraph::Pass::backward_weights}) {
    ConvGraph graph = volume();
    graph.pass = pass;
    EXPECT_NO_THROW((void)make_graph_compiler(with_memory(options(), 0))->compile(graph)) << key_of(graph);
    EXPECT_NO_THROW((void)make_graph_compiler(tuned)->compile(graph)) << key_of(graph);
  }
}

TEST(GraphCompilerTest, SaysWhatCandidatesSaidThatAllFailed) {
  CompilerOptions tuned = options();
  tuned.autotune = [](auto&&...) { return Trial{std::nullopt, "the first is broken\nthe second too\n", {}}; };
  try {
    (void)make_graph_compiler(tuned)->compile(volume());
    FAIL() << "planned";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::environment);
    EXPECT_NE(std::string(error.what()).find("is broken"), std::string::npos) << error.what();
  }
}

}  // namespace
}  // namespace trainmark::cuda

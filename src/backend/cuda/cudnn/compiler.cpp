// Plans: of the engines that cuDNN's heuristics name for a recipe's graph, those that the run allows are tried, and the
// first that finalises is the plan. With a device description instead of a device the same code plans for a machine
// that is elsewhere; such plans are looked at and kept, never executed.
#include <cudnn_frontend.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdio>
#include <map>
#include <mutex>
#include <thread>

#include "backend/cuda/cudnn/engine_refusal.hpp"
#include "backend/cuda/cudnn/graphs.hpp"
#include "backend/cuda/cudnn/known_faults.hpp"
#include "backend/cuda/cudnn/plan_cache.hpp"
#include "backend/cuda/cudnn/recipes.hpp"
#include "backend/cuda/cudnn/shared_plan.hpp"
#include "backend/cuda/cudnn/tuning.hpp"
#include "backend/cuda/device.hpp"

namespace trainmark::cuda {
namespace {

namespace fe = cudnn_frontend;

struct CudnnTraits {
  using type = cudnnHandle_t;
  static type null() noexcept { return nullptr; }
  static void release(type handle) noexcept { cudnnDestroy(handle); }
};
using CudnnHandle = Handle<CudnnTraits>;

/// The frontend's graph, opened where its public face ends: engines of a graph that is not finalised.
class FrontendGraph final : public fe::graph::Graph {
 public:
  [[nodiscard]] const std::vector<fe::NumericalNote_t>& numerical_notes(std::int64_t engine) const {
    return plans.numeric_notes.at(static_cast<std::size_t>(engine));
  }
  [[nodiscard]] fe::error_t supports(std::int64_t engine) { return plans.check_support_at_index(engine); }
  /// Valid while no engine is deselected by the frontend itself, which is so here.
  [[nodiscard]] std::int64_t workspace_of(std::int64_t engine) {
    std::int64_t bytes = 0;
    fe::EngineConfigList configs = plans.get_barred_engine_configs();
    return fe::detail::get_workspace_size(configs.at(static_cast<std::size_t>(engine)), bytes).is_good() ? bytes : 0;
  }
  /// This engine's plan, which has been built, is the graph's: others are dropped, with what they hold on the device.
  void settle_on(std::int64_t engine) {
    for (std::size_t other = 0; other < plans.execution_plans.size(); ++other) {
      if (static_cast<std::int64_t>(other) != engine) plans.execution_plans[other].reset();
    }
    plans.candidate = engine;
  }
};

// --- What a plan is made for, and the plan ---------------------------------------------------------------------------

/// A device that is here (handle) or one that is only described (properties).
struct Target {
  std::string name;
  int sm = 0;  ///< 90 for compute capability 9.0
  std::int64_t memory_bytes = 0;
  int ordinal = 0;  ///< of the device that is here
  CudnnHandle handle;
  /// Of threads that made plans: a library that works with one handle must not be given to two threads at a time.
  std::vector<CudnnHandle> handles_of_threads = {};
  std::shared_ptr<fe::DeviceProperties> properties;
};

Error refusal(std::string where, std::string what, std::string why, std::string remedy) {
  return {ExitCode::environment, Complaint{std::move(where), std::move(what), std::move(why), std::move(remedy)}};
}

std::shared_ptr<Target> described_target(const std::string& description) {
  auto target = std::make_shared<Target>();
  try {
    const auto fields = nlohmann::json::parse(description);
    target->name = fields.at("deviceName").get<std::string>();
    target->sm = fields.at("deviceVer").get<int>() / 10;
    target->memory_bytes = fields.at("totalGlobalMem").get<std::int64_t>();
  } catch (const nlohmann::json::exception& error) {
    throw refusal("device description", error.what(), "plans are made for the device that it describes",
                  "give one as in share/devices");
  }
  target->properties = std::make_shared<fe::DeviceProperties>();
  const fe::error_t status = target->properties->deserialize({description.begin(), description.end()});
  if (status.is_bad()) {
    throw refusal("device description", fmt::format("cuDNN does not take it: {}", status.err_msg),
                  "plans are made for the device that it describes", "give one as in share/devices");
  }
  return target;
}

CudnnHandle new_handle(const std::string& device) {
  cudnnHandle_t handle = nullptr;
  const cudnnStatus_t status = cudnnCreate(&handle);
  if (status == CUDNN_STATUS_SUCCESS) return CudnnHandle(handle);
  throw refusal(device, fmt::format("cuDNN does not start: {}", cudnnGetErrorString(status)),
                "convolutions and dense layers need it", "check that driver, CUDA and cuDNN fit each other");
}

std::shared_ptr<Target> present_target() {
  auto target = std::make_shared<Target>();
  cudaDeviceProp properties{};
  check(cudaGetDevice(&target->ordinal), "cudaGetDevice");
  check(cudaGetDeviceProperties(&properties, target->ordinal), "cudaGetDeviceProperties");
  target->name = properties.name;
  target->sm = properties.major * 10 + properties.minor;
  target->memory_bytes = static_cast<std::int64_t>(properties.totalGlobalMem);
  target->handle = new_handle(target->name);
  return target;
}

class CudnnGraph final : public CompiledGraph {
 public:
  /// `index`: of the engine among the graph's.
  CudnnGraph(std::shared_ptr<Target> target, std::shared_ptr<FrontendGraph> graph, std::int64_t index,
             std::string engine, std::size_t workspace_bytes, bool finalised)
      : target_(std::move(target)),
        graph_(std::move(graph)),
        index_(index),
        engine_(std::move(engine)),
        workspace_bytes_(workspace_bytes),
        finalised_(finalised) {}

  [[nodiscard]] std::size_t workspace_bytes() const override { return workspace_bytes_; }
  [[nodiscard]] std::string engine() const override { return engine_; }
  void execute(cudaStream_t stream, std::span<void* const> operands, void* workspace) override {
    TRAINMARK_CHECK(finalised_ && target_->handle, "a plan for a device that is not here, or only selected");
    const cudnnStatus_t set = cudnnSetStream(target_->handle.get(), stream);
    TRAINMARK_CHECK(set == CUDNN_STATUS_SUCCESS, cudnnGetErrorString(set));
    // The frontend takes pointers to mutable pointers and does not write to them.
    const fe::error_t status = graph_->execute_plan_at_index(target_->handle.get(), const_cast<void**>(operands.data()),
                                                             static_cast<int>(operands.size()), workspace, index_);
    if (status.is_bad()) {
      throw Error(ExitCode::communication, Complaint{engine_, fmt::format("the device refused it: {}", status.err_msg),
                                                     "this step is lost", "see the messages before this one"});
    }
  }

 private:
  std::shared_ptr<Target> target_;
  std::shared_ptr<FrontendGraph> graph_;
  std::int64_t index_;
  std::string engine_;
  std::size_t workspace_bytes_;
  bool finalised_;
};

/// A convolution, then its activation in place.
class ChainedGraph final : public CompiledGraph {
 public:
  ChainedGraph(std::shared_ptr<CompiledGraph> first, std::shared_ptr<CompiledGraph> second)
      : first_(std::move(first)), second_(std::move(second)) {}
  [[nodiscard]] std::size_t workspace_bytes() const override {
    return std::max(first_->workspace_bytes(), second_->workspace_bytes());
  }
  [[nodiscard]] std::string engine() const override {
    return fmt::format("{} then {}", first_->engine(), second_->engine());
  }
  void execute(cudaStream_t stream, std::span<void* const> operands, void* workspace) override {
    first_->execute(stream, operands, workspace);
    const std::array<void*, 2> in_place = {operands.back(), operands.back()};
    second_->execute(stream, in_place, workspace);
  }

 private:
  std::shared_ptr<CompiledGraph> first_, second_;
};

// --- Planning --------------------------------------------------------------------------------------------------------

std::vector<fe::NumericalNote_t> forbidden_notes(bool full_precision, bool deterministic) {
  std::vector<fe::NumericalNote_t> notes = {fe::NumericalNote_t::REDUCED_PRECISION_REDUCTION};
  if (full_precision) notes.push_back(fe::NumericalNote_t::TENSOR_CORE);
  if (full_precision) notes.push_back(fe::NumericalNote_t::DOWN_CONVERT_INPUTS);
  if (deterministic) notes.push_back(fe::NumericalNote_t::NONDETERMINISTIC);
  return notes;
}

/// The share of a device's memory that a plan's workspace may take where there is another engine. A lane holds the
/// largest workspace of its plans beside state and activations for the whole run: no engine is so much faster that a
/// run should not fit for it, and some ask for more than the graph's tensors take. Of the committed table's plans the
/// heuristics' first choice never asks for as much.
constexpr std::int64_t workspace_share = 16;

class CudnnCompiler final : public GraphCompiler {
 public:
  explicit CudnnCompiler(const CompilerOptions& options)
      : options_(options),
        target_(options.device_description.empty() ? present_target() : described_target(options.device_description)) {
    if (!options.cache_folder.empty() && !options.select_only) {
      cache_.emplace(options.cache_folder, context(),
                     [](const std::string& text) { std::fputs(fmt::format("trainmark: {}\n", text).c_str(), stderr); });
    }
  }

  std::shared_ptr<CompiledGraph> compile(const GraphSpec& spec) override {
    if (const std::string fault = refused(spec); !fault.empty()) {
      throw refusal(key_of(spec), fault, "the run would train on wrong numbers without a word",
                    "load cuDNN 9.16 or newer, compute in another precision, or set /backend/accept_known_faults");
    }
    const std::vector<Recipe> recipes = recipes_of(spec);
    std::shared_ptr<CompiledGraph> plan = shared_plan(recipes.front());
    return recipes.size() == 1 ? plan : std::make_shared<ChainedGraph>(plan, shared_plan(recipes.back()));
  }
  void compile_ahead(std::span<const GraphSpec> specs) override {
    // A trial wants the device for itself, and other ranks take rank 0's plans.
    if (options_.autotune || (options_.ranks && options_.ranks->rank() != 0)) return;
    std::map<std::string, Recipe> wanted;
    for (const GraphSpec& spec : specs) {
      if (!refused(spec).empty()) continue;
      for (Recipe& recipe : recipes_of(spec))
        if (!plans_.contains(recipe.key)) wanted.insert_or_assign(recipe.key, std::move(recipe));
    }
    std::vector<Made> results(wanted.size());
    std::atomic<std::size_t> next = 0;
    const auto make = [&](cudnnHandle_t handle) {
      for (std::size_t at = next++; at < results.size(); at = next++) {
        try {
          results[at] = own_plan(std::next(wanted.begin(), static_cast<std::ptrdiff_t>(at))->second, handle);
        } catch (const std::exception&) {  // NOLINT(bugprone-empty-catch): who asks for it hears why
        }
      }
    };
    const std::size_t threads = std::min(static_cast<std::size_t>(options_.threads), results.size());
    while (target_->handle && target_->handles_of_threads.size() + 1 < threads)
      target_->handles_of_threads.push_back(new_handle(target_->name));
    {
      std::vector<std::jthread> others;
      for (std::size_t other = 0; other + 1 < threads; ++other) {
        others.emplace_back([&, other] {
          if (!target_->handle) return make(nullptr);
          if (cudaSetDevice(target_->ordinal) == cudaSuccess) make(target_->handles_of_threads[other].get());
        });
      }
      make(target_->handle.get());
    }
    std::size_t at = 0;
    for (const auto& [key, recipe] : wanted)
      if (Made& each = results[at++]; each.plan) ahead_.insert_or_assign(key, std::move(each));
  }
  [[nodiscard]] std::string library() const override {
    const std::size_t version = cudnnGetVersion();
    return fmt::format("cuDNN {}.{}.{}", version / 10000, version / 100 % 100, version % 100);
  }

 private:
  struct Choice {
    std::int64_t engine = -1;
    bool finalised = true;
    std::string failures = {};  ///< what engines said that were allowed and could not be had
  };
  struct Made {
    std::shared_ptr<CompiledGraph> plan;
    StoredPlan stored;  ///< where somebody wants it
  };
  struct Restored {
    std::shared_ptr<CompiledGraph> plan;
    std::string failure;
  };

  [[nodiscard]] std::string refused(const GraphSpec& spec) const {
    if (options_.accept_known_faults) return {};
    return known_fault(options_.version != 0 ? options_.version : cudnnGetVersion(), spec);
  }

  /// One after the other.
  static std::vector<Recipe> recipes_of(const GraphSpec& spec) {
    const auto* conv = std::get_if<ConvGraph>(&spec);
    if (conv == nullptr || !conv->slope || !is_full_precision(spec)) return {recipe_of(spec)};
    // Only engines that use tensor cores fuse an activation like this one.
    ConvGraph plain = *conv;
    plain.slope.reset();
    return {recipe_of(plain), recipe_of(LeakyStep{conv->dst, *conv->slope})};
  }

  std::shared_ptr<CompiledGraph> shared_plan(const Recipe& recipe) {
    std::shared_ptr<CompiledGraph>& plan = plans_[recipe.key];
    if (!plan) plan = options_.ranks ? rank_0s_plan(recipe) : made(recipe).plan;
    return plan;
  }

  Made made(const Recipe& recipe) {
    if (auto ready = ahead_.extract(recipe.key); !ready.empty()) return std::move(ready.mapped());
    return own_plan(recipe, target_->handle.get());
  }

  std::shared_ptr<CompiledGraph> rank_0s_plan(const Recipe& recipe) {
    std::shared_ptr<CompiledGraph> plan;
    const auto choose = [&] {
      Made own = made(recipe);
      plan = std::move(own.plan);
      return std::move(own.stored);
    };
    share_plan(*options_.ranks, context(), recipe.key, choose, [&](const StoredPlan& chosen) {
      Restored restored = restore(chosen, target_->handle.get());
      plan = std::move(restored.plan);
      if (plan) return tell_of(recipe.key, *plan, "rank 0's");
      throw refusal(recipe.key, fmt::format("cuDNN does not take rank 0's plan: {}", restored.failure),
                    "with /backend/deterministic all ranks compute with rank 0's plans",
                    "leave it out, and report this message");
    });
    return plan;
  }

  /// `handle` is the calling thread's; null where the device is only described.
  Made own_plan(const Recipe& recipe, cudnnHandle_t handle) {
    if (cache_) {
      Made kept = from_cache(recipe.key, handle);
      if (kept.plan) tell_of(recipe.key, *kept.plan, "from the plan cache");
      if (kept.plan) return kept;
    }
    try {
      Made made = planned(recipe, handle);
      tell_of(recipe.key, *made.plan, options_.autotune ? "the fastest of a trial" : "made anew");
      return made;
    } catch (const fe::cudnnException& error) {
      throw no_engine(recipe, error.what());
    }
  }

  static void tell_of(const std::string& key, const CompiledGraph& plan, std::string_view origin) {
    diagnose(LogLevel::debug, [&] {
      return fmt::format("cuDNN plans {} by {}, {} bytes of workspace; {}", key, plan.engine(), plan.workspace_bytes(),
                         origin);
    });
  }

  [[nodiscard]] std::string context() const {
    return fmt::format("{} sm_{} {} frontend {}{}{}", target_->name, target_->sm, library(), CUDNN_FRONTEND_VERSION,
                       options_.deterministic ? " deterministic" : "", options_.autotune ? " autotuned" : "");
  }

  [[nodiscard]] Error no_engine(const Recipe& recipe, std::string_view said) const {
    EngineRefusal refused = engine_refusal(said);
    std::string why = "this step cannot run as it is";
    if (refused.remedy.empty() && recipe.full_precision) {
      why = "fp32 without TF32 leaves out all engines that use tensor cores";
      refused.remedy = "allow TF32, or compute in bf16 or f16";
    }
    if (refused.remedy.empty()) refused.remedy = "try another cuDNN or precision";
    const auto what = fmt::format("{} has no engine for it on {}: {}", library(), target_->name, refused.reason);
    return refusal(recipe.key, what, why, refused.remedy);
  }

  [[nodiscard]] std::shared_ptr<FrontendGraph> empty_graph() const {
    auto graph = std::make_shared<FrontendGraph>();
    graph->set_intermediate_data_type(fe::DataType_t::FLOAT).set_compute_data_type(fe::DataType_t::FLOAT);
    // The compiler keeps all plans, and recorded steps end before it: they need not hold what they launch.
    graph->set_cuda_graph_retention(fe::CudaGraphRetention_t::NONE);
    if (target_->properties) graph->set_device_properties(target_->properties);
    if (target_->properties) graph->set_sm_version(target_->sm);
    return graph;
  }

  [[nodiscard]] Restored restore(const StoredPlan& stored, cudnnHandle_t handle) const {
    const std::shared_ptr<FrontendGraph> graph = empty_graph();
    std::string failure;
    try {
      const fe::error_t status = handle != nullptr ? graph->deserialize(handle, stored.plan, true, false)
                                                   : graph->deserialize(stored.plan, true);
      if (status.is_bad()) failure = status.err_msg.empty() ? "no reason given" : status.err_msg;
    } catch (const std::exception& error) {
      failure = error.what();
    }
    if (failure.empty() && graph->get_workspace_size() != static_cast<std::int64_t>(stored.workspace_bytes))
      failure = fmt::format("its workspace is {} bytes, not {}", graph->get_workspace_size(), stored.workspace_bytes);
    if (!failure.empty()) return {nullptr, failure};
    return {std::make_shared<CudnnGraph>(target_, graph, /*engine=*/0, stored.engine, stored.workspace_bytes, true),
            {}};
  }

  [[nodiscard]] Made from_cache(const std::string& key, cudnnHandle_t handle) {
    std::unique_lock lock(cache_access_);
    std::optional<StoredPlan> stored = cache_->load(key);
    if (!stored) return {};
    lock.unlock();
    Restored restored = restore(*stored, handle);
    lock.lock();
    if (!restored.plan) cache_->reject(key, fmt::format("cuDNN does not take it ({})", restored.failure));
    return {std::move(restored.plan), *std::move(stored)};
  }

  /// The plan as bytes, for the cache and for other ranks.
  [[nodiscard]] StoredPlan serialised(const FrontendGraph& graph, const CudnnGraph& plan, const Recipe& recipe) {
    StoredPlan stored{plan.engine(), plan.workspace_bytes(), {}};
    const fe::error_t status = graph.serialize(stored.plan, false);
    if (status.is_good() && cache_) {
      const std::lock_guard lock(cache_access_);
      cache_->store(recipe.key, stored);
    }
    if (status.is_bad() && options_.ranks) {
      throw refusal(recipe.key, fmt::format("cuDNN cannot send its plan to other ranks: {}", status.err_msg),
                    "with /backend/deterministic all ranks compute with rank 0's plans",
                    "leave it out, and report this message");
    }
    return stored;
  }

  Made planned(const Recipe& recipe, cudnnHandle_t handle) {
    const std::shared_ptr<FrontendGraph> graph = empty_graph();
    recipe.build(*graph);
    const auto require = [&](const fe::error_t& status) {
      if (status.is_bad()) throw no_engine(recipe, status.err_msg);
    };
    require(graph->validate());
    require(graph->build_operation_graph(handle));
    require(graph->create_execution_plans({fe::HeurMode_t::A, fe::HeurMode_t::FALLBACK}));

    const Choice choice = options_.autotune ? fastest_of(graph, recipe) : first(*graph, recipe);
    if (choice.engine < 0) throw no_engine(recipe, choice.failures);
    if (choice.finalised) graph->settle_on(choice.engine);
    std::shared_ptr<CudnnGraph> plan = plan_of(graph, choice.engine, choice.finalised, recipe);
    if (!cache_ && !options_.ranks) return {plan, {}};
    return {plan, serialised(*graph, *plan, recipe)};
  }

  [[nodiscard]] std::shared_ptr<CudnnGraph> plan_of(const std::shared_ptr<FrontendGraph>& graph, std::int64_t engine,
                                                    bool finalised, const Recipe& recipe) const {
    std::string name;
    fe::error_t status = graph->get_plan_name_at_index(engine, name);
    if (status.is_good() && finalised) status = graph->prepare_variant_pack_template();
    if (status.is_bad()) throw no_engine(recipe, status.err_msg);
    TRAINMARK_CHECK(!finalised || graph->get_variant_pack_uids_sorted().size() == recipe.operands.size(), recipe.key);
    const std::int64_t workspace =
        finalised ? graph->get_workspace_size_plan_at_index(engine) : graph->workspace_of(engine);
    return std::make_shared<CudnnGraph>(target_, graph, engine, name, static_cast<std::size_t>(workspace), finalised);
  }

  [[nodiscard]] bool is_modest(FrontendGraph& graph, std::int64_t engine) const {
    return graph.workspace_of(engine) <= target_->memory_bytes / workspace_share;
  }

  /// In the heuristics' order, but those with too large a workspace last: a slow plan is better than none.
  [[nodiscard]] std::vector<std::int64_t> allowed_engines(FrontendGraph& graph, bool full_precision) const {
    const std::vector<fe::NumericalNote_t> forbidden = forbidden_notes(full_precision, options_.deterministic);
    std::vector<std::int64_t> allowed;
    for (std::int64_t engine = 0; engine < graph.get_execution_plan_count(); ++engine) {
      const std::vector<fe::NumericalNote_t>& notes = graph.numerical_notes(engine);
      if (std::ranges::find_first_of(notes, forbidden) == notes.end()) allowed.push_back(engine);
    }
    std::ranges::stable_partition(allowed, [&](std::int64_t engine) { return is_modest(graph, engine); });
    return allowed;
  }

  /// The heuristics' first choice that is allowed and can be had.
  [[nodiscard]] Choice first(FrontendGraph& graph, const Recipe& recipe) const {
    std::string failures;
    for (const std::int64_t engine : allowed_engines(graph, recipe.full_precision)) {
      std::vector<fe::BehaviorNote_t> notes;
      const bool compiled = graph.get_behavior_notes_for_plan_at_index(engine, notes).is_good() &&
                            std::ranges::find(notes, fe::BehaviorNote_t::RUNTIME_COMPILATION) != notes.end();
      const bool only_select = options_.select_only && compiled;
      const fe::error_t status = only_select ? graph.supports(engine) : graph.build_plan_at_index(engine);
      if (status.is_good()) return {engine, !only_select};
      failures += status.err_msg + '\n';
    }
    return {.failures = failures.empty() ? "none of its engines does what the run allows" : failures};
  }

  /// The fastest of the heuristics' best few.
  [[nodiscard]] Choice fastest_of(const std::shared_ptr<FrontendGraph>& graph, const Recipe& recipe) const {
    constexpr std::size_t most = 8;
    std::vector<std::int64_t> engines;
    std::vector<std::shared_ptr<CompiledGraph>> candidates;
    for (const std::int64_t engine : allowed_engines(*graph, recipe.full_precision)) {
      if (candidates.size() == most || !is_modest(*graph, engine)) break;
      if (graph->build_plan_at_index(engine).is_bad()) continue;
      engines.push_back(engine);
      candidates.push_back(plan_of(graph, engine, true, recipe));
    }
    if (candidates.empty()) return first(*graph, recipe);  // which takes a large one, or says why not
    std::vector<std::size_t> operand_bytes;
    for (const Operand& operand : recipe.operands)
      operand_bytes.push_back(operand.bytes());
    const Trial trial = options_.autotune(candidates, operand_bytes);
    tell_of_trial(recipe.key, candidates, trial);
    if (target_->handle) cudnnSetStream(target_->handle.get(), nullptr);  // the trial's stream has ended
    if (!trial.fastest) return {.failures = trial.failures};
    return {engines.at(*trial.fastest)};
  }

  CompilerOptions options_;
  std::shared_ptr<Target> target_;
  std::optional<PlanCache> cache_;
  std::mutex cache_access_;
  std::map<std::string, std::shared_ptr<CompiledGraph>> plans_;
  std::map<std::string, Made> ahead_;  ///< not asked for yet
};

}  // namespace

std::unique_ptr<GraphCompiler> make_graph_compiler(const CompilerOptions& options) {
  return std::make_unique<CudnnCompiler>(options);
}

}  // namespace trainmark::cuda

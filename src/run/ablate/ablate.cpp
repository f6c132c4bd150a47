// `trainmark ablate`: everything that a run makes before its first step, then the variants of that step in turn.
#include <fmt/core.h>

#include <algorithm>
#include <memory>

#include "run/ablate/ablation.hpp"
#include "run/end/ending.hpp"
#include "run/launch/input.hpp"
#include "run/launch/session.hpp"
#include "run/record/progress.hpp"

namespace trainmark {
namespace {

/// The programs of all variants, of one state and one set of input slots: made before the first of them is used.
class Variants {
 public:
  Variants(const World& world, Backend& backend, const RunOptions& options, const std::vector<ChannelRange>& channels)
      : sums_(make_collectives(world, backend, options.recipe.model)),
        nobody_(backend.make_collective(world.all().split(world.all().rank()))) {
    const auto graphs = [&](Precision precision) {
      RunOptions other = options;
      other.train.precision = precision;
      StepOptions shape = step_options(other, world.all().size());
      shape.graph.channels = channels;
      return graphs_of(options.recipe, shape);
    };
    const StepGraphs whole = graphs(options.train.precision);
    state = std::make_unique<ModelState>(backend, whole.last, slots_of(options.recipe.rule));
    state->initialise(static_cast<std::uint64_t>(options.seed));
    shelf_.emplace(backend, *state);
    programs.whole = shelf_->add(whole, sums_.get(), {});
    const Group& ranks = world.all();
    if (ranks.size() > 1) programs.unsummed = shelf_->add(whole, {*nobody_, sums_.norm.get()}, {});
    if (ranks.size() > 1 && backend.overlaps())
      attempt(ranks, "no_overlap", "sums over ranks and computation in turn", whole, {.overlap = false});
    attempt(ranks, "unfused", "each operation by itself, no fused blocks", whole, {.fuse = false});
    if (backend.captures())
      attempt(ranks, "uncaptured", "operations launched one by one, no captured step", whole, {.capture = false});
    // What is asked for as tf32 is computed in fp32 where there is no tf32.
    const bool asked = options.train.precision == Precision::tf32, has_tf32 = backend.use_tf32(asked);
    const Precision own = asked && !has_tf32 ? Precision::fp32 : options.train.precision;
    programs.precision = own;
    for (const Precision other : {Precision::fp32, Precision::tf32, Precision::bf16}) {
      if (other == own || (other == Precision::tf32 && !has_tf32)) continue;
      static_cast<void>(backend.use_tf32(other == Precision::tf32));
      attempt(ranks, word(other), fmt::format("{} in place of {}", word(other), word(own)), graphs(other), {});
    }
    static_cast<void>(backend.use_tf32(asked));
  }

  AblationPrograms programs;
  std::unique_ptr<ModelState> state;

 private:
  /// A variant that may find no plan or no room here: then all ranks leave it out.
  void attempt(const Group& ranks, std::string_view name, const std::string& meaning, const StepGraphs& graphs,
               Program::Options how) {
    try {
      programs.others.push_back({std::string(name), meaning, shelf_->try_to_add(ranks, graphs, sums_.get(), how)});
    } catch (const AgreedError& error) {
      if (!may_be_left_out(error)) throw;
      programs.left_out.push_back(fmt::format("{}: {}", name, error.what()));
    }
  }

  OwnedCollectives sums_;
  std::unique_ptr<Collective> nobody_;
  std::optional<StepShelf> shelf_;
};

}  // namespace

Ablation ablate(const World& world, const RunOptions& wanted, const AblateOptions& how, const RunContext& context) {
  Open open;
  Watchdog watchdog = ending_watchdog(world, open, context);
  watchdog.phase("initialisation", wanted.watchdog.init_seconds);
  Progress progress = progress_of(world, wanted.results, context);
  const auto say = [&](const std::string& line) { progress.line(line); };
  const auto alive = [&] { watchdog.beat(); };

  RunOptions options = with_all_readers(options_of_launch(world, wanted));
  options.load.memory_mib = 0;  // input is measured as it is read
  require_computes(options, "trainmark ablate");
  const Dataset dataset = find_dataset(world, options, alive, say);
  require_options(world, options, dataset);
  options.stage = with_target(world, options, dataset, alive, say);
  const std::unique_ptr<Backend> backend = make_backend(options.backend, world);
  open.backend = backend.get();
  Timeline nowhere({});
  const StagedDataset staged = stage_dataset(world, options, dataset, nowhere, watchdog, {{}, say, context.job_id});
  watchdog.phase("planning", options.watchdog.init_seconds);
  Variants variants(world, *backend, options, dataset.channels);
  Input input = open_input(world, backend->pinned_memory(), options, dataset, staged);
  std::optional<Input> direct;
  if (options.stage.strategy != Strategy::none) {
    StagedDataset source;
    source.train.root = dataset.train.source;
    source.validation.root = dataset.validation.source;
    direct = open_input(world, backend->pinned_memory(), options, dataset, source);
  }
  progress.line(fmt::format("ablation: {} on {} rank(s), {}; {} rounds of {} steps a variant", options.name,
                            world.all().size(), backend->description(), how.rounds, how.steps));
  watchdog.phase("ablation", options.watchdog.step_seconds);
  // Until every slot's recording costs what later launches do, and what the loader has read ahead is used up.
  const int lead = std::max(options.load.prefetch + 2, 2 * backend->warm_up_launches());
  const Bench bench{world,
                    *backend,
                    *variants.state,
                    options.train.batch() / world.all().size(),
                    options.train.gradient_accumulation_steps,
                    lead,
                    alive};
  const AblationResult result = on_device(*backend, ends_where_stuck(world, open, context, watchdog), [&] {
    return compare_variants(bench, variants.programs, {input.train.get(), direct ? direct->train.get() : nullptr}, how);
  });
  if (world.all().rank() != 0) return {};
  return {to_text(result), to_json(result, how, options, world)};
}

}  // namespace trainmark

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
    const Precision own = options.train.precision;
    const StepGraphs whole = graphs(own);
    state = std::make_unique<ModelState>(backend, whole.last, slots_of(options.recipe.rule));
    state->initialise(static_cast<std::uint64_t>(options.seed));
    shelf_.emplace(backend, *state);
    programs.whole = shelf_->add(whole, sums_.get(), {});
    if (world.all().size() > 1) {
      programs.unsummed = shelf_->add(whole, {*nobody_, sums_.norm.get()}, {});
      if (backend.overlaps()) programs.in_order = shelf_->add(whole, sums_.get(), {.overlap = false});
    }
    programs.unfused = attempt(world, backend, "unfused", whole, {.fuse = false});
    const bool less = own == Precision::bf16 || own == Precision::fp16;
    const Precision other = less ? Precision::fp32 : Precision::bf16;
    if (less)
      programs.fp32 = shelf_->add(graphs(other), sums_.get(), {});
    else
      programs.bf16 = attempt(world, backend, "bf16", graphs(other), {});
    programs.precision_means = fmt::format("{} in place of {}", word(other), word(own));
  }

  AblationPrograms programs;
  std::unique_ptr<ModelState> state;

 private:
  /// Programs that a run does not need, and that may find no plan or no room here: then all ranks leave them out.
  /// Looked at apart first, for what is on the shelf keeps its place there.
  StepPrograms attempt(const World& world, Backend& backend, std::string_view name, const StepGraphs& graphs,
                       Program::Options how) {
    try {
      agree_on(world.all(), [&] {
        const Program planned(backend, graphs.last, *state, sums_.get(), make_input_slots(backend), how);
        const Arena room(backend, planned.memory().pool_bytes + planned.scratch_bytes());
      });
    } catch (const AgreedError& error) {
      if (error.code() != ExitCode::environment) throw;
      programs.left_out.push_back(fmt::format("{}: {}", name, error.what()));
      return {};
    }
    return shelf_->add(graphs, sums_.get(), how);
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

  const RunOptions options = options_of_launch(world, wanted);
  require_computes(options, "trainmark ablate");
  const Dataset dataset = find_dataset(world, options, alive, say);
  require_options(world, options, dataset);
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

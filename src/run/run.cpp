// A run from start to end, in the order of the benchmark's rules. Each value is made from earlier ones.
#include "trainmark/run.hpp"

#include <algorithm>

#include "run/end/ending.hpp"
#include "run/launch/comparison.hpp"
#include "run/launch/dry_run.hpp"
#include "run/launch/input.hpp"
#include "run/launch/kept.hpp"
#include "run/launch/warm_up.hpp"
#include "run/probe/after_run.hpp"
#include "run/record/rank_log.hpp"
#include "run/record/recorder.hpp"
#include "run/train/trainer.hpp"

namespace trainmark {

RunOutcome run(const World& world, const RunOptions& wanted, const RunContext& context) {
  StartUp start_up(world.init_seconds());
  const auto rank_log = std::make_shared<RankLog>(context.log_level, world.all().rank(), world.host());
  const RankLog::InUse keeps_diagnostics(rank_log);
  Open open;
  Watchdog watchdog = ending_watchdog(world, open, context);
  std::unique_ptr<Watchdog> copying;  // of staging beside training
  if (stages_beside(wanted)) copying.reset(new Watchdog(ending_watchdog(world, open, context)));
  watchdog.phase("initialisation", wanted.watchdog.init_seconds);
  Progress progress = progress_of(world, wanted.results, context);
  const Stuck stuck = ends_where_stuck(world, open, context, watchdog);

  RunOptions options = options_of_launch(world, wanted);
  if (context.check) require_computes(options, "run --check");
  if (context.measure_nodes) require_computes(options, "run --measure-nodes");
  if (context.probe_seconds > 0.0) require_computes(options, "run --probe");
  if (context.check) {
    const auto checked = make_backend(options.backend, world);
    return *context.check == Check::cpu ? check_backend(world, *checked, options, progress, stuck)
                                        : check_itself(world, *checked, options, progress, stuck);
  }
  const auto say = [&](const std::string& line) { progress.line(line); };
  const Dataset dataset = find_dataset(
      world, options, [&] { watchdog.beat(); }, say);
  require_options(world, options, dataset);
  if (const std::string warning = unfinished_warm_up(options, dataset.train.samples); !warning.empty())
    say("warning: " + warning);
  options.stage = with_target(
      world, options, dataset, [&] { watchdog.beat(); }, say);
  start_up.was(Scope::dataset);
  const std::unique_ptr<Backend> backend = make_backend(options.backend, world);
  start_up.was(Scope::backend);
  open.backend = backend.get();
  if (context.dry_run) return dry_run(world, *backend, options, dataset, progress);

  Trace trace = context.traces ? Trace(world, start_up.clock()) : Trace();
  Results results(world, options, context);
  open.results = &results;
  rank_log->open(results.folder());
  Timeline timeline(results.log(), &trace);
  open.timeline = &timeline;
  const Interrupts::Guard on_signal = close_on_signal(context, timeline, results);
  std::shared_ptr<void> listening = end_with_a_failed_rank(world, open, context, results.folder());
  Recorder recorder(world, options, results, timeline, progress);
  try {
    recorder.launch(*backend, context);
    timeline.header(options, clear_caches(world, options.clear_cache), one_line(context.resolved_config));
    const auto stage = [&] {
      const std::shared_ptr<void> range = backend->range("staging");
      start_up.was(Scope::rest);
      StagedDataset result = stage_dataset(world, options, dataset, timeline, watchdog, {{}, say, context.job_id});
      start_up.was(Scope::staging);
      return result;
    };
    const bool before_clock = stages_before_clock(world, options.stage, rules_of(options));
    StagedDataset staged;
    StagingBeside beside;
    if (before_clock) staged = stage();

    Compiled compiled;
    std::unique_ptr<InputMemory> input_memory;
    {
      const LogScope init = timeline.init();
      const std::shared_ptr<void> range = backend->range("initialisation");
      watchdog.phase("initialisation", options.watchdog.init_seconds);
      timeline.hyperparameters(options, facts_of(world, *backend, options, dataset));
      start_up.was(Scope::rest);
      compiled = compile(world, *backend, options, dataset.channels, context.traces);
      start_up.was(Scope::planning);
      on_device(*backend, stuck, [&] {
        warm_up(compiled, options.seed, dataset.schema, options.train.batch() / world.all().size(),
                context.measure_nodes);
      });
      start_up.was(Scope::warm_up);
      require_equal(world.all(), "the initial parameters", compiled.state->hash(),
                    "start the same binary on the same kind of CPU everywhere");
      input_memory = take_input_memory(world, backend->pinned_memory(), options, dataset.schema);
      if (const KeptMemory kept = kept_memory(world, options, dataset); options.load.memory_mib != 0) {
        options.load.memory_mib = kept.mib;
        recorder.keeps(kept);
      }
      recorder.initialised(compiled, *backend);
    }

    world.all().barrier();
    timeline.run_start();
    EnergyMeter energy(world.node().rank() == 0);
    const std::optional<double> device_joules = backend->joules();
    if (copying) {
      beside = stage_beside(world, options, dataset, watchdog, *copying, {{}, say, context.job_id});
      if (beside.work->wait_seconds() > 0.0) timeline.waited_for_another_run(beside.work->wait_seconds());
      start_up.was(Scope::staging);
      staged = beside.places(options);
      recorder.stages_beside(beside.work->settled());
    } else {
      if (!before_clock) staged = stage();
      recorder.staged(staged, before_clock);
    }
    recorder.reads(dataset);
    Input input = open_input(world, *input_memory, options, dataset, staged);
    Trainer::Plan plan = trainer_plan(options, world.all().size(), input.train_sampling, input.validation_sampling);
    plan.profile_steps = context.profile_steps;
    plan.job_ends_at = context.job.ends_at;
    plan.reader_cpus = reader_cpus(world, *backend);
    Trainer trainer({world, *backend, *compiled.state, *compiled.train, compiled.accumulate.get(),
                     compiled.average.get(), *compiled.evaluate, *input.train, *input.validation, timeline, watchdog,
                     results, progress, trace, beside.work.get()},
                    std::move(plan));
    start_up.was(Scope::rest);
    recorder.started(start_up);
    trace.started(start_up, world);
    const TrainOutcome outcome = on_device(*backend, stuck, [&] { return trainer.run(); });
    results.close_tables();
    if (beside.work) watchdog.phase("staging", options.watchdog.stage_seconds);  // what was copied goes to the disk
    if (beside.work) recorder.staged_beside(beside.settled(), stats_of(input).places);
    world.all().barrier();
    timeline.run_stop(outcome.target_met, ending_of(options.train, outcome.target_met));
    recorder.consumed(energy.stop(), joules_between(device_joules, backend->joules()));
    agree_on(world.all(), [&] { timeline.close(); });
    watchdog.phase("conclusion", options.watchdog.step_seconds);
    RunOutcome result = recorder.completed(outcome, stats_of(input));
    leave_trace(world, trace, results.folder(), say);
    if (context.probe_seconds > 0.0) {
      input.train.reset();  // its readers would be measured too
      input.validation.reset();
      watchdog.phase("probe", std::max(options.watchdog.step_seconds, context.probe_seconds));
      on_device(*backend, stuck, [&] {
        probe_after_run(world, *backend, compiled.collectives.get(), with_all_readers(options), dataset,
                        results.folder(), {context.probe_seconds, [&] { watchdog.beat(); }, say});
      });
    }
    return result;
  } catch (const std::exception& error) {
    listening.reset();
    watchdog.give_way();
    if (copying) copying->give_way();
    timeline.abort();
    recorder.failed(error);
    static_cast<void>(status_of([&] { trace.write(trace_file(results.folder(), world.all().rank())); }));
    throw;
  }
}

}  // namespace trainmark

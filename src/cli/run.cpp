// trainmark run: a config becomes a run, and its outcome the last lines and the exit code.
#include <fmt/core.h>

#include <charconv>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string_view>

#include "cli/environment.hpp"
#include "cli/launch.hpp"
#include "cli/prediction.hpp"
#include "mllog/utf8.hpp"

namespace trainmark::cli {
namespace {

struct Flags : TellingFlags {
  std::string check, profile_steps;
  LogLevel log_level = LogLevel::info;
  bool dry_run = false, measure_nodes = false, probes = false, traces = false;
};

/// "3:5" or "3"; nothing where the text is neither.
std::optional<StepRange> step_range(const std::string& text) {
  const auto number = [](std::string_view digits) {
    std::int64_t value = 0;
    const auto [end, code] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    return code == std::errc() && end == digits.data() + digits.size() ? value : 0;
  };
  const std::string_view all = text;
  const std::size_t colon = all.find(':');
  const StepRange range{number(all.substr(0, colon)), number(colon == all.npos ? all : all.substr(colon + 1))};
  if (range.first < 1 || range.last < range.first) return std::nullopt;
  return range;
}

std::string label_of(const RunOptions& options) {
  if (options.backend.device == DeviceChoice::emulated) return std::string(emulated_label);
  return options.submission.generated_data ? std::string(generated_label)
                                           : "Result not verified by MLCommons Association";
}

std::string outcome_json(const RunOptions& options, const RunOutcome& outcome) {
  nlohmann::ordered_json document = {{"exit_code", to_int(outcome.code)}, {"results", outcome.results.string()}};
  if (outcome.time_to_train_s > 0.0) document["time_to_train_s"] = outcome.time_to_train_s;
  document["staging_s"] = stages_beside(options) ? nlohmann::ordered_json() : nlohmann::ordered_json(outcome.staging_s);
  document["epochs"] = outcome.epochs;
  document["steps"] = outcome.steps;
  document["samples_per_s"] = outcome.samples_per_s;
  const bool emulated = options.backend.device == DeviceChoice::emulated;
  if (outcome.epochs > 0 && !emulated) document["final_metric"] = outcome.final_metric;
  document["target_met"] = outcome.target_met;
  document["verdict"] = outcome.verdict;
  if (!outcome.divergence.empty()) document["diverged"] = outcome.divergence;
  document["label"] = label_of(options);
  return json_text(document, 2) + '\n';
}

std::string outcome_text(const RunOptions& options, const RunOutcome& outcome) {
  const bool wants_target = options.train.until == Until::target;
  std::string time = "none (fixed work)";
  if (wants_target) {
    time = outcome.target_met ? fmt::format("{:.1f} s", outcome.time_to_train_s)
                              : fmt::format("none (target {} not reached, last {:.4f})", target_of(options).value,
                                            outcome.final_metric);
  }
  std::string staging = fmt::format("{:.1f} s", outcome.staging_s);
  if (options.stage.strategy == Strategy::none)
    staging = "none";
  else if (stages_beside(options))
    staging = "beside training";
  return fmt::format("\nresults          {}\n", outcome.results.string()) +
         fmt::format("time to train    {}\n", time) +  //
         fmt::format("staging          {}\n", staging) +
         fmt::format("epochs           {} ({} steps)\n", outcome.epochs, outcome.steps) +
         fmt::format("samples/s        {:.1f}\n", outcome.samples_per_s) +
         fmt::format("verdict          {}\n", outcome.verdict) +
         (outcome.divergence.empty() ? "" : fmt::format("diverged         {}\n", outcome.divergence)) +  //
         label_of(options) + '\n';
}

int run_all(Process& process, const Flags& flags, const JobFacts& job, const World& world, Interrupts& interrupts) {
  RunOptions options = load_config(world, flags.config);
  RunContext context = context_of(flags, job);
  const DeviceChoice device = options.backend.device;
  if (options.backend.deterministic && device != DeviceChoice::cpu && device != DeviceChoice::emulated)
    context.order_of_sums = fix_order_of_sums();
  context.resolved_config = to_json(options);
  options.backend.emulated = emulated_times(options, world.all().size());
  context.command_line = process.command_line();
  if (world.all().rank() == 0) context.environment_json = environment_json(world.library_version());
  context.interrupts = &interrupts;
  context.ended_from_outside = tell_failure;
  context.log_level = flags.log_level;
  context.dry_run = flags.dry_run;
  context.check = from_word<Check>(flags.check);
  context.profile_steps = step_range(flags.profile_steps);
  context.measure_nodes = flags.measure_nodes;
  if (flags.probes) context.probe_seconds = 60.0;
  context.traces = flags.traces;
  const RunOutcome outcome = run(world, options, context);
  if (world.all().rank() == 0) {
    if (flags.json) {
      write_output(outcome_json(options, outcome));
    } else if (!flags.dry_run && !context.check) {
      write_output(outcome_text(options, outcome));
    }
  }
  return to_int(outcome.code);
}

}  // namespace

void add_run(CLI::App& app, Action& action) {
  auto flags = std::make_shared<Flags>();
  CLI::App* command = app.add_subcommand("run", "Stage, train, evaluate and write a judged MLPerf log");
  add_config_options(*command, flags->config);
  command->add_flag("--dry-run", flags->dry_run, "Plan everything on this launch, then stop before staging");
  command
      ->add_option("--check", flags->check,
                   "Compare the backend with the CPU, tensor by tensor, or with itself; on random data, trains nothing")
      ->check(CLI::IsMember(std::vector<std::string>(Words<Check>::all.begin(), Words<Check>::all.end())))
      ->excludes("--dry-run");
  command
      ->add_option("--profile-steps", flags->profile_steps,
                   "Training steps FIRST:LAST, from 1, for a profiler: streamed layer by layer, slower than others")
      ->check([](const std::string& text) {
        return step_range(text) ? std::string()
                                : fmt::format("\"{}\" is no range of steps; give FIRST:LAST from 1, e.g. 20:22", text);
      })
      ->excludes("--dry-run")
      ->excludes("--check");
  command
      ->add_flag("--measure-nodes", flags->measure_nodes,
                 "Time each operation of a training step before the clock starts, into nodes.csv")
      ->excludes("--dry-run")
      ->excludes("--check");
  command
      ->add_flag("--probe", flags->probes,
                 "After the run, off its clock, measure this launch's ceilings for at most 60 s, into probe.json")
      ->excludes("--dry-run")
      ->excludes("--check");
  command
      ->add_flag("--trace", flags->traces,
                 "Leave a time line of each rank for Perfetto or chrome://tracing, in trace/ of the results folder")
      ->excludes("--dry-run")
      ->excludes("--check");
  add_words(*command, "--log-level", flags->log_level,
            "Least of what a rank keeps in its diagnostics/rank-NNNN.log; what was decided and why is at debug");
  add_telling_options(*command, *flags, "No progress; the last lines only", "Print the outcome as JSON");
  command->footer(
      "Start it by itself (one rank) or with the launcher of your system. Rank 0 reads the config for all ranks. "
      "Results go\n"
      "to <results.folder>/<name>/<job or time>/: mlperf.log, run.json, epochs.csv, steps.csv and more.\n\n"
      "Examples:\n"
      "  trainmark run configs/cosmoflow/tiny.json\n"
      "  mpirun -n 2 trainmark run configs/cosmoflow/tiny.json --set train.until=steps --set train.steps=20\n"
      "  srun -N 16 --ntasks-per-node 4 trainmark run my.json --dry-run\n"
      "  trainmark run my.json --measure-nodes --probe\n"
      "  mpirun -n 4 trainmark run my.json --trace --set train.until=steps --set train.steps=50\n"
      "  trainmark run my.json --check cpu --set backend.device=cuda\n"
      "  trainmark run my.json --check self --set train.global_batch=16\n"
      "  nsys profile --capture-range=cudaProfilerApi trainmark run my.json --profile-steps 20:22\n\n"
      "Exit codes (run.json's exit_code is the authority, launchers change codes):\n"
      "  0 target met or fixed work done; 2 usage or config; 3 dataset or staging; 4 environment or launch mismatch;\n"
      "  5 communication or device; 6 target not reached, or diverged; 7 the log is not compliant; 124 watchdog; 128+n "
      "signal n");
  command->callback([flags, &action] {
    action = [flags](Process& process) {
      const JobFacts job = job_facts();
      return with_world(process, flags->launch, [&](const World& world, Interrupts& interrupts) {
        return run_all(process, *flags, job, world, interrupts);
      });
    };
  });
}

}  // namespace trainmark::cli

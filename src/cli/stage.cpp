// trainmark stage: what a run would stage, staged, looked at or removed without the run.
#include <memory>

#include "cli/launch.hpp"

namespace trainmark::cli {
namespace {

struct Flags : TellingFlags {
  bool verify = false, clean = false, write_manifest = false;
};

int stage_all(const Flags& flags, const JobFacts& job, const World& world) {
  RunOptions options = load_config(world, flags.config);
  StageTask task = StageTask::bring;
  if (flags.verify) task = StageTask::look;
  if (flags.clean) task = StageTask::clean;
  // What is looked at is compared by content, and a manifest holds hashes, whatever the runs do.
  if ((flags.verify || flags.write_manifest) && options.stage.verify == Verify::none)
    options.stage.verify = Verify::copy;
  if (flags.verify) options.stage.reuse = true;
  const StageOnlyOutcome outcome = stage_only(world, options, task, flags.write_manifest, context_of(flags, job));
  std::string text;
  for (const std::string& line : outcome.lines)
    text += line + '\n';
  tell(world, flags, text, outcome.json);
  return to_int(outcome.complete ? ExitCode::success : ExitCode::data);
}

}  // namespace

void add_stage(CLI::App& app, Action& action) {
  auto flags = std::make_shared<Flags>();
  CLI::App* command = app.add_subcommand("stage", "Stage a run's dataset without the run, look at it or remove it");
  add_config_options(*command, flags->config);
  command->add_flag("--verify", flags->verify, "Copy nothing: hash what is there and say what is missing or not right");
  command
      ->add_flag("--clean", flags->clean,
                 "Remove from each node what staging put there, once no run reads it (/stage/wait_seconds)")
      ->excludes("--verify");
  command
      ->add_flag("--write-manifest", flags->write_manifest,
                 "Also write a manifest beside the source, of the hashes that staging finds out")
      ->excludes("--verify")
      ->excludes("--clean");
  add_telling_options(*command, *flags, "Only the last lines", "Print what each node did as JSON");
  command->footer(
      "For prologs, burst buffers and epilogs: a run on the same nodes then finds its files and copies none. It takes "
      "the "
      "same\n"
      "config; only data and stage matter, and one rank a node is enough (more copy faster).\n\n"
      "Examples:\n"
      "  srun -N 16 --ntasks-per-node 1 trainmark stage my.json\n"
      "  srun -N 16 --ntasks-per-node 1 trainmark stage my.json --verify --json\n"
      "  mpirun -n 2 trainmark stage my.json --set stage.strategy=replicate --set stage.target=/local/scratch/data\n"
      "  srun -N 16 --ntasks-per-node 1 trainmark stage my.json --clean\n\n"
      "Exit codes: 0 all is there (or gone); 2 usage or config; 3 dataset, target or, with --verify, files missing; "
      "4 launch;\n"
      "  5 communication; 124 watchdog; 128+n signal n (what was copied stays, and the next staging goes on from "
      "there)");
  do_on_all_ranks(*command, action, flags, stage_all);
}

}  // namespace trainmark::cli

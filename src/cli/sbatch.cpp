// trainmark sbatch: a batch script that fits a config and a site, to stdout; nothing is submitted.
#include <memory>

#include "cli/batch_options.hpp"
#include "cli/config_file.hpp"

namespace trainmark::cli {
namespace {

struct Flags {
  ConfigSource config;
  BatchOptions batch;
};

int print(const Process& process, const Flags& flags) {
  BatchRequest request = fitted(flags.batch, load_config(flags.config));
  request.command = {program_of(flags.batch), "run", flags.config.path};
  for (const std::string& each : flags.config.overrides) {
    request.command.emplace_back("--set");
    request.command.push_back(each);
  }
  request.made_by = made_by(process);
  write_output(batch_script(request));
  return 0;
}

}  // namespace

void add_sbatch(CLI::App& app, Action& action) {
  auto flags = std::make_shared<Flags>();
  CLI::App* command = app.add_subcommand("sbatch", "Print a batch script that fits a config and a site");
  add_config_options(*command, flags->config);
  BatchRequest& request = flags->batch.request;
  command->add_option("--nodes", request.nodes, "Nodes of the job")->required()->check(CLI::Range(1, 1 << 20));
  command
      ->add_option("--array", request.array, "Tasks of an array, e.g. 0-4; each adds its number to the config's seed")
      ->check(directive_word);
  add_batch_options(*command, flags->batch);
  command->footer(
      "Nothing is submitted. The config is checked against the launch. Paths stand as they were given: submit from "
      "the\n"
      "folder that they are relative to. docs/slurm.md explains each line.\n\n"
      "Examples:\n"
      "  trainmark sbatch my.json --nodes 16 --gpus-per-node 4 --account abc > job.sh && sbatch job.sh\n"
      "  trainmark sbatch my.json --nodes 2 --array 0-4 | sbatch\n"
      "  trainmark sbatch my.json --nodes 4 --launcher mpirun | sbatch\n"
      "  trainmark sbatch my.json --nodes 4 --gpus-per-node 4 --cpus-per-task 16 --launcher pals | qsub\n\n"
      "Exit codes: 0; 2 config, or a launch that does not fit it");
  command->callback([flags, &action] { action = [flags](Process& process) { return print(process, *flags); }; });
}

}  // namespace trainmark::cli

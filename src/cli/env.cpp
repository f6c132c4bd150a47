// trainmark env: what this build and machine are, for bug reports and for comparing nodes.
#include <memory>

#include "cli/command.hpp"
#include "cli/environment.hpp"

namespace trainmark::cli {

void add_env(CLI::App& app, Action& action) {
  auto json = std::make_shared<bool>(false);
  CLI::App* command = app.add_subcommand("env", "Show build, libraries, machine and the variables that matter");
  command->add_flag("--json", *json, "Print JSON");
  command->footer(
      "Shows which libraries were loaded and from where, the cores this process may use, and variables of OpenMP, "
      "Slurm,\n"
      "Open MPI and trainmark. Values of names that look like secrets are never shown. MPI is not started.\n\n"
      "Examples:\n  trainmark env\n  srun -N 4 --ntasks-per-node 1 trainmark env --json\n\nExit codes: 0");
  command->callback([json, &action] {
    action = [json](Process&) {
      write_output((*json ? environment_json({}) : environment_text()) + "\n");
      return 0;
    };
  });
}

}  // namespace trainmark::cli

// trainmark probe: how fast this launch could be, in the shapes of a config's workload.
#include <memory>

#include "cli/launch.hpp"
#include "cli/numbers.hpp"

namespace trainmark::cli {
namespace {

struct Flags : TellingFlags {
  double seconds = 60.0;
};

int probe_all(const Flags& flags, const JobFacts& job, const World& world) {
  const RunOptions options = load_config(world, flags.config);
  const ProbeOutcome outcome = probe(world, options, flags.seconds, context_of(flags, job));
  tell(world, flags, outcome.text, outcome.json);
  return to_int(ExitCode::success);
}

}  // namespace

void add_probe(CLI::App& app, Action& action) {
  auto flags = std::make_shared<Flags>();
  CLI::App* command =
      app.add_subcommand("probe", "Measure this launch's ceilings in the shapes of a config's workload");
  add_config_options(*command, flags->config);
  add_number(*command, "--seconds", flags->seconds, "Budget that all parts share; what does not fit is said", 1.0, 60.0)
      ->capture_default_str();
  add_telling_options(*command, *flags, "The result only", "Print what `trainmark run --probe` leaves in probe.json");
  command->footer(
      "Measured are matrix products and the step's largest convolutions in each precision that the backend takes, a "
      "copy\n"
      "of memory, a batch's way to the device, the sums over ranks in the step's own sizes, and reading samples of "
      "the\n"
      "source and of what was staged, with the files dropped from this node's page cache where that can be done. "
      "Nothing\n"
      "trains, nothing is staged, no results folder is made. Start it as the run: ceilings are those of this "
      "launch.\n\n"
      "Examples:\n"
      "  trainmark probe configs/cosmoflow/tiny.json\n"
      "  mpirun -n 2 trainmark probe configs/cosmoflow/tiny.json --seconds 20 --json\n"
      "  srun -N 16 --ntasks-per-node 4 trainmark probe my.json --set train.precision=bf16\n\n"
      "Exit codes: 0; 2 usage or config; 3 dataset; 4 launch, or nothing could be measured; 5 communication or "
      "device;\n"
      "  124 watchdog; 128+n signal n");
  do_on_all_ranks(*command, action, flags, probe_all);
}

}  // namespace trainmark::cli

// trainmark screen: which nodes of a launch are slower than the others at the same work.
#include <memory>

#include "cli/launch.hpp"

namespace trainmark::cli {
namespace {

struct Flags : TellingFlags {
  ScreenOptions how;
  bool strict = false;
};

int screen_all(const Flags& flags, const JobFacts& job, const World& world) {
  const RunOptions options = load_config(world, flags.config);
  const ScreenOutcome outcome = screen(world, options, flags.how, context_of(flags, job));
  tell(world, flags, outcome.text, outcome.json);
  return to_int(flags.strict && !outcome.all_alike ? ExitCode::target_missed : ExitCode::success);
}

}  // namespace

void add_screen(CLI::App& app, Action& action) {
  auto flags = std::make_shared<Flags>();
  CLI::App* command = app.add_subcommand("screen", "Find nodes that are slower than the others at the same work");
  add_config_options(*command, flags->config);
  command->add_option("--rounds", flags->how.rounds, "Rounds, of which each rank's and node's median counts")
      ->check(CLI::Range(1, 10000))
      ->capture_default_str();
  command->add_option("--steps", flags->how.steps, "Timed training steps of a round")
      ->check(CLI::Range(1, 1000000))
      ->capture_default_str();
  command->add_flag("--strict", flags->strict, "Exit code 6 where a node or rank is out of line");
  add_telling_options(*command, *flags, "The table only", "Print one JSON document");
  command->footer(
      "All nodes train at the same time on the same samples, each for itself: every rank alone, then a node's ranks "
      "together with\n"
      "sums over them. Nothing goes over the network, no data set is read, nothing is kept. Slow is who is more than "
      "3.5 robust\n"
      "standard deviations (of the median absolute deviation) and 2 % above the median of all; that takes three nodes "
      "or ranks.\n\n"
      "Examples:\n"
      "  srun -N 64 --ntasks-per-node 4 trainmark screen configs/cosmoflow/node.json\n"
      "  srun -N 64 --ntasks-per-node 4 trainmark screen my.json --rounds 20 --steps 50 --json\n"
      "  mpirun -n 4 trainmark screen configs/cosmoflow/tiny.json --strict\n\n"
      "Exit codes: 0; 2 usage or config; 4 environment or launch; 5 communication or device; 6 with --strict: somebody "
      "is slow;\n"
      "  124 watchdog; 128+n signal n");
  do_on_all_ranks(*command, action, flags, screen_all);
}

}  // namespace trainmark::cli

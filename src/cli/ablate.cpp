// trainmark ablate: where a training step loses its time, by leaving one thing out at a time.
#include <memory>

#include "cli/launch.hpp"

namespace trainmark::cli {
namespace {

struct Flags : TellingFlags {
  AblateOptions how;
};

int ablate_all(const Flags& flags, const JobFacts& job, const World& world) {
  const RunOptions options = load_config(world, flags.config);
  const Ablation ablation = ablate(world, options, flags.how, context_of(flags, job));
  tell(world, flags, ablation.text, ablation.json);
  return to_int(ExitCode::success);
}

}  // namespace

void add_ablate(CLI::App& app, Action& action) {
  auto flags = std::make_shared<Flags>();
  CLI::App* command = app.add_subcommand("ablate", "Compare the training step with one thing off at a time");
  add_config_options(*command, flags->config);
  command->add_option("--rounds", flags->how.rounds, "Rounds, in each of which every variant has its turn")
      ->check(CLI::Range(2, 10000))
      ->capture_default_str();
  command->add_option("--steps", flags->how.steps, "Timed steps of a variant in a round")
      ->check(CLI::Range(1, 1000000))
      ->capture_default_str();
  add_telling_options(*command, *flags, "The tables only", "Print one JSON document");
  command->footer(
      "The same launch, data and model for all variants: the full step; no input (a batch that stays), no upload, no "
      "sums over\n"
      "ranks, no overlap of those, no fused blocks, no captured step, fp32, tf32 or bf16 in place of the config's "
      "precision, the\n"
      "source in place of the staged copy. What finds no plan or no room, or is refused by the device, is left out and "
      "named.\n"
      "Differences are taken round by round, with 95 % intervals (Student's t). Losses to input, upload, all-reduce, "
      "host and the\n"
      "slowest rank add up to the full step less the compute-only step. It stages as a run does, keeps nothing of what "
      "it trains,\n"
      "and writes neither log nor results.\n\n"
      "Examples:\n"
      "  trainmark ablate configs/cosmoflow/tiny.json\n"
      "  mpirun -n 2 trainmark ablate configs/cosmoflow/tiny.json --rounds 20 --steps 10\n"
      "  srun -N 16 --ntasks-per-node 4 trainmark ablate my.json --json\n\n"
      "Exit codes: 0 compared; 2 usage or config; 3 dataset or staging; 4 environment or launch; 5 communication or "
      "device;\n"
      "  124 watchdog; 128+n signal n");
  do_on_all_ranks(*command, action, flags, ablate_all);
}

}  // namespace trainmark::cli

// What commands that print batch scripts share: a job's size and site on the command line, and whether they fit a
// config.
#pragma once

#include <string>

#include "cli/batch_script.hpp"
#include "cli/command.hpp"
#include "trainmark/run.hpp"

namespace trainmark::cli {

struct BatchOptions {
  BatchRequest request;
  std::string program;  ///< empty: this very file
  const CLI::Option* ranks_per_node = nullptr;
};
/// For values that go into a directive, where neither a shell nor quotes help: what is wrong with one, or nothing.
[[nodiscard]] std::string directive_word(const std::string& text);
/// --ranks-per-node, --gpus-per-node, --launcher, --time ...; the number of nodes is each command's own.
void add_batch_options(CLI::App& command, BatchOptions& options);
/// The request with what follows from a run's options: name, seed, ranks, CPUs. Raises Error{usage} where the launch
/// does not fit them.
[[nodiscard]] BatchRequest fitted(const BatchOptions& options, const RunOptions& run);
[[nodiscard]] std::string program_of(const BatchOptions& options);
/// "trainmark sbatch ...": how the script was asked for.
[[nodiscard]] std::string made_by(const Process& process);

}  // namespace trainmark::cli

// Commands that all ranks of a launch carry out together, and how such a launch ends when something goes wrong.
#pragma once

#include <functional>

#include "cli/command.hpp"
#include "trainmark/run.hpp"

namespace trainmark::cli {

struct LaunchFlags {
  bool alone = false;  ///< every process is meant to work by itself, whatever the launcher says
};
void add_launch_options(CLI::App& command, LaunchFlags& flags);

/// Makes Interrupts, then the World, checks that MPI found as many ranks as the launcher started and that all run the
/// same binary with the same arguments, and does `work`. Returns its code, or the code of the Error that all ranks
/// agreed upon (printed once, by rank 0). What only some ranks met is printed by them and ends the others with
/// MPI_Abort.
[[nodiscard]] int with_world(Process& process, const LaunchFlags& flags,
                             const std::function<int(const World&, Interrupts&)>& work);

}  // namespace trainmark::cli

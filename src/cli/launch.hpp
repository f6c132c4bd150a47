// Commands that all ranks of a launch carry out together, and how such a launch ends when something goes wrong.
#pragma once

#include <functional>

#include "cli/command.hpp"
#include "trainmark/run.hpp"

namespace trainmark::cli {

/// Makes Interrupts, then the World, checks that all ranks run the same binary with the same arguments, and does
/// `work`. Returns its code, or the code of the Error that all ranks agreed upon (printed once, by rank 0). What only
/// some ranks met is printed by them and ends the others with MPI_Abort.
[[nodiscard]] int with_world(Process& process, const std::function<int(const World&, Interrupts&)>& work);

}  // namespace trainmark::cli

// Numbers of the command line, which are looked at before they are counted with.
#pragma once

#include <CLI/CLI.hpp>

namespace trainmark::cli {

/// An option that takes a number from `least` to `most`; CLI11's own checks let a NaN pass for any.
CLI::Option* add_number(CLI::App& command, const char* name, double& value, const char* doc, double least, double most);
/// Ranks of so many nodes. Raises Error{usage} where MPI cannot number them.
[[nodiscard]] int ranks_on(int nodes, int ranks_per_node);

}  // namespace trainmark::cli

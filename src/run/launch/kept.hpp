// The memory in which ranks keep samples for later epochs: how much of it can be of use, and how much there is.
#pragma once

#include <string>

#include "run/launch/dataset.hpp"

namespace trainmark {

/// Memory in which a rank keeps all samples of a split that it ever comes by.
[[nodiscard]] std::int64_t bytes_to_keep(const Split& split, const Sampling& sampling, const DataSchema& schema);

/// What load.memory_mib comes to on this launch, and why.
struct KeptMemory {
  std::int64_t mib = 0;
  std::string why;  ///< where the launch decided; empty: as configured
};
/// Collective, when the model has its memory. "auto" is half of what the ranks of a node may still use, shared by them,
/// less what staging is going to put into memory; it differs by node. Never more than can be of use. Raises
/// Error{environment} alike on all ranks: a node's ranks may come to keep more than is left, and would be ended when
/// they do.
[[nodiscard]] KeptMemory kept_memory(const World& world, const RunOptions& options, const Dataset& dataset);

}  // namespace trainmark

// Samples per second: of which epochs they can be told, from what, and over how many processes.
#pragma once

#include <vector>

#include "report/parse/files.hpp"
#include "report/parse/phases.hpp"
#include "trainmark/report.hpp"

namespace trainmark::report {

/// What the numbers of epochs count.
enum class EpochNumbers : std::uint8_t {
  passes,   ///< over the samples
  samples,  ///< as OpenFold's do: those seen, in steps of whole batches
  unknown   ///< steps of whole batches in another benchmark (of samples, or of iterations), fractions, or one number
            ///< twice
};
struct EpochNumbering {
  EpochNumbers count = EpochNumbers::passes;
  int step = 1;  ///< from one epoch to the next, at the least; of one epoch that counts samples, its number
};
[[nodiscard]] EpochNumbering numbering_of(const Phases& phases, const RunFiles& files);
/// By how much the numbers of epochs grow from one to the next, at the least; 1 where nothing tells, and for blocks.
[[nodiscard]] int epoch_step(const std::vector<EpochReport>& epochs);
/// Ranks, or the accelerators of all nodes; 0 where neither is known, or known of this run and not of others beside it.
[[nodiscard]] double processes_of(const RunFiles& files);

/// Gives epochs what epochs.csv knows of them, their rates, and marks slow ones. Notes what rates rest on.
void set_rates(RunReport& run, const RunFiles& files, const Phases& phases);
void add_rate_figures(RunReport& run, const RunFiles& files);

}  // namespace trainmark::report

// The input side of a run, and what of it is logged.
#pragma once

#include <memory>

#include "run/launch/dataset.hpp"
#include "run/record/timeline.hpp"

namespace trainmark {

/// The two loaders of a run with what they read from.
struct Input {
  std::unique_ptr<SampleSource> train_source, validation_source;
  std::unique_ptr<Loader> train, validation;
  Sampling train_sampling, validation_sampling;
};
[[nodiscard]] Input open_input(const World& world, Backend& backend, const RunOptions& options, const Dataset& dataset,
                               const StagedDataset& staged);
[[nodiscard]] TimelineFacts facts_of(const World& world, const Backend& backend, const RunOptions& options,
                                     const Dataset& dataset);

}  // namespace trainmark

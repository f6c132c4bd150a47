#include "run/launch/input.hpp"

namespace trainmark {

Input open_input(const World& world, Backend& backend, const RunOptions& options, const Dataset& dataset,
                 const StagedDataset& staged) {
  Input input;
  input.train_sampling = sampling_of(world, options, dataset.train);
  input.validation_sampling = sampling_of(world, options, dataset.validation);
  agree_on(world.all(), [&] {
    const auto open = [&](const Split& split, const Staged& there, Crop crop) {
      return open_hdf5(there.root, split.manifest, options.data.format, dataset.schema, Values::legal,
                       {crop, static_cast<std::uint64_t>(options.seed)});
    };
    input.train_source = open(dataset.train, staged.train, Crop::random);
    input.validation_source = open(dataset.validation, staged.validation, Crop::centre);
    input.train = std::make_unique<Loader>(*input.train_source, dataset.schema, input.train_sampling,
                                           backend.pinned_memory(), options.load);
    input.validation = std::make_unique<Loader>(*input.validation_source, dataset.schema, input.validation_sampling,
                                                backend.pinned_memory(), options.load);
  });
  return input;
}

TimelineFacts facts_of(const World& world, const Backend& backend, const RunOptions& options, const Dataset& dataset) {
  TimelineFacts facts;
  facts.ranks = world.all().size();
  facts.nodes = world.nodes();
  facts.accelerators_per_node = backend.name() == "cpu" ? 0 : world.node().size();
  facts.seed = options.seed;
  facts.step.local_batch = options.train.batch() / world.all().size();
  facts.step.steps_per_epoch =
      sampling_of(world, options, dataset.train).steps_per_epoch() / options.train.gradient_accumulation_steps;
  facts.data = {dataset.train.samples, dataset.validation.samples, dataset.facts.generated};
  return facts;
}

}  // namespace trainmark

#include "run/launch/input.hpp"

#include <algorithm>

#include "run/launch/kept.hpp"
#include "run/launch/session.hpp"

namespace trainmark {

InputMemory::InputMemory(std::pmr::memory_resource& upstream, int loaders, const LoaderBlock& each)
    : upstream_(upstream), each_(each) {
  waiting_.reserve(static_cast<std::size_t>(loaders));
  try {
    for (int loader = 0; loader < loaders; ++loader)
      waiting_.push_back(upstream_.allocate(each_.bytes, each_.alignment));
  } catch (...) {
    give_back();
    throw;
  }
}

InputMemory::~InputMemory() { give_back(); }

void InputMemory::give_back() {
  for (void* block : waiting_)
    upstream_.deallocate(block, each_.bytes, each_.alignment);
}

void* InputMemory::do_allocate(std::size_t bytes, std::size_t alignment) {
  if (waiting_.empty() || bytes != each_.bytes || alignment != each_.alignment)
    return upstream_.allocate(bytes, alignment);
  void* block = waiting_.back();
  waiting_.pop_back();
  return block;
}

void InputMemory::do_deallocate(void* memory, std::size_t bytes, std::size_t alignment) {
  upstream_.deallocate(memory, bytes, alignment);
}

std::unique_ptr<InputMemory> take_input_memory(const World& world, std::pmr::memory_resource& upstream,
                                               const RunOptions& options, const DataSchema& schema) {
  std::unique_ptr<InputMemory> memory;
  agree_on(world.all(), [&] {
    const std::int64_t local_batch = options.train.batch() / world.all().size();
    memory = std::make_unique<InputMemory>(upstream, 2, loader_block(schema, local_batch, options.load));
  });
  return memory;
}

Input open_input(const World& world, std::pmr::memory_resource& memory, const RunOptions& options,
                 const Dataset& dataset, const StagedDataset& staged) {
  Input input;
  input.train_sampling = sampling_of(world, options, dataset.train);
  input.validation_sampling = sampling_of(world, options, dataset.validation);
  agree_on(world.all(), [&] {
    const auto open = [&](const Split& split, const Staged& there, Crop crop, std::int64_t cache_bytes) {
      return open_hdf5(there.root, split.staged(), options.data.format, dataset.schema, Values::legal,
                       {crop, static_cast<std::uint64_t>(options.seed), cache_bytes},
                       staged.under_way ? split.source : std::filesystem::path(), there.places);
    };
    // An evaluation shows a rank the same samples each time, all that it keeps of them: they come first.
    const DataSchema& schema = dataset.schema;
    const std::int64_t kept = std::max<std::int64_t>(0, options.load.memory_mib) << 20U;
    const std::int64_t of_validation =
        std::min(kept, bytes_to_keep(dataset.validation, input.validation_sampling, schema));
    const std::int64_t of_images = schema.images ? kept - of_validation : 0;  // crops differ: images stay, not samples
    input.train_source = keep_samples(open(dataset.train, staged.train, Crop::random, of_images), schema,
                                      kept - of_validation - of_images);
    input.validation_source =
        keep_samples(open(dataset.validation, staged.validation, Crop::centre, 0), schema, of_validation);
    input.train =
        std::make_unique<Loader>(*input.train_source, dataset.schema, input.train_sampling, memory, options.load);
    input.validation = std::make_unique<Loader>(*input.validation_source, dataset.schema, input.validation_sampling,
                                                memory, options.load);
  });
  return input;
}

LoaderStats stats_of(const Input& input) {
  LoaderStats stats = input.train->stats();
  const KeptStats evaluated = input.validation->stats().kept;
  stats.kept.bytes += evaluated.bytes;
  stats.kept.samples += evaluated.samples;
  const PlaceStats evaluated_at = input.validation->stats().places;
  stats.places.at_source += evaluated_at.at_source;
  stats.places.at_target += evaluated_at.at_target;
  return stats;
}

TimelineFacts facts_of(const World& world, const Backend& backend, const RunOptions& options, const Dataset& dataset) {
  TimelineFacts facts;
  facts.ranks = world.all().size();
  facts.nodes = world.nodes();
  facts.accelerators_per_node = backend.name() == "cpu" ? 0 : world.node().size();
  facts.seed = options.seed;
  facts.step.global_batch = options.train.global_batch;
  facts.step.local_batch = options.train.batch() / world.all().size();
  facts.step.steps_per_epoch =
      sampling_of(world, options, dataset.train).steps_per_epoch() / options.train.gradient_accumulation_steps;
  facts.precision = computed_in(backend, options.train.precision);
  facts.data = {dataset.train.samples, dataset.validation.samples, dataset.facts.generated};
  return facts;
}

}  // namespace trainmark

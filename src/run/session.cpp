#include "run/session.hpp"

#include <fcntl.h>
#include <fmt/core.h>
#include <fmt/ranges.h>
#include <sys/random.h>
#include <unistd.h>

#include <cstring>

namespace trainmark {

std::int64_t chosen_seed(const World& world, std::int64_t wanted) {
  if (wanted != 0) return wanted;
  std::int64_t seed = 0;
  agree_on(world.all(), [&] {
    if (world.all().rank() != 0) return;
    if (getrandom(&seed, sizeof(seed), 0) != sizeof(seed)) {
      throw Error(ExitCode::environment, Complaint{"seed", "the operating system gives no entropy",
                                                   "seeds must differ between runs", "set /seed in the config"});
    }
    // Positive, and exact in readers that take every JSON number for a double.
    seed = (seed & ((std::int64_t{1} << 53) - 1)) | 1;
  });
  world.all().broadcast(std::as_writable_bytes(std::span(&seed, 1)));
  return seed;
}

bool clear_caches(const World& world, bool wanted) {
  if (!wanted) return false;
  double failed = 0.0;
  if (world.node().rank() == 0) {
    ::sync();
    const int descriptor = ::open("/proc/sys/vm/drop_caches", O_WRONLY | O_CLOEXEC);
    failed = descriptor < 0 || ::write(descriptor, "3\n", 2) != 2 ? 1.0 : 0.0;
    if (descriptor >= 0) ::close(descriptor);
  }
  std::array<double, 1> worst = {failed};
  world.all().max(worst);
  return worst[0] == 0.0;
}

void require_options(const World& world, const RunOptions& options, const Dataset& dataset) {
  const std::vector<std::string> complaints = check_options(options, world.all().size(), world.nodes(), dataset.facts);
  if (complaints.empty()) return;
  throw Error(ExitCode::usage,
              fmt::format("config: {} problem{} with this launch and dataset:\n  {}", complaints.size(),
                          complaints.size() == 1 ? "" : "s", fmt::join(complaints, "\n  ")));
}

namespace {

DType compute_type(const std::string& precision) { return precision == "bf16" ? DType::bf16 : DType::f32; }

}  // namespace

Compiled compile(const World& world, Backend& backend, const RunOptions& options, std::uint64_t seed) {
  const Clock clock;
  GraphOptions graph_options;
  graph_options.global_batch = options.train.global_batch;
  graph_options.local_batch = options.train.global_batch / world.all().size();
  graph_options.compute = compute_type(options.train.precision);
  graph_options.seed = seed;
  const Rule rule = SgdMomentum{static_cast<float>(options.optimizer.momentum)};
  const auto bucket_bytes = static_cast<std::int64_t>(options.train.bucket_mib * 1024 * 1024);
  Graph step = reduce_and_update(differentiate(training_graph(options.model, graph_options)), bucket_bytes, rule,
                                 decay_rule(options.model));
  Graph evaluation = evaluation_graph(options.model, graph_options);

  Compiled compiled;
  compiled.collective = backend.make_collective(world.all());
  compiled.state = std::make_unique<ModelState>(backend, step, slots_of(rule));
  compiled.state->initialise(seed);
  std::shared_ptr<InputSlots> slots = make_input_slots(backend);
  compiled.train = std::make_unique<Program>(backend, std::move(step), *compiled.state, *compiled.collective, slots,
                                             Program::Options{});
  compiled.evaluate = std::make_unique<Program>(backend, std::move(evaluation), *compiled.state, *compiled.collective,
                                                slots, Program::Options{});
  compiled.planning_seconds = clock.seconds();
  return compiled;
}

void warm_up(Compiled& compiled, const RunOptions& options, const DataSchema& schema, std::int64_t local_batch) {
  const Clock clock;
  const std::vector<float> before = compiled.state->snapshot();
  const auto source = synthetic_source(schema, local_batch, static_cast<std::uint64_t>(options.seed));
  std::vector<std::vector<std::byte>> fields;
  std::vector<std::span<const std::byte>> inputs;
  for (const Field& field : schema.fields)
    fields.emplace_back(field.bytes() * static_cast<std::size_t>(local_batch));
  for (std::int64_t sample = 0; sample < local_batch; ++sample) {
    SampleView view;
    for (std::size_t f = 0; f < fields.size(); ++f) {
      const std::size_t bytes = schema.fields[f].bytes();
      view.emplace_back(std::span(fields[f]).subspan(static_cast<std::size_t>(sample) * bytes, bytes));
    }
    source->read(sample, view);
  }
  std::vector<std::byte> state_bytes(step_state_bytes(local_batch));
  StepState state;
  state.valid = static_cast<std::int32_t>(local_batch);
  std::memcpy(state_bytes.data(), &state, sizeof(state));
  for (const auto& field : fields)
    inputs.emplace_back(field);
  inputs.emplace_back(state_bytes);
  for (const int slot : {0, 1}) {
    for (Program* program : {compiled.train.get(), compiled.evaluate.get()}) {
      program->upload(slot, inputs);
      program->step(slot);
    }
  }
  compiled.state->restore(before);
  compiled.state->clear_metrics();
  compiled.warm_up_seconds = clock.seconds();
}

}  // namespace trainmark

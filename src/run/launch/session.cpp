#include "run/launch/session.hpp"

#include <fcntl.h>
#include <fmt/core.h>
#include <fmt/ranges.h>
#include <sys/random.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <functional>

#include "run/train/readers.hpp"
#include "trainmark/process.hpp"

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

namespace {

/// With "auto" training begins with one reader. There is memory for the ring of more before the clock starts: rings of
/// all ranks of the node may take a quarter of what is left there.
void settle_readers(const World& world, RunOptions& options) {
  if (options.load.threads > 0) return;
  constexpr double part_of_memory = 0.25;
  const std::int64_t local_batch = std::max<std::int64_t>(1, options.train.batch() / world.all().size());
  const std::size_t batch_bytes =
      schema_of(options.recipe.model).sample_bytes() * static_cast<std::size_t>(local_batch);
  const ReaderLimits limits = reader_limits(cpu_share(world).threads(), local_batch, batch_bytes, options.load.prefetch,
                                            part_of_memory * memory_room().bytes / world.node().size());
  // The same everywhere: ablations take as many steps to fill the ring.
  std::array<double, 2> least = {-static_cast<double>(limits.threads), -static_cast<double>(limits.prefetch)};
  world.all().max(least);
  options.load.threads = 1;
  options.load.most_threads = static_cast<int>(-least[0]);
  options.load.prefetch = static_cast<int>(-least[1]);
  diagnose(LogLevel::info, [&] {
    return fmt::format("/load/threads \"auto\": one reader a split to begin with, {} at most; {} batches ahead",
                       options.load.most_threads, options.load.prefetch);
  });
}

}  // namespace

RunOptions with_all_readers(RunOptions options) {
  options.load.threads = std::max(options.load.threads, options.load.most_threads);
  return options;
}

double reader_cpus(const World& world, const Backend& backend) {
  const int computing = backend.threads() + (backend.overlaps() ? 1 : 0);
  return std::max(1, cpu_share(world).threads() - computing);
}

RunOptions options_of_launch(const World& world, const RunOptions& wanted) {
  constexpr int endings = 3;  // threads that see to it that a failure ends in time
  constexpr int meters = 1;
  const int staging = stages_beside(wanted) ? 2 : 0;  // who copies, and who watches it
  RunOptions options = wanted;
  options.seed = chosen_seed(world, wanted.seed);
  options.backend.tf32 = options.train.precision == Precision::tf32;
  options.backend.emulated.parts = options.train.gradient_accumulation_steps;
  settle_readers(world, options);
  // With "auto" no more readers than start are ever wanted: only the first are to be there.
  options.backend.other_threads = 2 * options.load.threads + endings + meters + staging;
  return options;
}

void require_computes(const RunOptions& options, std::string_view what) {
  if (options.backend.device != DeviceChoice::emulated) return;
  throw Error(ExitCode::usage, Complaint{"/backend/device", fmt::format("\"emulated\" is not for {}", what),
                                         "an emulated device computes nothing that could be timed or compared",
                                         "set it to \"cpu\", \"cuda\" or \"auto\""});
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

DType compute_type(Precision precision) {
  if (precision == Precision::bf16) return DType::bf16;
  return precision == Precision::fp16 ? DType::f16 : DType::f32;
}

DType wire_type(Wire wire) {
  if (wire == Wire::bf16) return DType::bf16;
  return wire == Wire::fp16 ? DType::f16 : DType::f32;
}

Grouping grouping_of(const TrainOptions& train) {
  Grouping grouping{.bytes = static_cast<std::int64_t>(train.bucket_mib * 1024 * 1024),
                    .ends = {},
                    .norms_last = train.norms_last,
                    .wire = wire_type(train.wire)};
  if (train.buckets == Buckets::cubic) grouping.ends = cubic_ends();
  if (train.buckets == Buckets::listed)
    for (const TrainOptions::BucketEnd& end : train.bucket_ends)
      grouping.ends.push_back(end.tensors);
  return grouping;
}

StepOptions step_options(const RunOptions& options, std::int64_t ranks) {
  return {.graph = {.local_batch = options.train.batch() / ranks,
                    .global_batch = options.train.global_batch,
                    .compute = compute_type(options.train.precision),
                    .seed = static_cast<std::uint64_t>(options.seed),
                    .scale_loss = options.train.loss_scaling == ScaleLoss::always || options.train.wire == Wire::fp16,
                    .channels = {}},
          .grouping = grouping_of(options.train),
          .accumulation_steps = options.train.gradient_accumulation_steps,
          .scaling = {},
          .ranks = static_cast<int>(ranks),
          .averages_statistics = options.train.eval_statistics == EvaluationStatistics::averaged};
}

OwnedCollectives make_collectives(const World& world, Backend& backend, const ModelOptions& model) {
  OwnedCollectives collectives;
  collectives.all = backend.make_collective(world.all());
  const int ranks = norm_group_of(model);
  if (ranks > 1) collectives.norm = backend.make_collective(world.all().neighbours(ranks), Lane::compute);
  return collectives;
}

Precision computed_in(const Backend& backend, Precision asked) {
  const bool as_fp32 = backend.description().find("tf32 computed as fp32") != std::string::npos;
  return asked == Precision::tf32 && as_fp32 ? Precision::fp32 : asked;
}

namespace {

/// What was planned for a step: memory, fused nodes and buckets.
std::string plan_of(const Compiled& compiled) {
  const Graph& graph = compiled.train->graph();
  std::string text =
      fmt::format("a step's last batch has {} nodes; activations take {} bytes, scratch {} bytes", graph.nodes.size(),
                  compiled.train->memory().pool_bytes, compiled.train->scratch_bytes());
  for (const Node& node : graph.nodes) {
    const auto* sum = std::get_if<AllReduce>(&node.op);
    if (sum != nullptr)
      text += fmt::format("\nbucket {}: elements {} to {}", node.name, sum->range.begin, sum->range.end);
  }
  return text;
}

}  // namespace

Compiled compile(const World& world, Backend& backend, const RunOptions& options,
                 const std::vector<ChannelRange>& channels, bool timed) {
  const Clock clock;
  const bool captures = backend.name() == "cuda" && options.backend.capture;
  StepOptions shape = step_options(options, world.all().size());
  shape.graph.channels = channels;
  StepGraphs graphs = graphs_of(options.recipe, shape);

  Compiled compiled;
  compiled.collectives = make_collectives(world, backend, options.recipe.model);
  compiled.state = std::make_unique<ModelState>(backend, graphs.last, slots_of(options.recipe.rule));
  compiled.state->initialise(static_cast<std::uint64_t>(options.seed));
  std::shared_ptr<InputSlots> slots = make_input_slots(backend);
  const auto program = [&](Graph graph) {
    return std::make_unique<Program>(backend, std::move(graph), *compiled.state, compiled.collectives.get(), slots,
                                     Program::Options{.timed = timed && !captures});
  };
  compiled.train = program(std::move(graphs.last));
  compiled.parts = options.train.gradient_accumulation_steps;
  if (graphs.earlier) compiled.accumulate = program(std::move(*graphs.earlier));
  compiled.evaluate = program(std::move(graphs.evaluation));
  if (graphs.average) compiled.average = program(std::move(*graphs.average));
  compiled.planning_seconds = clock.seconds();
  compiled.warm_up_launches = backend.warm_up_launches();
  diagnose(LogLevel::debug, [&] { return plan_of(compiled); });
  return compiled;
}

SyntheticBatch::SyntheticBatch(const DataSchema& schema, std::int64_t samples, std::int64_t first, std::uint64_t seed,
                               float rate) {
  const auto source = synthetic_source(schema, first + samples, seed);
  for (const Field& field : schema.fields)
    memory_.emplace_back(field.bytes() * static_cast<std::size_t>(samples));
  for (std::int64_t sample = 0; sample < samples; ++sample) {
    SampleView view;
    for (std::size_t f = 0; f < schema.fields.size(); ++f) {
      const std::size_t bytes = schema.fields[f].bytes();
      view.emplace_back(std::span(memory_[f]).subspan(static_cast<std::size_t>(sample) * bytes, bytes));
    }
    source->read({.sample = first + sample}, view);
  }
  std::vector<std::byte>& state_bytes = memory_.emplace_back(step_state_bytes(samples));
  StepState state;
  state.rate = rate;
  state.previous_rate = rate;
  state.valid = static_cast<std::int32_t>(samples);
  std::memcpy(state_bytes.data(), &state, sizeof(state));
  for (std::int64_t sample = 0; sample < samples; ++sample) {
    const std::int64_t id = first + sample;
    std::memcpy(state_bytes.data() + sizeof(state) + static_cast<std::size_t>(sample) * sizeof(id), &id, sizeof(id));
  }
  inputs_.assign(memory_.begin(), memory_.end());
}

namespace {

/// Medians of a program's nodes, of `times` profiles; `before` takes what must have run before each.
std::vector<NodeTime> timed_nodes(Program& program, std::int64_t launches, const std::function<void()>& before) {
  constexpr int times = 5;
  const std::vector<Node>& nodes = program.graph().nodes;
  std::vector<std::vector<double>> seconds(nodes.size());
  for (int time = 0; time < times; ++time) {
    before();
    const Profile profile = program.profile(0);
    for (std::size_t at = 0; at < nodes.size(); ++at)
      seconds[at].push_back(profile.at(at).second);
  }
  std::vector<NodeTime> result;
  for (std::size_t at = 0; at < nodes.size(); ++at) {
    result.push_back({nodes[at].name,
                      std::string(name_of(nodes[at].op)),
                      static_cast<double>(launches) * median_of(std::move(seconds[at])),
                      {}});
    for (std::int64_t launch = 0; launch < launches; ++launch)
      result.back().cost += cost(program.graph(), nodes[at]);
  }
  return result;
}

/// Of a whole step: what its earlier parts take stands with the last one's nodes of the same names. Takes real steps,
/// on all ranks alike.
std::vector<NodeTime> timed_step(Compiled& compiled) {
  std::vector<NodeTime> step = timed_nodes(*compiled.train, 1, [] {});
  if (compiled.accumulate == nullptr) return step;
  const auto clear = [&compiled] { compiled.train->step(0); };  // takes in the sums that an earlier part left
  for (NodeTime& node : timed_nodes(*compiled.accumulate, compiled.parts - 1, clear)) {
    const auto same = std::ranges::find(step, node.node, &NodeTime::node);
    if (same == step.end()) {
      step.push_back(std::move(node));
      continue;
    }
    same->seconds += node.seconds;
    same->cost += node.cost;
  }
  compiled.train->step(0);
  return step;
}

}  // namespace

void warm_up(Compiled& compiled, std::int64_t seed, const DataSchema& schema, std::int64_t local_batch,
             bool measure_nodes) {
  const Clock clock;
  const std::vector<std::byte> before = compiled.state->snapshot();
  const SyntheticBatch batch(schema, local_batch, 0, static_cast<std::uint64_t>(seed), 0.0F);
  for (int launch = 0; launch < 2 * compiled.warm_up_launches; ++launch) {
    const int slot = launch % 2;
    // The training step comes after accumulation: it leaves no sums behind.
    for (Program* program : {compiled.accumulate.get(), compiled.train.get(), compiled.evaluate.get()}) {
      if (program == nullptr) continue;
      program->upload(slot, batch.inputs());
      program->step(slot);
    }
    if (compiled.average != nullptr) compiled.average->step(slot);
  }
  if (measure_nodes) compiled.nodes = timed_step(compiled);
  compiled.state->restore(before);
  compiled.state->clear_metrics();
  compiled.warm_up_seconds = clock.seconds();
}

}  // namespace trainmark

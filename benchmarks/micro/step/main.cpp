// Times a model's training step on one rank of the CPU backend and sets each launch beside what its bytes and FLOPs
// would allow on this machine's measured copy bandwidth and matrix rate. Prints one JSON line.
#include <fmt/core.h>
#include <sys/resource.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <numeric>

#include "measure.hpp"
#include "trainmark/exec.hpp"
#include "trainmark/models.hpp"

namespace {

using namespace trainmark;
using namespace trainmark::bench;

struct Arguments {
  int extent = 0;                 // along an axis; 0: of CosmoFlow 64 voxels, of ResNet-50 224 pixels
  int rows = 192, columns = 288;  // of DeepCAM
  int batch = 2, threads = 2, steps = 8;
  std::string model = "cosmoflow", precision = "fp32";
};

Arguments parse(int argc, char** argv) {
  Arguments arguments;
  const std::map<std::string, std::string*> words = {{"--precision", &arguments.precision},
                                                     {"--model", &arguments.model}};
  const std::map<std::string, int*> numbers = {{"--extent", &arguments.extent},   {"--rows", &arguments.rows},
                                               {"--columns", &arguments.columns}, {"--batch", &arguments.batch},
                                               {"--threads", &arguments.threads}, {"--steps", &arguments.steps}};
  for (int i = 1; i + 1 < argc; i += 2) {
    if (words.contains(argv[i])) {
      *words.at(argv[i]) = argv[i + 1];
    } else {
      *numbers.at(argv[i]) = std::stoi(argv[i + 1]);
    }
  }
  return arguments;
}

Recipe recipe_of(const Arguments& arguments) {
  if (arguments.model == "deepcam") {
    const DeepcamOptions model{.rows = arguments.rows, .columns = arguments.columns};
    return {.model = model, .rule = Lamb{}, .schedule = {}};
  }
  if (arguments.model == "resnet50") {
    const Resnet50Options model{.extent = arguments.extent > 0 ? arguments.extent : 224};
    return {.model = model, .rule = Lars{}, .schedule = {}};
  }
  CosmoflowOptions model;
  model.extent = arguments.extent > 0 ? arguments.extent : 64;
  return {.model = model, .rule = {}, .schedule = {}};
}

/// Values of each field's type: counts of CosmoFlow, channels of DeepCAM in [0, 4), pixels in [0, 256), labels below
/// 3 where they are of pixels and below 1000 where they are of images.
std::vector<std::vector<std::byte>> samples_of(const Recipe& recipe, int batch) {
  std::vector<std::vector<std::byte>> fields;
  Rng rng(1, Purpose::warm_up);
  for (const auto& field : schema_of(recipe.model).fields) {
    auto& bytes = fields.emplace_back(field.bytes() * static_cast<std::size_t>(batch));
    const auto fill = [&]<class T>(T, std::uint64_t below) {
      auto* values = reinterpret_cast<T*>(bytes.data());
      for (std::size_t i = 0; i < bytes.size() / sizeof(T); ++i)
        values[i] = static_cast<T>(rng.bits() % below);
    };
    if (field.dtype == DType::i16) fill(std::int16_t{}, 4);
    if (field.dtype == DType::f32) fill(float{}, 4);
    if (field.dtype == DType::u8) fill(std::uint8_t{}, field.name == "image" ? 256 : 3);
    if (field.dtype == DType::i32) fill(std::int32_t{}, 1000);
  }
  return fields;
}

/// FLOP/s of a large dense layer, of the element type that the step computes in.
double matrix_rate(Backend& backend, DType type) {
  const std::int64_t n = 1024, k = 2048, m = 2048;
  Operands operands;
  operands.inputs = {{Shape{n, k}, type}, {Shape{m, k}, DType::f32}, {Shape{m}, DType::f32}};
  operands.outputs = {{Shape{n, m}, type}};
  Planned planned = backend.plan(Dense{}, operands);
  std::vector<std::vector<std::byte>> memory;
  std::vector<void*> args;
  for (const auto& desc : {operands.inputs[0], operands.inputs[1], operands.inputs[2], planned.outputs[0]}) {
    memory.emplace_back(backend.bytes_of(desc));
    args.push_back(memory.back().data());
  }
  memory.emplace_back(planned.scratch_bytes);
  args.push_back(memory.back().data());
  Stream& stream = backend.stream(Lane::compute);
  planned.plan->execute(stream, args);
  const double seconds = best_seconds(10, [&] { planned.plan->execute(stream, args); });
  return 2.0 * static_cast<double>(n * k * m) / seconds;
}

std::string layer_table(Program& program, double bandwidth, double rate) {
  std::map<std::string, Cost> costs;
  std::map<std::string, std::string_view> ops;
  for (const Node& node : program.graph().nodes) {
    costs[node.name] = cost(program.graph(), node);
    ops[node.name] = name_of(node.op);
  }
  std::map<std::string, std::vector<double>> times;
  std::vector<std::string> order;
  for (int repetition = 0; repetition < 3; ++repetition) {
    for (const auto& [name, seconds] : program.profile(0)) {
      if (!times.contains(name)) order.push_back(name);
      times[name].push_back(seconds);
    }
  }
  std::string table;
  for (const std::string& name : order) {
    const Cost& each = costs[name];
    const double bound = std::max(static_cast<double>(each.bytes) / bandwidth, static_cast<double>(each.flops) / rate);
    table += fmt::format(
        "{}{{\"name\": \"{}\", \"op\": \"{}\", \"measured_ms\": {:.3f}, \"bound_ms\": {:.3f}, \"gflop\": {:.3f}, "
        "\"mib\": {:.2f}}}",
        table.empty() ? "" : ", ", name, ops[name], 1e3 * median(times[name]), 1e3 * bound,
        1e-9 * static_cast<double>(each.flops), static_cast<double>(each.bytes) / 1048576.0);
  }
  return table;
}

}  // namespace

int main(int argc, char** argv) {
  const Arguments arguments = parse(argc, argv);
  const Mpi mpi(argc, argv);
  const World& world = mpi.world();
  const auto backend = make_cpu_backend(arguments.threads, false);
  GraphOptions options;
  options.local_batch = options.global_batch = arguments.batch;
  options.compute = arguments.precision == "bf16" ? DType::bf16 : DType::f32;
  const Recipe recipe = recipe_of(arguments);
  Graph graph = graphs_of(recipe, {.graph = options}).last;
  ModelState state(*backend, graph, slots_of(recipe.rule));
  state.initialise(1);
  const auto collective = backend->make_collective(world.all());
  Program program(*backend, std::move(graph), state, *collective, make_input_slots(*backend), {});

  auto fields = samples_of(recipe, arguments.batch);
  std::vector<std::byte> step_state(step_state_bytes(arguments.batch));
  StepState header;
  header.rate = 0.001F;
  header.valid = arguments.batch;
  std::memcpy(step_state.data(), &header, sizeof(header));
  fields.push_back(std::move(step_state));
  const std::vector<std::span<const std::byte>> inputs(fields.begin(), fields.end());

  std::vector<double> seconds;
  for (int step = 0; step < 3 + arguments.steps; ++step) {
    const Clock clock;
    program.upload(step & 1, inputs);
    program.step(step & 1);
    if (step >= 3) seconds.push_back(clock.seconds());
  }
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);  // before the ceilings take memory of their own
  const double bandwidth = copy_bandwidth(arguments.threads);
  const double rate = matrix_rate(*backend, options.compute);
  const std::string layers = layer_table(program, bandwidth, rate);
  fmt::print(
      "{{\"program\": \"trainmark {}\", \"precision\": \"{}\", \"step_median_s\": {:.6f}, \"step_min_s\": {:.6f}, "
      "\"peak_memory_mib\": {:.1f}, \"ceilings\": {{\"copy_gb_per_s\": {:.2f}, \"matrix_gflop_per_s\": {:.1f}}}, "
      "\"layers\": [{}]}}\n",
      backend->description(), arguments.precision, median(seconds), *std::min_element(seconds.begin(), seconds.end()),
      static_cast<double>(usage.ru_maxrss) / 1024.0, bandwidth * 1e-9, rate * 1e-9, layers);
  return 0;
}

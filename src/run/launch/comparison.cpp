#include "run/launch/comparison.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>

#include "run/launch/differences.hpp"
#include "run/launch/session.hpp"

namespace trainmark {
namespace {

constexpr int fused_steps = 3;
/// Small enough for fp16 gradients of a first step, large enough to matter.
constexpr LossScaling scaling{.initial = 1024.0F};

StepOptions checked_step(const World& world, const RunOptions& options) {
  StepOptions step = step_options(options, world.all().size());
  step.scaling = scaling;
  return step;
}

/// The sums over a rank's samples that an evaluation makes.
struct Evaluated {
  std::vector<float> metric, loss;
};

/// One backend with a state, a step and an evaluation of its own.
class Side {
 public:
  Side(const World& world, Backend& backend, const RunOptions& options, Program::Options style)
      : graphs_(graphs_of(options.recipe, checked_step(world, options))),
        collectives_(make_collectives(world, backend, options.recipe.model)),
        state_(backend, graphs_.last, slots_of(options.recipe.rule)),
        slots_(make_input_slots(backend)),
        program_(backend, graphs_.last, state_, collectives_.get(), slots_, style),
        evaluation_(backend, graphs_.evaluation, state_, collectives_.get(), slots_, style) {
    if (graphs_.earlier) earlier_.emplace(backend, *graphs_.earlier, state_, collectives_.get(), slots_, style);
    state_.initialise(static_cast<std::uint64_t>(options.seed));
  }
  /// Of so many parts as the options say.
  void step(std::span<const SyntheticBatch> parts, int slot) {
    for (const SyntheticBatch& part : parts.first(parts.size() - 1))
      launch(*earlier_, part, slot);
    launch(program_, parts.back(), slot);
  }
  [[nodiscard]] Evaluated evaluate(std::span<const SyntheticBatch> parts) {
    state_.clear_metrics();
    for (const SyntheticBatch& part : parts)
      launch(evaluation_, part, 0);
    const Score score = state_.score();
    // By itself a quality may hang on one sample that rounding turns; beside the count it weighs what it should.
    return {{static_cast<float>(score.quality), static_cast<float>(score.count)}, {static_cast<float>(score.loss)}};
  }
  [[nodiscard]] const Graph& graph() const noexcept { return program_.graph(); }
  [[nodiscard]] float loss() const { return state_.loss(); }
  [[nodiscard]] double loss_scale() const {
    for (const Node& node : graphs_.last.nodes)
      if (const auto* adjust = std::get_if<AdjustLossScale>(&node.op)) return adjust->rule.initial;
    return 1.0;
  }
  [[nodiscard]] std::vector<float> read(const std::string& tensor) const { return program_.read(tensor); }
  [[nodiscard]] std::vector<float> parameters() const {
    return state_.read(state_.parameters(), state_.parameter_elements());
  }

 private:
  static void launch(Program& program, const SyntheticBatch& batch, int slot) {
    program.upload(slot, batch.inputs());
    program.step(slot);
  }

  StepGraphs graphs_;
  OwnedCollectives collectives_;
  ModelState state_;
  std::shared_ptr<InputSlots> slots_;
  Program program_, evaluation_;
  std::optional<Program> earlier_;
};

/// Random samples for `fused_steps` steps, each of so many parts of so many samples on each rank: the same samples
/// however a step is divided.
using Steps = std::vector<std::vector<SyntheticBatch>>;
Steps random_steps(const World& world, const RunOptions& options, std::int64_t local_batch, std::int64_t parts) {
  const auto rate = static_cast<float>(peak_rate_of(options.recipe.schedule));
  Steps steps(fused_steps);
  for (std::size_t step = 0; step < steps.size(); ++step) {
    const std::int64_t first =
        (static_cast<std::int64_t>(step) * world.all().size() + world.all().rank()) * local_batch * parts;
    for (std::int64_t part = 0; part < parts; ++part)
      steps[step].emplace_back(schema_of(options.recipe.model), local_batch, first + part * local_batch,
                               static_cast<std::uint64_t>(options.seed), rate);
  }
  return steps;
}

bool is_floating(DType type) { return type == DType::f32 || type == DType::bf16 || type == DType::f16; }

/// Windows whose winners a node derives, each for one channel of one sample; 0 for all other nodes.
std::int64_t pooled_elements(const Graph& graph, const Node& node) {
  const auto* pool = std::get_if<PoolBackward>(&node.op);
  if (pool == nullptr) return 0;
  return graph.tensors.at(static_cast<std::size_t>(node.inputs[1])).shape.elements();
}
double flips_in(const Graph& graph) {
  std::vector<std::int64_t> windows;
  for (const Node& node : graph.nodes)
    if (const std::int64_t count = pooled_elements(graph, node); count > 0) windows.push_back(count);
  return norm_of_flips(windows);
}

/// Every tensor that a node of the truth's graph writes. From the loss on they carry the loss scale.
std::vector<Difference> compare_tensors(const Side& found, const Side& truth) {
  std::vector<Difference> all;
  bool behind_loss = false;
  std::vector<std::int64_t> windows;
  for (const Node& node : truth.graph().nodes) {
    behind_loss = behind_loss || std::holds_alternative<Loss>(node.op);
    if (const std::int64_t count = pooled_elements(truth.graph(), node); count > 0) windows.push_back(count);
    for (std::size_t at = 0; at < node.outputs.size(); ++at) {
      const Tensor& tensor = truth.graph().tensors.at(static_cast<std::size_t>(node.outputs[at]));
      if (!is_floating(tensor.dtype)) continue;
      const bool value = std::holds_alternative<Loss>(node.op) && at == 0;
      const double scale = behind_loss && !value ? found.loss_scale() : 1.0;
      all.push_back(difference(tensor.name, found.read(tensor.name), scale, truth.read(tensor.name)));
      if (!behind_loss || value) continue;
      all.back().kind = Kind::backward;
      all.back().flips = norm_of_flips(windows);
    }
  }
  return all;
}

/// What an evaluation finds before any update, then losses and the change of the parameters in a few steps of a side.
struct Trained {
  Evaluated evaluated;
  std::vector<float> losses, change;
  double flips = 0.0;  ///< see Difference
};
Trained trained(Side& side, const Steps& steps) {
  Trained result;
  result.evaluated = side.evaluate(steps.front());
  const std::vector<float> before = side.parameters();
  for (std::size_t step = 0; step < steps.size(); ++step) {
    side.step(steps[step], static_cast<int>(step % 2));
    result.losses.push_back(side.loss());
  }
  result.change = side.parameters();
  for (std::size_t i = 0; i < before.size(); ++i)
    result.change[i] -= before[i];
  result.flips = flips_in(side.graph());
  return result;
}

std::vector<Difference> compare_training(const Trained& found, const Trained& truth) {
  std::vector<Difference> all = {
      difference("metric of an evaluation", found.evaluated.metric, 1.0, truth.evaluated.metric),
      difference("loss of an evaluation", found.evaluated.loss, 1.0, truth.evaluated.loss)};
  for (std::size_t step = 0; step < truth.losses.size(); ++step)
    all.push_back(
        difference(fmt::format("loss of step {}", step + 1), {found.losses[step]}, 1.0, {truth.losses[step]}));
  all.push_back(
      difference(fmt::format("change of the parameters in {} steps", fused_steps), found.change, 1.0, truth.change));
  all.back().kind = Kind::update;
  all.back().flips = truth.flips;
  // Two sides that skipped every update agree on nothing.
  if (std::ranges::all_of(truth.change, [](float value) { return value == 0.0F; })) all.back().norm = INFINITY;
  return all;
}

/// A step of one part with as many samples as one of the config's, which the ranks have to share evenly.
RunOptions one_part(const World& world, const RunOptions& wanted) {
  const std::int64_t ranks = world.all().size();
  RunOptions options = wanted;
  options.train.global_batch = wanted.train.batch();  // of a step's batches one is looked at
  options.train.gradient_accumulation_steps = 1;
  if (!wanted.train.divides(ranks)) {
    throw AgreedError(ExitCode::usage, to_string(Complaint{"/train/global_batch", indivisible(wanted.train, ranks),
                                                           "every rank takes the same share",
                                                           "choose another batch, rank count or number of parts"}));
  }
  if (const std::string complaint = ungroupable(wanted, static_cast<int>(ranks)); !complaint.empty())
    throw AgreedError(ExitCode::usage, complaint);
  return options;
}

bool evaluation_has_norms(const RunOptions& options) {
  return forward_of(options.recipe.model, {}).statistic_elements() > 0;
}

}  // namespace

RunOutcome check_backend(const World& world, Backend& backend, const RunOptions& wanted, Progress& progress,
                         const Stuck& stuck) {
  const RunOptions options = one_part(world, wanted);
  BackendOptions host = options.backend;
  host.device = DeviceChoice::cpu;
  host.overlap = Overlap::off;
  host.tf32 = false;
  const auto cpu = make_backend(host, world);
  RunOptions plain = options;
  plain.train.precision = Precision::fp32;
  plain.train.loss_scaling = ScaleLoss::automatic;
  RunOptions rounding = plain;
  rounding.train.precision = options.train.precision;
  const bool rounds = options.train.precision == Precision::bf16;  // of the others the CPU has none
  const std::int64_t local_batch = options.train.global_batch / world.all().size();
  const Steps steps = random_steps(world, options, local_batch, 1);

  progress.line(fmt::format("check: {} in {} against the CPU in fp32, {} sample(s) a rank{}", backend.description(),
                            word(options.train.precision), local_batch,
                            wanted.train.gradient_accumulation_steps > 1 ? ", one part of a step" : ""));
  const Program::Options readable{.fuse = false, .reuse = false};
  std::vector<Difference> differences;
  {
    Side truth(world, *cpu, plain, readable);
    truth.step(steps.front(), 0);
    const auto differing = [&](Backend& other, const RunOptions& how) {
      Side side(world, other, how, readable);
      return on_device(other, stuck, [&] {
        side.step(steps.front(), 0);
        return compare_tensors(side, truth);
      });
    };
    differences = differing(backend, options);
    if (rounds) note_rounding(differences, differing(*cpu, rounding));
  }
  agree_on_worst(world, differences);
  progress.line(fmt::format("check: one step, unfused: the largest of {} differences", differences.size()));
  print(progress, differences);
  {
    const auto steps_of = [&](Backend& one, const RunOptions& how, Program::Options style) {
      Side side(world, one, how, style);
      return on_device(one, stuck, [&] { return trained(side, steps); });
    };
    const Trained truth = steps_of(*cpu, plain, readable);
    std::vector<Difference> training = compare_training(steps_of(backend, options, {}), truth);
    if (rounds) note_rounding(training, compare_training(steps_of(*cpu, rounding, readable), truth));
    agree_on_worst(world, training);
    progress.line(fmt::format("check: an evaluation and {} steps as a run takes them", fused_steps));
    print(progress, training);
    differences.insert(differences.end(), training.begin(), training.end());
  }

  return judged(differences, options.train.precision, "backends agree", rounds, progress);
}

RunOutcome check_itself(const World& world, Backend& backend, const RunOptions& wanted, Progress& progress,
                        const Stuck& stuck) {
  const RunOptions options = one_part(world, wanted);
  const std::int64_t local_batch = options.train.global_batch / world.all().size();
  progress.line(fmt::format("check: {} in {} against itself, {} sample(s) a rank", backend.description(),
                            word(options.train.precision), local_batch));
  const auto trained_as = [&](const RunOptions& how, const Steps& steps, Program::Options style) {
    Side side(world, backend, how, style);
    return on_device(backend, stuck, [&] { return trained(side, steps); });
  };
  std::vector<Difference> differences;
  const auto compare = [&](const std::string& what, const Trained& found, const Trained& truth) {
    std::vector<Difference> these = compare_training(found, truth);
    agree_on_worst(world, these);
    progress.line(fmt::format("check: an evaluation and {} steps, {}", fused_steps, what));
    print(progress, these);
    differences.insert(differences.end(), these.begin(), these.end());
  };
  const Steps together = random_steps(world, options, local_batch, 1);
  const Trained fused = trained_as(options, together, {});
  compare("fused against one operation after the other", fused,
          trained_as(options, together, {.fuse = false, .reuse = false}));
  if (evaluation_has_norms(options)) {
    progress.line("check: samples one by one are left out: norms make of them another step");
  } else if (local_batch > 1) {
    RunOptions one_by_one = options;
    one_by_one.train.gradient_accumulation_steps = local_batch;
    compare("all samples at once against one by one", fused,
            trained_as(one_by_one, random_steps(world, options, 1, local_batch), {}));
  }
  return judged(differences, options.train.precision, "the backend agrees with itself", false, progress);
}

}  // namespace trainmark

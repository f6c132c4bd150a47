#include "run/launch/comparison.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>

#include "run/launch/differences.hpp"
#include "run/launch/session.hpp"

namespace trainmark {
namespace {

constexpr int fused_steps = 3;
/// On initial parameters, relative: it does to a step what another order of sums, or operands of fewer bits, do, and a
/// little more of it, so that few draws stand for positions that come to the other side of a corner, and windows that
/// another one wins, now here and now there.
struct Noise {
  double size = 0.0;
  std::uint64_t draw = 0;
};
std::array<Noise, 3> noises_of(Precision precision) {
  const double size = precision == Precision::fp32 ? 2e-6 : 1e-3;
  return {Noise{size, 1}, Noise{size, 2}, Noise{size, 3}};
}
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
  Side(const World& world, Backend& backend, const RunOptions& options, Program::Options style, Noise noise = {})
      : graphs_(graphs_of(options.recipe, checked_step(world, options))),
        collectives_(make_collectives(world, backend, options.recipe.model)),
        state_(backend, graphs_.last, slots_of(options.recipe.rule)),
        slots_(make_input_slots(backend)),
        program_(backend, graphs_.last, state_, collectives_.get(), slots_, style),
        evaluation_(backend, graphs_.evaluation, state_, collectives_.get(), slots_, style) {
    if (graphs_.earlier) earlier_.emplace(backend, *graphs_.earlier, state_, collectives_.get(), slots_, style);
    state_.initialise(static_cast<std::uint64_t>(options.seed));
    if (noise.size > 0.0) disturb(noise);
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
  void write(const std::string& tensor, std::span<const float> values) { program_.write(tensor, values); }
  void write_parameters(std::span<const float> values) { state_.write(state_.parameters(), values); }
  void execute(std::size_t node) { program_.execute(node); }  ///< by itself, on what lies in its operands
  [[nodiscard]] std::vector<float> parameters() const {
    return state_.read(state_.parameters(), state_.parameter_elements());
  }

 private:
  static void launch(Program& program, const SyntheticBatch& batch, int slot) {
    program.upload(slot, batch.inputs());
    program.step(slot);
  }
  void disturb(Noise noise) {
    std::vector<float> values = parameters();
    Rng random(noise.draw, Purpose::warm_up);  // the same on every rank
    for (float& value : values)
      value *= 1.0F + static_cast<float>(noise.size * (2.0 * random.uniform() - 1.0));
    write_parameters(values);
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
  const auto rate = static_cast<float>(peak_rate_of(schedule_of(options.recipe, options.train.global_batch)));
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

/// By tensor id: whether it carries the loss scale, as all do from the loss on but the loss itself.
std::vector<bool> scaled_tensors(const Graph& graph) {
  std::vector<bool> scaled(graph.tensors.size());
  bool behind_loss = false;
  for (const Node& node : graph.nodes) {
    const bool loss = std::holds_alternative<Loss>(node.op);
    behind_loss = behind_loss || loss;
    for (std::size_t at = 0; at < node.outputs.size(); ++at)
      scaled[static_cast<std::size_t>(node.outputs[at])] = behind_loss && !(loss && at == 0);
  }
  return scaled;
}

/// Every tensor that a node of the truth's graph writes.
std::vector<Difference> compare_tensors(const Side& found, const Side& truth) {
  std::vector<Difference> all;
  const std::vector<bool> scaled = scaled_tensors(truth.graph());
  bool behind_loss = false;
  for (const Node& node : truth.graph().nodes) {
    behind_loss = behind_loss || std::holds_alternative<Loss>(node.op);
    for (const TensorId id : node.outputs) {
      const Tensor& tensor = truth.graph().tensors.at(static_cast<std::size_t>(id));
      if (!is_floating(tensor.dtype)) continue;
      const double scale = scaled[static_cast<std::size_t>(id)] ? found.loss_scale() : 1.0;
      all.push_back(difference(tensor.name, found.read(tensor.name), scale, truth.read(tensor.name)));
      if (behind_loss) all.back().kind = Kind::backward;
    }
  }
  return all;
}

/// What is computed from operands alone and leaves them as they were, sums within groups of norms among it: no sums of
/// gradients, no updates, no counts.
bool can_be_repeated(const Graph& graph, const Node& node) {
  if (node.lane != Lane::compute || !arena_uses(node.op).empty()) return false;
  return std::ranges::all_of(node.outputs, [&](TensorId id) {
    const Role role = graph.tensors.at(static_cast<std::size_t>(id)).role;
    return role == Role::activation || role == Role::gradient;
  });
}

/// To the nearest of what a precision multiplies with, ties to even: TF32 looks at as many bits as fp16 has.
float representable(float value, Precision precision) {
  if (precision == Precision::fp32) return value;
  const std::uint32_t dropped = precision == Precision::bf16 ? 16 : 13;
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const std::uint32_t half = std::uint32_t{1} << (dropped - 1), odd = bits >> dropped & 1U;
  return std::bit_cast<float>((bits + half - 1 + odd) >> dropped << dropped);
}

/// Each operation once more by itself, behind a step of both sides. Its operands are the truth's, as the other side's
/// precision has them, so that they are equal to the bit on both; those that are no numbers (winners, moments) follow
/// from such operands.
class Operations {
 public:
  Operations(Side& found, Side& truth, Precision precision)
      : found_(found), truth_(truth), graph_(truth.graph()), scaled_(scaled_tensors(graph_)), precision_(precision) {
    std::vector<float> parameters = truth_.parameters();
    for (float& value : parameters)
      value = representable(value, precision_);
    truth_.write_parameters(parameters);
    found_.write_parameters(parameters);
  }

  std::vector<Difference> compared() {
    std::vector<Difference> all;
    for (std::size_t at = 0; at < graph_.nodes.size(); ++at) {
      const Node& node = graph_.nodes[at];
      if (!can_be_repeated(graph_, node)) continue;
      for (const TensorId id : numbers_of(node.inputs))
        give(id);
      truth_.execute(at);
      found_.execute(at);
      std::vector<Difference> differences;
      for (const TensorId id : numbers_of(node.outputs)) {
        differences.push_back(difference(name(id), found_.read(name(id)), scale_of(id), truth_.read(name(id))));
        differences.back().kind = Kind::alone;
      }
      if (std::ranges::any_of(differences, [&](const Difference& each) { return each.norm > bound_alone(precision_); }))
        note_conditioning(at, differences);
      all.insert(all.end(), differences.begin(), differences.end());
    }
    return all;
  }

 private:
  [[nodiscard]] const std::string& name(TensorId id) const { return tensor(id).name; }
  [[nodiscard]] const Tensor& tensor(TensorId id) const { return graph_.tensors.at(static_cast<std::size_t>(id)); }
  [[nodiscard]] float scale_of(TensorId id) const {
    return scaled_[static_cast<std::size_t>(id)] ? static_cast<float>(found_.loss_scale()) : 1.0F;
  }
  [[nodiscard]] std::vector<TensorId> numbers_of(const std::vector<TensorId>& operands) const {
    std::vector<TensorId> numbers;
    for (const TensorId id : operands) {
      const Role role = tensor(id).role;
      if (is_floating(tensor(id).dtype) && (role == Role::activation || role == Role::gradient)) numbers.push_back(id);
    }
    return numbers;
  }

  void give(TensorId id) {
    const float scale = scale_of(id);  // a power of two
    std::vector<float> values = truth_.read(name(id));
    for (float& value : values)
      value = representable(value, precision_) * scale;
    found_.write(name(id), values);
    values = found_.read(name(id));  // fp16 has a range
    for (float& value : values)
      value /= scale;
    truth_.write(name(id), values);
  }

  /// Where sums cancel, the last bits of operands decide about a result's first: what those make of it is rounding.
  void note_conditioning(std::size_t at, std::vector<Difference>& differences) {
    constexpr double last_bit = 6e-8;
    const Node& node = graph_.nodes[at];
    const std::vector<TensorId> inputs = numbers_of(node.inputs), outputs = numbers_of(node.outputs);
    std::vector<std::vector<float>> operands, results;
    Rng random(2, Purpose::warm_up);
    for (const TensorId id : inputs) {
      std::vector<float> values = operands.emplace_back(truth_.read(name(id)));
      for (float& value : values)
        value *= 1.0F + static_cast<float>(last_bit * (4.0 * random.uniform() - 2.0));
      truth_.write(name(id), values);
    }
    for (const TensorId id : outputs)
      results.push_back(truth_.read(name(id)));
    truth_.execute(at);
    for (std::size_t i = 0; i < outputs.size(); ++i)
      differences[i].rounding = difference({}, truth_.read(name(outputs[i])), 1.0, results[i]).norm;
    for (std::size_t i = 0; i < inputs.size(); ++i)
      truth_.write(name(inputs[i]), operands[i]);
    truth_.execute(at);
  }

  Side& found_;
  Side& truth_;
  const Graph& graph_;
  std::vector<bool> scaled_;
  Precision precision_;
};

/// What an evaluation finds before any update, then losses and the change of the parameters in a few steps of a side.
struct Trained {
  Evaluated evaluated;
  std::vector<float> losses, change;
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
  // Two sides that skipped every update agree on nothing, and of a side that skips them the noise tells nothing. Where
  // small gradients decide about whole updates, how far parameters move still says whether rates and moments are right.
  const auto moved = [](const Trained& side) {
    double square = 0.0;
    for (const float value : side.change)
      square += static_cast<double>(value) * value;
    return static_cast<float>(std::sqrt(square));
  };
  const float found_moved = moved(found), truth_moved = moved(truth);
  if (found_moved == 0.0F || truth_moved == 0.0F) all.back().norm = INFINITY;
  all.push_back(difference("how far the parameters moved", {found_moved}, 1.0, {truth_moved}));
  all.back().kind = Kind::update;
  return all;
}

/// A loss is one number, which a draw may hit by chance: all have the rounding of the one that is hit worst. Where
/// rounding alone turns a tenth of what the updates changed, later losses go ways of their own, and three draws do not
/// tell how far: they are shown and not judged.
void share_among_losses(std::vector<Difference>& training) {
  constexpr double chaos = 0.1;
  double most = 0.0, turned = 0.0;
  for (const Difference& each : training) {
    if (each.tensor.starts_with("loss ")) most = std::max(most, each.rounding);
    if (each.tensor.starts_with("change of the parameters")) turned = std::max(turned, each.rounding);
  }
  for (Difference& each : training) {
    if (!each.tensor.starts_with("loss ")) continue;
    const bool behind_an_update = each.tensor.starts_with("loss of step") && each.tensor != "loss of step 1";
    each.rounding = behind_an_update && turned > chaos ? INFINITY : most;
  }
}

/// A step of one part with as many samples as one of the config's, which the ranks have to share evenly.
RunOptions one_part(const World& world, const RunOptions& wanted) {
  const std::int64_t ranks = world.all().size();
  RunOptions options = wanted;
  options.train.global_batch = wanted.train.batch();  // of a step's batches one is looked at
  options.train.gradient_accumulation_steps = 1;
  if (wanted.train.wire == Wire::fp16) options.train.loss_scaling = ScaleLoss::always;  // as the wire would have it
  options.train.wire = Wire::fp32;  // backends round sums of 16 bits at other places
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
  RunOptions rounding = plain;  // bf16 the CPU has; of the others noise stands for it
  if (options.train.precision == Precision::bf16) rounding.train.precision = Precision::bf16;
  const auto noises = noises_of(options.train.precision);
  const std::int64_t local_batch = options.train.global_batch / world.all().size();
  const Steps steps = random_steps(world, options, local_batch, 1);

  progress.line(fmt::format("check: {} in {} against the CPU in fp32, {} sample(s) a rank{}", backend.description(),
                            word(options.train.precision), local_batch,
                            wanted.train.gradient_accumulation_steps > 1 ? ", one part of a step" : ""));
  if (wanted.train.wire != Wire::fp32)
    progress.line(fmt::format("check: sums over ranks in fp32 in place of {}, which backends round at other places",
                              word(wanted.train.wire)));
  const Program::Options readable{.fuse = false, .reuse = false};
  std::vector<Difference> differences, alone;
  {
    Side truth(world, *cpu, plain, readable);
    truth.step(steps.front(), 0);
    Side side(world, backend, options, readable);
    on_device(backend, stuck, [&] {
      side.step(steps.front(), 0);
      differences = compare_tensors(side, truth);
      for (const Noise& noise : noises) {
        Side rounded(world, *cpu, rounding, readable, noise);
        rounded.step(steps.front(), 0);
        note_rounding(differences, compare_tensors(rounded, truth));
      }
      alone = Operations(side, truth, options.train.precision).compared();
      return 0;
    });
  }
  agree_on_worst(world, alone);
  progress.line(
      fmt::format("check: each operation by itself, on equal operands: the largest of {} differences", alone.size()));
  print(progress, alone);
  agree_on_worst(world, differences);
  progress.line(fmt::format("check: one step, unfused: the largest of {} differences", differences.size()));
  print(progress, differences);
  differences.insert(differences.end(), alone.begin(), alone.end());
  {
    const auto steps_of = [&](Backend& one, const RunOptions& how, Program::Options style, Noise noise = {}) {
      Side side(world, one, how, style, noise);
      return on_device(one, stuck, [&] { return trained(side, steps); });
    };
    const Trained truth = steps_of(*cpu, plain, readable);
    std::vector<Difference> training = compare_training(steps_of(backend, options, {}), truth);
    for (const Noise& noise : noises)
      note_rounding(training, compare_training(steps_of(*cpu, rounding, readable, noise), truth));
    share_among_losses(training);
    agree_on_worst(world, training);
    progress.line(fmt::format("check: an evaluation and {} steps as a run takes them", fused_steps));
    print(progress, training);
    differences.insert(differences.end(), training.begin(), training.end());
  }

  return judged(differences, options.train.precision, "backends agree", progress);
}

RunOutcome check_itself(const World& world, Backend& backend, const RunOptions& wanted, Progress& progress,
                        const Stuck& stuck) {
  const RunOptions options = one_part(world, wanted);
  const std::int64_t local_batch = options.train.global_batch / world.all().size();
  progress.line(fmt::format("check: {} in {} against itself, {} sample(s) a rank", backend.description(),
                            word(options.train.precision), local_batch));
  const auto trained_as = [&](const RunOptions& how, const Steps& steps, Program::Options style, Noise noise = {}) {
    Side side(world, backend, how, style, noise);
    return on_device(backend, stuck, [&] { return trained(side, steps); });
  };
  std::vector<Difference> differences;
  const Steps together = random_steps(world, options, local_batch, 1);
  const Trained fused = trained_as(options, together, {});
  std::vector<std::vector<Difference>> rounding;
  for (const Noise& noise : noises_of(options.train.precision))
    rounding.push_back(compare_training(trained_as(options, together, {}, noise), fused));
  const auto compare = [&](const std::string& what, const Trained& found, const Trained& truth) {
    std::vector<Difference> these = compare_training(found, truth);
    for (const std::vector<Difference>& draw : rounding)
      note_rounding(these, draw);
    share_among_losses(these);
    agree_on_worst(world, these);
    progress.line(fmt::format("check: an evaluation and {} steps, {}", fused_steps, what));
    print(progress, these);
    differences.insert(differences.end(), these.begin(), these.end());
  };
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
  return judged(differences, options.train.precision, "the backend agrees with itself", progress);
}

}  // namespace trainmark

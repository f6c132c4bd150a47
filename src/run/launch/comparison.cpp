#include "run/launch/comparison.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>

#include "run/end/ending.hpp"
#include "run/launch/session.hpp"

namespace trainmark {
namespace {

constexpr int fused_steps = 3;
constexpr std::size_t shown = 10;
/// Small enough for fp16 gradients of a first step, large enough to matter.
constexpr LossScaling scaling{.initial = 1024.0F};

/// What rounding explains, as the norm of the difference over the norm of the truth, unless the CPU can show it itself.
/// Backward is wider: where two values of a pooling window round to the same, another one may win, and its gradient
/// goes elsewhere; the more, the more voxels and layers are below.
struct Tolerance {
  double forward = 0.0, backward = 0.0, update = 0.0;
};
Tolerance tolerance_of(Precision precision) {
  if (precision == Precision::bf16) return {0.05, 0.05, 0.05};
  if (precision != Precision::fp32) return {0.01, 0.15, 0.1};
  return {1e-4, 1e-3, 1e-3};
}
enum class Kind : std::uint8_t { forward, backward, update };
double bound_of(const Tolerance& tolerance, Kind kind) {
  if (kind == Kind::forward) return tolerance.forward;
  return kind == Kind::backward ? tolerance.backward : tolerance.update;
}

StepOptions checked_step(const World& world, const RunOptions& options) {
  StepOptions step = step_options(options, world.all().size());
  step.scaling = scaling;
  return step;
}

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
    state_.initialise(static_cast<std::uint64_t>(options.seed));
  }
  void step(const SyntheticBatch& batch, int slot) {
    program_.upload(slot, batch.inputs());
    program_.step(slot);
  }
  /// The sums over this rank's samples that an evaluation's metric is made of.
  [[nodiscard]] std::vector<float> evaluate(const SyntheticBatch& batch) {
    state_.clear_metrics();
    evaluation_.upload(0, batch.inputs());
    evaluation_.step(0);
    const Score score = state_.score();
    return {static_cast<float>(score.quality), static_cast<float>(score.loss), static_cast<float>(score.count)};
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
  StepGraphs graphs_;
  OwnedCollectives collectives_;
  ModelState state_;
  std::shared_ptr<InputSlots> slots_;
  Program program_, evaluation_;
};

struct Difference {
  std::string tensor;
  double norm = 0.0;      ///< of the difference, over that of the truth
  double largest = 0.0;   ///< difference of two elements, over the largest of the truth
  double rounding = 0.0;  ///< the norm of what the CPU makes of it in the same precision; 0 where it has not got it
  Kind kind = Kind::forward;
};
/// Rounding grows with the number of voxels, and an implementation may have bad luck where another has not.
constexpr double luck = 2.0;

Difference difference(const std::string& name, const std::vector<float>& found, double scale,
                      const std::vector<float>& truth) {
  TRAINMARK_CHECK(found.size() == truth.size(), name);
  double square = 0.0, truth_square = 0.0, largest = 0.0, truth_largest = 0.0;
  for (std::size_t i = 0; i < truth.size(); ++i) {
    const double error = found[i] / scale - truth[i];
    square += error * error;
    truth_square += static_cast<double>(truth[i]) * truth[i];
    // A NaN must not get lost in a maximum.
    if (std::isnan(error) || std::fabs(error) > largest) largest = std::fabs(error);
    if (std::isnan(largest)) break;
    truth_largest = std::max(truth_largest, static_cast<double>(std::fabs(truth[i])));
  }
  const auto over = [](double part, double whole) { return part == 0.0 ? 0.0 : part / whole; };
  return {.tensor = name,
          .norm = over(std::sqrt(square), std::sqrt(truth_square)),
          .largest = over(largest, truth_largest)};
}

bool is_floating(DType type) { return type == DType::f32 || type == DType::bf16 || type == DType::f16; }

/// Every tensor that a node of the truth's graph writes. From the loss on they carry the loss scale.
std::vector<Difference> compare_tensors(const Side& found, const Side& truth) {
  std::vector<Difference> all;
  bool behind_loss = false;
  for (const Node& node : truth.graph().nodes) {
    behind_loss = behind_loss || std::holds_alternative<Loss>(node.op);
    for (std::size_t at = 0; at < node.outputs.size(); ++at) {
      const Tensor& tensor = truth.graph().tensors.at(static_cast<std::size_t>(node.outputs[at]));
      if (!is_floating(tensor.dtype)) continue;
      const bool value = std::holds_alternative<Loss>(node.op) && at == 0;
      const double scale = behind_loss && !value ? found.loss_scale() : 1.0;
      all.push_back(difference(tensor.name, found.read(tensor.name), scale, truth.read(tensor.name)));
      if (behind_loss && !value) all.back().kind = Kind::backward;
    }
  }
  return all;
}

/// Worst over all ranks, so that every rank comes to the same verdict.
void agree_on_worst(const World& world, std::vector<Difference>& differences) {
  std::vector<double> figures;
  for (const Difference& each : differences) {
    // MPI's maximum of a NaN is anything.
    figures.push_back(std::isnan(each.norm) ? INFINITY : each.norm);
    figures.push_back(std::isnan(each.largest) ? INFINITY : each.largest);
    figures.push_back(std::isnan(each.rounding) ? 0.0 : each.rounding);
  }
  world.all().max(figures);
  for (std::size_t i = 0; i < differences.size(); ++i) {
    differences[i].norm = figures[3 * i];
    differences[i].largest = figures[3 * i + 1];
    differences[i].rounding = figures[3 * i + 2];
  }
}

void note_rounding(std::vector<Difference>& differences, const std::vector<Difference>& rounding) {
  for (std::size_t i = 0; i < differences.size(); ++i)
    differences[i].rounding = rounding.at(i).norm;
}

/// What an evaluation finds before any update, then losses and the change of the parameters in a few steps of a side.
struct Trained {
  std::vector<float> metric_sums, losses, change;
};
Trained trained(Side& side, const std::vector<SyntheticBatch>& batches) {
  Trained result;
  result.metric_sums = side.evaluate(batches.front());
  const std::vector<float> before = side.parameters();
  for (int step = 0; step < fused_steps; ++step) {
    side.step(batches.at(static_cast<std::size_t>(step)), step % 2);
    result.losses.push_back(side.loss());
  }
  result.change = side.parameters();
  for (std::size_t i = 0; i < before.size(); ++i)
    result.change[i] -= before[i];
  return result;
}

std::vector<Difference> compare_training(const Trained& found, const Trained& truth) {
  std::vector<Difference> all = {difference("metric of an evaluation", found.metric_sums, 1.0, truth.metric_sums)};
  for (std::size_t step = 0; step < truth.losses.size(); ++step)
    all.push_back(
        difference(fmt::format("loss of step {}", step + 1), {found.losses[step]}, 1.0, {truth.losses[step]}));
  all.push_back(
      difference(fmt::format("change of the parameters in {} steps", fused_steps), found.change, 1.0, truth.change));
  all.back().kind = Kind::update;
  return all;
}

void print(Progress& progress, std::vector<Difference> differences) {
  std::ranges::stable_sort(differences, std::greater(), &Difference::norm);
  const bool rounded = std::ranges::any_of(differences, [](const Difference& each) { return each.rounding > 0.0; });
  progress.line(fmt::format("  {:<44} {:>12} {:>12}{}", "tensor", "norm", "largest", rounded ? "   CPU's norm" : ""));
  for (std::size_t i = 0; i < std::min(shown, differences.size()); ++i) {
    const Difference& each = differences[i];
    progress.line(fmt::format("  {:<44} {:>12.3e} {:>12.3e}{}", each.tensor, each.norm, each.largest,
                              rounded ? fmt::format(" {:>12.3e}", each.rounding) : ""));
  }
}

}  // namespace

RunOutcome check_backend(const World& world, Backend& backend, const RunOptions& wanted, Progress& progress) {
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
  const std::int64_t local_batch = options.train.global_batch / ranks;
  const auto rate = static_cast<float>(peak_rate_of(options.recipe.schedule));
  std::vector<SyntheticBatch> batches;
  for (int step = 0; step < fused_steps; ++step) {
    batches.emplace_back(schema_of(options.recipe.model), local_batch,
                         (step * ranks + world.all().rank()) * local_batch, static_cast<std::uint64_t>(options.seed),
                         rate);
  }

  progress.line(fmt::format("check: {} in {} against the CPU in fp32, {} sample(s) a rank{}", backend.description(),
                            word(options.train.precision), local_batch,
                            wanted.train.gradient_accumulation_steps > 1 ? ", one part of a step" : ""));
  const auto stuck = [&](const Status& failure) {
    tell(fmt::format("trainmark: error: rank {} on {}: {}\n", world.all().rank(), world.host(), failure.message));
    leave(world, failure.code);
  };
  const Program::Options readable{.fuse = false, .reuse = false};
  std::vector<Difference> differences;
  {
    Side truth(world, *cpu, plain, readable);
    truth.step(batches.front(), 0);
    const auto differing = [&](Backend& other, const RunOptions& how) {
      Side side(world, other, how, readable);
      return on_device(other, stuck, [&] {
        side.step(batches.front(), 0);
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
      return on_device(one, stuck, [&] { return trained(side, batches); });
    };
    const Trained truth = steps_of(*cpu, plain, readable);
    std::vector<Difference> training = compare_training(steps_of(backend, options, {}), truth);
    if (rounds) note_rounding(training, compare_training(steps_of(*cpu, rounding, readable), truth));
    agree_on_worst(world, training);
    progress.line(fmt::format("check: an evaluation and {} steps as a run takes them", fused_steps));
    print(progress, training);
    differences.insert(differences.end(), training.begin(), training.end());
  }

  const Tolerance tolerance = tolerance_of(options.train.precision);
  const auto bad = std::ranges::count_if(differences, [&](const Difference& each) {
    return !(each.norm <= std::max(bound_of(tolerance, each.kind), luck * each.rounding));
  });
  RunOutcome outcome;
  outcome.code = bad == 0 ? ExitCode::success : ExitCode::communication;
  outcome.verdict = bad == 0 ? "backends agree" : fmt::format("{} tensors differ by more than rounding", bad);
  progress.line(
      fmt::format("check: {} (norms up to {:g} forward, {:g} backward and {:g} of the update are {}'s rounding{})",
                  outcome.verdict, tolerance.forward, tolerance.backward, tolerance.update,
                  word(options.train.precision), rounds ? ", or up to twice the CPU's" : ""));
  return outcome;
}

}  // namespace trainmark

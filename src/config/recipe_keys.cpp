// The keys of an update rule and of a learning-rate schedule.
#include "config/description.hpp"

namespace trainmark::config {
namespace {

/// Of a boundary from which on it holds.
void describe_factor(Visitor& visitor, double& factor) {
  visitor.field({.name = "factor",
                 .doc = "What the peak rate is multiplied by; absolute, not cumulative.",
                 .above = 0,
                 .below = 1,
                 .required = true},
                &factor);
}

template <class Momentum>
void describe_momentum(Visitor& visitor, Momentum& rule) {
  visitor.field({.name = "momentum", .doc = "Share of the velocity that a step keeps.", .minimum = 0, .below = 1},
                &rule.momentum);
  visitor.field(
      {.name = "momentum_correction",
       .doc = "Multiply what a step keeps by its rate over the rate of the step before, so that the velocity, "
              "which holds rates, follows the schedule (MXNet)."},
      &rule.momentum_correction);
}
void describe_rule(Visitor& visitor, SgdMomentum& rule) {
  describe_momentum(visitor, rule);
  visitor.field({.name = "weight_decay",
                 .doc = "Of the tensors that the workload lets decay, as a part of their gradient (L2, without a "
                        "factor of 2).",
                 .minimum = 0},
                &rule.weight_decay);
}
void describe_rule(Visitor& visitor, Lars& rule) {
  describe_momentum(visitor, rule);
  visitor.field({.name = "weight_decay",
                 .doc = "Of the tensors that are scaled: neither of biases nor of norms' scales and shifts.",
                 .minimum = 0},
                &rule.weight_decay);
  visitor.field({.name = "eta", .doc = "Share of its own norm that a tensor moves by, at a rate of 1.", .above = 0},
                &rule.eta);
  visitor.field({.name = "epsilon", .doc = "Added to the norms that eta is divided by.", .minimum = 0}, &rule.epsilon);
  visitor.words(
      {.name = "form",
       .doc = "What a tensor's norm times eta is divided by: its gradient's norm, epsilon, and its norm times the "
              "weight decay (reference; TF2) or times the weight decay and the schedule's peak rate "
              "(premultiplied; MXNet)."},
      rule.form);
}
template <class AdamLike>
void describe_moments(Visitor& visitor, AdamLike& rule) {
  visitor.field({.name = "beta1", .doc = "Share of the first moment that a step keeps.", .minimum = 0, .below = 1},
                &rule.beta1);
  visitor.field({.name = "beta2", .doc = "Share of the second moment that a step keeps.", .minimum = 0, .below = 1},
                &rule.beta2);
  visitor.field({.name = "epsilon", .doc = "Added to the root of the second moment.", .above = 0}, &rule.epsilon);
  visitor.field(
      {.name = "weight_decay", .doc = "Of the tensors that the workload lets decay (deepcam: all).", .minimum = 0},
      &rule.weight_decay);
}
void describe_rule(Visitor& visitor, Adam& rule) {
  describe_moments(visitor, rule);
  visitor.field({.name = "decoupled", .doc = "Decay beside the gradient (AdamW); false: as a part of it (L2)."},
                &rule.decoupled);
}
void describe_rule(Visitor& visitor, Lamb& rule) {
  describe_moments(visitor, rule);
  visitor.field({.name = "largest_norm",
                 .doc = "Norm of all gradients together, beyond which they are clipped to it.",
                 .above = 0},
                &rule.largest_norm);
}

void describe_schedule(Visitor& visitor, PiecewiseSchedule& schedule) {
  visitor.field({.name = "base_rate", .doc = "Rate of epoch 0 where there is a warm-up.", .minimum = 0, .fp32 = true},
                &schedule.base_rate);
  visitor.field({.name = "peak_rate", .doc = "Rate after the warm-up, before any decay.", .above = 0, .fp32 = true},
                &schedule.peak_rate);
  visitor.field({.name = "warmup_epochs",
                 .doc = "Epochs in which the rate rises in equal steps from base to peak; 0 starts at the peak.",
                 .unit = "epochs",
                 .minimum = 0},
                &schedule.warmup_epochs);
  ElementList decay(schedule.decay, [](Visitor& to, PiecewiseSchedule::Decay& element) {
    to.field({.name = "epoch",
              .doc = "Boundary: the factor holds in epochs (counted from 0) strictly after this one.",
              .unit = "epochs",
              .minimum = 0,
              .required = true},
             &element.epoch);
    describe_factor(to, element.factor);
  });
  visitor.list("decay", "Boundaries in ascending order; the last one before an epoch gives its factor.", decay);
}
void describe_schedule(Visitor& visitor, StepSchedule& schedule) {
  visitor.field({.name = "rate", .doc = "Rate towards which the warm-up goes.", .above = 0, .fp32 = true},
                &schedule.rate);
  visitor.field({.name = "warmup_steps",
                 .doc = "Steps of the warm-up; as the reference's, it ends one step short of the rate. 0: none.",
                 .unit = "steps",
                 .minimum = 0},
                &schedule.warmup_steps);
  visitor.field(
      {.name = "warmup_factor", .doc = "1: from 0 to the rate; f: from the rate to f times that.", .minimum = 1},
      &schedule.warmup_factor);
  visitor.field({.name = "cosine_steps",
                 .doc = "Instead of boundaries: half a cosine, from the rate to zero in so many steps, and up again in "
                        "as many; 0: none.",
                 .unit = "steps",
                 .minimum = 0},
                &schedule.cosine_steps);
  ElementList decay(schedule.decay, [](Visitor& to, StepSchedule::Decay& element) {
    to.field({.name = "step",
              .doc = "From this step on, counted from the end of the warm-up.",
              .unit = "steps",
              .minimum = 1,
              .required = true},
             &element.step);
    describe_factor(to, element.factor);
  });
  visitor.list("decay", "Boundaries in ascending order; the last one that is reached gives the factor.", decay);
}

/// Of a linear warm-up and a fall that ends; `doc` is of the steps in which it does.
template <class Falling>
void describe_warm_up_and_fall(Visitor& visitor, Falling& schedule, std::string_view doc) {
  visitor.field({.name = "rate", .doc = "Rate at the end of the warm-up.", .above = 0, .fp32 = true}, &schedule.rate);
  visitor.field({.name = "warmup_steps",
                 .doc = "Steps in which the rate rises in equal steps from 0, which is the first step's; 0: none.",
                 .unit = "steps",
                 .minimum = 0},
                &schedule.warmup_steps);
  visitor.field({.name = "decay_steps", .doc = doc, .unit = "steps", .minimum = 1}, &schedule.decay_steps);
}
void describe_schedule(Visitor& visitor, PolynomialSchedule& schedule) {
  describe_warm_up_and_fall(visitor, schedule,
                            "Steps from the end of the warm-up until the rate has fallen to its end, where it stays. "
                            "The TF2 reference: steps in all, less those of the warm-up, plus 1.");
  visitor.field({.name = "power", .doc = "Of the share of those steps that is left.", .above = 0}, &schedule.power);
  visitor.field({.name = "end_rate", .doc = "Rate at the end; at most the rate above.", .minimum = 0, .fp32 = true},
                &schedule.end_rate);
}
void describe_schedule(Visitor& visitor, TanhSchedule& schedule) {
  describe_warm_up_and_fall(visitor, schedule,
                            "Steps from the end of the warm-up in which the rate falls; it stays where the last left "
                            "it.");
  constexpr double flat = 100.0;  // far beyond 20, from where on the tangent is 1 to the last bit
  visitor.field({.name = "lower",
                 .doc = "L of HTD(L, U): of what the tangent is taken when the fall begins.",
                 .minimum = -flat,
                 .maximum = flat},
                &schedule.lower);
  visitor.field({.name = "upper",
                 .doc = "U: of what it is taken when the fall ends; above L.",
                 .minimum = -flat,
                 .maximum = flat},
                &schedule.upper);
  visitor.field(
      {.name = "end_rate", .doc = "Rate that it falls towards; at most the rate above.", .minimum = 0, .fp32 = true},
      &schedule.end_rate);
}

}  // namespace

void describe_optimizer(Visitor& visitor, Rule& rule) {
  visitor.open("optimizer", "The update rule.");
  VariantChoice choice(
      rule,
      {.name = "name",
       .doc =
           "sgd: stochastic gradient descent with momentum, the rate inside the velocity (Keras form); adam: Adam or "
           "AdamW; lamb: AdamW's step, scaled to each tensor's norm; lars: sgd's, scaled so.",
       .words = {"sgd", "adam", "lamb", "lars"}},
      [](Visitor& to, auto& chosen) { describe_rule(to, chosen); });
  visitor.select(choice);
  visitor.alternatives(choice);
  visitor.close();
}

void describe_schedules(Visitor& visitor, Schedule& schedule, BatchScaling& scaling) {
  visitor.open("schedule", "The learning rate.");
  VariantChoice choice(
      schedule,
      {.name = "by",
       .doc = "epoch: constant within an epoch (cosmoflow); step: another rate for each update (deepcam); "
              "polynomial: linear warm-up, then a power of the steps that are left, by the step (ResNet-50); tanh: the "
              "same warm-up, then half a hyperbolic tangent, rate / 2 (1 - tanh(L + (U - L) t / decay_steps)).",
       .words = {"epoch", "step", "polynomial", "tanh"}},
      [](Visitor& to, auto& chosen) { describe_schedule(to, chosen); });
  visitor.select(choice);
  visitor.field(
      {.name = "base_batch",
       .doc = "Global batch for which the rate that the warm-up reaches is written; at another it is scaled "
              "(base_rate and end_rate are not; what a factor gives is). 0: rates are as written at any batch.",
       .unit = "samples",
       .minimum = 0},
      &scaling.base_batch);
  visitor.words({.name = "batch_scaling",
                 .doc = "With base_batch. linear: in proportion to the global batch; root: by its square root."},
                scaling.law);
  visitor.alternatives(choice);
  visitor.close();
}

}  // namespace trainmark::config

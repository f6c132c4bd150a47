// What a training step ends in: losses, metrics and update rules.
#include <cmath>

#include "reference/ops.hpp"

namespace trainmark::reference {
namespace {

/// A position's probabilities.
std::vector<double> softmax(const Array& logits, std::int64_t n, std::int64_t point) {
  const std::int64_t classes = logits.shape[1], points = points_of(logits.shape);
  std::vector<double> p(static_cast<std::size_t>(classes));
  double sum = 0.0;
  for (std::int64_t k = 0; k < classes; ++k)
    sum += p[static_cast<std::size_t>(k)] = std::exp(logits[(n * classes + k) * points + point]);
  for (double& value : p)
    value /= sum;
  return p;
}

LossResult loss_of(const CrossEntropy& criterion, std::int64_t global_batch, const Array& logits, const Array& labels,
                   std::int64_t valid) {
  LossResult result{0.0, Array(logits.shape)};
  const std::int64_t classes = logits.shape[1], points = points_of(logits.shape);
  const double share = 1.0 / static_cast<double>(points * global_batch);
  for (std::int64_t n = 0; n < valid; ++n) {
    for (std::int64_t point = 0; point < points; ++point) {
      const auto label = static_cast<std::size_t>(labels[n * points + point]);
      const double weight = share * (criterion.weights.empty() ? 1.0F : criterion.weights[label]);
      const std::vector<double> p = softmax(logits, n, point);
      for (std::size_t k = 0; k < p.size(); ++k) {
        const double q = k == label ? 1.0 - static_cast<double>(classes - 1) * criterion.others : criterion.others;
        if (q > 0.0) result.value -= weight * q * std::log(p[k]);
        result.diff[(n * classes + static_cast<std::int64_t>(k)) * points + point] = weight * (p[k] - q);
      }
    }
  }
  return result;
}
LossResult loss_of(const SquaredError&, std::int64_t global_batch, const Array& prediction, const Array& target,
                   std::int64_t valid) {
  LossResult result{0.0, Array(prediction.shape)};
  const std::int64_t outputs = prediction.shape[1];
  const auto share = 1.0 / static_cast<double>(outputs * global_batch);
  for (std::int64_t i = 0; i < valid * outputs; ++i) {
    const double error = prediction[i] - target[i];
    result.value += error * error * share;
    result.diff[i] = 2.0 * error * share;
  }
  return result;
}

/// The first of a position's largest logits.
std::int64_t chosen(const Array& logits, std::int64_t n, std::int64_t point) {
  const std::int64_t classes = logits.shape[1], points = points_of(logits.shape);
  std::int64_t best = 0;
  for (std::int64_t other = 1; other < classes; ++other)
    if (logits[(n * classes + other) * points + point] > logits[(n * classes + best) * points + point]) best = other;
  return best;
}

/// Of one sample.
double top1(const Array& logits, const Array& labels, std::int64_t n) {
  const std::int64_t points = points_of(logits.shape);
  std::int64_t right = 0;
  for (std::int64_t point = 0; point < points; ++point)
    right += static_cast<double>(chosen(logits, n, point)) == labels[n * points + point] ? 1 : 0;
  return static_cast<double>(right) / static_cast<double>(points);
}

/// Of one sample, by the sets of positions.
double mean_iou(const Array& logits, const Array& labels, std::int64_t n) {
  const std::int64_t classes = logits.shape[1], points = points_of(logits.shape);
  double sum = 0.0;
  for (std::int64_t k = 0; k < classes; ++k) {
    std::int64_t both = 0, either = 0;
    for (std::int64_t point = 0; point < points; ++point) {
      const bool predicted = chosen(logits, n, point) == k,
                 labelled = labels[n * points + point] == static_cast<double>(k);
      both += predicted && labelled ? 1 : 0;
      either += predicted || labelled ? 1 : 0;
    }
    sum += either == 0 ? 1.0 : static_cast<double>(both) / static_cast<double>(either);
  }
  return sum / static_cast<double>(classes);
}

}  // namespace

LossResult loss(const Loss& loss, const Array& prediction, const Array& target, std::int64_t valid) {
  return std::visit(
      [&](const auto& criterion) { return loss_of(criterion, loss.global_batch, prediction, target, valid); },
      loss.criterion);
}

std::array<double, 3> metric(const Metric& metric, const Array& prediction, const Array& target, std::int64_t valid) {
  std::array<double, 3> sums{};
  if (metric.judge != Judge::absolute_error) {
    for (std::int64_t n = 0; n < valid; ++n)
      sums[0] += metric.judge == Judge::top1 ? top1(prediction, target, n) : mean_iou(prediction, target, n);
    sums[1] = loss({.global_batch = 1, .criterion = metric.criterion}, prediction, target, valid).value;
    sums[2] = static_cast<double>(valid);
    return sums;
  }
  for (std::int64_t i = 0; i < valid * prediction.shape[1]; ++i) {
    const double error = prediction[i] - target[i];
    sums[0] += std::fabs(error);
    sums[1] += error * error;
    sums[2] += 1.0;
  }
  return sums;
}

void update(const SgdMomentum& rule, double rate, double decay, const Array& gradients, Array& velocity,
            Array& weights) {
  for (std::int64_t i = 0; i < weights.shape.elements(); ++i) {
    velocity[i] = rule.momentum * velocity[i] - rate * (gradients[i] + decay * weights[i]);
    weights[i] += velocity[i];
  }
}

namespace {

template <class AdamLike>
double step_of(const AdamLike& rule, std::int64_t count, double gradient, double& first, double& second) {
  const double beta1 = rule.beta1, beta2 = rule.beta2;
  first = beta1 * first + (1.0 - beta1) * gradient;
  second = beta2 * second + (1.0 - beta2) * gradient * gradient;
  const double updates = static_cast<double>(count);
  const double unbiased = second / (1.0 - std::pow(beta2, updates));
  return first / (1.0 - std::pow(beta1, updates)) / (std::sqrt(unbiased) + rule.epsilon);
}

}  // namespace

void update(const Adam& rule, std::int64_t count, double rate, double decay, const Array& gradients, Array& first,
            Array& second, Array& weights) {
  for (std::int64_t i = 0; i < weights.shape.elements(); ++i) {
    const double gradient = rule.decoupled ? gradients[i] : gradients[i] + decay * weights[i];
    const double step = step_of(rule, count, gradient, first[i], second[i]);
    weights[i] -= rate * (step + (rule.decoupled ? decay * weights[i] : 0.0));
  }
}

void update(const Lamb& rule, std::int64_t count, double norm, double rate, double decay, const Array& gradients,
            Array& first, Array& second, Array& weights) {
  const double clipped = norm > rule.largest_norm ? rule.largest_norm / norm : 1.0;
  Array steps(weights.shape);
  double squared_steps = 0.0, squared_weights = 0.0;
  for (std::int64_t i = 0; i < weights.shape.elements(); ++i) {
    steps[i] = step_of(rule, count, clipped * gradients[i], first[i], second[i]) + decay * weights[i];
    squared_steps += steps[i] * steps[i];
    squared_weights += weights[i] * weights[i];
  }
  const bool scales = decay != 0.0 && squared_steps > 0.0 && squared_weights > 0.0;
  const double ratio = scales ? std::sqrt(squared_weights / squared_steps) : 1.0;
  for (std::int64_t i = 0; i < weights.shape.elements(); ++i)
    weights[i] -= rate * ratio * steps[i];
}

void update(const Lars& rule, double momentum, double rate, const Treatment& treatment, const Array& gradients,
            Array& velocity, Array& weights) {
  double squared_weights = 0.0, squared_gradients = 0.0;
  for (std::int64_t i = 0; i < weights.shape.elements(); ++i) {
    squared_weights += weights[i] * weights[i];
    squared_gradients += gradients[i] * gradients[i];
  }
  const bool premultiplied = rule.form == LarsForm::premultiplied;
  double trust = 1.0;
  if (treatment.trusted && squared_weights > 0.0 && (premultiplied || squared_gradients > 0.0)) {
    const double decay = treatment.decay * (premultiplied ? static_cast<double>(rule.peak_rate) : 1.0);
    const double norm = std::sqrt(squared_weights);
    trust = rule.eta * norm / (std::sqrt(squared_gradients) + decay * norm + rule.epsilon);
  }
  for (std::int64_t i = 0; i < weights.shape.elements(); ++i) {
    velocity[i] = momentum * velocity[i] - trust * rate * (gradients[i] + treatment.decay * weights[i]);
    weights[i] += velocity[i];
  }
}

}  // namespace trainmark::reference

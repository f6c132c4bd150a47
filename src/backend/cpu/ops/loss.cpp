// Losses and metrics: a handful of numbers a sample, summed in fp64. Padding beyond the valid count adds nothing.
#include <cmath>

#include "backend/cpu/plans.hpp"

namespace trainmark::cpu {

Planned plan_op(const Loss& loss, const Operands& operands) {
  const std::int64_t samples = operands.inputs[0].shape[0];
  const std::int64_t outputs = operands.inputs[0].shape.elements() / samples;
  const double scale = 1.0 / static_cast<double>(outputs * loss.global_batch);
  const bool scaled = operands.inputs.size() > 3;
  auto body = [=](std::span<void* const> args) {
    const auto* prediction = static_cast<const float*>(args[0]);
    const auto* target = static_cast<const float*>(args[1]);
    const std::int64_t valid = static_cast<const StepState*>(args[2])->valid * outputs;
    const float loss_scale = scaled ? static_cast<const LossScale*>(args[3])->scale : 1.0F;
    auto* value = static_cast<float*>(args[scaled ? 4 : 3]);
    auto* diff = static_cast<float*>(args[scaled ? 5 : 4]);
    double sum = 0.0;
    for (std::int64_t i = 0; i < samples * outputs; ++i) {
      const double error = i < valid ? static_cast<double>(prediction[i]) - target[i] : 0.0;
      sum += error * error;
      diff[i] = loss_scale * static_cast<float>(2.0 * scale * error);
    }
    *value = static_cast<float>(scale * sum);
  };
  return planned(body, operands.outputs);
}

Planned plan_op(const Metric&, const Operands& operands) {
  const std::int64_t samples = operands.inputs[0].shape[0];
  const std::int64_t outputs = operands.inputs[0].shape.elements() / samples;
  auto body = [=](std::span<void* const> args) {
    const auto* prediction = static_cast<const float*>(args[0]);
    const auto* target = static_cast<const float*>(args[1]);
    const std::int64_t valid = static_cast<const StepState*>(args[2])->valid * outputs;
    auto* sums = static_cast<double*>(args[3]);
    for (std::int64_t i = 0; i < valid; ++i) {
      const double error = static_cast<double>(prediction[i]) - target[i];
      sums[0] += std::fabs(error);
      sums[1] += error * error;
    }
    sums[2] += static_cast<double>(valid);
  };
  return planned(body, operands.outputs);
}

}  // namespace trainmark::cpu

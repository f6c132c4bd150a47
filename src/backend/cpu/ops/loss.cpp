// Losses and metrics, summed in fp64. Padding beyond the valid count adds nothing.
#include <cmath>
#include <cstring>

#include "backend/chunks.hpp"
#include "backend/cpu/element.hpp"
#include "backend/cpu/parallel.hpp"
#include "backend/cpu/plans.hpp"
#include "backend/math.hpp"

namespace trainmark::cpu {
namespace {

constexpr std::int64_t chunk_positions = 1 << 12;  // positions that are summed together

/// Samples of positions with a logit for each class, channels-last.
struct Labelled {
  std::int64_t samples = 0, positions = 0;
  int classes = 0;
  DType type = DType::f32;
  DType label_type = DType::u8;
  std::vector<float> weights;
  double others = 0.0;               // what a class has that is not the label
  std::vector<SegmentChunk> chunks;  // of one sample

  Labelled(const CrossEntropy& criterion, const TensorDesc& logits, const TensorDesc& labels)
      : samples(logits.shape[0]),
        positions(logits.shape.elements() / (logits.shape[0] * logits.shape[1])),
        classes(static_cast<int>(logits.shape[1])),
        type(logits.dtype),
        label_type(labels.dtype),
        weights(criterion.weights),
        others(criterion.others),
        chunks(chunks_of(positions, chunk_positions)) {}
  [[nodiscard]] float logit(const void* from, std::int64_t row, int of) const {
    return read(from, row * classes + of, type);
  }
  [[nodiscard]] int label(const void* from, std::int64_t row) const {
    return label_type == DType::u8 ? static_cast<const std::uint8_t*>(from)[row]
                                   : static_cast<const std::int32_t*>(from)[row];
  }
  [[nodiscard]] float weight(int label) const {
    return weights.empty() ? 1.0F : weights[static_cast<std::size_t>(label)];
  }
  /// What a smoothed label leaves to itself.
  [[nodiscard]] double own() const { return 1.0 - (classes - 1) * others; }
  /// The largest logit, the first of equals.
  [[nodiscard]] int chosen(const void* logits, std::int64_t row) const {
    int best = 0;
    for (int of = 1; of < classes; ++of)
      if (logit(logits, row, of) > logit(logits, row, best)) best = of;
    return best;
  }
  /// log(sum of exp(logit - largest)) and the largest.
  [[nodiscard]] std::pair<float, float> normaliser(const void* logits, std::int64_t row) const {
    const float largest = logit(logits, row, chosen(logits, row));
    float sum = 0.0F;
    for (int of = 0; of < classes; ++of)
      sum += std::exp(logit(logits, row, of) - largest);
    return {std::log(sum), largest};
  }
};

struct Gradient {
  void* to = nullptr;
  float scale = 0.0F;  // of the derivative, loss scale included
};

/// -weight sum of q log p over the positions of one chunk, and its derivative.
double entropy(const Labelled& data, const void* logits, const void* labels, Range rows, const Gradient& diff) {
  double sum = 0.0;
  const auto other_share = static_cast<float>(data.others), own_share = static_cast<float>(data.own());
  for (std::int64_t row = rows.begin; row < rows.end; ++row) {
    const int label = data.label(labels, row);
    const auto [log_sum, largest] = data.normaliser(logits, row);
    const float weight = data.weight(label);
    double expected = data.logit(logits, row, label) - largest;  // of the logits about the largest
    if (data.others > 0.0) {
      expected *= data.own() - data.others;
      for (int of = 0; of < data.classes; ++of)
        expected += data.others * static_cast<double>(data.logit(logits, row, of) - largest);
    }
    sum += static_cast<double>(weight) * (static_cast<double>(log_sum) - expected);
    if (diff.to == nullptr) continue;
    for (int of = 0; of < data.classes; ++of) {
      const float p = std::exp(data.logit(logits, row, of) - largest - log_sum);
      const float value = diff.scale * weight * (p - (of == label ? own_share : other_share));
      write(diff.to, row * data.classes + of, data.type, value);
    }
  }
  return sum;
}

/// Sum over one sample's positions, in one order whatever the threads. `partial`: one for each chunk.
double entropy_of_sample(const Labelled& data, const void* logits, const void* labels, std::int64_t sample,
                         const Gradient& diff, double* partial) {
  parallel_for(static_cast<std::int64_t>(data.chunks.size()), 1, [&](Range range, int) {
    for (std::int64_t at = range.begin; at < range.end; ++at) {
      const Range local = data.chunks[static_cast<std::size_t>(at)].range;
      const std::int64_t first = sample * data.positions;
      partial[at] = entropy(data, logits, labels, {first + local.begin, first + local.end}, diff);
    }
  });
  double sum = 0.0;
  for (std::size_t at = 0; at < data.chunks.size(); ++at)
    sum += partial[at];
  return sum;
}

Planned plan_criterion(const CrossEntropy& criterion, const Loss& loss, const Operands& operands) {
  Labelled data(criterion, operands.inputs[0], operands.inputs[1]);
  const bool scaled = operands.inputs.size() > 3;
  const double scale = 1.0 / static_cast<double>(data.positions * loss.global_batch);
  const std::size_t bytes_of_sample =
      static_cast<std::size_t>(data.positions * data.classes) * size_of(operands.inputs[0].dtype);
  const std::size_t scratch = data.chunks.size() * sizeof(double);
  auto body = [=, data = std::move(data)](std::span<void* const> args) {
    const std::int64_t valid = static_cast<const StepState*>(args[2])->valid;
    const float loss_scale = scaled ? static_cast<const LossScale*>(args[3])->scale : 1.0F;
    const std::span<void* const> results = args.subspan(scaled ? 4 : 3);
    const Gradient diff{results[1], loss_scale * static_cast<float>(scale)};
    double sum = 0.0;
    for (std::int64_t sample = 0; sample < data.samples; ++sample) {
      if (sample < valid) {
        sum += entropy_of_sample(data, args[0], args[1], sample, diff, static_cast<double*>(results[2]));
      } else {
        std::memset(static_cast<std::byte*>(diff.to) + static_cast<std::size_t>(sample) * bytes_of_sample, 0,
                    bytes_of_sample);
      }
    }
    *static_cast<float*>(results[0]) = static_cast<float>(scale * sum);
  };
  return planned(
      std::move(body),
      {operands.outputs[0], {operands.outputs[1].shape, operands.inputs[0].dtype, operands.inputs[0].layout}}, {},
      scratch);
}

Planned plan_criterion(const SquaredError&, const Loss& loss, const Operands& operands) {
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

Planned plan_metric(const SquaredError&, Judge, const Operands& operands) {
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

/// Mean over classes of intersection over union in one sample; a class that is neither there nor predicted counts as 1.
double mean_iou(const Labelled& data, const void* logits, const void* labels, std::int64_t sample,
                std::span<std::int64_t> counts) {
  const auto classes = static_cast<std::size_t>(data.classes);
  std::ranges::fill(counts, 0);
  for (std::int64_t row = sample * data.positions; row < (sample + 1) * data.positions; ++row) {
    const auto predicted = static_cast<std::size_t>(data.chosen(logits, row));
    const auto label = static_cast<std::size_t>(data.label(labels, row));
    if (predicted == label) {
      ++counts[label];  // in both
      ++counts[classes + label];
    } else {
      ++counts[classes + label];  // in one of them
      ++counts[classes + predicted];
    }
  }
  return mean_iou_of(counts.first(classes), counts.subspan(classes, classes));
}

/// Share of one sample's positions that are given their label.
double top1(const Labelled& data, const void* logits, const void* labels, std::int64_t sample) {
  std::int64_t right = 0;
  for (std::int64_t row = sample * data.positions; row < (sample + 1) * data.positions; ++row)
    right += data.chosen(logits, row) == data.label(labels, row) ? 1 : 0;
  return static_cast<double>(right) / static_cast<double>(data.positions);
}

Planned plan_metric(const CrossEntropy& criterion, Judge judge, const Operands& operands) {
  Labelled data(criterion, operands.inputs[0], operands.inputs[1]);
  const std::size_t counts_bytes = 2 * static_cast<std::size_t>(data.classes) * sizeof(std::int64_t);
  const std::size_t scratch = counts_bytes + data.chunks.size() * sizeof(double);
  auto body = [=, data = std::move(data)](std::span<void* const> args) {
    const void* labels = args[1];
    const std::int64_t valid = static_cast<const StepState*>(args[2])->valid;
    auto* sums = static_cast<double*>(args[3]);
    const std::span<std::int64_t> counts(static_cast<std::int64_t*>(args[4]),
                                         2 * static_cast<std::size_t>(data.classes));
    auto* partial = reinterpret_cast<double*>(static_cast<std::byte*>(args[4]) + counts_bytes);
    for (std::int64_t sample = 0; sample < valid; ++sample) {
      sums[0] +=
          judge == Judge::top1 ? top1(data, args[0], labels, sample) : mean_iou(data, args[0], labels, sample, counts);
      sums[1] += entropy_of_sample(data, args[0], labels, sample, {}, partial) / static_cast<double>(data.positions);
    }
    sums[2] += static_cast<double>(valid);
  };
  return planned(std::move(body), operands.outputs, {}, scratch);
}

}  // namespace

Planned plan_op(const Loss& loss, const Operands& operands) {
  return std::visit([&](const auto& criterion) { return plan_criterion(criterion, loss, operands); }, loss.criterion);
}

Planned plan_op(const Metric& metric, const Operands& operands) {
  return std::visit([&](const auto& criterion) { return plan_metric(criterion, metric.judge, operands); },
                    metric.criterion);
}

}  // namespace trainmark::cpu

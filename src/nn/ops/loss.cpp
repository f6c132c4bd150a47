// The loss, with which a backward pass begins, and the metric.
#include "nn/visitors.hpp"

#include <fmt/format.h>

namespace trainmark::nn {

void Infer::compared(const Criterion& criterion) const {
  const Tensor& prediction = inputs_.at(0);
  const Tensor& target = inputs_.at(1);
  const auto* classes = std::get_if<CrossEntropy>(&criterion);
  if (classes == nullptr) {
    require(prediction.shape.rank() == 2 && prediction.shape == target.shape && prediction.dtype == DType::f32 &&
                target.dtype == DType::f32,
            "compares a prediction with a target of another shape or type", "give both as N,K in fp32");
    return;
  }
  std::vector<std::int64_t> positions = prediction.shape.extents();
  require(positions.size() >= 2 &&
              (classes->weights.empty() || positions[1] == static_cast<std::int64_t>(classes->weights.size())),
          fmt::format("has weights for {} classes", classes->weights.size()), "give one logit and one weight a class");
  require(classes->others >= 0.0 && classes->others * static_cast<double>(positions[1]) <= 1.0,
          fmt::format("gives {} to each class that is not the label", classes->others), "leave the label the most");
  positions.erase(positions.begin() + 1);
  require(target.shape == Shape(positions) && (target.dtype == DType::u8 || target.dtype == DType::i32),
          "compares logits with labels of another shape or type", "give logits N,K,... and labels N,... in u8 or i32");
}

Tensors Infer::operator()(const Loss& loss) const {
  arity(inputs_.size() > 3 ? 4 : 3);
  compared(loss.criterion);
  if (inputs_.size() > 3) scaler(3);
  require(loss.global_batch >= inputs_[0].shape[0],
          fmt::format("has a global batch of {} for a local batch of {}", loss.global_batch, inputs_[0].shape[0]),
          "make the global batch the sum of all local batches");
  return {gradient({1}), activation(inputs_[0].shape, inputs_[0].dtype)};
}
Cost CostOf::operator()(const Loss&) const { return elementwise(4 * input(0).elements()); }
void Differentiate::operator()(const Loss&) {
  TRAINMARK_CHECK(tensor(node_.outputs[0]).offset == graph_.parameter_elements(),
                  "a parameter was made after the loss");
  TRAINMARK_CHECK(diff_[index(node_.inputs[0])] == none, "a graph has one loss, and it comes last");
  ++made_[index(node_.inputs[0])];  // by the loss itself
  contribute(node_.inputs[0], node_.outputs[1]);
}

Tensors Infer::operator()(const Metric& metric) const {
  arity(3);
  compared(metric.criterion);
  const bool labels = std::holds_alternative<CrossEntropy>(metric.criterion);
  TRAINMARK_CHECK(labels == (metric.judge != Judge::absolute_error), "a judge of labels wants a criterion of labels");
  return {{"", Shape{3}, DType::f64, Role::metric, 0}};
}
Cost CostOf::operator()(const Metric&) const { return elementwise(4 * input(0).elements()); }
void Differentiate::operator()(const Metric&) { not_forward(); }

}  // namespace trainmark::nn

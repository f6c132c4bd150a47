// The loss, with which a backward pass begins, and the metric.
#include "nn/visitors.hpp"

#include <fmt/format.h>

namespace trainmark::nn {

Tensors Infer::operator()(const Loss& loss) const {
  compared(inputs_.size() > 3 ? 4 : 3);
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

Tensors Infer::operator()(const Metric&) const {
  compared(3);
  return {{"", Shape{3}, DType::f64, Role::metric, 0}};
}
Cost CostOf::operator()(const Metric&) const { return elementwise(4 * input(0).elements()); }
void Differentiate::operator()(const Metric&) { not_forward(); }

}  // namespace trainmark::nn

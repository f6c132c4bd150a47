// Graphs as data: finding tensors, counting elements, and the builder that makes a forward pass node by node.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "trainmark/nn.hpp"

namespace trainmark {
std::string_view name_of(const Op& op) {
  return std::visit([](const auto& each) { return std::remove_cvref_t<decltype(each)>::name; }, op);
}

TensorId Graph::add(Tensor tensor) {
  tensors.push_back(std::move(tensor));
  return static_cast<TensorId>(tensors.size()) - 1;
}

TensorId Graph::find(std::string_view name) const {
  const auto found = std::ranges::find(tensors, name, &Tensor::name);
  TRAINMARK_CHECK(found != tensors.end(), fmt::format("no tensor is named {}", name));
  return static_cast<TensorId>(found - tensors.begin());
}

std::int64_t Graph::parameter_elements() const {
  std::int64_t total = 0;
  for (const Tensor& tensor : tensors)
    if (tensor.role == Role::parameter) total += tensor.shape.elements();
  return total;
}

std::int64_t Graph::gradient_elements() const { return parameter_elements() + 1; }

TensorId GraphBuilder::input(std::string name, Shape shape, DType dtype) {
  return graph_.add({std::move(name), std::move(shape), dtype, Role::input, 0});
}

TensorId GraphBuilder::parameter(std::string name, Shape shape) {
  const std::int64_t offset = graph_.parameter_elements();
  return graph_.add({std::move(name), std::move(shape), DType::f32, Role::parameter, offset});
}

TensorId GraphBuilder::loss_scale() {
  return graph_.add({"loss_scale", Shape{loss_scale_extent}, DType::u8, Role::scaler, 0});
}

TensorId GraphBuilder::apply(const std::string& name, const Op& op, std::vector<TensorId> inputs,
                             std::optional<DType> result) {
  std::vector<Tensor> operands;
  for (const TensorId id : inputs)
    operands.push_back(tensor(id));
  std::vector<Tensor> made = infer(op, operands, name);
  if (std::holds_alternative<Preprocess>(op)) made.front().dtype = compute_;
  if (result) made.front().dtype = *result;
  if (std::holds_alternative<Loss>(op)) {
    made[0].name = name + ".value";
    made[0].offset = graph_.parameter_elements();  // the last element of the gradient arena
    made[1].name = "diff:" + operands[0].name;
  } else if (std::holds_alternative<Metric>(op)) {
    made[0].name = name + ".sums";
  } else {
    made[0].name = name + ".dst";
  }
  std::vector<TensorId> outputs;
  for (Tensor& output : made)
    outputs.push_back(graph_.add(std::move(output)));
  const TensorId first = outputs.front();
  graph_.nodes.push_back({name, op, std::move(inputs), std::move(outputs), Lane::compute});
  return first;
}

TensorId GraphBuilder::conv(const std::string& name, TensorId src, int channels, const Conv& attributes, bool bias) {
  std::vector<std::int64_t> extents = {channels, tensor(src).shape[1] / attributes.groups};
  extents.insert(extents.end(), attributes.kernel.begin(), attributes.kernel.end());
  std::vector<TensorId> inputs = {src, parameter(name + ".weights", Shape(std::move(extents)))};
  if (bias) inputs.push_back(parameter(name + ".bias", Shape{channels}));
  return apply(name, attributes, std::move(inputs));
}

TensorId GraphBuilder::conv_transposed(const std::string& name, TensorId src, int channels, const Conv& attributes,
                                       std::vector<std::int64_t> extents) {
  std::vector<std::int64_t> weights = {tensor(src).shape[1], channels / attributes.groups};
  weights.insert(weights.end(), attributes.kernel.begin(), attributes.kernel.end());
  const TensorId parameters = parameter(name + ".weights", Shape(std::move(weights)));
  return apply(name, ConvBackwardData{attributes, std::move(extents)}, {src, parameters});
}

TensorId GraphBuilder::dense(const std::string& name, TensorId src, int units, std::optional<DType> result) {
  const Shape& shape = tensor(src).shape;
  const TensorId weights = parameter(name + ".weights", Shape{units, shape.elements() / shape[0]});
  const TensorId bias = parameter(name + ".bias", Shape{units});
  return apply(name, Dense{}, {src, weights, bias}, result);
}

}  // namespace trainmark

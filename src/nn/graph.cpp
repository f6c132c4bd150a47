// Graphs as data: finding tensors, counting elements, and the builder that makes a forward pass node by node.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
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

namespace {

std::int64_t elements_of(const Graph& graph, Role role) {
  std::int64_t total = 0;
  for (const Tensor& tensor : graph.tensors)
    if (tensor.role == role) total += tensor.shape.elements();
  return total;
}

}  // namespace

std::int64_t Graph::parameter_elements() const { return elements_of(*this, Role::parameter); }
std::int64_t Graph::statistic_elements() const { return elements_of(*this, Role::statistic); }
std::int64_t Graph::gradient_elements() const { return parameter_elements() + 1; }

std::int64_t fan_in_of(const Shape& weights) { return weights.elements() / weights[0]; }

Initial glorot_uniform(const Shape& weights) {
  const auto taps = static_cast<double>(weights.elements() / (weights[0] * weights[1]));
  const double fan_in = taps * static_cast<double>(weights[1]);
  const double fan_out = taps * static_cast<double>(weights[0]);
  return {Initial::Law::uniform, static_cast<float>(std::sqrt(6.0 / (fan_in + fan_out)))};
}

Initial he_normal(const Shape& weights) {
  return {Initial::Law::normal, static_cast<float>(std::sqrt(2.0 / static_cast<double>(fan_in_of(weights))))};
}

Initial torch_uniform(const Shape& weights) {
  return {Initial::Law::uniform, static_cast<float>(1.0 / std::sqrt(static_cast<double>(fan_in_of(weights))))};
}

TensorId GraphBuilder::input(std::string name, Shape shape, DType dtype) {
  return graph_.add({std::move(name), std::move(shape), dtype, Role::input});
}

TensorId GraphBuilder::parameter(std::string name, Shape shape, Initial initial) {
  const std::int64_t offset = graph_.parameter_elements();
  return graph_.add({std::move(name), std::move(shape), DType::f32, Role::parameter, offset, initial});
}

TensorId GraphBuilder::loss_scale() {
  return graph_.add({"loss_scale", Shape{loss_scale_extent}, DType::u8, Role::scaler});
}

TensorId GraphBuilder::apply(const std::string& name, const Op& op, std::vector<TensorId> inputs,
                             std::optional<DType> result) {
  std::vector<Tensor> operands;
  for (const TensorId id : inputs)
    operands.push_back(tensor(id));
  std::vector<Tensor> made = infer(op, operands, name);
  if (std::holds_alternative<Preprocess>(op) || std::holds_alternative<Normalise>(op)) made.front().dtype = compute_;
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

TensorId GraphBuilder::conv(const std::string& name, TensorId src, int channels, const Conv& attributes,
                            const Parameters& parameters) {
  std::vector<std::int64_t> extents = {channels, tensor(src).shape[1] / attributes.groups};
  extents.insert(extents.end(), attributes.kernel.begin(), attributes.kernel.end());
  const Shape weights(std::move(extents));
  std::vector<TensorId> inputs = {src, parameter(name + ".weights", weights, parameters.weights(weights))};
  if (parameters.with_bias) inputs.push_back(parameter(name + ".bias", Shape{channels}, parameters.bias));
  return apply(name, attributes, std::move(inputs));
}

TensorId GraphBuilder::conv_transposed(const std::string& name, TensorId src, int channels, const Conv& attributes,
                                       std::vector<std::int64_t> extents, Initial (*law)(const Shape&)) {
  std::vector<std::int64_t> lengths = {tensor(src).shape[1], channels / attributes.groups};
  lengths.insert(lengths.end(), attributes.kernel.begin(), attributes.kernel.end());
  const Shape weights(std::move(lengths));
  const TensorId parameters = parameter(name + ".weights", weights, law(weights));
  return apply(name, ConvBackwardData{attributes, std::move(extents)}, {src, parameters});
}

TensorId GraphBuilder::dense(const std::string& name, TensorId src, int units, std::optional<DType> result,
                             Initial (*law)(const Shape&)) {
  const Shape& shape = tensor(src).shape;
  const Shape matrix{units, shape.elements() / shape[0]};
  const TensorId weights = parameter(name + ".weights", matrix, law(matrix));
  const TensorId bias = parameter(name + ".bias", Shape{units});
  return apply(name, Dense{}, {src, weights, bias}, result);
}

TensorId GraphBuilder::norm(const std::string& name, TensorId src, const Norm& attributes, bool training) {
  const Shape channels{tensor(src).shape[1]};
  constexpr Initial one{Initial::Law::constant, 1.0F};
  const TensorId gamma = parameter(name + ".gamma", channels, one);
  const TensorId beta = parameter(name + ".beta", channels);
  const auto statistic = [&](const char* which, Initial initial) {
    const std::int64_t offset = graph_.statistic_elements();
    return graph_.add(
        {fmt::format("{}.running_{}", name, which), channels, DType::f32, Role::statistic, offset, initial});
  };
  const TensorId mean = statistic("mean", {});
  const TensorId variance = statistic("variance", one);
  if (!training) return apply(name, NormInference{attributes}, {src, gamma, beta, mean, variance});
  const TensorId moments = apply(name + ".moments", NormMoments{}, {src});
  return apply(name, NormApply{attributes}, {src, moments, gamma, beta, mean, variance});
}

}  // namespace trainmark

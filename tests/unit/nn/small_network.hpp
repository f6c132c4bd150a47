// A network with one node of each differentiable kind, for tests of rewrites.
#pragma once

#include "trainmark/nn.hpp"

namespace trainmark::testing {

/// `scaled` gives the loss a loss scale.
inline Graph small_network(DType compute = DType::f32, bool scaled = false) {
  GraphBuilder builder(compute);
  const TensorId raw = builder.input("x", {2, 4, 4, 4, 4}, DType::i16);
  const TensorId target = builder.input("y", {2, 3}, DType::f32);
  const TensorId step_state = builder.input("step_state", {step_state_extent(2)}, DType::u8);
  TensorId src = builder.apply("preprocess", Preprocess{}, {raw});
  src = builder.conv("conv1", src, 5, {{3, 3, 3}, {1, 1, 1}, {1, 1, 1}, {1, 1, 1}});
  src = builder.apply("conv1.leaky", Activation{}, {src});
  src = builder.apply("conv1.pool", Pool{{2, 2, 2}, {2, 2, 2}}, {src});
  src = builder.conv("conv2", src, 6, {{2, 2, 2}, {1, 1, 1}, {0, 0, 0}, {1, 1, 1}});
  src = builder.dense("dense1", src, 7);
  src = builder.apply("dense1.dropout", Dropout{.rate = 0.5F, .seed = 1, .layer = 0}, {src, step_state});
  src = builder.dense("dense2", src, 3, DType::f32);
  src = builder.apply("tanh", Activation{.curve = Curve::tanh, .slope = 0.0F, .scale = 1.2F}, {src});
  std::vector<TensorId> compared = {src, target, step_state};
  if (scaled) compared.push_back(builder.loss_scale());
  builder.apply("loss", Loss{.global_batch = 2}, compared);
  return builder.take();
}

inline const Tensor& tensor_of(const Graph& graph, std::string_view name) {
  return graph.tensors[static_cast<std::size_t>(graph.find(name))];
}

}  // namespace trainmark::testing

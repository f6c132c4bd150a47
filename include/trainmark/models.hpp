// What a benchmark trains: graph, loss, metric, data schema and the rules of its closed division. Pure functions.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "trainmark/nn.hpp"

namespace trainmark {

/// CosmoFlow (MLPerf HPC 1.0 to 3.0; kernel 2 is the network of 0.7).
struct CosmoflowOptions {
  int extent = 128;      ///< voxels along each axis of a sample; divisible by 32
  double width = 1.0;    ///< factor on the channels 32, 64, 128, 256, 512
  int kernel = 3;        ///< 3, or 2 with TensorFlow's asymmetric 'same' padding
  double dropout = 0.0;  ///< after the two hidden dense layers
  /// On the kernels of the first two dense layers, Keras meaning: the gradient is that of the loss plus l2 * sum(w^2).
  /// The loss that is reported is without this term, which Keras' contains.
  double l2 = 0.0;
  bool log_transform = true;
  bool operator==(const CosmoflowOptions&) const = default;
};

struct GraphOptions {
  std::int64_t local_batch = 1;
  std::int64_t global_batch = 1;
  DType compute = DType::f32;
  std::uint64_t seed = 0;   ///< of dropout
  bool scale_loss = false;  ///< keep a dynamic loss scale; f16 always does
};

/// x: i16 [D,H,W,4], counts from 0 on (not all 0 without log_transform); y: f32 [4] within 1.2 of 0.
[[nodiscard]] DataSchema data_schema(const CosmoflowOptions& model);
[[nodiscard]] Graph training_graph(const CosmoflowOptions& model,
                                   const GraphOptions& options);  ///< forward, ends in Loss
[[nodiscard]] Graph evaluation_graph(const CosmoflowOptions& model, const GraphOptions& options);  ///< ends in Metric
[[nodiscard]] DecayRule decay_rule(const CosmoflowOptions& model);

/// One way in which a run differs from the reference, with what the closed division asks for.
struct RuleBreach {
  std::string subject;  ///< e.g. "/model/extent"
  std::string found;
  std::string required;
};
struct DatasetFacts {
  std::int64_t train_samples = 0;
  std::int64_t validation_samples = 0;
  bool generated = false;
};
[[nodiscard]] std::vector<RuleBreach> closed_breaches(const CosmoflowOptions& model, const DatasetFacts& data);

/// The quality target of a benchmark.
struct Target {
  std::string key;  ///< "eval_error"
  double value = 0.124;
  bool lower_is_better = true;
};
[[nodiscard]] Target target_of(const CosmoflowOptions& model);

}  // namespace trainmark

// Every distinct cuDNN graph that the workloads want, found by planning their steps with a compiler that only listens.
#pragma once

#include <vector>

#include "backend/cuda/cudnn/graphs.hpp"

namespace trainmark::cuda {

struct Precision {
  const char* name;
  DType compute;
  Math math;
};
inline constexpr Precision precisions[] = {{"f32", DType::f32, Math::full},
                                           {"tf32", DType::f32, Math::tf32},
                                           {"bf16", DType::bf16, Math::full},
                                           {"f16", DType::f16, Math::full}};

/// In the order of first use: training and evaluation of each workload's full and tiny networks, fused, and of the tiny
/// ones also unfused, which is what --check runs.
[[nodiscard]] std::vector<GraphSpec> distinct_graphs(const Precision& precision);

}  // namespace trainmark::cuda

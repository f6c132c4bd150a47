// Which graphs are not left to which versions of cuDNN.
#include "backend/cuda/cudnn/known_faults.hpp"

#include <gtest/gtest.h>

namespace trainmark::cuda {
namespace {

ConvGraph conv(std::vector<int> kernel, DType io, Math math = Math::full) {
  ConvGraph graph;
  graph.conv.kernel = std::move(kernel);
  graph.io = io;
  graph.math = math;
  return graph;
}
bool is_wrong(std::size_t version, const GraphSpec& spec) { return !known_fault(version, spec).empty(); }

TEST(KnownFaults, OfVolumesIn16BitsAreThoseOf9_8To9_14) {
  for (const DType type : {DType::bf16, DType::f16}) {
    const ConvGraph volume = conv({3, 3, 3}, type);
    for (const std::size_t version : {90800U, 90801U, 91002U, 91400U, 91499U})
      EXPECT_TRUE(is_wrong(version, volume)) << version;
    for (const std::size_t version : {90701U, 91500U, 91900U, 8902U})
      EXPECT_FALSE(is_wrong(version, volume)) << version;
  }
}

TEST(KnownFaults, OfVolumesInTf32AreThoseOf9_10_2To9_15) {
  const ConvGraph volume = conv({2, 2, 2}, DType::f32, Math::tf32);
  for (const std::size_t version : {91002U, 91400U, 91500U, 91501U})
    EXPECT_TRUE(is_wrong(version, volume)) << version;
  for (const std::size_t version : {90800U, 91001U, 91600U, 91900U})
    EXPECT_FALSE(is_wrong(version, volume)) << version;
}

TEST(KnownFaults, LeaveImagesSinglePointsFullPrecisionAndProductsAlone) {
  constexpr std::size_t version = 91200;
  EXPECT_FALSE(is_wrong(version, conv({3, 3}, DType::bf16)));
  EXPECT_FALSE(is_wrong(version, conv({1, 1, 1}, DType::bf16)));
  EXPECT_TRUE(is_wrong(version, conv({1, 1, 3}, DType::bf16)));
  EXPECT_FALSE(is_wrong(version, conv({3, 3, 3}, DType::f32)));
  EXPECT_FALSE(is_wrong(version, MatmulGraph{.m = 4, .n = 128, .k = 64, .io = DType::bf16}));
}

TEST(KnownFaults, HoldForEveryPass) {
  ConvGraph graph = conv({3, 3, 3}, DType::bf16);
  for (const auto pass : {ConvGraph::Pass::backward_data, ConvGraph::Pass::backward_weights}) {
    graph.pass = pass;
    EXPECT_TRUE(is_wrong(91200, graph));
  }
}

}  // namespace
}  // namespace trainmark::cuda

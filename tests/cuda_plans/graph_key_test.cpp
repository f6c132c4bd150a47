// Keys of graphs: readable, and different exactly where the computation is.
#include <gtest/gtest.h>

#include <set>

#include "backend/cuda/cudnn/operands.hpp"

namespace trainmark::cuda {
namespace {

ConvGraph conv() {
  return {.conv = {{3, 3, 3}, {1, 1, 1}, {1, 1, 1}, {1, 1, 1}},
          .src = {1, 8, 16, 16, 16},
          .weights = {32, 8, 3, 3, 3},
          .dst = {1, 32, 16, 16, 16},
          .io = DType::bf16,
          .bias = true,
          .slope = 0.3F};
}

TEST(GraphKeyTest, ReadsAsOneLine) {
  EXPECT_EQ(key_of(conv()),
            "conv.forward bf16 src=1x8x16x16x16 weights=32x8x3x3x3 dst=1x32x16x16x16 stride=1x1x1 pad=1x1x1/1x1x1 "
            "bias slope=0.3");
  EXPECT_EQ(key_of(MatmulGraph{.m = 4, .n = 128, .k = 64, .b_transposed = true, .io = DType::f16, .bias = true}),
            "matmul f16 4x128x64 result=f32 b_transposed bias");
}

TEST(GraphKeyTest, TellsConvolutionsApart) {
  std::vector<ConvGraph> graphs(14, conv());
  graphs[1].pass = ConvGraph::Pass::backward_data;
  graphs[2].pass = ConvGraph::Pass::backward_weights;
  graphs[3].conv.stride = {2, 2, 2};
  graphs[4].conv.pad_lo = {0, 0, 0};
  graphs[5].conv.pad_hi = {0, 0, 0};
  graphs[6].src[0] = 2;
  graphs[7].weights[1] = 4;
  graphs[8].io = DType::f32;
  graphs[9].io = DType::f32;
  graphs[9].math = Math::tf32;
  graphs[10].bias = false;
  graphs[11].slope.reset();
  graphs[12].conv.dilation = {2, 2, 2};
  graphs[13].conv.groups = 2;
  std::set<std::string> keys;
  for (const ConvGraph& graph : graphs)
    EXPECT_TRUE(keys.insert(key_of(graph)).second) << key_of(graph);
}

TEST(GraphKeyTest, TellsProductsApart) {
  std::vector<MatmulGraph> graphs(8, {.m = 2, .n = 3, .k = 4, .io = DType::bf16, .result = DType::bf16});
  graphs[1].m = 3;
  graphs[2].k = 5;
  graphs[3].a_transposed = true;
  graphs[4].b_transposed = true;
  graphs[5].result = DType::f32;
  graphs[6].bias = true;
  graphs[7].io = DType::f16;
  std::set<std::string> keys;
  for (const MatmulGraph& graph : graphs)
    EXPECT_TRUE(keys.insert(key_of(graph)).second) << key_of(graph);
}

TEST(GraphKeyTest, IgnoresTf32WhereTypesAreHalf) {
  ConvGraph graph = conv();
  graph.math = Math::tf32;
  EXPECT_EQ(key_of(graph), key_of(conv()));
}

TEST(OperandsTest, LieChannelsLast) {
  const std::vector<Operand> operands = operands_of(conv());
  ASSERT_EQ(operands.size(), 4U);
  EXPECT_EQ(operands[0].stride, (std::vector<std::int64_t>{8 * 16 * 16 * 16, 1, 8 * 16 * 16, 8 * 16, 8}));
  EXPECT_EQ(operands[1].stride, (std::vector<std::int64_t>{8 * 27, 1, 8 * 9, 8 * 3, 8}));
  EXPECT_EQ(operands[2].dim, (std::vector<std::int64_t>{1, 32, 1, 1, 1}));
  EXPECT_EQ(operands[2].type, DType::f32);
  EXPECT_EQ(operands[3].bytes(), 2U * 32 * 16 * 16 * 16);
}

TEST(OperandsTest, HaveTheSameMemoryAsAProductAndAsAConvolution) {
  MatmulGraph graph{.m = 2, .n = 3, .k = 4, .b_transposed = true, .math = Math::tf32, .bias = true};
  const std::vector<Operand> product = operands_of(graph);
  graph.math = Math::full;
  const std::vector<Operand> convolution = operands_of(graph);
  EXPECT_EQ(product[1].dim, (std::vector<std::int64_t>{1, 4, 3}));
  EXPECT_EQ(product[1].stride, (std::vector<std::int64_t>{12, 1, 4}));
  EXPECT_EQ(convolution[1].dim, (std::vector<std::int64_t>{3, 4, 1, 1}));
  EXPECT_EQ(convolution[1].stride, (std::vector<std::int64_t>{4, 1, 4, 4}));
  for (std::size_t i = 0; i < product.size(); ++i)
    EXPECT_EQ(product[i].bytes(), convolution[i].bytes());
}

}  // namespace
}  // namespace trainmark::cuda

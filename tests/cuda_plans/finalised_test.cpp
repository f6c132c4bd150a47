// Every bf16 graph on the H200 made to the end, what is compiled at run time included.
#include <gtest/gtest.h>

#include "cuda_plans/planning.hpp"

namespace trainmark::cuda {
namespace {

TEST(FinalisedTest, MakesEveryBf16GraphOfAnH200ToTheEnd) {
  expect_table("h200", *std::ranges::find(precisions, DType::bf16, &Precision::compute), false);
}

}  // namespace
}  // namespace trainmark::cuda

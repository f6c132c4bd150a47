// Every graph of every workload, device and precision, as far as the choice of an engine, against the committed table.
#include <gtest/gtest.h>

#include "cuda_plans/planning.hpp"

namespace trainmark::cuda {
namespace {

class SelectionTest : public testing::TestWithParam<std::tuple<const char*, Precision>> {};

TEST_P(SelectionTest, FindsTheTablesEngineForEveryGraph) {
  const auto& [device, precision] = GetParam();
  expect_table(device, precision, true);
}

INSTANTIATE_TEST_SUITE_P(Everywhere, SelectionTest,
                         testing::Combine(testing::Values("h200", "a100"), testing::ValuesIn(precisions)),
                         [](const auto& parameters) {
                           return std::string(std::get<0>(parameters.param)) + "_" + std::get<1>(parameters.param).name;
                         });

TEST(PlanTableTest, HoldsNoGraphThatNothingWants) {
  std::map<std::string, std::string> rows = read_plan_table().outcomes;
  for (const char* device : {"h200", "a100"}) {
    for (const Precision& precision : precisions) {
      for (const GraphSpec& spec : distinct_graphs(precision))
        rows.erase(std::string(device) + "\t" + key_of(spec));
    }
  }
  EXPECT_TRUE(rows.empty()) << rows.size() << " rows, the first " << rows.begin()->first << ": " << remake_table;
}

}  // namespace
}  // namespace trainmark::cuda

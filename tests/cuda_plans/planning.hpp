// What the tests of planning share.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <thread>

#include "cuda_plans/plan_table.hpp"
#include "cuda_plans/workload_graphs.hpp"

namespace trainmark::cuda {

inline constexpr const char* remake_table =
    "if that is meant, run scripts/cudnn_plans.py and review what changes in tests/reference/cudnn_plans.txt";

/// Plans every graph of this precision for the device. That each plans is always expected; that the plan is the
/// table's, only of the library that made the table: engines are numbered and chosen anew in each version.
inline void expect_table(const std::string& device, const Precision& precision, bool select_only) {
  const PlanTable table = read_plan_table();
  CompilerOptions options = options_for(device, select_only);
  options.threads = std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  const auto compiler = make_graph_compiler(options);
  const bool same_library = compiler->library() == table.library;
  const std::vector<GraphSpec> specs = distinct_graphs(precision);
  compiler->compile_ahead(specs);
  for (const GraphSpec& spec : specs) {
    const std::string name = device + "\t" + key_of(spec);
    const auto expected = table.outcomes.find(name);
    EXPECT_NE(expected, table.outcomes.end()) << name << " is not in the table: " << remake_table;
    try {
      const std::string found = outcome(*compiler->compile(spec));
      if (same_library && expected != table.outcomes.end()) {
        EXPECT_EQ(found, expected->second) << name << ": " << remake_table;
      }
    } catch (const Error& error) {
      ADD_FAILURE() << error.what();
    }
  }
  if (!same_library)
    GTEST_SKIP() << "engines not compared: this is " << compiler->library() << ", the table's " << table.library;
}

}  // namespace trainmark::cuda

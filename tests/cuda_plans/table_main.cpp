// Prints the rows of one device and precision, as far as the choice of an engine. scripts/cudnn_plans.py makes the
// table of them.
#include <fmt/format.h>

#include <algorithm>
#include <string_view>

#include "cuda_plans/plan_table.hpp"
#include "cuda_plans/workload_graphs.hpp"

using namespace trainmark::cuda;

int main(int count, char** words) {
  const auto* precision =
      count == 3 ? std::ranges::find(precisions, std::string_view(words[2]), &Precision::name) : std::end(precisions);
  if (precision == std::end(precisions)) {
    fmt::print(stderr, "usage: cuda_plan_table DEVICE f32|tf32|bf16|f16\n");
    return 2;
  }
  try {
    const auto compiler = make_graph_compiler(options_for(words[1], true));
    fmt::print("# made by {}\n", compiler->library());
    for (const GraphSpec& spec : distinct_graphs(*precision)) {
      fmt::print("{}\n", row(words[1], spec, *compiler->compile(spec)));
    }
  } catch (const trainmark::Error& error) {
    fmt::print(stderr, "cuda_plan_table: {}\n", error.what());
    return static_cast<int>(error.code());
  }
  return 0;
}

// What the rules say of each benchmark by its name: quality target, and the rules that its logs are judged by.
#include <algorithm>
#include <array>

#include "trainmark/mllog.hpp"

namespace trainmark {
namespace {

struct Benchmark {
  std::string_view name;
  std::string_view key;
  double target;
  bool lower_is_better;
};
// MLPerf HPC 3.0 and, for resnet, MLPerf Training 4.0.
constexpr std::array benchmarks = {
    Benchmark{"cosmoflow", "eval_error", 0.124, true}, Benchmark{"deepcam", "eval_accuracy", 0.82, false},
    Benchmark{"oc20", "eval_error", 0.036, true}, Benchmark{"openfold", "eval_accuracy", 0.8, false},
    Benchmark{"resnet", "eval_accuracy", 0.759, false}};

}  // namespace

std::optional<QualityTarget> quality_target(std::string_view benchmark) {
  const auto* found = std::ranges::find(benchmarks, benchmark, &Benchmark::name);
  if (found == benchmarks.end()) return {};
  return QualityTarget{std::string(found->key), found->target, found->lower_is_better};
}

Rules rules_of(std::string_view benchmark, Ruleset version) {
  const Usage usage = benchmark == "resnet" ? Usage::training : Usage::hpc;
  const Ruleset latest = usage == Usage::training ? Ruleset::v4_0_0 : Ruleset::v3_0_0;
  return {usage, version == Ruleset::latest ? latest : version};
}

}  // namespace trainmark

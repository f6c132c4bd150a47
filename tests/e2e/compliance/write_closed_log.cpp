// Writes a log with the full closed CosmoFlow key set through our writer, with everything in it that writers stumble
// over.
#include <clocale>
#include <cmath>
#include <cstdint>
#include <string>

#include "trainmark/mllog.hpp"

int main(int, char** argv) {
  using namespace trainmark;
  std::setlocale(LC_ALL, "de_DE.UTF-8");  // where it exists: decimal commas
  LogFile log(argv[1]);
  const Clock clock;
  const auto point = [&](const std::string& key, EventValue value, Metadata metadata = {}) {
    log.write({clock.unix_ms(), EventType::point_in_time, key, std::move(value), std::move(metadata),
               std::source_location::current()});
  };
  point("submission_benchmark", std::string("cosmoflow"));
  point("submission_org", std::string("Zürich \"lab\" \\ \t\x01 :::MLLOG {}"));
  point("submission_division", std::string("closed"));
  point("submission_status", std::string("onprem"));
  point("submission_platform", std::string("1 x node"));
  point("cache_clear", true);
  {
    const LogScope init(log, clock, "init");
    point("number_of_ranks", std::int64_t{2});
    point("number_of_nodes", std::int64_t{1});
    point("accelerators_per_node", std::int64_t{0});
    point("seed", std::int64_t{9007199254740991});
    point("global_batch_size", std::int64_t{64});
    point("opt_name", std::string("sgd"));
    point("opt_base_learning_rate", 0.024);
    point("opt_learning_rate_warmup_epochs", std::int64_t{4});
    point("opt_learning_rate_warmup_factor", 4.0);
    point("opt_learning_rate_decay_boundary_epochs", std::vector<std::int64_t>{32, 64});
    point("opt_learning_rate_decay_factor", std::vector<double>{0.25, 0.125});
    point("dropout", 0.5);
    point("opt_weight_decay", 0.0);
    point("train_samples", std::int64_t{524288});
    point("eval_samples", std::int64_t{65536});
  }
  const LogScope run(log, clock, "run", {{"status", std::string("success")}});
  { const LogScope staging(log, clock, "staging"); }
  for (std::int64_t n = 1; n <= 2; ++n) {
    const LogScope epoch(log, clock, "epoch", {{"epoch_num", n}});
    point("train_loss", n == 1 ? std::nan("") : HUGE_VAL);
    const LogScope evaluation(log, clock, "eval", {{"epoch_num", n}});
    point("eval_error", n == 1 ? 0.1240000001 : 0.124, {{"epoch_num", n}});
  }
  return 0;
}

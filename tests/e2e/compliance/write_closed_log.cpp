// Writes logs with full closed key sets through our writer: CosmoFlow's with everything in it that writers stumble
// over; with a second argument (lamb, adamw) DeepCAM's, whose keys are those that its recipe logs.
#include <clocale>
#include <cmath>
#include <cstdint>
#include <string>

#include "trainmark/mllog.hpp"
#include "trainmark/models.hpp"

namespace {

using namespace trainmark;

int write_deepcam(const std::string& path, bool lamb) {
  LogFile log(path);
  const Clock clock;
  const auto point = [&](const std::string& key, EventValue value, Metadata metadata = {}) {
    log.write({clock.unix_ms(), EventType::point_in_time, key, std::move(value), std::move(metadata),
               std::source_location::current()});
  };
  Recipe recipe{
      .model = DeepcamOptions{.norm_group = 2}, .rule = Adam{.weight_decay = 0.01F, .decoupled = true}, .schedule = {}};
  recipe.schedule = StepSchedule{.rate = 0.00155, .cosine_steps = 9000};
  if (lamb) {
    recipe.rule = Lamb{};
    recipe.schedule = StepSchedule{.rate = 0.0055, .warmup_steps = 400, .decay = {{800, 0.1}}};
  }
  point("submission_benchmark", std::string(benchmark_of(recipe.model)));
  point("submission_org", std::string("org"));
  point("submission_division", std::string("closed"));
  point("submission_status", std::string("onprem"));
  point("submission_platform", std::string("2048 x node"));
  point("cache_clear", true);
  {
    const LogScope init(log, clock, "init");
    point("number_of_ranks", std::int64_t{2048});
    point("number_of_nodes", std::int64_t{256});
    point("accelerators_per_node", std::int64_t{8});
    point("seed", std::int64_t{5});
    point("global_batch_size", std::int64_t{2048});
    point(std::string(accumulation_key_of(recipe.model)), std::int64_t{1});
    for (auto& [key, value] : logged(recipe))
      point(key, std::move(value));
    point("train_samples", std::int64_t{121266});
    point("eval_samples", std::int64_t{15158});
  }
  const LogScope run(log, clock, "run", {{"status", std::string("success")}});
  { const LogScope staging(log, clock, "staging"); }
  const LogScope epoch(log, clock, "epoch", {{"epoch_num", std::int64_t{1}}});
  const LogScope evaluation(log, clock, "eval", {{"epoch_num", std::int64_t{1}}});
  for (const EvaluationFigure& figure : figures_of(recipe.model))
    point(figure.key, 0.82, {{"epoch_num", std::int64_t{1}}});
  return 0;
}

}  // namespace

int main(int count, char** argv) {
  if (count > 2) return write_deepcam(argv[1], std::string(argv[2]) == "lamb");
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

// Writes logs with full closed key sets through our writer: CosmoFlow's with everything in it that writers stumble
// over; with a second argument DeepCAM's (lamb, adamw) or ResNet-50's (lars, sgd), whose keys are those that the recipe
// logs.
#include <clocale>
#include <cmath>
#include <cstdint>
#include <optional>
#include <string>

#include "trainmark/mllog.hpp"
#include "trainmark/models.hpp"

namespace {

using namespace trainmark;

struct Counts {
  std::int64_t batch, train, validation, steps_per_epoch;
};

/// A run of one epoch whose quality is enough.
void write_run(const std::string& path, const Recipe& recipe, const Counts& counts, bool in_blocks, double quality) {
  LogFile log(path);
  const Clock clock;
  const auto point = [&](const std::string& key, EventValue value, Metadata metadata = {}) {
    log.write({clock.unix_ms(), EventType::point_in_time, key, std::move(value), std::move(metadata),
               std::source_location::current()});
  };
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
    point("global_batch_size", counts.batch);
    point(std::string(accumulation_key_of(recipe.model)), std::int64_t{1});
    for (auto& [key, value] :
         logged(recipe, {.local_batch = counts.batch / 2048, .steps_per_epoch = counts.steps_per_epoch}))
      point(key, std::move(value));
    point("train_samples", counts.train);
    point("eval_samples", counts.validation);
  }
  const LogScope run(log, clock, "run", {{"status", std::string("success")}});
  std::optional<LogScope> staging;
  if (!in_blocks) staging.emplace(log, clock, "staging");
  staging.reset();
  const Metadata first = in_blocks ? Metadata{{"first_epoch_num", std::int64_t{1}}, {"epoch_count", std::int64_t{1}}}
                                   : Metadata{{"epoch_num", std::int64_t{1}}};
  const LogScope epoch(log, clock, in_blocks ? "block" : "epoch", first);
  const LogScope evaluation(log, clock, "eval", {{"epoch_num", std::int64_t{1}}});
  for (const EvaluationFigure& figure : figures_of(recipe.model))
    point(figure.key, quality, {{"epoch_num", std::int64_t{1}}});
}

void write_deepcam(const std::string& path, bool lamb) {
  Recipe recipe{
      .model = DeepcamOptions{.norm_group = 2}, .rule = Adam{.weight_decay = 0.01F, .decoupled = true}, .schedule = {}};
  recipe.schedule = StepSchedule{.rate = 0.00155, .cosine_steps = 9000};
  if (lamb) {
    recipe.rule = Lamb{};
    recipe.schedule = StepSchedule{.rate = 0.0055, .warmup_steps = 400, .decay = {{800, 0.1}}};
  }
  write_run(path, recipe, {.batch = 2048, .train = 121266, .validation = 15158, .steps_per_epoch = 59}, false, 0.82);
}

void write_resnet50(const std::string& path, bool lars) {
  Recipe recipe{.model = Resnet50Options{},
                .rule = SgdMomentum{.weight_decay = 1e-4F},
                .schedule = PolynomialSchedule{
                    .rate = 21.2, .warmup_steps = 640, .decay_steps = 2267, .power = 2.0, .end_rate = 0.0001}};
  if (lars) recipe.rule = Lars{.momentum = 0.94F, .weight_decay = 2.5e-5F, .epsilon = 0.0F};
  write_run(path, recipe, {.batch = 32768, .train = 1281167, .validation = 50000, .steps_per_epoch = 40}, true, 0.76);
}

}  // namespace

int main(int count, char** argv) {
  if (count > 2) {
    const std::string optimizer = argv[2];
    if (optimizer == "lamb" || optimizer == "adamw") write_deepcam(argv[1], optimizer == "lamb");
    if (optimizer == "lars" || optimizer == "sgd") write_resnet50(argv[1], optimizer == "lars");
    return 0;
  }
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

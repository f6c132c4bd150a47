// MLPerf HPC 1.0, 2.0 and 3.0 (mlperf-logging, compliance_checker/hpc_*).
#include <cmath>

#include "mllog/rules.hpp"

namespace trainmark::mllog {
namespace {

const std::vector<std::string>& benchmarks_of(Ruleset version) {
  static const std::vector<std::string> all = {"deepcam", "cosmoflow", "oc20", "openfold"};
  static const std::vector<std::string> earlier = {"deepcam", "cosmoflow", "oc20"};
  return version == Ruleset::v3_0_0 ? all : earlier;
}

std::string family(Ruleset version) { return "hpc_" + std::string(word(version)) + "/"; }

/// A value that names further rules: `prefix` + value.
std::function<void(const Record&, State&)> asks_for(std::string prefix, std::string suffix = "") {
  return [prefix = std::move(prefix), suffix = std::move(suffix)](const Record& record, State& s) {
    s.more.push_back(prefix + (record.value.is_string() ? record.value.get<std::string>() : json_text(record.value)) +
                     suffix);
  };
}

RuleSet common(Ruleset version) {
  RuleSet rules;
  rules.keys = header_rules();
  for (KeyRule& rule : phase_rules())
    rules.keys.push_back(std::move(rule));
  KeyRule division = once("submission_division", {one_of({"closed", "open"})});
  division.after = asks_for(family(version), "_common");
  rules.keys.push_back(std::move(division));

  KeyRule staging_start = optional("staging_start", {});
  if (version != Ruleset::v3_0_0) {
    staging_start.checks = {{"after run_start", [](const Record&, const State& s) { return s.run_started; }}};
  }
  staging_start.after = [](const Record&, State& s) { s.staging_started = true; };
  rules.keys.push_back(std::move(staging_start));
  rules.keys.push_back(optional(
      "staging_stop", {{"after staging_start", [](const Record&, const State& s) { return s.staging_started; }}}));

  const Check counted = {"metadata.epoch_count > 0", [](const Record& record, const State&) {
                           if (!record.metadata.is_object() || !record.metadata.contains("epoch_count"))
                             throw Raised("none");
                           return compared(record.metadata["epoch_count"]) > 0.0;
                         }};
  rules.keys.push_back(one_or("block_start", "epoch_start",
                              {{"after run_start", [](const Record&, const State& s) { return s.run_started; }},
                               metadata_has("epoch_count"),
                               metadata_has("first_epoch_num"),
                               counted}));
  rules.keys.push_back(one_or("block_stop", "epoch_stop", {metadata_has("first_epoch_num")}));
  rules.keys.push_back(one_or("eval_start", "block_start", {metadata_has("epoch_num")}));
  rules.keys.push_back(one_or("eval_stop", "block_stop", {metadata_has("epoch_num")}));
  return rules;
}

RuleSet division(Ruleset version, const std::string& name) {
  KeyRule benchmark = once("submission_benchmark", {one_of(benchmarks_of(version))});
  benchmark.after = asks_for(family(version) + name + "_");
  RuleSet rules;
  rules.keys = {std::move(benchmark)};
  if (name == "open") return rules;
  rules.keys.push_back(optional("gradient_accumulation_steps", {above(0)}));
  rules.keys.push_back(optional("gradient_accumulation_frequency", {above(0)}));
  rules.keys.push_back(once("number_of_nodes", {above(0)}));
  rules.keys.push_back(once("accelerators_per_node", {at_least(0)}));
  return rules;
}

KeyRule metric_of(const std::string& benchmark) {
  const QualityTarget target = quality_target(benchmark).value();
  KeyRule rule = often(target.key, {metadata_has("epoch_num")});
  if (target.lower_is_better) {
    rule.target = {at_most(target.value), above(0)};
  } else {
    rule.target = {at_least(target.value), at_most(1)};
  }
  return rule;
}

std::vector<KeyRule> cosmoflow() {
  return {once("global_batch_size", {above(0)}),
          once("opt_name", {one_of({"sgd", "SGD"})}),
          once("opt_base_learning_rate", {at_least(0)}),
          once("opt_learning_rate_warmup_epochs", {at_least(0)}),
          once("opt_learning_rate_warmup_factor", {at_least(0)}),
          once("opt_learning_rate_decay_boundary_epochs"),
          once("opt_learning_rate_decay_factor"),
          optional("dropout", {at_least(0), below(1)}),
          optional("opt_weight_decay", {at_least(0)})};
}

std::vector<KeyRule> oc20() {
  return {once("global_batch_size", {above(0)}),
          once("opt_name", {equal_to_text("AdamW")}),
          once("opt_base_learning_rate", {at_least(0)}),
          once("opt_learning_rate_warmup_steps", {at_least(0)}),
          once("opt_learning_rate_warmup_factor", {at_least(0)}),
          once("opt_learning_rate_decay_boundary_steps"),
          once("opt_learning_rate_decay_factor")};
}

/// Python's len(): of texts, lists and objects.
double length_of(const Json& value) {
  if (is_number(value) || value.is_null()) throw Raised("has no length");
  return value.is_string() ? static_cast<double>(value.get<std::string>().size()) : static_cast<double>(value.size());
}

std::vector<KeyRule> deepcam(Ruleset version) {
  KeyRule optimizer = once("opt_name", {one_of({"Adam", "AdamW", "LAMB"})});
  optimizer.after = [version](const Record& record, State& s) {
    if (record.value == Json("LAMB")) s.more.push_back(family(version) + "closed_deepcam_lamb");
  };
  KeyRule scheduler = once("scheduler_type", {one_of({"multistep", "cosine_annealing"})});
  scheduler.after = [version](const Record& record, State& s) {
    if (!record.value.is_string() || is_number(record.value)) throw Raised("has no lower case");
    std::string name = record.value.get<std::string>();
    for (char& c : name)
      c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    s.more.push_back(family(version) + "closed_deepcam_" + name);
  };
  const Check two = {"a list of two",
                     [](const Record& record, const State&) { return length_of(record.value) == 2.0; }};
  const Check epsilon = {"close to 1e-06 (relative 1e-09)", [](const Record& record, const State&) {
                           const double v = compared(record.value);
                           return std::isfinite(v) && std::fabs(v - 1e-6) <= 1e-9 * std::max(std::fabs(v), 1e-6);
                         }};
  return {once("gradient_accumulation_frequency", {above(0)}),
          once("seed", {above(0)}),
          once("global_batch_size", {above(0)}),
          once("batchnorm_group_size", {above(0)}),
          std::move(optimizer),
          once("opt_lr", {above(0)}),
          once("opt_betas", {two}),
          once("opt_eps", {epsilon}),
          std::move(scheduler),
          once("scheduler_lr_warmup_steps", {at_least(0)}),
          once("scheduler_lr_warmup_factor", {at_least(1)}),
          once("train_samples", {equal_to(121266)}),
          once("eval_samples", {equal_to(15158)})};
}

std::vector<KeyRule> deepcam_part(const std::string& part) {
  const Check truthy = {"true", [](const Record& record, const State&) {
                          const Json& v = record.value;
                          if (is_number(v)) return number_of(v) != 0.0;  // NaN is true
                          return !v.is_null() && !(v.is_string() && v.get<std::string>().empty()) &&
                                 !(v.is_structured() && v.empty());
                        }};
  const Check has_length = {"a list",
                            [](const Record& record, const State&) { return length_of(record.value) >= 0.0; }};
  if (part == "lamb") {
    return {once("opt_bias_correction", {truthy}), once("opt_grad_averaging", {truthy}),
            once("opt_max_grad_norm", {equal_to(1)})};
  }
  if (part == "multistep")
    return {once("scheduler_milestones", {has_length}), once("scheduler_decay_rate", {at_most(1)})};
  if (part == "cosine_annealing")
    return {once("scheduler_t_max", {at_least(1)}), once("scheduler_eta_min", {at_least(0)})};
  return {};
}

}  // namespace

RuleSet hpc_rules(Ruleset version, const std::string& name) {
  if (version == Ruleset::latest || version == Ruleset::v4_0_0) return {};
  if (name == "common") return common(version);
  if (name == "closed_common") return division(version, "closed");
  if (name == "open_common") return division(version, "open");
  RuleSet rules;
  for (const std::string& benchmark : benchmarks_of(version)) {
    if (name == "open_" + benchmark) rules.keys = {metric_of(benchmark)};
  }
  if (name.starts_with("closed_deepcam_")) rules.keys = deepcam_part(name.substr(15));
  if (name == "closed_cosmoflow") rules.keys = cosmoflow();
  if (name == "closed_oc20") rules.keys = oc20();
  if (name == "closed_deepcam") rules.keys = deepcam(version);
  if (name == "closed_openfold" && version == Ruleset::v3_0_0) rules = openfold_rules();
  for (const char* benchmark : {"cosmoflow", "oc20", "deepcam", "openfold"}) {
    if (name == std::string("closed_") + benchmark && !rules.keys.empty()) rules.keys.push_back(metric_of(benchmark));
  }
  return rules;
}

RuleSet openfold_rules() {
  RuleSet rules;
  const std::vector<std::pair<const char*, double>> fixed = {{"target_avg_lddt_ca_value", 0.8},
                                                             {"val_max_sequence_length", 700},
                                                             {"val_every_iters", 40},
                                                             {"train_samples", 594595},
                                                             {"eval_samples", 180},
                                                             {"model_parameters_count", 93229082},
                                                             {"train_sequence_crop_size", 256},
                                                             {"num_recycling_iters", 3},
                                                             {"max_msa_clusters", 124},
                                                             {"max_extra_msa", 1024},
                                                             {"templates_enabled", 1},
                                                             {"max_templates", 4},
                                                             {"fape_loss_weight", 1.0},
                                                             {"fape_loss_backbone_weight", 0.5},
                                                             {"fape_loss_sidechain_weight", 0.5},
                                                             {"supervised_chi_loss_weight", 1.0},
                                                             {"distogram_loss_weight", 0.3},
                                                             {"masked_msa_loss_weight", 2.0},
                                                             {"plddt_loss_weight", 0.01},
                                                             {"opt_adam_beta_1", 0.9},
                                                             {"opt_adam_beta_2", 0.999},
                                                             {"opt_adam_epsilon", 1e-6},
                                                             {"opt_weight_decay", 0.0},
                                                             {"opt_amsgrad", 0},
                                                             {"opt_gradient_clipping", 1},
                                                             {"opt_gradient_clip_norm", 0.1},
                                                             {"swa_enabled", 1},
                                                             {"swa_decay_rate", 0.9}};
  for (const auto& [key, value] : fixed)
    rules.keys.push_back(once(key, {equal_to(value)}));
  const std::vector<std::pair<const char*, const char*>> texts = {
      {"train_max_pdb_release_date", "2021-09-16"},
      {"val_min_cameo_submission_date", "2021-09-17"},
      {"val_max_cameo_submission_date", "2021-12-11"},
      {"init_checkpoint_sha256sum", "b518be4677048f2c0f94889c91e2da73655a73b825a8aa7f8b6f5e580d8ffbed"},
      {"opt_name", "Adam"}};
  for (const auto& [key, value] : texts)
    rules.keys.push_back(once(key, {equal_to_text(value)}));
  rules.keys.push_back(once("global_batch_size", {above(0)}));
  rules.keys.push_back(once("opt_base_learning_rate", {at_least(0)}));
  rules.keys.push_back(once("opt_learning_rate_warmup_init", {at_least(0)}));
  rules.keys.push_back(once("opt_learning_rate_warmup_steps", {at_least(0)}));
  rules.keys.push_back(once("initial_training_dataloader_type",
                            {one_of({"InitialTrainingDataloaderPT", "InitialTrainingDataloaderPQ"})}));
  return rules;
}

}  // namespace trainmark::mllog

// MLPerf Training 4.0 for ResNet-50, the last round that had it (mlperf-logging, compliance_checker/training_4.0.0).
#include <cmath>

#include "mllog/rules.hpp"

namespace trainmark::mllog {
namespace {

/// Python's abs(round(x) - x) < 1e-5; raises for what round() cannot take.
bool whole(double x) {
  if (!std::isfinite(x)) throw Raised("is not finite");
  return std::fabs(std::nearbyint(x) - x) < 1e-5;
}

RuleSet common() {
  RuleSet rules;
  rules.initial.init_limit_minutes = 0;  // until the division is known: it must stand before init_stop
  rules.keys = header_rules();
  for (KeyRule& rule : phase_rules())
    rules.keys.push_back(std::move(rule));
  KeyRule division = once("submission_division", {one_of({"closed", "open"})});
  division.after = [](const Record& record, State& s) {
    s.more.push_back("training_4.0.0/" +
                     (record.value.is_string() ? record.value.get<std::string>() : json_text(record.value)) +
                     "_common");
    s.init_limit_minutes = record.value == Json("open") ? 240 : 30;
  };
  rules.keys.push_back(std::move(division));
  const auto positive = [](const char* name, double least, bool strictly) {
    return Check{std::string("metadata.") + name + (strictly ? " > 0" : " >= 0"),
                 [=](const Record& record, const State&) {
                   if (!contains(record.metadata, name)) return true;
                   if (!record.metadata.is_object()) throw Raised("metadata is no object");
                   const double v = compared(record.metadata[name]);
                   return strictly ? v > least : v >= least;
                 }};
  };
  const Check first = {"metadata with first_epoch_num beside epoch_count", [](const Record& record, const State&) {
                         return !contains(record.metadata, "epoch_count") ||
                                contains(record.metadata, "first_epoch_num");
                       }};
  rules.keys.push_back(one_or("block_start", "epoch_start",
                              {{"after run_start", [](const Record&, const State& s) { return s.run_started; }},
                               metadata_has_any("epoch_count", "samples_count"),
                               first,
                               positive("epoch_count", 0, true),
                               positive("samples_count", 0, false)}));
  rules.keys.push_back(one_or("block_stop", "epoch_stop", {metadata_has_any("first_epoch_num", "samples_count")}));
  rules.keys.push_back(one_or("eval_start", "block_start", {metadata_has_any("epoch_num", "samples_count")}));
  rules.keys.push_back(one_or("eval_stop", "block_stop", {metadata_has_any("epoch_num", "samples_count")}));
  rules.keys.push_back(often("eval_accuracy", {metadata_has_any("epoch_num", "samples_count")}));
  return rules;
}

RuleSet division(const std::string& name) {
  std::vector<std::string> benchmarks = {"resnet", "ssd",  "stable_diffusion", "maskrcnn", "gpt3", "dlrm_dcnv2",
                                         "bert",   "rnnt", "unet3d",           "gnn"};
  if (name == "closed") benchmarks.emplace_back("llama2_70b_lora");
  KeyRule benchmark = once("submission_benchmark", {one_of(benchmarks)});
  benchmark.after = [name](const Record& record, State& s) {
    s.more.push_back("training_4.0.0/" + name + "_" +
                     (record.value.is_string() ? record.value.get<std::string>() : json_text(record.value)));
  };
  RuleSet rules;
  rules.keys = {std::move(benchmark)};
  if (name == "closed") rules.keys.push_back(once("gradient_accumulation_steps", {above(0)}));
  return rules;
}

RuleSet resnet(bool closed) {
  KeyRule accuracy = often("eval_accuracy", {metadata_has("epoch_num")});
  accuracy.target = closed ? std::vector<Check>{at_least(0.759), below(1)} : std::vector<Check>{below(1)};
  RuleSet rules;
  if (closed) {
    KeyRule optimizer = once("opt_name", {one_of({"sgd", "lars"})});
    optimizer.after = [](const Record& record, State& s) {
      s.more.push_back("training_4.0.0/closed_resnet_" +
                       (record.value.is_string() ? record.value.get<std::string>() : json_text(record.value)));
    };
    rules.keys = {once("global_batch_size", {above(0)}), std::move(optimizer)};
  }
  rules.keys.push_back(std::move(accuracy));
  return rules;
}

Check decay_step() {
  return {"0.0001 * 2^N", [](const Record& record, const State&) {
            const double ratio = compared(record.value) / 0.0001;
            if (!(ratio > 0.0)) throw Raised("has no logarithm");
            return whole(std::log2(ratio));
          }};
}

std::vector<KeyRule> lars() {
  return {once("lars_opt_base_learning_rate"),
          once("lars_opt_end_learning_rate", {equal_to(0.0001)}),
          once("lars_opt_learning_rate_decay_poly_power", {equal_to(2)}),
          once("lars_opt_learning_rate_decay_steps"),
          once("lars_epsilon", {equal_to(0)}),
          once("lars_opt_learning_rate_warmup_epochs"),
          once("lars_opt_momentum"),
          once("lars_opt_weight_decay", {decay_step()})};
}

std::vector<KeyRule> sgd() {
  const Check step = {"a multiple of 0.001",
                      [](const Record& record, const State&) { return whole(compared(record.value) / 0.001); }};
  return {once("sgd_opt_base_learning_rate", {step}),
          once("sgd_opt_end_learning_rate", {equal_to(0.0001)}),
          once("sgd_opt_learning_rate_decay_poly_power"),
          once("sgd_opt_learning_rate_decay_steps"),
          once("sgd_opt_weight_decay", {decay_step()}),
          once("sgd_opt_momentum"),
          once("model_bn_span"),
          once("opt_learning_rate_warmup_epochs")};
}

}  // namespace

RuleSet training_rules(const std::string& name) {
  if (name == "common") return common();
  if (name == "closed_common") return division("closed");
  if (name == "open_common") return division("open");
  if (name == "closed_resnet") return resnet(true);
  if (name == "open_resnet") return resnet(false);
  RuleSet rules;
  if (name == "closed_resnet_lars") rules.keys = lars();
  if (name == "closed_resnet_sgd") rules.keys = sgd();
  return rules;
}

}  // namespace trainmark::mllog

// Where each rule of the official checker begins to speak, and what the semantic verdict says in which line.
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <sstream>

#include "trainmark/mllog.hpp"

namespace trainmark {
namespace {

namespace fs = std::filesystem;
using Lines = std::vector<std::string>;

Lines lines_of(const std::string& name) {
  std::ifstream file(fs::path(TRAINMARK_SOURCE_DIR) / "tests/golden/logs" / name);
  Lines lines;
  for (std::string line; std::getline(file, line);)
    lines.push_back(line);
  return lines;
}
const Lines cosmoflow = lines_of("hpc_cosmoflow_closed_v3.0.txt");
const Lines cosmoflow_open = lines_of("hpc_cosmoflow_open_v3.0.txt");
const Lines lamb = lines_of("hpc_deepcam_closed_lamb_multistep_v3.0.txt");
const Lines cosine = lines_of("hpc_deepcam_closed_adamw_cosine_v3.0.txt");
const Lines oc20 = lines_of("hpc_oc20_closed_v3.0.txt");
const Lines openfold = lines_of("hpc_openfold_closed_v3.0.txt");
const Lines lars = lines_of("training_resnet_closed_lars_v4.0.txt");
const Lines sgd = lines_of("training_resnet_closed_sgd_v4.0.txt");
const Lines resnet_open = lines_of("training_resnet_open_v4.0.txt");

std::string joined(const Lines& lines) {
  std::string text;
  for (const std::string& line : lines)
    text += line + "\n";
  return text;
}

/// The position of the last or the `n`-th record of a key.
std::size_t place(const Lines& lines, const std::string& key, int n = 0) {
  for (std::size_t i = 0; i < lines.size(); ++i)
    if (lines[i].find("\"key\": \"" + key + "\"") != std::string::npos && n-- == 0) return i;
  ADD_FAILURE() << "no " << key;
  return 0;
}
std::size_t last_place(const Lines& lines, const std::string& key) {
  std::size_t found = 0;
  for (std::size_t i = 0; i < lines.size(); ++i)
    if (lines[i].find("\"key\": \"" + key + "\"") != std::string::npos) found = i;
  return found;
}

Lines with_value(Lines lines, std::size_t at, const std::string& value) {
  const std::size_t begin = lines[at].find("\"value\": ") + 9, end = lines[at].find(", \"metadata\"");
  lines[at].replace(begin, end - begin, value);
  return lines;
}
Lines with(Lines lines, std::size_t at, const std::string& from, const std::string& to) {
  const std::size_t found = lines[at].find(from);
  EXPECT_NE(found, std::string::npos) << from << " in " << lines[at];
  lines[at].replace(found, from.size(), to);
  return lines;
}
Lines without(Lines lines, std::size_t at) {
  lines.erase(lines.begin() + static_cast<std::ptrdiff_t>(at));
  return lines;
}
Lines moved(Lines lines, std::size_t from, std::size_t to) {
  const std::string line = lines[from];
  lines.erase(lines.begin() + static_cast<std::ptrdiff_t>(from));
  lines.insert(lines.begin() + static_cast<std::ptrdiff_t>(to), line);
  return lines;
}

Verdict judged(const Lines& lines, const std::string& usage = "auto", const std::string& ruleset = "auto") {
  return judge_log(joined(lines), usage, ruleset);
}

/// "line rule: message" of each finding.
Lines said(const std::vector<Finding>& findings) {
  Lines texts;
  for (const Finding& finding : findings)
    texts.push_back(std::to_string(finding.line) + " " + finding.rule + ": " + finding.message);
  return texts;
}

struct Bound {
  const Lines* log;
  const char* key;
  Lines good, bad;
};

TEST(OfficialRules, SpeakAtTheirBounds) {
  const Lines above_0 = {"1e-9", "7"}, not_above_0 = {"0", "-1"}, from_0 = {"0", "0.5"}, not_from_0 = {"-1e-9"};
  const Bound bounds[] = {
      {&cosmoflow, "submission_status", {"\"cloud\"", "\"onprem\"", "\"preview\"", "\"research\""}, {"\"home\"", "1"}},
      {&cosmoflow, "submission_org", {"\"x\"", "1"}, {"\"\""}},
      {&cosmoflow, "submission_platform", {"\"x\""}, {"\"\""}},
      {&cosmoflow, "train_samples", {"0", "\"x\""}, {"\"\""}},
      {&cosmoflow, "eval_samples", {"0"}, {"\"\""}},
      {&cosmoflow, "number_of_nodes", above_0, not_above_0},
      {&cosmoflow, "accelerators_per_node", from_0, not_from_0},
      {&cosmoflow, "global_batch_size", above_0, not_above_0},
      {&cosmoflow, "opt_name", {"\"sgd\"", "\"SGD\""}, {"\"Sgd\"", "\"adam\""}},
      {&cosmoflow, "opt_base_learning_rate", from_0, not_from_0},
      {&cosmoflow, "opt_learning_rate_warmup_epochs", from_0, not_from_0},
      {&cosmoflow, "opt_learning_rate_warmup_factor", from_0, not_from_0},
      {&cosmoflow, "dropout", {"0", "0.999"}, {"1", "-0.1"}},
      {&cosmoflow, "opt_weight_decay", from_0, not_from_0},
      {&lamb, "gradient_accumulation_frequency", above_0, not_above_0},
      {&lamb, "seed", above_0, not_above_0},
      {&lamb, "global_batch_size", above_0, not_above_0},
      {&lamb, "batchnorm_group_size", above_0, not_above_0},
      {&lamb, "opt_name", {"\"LAMB\""}, {"\"sgd\""}},
      {&lamb, "opt_lr", above_0, not_above_0},
      {&lamb, "opt_betas", {"[0.9, 0.999]", "\"ab\""}, {"[0.9]", "[1, 2, 3]", "2"}},
      {&lamb, "opt_eps", {"1e-6", "1.0000000009e-6"}, {"1.000000002e-6", "9.999999974752427e-07", "NaN"}},
      {&lamb, "scheduler_type", {"\"multistep\""}, {"\"Multistep\"", "1"}},
      {&lamb, "scheduler_lr_warmup_steps", from_0, not_from_0},
      {&lamb, "scheduler_lr_warmup_factor", {"1"}, {"0.99"}},
      {&lamb, "train_samples", {"121266"}, {"121265", "121267"}},
      {&lamb, "eval_samples", {"15158"}, {"15157"}},
      {&lamb, "opt_bias_correction", {"true", "1", "\"x\"", "[0]", "NaN"}, {"false", "0", "\"\"", "[]", "{}", "null"}},
      {&lamb, "opt_grad_averaging", {"true"}, {"false"}},
      {&lamb, "opt_max_grad_norm", {"1", "1.0"}, {"0.99", "2"}},
      {&lamb, "scheduler_milestones", {"[]", "\"x\""}, {"1"}},
      {&lamb, "scheduler_decay_rate", {"1", "-1"}, {"1.01"}},
      {&cosine, "opt_name", {"\"Adam\"", "\"AdamW\""}, {"\"LAMB\""}},  // LAMB asks for keys that this log lacks
      {&cosine, "scheduler_t_max", {"1"}, {"0.9"}},
      {&cosine, "scheduler_eta_min", from_0, not_from_0},
      {&oc20, "global_batch_size", above_0, not_above_0},
      {&oc20, "opt_name", {"\"AdamW\""}, {"\"Adam\""}},
      {&oc20, "opt_base_learning_rate", from_0, not_from_0},
      {&oc20, "opt_learning_rate_warmup_steps", from_0, not_from_0},
      {&oc20, "opt_learning_rate_warmup_factor", from_0, not_from_0},
      {&openfold, "opt_base_learning_rate", from_0, not_from_0},
      {&openfold, "opt_learning_rate_warmup_init", from_0, not_from_0},
      {&openfold, "opt_learning_rate_warmup_steps", from_0, not_from_0},
      {&openfold, "global_batch_size", above_0, not_above_0},
      {&openfold,
       "initial_training_dataloader_type",
       {"\"InitialTrainingDataloaderPT\"", "\"InitialTrainingDataloaderPQ\""},
       {"\"x\""}},
      {&openfold, "opt_name", {"\"Adam\""}, {"\"AdamW\""}},
      {&openfold, "train_max_pdb_release_date", {"\"2021-09-16\""}, {"\"2021-09-17\""}},
      {&openfold, "val_min_cameo_submission_date", {"\"2021-09-17\""}, {"\"2021-09-16\""}},
      {&openfold, "val_max_cameo_submission_date", {"\"2021-12-11\""}, {"\"2021-12-12\""}},
      {&openfold, "templates_enabled", {"true", "1"}, {"false"}},
      {&openfold, "opt_amsgrad", {"false"}, {"true"}},
      {&openfold, "opt_adam_epsilon", {"1e-6"}, {"9.999999974752427e-07"}},
      {&lars, "gradient_accumulation_steps", above_0, not_above_0},
      {&lars, "opt_name", {"\"lars\""}, {"\"sgd\"", "\"LARS\""}},
      {&lars, "lars_opt_end_learning_rate", {"0.0001"}, {"0.00011"}},
      {&lars, "lars_opt_learning_rate_decay_poly_power", {"2"}, {"1"}},
      {&lars, "lars_epsilon", {"0"}, {"1e-9"}},
      {&lars, "lars_opt_weight_decay", {"0.0001", "5e-05", "0.0002", "2.5e-05"}, {"1e-05", "0", "-0.0001", "0.0003"}},
      {&sgd, "sgd_opt_base_learning_rate", {"0.001", "8.5"}, {"0.0005", "Infinity"}},
      {&sgd, "sgd_opt_end_learning_rate", {"0.0001"}, {"0"}},
      {&sgd, "sgd_opt_weight_decay", {"5e-05"}, {"6e-05"}}};
  for (const Bound& bound : bounds) {
    const std::size_t at = place(*bound.log, bound.key);
    for (const std::string& value : bound.good) {
      const Verdict verdict = judged(with_value(*bound.log, at, value));
      EXPECT_TRUE(verdict.compliant()) << bound.key << " " << value << ": " << said(verdict.official)[0];
    }
    for (const std::string& value : bound.bad)
      EXPECT_FALSE(judged(with_value(*bound.log, at, value)).compliant()) << bound.key << " " << value;
  }
}

TEST(OfficialRules, FixEveryConstantOfOpenfold) {
  for (const std::string key : {"target_avg_lddt_ca_value",
                                "val_max_sequence_length",
                                "val_every_iters",
                                "train_samples",
                                "eval_samples",
                                "model_parameters_count",
                                "train_sequence_crop_size",
                                "num_recycling_iters",
                                "max_msa_clusters",
                                "max_extra_msa",
                                "max_templates",
                                "fape_loss_weight",
                                "fape_loss_backbone_weight",
                                "fape_loss_sidechain_weight",
                                "supervised_chi_loss_weight",
                                "distogram_loss_weight",
                                "masked_msa_loss_weight",
                                "plddt_loss_weight",
                                "opt_adam_beta_1",
                                "opt_adam_beta_2",
                                "opt_weight_decay",
                                "opt_gradient_clipping",
                                "opt_gradient_clip_norm",
                                "swa_enabled",
                                "swa_decay_rate",
                                "init_checkpoint_sha256sum"}) {
    const std::size_t at = place(openfold, key);
    EXPECT_EQ(said(judged(with_value(openfold, at, "7.5")).official).size(), 1U) << key;
    EXPECT_EQ(judged(without(openfold, at)).official.size(), 1U) << key;
  }
}

TEST(OfficialRules, CountKeys) {
  const struct {
    const Lines& log;
    const char* key;
    bool once;
  } counts[] = {{cosmoflow, "submission_org", true},
                {cosmoflow, "submission_status", true},
                {cosmoflow, "submission_division", true},
                {cosmoflow, "train_samples", true},
                {cosmoflow, "number_of_nodes", true},
                {cosmoflow, "global_batch_size", true},
                {cosmoflow, "opt_learning_rate_decay_factor", true},
                {cosmoflow, "init_stop", true},
                {cosmoflow, "run_start", true},
                {cosmoflow, "run_stop", true},
                {cosmoflow, "cache_clear", false},
                {lamb, "opt_betas", true},
                {sgd, "model_bn_span", true},
                {sgd, "sgd_opt_momentum", true},
                {lars, "lars_opt_momentum", true},
                {lars, "lars_opt_learning_rate_decay_steps", true},
                {oc20, "opt_learning_rate_decay_boundary_steps", true}};
  for (const auto& each : counts) {
    const std::size_t at = place(each.log, each.key);
    EXPECT_FALSE(judged(without(each.log, at)).compliant()) << each.key;
    Lines twice = each.log;
    twice.insert(twice.begin() + static_cast<std::ptrdiff_t>(at), each.log[at]);
    const Verdict verdict = judged(twice);
    EXPECT_EQ(verdict.compliant(), !each.once) << each.key;
    if (each.once) {
      EXPECT_EQ(verdict.official[0].line, static_cast<int>(at) + 2);
      EXPECT_EQ(verdict.official[0].message, std::string(each.key) + " must occur exactly once; found 2");
    }
  }
  EXPECT_EQ(said(judged(without(cosmoflow, place(cosmoflow, "cache_clear"))).official),
            Lines{"0 at_least_one: cache_clear must occur at least once"});
}

TEST(OfficialRules, SetTargetsWithBothEnds) {
  const struct {
    const Lines& log;
    const char* key;
    Lines good, bad;
  } targets[] = {{cosmoflow, "eval_error", {"0.124", "1e-9"}, {"0.1241", "0", "-1"}},
                 {oc20, "eval_error", {"0.036"}, {"0.0361", "0"}},
                 {lamb, "eval_accuracy", {"0.82", "1"}, {"0.8199999928474426", "1.01"}},
                 {openfold, "eval_accuracy", {"0.8", "1"}, {"0.7999", "1.01"}},
                 {lars, "eval_accuracy", {"0.759", "0.9999"}, {"0.7589", "1"}}};
  for (const auto& each : targets) {
    const std::size_t at = last_place(each.log, each.key);
    for (const std::string& value : each.good)
      EXPECT_TRUE(judged(with_value(each.log, at, value)).compliant()) << value;
    for (const std::string& value : each.bad)
      EXPECT_EQ(said(judged(with_value(each.log, at, value)).official),
                Lines{"0 target: no " + std::string(each.key) + " reaches the quality target"})
          << value;
  }
  EXPECT_TRUE(judged(with_value(resnet_open, last_place(resnet_open, "eval_accuracy"), "0.1")).compliant());
}

TEST(OfficialRules, LimitTheInitialisation) {
  const auto ends_at = [](const Lines& log, std::int64_t milliseconds) {
    const std::size_t start = place(log, "init_start"), stop = place(log, "init_stop");
    const auto time = [](const std::string& line) { return line.substr(line.find("time_ms\": ") + 10, 13); };
    return with(log, stop, time(log[stop]), std::to_string(std::stoll(time(log[start])) + milliseconds));
  };
  EXPECT_TRUE(judged(ends_at(cosmoflow, 30 * 60000 - 1)).compliant());
  EXPECT_EQ(said(judged(ends_at(cosmoflow, 30 * 60000)).official)[0].substr(0, 40),
            "22 check: init_stop must be within the l");
  // Where several processes tell of their starts, the first one's counts.
  Lines again = ends_at(cosmoflow, 30 * 60000);
  const std::size_t stop = place(again, "init_stop"), start = place(again, "init_start");
  again.insert(again.begin() + static_cast<std::ptrdiff_t>(stop),
               with(again, start, again[start].substr(again[start].find("time_ms\": ") + 10, 13),
                    again[stop].substr(again[stop].find("time_ms\": ") + 10, 13))[start]);
  EXPECT_EQ(said(judged(again).official)[0].substr(0, 40), "23 check: init_stop must be within the l");
  EXPECT_TRUE(judged(ends_at(lars, 30 * 60000 - 1)).compliant());
  EXPECT_FALSE(judged(ends_at(lars, 30 * 60000)).compliant());
  EXPECT_TRUE(judged(ends_at(resnet_open, 240 * 60000 - 1)).compliant());
  EXPECT_FALSE(judged(ends_at(resnet_open, 240 * 60000)).compliant());
}

TEST(OfficialRules, OrderPhases) {
  const auto late = [](const Lines& log, const char* key, const char* behind) {
    return judged(moved(log, place(log, key), place(log, behind))).compliant();
  };
  EXPECT_FALSE(late(cosmoflow, "init_start", "init_stop"));
  EXPECT_FALSE(late(cosmoflow, "init_stop", "run_start"));
  EXPECT_FALSE(late(cosmoflow, "staging_start", "staging_stop"));
  EXPECT_FALSE(judged(moved(cosmoflow, place(cosmoflow, "run_start"), last_place(cosmoflow, "run_stop"))).compliant());
  const Lines before = moved(cosmoflow, place(cosmoflow, "staging_start"), place(cosmoflow, "run_start"));
  EXPECT_TRUE(judged(before).compliant());
  EXPECT_FALSE(judged(before, "hpc", "2.0.0").compliant());
  EXPECT_TRUE(judged(cosmoflow, "hpc", "2.0.0").compliant());
  EXPECT_TRUE(judged(cosmoflow, "hpc", "1.0.0").compliant());
  EXPECT_FALSE(judged(openfold, "hpc", "2.0.0").compliant());
  EXPECT_FALSE(judged(moved(lars, place(lars, "block_start"), place(lars, "run_start"))).compliant());
}

TEST(OfficialRules, WantMetadata) {
  for (const auto& [log, key, name] : {std::tuple{&cosmoflow, "run_stop", "status"},
                                       {&cosmoflow, "epoch_start", "epoch_num"},
                                       {&cosmoflow, "epoch_stop", "epoch_num"},
                                       {&cosmoflow, "eval_start", "epoch_num"},
                                       {&cosmoflow, "eval_stop", "epoch_num"},
                                       {&cosmoflow, "eval_error", "epoch_num"},
                                       {&lars, "block_start", "epoch_count"},
                                       {&lars, "block_start", "first_epoch_num"},
                                       {&lars, "block_stop", "first_epoch_num"},
                                       {&lars, "eval_start", "epoch_num"},
                                       {&lars, "eval_stop", "epoch_num"},
                                       {&lars, "eval_accuracy", "epoch_num"}}) {
    const std::size_t at = place(*log, key);
    EXPECT_EQ(judged(with(*log, at, name, "other")).official.at(0).line, static_cast<int>(at) + 1)
        << key << " " << name;
  }
  const std::size_t block = place(lars, "block_start");
  EXPECT_FALSE(judged(with(lars, block, "\"epoch_count\": ", "\"epoch_count\": -")).compliant());
  EXPECT_TRUE(judged(with(lars, block, "\"epoch_count\": ", "\"samples_count\": 0, \"epoch_count\": ")).compliant());
  EXPECT_FALSE(judged(with(lars, block, "\"epoch_count\": ", "\"samples_count\": -1, \"epoch_count\": ")).compliant());
}

TEST(OfficialRules, TakeTheFirstOfASubmissionsHeader) {
  Lines twice = cosmoflow;
  twice.push_back(
      with_value(cosmoflow, place(cosmoflow, "submission_status"), "\"home\"")[place(cosmoflow, "submission_status")]);
  EXPECT_EQ(said(judged(twice).official), Lines{"42 exactly_one: submission_status must occur exactly once; found 2"});
}

TEST(SemanticRules, TellWhatComesAfterTheRun) {
  for (const std::string key : {"epoch_start", "eval_start"}) {
    Lines late = cosmoflow_open;
    late.push_back(cosmoflow_open[last_place(cosmoflow_open, key)]);
    late.back().replace(late.back().find("\"epoch_num\": 3"), 14, "\"epoch_num\": 4");
    EXPECT_TRUE(std::ranges::count(said(judged(late).semantic), "33 phase_order: " + key + " after run_stop") == 1)
        << key;
  }
}

TEST(SemanticRules, TellWhatComesBeforeTheRun) {
  const std::size_t start = place(cosmoflow_open, "run_start");
  for (const std::string key : {"epoch_start", "eval_start", "eval_error"}) {
    const Lines early = moved(cosmoflow_open, place(cosmoflow_open, key), start);
    const Lines findings = said(judged(early).semantic);
    EXPECT_EQ(std::ranges::count(findings, std::to_string(start + 1) + " phase_order: " + key + " before run_start"), 1)
        << key;
  }
}

TEST(SemanticRules, PairByName) {
  const std::size_t stop = place(cosmoflow_open, "eval_stop");
  EXPECT_EQ(said(judged(without(cosmoflow_open, stop)).semantic),
            Lines{"22 pairing: eval_start again before the eval_stop of line 18"});
  const std::size_t start = place(cosmoflow_open, "eval_start");
  EXPECT_EQ(said(judged(without(cosmoflow_open, start)).semantic), Lines{"19 pairing: eval_stop without a eval_start"});
  EXPECT_EQ(said(judged(with(cosmoflow_open, stop, "\"epoch_num\": 1", "\"epoch_num\": 3")).semantic),
            Lines{"20 pairing: eval_stop of epoch 3 closes the eval_start of epoch 1 in line 18"});
  EXPECT_EQ(said(judged(without(cosmoflow_open, last_place(cosmoflow_open, "epoch_stop"))).semantic),
            Lines{"27 pairing: epoch_start has no epoch_stop"});
}

TEST(SemanticRules, CountEpochs) {
  const std::size_t second = place(cosmoflow_open, "epoch_start", 1);
  EXPECT_EQ(said(judged(with(with(cosmoflow_open, second, "\"epoch_num\": 2", "\"epoch_num\": 5"),
                             place(cosmoflow_open, "epoch_stop", 1), "\"epoch_num\": 2", "\"epoch_num\": 5"))
                     .semantic),
            (Lines{"22 epoch_sequence: epoch 5 follows epoch 1; epochs count from 1 without gaps",
                   "27 epoch_sequence: epoch 3 follows epoch 5; epochs count from 1 without gaps"}));
}

TEST(SemanticRules, MeasureTimeThatGoesBack) {
  const std::size_t at = place(cosmoflow_open, "number_of_nodes");
  const Lines findings = said(judged(with(cosmoflow_open, at, "1700000000008", "1699999999000")).semantic);
  EXPECT_EQ(findings, Lines{"8 time_order: number_of_nodes is 1007 ms before the record above it"});
}

TEST(SemanticRules, NameEventTypes) {
  EXPECT_EQ(
      said(judged(with(cosmoflow_open, place(cosmoflow_open, "eval_error"), "POINT_IN_TIME", "INTERVAL_END")).semantic),
      Lines{"19 event_type: eval_error is a POINT_IN_TIME, not \"INTERVAL_END\""});
  EXPECT_EQ(said(judged(with(cosmoflow_open, place(cosmoflow_open, "eval_start"), "INTERVAL_START", "POINT_IN_TIME"))
                     .semantic),
            Lines{"18 event_type: eval_start is a INTERVAL_START, not \"POINT_IN_TIME\""});
}

TEST(SemanticRules, HoldStatusAgainstTheTarget) {
  const std::size_t stop = place(cosmoflow_open, "run_stop"), metric = last_place(cosmoflow_open, "eval_error");
  EXPECT_EQ(said(judged(with(cosmoflow_open, stop, "success", "aborted")).semantic),
            Lines{"32 status: status is aborted, though a metric before run_stop reaches the target (summaries would "
                  "count it)"});
  for (const std::string value : {"0.1241", "0", "-1"})
    EXPECT_EQ(said(judged(with_value(cosmoflow_open, metric, value)).semantic),
              Lines{"32 status: status is success, but no metric before run_stop reaches the target"})
        << value;
  EXPECT_EQ(said(judged(with(cosmoflow_open, stop, "\"success\"", "7")).semantic),
            Lines{"32 status: status 7 is neither \"success\" nor \"aborted\""});
  for (const Lines* log : {&lamb, &openfold, &lars}) {
    const std::size_t at = last_place(*log, "eval_accuracy");
    EXPECT_TRUE(judged(*log).sound());
    EXPECT_EQ(judged(with_value(*log, at, "0.7")).semantic.size(), 1U);
    EXPECT_EQ(judged(with_value(*log, at, "1.01")).semantic.size(), 1U);
  }
  EXPECT_EQ(judged(with_value(oc20, last_place(oc20, "eval_error"), "0.0361")).semantic.size(), 1U);
}

TEST(SemanticRules, TellSeveralAttempts) {
  Lines both(cosmoflow_open.begin(), cosmoflow_open.begin() + 24);
  both.insert(both.end(), cosmoflow_open.begin(), cosmoflow_open.end());
  const Lines findings = said(judged(both).semantic);
  EXPECT_EQ(std::ranges::count(
                findings, "25 attempts: attempt 2 begins here, after one that began in line 1; a log is of one run"),
            1);
  EXPECT_EQ(std::ranges::count(findings,
                               "0 run_stop: run_stop is missing: the run was cut off before it could close its log"),
            1);
  EXPECT_EQ(findings.size(), 4U) << "and two starts without their stops";
}

TEST(SemanticRules, TellRunsThatAreMixed) {
  Lines twice;
  for (const std::string& line : cosmoflow_open)
    twice.insert(twice.end(), {line, line});
  EXPECT_EQ(said(judged(twice).semantic)[0], "0 attempts: 2 runs or processes write into this file at once");
}

TEST(SemanticRules, NameLinesThatAreBroken) {
  const std::size_t stop = place(cosmoflow_open, "eval_stop");
  Lines glued = cosmoflow_open;
  glued[stop] += glued[stop + 1];
  glued.erase(glued.begin() + static_cast<std::ptrdiff_t>(stop) + 1);
  EXPECT_EQ(said(judged(glued).semantic).back(), "20 line: holds 2 records glued together");
  Lines cut = cosmoflow_open;
  cut[stop].resize(cut[stop].size() - 5);
  EXPECT_EQ(said(judged(cut).semantic).back(), "20 line: a record is lost: is cut off (it names eval_stop)");
}

}  // namespace
}  // namespace trainmark

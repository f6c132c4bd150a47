// What can only be said of a config once the world and the dataset's counts are known.
#include <fmt/core.h>

#include "run/launch/dataset.hpp"
#include "trainmark/run.hpp"

namespace trainmark {
namespace {

using Complaints = std::vector<std::string>;

void check_counts(const RunOptions& options, const DatasetFacts& facts, Complaints& complaints) {
  const auto wanted = [&](const char* key, std::int64_t asked, std::int64_t there) {
    if (asked > there) {
      complaints.push_back(
          fmt::format("/data/{}: {} samples asked for, {} are there (an epoch would be shorter than logged); "
                      "lower the number or 0 for all",
                      key, asked, there));
    }
  };
  wanted("train_samples", options.data.train_samples, facts.train_samples);
  wanted("validation_samples", options.data.validation_samples, facts.validation_samples);
}

void check_batch(const RunOptions& options, int ranks, std::int64_t samples, Complaints& complaints) {
  const std::int64_t batch = options.train.global_batch;
  if (!options.train.divides(ranks)) {
    const std::int64_t parts = ranks * options.train.gradient_accumulation_steps;
    const std::int64_t below = batch / parts * parts;
    complaints.push_back(fmt::format(
        "/train/global_batch: {} (every rank of this launch takes the same share); use {}{}, or another number of "
        "ranks{}",
        indivisible(options.train, ranks), below > 0 ? fmt::format("{} or ", below) : "", below + parts,
        options.train.gradient_accumulation_steps > 1 ? " or /train/gradient_accumulation_steps" : ""));
  }
  if (samples < ranks) {
    complaints.push_back(
        fmt::format("/data/train: {} samples for {} ranks (some would have nothing to train on); start at most {} "
                    "ranks or add data",
                    samples, ranks, samples));
  } else if (samples < batch) {
    complaints.push_back(fmt::format(
        "/train/global_batch: {} is more than the {} training samples (an epoch would have no step); use at "
        "most {} or add data",
        batch, samples, samples));
  } else if (samples % batch != 0 && remainder_of(options.recipe.model) == Remainder::refused) {
    complaints.push_back(
        fmt::format("/train/global_batch: {} training samples are not a multiple of {} (each sample is visited exactly "
                    "once an epoch, in whole "
                    "batches); set /data/train_samples to {} or choose a batch that divides {}",
                    samples, batch, samples / batch * batch, samples));
  }
}

/// Of a set that nodes hold in parts.
void check_parts(const RunOptions& options, int ranks, int nodes, Complaints& complaints) {
  const StageOptions& stage = options.stage;
  if (stage.strategy != Strategy::shard && stage.strategy != Strategy::group) return;
  if (stage.strategy == Strategy::group && nodes % stage.group != 0) {
    complaints.push_back(
        fmt::format("/stage/group: {} does not divide the {} nodes of this launch (each group holds one part of the "
                    "set); use a divisor of {}",
                    stage.group, nodes, nodes));
    return;
  }
  const int parts = parts_of(stage, nodes);
  if (!options.train.divides(parts)) {
    complaints.push_back(fmt::format(
        "/train/global_batch: {} is not divisible by the {} parts that the nodes hold{} (each batch takes "
        "the same number of samples from each); use a multiple of {}",
        options.train.global_batch, parts, in_parts(options.train), parts * options.train.gradient_accumulation_steps));
  }
  if (parts > 1 && ranks % nodes != 0) {
    complaints.push_back(fmt::format(
        "/stage/strategy: {} needs the same number of ranks on each node, {} ranks run on {} nodes; start a "
        "multiple of {} ranks",
        word(stage.strategy), ranks, nodes, nodes));
  }
}

void check_closed(const RunOptions& options, const DatasetFacts& facts, Complaints& complaints) {
  if (options.submission.division != Division::closed) return;
  for (const RuleBreach& breach : closed_breaches(options.recipe, facts, train_facts(options))) {
    complaints.push_back(
        fmt::format("{}: {} is not what the closed division asks for: {} (a log that says closed would claim a "
                    "comparison that does not hold); set /submission/division to \"open\" or use the reference's",
                    breach.subject, breach.found, breach.required));
  }
}

}  // namespace

std::string in_parts(const TrainOptions& train) {
  if (train.gradient_accumulation_steps == 1) return "";
  return fmt::format(" in {} parts", train.gradient_accumulation_steps);
}

std::string indivisible(const TrainOptions& train, std::int64_t ranks) {
  return fmt::format("{} is not divisible by {} ranks{}", train.global_batch, ranks, in_parts(train));
}

std::string ungroupable(const RunOptions& options, int ranks) {
  const int group = norm_group_of(options.recipe.model);
  if (ranks % group == 0) return {};
  return fmt::format(
      "/model/norm_group: {} does not divide the {} ranks of this launch (each group has the same number of ranks); "
      "start a multiple of {} ranks or use a divisor of {}",
      group, ranks, group, ranks);
}

QualityTarget target_of(const RunOptions& options) {
  QualityTarget target = quality_target(benchmark_of(options.recipe.model)).value();
  if (options.train.target > 0.0) target.value = options.train.target;
  return target;
}

std::vector<std::string> labels_of(const RunOptions& options) {
  std::vector<std::string> labels;
  if (options.backend.device == DeviceChoice::emulated) labels.emplace_back(emulated_label);
  const double asked = quality_target(benchmark_of(options.recipe.model)).value().value;
  if (const double own = target_of(options).value; options.train.until == Until::target && own != asked) {
    const Rules rules = rules_of(options);
    labels.push_back(fmt::format("target {} is not the benchmark's {}: not comparable with MLPerf {} {}", own, asked,
                                 rules.usage == Usage::training ? "Training" : "HPC", word(rules.version)));
  }
  const std::int64_t largest = largest_reference_batch(options.recipe.model);
  if (options.train.global_batch > largest) {
    labels.push_back(fmt::format("global batch {} is above the largest reference convergence point, {}",
                                 options.train.global_batch, largest));
  }
  if (is_one_folder(options.data.train, options.data.validation))
    labels.emplace_back("evaluated on the samples of training: the metric says nothing of what was learnt");
  if (stages_beside(options)) labels.emplace_back(overlap_label);
  if (const Wire wire = options.train.wire; wire != Wire::fp32)
    labels.push_back(fmt::format("gradients travel between ranks, where there are several, in {} and are rounded to it",
                                 word(wire)));
  return labels;
}

Rules rules_of(const RunOptions& options) {
  return rules_of(benchmark_of(options.recipe.model), options.submission.ruleset);
}

std::vector<std::string> check_options(const RunOptions& options, int ranks, int nodes, const DatasetFacts& facts) {
  Complaints complaints;
  check_counts(options, facts, complaints);
  const std::int64_t samples = options.data.train_samples > 0 ? options.data.train_samples : facts.train_samples;
  check_batch(options, ranks, samples, complaints);
  check_parts(options, ranks, nodes, complaints);
  if (std::string complaint = ungroupable(options, ranks); !complaint.empty())
    complaints.push_back(std::move(complaint));
  check_closed(options, facts, complaints);
  return complaints;
}

}  // namespace trainmark

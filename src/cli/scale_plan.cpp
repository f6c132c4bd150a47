#include "cli/scale_plan.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "cli/numbers.hpp"
#include "cli/prediction.hpp"

namespace trainmark::cli {
namespace {

using Json = nlohmann::ordered_json;

double stored_sample_bytes(const RunOptions& options, double stated) {
  if (stated > 0.0) return stated;
  if (std::holds_alternative<Resnet50Options>(options.recipe.model)) {
    throw Error(ExitCode::usage,
                Complaint{"--sample-bytes", "is needed for JPEGs, which have no size of their own",
                          "a node's part could not be told", "state their mean size, e.g. 114660 for ImageNet's"});
  }
  return static_cast<double>(schema_of(options.recipe.model).sample_bytes());
}

void require_number(std::int64_t samples, const char* key) {
  if (samples > 0) return;
  throw Error(
      ExitCode::usage,
      Complaint{fmt::format("/data/{}", key), "is not given",
                "how much a node holds follows from the number of samples",
                fmt::format("give both, e.g. --set data.train_samples=524288 --set data.validation_samples=65536")});
}

/// Of training: those of whole batches where the rules leave out the rest.
double samples_an_epoch(const RunOptions& options) {
  const std::int64_t samples = options.data.train_samples;
  return static_cast<double>(std::min(samples, steps_per_epoch(options, samples) * options.train.global_batch));
}

std::vector<int> nodes_to_look_at(const RunOptions& options, const ScaleQuestion& question) {
  if (!question.nodes.empty()) return question.nodes;
  std::vector<int> nodes;
  for (std::int64_t many = 1; many * question.ranks_per_node <= options.train.batch() && many <= 1 << 20; many *= 2)
    nodes.push_back(static_cast<int>(many));
  return nodes;
}

/// Epochs of training that the config ends with at the latest; 0: a run for some seconds has no such number.
double most_epochs(const RunOptions& options) {
  const std::int64_t samples = options.data.train_samples, an_epoch = steps_per_epoch(options, samples);
  return static_cast<double>(most_steps(options, samples).value_or(0)) /
         static_cast<double>(std::max<std::int64_t>(1, an_epoch));
}

/// Nodes of a group hold the same, and groups are of one size.
int largest_group(int nodes, double part_bytes, const Tier& tier) {
  int largest = 1;
  for (int divisor = 1; divisor <= nodes / divisor; ++divisor) {
    if (nodes % divisor != 0) continue;
    for (const int group : {divisor, nodes / divisor})
      if (part_bytes * group <= tier.bytes) largest = std::max(largest, group);
  }
  return largest;
}

/// What would have to be stated for every line to have its epoch, as far as stating helps.
std::vector<std::string> not_stated(const std::vector<ScaleLine>& lines, const ScaleQuestion& question) {
  std::vector<std::string> unknown;
  if (question.tiers.empty())
    unknown.emplace_back(
        "where data lie and how fast they are read there: --tiers NAME=SIZE@RATE, e.g. nvme=3.2TB@6GB");
  for (const Tier& tier : question.tiers) {
    const auto reads_from_it = [&](const ScaleLine& line) { return line.tier && line.tier->name == tier.name; };
    if (!tier.bytes_per_s && std::ranges::any_of(lines, reads_from_it))
      unknown.push_back(
          fmt::format("how fast a node reads from {0}: --tiers {0}=SIZE@RATE, the bytes of a second behind an @, e.g. "
                      "{0}=512GiB@25GB",
                      tier.name));
  }
  if (question.device.empty()) unknown.emplace_back("how fast a rank computes: --device, e.g. h200");
  return unknown;
}

}  // namespace

std::optional<double> ScaleLine::epoch_s() const {
  if (!read_s || !compute_s) return std::nullopt;  // either alone is less than it takes
  return std::max(*read_s, *compute_s);
}

ScalePlan plan_scale(const RunOptions& options, const ScaleQuestion& question) {
  ScalePlan plan;
  plan.train_samples = options.data.train_samples;
  plan.validation_samples = options.data.validation_samples;
  require_number(plan.train_samples, "train_samples");
  require_number(plan.validation_samples, "validation_samples");
  const double each = stored_sample_bytes(options, question.sample_bytes);
  plan.set_bytes = each * static_cast<double>(plan.train_samples + plan.validation_samples);
  plan.epochs = most_epochs(options);
  for (const int nodes : nodes_to_look_at(options, question)) {
    ScaleLine line{.nodes = nodes, .ranks = ranks_on(nodes, question.ranks_per_node)};
    line.part_bytes = plan.set_bytes / nodes;
    line.tier = fastest_tier_for(line.part_bytes, question.tiers);
    if (line.tier) {
      line.largest_group = largest_group(nodes, line.part_bytes, *line.tier);
      if (line.tier->bytes_per_s) line.read_s = each * samples_an_epoch(options) / nodes / *line.tier->bytes_per_s;
    }
    if (options.train.divides(line.ranks) && ungroupable(options, line.ranks).empty()) {
      line.local_batch = options.train.batch() / line.ranks;
      if (!question.device.empty()) {
        const StepGraphs graphs = graphs_of(options.recipe, step_options(options, line.ranks));
        line.compute_s = least_step_seconds(question.device, options, graphs) *
                         static_cast<double>(steps_per_epoch(options, options.data.train_samples));
      }
    }
    if (const auto epoch = line.epoch_s(); epoch && plan.epochs > 0.0) {
      line.node_hours = *epoch * plan.epochs * nodes / 3600.0;
      if (question.node_watts > 0.0) line.energy_kwh = *line.node_hours * question.node_watts / 1000.0;
    }
    plan.lines.push_back(line);
  }
  plan.unknown = not_stated(plan.lines, question);
  return plan;
}

std::string scale_text(const ScalePlan& plan, const ScaleQuestion& question) {
  const auto number = [](std::optional<double> value, const char* form) {
    return value ? fmt::format(fmt::runtime(form), *value) : std::string("-");
  };
  std::string text = fmt::format(
      "\nscale: {} samples to train with and {} to evaluate, {:.1f} GiB in all (as stored raw; modelled from what is "
      "stated, no measurement)\n"
      "{:>7} {:>8} {:>6} {:>12}  {:<8} {:>6} {:>11} {:>11} {:>11} {:>9} {:>11}",
      plan.train_samples, plan.validation_samples, plan.set_bytes / 0x1p30, "nodes", "ranks", "local", "GiB a node",
      "tier", "group", "read s", "compute s", "epoch s", "binds", "node-h");
  if (question.node_watts > 0.0) text += fmt::format(" {:>11}", "kWh");
  text += '\n';
  for (const ScaleLine& line : plan.lines) {
    const char* binds = !line.read_s || !line.compute_s ? "-" : *line.read_s > *line.compute_s ? "reading" : "compute";
    text += fmt::format(
        "{:>7} {:>8} {:>6} {:>12.2f}  {:<8} {:>6} {:>11} {:>11} {:>11} {:>9} {:>11}", line.nodes, line.ranks,
        line.local_batch ? std::to_string(*line.local_batch) : "-", line.part_bytes / 0x1p30,
        question.tiers.empty() ? "-"
        : line.tier            ? line.tier->name
                               : "none",
        line.largest_group ? std::to_string(*line.largest_group) : "-", number(line.read_s, "{:.3f}"),
        number(line.compute_s, "{:.3f}"), number(line.epoch_s(), "{:.3f}"), binds, number(line.node_hours, "{:.3f}"));
    if (question.node_watts > 0.0) text += fmt::format(" {:>11}", number(line.energy_kwh, "{:.2f}"));
    text += '\n';
  }
  text += fmt::format(
      "local: samples of a rank (-: the ranks do not share the batch); GiB a node: with stage.strategy shard; tier: "
      "the\n"
      "fastest that holds it; group: the most that stage.group may be for that with stage.strategy group; read: an "
      "epoch's\n"
      "training samples once; compute: its steps at the device's ceilings, one operation after the other (a run fuses "
      "some);\n"
      "epoch: the larger of both (-: one is not known), without network, stragglers and evaluation; node-h: of {} "
      "epochs\n",
      plan.epochs > 0.0 ? fmt::format("{:g}", plan.epochs) : "no known number of");
  for (const std::string& each : plan.unknown)
    text += fmt::format("not known: {}\n", each);
  return text;
}

nlohmann::ordered_json scale_json(const ScalePlan& plan, const ScaleQuestion& question) {
  const auto number = [](const auto& value) { return value ? Json(*value) : Json(); };
  Json lines = Json::array();
  for (const ScaleLine& line : plan.lines) {
    Json each = {{"nodes", line.nodes},
                 {"ranks", line.ranks},
                 {"local_batch", number(line.local_batch)},
                 {"shard_bytes_per_node", line.part_bytes},
                 {"tier", question.tiers.empty() ? Json() : Json(line.tier ? line.tier->name : "none")},
                 {"stage_group_at_most", number(line.largest_group)},
                 {"epoch_read_s", number(line.read_s)},
                 {"epoch_compute_s_unfused", number(line.compute_s)},
                 {"epoch_s", number(line.epoch_s())},
                 {"node_hours_at_most_epochs", number(line.node_hours)},
                 {"energy_kwh_at_most_epochs", number(line.energy_kwh)}};
    lines.push_back(std::move(each));
  }
  return {{"kind", "modelled from what is stated, never a measurement"},
          {"dataset_bytes", plan.set_bytes},
          {"epochs_at_most", plan.epochs > 0.0 ? Json(plan.epochs) : Json()},
          {"lines", std::move(lines)},
          {"not_known", plan.unknown}};
}

}  // namespace trainmark::cli

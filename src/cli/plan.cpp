// trainmark plan: what a step computes, moves and keeps, from the graph alone; no machine is needed.
#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <nlohmann/json.hpp>

#include "cli/config_file.hpp"
#include "cli/numbers.hpp"
#include "cli/prediction.hpp"
#include "cli/rates.hpp"
#include "cli/scale_plan.hpp"
#include "mllog/utf8.hpp"
#include "run/launch/warm_up.hpp"
#include "trainmark/exec.hpp"

namespace trainmark::cli {
namespace {

using Json = nlohmann::ordered_json;

struct Flags {
  ConfigSource config;
  int ranks = 1;
  std::string device;
  double reader_rate = 0.0;  ///< samples/s; 0: not known
  bool json = false, schedule = false;
  ScaleQuestion scale;
  std::string tiers;
  [[nodiscard]] bool asks_for_scale() const { return !tiers.empty() || !scale.nodes.empty(); }
};

struct Row {
  std::string node, op, shape;
  Cost cost;
};
struct Bucket {
  std::string name;
  std::int64_t tensors = 0;
  std::int64_t bytes = 0;
  Wire wire = Wire::fp32;  ///< in which it travels
};
/// All figures are of one rank but those that say "sample".
struct StepPlan {
  std::int64_t local_batch = 1;
  std::vector<Row> rows;
  std::vector<Bucket> buckets;
  Cost total;
  std::int64_t parameters = 0, tensors = 0;
  std::int64_t forward_macs_per_sample = 0, training_macs_per_sample = 0;
  std::size_t pool_bytes = 0, unshared_bytes = 0;  ///< activations of the unfused graph
  double reduce_bytes = 0.0;
  std::int64_t state_bytes = 0, input_bytes = 0, kept_bytes = 0;
  std::optional<Prediction> prediction;  ///< of a device that was asked for
  EmulatedDevice emulated;               ///< times of a rank's steps, where the config emulates a device
  [[nodiscard]] std::int64_t memory_bytes() const {
    return state_bytes + input_bytes + kept_bytes + static_cast<std::int64_t>(pool_bytes);
  }
};

std::string shape_of(const Graph& graph, const Node& node) {
  if (node.outputs.empty()) return "";
  return to_string(graph.tensors.at(static_cast<std::size_t>(node.outputs.front())).shape);
}

/// A row for each node; what several parts of a step have stands in one.
void add_rows(StepPlan& plan, const Graph& graph, std::int64_t count) {
  for (const Node& node : graph.nodes) {
    const Cost all = times(count, cost(graph, node));
    auto row = std::ranges::find(plan.rows, node.name, &Row::node);
    if (row == plan.rows.end())
      row = plan.rows.insert(row, {node.name, std::string(name_of(node.op)), shape_of(graph, node), {}});
    row->cost.parameters = all.parameters;
    row->cost.macs += all.macs;
    row->cost.flops += all.flops;
    row->cost.bytes += all.bytes;
    plan.total += all;
  }
}

/// Counts have 64 bits, a batch may have 63: beyond that a plan would print other numbers without a word.
void require_countable(const RunOptions& options, int ranks) {
  const Graph one = forward_of(options.recipe.model, {.compute = compute_type(options.train.precision)});
  const auto each = static_cast<double>(std::max(cost(one).flops, cost(one).bytes));
  const double ahead =
      2.0 * (options.load.prefetch + 1) * static_cast<double>(schema_of(options.recipe.model).sample_bytes());
  constexpr double passes = 6.0;  // forward, backward and what goes with them, amply
  const double samples = static_cast<double>(options.train.global_batch) / ranks;
  if (std::max(passes * each, ahead) * samples < 9.2e18) return;
  throw Error(
      ExitCode::usage,
      Complaint{
          "/train/global_batch",
          fmt::format("a step of {:.3g} samples on each rank has more operations or bytes than 64 bits count", samples),
          {},
          "choose a smaller batch or more --ranks"});
}

StepPlan plan_step(const RunOptions& options, int ranks, const std::string& device) {
  if (!options.train.divides(ranks)) {
    throw Error(ExitCode::usage,
                Complaint{"/train/global_batch", indivisible(options.train, ranks), "every rank takes the same share",
                          "choose other --ranks, another batch or other parts"});
  }
  if (const std::string complaint = ungroupable(options, ranks); !complaint.empty())
    throw Error(ExitCode::usage, complaint);
  require_countable(options, ranks);
  const std::int64_t parts = options.train.gradient_accumulation_steps;
  StepPlan plan;
  plan.local_batch = options.train.batch() / ranks;
  const StepOptions step_shape = step_options(options, ranks);
  const Graph forward = forward_of(options.recipe.model, step_shape.graph);
  plan.forward_macs_per_sample = cost(forward).macs / plan.local_batch;
  plan.parameters = forward.parameter_elements();
  plan.tensors = std::count_if(forward.tensors.begin(), forward.tensors.end(),
                               [](const Tensor& tensor) { return tensor.role == Role::parameter; });
  StepGraphs graphs = graphs_of(options.recipe, step_shape);
  const Graph& step = graphs.last;
  add_rows(plan, step, 1);
  if (graphs.earlier) add_rows(plan, *graphs.earlier, parts - 1);
  plan.training_macs_per_sample = plan.total.macs / (plan.local_batch * parts);
  for (const Node& node : step.nodes) {
    const auto* reduce = std::get_if<AllReduce>(&node.op);
    if (reduce == nullptr) continue;
    const std::int64_t bytes = reduce->range.size() * static_cast<std::int64_t>(size_of(reduce->wire));
    plan.reduce_bytes += 2.0 * (ranks - 1) / ranks * static_cast<double>(bytes);  // a ring sends so much of a bucket
    if (reduce->range.begin >= plan.parameters) continue;  // the loss by itself, where gradients travel in 16 bits
    const std::int64_t loss = reduce->range.end > plan.parameters ? 1 : 0;  // travels with the first, and is no tensor
    plan.buckets.push_back({node.name, std::ssize(node.inputs) - loss, bytes,
                            reduce->wire == DType::f32 ? Wire::fp32 : options.train.wire});
  }
  const Blueprint unfused = plan_only(*make_null_backend(), step);
  plan.pool_bytes = unfused.pool_bytes;
  plan.unshared_bytes = unfused.unshared_bytes;
  // Parameters, velocity, and gradients with the loss behind them (and their sums over parts): fp32 always.
  const std::int64_t gradients = (parts > 1 ? 2 : 1) * step.gradient_elements();
  plan.state_bytes = static_cast<std::int64_t>(sizeof(float)) *
                     ((1 + slots_of(options.recipe.rule)) * plan.parameters + gradients + step.statistic_elements());
  // Training and validation have a loader each, and one batch more than is read ahead is with the step.
  plan.input_bytes = 2 * (options.load.prefetch + 1) * plan.local_batch *
                     static_cast<std::int64_t>(schema_of(options.recipe.model).sample_bytes());
  plan.kept_bytes = std::max<std::int64_t>(0, options.load.memory_mib) << 20U;
  plan.emulated = emulated_times(options, ranks);
  if (!device.empty()) plan.prediction = predict(device, options, std::move(graphs));
  return plan;
}

double mib(double bytes) { return bytes / 1048576.0; }

struct Steps {
  std::int64_t an_epoch = 0;            ///< 0: the config does not say how many samples there are
  std::optional<std::int64_t> at_most;  ///< nothing: a run for some seconds has no bound
};
Steps steps_of(const RunOptions& options) {
  const std::int64_t samples = options.data.train_samples;
  if (samples == 0) return {};
  return {steps_per_epoch(options, samples), most_steps(options, samples)};
}

/// What has to come to an emulated device of a rank, every second, for it never to wait.
struct Need {
  double samples_per_s = 0.0;
  double bytes_per_s = 0.0;  ///< as uploaded; files may be coded
};
Need need_of(const StepPlan& plan, const RunOptions& options) {
  const auto samples = static_cast<double>(plan.local_batch * options.train.gradient_accumulation_steps) /
                       (1e-3 * plan.emulated.train_ms);
  return {samples, samples * static_cast<double>(schema_of(options.recipe.model).sample_bytes())};
}

std::string emulation_text(const StepPlan& plan, const RunOptions& options, int ranks) {
  const Need need = need_of(plan, options);
  const std::string& like = plan.emulated.like;
  return fmt::format("emulated device  {:.6g} ms a training step, {:.6g} ms an evaluation step ({})\n",
                     plan.emulated.train_ms, plan.emulated.eval_ms,
                     like.empty() ? "as stated" : "the floor of " + like + ", a bound and no measurement") +
         fmt::format("  it needs       {:.1f} samples/s and {:.3f} GB/s a rank, {:.3f} GB/s on all {}, not to wait\n",
                     need.samples_per_s, 1e-9 * need.bytes_per_s, 1e-9 * need.bytes_per_s * ranks, ranks);
}

std::vector<std::string> notes_of(const RunOptions& options) {
  std::vector<std::string> notes = labels_of(options);
  if (std::string warning = unfinished_warm_up(options, 0); !warning.empty()) notes.push_back(std::move(warning));
  return notes;
}

bool keeps_what_is_left(const RunOptions& options) { return options.load.memory_mib == LoadOptions::memory_auto; }

/// Of load.memory_mib; nothing where it is off.
std::string kept_text(const StepPlan& plan, const RunOptions& options) {
  if (keeps_what_is_left(options))
    return "kept samples     half of what a node's free memory has for a rank (load.memory_mib \"auto\"), not "
           "counted\n";
  if (plan.kept_bytes == 0) return {};
  const DataSchema schema = schema_of(options.recipe.model);
  const std::int64_t samples = plan.kept_bytes / static_cast<std::int64_t>(schema.sample_bytes());
  return fmt::format("kept samples     {:.1f} MiB at most, on the host: {}\n",
                     mib(static_cast<double>(plan.kept_bytes)),
                     schema.images ? "an evaluation's, and decoded images"
                                   : fmt::format("{} of {:.2f} MiB, an evaluation's first", samples,
                                                 mib(static_cast<double>(schema.sample_bytes()))));
}

std::string text_of(const StepPlan& plan, const RunOptions& options, int ranks) {
  std::string text;
  text += fmt::format("{:<34} {:<24} {:<22} {:>12} {:>18} {:>11} {:>10}\n", "node", "op", "output", "parameters",
                      "MACs", "GFLOP", "MiB");
  for (const Row& row : plan.rows) {
    text += fmt::format("{:<34} {:<24} {:<22} {:>12} {:>18} {:>11.4f} {:>10.2f}\n", row.node, row.op, row.shape,
                        row.cost.parameters, row.cost.macs, static_cast<double>(row.cost.flops) * 1e-9,
                        mib(static_cast<double>(row.cost.bytes)));
  }
  text += fmt::format("\n{} rank(s), {} sample(s) each of a global batch of {}{}, {}\n", ranks, plan.local_batch,
                      options.train.global_batch, in_parts(options.train), word(options.train.precision));
  text += fmt::format("parameters       {} in {} tensors\n", plan.parameters, plan.tensors);
  text += fmt::format("forward          {} MACs a sample\n", plan.forward_macs_per_sample);
  text += fmt::format("training         {:.1f} GFLOP a sample (2 per MAC, dense count)\n",
                      2e-9 * static_cast<double>(plan.training_macs_per_sample));
  text += fmt::format("step             {:.1f} GFLOP, {:.1f} MiB moved once (modelled, unfused)\n",
                      static_cast<double>(plan.total.flops) * 1e-9, mib(static_cast<double>(plan.total.bytes)));
  text += fmt::format("activation pool  {:.1f} MiB, {:.1f} MiB without reuse (modelled, unfused)\n",
                      mib(static_cast<double>(plan.pool_bytes)), mib(static_cast<double>(plan.unshared_bytes)));
  text += fmt::format("model state      {:.1f} MiB (parameters, gradients{}, optimizer)\n",
                      mib(static_cast<double>(plan.state_bytes)),
                      options.train.gradient_accumulation_steps > 1 ? " and their sums" : "");
  text += fmt::format("input            {:.1f} MiB ({} batches ahead, training and validation{})\n",
                      mib(static_cast<double>(plan.input_bytes)), options.load.prefetch,
                      options.load.threads == 0 ? ", more where load.threads \"auto\" needs it" : "");
  text += kept_text(plan, options);
  text += fmt::format("memory per rank  {:.1f} MiB (modelled; libraries and scratch memory come on top)\n",
                      mib(static_cast<double>(plan.memory_bytes())));
  text += fmt::format("all-reduce       {} bucket(s), {:.2f} MiB sent by each rank a step (modelled, ring)\n",
                      plan.buckets.size(), mib(plan.reduce_bytes));
  for (const Bucket& bucket : plan.buckets)
    text += fmt::format("  {:<12} {:>5} tensors {:>10.2f} MiB{}\n", bucket.name, bucket.tensors,
                        mib(static_cast<double>(bucket.bytes)),
                        bucket.wire == Wire::fp32 ? "" : fmt::format(" in {}", word(bucket.wire)));
  if (const auto [epoch, most] = steps_of(options); epoch > 0) {
    text += fmt::format("steps            {} an epoch of {} samples{}\n", epoch, options.data.train_samples,
                        most ? fmt::format(", at most {} in all", *most) : "");
  }
  if (options.backend.device == DeviceChoice::emulated) text += emulation_text(plan, options, ranks);
  for (const std::string& note : notes_of(options))
    text += "note             " + note + "\n";
  return text;
}

std::string text_of(const Prediction& prediction, std::int64_t samples, int ranks) {
  std::string text;
  text += fmt::format("\n{}: a bound from the device's ceilings ({}), never a measurement\n", prediction.device,
                      prediction.ceilings);
  text += fmt::format("plans            {}\n", prediction.plans);
  if (prediction.pool_bytes > 0) {
    text += fmt::format(
        "device memory    {:.1f} MiB of activations and {:.1f} MiB of scratch, beside model state and input\n",
        mib(static_cast<double>(prediction.pool_bytes)), mib(static_cast<double>(prediction.scratch_bytes)));
  }
  text += fmt::format(
      "step             at least {:.3f} ms, so at most {:.0f} samples/s a device, {:.0f} on all {} (all-reduce "
      "left out)\n",
      1e3 * prediction.seconds, static_cast<double>(samples) / prediction.seconds,
      static_cast<double>(samples * ranks) / prediction.seconds, ranks);
  std::vector<NodeBound> nodes = prediction.nodes;
  std::stable_sort(nodes.begin(), nodes.end(),
                   [](const NodeBound& a, const NodeBound& b) { return a.seconds > b.seconds; });
  constexpr std::size_t shown = 10;
  text +=
      fmt::format("the {} longest    share      us  bound by     GFLOP        MiB\n", std::min(shown, nodes.size()));
  for (std::size_t i = 0; i < std::min(shown, nodes.size()); ++i) {
    text += fmt::format("  {:<34} {:>5.1f} % {:>9.1f}  {:<8} {:>9.2f} {:>10.2f}\n", nodes[i].node,
                        100.0 * nodes[i].seconds / prediction.seconds, 1e6 * nodes[i].seconds,
                        nodes[i].memory_bound ? "memory" : "matrix", static_cast<double>(nodes[i].cost.flops) * 1e-9,
                        mib(static_cast<double>(nodes[i].cost.bytes)));
  }
  return text;
}

Json json_of(const Prediction& prediction) {
  Json nodes = Json::array();
  for (const NodeBound& node : prediction.nodes) {
    nodes.push_back({{"node", node.node},
                     {"bytes", node.cost.bytes},
                     {"flops", node.cost.flops},
                     {"seconds", node.seconds},
                     {"bound_by", node.memory_bound ? "memory" : "matrix"}});
  }
  return {{"device", prediction.device},
          {"kind", "modelled: a bound, never a measurement"},
          {"ceilings", prediction.ceilings},
          {"plans", prediction.plans},
          {"pool_bytes", prediction.pool_bytes},
          {"scratch_bytes", prediction.scratch_bytes},
          {"step_seconds_at_least", prediction.seconds},
          {"nodes", std::move(nodes)}};
}

/// Reader threads that keep a device busy which computes at its bound; each delivers `rate` samples/s.
double readers_for(const Prediction& prediction, std::int64_t samples, double rate) {
  return std::ceil(static_cast<double>(samples) / prediction.seconds / rate);
}

std::string plan_json(const StepPlan& plan, const RunOptions& options, const Flags& flags) {
  const int ranks = flags.ranks;
  Json nodes = Json::array();
  for (const Row& row : plan.rows) {
    nodes.push_back({{"node", row.node},
                     {"op", row.op},
                     {"output", row.shape},
                     {"parameters", row.cost.parameters},
                     {"macs", row.cost.macs},
                     {"flops", row.cost.flops},
                     {"bytes", row.cost.bytes}});
  }
  Json buckets = Json::array();
  for (const Bucket& bucket : plan.buckets)
    buckets.push_back(
        {{"name", bucket.name}, {"tensors", bucket.tensors}, {"bytes", bucket.bytes}, {"wire", word(bucket.wire)}});
  const Steps steps = steps_of(options);
  Json document = {{"ranks", ranks},
                   {"global_batch", options.train.global_batch},
                   {"local_batch", plan.local_batch},
                   {"gradient_accumulation_steps", options.train.gradient_accumulation_steps},
                   {"precision", word(options.train.precision)},
                   {"parameters", plan.parameters},
                   {"parameter_tensors", plan.tensors},
                   {"forward_macs_per_sample", plan.forward_macs_per_sample},
                   {"training_macs_per_sample", plan.training_macs_per_sample},
                   {"training_gflop_per_sample", 2e-9 * static_cast<double>(plan.training_macs_per_sample)},
                   {"step_flops_per_rank", plan.total.flops},
                   {"step_bytes_per_rank", plan.total.bytes},
                   {"activation_pool_bytes", plan.pool_bytes},
                   {"activation_unshared_bytes", plan.unshared_bytes},
                   {"state_bytes", plan.state_bytes},
                   {"input_bytes", plan.input_bytes},
                   {"kept_bytes", keeps_what_is_left(options) ? Json() : Json(plan.kept_bytes)},
                   {"memory_bytes_per_rank", plan.memory_bytes()},
                   {"all_reduce_sent_bytes_per_rank", plan.reduce_bytes},
                   {"wire", word(options.train.wire)},
                   {"buckets", std::move(buckets)},
                   {"steps_per_epoch", steps.an_epoch > 0 ? Json(steps.an_epoch) : Json()},
                   {"steps_at_most", steps.at_most ? Json(*steps.at_most) : Json()},
                   {"notes", notes_of(options)},
                   {"nodes", std::move(nodes)}};
  if (options.backend.device == DeviceChoice::emulated) {
    const Need need = need_of(plan, options);
    document["emulated"] = {{"like", plan.emulated.like},
                            {"train_ms", plan.emulated.train_ms},
                            {"eval_ms", plan.emulated.eval_ms},
                            {"samples_per_s_a_rank", need.samples_per_s},
                            {"bytes_per_s_a_rank", need.bytes_per_s}};
  }
  if (plan.prediction) document["prediction"] = json_of(*plan.prediction);
  if (flags.asks_for_scale()) document["scale"] = scale_json(plan_scale(options, flags.scale), flags.scale);
  if (plan.prediction && flags.reader_rate > 0.0) {
    document["prediction"]["readers_per_device"] =
        readers_for(*plan.prediction, options.train.global_batch / ranks, flags.reader_rate);
  }
  return json_text(document, 2) + "\n";
}

}  // namespace

void add_plan(CLI::App& app, Action& action) {
  auto flags = std::make_shared<Flags>();
  CLI::App* command = app.add_subcommand("plan", "Show what a training step computes, moves and keeps, layer by layer");
  add_config_options(*command, flags->config);
  constexpr double least = 1e-9, most = 1e15;  // beyond what anything has, and products stay numbers
  command->add_option("--ranks", flags->ranks, "For a launch of so many ranks")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command
      ->add_option("--device", flags->device,
                   "Add the least time that this device could take, and check that cuDNN has plans for it")
      ->check(CLI::IsMember(known_devices()));
  add_number(*command, "--reader-rate", flags->reader_rate,
             "Tell how many reader threads --device needs; samples/s of one (run.json: samples_per_s_a_reader)", least,
             most);
  command
      ->add_option("--tiers", flags->tiers,
                   "Show where data lie on 1, 2, 4 ... nodes: what a node holds (and reads in a second)")
      ->type_name("TIERS");
  command->add_option("--nodes", flags->scale.nodes, "... on these numbers of nodes, e.g. 16,64,256")
      ->delimiter(',')
      ->check(CLI::PositiveNumber);
  command->add_option("--ranks-per-node", flags->scale.ranks_per_node, "... with so many ranks on each")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  add_number(*command, "--sample-bytes", flags->scale.sample_bytes,
             "... of samples of this size on disk (JPEGs: their mean)", 1.0, most);
  add_number(*command, "--node-watts", flags->scale.node_watts, "... with the energy, where a node draws so much",
             least, most);
  command->add_flag("--schedule", flags->schedule, "Show the learning rate over the run instead");
  command->add_flag("--json", flags->json, "Print JSON");
  command->footer(
      "Nothing runs and no data are read: figures come from the graph of the step (forward, backward, all-reduce, "
      "update).\n"
      "MACs are the dense count: taps in the padding count too. GFLOP has element-wise work besides 2 per MAC.\n\n"
      "Examples:\n  trainmark plan configs/cosmoflow/node.json\n"
      "  trainmark plan configs/cosmoflow/closed_512.json --ranks 512\n"
      "  trainmark plan configs/resnet50/fujitsu_81920.json --ranks 2048\n"
      "  trainmark plan configs/cosmoflow/closed_512.json --device h200 --ranks-per-node 8 --tiers "
      "dram=2TiB,nvme=28TB@25GB\n"
      "  trainmark plan configs/deepcam/closed_2048.json --schedule\n  trainmark plan my.json --set model.width=0.5 "
      "--json\n  trainmark plan configs/cosmoflow/node.json --device h200 --set train.precision=bf16\n\n"
      "Exit codes: 0; 2 config, or a batch that the ranks do not divide");
  command->callback([flags, &action] {
    action = [flags](Process&) {
      const RunOptions options = load_config(flags->config);
      if (!flags->tiers.empty()) flags->scale.tiers = parse_tiers(flags->tiers);
      flags->scale.device = flags->device;
      std::ranges::sort(flags->scale.nodes);
      if (flags->schedule) {
        write_output(flags->json ? json_text(rates_json(options), 2) + "\n" : rates_text(options));
        return 0;
      }
      const StepPlan plan = plan_step(options, flags->ranks, flags->device);
      if (flags->json) {
        write_output(plan_json(plan, options, *flags));
      } else {
        // Before the first line is written, for it may be refused.
        const std::string scale =
            flags->asks_for_scale() ? scale_text(plan_scale(options, flags->scale), flags->scale) : "";
        write_output(text_of(plan, options, flags->ranks) + scale);
        if (!plan.prediction) return 0;
        const std::int64_t samples = options.train.global_batch / flags->ranks;
        write_output(text_of(*plan.prediction, samples, flags->ranks));
        if (flags->reader_rate > 0.0) {
          write_output(
              fmt::format("readers          {:.0f} threads keep a device busy at that bound, with {} samples/s each\n",
                          readers_for(*plan.prediction, samples, flags->reader_rate), flags->reader_rate));
        }
      }
      return 0;
    };
  });
}

}  // namespace trainmark::cli

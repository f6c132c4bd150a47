#include "run/launch/dataset.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <array>

namespace trainmark {
namespace {

Split find_split(const World& world, const RunOptions& options, const std::string& name, const std::string& source,
                 const DataSchema& schema, const std::function<void()>& alive, const ManifestUse& use) {
  Split split;
  split.name = name;
  split.source = source;
  std::string text;
  Pulse pulse(world.all(), alive);
  // One rank reads the headers: thousands of ranks opening the same files would be an attack on the file system. The
  // others hear that it goes on.
  agree_on(world.all(), pulse, [&] {
    if (world.all().rank() != 0) return;
    const auto progress = [&] {
      pulse.beat();
      alive();
    };
    const Manifest found = scan_dataset(source, options.data.format, schema, progress, use);
    if (options.stage.strategy != Strategy::none) require_self_contained(source, found, "staging copies");
    text = to_text(found);
  });
  text = world.all().broadcast(std::move(text));
  agree_on(world.all(), [&] { split.manifest = parse_manifest(text, split.source); });
  split.files = split.manifest.entries.size();
  return split;
}

/// Keeps the files that hold the first `wanted` samples (0: all).
void limit(Split& split, std::int64_t wanted) {
  split.samples = wanted > 0 ? std::min(wanted, split.manifest.samples()) : split.manifest.samples();
  std::int64_t covered = 0;
  std::size_t files = 0;
  while (files < split.manifest.entries.size() && covered < split.samples)
    covered += split.manifest.entries[files++].samples;
  split.manifest.entries.resize(files);
}

/// What a sharded set must be beyond its plan: whole files, and the same number of ranks on every node.
void require_shardable(const Split& split, const std::vector<std::uint64_t>& node_sizes) {
  if (split.samples != split.manifest.samples()) {
    throw Error(ExitCode::data,
                Complaint{fmt::format("/data/{}_samples", split.name),
                          fmt::format("{} samples end in the middle of a file ({} are in the files up to it)",
                                      split.samples, split.manifest.samples()),
                          "staging by shard gives each node whole files",
                          fmt::format("set it to {} or 0", split.manifest.samples())});
  }
  if (std::ranges::any_of(node_sizes, [&](std::uint64_t size) { return size != node_sizes.front(); })) {
    throw Error(ExitCode::environment,
                Complaint{"/stage/strategy", "nodes have different numbers of ranks",
                          "each node's ranks read its own shard only, which takes as many of them everywhere",
                          "start the same number of ranks on every node, or use \"replicate\""});
  }
}

StagingSet staging_set(const Split& split, const std::string& target, ManifestBeside manifest) {
  return {split.manifest, split.plan, split.source, std::filesystem::path(target) / split.name,
          manifest != ManifestBeside::ignored};
}

/// The ids of the samples that a part's files hold, as far as the run uses them; neighbours become one range.
std::vector<Range> ids_of(const std::vector<std::size_t>& part, const std::vector<Range>& ids_of_entry) {
  std::vector<Range> ids;
  for (const std::size_t entry : part) {
    const Range range = ids_of_entry[entry];
    if (!ids.empty() && ids.back().end == range.begin) {
      ids.back().end = range.end;
    } else {
      ids.push_back(range);
    }
  }
  return ids;
}

/// A source may be another run's target. It is held only since staging began: what was scanned before that may have
/// been a part of what is there by now. (A file that was replaced is noticed when it is opened.)
void require_as_scanned(const World& world, const DataOptions& data, const Dataset& dataset,
                        const std::function<void()>& alive) {
  agree_on(world.all(), [&] {
    if (world.all().rank() != 0) return;
    for (const Split* split : {&dataset.train, &dataset.validation}) {
      if (!is_staging_target(split->source)) continue;
      const ManifestUse use = {.ignored = data.manifest == ManifestBeside::ignored, .hashes_compared = false};
      const std::size_t now = scan_dataset(split->source, data.format, dataset.schema, alive, use).entries.size();
      if (now == split->files) continue;
      throw Error(ExitCode::data,
                  Complaint{split->source.string(),
                            fmt::format("had {} files when it was scanned and has {} now", split->files, now),
                            "another run stages to it: this one would have trained on a part of the dataset",
                            "run again when that staging is complete"});
    }
  });
}

/// One rank reads, all know.
std::vector<ChannelRange> find_channels(const World& world, const ModelOptions& model, const DataOptions& data) {
  const int count = channels_of(model);
  std::vector<ChannelRange> channels(static_cast<std::size_t>(count));
  if (count == 0) return channels;
  agree_on(world.all(), [&] {
    if (world.all().rank() != 0) return;
    std::filesystem::path path = data.stats;
    if (path.empty()) {
      const std::filesystem::path train = std::filesystem::absolute(data.train) / "";
      path = train.lexically_normal().parent_path().parent_path() / "stats.h5";
    }
    const ChannelStats stats = read_channel_stats(path, count);
    for (std::size_t c = 0; c < channels.size(); ++c)
      channels[c] = {stats.minimum.at(c), stats.maximum.at(c)};
  });
  world.all().broadcast(std::as_writable_bytes(std::span(channels)));
  return channels;
}

}  // namespace

Dataset find_dataset(const World& world, const RunOptions& options, const std::function<void()>& alive,
                     const std::function<void(const std::string& line)>& say) {
  Dataset dataset;
  dataset.schema = schema_of(options.recipe.model);
  const bool compared_by_staging = options.stage.strategy != Strategy::none && options.stage.verify;
  const ManifestUse use = {options.data.manifest == ManifestBeside::ignored, !compared_by_staging, say};
  const auto find = [&](const std::string& name, const std::string& source) {
    return find_split(world, options, name, source, dataset.schema, alive, use);
  };
  dataset.train = find("train", options.data.train);
  dataset.channels = find_channels(world, options.recipe.model, options.data);
  dataset.validation = find("validation", options.data.validation);
  dataset.facts = {dataset.train.manifest.samples(), dataset.validation.manifest.samples(),
                   options.submission.generated_data};
  limit(dataset.train, options.data.train_samples);
  limit(dataset.validation, options.data.validation_samples);
  const std::vector<std::uint64_t> node_sizes = world.all().all_gather(static_cast<std::uint64_t>(world.node().size()));
  agree_on(world.all(), [&] {
    for (Split* split : {&dataset.train, &dataset.validation}) {
      if (options.stage.strategy == Strategy::shard) require_shardable(*split, node_sizes);
      const ShardSums sums = split == &dataset.train ? ShardSums::equal : ShardSums::may_differ;
      split->plan = plan_staging(split->manifest, options.stage, world.nodes(), sums);
      diagnose(LogLevel::debug, [&] {
        return fmt::format("{}: {} samples in {} files; staging by {} gives this node {} files", split->source.string(),
                           split->samples, split->manifest.entries.size(), word(options.stage.strategy),
                           split->plan.part_of(world.node_index()).size());
      });
    }
  });
  return dataset;
}

bool stages_before_clock(const World& world, const StageOptions& stage, const Rules& rules) {
  if (stage.strategy == Strategy::none || !rules.let_staging_precede_clock()) return false;
  std::array<double, 1> volatile_nodes = {};
  agree_on(world.all(), [&] { volatile_nodes[0] = durable(stage.target) ? 0.0 : 1.0; });
  const bool volatile_here = volatile_nodes[0] != 0.0;
  world.all().max(volatile_nodes);
  diagnose(LogLevel::debug, [&] {
    return fmt::format("{} is {} here; staging stands {} the clock, as rules {} have it", stage.target,
                       volatile_here ? "in memory" : "durable", volatile_nodes[0] == 0.0 ? "before" : "inside",
                       word(rules.version));
  });
  return volatile_nodes[0] == 0.0;
}

StagedDataset stage_dataset(const World& world, const RunOptions& options, const Dataset& dataset, Timeline& timeline,
                            Watchdog& watchdog, StageContext context) {
  watchdog.phase("staging", options.watchdog.stage_seconds);
  context.progress = [&](std::int64_t) { watchdog.beat(); };
  const auto bring = [&]() -> StagedDataset {
    const auto set_of = [&](const Split& split) {
      return staging_set(split, options.stage.target, options.data.manifest);
    };
    const std::array<StagingSet, 2> sets = {set_of(dataset.train), set_of(dataset.validation)};
    StageOutcome outcome = stage(world, sets, options.stage, context);
    require_as_scanned(world, options.data, dataset, [&] { watchdog.beat(); });
    if (outcome.wait_seconds > 0.0) timeline.waited_for_another_run(outcome.wait_seconds);
    return {std::move(outcome.sets[0]), std::move(outcome.sets[1]), 0.0, outcome.wait_seconds};
  };
  if (options.stage.strategy == Strategy::none) return bring();
  const Clock clock;
  const LogScope scope = timeline.staging();
  StagedDataset staged = bring();
  staged.seconds = clock.seconds();
  return staged;
}

Sampling sampling_of(const World& world, const RunOptions& options, const Split& split) {
  Sampling sampling;
  sampling.seed = static_cast<std::uint64_t>(options.seed);
  sampling.shuffle = split.name == "train";
  constexpr std::array training = {Tail::exact, Tail::drop, Tail::wrap};  // by Remainder
  const auto remainder = static_cast<std::size_t>(remainder_of(options.recipe.model));
  sampling.tail = split.name == "train" ? training.at(remainder) : Tail::short_batch;
  if (split.name == "train") sampling.batches_together = options.train.gradient_accumulation_steps;
  sampling.global_batch = options.train.batch();  // a step's batches follow each other in the epoch's order
  sampling.ranks = world.all().size();
  sampling.rank = world.all().rank();
  // A node's ranks read its shard, wherever the launcher placed them: then the order goes by node.
  if (split.plan.parts.size() > 1) sampling.rank = world.node_index() * world.node().size() + world.node().rank();
  std::vector<Range> ids_of_entry;
  std::int64_t next = 0;
  for (const ManifestEntry& entry : split.manifest.entries) {
    const std::int64_t end = std::min(next + entry.samples, split.samples);
    ids_of_entry.push_back({next, end});
    next = end;
  }
  for (const auto& part : split.plan.parts)
    sampling.shards.push_back(ids_of(part, ids_of_entry));
  return sampling;
}

}  // namespace trainmark

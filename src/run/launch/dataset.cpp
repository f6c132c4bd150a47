#include "run/launch/split.hpp"

#include <fmt/core.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <limits>
#include <map>
#include <span>

namespace trainmark {
namespace {

/// Keeps the files that hold the first `wanted` samples (0: all).
void limit(Split& split, std::int64_t wanted) {
  split.samples = wanted > 0 ? std::min(wanted, split.manifest.samples()) : split.manifest.samples();
  std::int64_t covered = 0;
  std::size_t files = 0;
  while (files < split.manifest.entries.size() && covered < split.samples)
    covered += split.manifest.entries[files++].samples;
  split.manifest.entries.resize(files);
}

/// What is trained on and evaluated says nothing of what was learnt. Who names one folder twice knows it; who links
/// or nests one within the other may not.
void require_no_file_in_common(const World& world, const Dataset& dataset) {
  agree_on(world.all(), [&] {
    const Split &train = dataset.train, &validation = dataset.validation;
    if (world.all().rank() != 0 || is_one_folder(train.source, validation.source)) return;
    if (!has_stable_inodes(train.source) || !has_stable_inodes(validation.source)) return;
    std::map<std::uint64_t, const ManifestEntry*> evaluated;
    for (const ManifestEntry& entry : validation.manifest.entries)
      evaluated.emplace(entry.stamp, &entry);
    for (const ManifestEntry& entry : train.manifest.entries) {
      const auto found = evaluated.find(entry.stamp);
      if (found == evaluated.end()) continue;
      if (found->second->bytes != entry.bytes || found->second->modified_ns != entry.modified_ns) continue;
      throw Error(ExitCode::data,
                  Complaint{(train.source / entry.name).string(),
                            fmt::format("is the file {} of the validation set as well",
                                        (validation.source / found->second->name).string()),
                            "the run would be evaluated on samples that it has trained on",
                            "let data.train and data.validation name folders that have no file in common"});
    }
  });
}

void inflate(Split& split, const FormatOptions& format, const DataSchema& schema) {
  Manifest copies = inflated_copies(split.manifest, format, schema);
  split.inflated =
      std::ranges::count_if(copies.entries, [](const ManifestEntry& entry) { return entry.recoding != nullptr; });
  if (split.inflated > 0) split.copies = std::move(copies);
}

/// What a set in parts must be beyond its plan: whole files, and the same number of ranks on every node.
void require_whole_files(const Split& split, const std::vector<std::uint64_t>& node_sizes) {
  if (split.samples != split.manifest.samples()) {
    throw Error(
        ExitCode::data,
        Complaint{fmt::format("/data/{}_samples", split.name),
                  fmt::format("{} samples end in the middle of a file ({} are in the files up to it)", split.samples,
                              split.manifest.samples()),
                  "parts of a set are whole files", fmt::format("set it to {} or 0", split.manifest.samples())});
  }
  if (std::ranges::any_of(node_sizes, [&](std::uint64_t size) { return size != node_sizes.front(); })) {
    throw Error(ExitCode::environment,
                Complaint{"/stage/strategy", "nodes have different numbers of ranks",
                          "each node's ranks read its own part only, which takes as many of them everywhere",
                          "start the same number of ranks on every node, or use \"replicate\""});
  }
}

/// Where an epoch ends with the smallest part, that one must fill a batch.
void require_a_step(const RunOptions& options, const Split& split) {
  std::int64_t least = std::numeric_limits<std::int64_t>::max();
  for (const auto& part : split.plan.parts) {
    std::int64_t samples = 0;
    for (const std::size_t entry : part)
      samples += split.manifest.entries[entry].samples;
    least = std::min(least, samples);
  }
  const std::int64_t parts = std::ssize(split.plan.parts), share = options.train.global_batch / parts;
  if (parts == 1 || least >= share) return;
  throw Error(
      ExitCode::data,
      Complaint{fmt::format("/stage/strategy {}", word(options.stage.strategy)),
                fmt::format("the smallest of {} parts holds {} samples, a global batch of {} takes {} from each", parts,
                            least, options.train.global_batch, share),
                "an epoch ends with the smallest part: it would have no step",
                "write smaller files, use fewer nodes or larger groups, or lower /train/global_batch"});
}

StagingSet staging_set(const Split& split, const std::string& target, ManifestBeside manifest) {
  return {split.staged(), split.plan, split.source, std::filesystem::path(target) / split.name,
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

bool is_one_folder(const std::filesystem::path& one, const std::filesystem::path& other) {
  std::error_code status;
  if (one.empty() || other.empty()) return false;  // not named yet
  return one.lexically_normal() == other.lexically_normal() || std::filesystem::equivalent(one, other, status);
}

Dataset find_dataset(const World& world, const RunOptions& options, const std::function<void()>& alive,
                     const std::function<void(const std::string& line)>& say) {
  Dataset dataset;
  dataset.schema = schema_of(options.recipe.model);
  // Beside training the source is read before it is compared, or a run ends before all of it is.
  const bool compared_by_staging = options.stage.strategy != Strategy::none && options.stage.verify != Verify::none &&
                                   options.stage.mode == StageMode::before && !options.stage.inflate;
  const bool inflates = options.stage.strategy != Strategy::none && options.stage.inflate;
  const ManifestUse use = {options.data.manifest == ManifestBeside::ignored, !compared_by_staging, inflates, say};
  const auto find = [&](const std::string& name, const std::string& source) {
    return find_split(world, options, name, source, dataset.schema, alive, use);
  };
  dataset.train = find("train", options.data.train);
  dataset.channels = find_channels(world, options.recipe.model, options.data);
  dataset.validation = find("validation", options.data.validation);
  require_no_file_in_common(world, dataset);
  dataset.facts = {dataset.train.manifest.samples(), dataset.validation.manifest.samples(),
                   options.submission.generated_data};
  limit(dataset.train, options.data.train_samples);
  limit(dataset.validation, options.data.validation_samples);
  const std::vector<std::uint64_t> node_sizes = world.all().all_gather(static_cast<std::uint64_t>(world.node().size()));
  agree_on(world.all(), [&] {
    for (Split* split : {&dataset.train, &dataset.validation}) {
      const bool in_parts = options.stage.strategy == Strategy::shard || options.stage.strategy == Strategy::group;
      if (in_parts) require_whole_files(*split, node_sizes);  // on one node, too: a config is right or not everywhere
      const bool all_or_none = split == &dataset.train && remainder_of(options.recipe.model) == Remainder::refused;
      const PartSums sums = all_or_none ? PartSums::equal : PartSums::may_differ;
      if (inflates) inflate(*split, options.data.format, dataset.schema);
      split->plan = plan_staging(split->manifest, options.stage, world.nodes(), sums);
      if (split == &dataset.train) require_a_step(options, *split);
      diagnose(LogLevel::debug, [&] {
        return fmt::format("{}: {} samples in {} files; staging by {} gives this node {} files", split->source.string(),
                           split->samples, split->manifest.entries.size(), word(options.stage.strategy),
                           split->plan.part_of(world.node_index()).size());
      });
    }
  });
  for (const Split* split : {&dataset.train, &dataset.validation}) {
    const std::int64_t others = std::ssize(split->manifest.entries) - split->inflated;
    if (!inflates || others == 0 || !say || world.all().rank() != 0) continue;
    say(
        fmt::format("stage.inflate: {} of {} files of {} are staged as they are: not compressed, coded images, too "
                    "large, or for the HDF5 library to read",
                    others, split->manifest.entries.size(), split->source.string()));
  }
  return dataset;
}

bool stages_before_clock(const World& world, const StageOptions& stage, const Rules& rules) {
  if (stage.strategy == Strategy::none || stage.mode == StageMode::overlap || !rules.let_staging_precede_clock())
    return false;
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

namespace {

std::array<StagingSet, 2> staging_sets(const RunOptions& options, const Dataset& dataset, const std::string& target) {
  const auto set_of = [&](const Split& split) { return staging_set(split, target, options.data.manifest); };
  return {set_of(dataset.train), set_of(dataset.validation)};
}

}  // namespace

std::vector<std::string> targets_of(const StageOptions& stage) {
  std::vector<std::string> all = {stage.target};
  all.insert(all.end(), stage.other_targets.begin(), stage.other_targets.end());
  return all;
}

StageOptions with_target(const World& world, const RunOptions& options, const Dataset& dataset,
                         const std::function<void()>& alive, const std::function<void(const std::string& line)>& say) {
  StageOptions chosen = options.stage;
  if (chosen.strategy == Strategy::none || chosen.other_targets.empty()) return chosen;
  const std::vector<std::string> targets = targets_of(options.stage);
  std::vector<std::vector<StagingSet>> candidates;
  for (const std::string& target : targets) {
    const std::array<StagingSet, 2> sets = staging_sets(options, dataset, target);
    candidates.emplace_back(sets.begin(), sets.end());
  }
  StageContext context;
  context.progress = [&](std::int64_t) { alive(); };
  const TargetChoice choice = choose_target(world, candidates, options.stage, context);
  chosen.target = targets.at(choice.number);
  chosen.other_targets.clear();
  chosen.target_why = choice.passed_over.empty()
                          ? fmt::format("the first of {}, and every node's part fits", targets.size())
                          : fmt::format("every node's part fits; not so in {}", fmt::join(choice.passed_over, "; "));
  if (say && world.all().rank() == 0) say(fmt::format("staging to {}: {}", chosen.target, chosen.target_why));
  diagnose(LogLevel::info, [&] { return fmt::format("staging to {}: {}", chosen.target, chosen.target_why); });
  return chosen;
}

StagedDataset bring_dataset(const World& world, const RunOptions& options, const Dataset& dataset,
                            const std::function<void()>& alive, StageContext context) {
  context.progress = [&](std::int64_t) { alive(); };
  const std::array<StagingSet, 2> sets = staging_sets(options, dataset, options.stage.target);
  StageOutcome outcome = stage(world, sets, options.stage, context);
  require_as_scanned(world, options.data, dataset, alive);
  StagedDataset staged{std::move(outcome.sets[0]), std::move(outcome.sets[1]), 0.0, outcome.wait_seconds};
  staged.inflated_files = dataset.train.inflated + dataset.validation.inflated;
  return staged;
}

StagedDataset stage_dataset(const World& world, const RunOptions& options, const Dataset& dataset, Timeline& timeline,
                            Watchdog& watchdog, StageContext context) {
  watchdog.phase("staging", options.watchdog.stage_seconds);
  const auto bring = [&] {
    StagedDataset staged = bring_dataset(
        world, options, dataset, [&] { watchdog.beat(); }, std::move(context));
    if (staged.wait_seconds > 0.0) timeline.waited_for_another_run(staged.wait_seconds);
    return staged;
  };
  if (options.stage.strategy == Strategy::none) return bring();
  const Clock clock;
  const LogScope scope = timeline.staging();
  StagedDataset staged = bring();
  staged.seconds = clock.seconds();
  return staged;
}

bool StagedDataset::complete() const {
  const auto has_all = [](const NodeStaging& node) { return node.files_missing == 0; };
  return std::ranges::all_of(train.nodes, has_all) && std::ranges::all_of(validation.nodes, has_all);
}

double StagedDataset::copied_after() const {
  double last = 0.0;
  for (const Staged* split : {&train, &validation})
    for (const NodeStaging& node : split->nodes)
      last = std::max(last, node.done_seconds);
  return last;
}

StagedDataset StagingBeside::places(const RunOptions& options) const {
  const std::filesystem::path target = options.stage.target;
  StagedDataset dataset;
  dataset.train.root = target / "train";
  dataset.validation.root = target / "validation";
  dataset.under_way = !work->settled();
  return dataset;
}

StagedDataset StagingBeside::settled() {
  work->settle();
  const StageOutcome& outcome = work->outcome();
  return {outcome.sets.at(0), outcome.sets.at(1), seconds, outcome.wait_seconds};
}

StagingBeside stage_beside(const World& world, const RunOptions& options, const Dataset& dataset, Watchdog& watchdog,
                           Watchdog& copying, StageContext context) {
  const Clock clock;
  watchdog.phase("staging", options.watchdog.stage_seconds);
  context.progress = [&watchdog](std::int64_t) { watchdog.beat(); };
  const double limit = options.watchdog.stage_seconds;
  const BackgroundStaging::Heard heard = {[&copying, limit] { copying.beside("staging", limit); },
                                          [&copying] { copying.beside("staging", 1e300); }};
  const std::array<StagingSet, 2> sets = staging_sets(options, dataset, options.stage.target);
  StagingBeside beside;
  beside.work = std::make_unique<BackgroundStaging>(world, sets, options.stage, context, heard);
  require_as_scanned(world, options.data, dataset, [&] { watchdog.beat(); });
  beside.seconds = clock.seconds();
  return beside;
}

namespace {

Sampling batches_of(const RunOptions& options, bool training) {
  Sampling sampling;
  sampling.global_batch = options.train.batch();  // a step's batches follow each other in the epoch's order
  sampling.shuffle = training;
  if (!training) return sampling;
  constexpr std::array tails = {Tail::exact, Tail::drop, Tail::wrap};  // by Remainder
  sampling.tail = tails.at(static_cast<std::size_t>(remainder_of(options.recipe.model)));
  sampling.batches_together = options.train.gradient_accumulation_steps;
  return sampling;
}

}  // namespace

std::int64_t steps_per_epoch(const RunOptions& options, std::int64_t train_samples) {
  Sampling sampling = batches_of(options, true);
  sampling.shards = {{{0, train_samples}}};
  return sampling.steps_per_epoch() / sampling.batches_together;
}

std::optional<std::int64_t> most_steps(const RunOptions& options, std::int64_t train_samples) {
  switch (options.train.until) {
    case Until::seconds:
      return std::nullopt;
    case Until::steps:
      return options.train.steps;
    case Until::epochs:
    case Until::target:
      break;
  }
  const std::int64_t steps = steps_per_epoch(options, train_samples);
  constexpr std::int64_t most = std::numeric_limits<std::int64_t>::max();
  return steps > 0 && options.train.epochs > most / steps ? most : options.train.epochs * steps;
}

Sampling sampling_of(const World& world, const RunOptions& options, const Split& split) {
  Sampling sampling = batches_of(options, split.name == "train");
  sampling.seed = static_cast<std::uint64_t>(options.seed);
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

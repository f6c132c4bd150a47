// Staging apart from a run: the same dataset, plan and copies, with neither log nor results folder.
#include <fmt/core.h>

#include <array>

#include "run/end/ending.hpp"
#include "run/launch/dataset.hpp"
#include "run/record/progress.hpp"
#include "run/record/staging_told.hpp"

namespace trainmark {
namespace {

void require_staging(const RunOptions& options) {
  if (options.stage.strategy != Strategy::none) return;
  throw Error(ExitCode::usage,
              Complaint{"/stage/strategy", "is none", "nothing would be staged: runs read the source itself",
                        "set it to replicate, shard or group, with /stage/target"});
}

/// A manifest vouches for the data: it is not replaced by hashes of whatever is there now, and it lists all files.
void require_manifest_may_be_written(const Split& split, ManifestBeside beside) {
  if (!split.copies.entries.empty()) {
    throw Error(ExitCode::usage,
                Complaint{"/stage/inflate", "is true", "the hashes that become known are those of the inflated copies",
                          fmt::format("write it by `trainmark data verify {} --write`", split.source.string())});
  }
  const std::string remedy =
      fmt::format("`trainmark data verify {} --write` reads the data and lists them anew", split.source.string());
  if (beside == ManifestBeside::ignored && std::filesystem::exists(split.source / manifest_name)) {
    throw Error(ExitCode::usage,
                Complaint{(split.source / manifest_name).string(), "is there and ignored (/data/manifest)",
                          "it would be replaced without having been compared with the data", remedy});
  }
  if (is_staging_target(split.source)) {
    throw Error(ExitCode::usage, Complaint{split.source.string(), "is what staging fills",
                                           "its manifest says where its files come from, which "
                                           "would be lost",
                                           "write the manifest beside the originals"});
  }
  if (split.files == split.manifest.entries.size()) return;
  throw Error(ExitCode::usage,
              Complaint{fmt::format("/data/{}_samples", split.name),
                        fmt::format("uses {} of {} files", split.manifest.entries.size(), split.files),
                        "a manifest beside the data lists all of them", "set it to 0 to write a manifest"});
}

void write_beside_source(const Split& split, Manifest manifest) {
  manifest.source.clear();  // these are the originals
  write_manifest(split.source, manifest);
}

std::string line_of(const std::string& split, const NodeStaging& node, StageTask task) {
  if (task == StageTask::look) {
    return fmt::format("{:<11} {:<16} {} files there and right, {} missing or not right", split, node.host,
                       node.files_reused, node.files_missing);
  }
  const std::string packed = node.files_packed > 0 ? fmt::format("; {} in containers", node.files_packed) : "";
  return fmt::format(
      "{:<11} {:<16} {} files copied ({:.1f} MiB, {:.1f} MiB read off the source) in {:.2f} s, {} were there{}", split,
      node.host, node.files_copied, mib(node.bytes_copied), mib(node.bytes_read), node.copy_seconds, node.files_reused,
      packed);
}

StageOnlyOutcome told(const StagedDataset& dataset, const StageOptions& options, StageTask task) {
  StageOnlyOutcome outcome;
  outcome.json = staging_json(dataset, options, std::nullopt);
  outcome.lines = stragglers(dataset);
  if (const auto line = read_back_line(dataset, options)) outcome.lines.push_back(*line);
  for (const auto& [name, split] : {std::pair{"train", &dataset.train}, {"validation", &dataset.validation}}) {
    for (const NodeStaging& node : split->nodes) {
      outcome.lines.push_back(line_of(name, node, task));
      outcome.complete = outcome.complete && node.files_missing == 0;
    }
  }
  return outcome;
}

StageOnlyOutcome clean(const World& world, const RunOptions& options, const StageContext& context) {
  std::vector<std::filesystem::path> targets;
  std::string roots;
  for (const std::string& root : targets_of(options.stage)) {
    targets.push_back(std::filesystem::path(root) / "train");
    targets.push_back(std::filesystem::path(root) / "validation");
    roots += (roots.empty() ? "" : ", ") + root;
  }
  const std::array<std::filesystem::path, 2> sources = {options.data.train, options.data.validation};
  const Cleaned done = clean_targets(world, sources, targets, options.stage, context);
  StageOnlyOutcome outcome;
  outcome.lines.push_back(
      fmt::format("removed {} files, {:.1f} MiB, from {} on {} node(s){}", done.files, mib(done.bytes), roots,
                  world.nodes(), done.kept > 0 ? fmt::format("; kept {} that were changed since", done.kept) : ""));
  outcome.json = fmt::format("{{\n  \"files_removed\": {},\n  \"bytes_removed\": {},\n  \"files_kept\": {}\n}}\n",
                             done.files, done.bytes, done.kept);
  return outcome;
}

}  // namespace

StageOnlyOutcome stage_only(const World& world, const RunOptions& wanted, StageTask task, bool writes_manifest,
                            const RunContext& context) {
  RunOptions options = wanted;
  agree_on(world.all(), [&] { require_staging(options); });
  const Open open;
  Watchdog watchdog([&](const std::string& message) {
    end_at_once(world, open, context, {ExitCode::watchdog, Ending::aborted, message, {}, {}, {}});
  });
  watchdog.phase("staging", options.watchdog.stage_seconds);
  Progress progress({world.all().rank() == 0 && !context.quiet, context.terminal,
                     static_cast<double>(options.results.progress_seconds)});
  const auto alive = [&] { watchdog.beat(); };
  StageContext stage_context;
  stage_context.progress = [&](std::int64_t) { alive(); };
  stage_context.say = [&](const std::string& line) { progress.line(line); };
  stage_context.job = context.job_id;
  stage_context.only_looks = task == StageTask::look;
  stage_context.wants_manifest = writes_manifest;
  if (task == StageTask::clean) return clean(world, options, stage_context);

  watchdog.phase("initialisation", options.watchdog.init_seconds);
  const Dataset dataset = find_dataset(world, options, alive, stage_context.say);
  options.stage = with_target(world, options, dataset, alive, stage_context.say);
  watchdog.phase("staging", options.watchdog.stage_seconds);
  agree_on(world.all(), [&] {
    for (const Split* split : {&dataset.train, &dataset.validation})
      if (writes_manifest && world.all().rank() == 0) require_manifest_may_be_written(*split, options.data.manifest);
  });
  const Clock clock;
  StagedDataset staged = bring_dataset(world, options, dataset, alive, stage_context);
  staged.seconds = clock.seconds();
  if (writes_manifest) {
    agree_on(world.all(), [&] {
      if (world.all().rank() != 0) return;
      write_beside_source(dataset.train, std::move(staged.train.manifest));
      write_beside_source(dataset.validation, std::move(staged.validation.manifest));
    });
  }
  return told(staged, options.stage, task);
}

}  // namespace trainmark

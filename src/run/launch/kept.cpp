#include "run/launch/kept.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "trainmark/process.hpp"

namespace trainmark {
namespace {

constexpr double mebibyte = 1048576.0;
constexpr double part_of_room = 0.5;  // the rest is for the page cache, rings, and what libraries come to want

/// Nothing: whole images are kept of training, whose sizes nobody knows before they are decoded.
std::optional<std::int64_t> most_of_use(const World& world, const RunOptions& options, const Dataset& dataset) {
  if (dataset.schema.images) return std::nullopt;
  std::int64_t bytes = 0;
  for (const Split* split : {&dataset.train, &dataset.validation})
    bytes += bytes_to_keep(*split, sampling_of(world, options, *split), dataset.schema);
  return bytes;
}

/// That staging has still to put into the node's memory; what is there already counts, too.
double staged_to_memory(const World& world, const RunOptions& options, const Dataset& dataset) {
  if (options.stage.strategy == Strategy::none || durable(options.stage.target)) return 0.0;
  std::int64_t bytes = 0;
  for (const Split* split : {&dataset.train, &dataset.validation})
    for (const std::size_t at : split->plan.part_of(world.node_index()))
      bytes += split->staged().entries[at].bytes;
  return static_cast<double>(bytes);
}

std::int64_t mebibytes_for(std::int64_t bytes) {
  return static_cast<std::int64_t>(std::ceil(static_cast<double>(bytes) / mebibyte));
}

}  // namespace

std::int64_t bytes_to_keep(const Split& split, const Sampling& sampling, const DataSchema& schema) {
  return kept_bytes_of(schema, sampling.samples_of_rank(), split.manifest.samples());
}

KeptMemory kept_memory(const World& world, const RunOptions& options, const Dataset& dataset) {
  KeptMemory kept{options.load.memory_mib, {}};
  if (kept.mib == 0) return kept;
  const int ranks = world.node().size();
  MemoryRoom room;
  std::optional<std::int64_t> of_use;
  agree_on(world.all(), [&] {
    room = memory_room();
    of_use = most_of_use(world, options, dataset);
    if (kept.mib == LoadOptions::memory_auto)
      room.bytes = std::max(0.0, part_of_room * (room.bytes - staged_to_memory(world, options, dataset)));
  });
  std::array<double, 1> least = {-room.bytes};  // ranks that looked earlier saw more
  world.node().max(least);
  const double share = -least[0] / ranks;
  if (kept.mib == LoadOptions::memory_auto) {
    kept.mib = static_cast<std::int64_t>(share / mebibyte);
    kept.why = fmt::format("half of what {} leaves, shared by {} rank{} of the node", room.source, ranks,
                           ranks == 1 ? "" : "s");
  }
  if (of_use && mebibytes_for(*of_use) <= kept.mib) {
    kept.mib = mebibytes_for(*of_use);
    kept.why = "all samples that the rank comes by";
  }
  agree_on(world.all(), [&] {
    if (static_cast<double>(kept.mib) * mebibyte <= share) return;
    throw Error(
        ExitCode::environment,
        Complaint{
            "/load/memory_mib",
            fmt::format("{} MiB on each of {} ranks of {} may be filled, {:.0f} MiB are left for all of them ({})",
                        kept.mib, ranks, world.host(), share * ranks / mebibyte, room.source),
            "the system would end the job when so many samples have come in",
            "ask for less, set it to \"auto\", or raise the job's memory limit (Slurm: --mem)"});
  });
  diagnose(LogLevel::info, [&] {
    return fmt::format("/load/memory_mib: samples are kept in up to {} MiB{}", kept.mib,
                       kept.why.empty() ? "" : ": " + kept.why);
  });
  return kept;
}

}  // namespace trainmark

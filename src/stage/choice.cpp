// Which of several targets has room, by what the file systems and the files' names, sizes and times say. Nobody else is
// kept from it meanwhile: whether there is room is looked at again, in this run's turn, before the first byte.
#include <fmt/core.h>
#include <unistd.h>

#include <cerrno>

#include "stage/container.hpp"
#include "stage/exchange.hpp"
#include "stage/files.hpp"
#include "trainmark/stage.hpp"

namespace trainmark {
namespace {

/// A file that is there under an entry's name, in either form.
struct There {
  std::int64_t bytes, modified_ns, stored_bytes;
};

std::optional<There> found_at(const std::filesystem::path& target, const ManifestEntry& entry,
                              const Containers* containers) {
  if (containers == nullptr) {
    const std::optional<FileFacts> facts = facts_of(target / entry.name);
    return facts ? std::optional(There{facts->bytes, facts->modified_ns, facts->stored_bytes}) : std::nullopt;
  }
  const std::optional<Containers::Listed> listed = containers->find(entry.name);
  if (!listed) return std::nullopt;
  return There{listed->entry->bytes, listed->entry->modified_ns, in_blocks(listed->entry->bytes)};
}

/// What this rank's part of its node's files wants: those that are not there as they should be. Files that only look so
/// are replaced, which takes no more space.
SpaceNeed need_of(const World& world, const StagingSet& set, const StageOptions& options,
                  const ByteProgress& progress) {
  SpaceNeed need;
  PackedNeed packed;
  std::optional<Containers> containers;
  if (options.form == StageForm::packed) containers.emplace(set.target);
  const std::vector<std::size_t>& entries = set.plan.part_of(world.node_index());
  const Range mine = slice_of(std::ssize(entries), world.node().size(), world.node().rank());
  for (std::int64_t at = mine.begin; at < mine.end; ++at) {
    progress(0);
    const ManifestEntry& entry = set.manifest.entries[entries[static_cast<std::size_t>(at)]];
    const bool in_container = is_packed(options, entry);
    const auto there = found_at(set.target, entry, in_container ? &*containers : nullptr);
    if (options.reuse && there && there->bytes == entry.bytes && same_time(there->modified_ns, entry.modified_ns))
      continue;
    if (!in_container) {
      need.add_file(entry.bytes, there ? there->stored_bytes : 0);
      continue;
    }
    packed.add(entry);
    need.reclaimed += there ? there->stored_bytes : 0;  // before the first byte
  }
  packed.add_to(need);
  if (containers && world.node().rank() == 0) need.reclaimed += containers->unlisted_bytes();
  if (need.files > 0 && exchanges(options, set.plan, world.nodes())) need.buffers = exchange_buffer_bytes(options);
  return need;
}

/// What this node lacks in one of the folders; empty: it has room.
std::string shortage_in(const std::filesystem::path& target, const SpaceNeed& need, const StageOptions& options,
                        const std::string& host) {
  const std::filesystem::path folder = nearest_folder(target);
  const std::string node = fmt::format("node {}", host);
  if (need.files > 0 && access(folder.c_str(), W_OK | X_OK) != 0)
    return fmt::format("{}: {} may not be written ({})", node, folder.string(), std::generic_category().message(errno));
  const auto lacking = lacking_space(folder, need, options.reserve_percent, node);
  return lacking ? fmt::format("{}: {}", node, lacking->what) : "";
}

/// What speaks against a candidate: the first node's complaint, with the number of the others. Empty: nothing.
std::string objection_to(const World& world, std::span<const StagingSet> sets, const StageOptions& options,
                         const ByteProgress& progress, Pulse& pulse) {
  std::vector<SpaceNeed> needs;
  std::vector<std::uint64_t> systems;
  std::string mine;
  // A candidate that cannot even be asked is none: no error as long as there are others.
  const auto attempt = [&](auto&& work) {
    if (const Status status = status_of(work); !status.ok() && mine.empty()) mine = status.message;
  };
  agree_on(world.all(), pulse, [&] {
    for (const StagingSet& set : sets) {
      needs.emplace_back();
      systems.push_back(0);
      attempt([&] {
        needs.back() = need_of(world, set, options, progress);
        systems.back() = file_system_of(nearest_folder(set.target));
      });
    }
  });
  for (std::size_t at = 0; at < sets.size(); ++at) {
    const SpaceNeed need = node_need(world, needs, systems, at);
    if (world.node().rank() != 0 || !mine.empty()) continue;
    attempt([&] { mine = shortage_in(sets[at].target, need, options, world.host()); });
  }
  std::string first;
  int more = -1;
  for (const std::string& each : world.all().gather(mine)) {
    if (first.empty()) first = each;
    more += each.empty() ? 0 : 1;
  }
  if (more > 0) first += fmt::format(" (and so on {} more)", more);
  return world.all().broadcast(std::move(first));
}

}  // namespace

TargetChoice choose_target(const World& world, std::span<const std::vector<StagingSet>> candidates,
                           const StageOptions& options, const StageContext& context) {
  TargetChoice choice;
  Pulse pulse(world.all(), [&] {
    if (context.progress) context.progress(0);
  });
  const ByteProgress progress = [&](std::int64_t bytes) {
    pulse.beat();
    if (context.progress) context.progress(bytes);
  };
  for (const std::vector<StagingSet>& sets : candidates) {
    std::string objection = objection_to(world, sets, options, progress, pulse);
    if (objection.empty()) return choice;
    diagnose(LogLevel::debug, [&] { return fmt::format("target {} is passed over: {}", choice.number, objection); });
    choice.passed_over.push_back(std::move(objection));
    ++choice.number;
  }
  std::string all;
  for (const std::string& each : choice.passed_over)
    all += (all.empty() ? "" : "; ") + each;
  throw AgreedError(
      ExitCode::data,
      Complaint{"stage.target", fmt::format("none of {} folders has room on every node: {}", candidates.size(), all),
                "nothing was copied",
                "free space in one of them, name another, use strategy shard on more nodes, or lower "
                "stage.reserve_percent"});
}

}  // namespace trainmark

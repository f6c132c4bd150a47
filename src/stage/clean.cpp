// Giving a target's space back: what staging put there, and nothing else.
#include <unistd.h>

#include <algorithm>
#include <array>
#include <set>

#include "stage/claims.hpp"
#include "stage/journal.hpp"
#include "stage/manifest.hpp"

namespace trainmark {
namespace fs = std::filesystem;

namespace {

/// Folders that are empty by now, from the innermost out; `target` itself stays, as it holds the locks.
void remove_empty_folders(const std::set<fs::path>& folders, const fs::path& target) {
  for (const fs::path& innermost : folders) {
    for (fs::path folder = innermost; folder != target; folder = folder.parent_path())
      if (rmdir(folder.c_str()) != 0) break;
  }
}

Cleaned clean(const fs::path& target, const std::function<void()>& alive) {
  Cleaned done;
  Manifest listed = read_manifest(target).value_or(Manifest{});
  read_journals(target, listed);
  std::set<fs::path> folders = {target};
  for (const ManifestEntry& entry : listed.entries) {
    alive();
    const fs::path path = target / entry.name;
    folders.insert(path.parent_path());
    const std::optional<FileFacts> there = facts_of(path);
    if (!there) continue;
    if (there->bytes != entry.bytes || !same_time(there->modified_ns, entry.modified_ns)) {
      ++done.kept;
      continue;
    }
    if (unlink(path.c_str()) != 0) file_error(path, "cannot be removed", errno);
    ++done.files;
    done.bytes += entry.bytes;
  }
  for (const fs::path& folder : folders)
    remove_leftovers(folder);
  remove_journals(target);
  unlink((target / manifest_name).c_str());
  remove_empty_folders(folders, target);
  return done;
}

}  // namespace

Cleaned clean_targets(const World& world, std::span<const fs::path> targets, const StageOptions& options,
                      const StageContext& context) {
  Claims claims(world, options.wait_seconds, context);
  std::vector<std::int64_t> used(targets.size());  // by a run, on any node
  for (std::size_t i = 0; i < targets.size(); ++i)
    used[i] = world.node().rank() == 0 && is_staging_target(targets[i]) ? 1 : 0;
  world.all().sum(used);
  std::vector<fs::path> there;
  for (std::size_t i = 0; i < targets.size(); ++i) {
    if (used[i] == 0) continue;
    agree_on(world.all(), [&] {
      if (world.node().rank() == 0) make_private_folders(targets[i], "node " + world.host());
    });
    claims.add(targets[i]);
    there.push_back(targets[i]);
  }
  claims.take_turns();
  claims.replace(std::vector<bool>(there.size(), true));
  std::array<std::int64_t, 3> sums = {};
  agree_on(world.all(), [&] {
    if (world.node().rank() != 0) return;
    for (const fs::path& target : there) {
      const Cleaned done = clean(target, [&] {
        claims.beat();
        if (context.progress) context.progress(0);
      });
      sums = {sums[0] + done.files, sums[1] + done.bytes, sums[2] + done.kept};
    }
  });
  world.all().sum(sums);
  return {sums[0], sums[1], sums[2]};
}

}  // namespace trainmark

// Giving a target's space back: what staging put there, and nothing else. A name is followed folder by folder from the
// target on and through no link, for a link may lead to the originals, which have their copies' sizes and times.
#include <fcntl.h>
#include <fmt/core.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <set>

#include "stage/claims.hpp"
#include "stage/container.hpp"
#include "stage/journal.hpp"
#include "stage/manifest.hpp"
#include "stage/stager.hpp"

namespace trainmark {
namespace fs = std::filesystem;

namespace {

/// The folder below `target`; null where it is not there or a link leads to it.
FileDescriptor open_beneath(const fs::path& target, const fs::path& folder) {
  FileDescriptor at(open(target.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  for (const fs::path& part : folder) {
    if (!at) break;
    at = FileDescriptor(openat(at.get(), part.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  }
  return at;
}

enum class Removal { gone, removed, kept };

Removal remove(const fs::path& target, const ManifestEntry& entry) {
  const fs::path name = entry.name;
  struct stat there {};
  const FileDescriptor folder = open_beneath(target, name.parent_path());
  if (!folder) return facts_of(target / name) ? Removal::kept : Removal::gone;
  if (fstatat(folder.get(), name.filename().c_str(), &there, AT_SYMLINK_NOFOLLOW) != 0) return Removal::gone;
  const std::int64_t modified_ns = std::int64_t{there.st_mtim.tv_sec} * 1'000'000'000 + there.st_mtim.tv_nsec;
  if (!S_ISREG(there.st_mode) || there.st_size != entry.bytes || !same_time(modified_ns, entry.modified_ns))
    return Removal::kept;
  if (unlinkat(folder.get(), name.filename().c_str(), 0) == 0) return Removal::removed;
  if (errno == ENOENT) return Removal::gone;  // another node of this run shares the target
  file_error(target / name, "cannot be removed", errno);
}

/// What staging left there, as far as it can be believed.
Manifest left_by_staging(const fs::path& target) {
  for (const fs::path& path : {target, target / manifest_name}) {
    if (!belongs_to_another(path)) continue;
    throw Error(ExitCode::data, Complaint{path.string(), "belongs to another user",
                                          "what it lists may be anybody's files; nothing was removed",
                                          "have its owner clean it, or remove the folder yourself"});
  }
  Manifest listed = read_manifest(target).value_or(Manifest{});
  if (listed.source.empty()) listed.entries.clear();  // a manifest of originals, or none
  read_journals(target, listed, JournalsOf::any_source);
  return listed;
}

/// Folders that are empty by now, from the innermost out; `target` itself stays, as it holds the locks.
void remove_empty_folders(const std::set<fs::path>& folders, const fs::path& target) {
  for (const fs::path& innermost : folders) {
    for (fs::path folder = innermost; !folder.empty(); folder = folder.parent_path()) {
      const FileDescriptor above = open_beneath(target, folder.parent_path());
      if (!above || unlinkat(above.get(), folder.filename().c_str(), AT_REMOVEDIR) != 0) break;
    }
  }
}

Cleaned clean(const fs::path& target, const std::function<void()>& alive) {
  const Manifest listed = left_by_staging(target);
  Cleaned done = Containers(target).clear();
  std::set<fs::path> folders = {fs::path()};  // relative to the target
  for (const ManifestEntry& entry : listed.entries) {
    alive();
    const Removal what = remove(target, entry);
    done.files += what == Removal::removed ? 1 : 0;
    done.bytes += what == Removal::removed ? entry.bytes : 0;
    done.kept += what == Removal::kept ? 1 : 0;
    folders.insert(fs::path(entry.name).parent_path());
  }
  for (const fs::path& folder : folders)
    if (open_beneath(target, folder)) remove_leftovers(target / folder);
  remove_journals(target);
  if (!listed.source.empty()) unlink((target / manifest_name).c_str());
  remove_empty_folders(folders, target);
  return done;
}

}  // namespace

Cleaned clean_targets(const World& world, std::span<const fs::path> sources, std::span<const fs::path> targets,
                      const StageOptions& options, const StageContext& context) {
  require_apart(world, sources, targets);
  Claims claims(world, options.wait_seconds, context);
  for (const fs::path& target : targets)
    claims.add(target);
  claims.take_turns();
  claims.replace(std::vector<bool>(targets.size(), true));
  Pulse pulse(world.all(), [&] {
    claims.beat();
    if (context.progress) context.progress(0);
  });
  std::array<std::int64_t, 3> sums = {};
  agree_on(world.all(), pulse, [&] {
    if (world.node().rank() != 0) return;
    for (const fs::path& target : targets) {
      std::error_code status;
      if (!fs::is_directory(target, status)) continue;
      const Cleaned done = clean(target, [&] {
        pulse.beat();
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
